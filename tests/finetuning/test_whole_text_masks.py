"""The mask of trained tokens comes from the tokens of the whole text, with every kind of tokenizer."""

from collections.abc import Callable

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.finetuning.encoding import ExampleEncoder
from lmcraft.finetuning.examples import Conversation
from lmcraft.tokenizer.tokenizer import Tokenizer
from tests.finetuning.chat import message

TEXTS = ["[INST] What is it? [/INST] A fox, a café 天😀. </s> And then? It sleeps. A fox sleeps"] * 5
SPECIAL = ("<unk>", "</s>", "[INST]", "[/INST]", "<|user|>", "<|assistant|>")
MISTRAL = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + '</s>' }}{% endif %}{% endfor %}"
)
LINES = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '</s>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
TEMPLATES = {"space": MISTRAL, "line": LINES}


def trained(model: models.Model, trainer: trainers.Trainer, *parts: object) -> HFTokenizer:
    hf = HFTokenizer(model)
    for part in parts:
        if isinstance(part, normalizers.Normalizer):
            hf.normalizer = part
        elif isinstance(part, pre_tokenizers.PreTokenizer):
            hf.pre_tokenizer = part
        elif isinstance(part, decoders.Decoder):
            hf.decoder = part
    hf.train_from_iterator(TEXTS, trainer)
    return hf


def byte_level() -> HFTokenizer:
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return trained(models.BPE(), trainer, pieces, decoders.ByteLevel())


def sentencepiece_bpe() -> HFTokenizer:
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=["<unk>"], show_progress=False)
    prepend = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return trained(models.BPE(unk_token="<unk>"), trainer, prepend)


def metaspace_bpe() -> HFTokenizer:
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=["<unk>"], show_progress=False)
    return trained(models.BPE(unk_token="<unk>"), trainer, pre_tokenizers.Metaspace(prepend_scheme="always"))


def unigram() -> HFTokenizer:
    trainer = trainers.UnigramTrainer(vocab_size=60, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    return trained(models.Unigram(), trainer, normalizers.NFKC(), pre_tokenizers.Metaspace())


def word_piece() -> HFTokenizer:
    trainer = trainers.WordPieceTrainer(vocab_size=60, special_tokens=["<unk>"], show_progress=False)
    lower = normalizers.BertNormalizer()
    return trained(models.WordPiece(unk_token="<unk>"), trainer, lower, pre_tokenizers.BertPreTokenizer())


def characters() -> HFTokenizer:
    vocabulary = [*SPECIAL, *sorted(set("".join(TEXTS) + "\n<|>userassistant"))]
    return HFTokenizer(models.BPE({token: number for number, token in enumerate(vocabulary)}, []))


KINDS: list[Callable[[], HFTokenizer]] = [byte_level, sentencepiece_bpe, metaspace_bpe, unigram, word_piece, characters]


def make_encoder(make: Callable[[], HFTokenizer], template: str) -> ExampleEncoder:
    hf = make()
    hf.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer = Tokenizer(hf, {"eos_token": "</s>", "chat_template": TEMPLATES[template]})
    return ExampleEncoder(tokenizer, [tokenizer.special_tokens["</s>"]])


ANSWERS = ("A fox, a café 天😀.", "It sleeps.", "  It sleeps", "\nA", "天", "😀", "zz unknown zz")


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("make", KINDS)
def test_the_tokens_are_those_of_the_whole_text(make: Callable[[], HFTokenizer], template: str) -> None:
    encoder = make_encoder(make, template)
    tokenizer, end = encoder.tokenizer, encoder.tokenizer.special_tokens["</s>"]
    for first in ANSWERS:
        messages = [message("user", "What is it?"), message("assistant", first)]
        messages += [message("user", "And then?"), message("assistant", "It sleeps.")]
        tokens = encoder.conversation(Conversation(tuple(messages)))
        whole = tokenizer.encode(tokenizer.apply_chat_template(messages, False), parse_special=True)
        assert tokens.ids.tolist() == whole[: len(tokens.ids)]
        learned = tokens.ids[tokens.loss_mask].tolist()
        assert learned.count(end) == 2 and tokens.loss_mask[-1] and tokens.ids[-1] == end
        assert {*learned} & {*tokenizer.special_tokens.values()} <= {end, tokenizer.special_tokens["<unk>"]}
        # What is not learned spells neither answer, and what is learned no question.
        text = tokenizer.decode(learned, skip_special_tokens=False)
        assert "hat" not in text and "hen" not in text and "INST" not in text
        assert "sleep" in text.replace(" ", "")


def test_a_token_across_the_boundary_is_learned() -> None:
    encoder = make_encoder(metaspace_bpe, "space")
    tokens = encoder.conversation(Conversation((message("user", "What is it?"), message("assistant", "A fox"))))
    spelling = {number: token for token, number in encoder.tokenizer.vocabulary.items()}
    learned = [spelling[token] for token in tokens.ids[tokens.loss_mask].tolist()]
    assert learned[0] == "▁A" and learned[-1] == "</s>" and "▁" not in learned


def test_a_special_token_that_swallows_the_space_after_it_is_not_learned() -> None:
    hf = byte_level()
    hf.add_special_tokens([AddedToken(token, special=True, rstrip=True) for token in SPECIAL])
    tokenizer = Tokenizer(hf, {"eos_token": "</s>", "chat_template": LINES})
    encoder = ExampleEncoder(tokenizer, [tokenizer.special_tokens["</s>"]])
    tokens = encoder.conversation(Conversation((message("user", "What?"), message("assistant", "  A fox"))))
    assert tokenizer.decode(tokens.ids[tokens.loss_mask].tolist(), skip_special_tokens=False) == "A fox</s>"


def test_an_answer_without_any_known_character_is_refused() -> None:
    encoder = make_encoder(characters, "line")
    with pytest.raises(UserError, match="no token for any character of its answer"):
        encoder.conversation(Conversation((message("user", "What is it?"), message("assistant", "ЖЖ"))))
    with pytest.raises(UserError, match="a text is empty, or the tokenizer has no token"):
        ExampleEncoder(Tokenizer(characters()), ()).text_with_target("ЖЖ", 0)
