"""The text of HTML pages."""

import pytest

from lmcraft.data.html_text import text_of_html


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<h1>Fish &amp; chips</h1><p>a <b>b</b>\n  c<br>d", "Fish & chips\n\na b c\nd\n"),
        ("<head><title>T</title><style>p{}</style></head><body>x<script>if (a < b) y</script> z", "x z\n"),
        ("<head><title>T</title><body>x", "x\n"),
        ("<ul><li>1<li>2</ul><table><tr><td>3<td>4</table>", "1\n2\n\n3\n4\n"),
        ("<pre>\n  code\n    more</pre>", "  code\n    more\n"),
        ("no tags, 1 < 2", "no tags, 1 < 2\n"),
        ("<!-- a comment --><!doctype html>", ""),
        ("<p>a</p><!-- never closed <p>b</p>", "a\n"),
        ("<p>a</p><!-- x -->b<!-- c --> d", "a\nb d\n"),
        ("<script><!-- code </script><p>a", "a\n"),
        ("<p>a <b", "a\n"),
        ("<p>a < b and c <3", "a < b and c <3\n"),
        ("<p>a<![CDATA[ 1 < 2 <b>&amp; ]]>b", "a 1 < 2 <b>&amp; b\n"),
        ("<p>a<![CDATA[never closed", "anever closed\n"),
        ("<script>//<![CDATA[\nx\n//]]></script>a", "a\n"),
        ("", ""),
    ],
)
def test_a_page_is_its_text(page: str, text: str) -> None:
    assert text_of_html(page) == text
