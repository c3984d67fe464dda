from lmcraft.inference.speculation.prompt_lookup import NgramIndex, PromptLookupProposer
from tests.inference.helpers import prompt, request_of, sequence_of


def test_it_continues_the_last_occurrence_of_the_longest_ngram() -> None:
    assert NgramIndex((4, 3, 2)).continuation([1, 2, 3, 4, 5, 9, 2, 3], 3) == [4, 5, 9]
    assert NgramIndex((4, 3, 2)).continuation([1, 2, 7, 1, 2, 8, 1, 2], 2) == [8, 1]
    assert NgramIndex((4, 3, 2)).continuation([1, 2, 7, 1, 2], 0) == []
    assert NgramIndex((3,)).continuation([1, 2, 7, 1, 2], 2) == []


def test_a_repetition_goes_on_beyond_the_end_of_the_text() -> None:
    assert NgramIndex((2,)).continuation([7, 1, 2, 3, 1, 2, 3, 1, 2], 7) == [3, 1, 2, 3, 1, 2, 3]
    assert NgramIndex((2,)).continuation([5, 5, 5], 4) == [5, 5, 5, 5]
    for lengths in ((4, 3, 2), (4,)):
        assert NgramIndex(lengths).continuation([1, 2, 3, 4, 1, 2, 3, 4], 5) == [1, 2, 3, 4, 1]

    for tokens in ([1, 2, 3, 4], [], [5]):
        assert NgramIndex((4, 3, 2)).continuation(tokens, 3) == []


def test_a_growing_index_equals_a_new_one() -> None:
    index, tokens = NgramIndex((4, 3, 2)), list(prompt(200) * 2)
    for length in range(len(tokens)):
        assert index.continuation(tokens[:length], 5) == NgramIndex((4, 3, 2)).continuation(tokens[:length], 5)


def test_each_request_has_its_own_index_as_long_as_it_lives() -> None:
    proposer = PromptLookupProposer((4, 3, 2))
    requests = [sequence_of(request_of(12, seed, do_sample=False)) for seed in range(2)]
    for request in requests:
        request.tokens += request.tokens
        assert proposer.supports(request)
        assert proposer.propose(request, 3) == request.tokens[:3]
    assert not proposer.supports(sequence_of(request_of(12, do_sample=True)))
    assert len(proposer._indexes) == 2
    del request, requests
    assert len(proposer._indexes) == 0
