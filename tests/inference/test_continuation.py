from lmcraft.inference.continuation import Continuation, Token
from lmcraft.inference.text_stream import TextStream
from tests.inference.helpers import tokenizer


def append_all(continuation: Continuation, ids: list[int]) -> list[Token]:
    """Up to the last token."""
    tokens = []
    for token_id in ids:
        tokens.append(continuation.append(token_id, -1.0))
        if tokens[-1].finish_reason:
            break
    return tokens


def test_an_end_token_is_the_last_and_has_no_text() -> None:
    tokens = append_all(Continuation(2, 9, {7}, TextStream(tokenizer())), [*tokenizer().encode("a"), 7, 8])
    assert [token.id for token in tokens] == [*tokenizer().encode("a"), 7]
    assert (tokens[-1].finish_reason, tokens[-1].text, tokens[-1].row) == ("stop", "", 2)


def test_the_limit_releases_the_text_held_back() -> None:
    ids = tokenizer().encode("so ##E")
    tokens = append_all(Continuation(0, len(ids), (), TextStream(tokenizer(), ("##END",))), [*ids, 5])
    assert "".join(token.text for token in tokens) == "so ##E" and tokens[-1].finish_reason == "length"


def test_a_stop_string_ends_the_text() -> None:
    ids = tokenizer().encode("one. two")
    tokens = append_all(Continuation(0, 99, (), TextStream(tokenizer(), (".",))), ids)
    assert "".join(token.text for token in tokens) == "one" and tokens[-1].finish_reason == "stop"
    assert tokens[-1].stop == "." and not tokens[0].stop


def test_nothing_may_follow_a_last_token() -> None:
    assert Continuation(0, 9, (), None).append(5, -1.0, last=True).finish_reason == "stop"
    assert Continuation(0, 9, (), None).append(5, -1.0).finish_reason is None
