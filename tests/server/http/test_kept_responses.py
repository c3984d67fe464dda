"""Pages of the lists of kept responses."""

import pytest

from lmcraft.server.errors import ApiError
from lmcraft.server.http.kept_responses import list_page


def test_a_page_of_a_list() -> None:
    items = [{"id": str(n)} for n in range(5)]
    page = list_page(items, 2, "asc", None)
    assert (page["data"], page["first_id"], page["last_id"], page["has_more"]) == (items[:2], "0", "1", True)
    page = list_page(items, 2, "desc", "2")
    assert ([item["id"] for item in page["data"]], page["has_more"]) == (["1", "0"], False)
    assert list_page([], 2, "asc", None)["first_id"] is None
    with pytest.raises(ApiError, match="is no item of this list"):
        list_page(items, 2, "asc", "9")
