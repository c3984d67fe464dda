"""GPT-2's byte alphabet."""

from lmcraft.tokenizer.byte_level import byte_of_character, token_to_bytes


def test_the_alphabet_covers_every_byte_once() -> None:
    alphabet = byte_of_character()
    assert sorted(alphabet.values()) == list(range(256)) and all(character.isprintable() for character in alphabet)
    assert alphabet["a"] == ord("a") and alphabet["Ġ"] == ord(" ") and alphabet["Ċ"] == ord("\n")


def test_tokens_become_bytes() -> None:
    assert token_to_bytes("Ġhi") == b" hi"
    assert token_to_bytes("<|天|>") == "<|天|>".encode()  # outside the alphabet: plain text
