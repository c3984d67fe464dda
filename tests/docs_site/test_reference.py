"""The Python reference: what its pages name exists and is documented."""

import logging

import pytest

from scripts.docs_site.pages import ROOT, DocsError
from scripts.docs_site.reference import DIRECTIVE, describe, with_documentation

pytestmark = pytest.mark.slow  # reads the whole source
PAGES = sorted(path.name for path in (ROOT / "docs/reference").glob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_documents_what_it_names(page: str, caplog: pytest.LogCaptureFixture) -> None:
    """griffe warns of a parameter in a docstring that the signature lacks."""
    pytest.importorskip("griffe")
    with caplog.at_level(logging.WARNING, "griffe"):
        text = with_documentation((ROOT / "docs/reference" / page).read_text(encoding="utf-8"))
    assert not DIRECTIVE.search(text) and caplog.messages == []


def test_a_method_shows_signature_parameters_and_errors() -> None:
    pytest.importorskip("griffe")
    text = "\n".join(describe("lmcraft.LanguageModel"))
    assert "    dtype: torch.dtype | None = None,\n" in text
    assert "| `device` | where the model runs. |" in text
    assert "- `RunError`: the download failed." in text


def test_settings_show_types_and_defaults() -> None:
    pytest.importorskip("griffe")
    text = "\n".join(describe("lmcraft.PretrainConfig"))
    assert "| `label_smoothing` | <code>float</code> | <code>0.0</code> | Share of the target probability" in text


def test_a_name_that_does_not_exist_is_an_error() -> None:
    pytest.importorskip("griffe")
    with pytest.raises(DocsError, match=r"there is no lmcraft\.Gone"):
        describe("lmcraft.Gone")
