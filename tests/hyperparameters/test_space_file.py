import tomllib

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.hyperparameters.space_file import read_space
from lmcraft.hyperparameters.stages import nested
from lmcraft.pretraining.config import PretrainConfig
from tests.hyperparameters.spaces import CONDITIONAL, RATE, space_of


def test_a_file_is_read_into_fixed_settings_and_dimensions() -> None:
    space = space_of('data = "d"', "schedule.decay = 0.2", RATE, "depth = { low = 1, high = 4, default = 2 }")
    assert space.settings == {"pretrain": {"data": "d", "schedule.decay": 0.2}}
    rate, depth = space.dimensions
    assert (rate.name, rate.kind, rate.low, rate.high, rate.log) == (
        "pretrain.optimizer.learning_rate", "float", 1e-3, 1e-1, True,
    )  # fmt: skip
    assert (depth.name, depth.kind, depth.count, depth.default) == ("pretrain.depth", "int", 4, 2)
    assert space.settings_at({"pretrain.depth": 3}) == {"pretrain": {"data": "d", "schedule.decay": 0.2, "depth": 3}}


def test_the_kind_follows_from_the_setting_and_the_default_from_its_own() -> None:
    space = space_of(
        "model.hidden_size = { choices = [128, 64, 96] }",
        "schedule.decay = { low = 0, high = 1 }",
        "optimizer.nesterov = { choices = [false, true] }",
    )
    width, decay, nesterov = space.dimensions
    assert width.choices == (64, 96, 128) and width.default is None
    assert decay.kind == "float" and decay.default == 0.5 and isinstance(decay.low, float)
    assert nesterov.default is True


def test_settings_of_a_group_without_a_name_and_of_several_commands() -> None:
    file = """
    [pretrain]
    depth = { low = 1, high = 4 }
    [finetune]
    method.rank = { low = 1, high = 64, log = true }
    beta = { low = 0.01, high = 1.0 }
    variables = { name = "Ada" }
    """
    space = read_space(tomllib.loads(file), {"pretrain": PretrainConfig, "finetune": FinetuneConfig})
    assert [d.name for d in space.dimensions] == ["pretrain.depth", "finetune.method.rank", "finetune.beta"]
    assert list(space.settings) == ["pretrain", "finetune"]
    assert space.settings["finetune"] == {"variables": {"name": "Ada"}}


def test_an_entry_of_a_table_can_vary() -> None:
    space = space_of("mixture = { wiki-zh = { low = 0.5, high = 4.0, log = true }, code = 1.0 }")
    assert [(d.name, d.kind, d.low) for d in space.dimensions] == [("pretrain.mixture.wiki-zh", "float", 0.5)]
    settings = space.settings_at({"pretrain.mixture.wiki-zh": 2.0})["pretrain"]
    assert nested(settings) == {"mixture": {"wiki-zh": 2.0, "code": 1.0}}


def test_the_last_value_of_steps_is_the_end_of_the_range() -> None:
    width, decay = space_of(
        "model.hidden_size = { low = 32, high = 100, step = 32 }", "schedule.decay = { low = 0.1, high = 0.95, step = 0.1 }"
    ).dimensions
    assert width.high == 96
    assert [decay.value_at(index) for index in range(decay.count or 0)] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_a_condition_comes_before_what_depends_on_it() -> None:
    space = space_of(*CONDITIONAL[::-1])
    names = [dimension.name for dimension in space.dimensions]
    assert names.index("pretrain.optimizer.name") < names.index("pretrain.optimizer.beta2")


BAD_SPACES = [
    ("depth = 3", "nothing varies: give a setting a range"),
    ("optimizer.learning_rat = { low = 1, high = 2 }", "no setting 'pretrain.optimizer.learning_rat': is it "
     "'optimizer.learning_rate'?"),
    ("optimizer = { low = 1, high = 2 }", "there is no setting 'pretrain.optimizer.low'"),
    ("optimizer = 3", "optimizer=3 is not a table"),
    ("depth = { low = 4, high = 1 }", "pretrain.depth: low=4 is above high=1, so the range is empty"),
    ("depth = { low = 4, high = 4 }", "pretrain.depth: low=4 and high=4 leave one value"),
    ("depth = { low = 4 }", "pretrain.depth has a range without high"),
    ("mixture.wiki = { low = 2.0, high = 1.0 }", "pretrain.mixture.wiki: low=2.0 is above high=1.0"),
    ("mixture.wiki = { high = 1.0 }", "pretrain.mixture.wiki has a range without low"),
    ('mixture."a.b" = { low = 0, high = 1 }', "pretrain.mixture.a.b has a dot in its last name"),
    ("depth = {}", "pretrain.depth has a range without low and high"),
    ("depth = { low = 1, hihg = 4 }", "'hihg', which is no key of a range: is it 'high'?"),
    ("depth = { low = 1.5, high = 4 }", "pretrain.depth: low=1.5 is not a whole number"),
    ('depth = { low = "1", high = 4 }', "pretrain.depth: low='1' is not a whole number"),
    ("depth = { low = true, high = 4 }", "pretrain.depth: low=True is not a whole number"),
    ("optimizer.learning_rate = { low = 0, high = 1, log = true }", "low=0.0 has no logarithm: begin above 0"),
    ("optimizer.learning_rate = { low = -1, high = 1, log = true }", "low=-1.0 has no logarithm"),
    ("optimizer.learning_rate = { low = nan, high = 1 }", "low=nan is not a finite number"),
    ("optimizer.learning_rate = { low = 0, high = inf }", "high=inf is not a finite number"),
    ("optimizer.learning_rate = { low = -1.7e308, high = 1.7e308 }", "is too wide"),
    ("depth = { low = 1, high = 100000000000000000000 }", "is too wide"),
    ("optimizer.learning_rate = { low = 0, high = 1, step = 1e-300 }", "step=1e-300 is too small"),
    ("optimizer.learning_rate = { low = 0, high = 1, step = 0 }", "step=0.0 is not positive"),
    ("optimizer.learning_rate = { low = 0, high = 1, step = 2 }", "step=2.0 leaves one value"),
    ("depth = { low = 1, high = 8, step = 2, log = true }", "step=2 does not go with log = true"),
    ('depth = { low = 1, high = 8, log = "yes" }', "log='yes' is neither true nor false"),
    ("depth = { choices = [2] }", "pretrain.depth has 1 of 2 choices needed"),
    ("depth = { choices = [] }", "pretrain.depth has 0 of 2 choices needed"),
    ("depth = { choices = [2, 3, 2] }", "pretrain.depth has the choice 2 twice"),
    ("depth = { choices = 3 }", "choices=3 is not a list"),
    ("depth = { choices = [[1], [2]] }", "choices=[[1], [2]] is not a list of numbers"),
    ("depth = { choices = [2, 'a'] }", "pretrain.depth: choice='a' is not a whole number"),
    ("depth = { choices = [2, 3], low = 1 }", "pretrain.depth has choices and low"),
    ('optimizer.name = { choices = ["adamw", "adamm"] }', "choice='adamm' is not one of 'normuon', 'muon', 'adamw'"),
    ("optimizer.name = { low = 1, high = 2 }", "pretrain.optimizer.name is not a number and needs choices"),
    ("depth = { low = 1, high = 4, default = 5 }", "default=5 is outside the range: give a whole number from 1 to 4"),
    ("depth = { choices = [2, 3], default = 4 }", "default=4 is outside the range: give one of 2, 3"),
    ("schedule.decay = { low = 0, high = 1, step = 0.1, default = 0.25 }", "default=0.25 is outside the range: "
     "give a number from 0 to 1 in steps of 0.1"),
    ("seed = { low = 1, high = 9 }", "is set by the search itself"),
    ('out = "models/x"', "pretrain.out='models/x' is set by the search itself"),
    ("depth = { low = 1, high = 4, when = 3 }", "when=3 is not a table"),
    ("depth = { low = 1, high = 4, when = { batch_siz = 3 } }", "when names 'batch_siz', which is no range"),
    ("depth = { low = 1, high = 4, when = { depth = 3 } }", "pretrain.depth -> pretrain.depth form a circle"),
    ("schedule.decay = { low = 0, high = 1 }\ndepth = { low = 1, high = 4, when = { \"schedule.decay\" = 0.5 } }",
     "when names 'schedule.decay', a continuous range: give that a step"),
    ("depth = { low = 1, high = 4 }\nbatch_size = { low = 1, high = 4, when = { depth = 5 } }", "depth=5 is never true"),
    ('depth = { low = 1, high = 4 }\nbatch_size = { low = 1, high = 4, when = { depth = "a" } }', "depth='a' is never true"),
    ("depth = { low = 1, high = 4, when = { batch_size = 2 } }\nbatch_size = { low = 1, high = 4, when = { depth = 1 } }",
     "form a circle"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "message"), BAD_SPACES)
def test_what_is_wrong_is_one_sentence(lines: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        space_of(lines)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("[pretrian]\ndepth = { low = 1, high = 2 }", "no command 'pretrian' for a trial: is it 'pretrain'?"),
        ("depth = 3", "depth=3 is not in the table of a command: put it under [pretrain]"),
        ("", "nothing varies"),
        ("[search]\ntrials = 3", "nothing varies"),
    ],
)
def test_tables_are_those_of_commands(file: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read_space(tomllib.loads(file), {"pretrain": PretrainConfig})
    assert message in str(error.value)


def test_constraints_that_no_point_satisfies() -> None:
    with pytest.raises(UserError, match="no point of the space satisfies 'depth > 2' and 'depth < 2'"):
        space_of("depth = { low = 1, high = 4 }", constraints=["depth > 2", "depth < 2"])
    with pytest.raises(UserError, match="no point of the space satisfies"):
        space_of(RATE, constraints=["optimizer.learning_rate > 1"])
