"""Code: completions are run with the tests of their row."""

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.code import Code
from tests.evaluation.conftest import WriteTask

SETTINGS = {
    "kind": "code",
    "prompt": "{{ prompt }}",
    "program": "{{ prompt }}{{ completion }}\n{{ test }}",
    "max_new_tokens": 4,
}


def test_right_functions_pass_and_wrong_ones_fail(
    write_task: WriteTask, model: EvaluatedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt": "def f(x):\n", "test": f"assert f(2) == {2 * n}"} for n in range(3)]
    task = write_task(rows, **SETTINGS)
    completions = [(n, "    return 2 * x\n", "stop") for n in range(3)]
    monkeypatch.setattr(EvaluatedModel, "generate", lambda *_, **__: iter(completions))
    monkeypatch.setattr(EvaluatedModel, "encode_question", lambda *_, **__: [1])
    results = [result for batch in Code(task, task.rows()).score(model, ()) for result in batch]
    assert {result.item: result.values["pass_at_1"] for result in results} == {0: 0, 1: 0, 2: 1}
    assert next(result for result in results if result.item == 0).details["outcome"].startswith("AssertionError")


def test_a_program_that_cannot_be_built_is_named(write_task: WriteTask) -> None:
    task = write_task([{"prompt": "def f(x):\n"}], **SETTINGS)
    with pytest.raises(UserError, match=r"jsonl:1: its program cannot be rendered: 'test' is undefined"):
        Code(task, task.rows())
