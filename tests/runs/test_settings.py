from pathlib import Path

from lmcraft.runs.settings import compare_settings, read_settings


def test_tables_become_dotted_names(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'depth = 4\nday = 2026-01-01\nbig = 9223372036854775807\nrate = nan\n[optimizer]\nname = "muon"\nb = [1, 2]\n'
    )
    assert read_settings(file) == {
        "depth": 4,
        "day": "2026-01-01",
        "big": "9223372036854775807",
        "rate": "nan",
        "optimizer.name": "muon",
        "optimizer.b": [1, 2],
    }


def test_a_missing_or_damaged_file_has_no_settings(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    assert read_settings(file) == {}
    for damaged in (b"depth = ", b"\xff", b"a = " + b"[" * 10_000, b"x = 1\n" * 2**20):
        file.write_bytes(damaged)
        assert read_settings(file) == {}


def test_a_setting_differs_if_its_value_or_type_does_or_a_run_lacks_it() -> None:
    runs = {"a": {"depth": 4, "rate": 1, "same": [1]}, "b": {"depth": 5, "rate": True, "same": [1], "new": ""}}
    assert compare_settings(runs) == [
        {"name": "depth", "values": {"a": 4, "b": 5}, "differs": True},
        {"name": "rate", "values": {"a": 1, "b": True}, "differs": True},
        {"name": "same", "values": {"a": [1], "b": [1]}, "differs": False},
        {"name": "new", "values": {"b": ""}, "differs": True},
    ]
