"""The command line: fast help, one-line errors, public names, and modules that import without the extras."""

import ast
import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lmcraft
from lmcraft import GenerateConfig
from lmcraft.cli import main, parse_command
from lmcraft.commands import COMMANDS
from lmcraft.config import Config

EXTRAS = ("pyarrow", "zstandard", "datasets", "tensorboard", "transformers", "accelerate", "tiktoken")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_help_imports_neither_torch_nor_a_command() -> None:
    code = "import sys; from lmcraft.cli import main; main(['--help']); print([m for m in sys.modules if m in "
    loaded = run_python(code + "('torch', 'numpy', 'tokenizers', 'lmcraft.commands.pretrain')])")
    assert loaded.rstrip().endswith("[]") and all(name.split()[0] in loaded for name in COMMANDS)


def test_the_help_of_no_command_imports_torch() -> None:
    code = (
        "import sys; from lmcraft.cli import main; from lmcraft.commands import COMMANDS; "
        "print([name for name in COMMANDS if main([*name.split(), '--help']) or 'torch' in sys.modules])"
    )
    assert run_python(code).rstrip().endswith("\n[]")


def test_every_command_is_a_public_function_with_a_configuration() -> None:
    assert dir(lmcraft) == sorted(lmcraft.PUBLIC)
    assert all(getattr(lmcraft, name).__name__ in (name, "load") for name in lmcraft.PUBLIC)
    names = "Classifier GenerationConfig LanguageModel LmcraftError Tokenizer Transformer TransformerConfig UserError"
    assert sorted(lmcraft.OTHER_NAMES) == [*names.split(), "load", "open_search"]
    for name, command in COMMANDS.items():
        annotation = inspect.signature(getattr(lmcraft, command.function)).parameters["config"].annotation
        config = getattr(lmcraft, command.config)
        assert annotation in (config, config.__name__) and issubclass(config, Config), name
        assert command.function.split("_")[0] in name
    folders = {path.stem for path in Path(lmcraft.__path__[0]).iterdir()}
    assert not folders & {command.function for command in COMMANDS.values()}  # no module hides a function


def test_the_names_for_type_checkers_are_the_public_names() -> None:
    tree = ast.parse(Path(lmcraft.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert sorted(alias.name for node in imports for alias in node.names) == dir(lmcraft)
    assert all(alias.asname == alias.name for node in imports for alias in node.names)
    for node in imports:
        assert all(hasattr(import_module(str(node.module)), alias.name) for alias in node.names)


def test_every_module_imports_with_the_core_dependencies_alone() -> None:
    modules = [m.name for m in pkgutil.walk_packages(lmcraft.__path__, "lmcraft.") if not m.name.endswith("__main__")]
    blocked = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r})); from importlib import import_module; "
    run_python(blocked + f"[import_module(name) for name in {modules!r}]")
    assert all(import_module(name) for name in modules)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrian"], "pretrain"),
        (["pretrain", "nowhere"], "'nowhere' does not exist"),
        (["pretrain", "nowhere", "--dept", "4"], "--depth"),
        (["pretrain", "nowhere", "--depth", "four"], "--depth"),
        (["pretrain", "nowhere.toml"], "nowhere.toml"),
        (["generate", "nowhere", "Hello"], "nowhere"),
        (["prepare", "nowhere.txt", "--out", "data"], "nowhere.txt"),
        (["report", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_gives_a_one_line_error_and_exit_status_2(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("lmcraft") and message in error and error.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_the_error_for_an_unknown_key_in_a_file_names_the_nearest_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "run.toml").write_text('data = "x"\n[optimizer]\nlearning_rat = 1.0\n')
    assert main(["pretrain", str(tmp_path / "run.toml")]) == 2
    assert "is it optimizer.learning_rate?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ("generate m x --temp 0.7", "there is no option --temp: is it --temperature?"),
        ("pretrain d --xyzzy 3", "there is no option --xyzzy: see --help"),
        ("pretrain -", "'-' (standard input or output) cannot be used here: give a path, or leave it out"),
        ("pretrain d --out=-", "out='-' is standard output, to which folders cannot be written: give a path"),
        ("export m -- -", "out='-' is standard output"),
        ("generate m x y z", "unused arguments 'y' 'z': put a text that has spaces in quotes"),
        ("pretrain run.toml", "there is no option optimizer.learning_rat in run.toml: is it optimizer.learning_rate?"),
    ],
)
def test_what_was_meant_is_named(
    tokens: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text('data = "d"\n[optimizer]\nlearning_rat = 1\n')
    assert main(tokens.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("m --do-sample false", GenerateConfig("m", do_sample=False)),
        ("m hi --do-sample False --top-p 0.5", GenerateConfig("m", "hi", do_sample=False, top_p=0.5)),
        ("m --no-do-sample true", GenerateConfig("m", do_sample=False)),
        ("m --stop true", GenerateConfig("m", stop=("true",))),
        ("-- m false", GenerateConfig("m", "false")),
    ],
)
def test_a_flag_may_be_followed_by_true_or_false(tokens: str, expected: GenerateConfig) -> None:
    assert parse_command(["generate", *tokens.split()]).args == (expected,)


@pytest.mark.parametrize(
    ("tokens", "run"),
    [
        ("pretrain --out r --resume r/lmcraft/checkpoints/step-000008 --max-steps 12", "r"),
        ("pretrain --out r --resume=r/lmcraft/checkpoints/step-000008", "r"),
        ("pretrain --resume r/lmcraft/checkpoints/step-000008", "r"),
        ("pretrain d --out new --resume r", "r"),
        ("pretrain --out r --resume latest", "r"),
        ("pretrain --out=r --resume checkpoint-500", "r"),
        ("pretrain --out r --resume=12", "r"),
        ("finetune --out r --resume ./r/lmcraft/checkpoints/step-000008", "r"),
        ("finetune m d.jsonl --out r --resume r", "r"),
        ("scaling --out s --resume s/runs/depth-2-1x", "s"),
    ],
)
def test_resume_takes_no_value(
    tokens: str, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r/lmcraft/checkpoints/step-000008").mkdir(parents=True)
    assert main(tokens.split()) == 2
    command = tokens.split()[0]
    error = capsys.readouterr().err
    assert "--resume takes no value, but '" in error and error.endswith(f" with lmcraft {command} --out {run} --resume\n")


@pytest.mark.parametrize(
    "tokens",
    [
        "pretrain --resume d --out r",
        "finetune --out new --resume r d.jsonl",
        "finetune m --resume d.jsonl --out r",
        "pretrain d --resume --out r",
    ],
)
def test_an_argument_may_follow_resume(tokens: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r/lmcraft/checkpoints/step-000008").mkdir(parents=True)
    config = parse_command(tokens.split()).args[0]
    assert config.resume and str(config.data) in ("d", "('d.jsonl',)", "(PosixPath('d.jsonl'),)")


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ("inspect m --json x", "--json takes no value, but 'x' follows it: leave that out"),
        ("export m o --overwrite 1 y", "--overwrite takes no value, but '1' follows it"),
        ("export m o y --overwrite", "unused arguments 'y'"),
        ("prepare t --out d --overwrite=x", "--overwrite='x' is not true or false"),
    ],
)
def test_a_flag_that_takes_no_value_says_so(tokens: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tokens.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("file", ["run.toml", "checkpoints/step-000012/run.toml"])
def test_a_run_that_was_moved_is_continued_where_it_lies(file: str, tmp_path: Path) -> None:
    path = tmp_path / "copy" / "lmcraft" / file
    path.parent.mkdir(parents=True)
    path.write_text('data = "d"\nout = "original"\n')
    assert parse_command(["pretrain", str(path), "--resume"]).args[0].out == tmp_path / "copy"
    assert parse_command(["pretrain", str(path), "--out", "elsewhere"]).args[0].out == Path("elsewhere")
    (tmp_path / "mine.toml").write_text('data = "d"\nout = "original"\n')
    assert parse_command(["pretrain", str(tmp_path / "mine.toml")]).args[0].out == Path("original")


def test_a_family_that_was_moved_is_continued_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "scaling.toml").write_text('data = "d"\nout = "original"\nseed = 7\n')
    command = ["scaling", str(tmp_path / "scaling.toml"), "--resume"]
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    assert parse_command(command).args[0].out == Path("original")
    (tmp_path / "runs" / "depth-2-0.4x").mkdir()
    assert parse_command(command).args[0].out == tmp_path
    assert parse_command(["scaling", "--out", str(tmp_path), "--resume"]).args[0].seed == 7


def test_a_resumed_pretraining_takes_what_is_left_out_from_the_run(tmp_path: Path) -> None:
    recorded = tmp_path / "lmcraft" / "run.toml"
    recorded.parent.mkdir()
    recorded.write_text('data = "d"\nout = "o"\nmax_steps = 4\neval_every = 3\nz_loss = 0.1\n[optimizer]\nmomentum = 0.5\n')
    for out in (["--out", str(tmp_path)], [f"--out={tmp_path}"]):
        config = parse_command(["pretrain", "--resume", *out, "--max-tokens", "9"]).args[0]
        assert (config.data, config.out, config.max_steps, config.eval_every) == (Path("d"), tmp_path, 0, 3)
        assert (config.z_loss, config.optimizer.momentum) == (0.1, 0.5)
    assert parse_command(["pretrain", "e", "--out", str(tmp_path)]).args[0].z_loss == 0
    assert parse_command(["pretrain", "e", "--out", str(tmp_path), "--resume", "false"]).args[0].z_loss == 0


def test_a_resumed_fine_tuning_takes_what_is_left_out_from_the_run(tmp_path: Path) -> None:
    recorded = tmp_path / "lmcraft" / "run.toml"
    recorded.parent.mkdir()
    recorded.write_text('model = "m"\ndata = ["d"]\nout = "o"\nmax_steps = 4\nmax_new_tokens = 5\n[method]\nrank = 4\n')
    command = ["finetune", "m", "d", "--out", str(tmp_path), "--resume"]
    config = parse_command([*command, "--max-steps", "6"]).args[0]
    assert (config.method.rank, config.settings.max_new_tokens, config.max_steps) == (4, 5, 6)
    assert parse_command([*command, "--method.rank", "8"]).args[0].method.rank == 8
    assert parse_command([*command, "--epochs", "5"]).args[0].max_steps == 0
    assert parse_command(command[:-1]).args[0].method.rank == 16
