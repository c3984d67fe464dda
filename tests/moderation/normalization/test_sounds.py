"""Chinese by sound: which Latin words count as Chinese."""

import re

from hypothesis import given
from hypothesis import strategies as st

from lmcraft.moderation.normalization.plain import to_codes
from lmcraft.moderation.normalization.sounds import HAN, latin_beside_han

BESIDE_HAN = re.compile(f"(?<=[{HAN}])[a-z]{{2,}}+|(?<![a-z])[a-z]{{2,}}+(?=[{HAN}])")


@given(st.text(st.sampled_from("abz{`傻逼\U00020000\U000323b0鿿ꀀ 1\n"), max_size=30))
def test_words_beside_a_han_character(text: str) -> None:
    assert latin_beside_han(to_codes(text)) == [match.span() for match in BESIDE_HAN.finditer(text)]
