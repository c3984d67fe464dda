"""The browser of the tests of pages."""

from tests.server.pages.conftest import browser

__all__ = ["browser"]
