"""The files of deploy/: their commands parse, what they name exists, and linters accept them where they are installed."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmcraft.cli import parse_command
from lmcraft.commands.serve import ServeConfig
from lmcraft.cpp.library import Source
from lmcraft.server.limits import Limits

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = ("Dockerfile", "Dockerfile.cuda")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
USER = 10001
PROJECT_FOLDERS = ("src", "deploy", "docs")


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


def served(tokens: list[str]) -> ServeConfig:
    """The settings of an `lmcraft serve` command."""
    config: ServeConfig = parse_command(tokens).args[0].resolved()
    return config


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_dockerfile_copies_what_exists_and_serves(name: str) -> None:
    lines = instructions(name)
    last = dict(lines)
    for word, rest in lines:
        if word == "COPY" and not rest.startswith("--from"):
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
    config = served(json.loads(last["CMD"]))
    assert config.host == "0.0.0.0" and config.port == int(last["EXPOSE"]) == 8000
    assert json.loads(last["ENTRYPOINT"]) == ["lmcraft"] and last["USER"] == f"{USER}:{USER}"
    check = last["HEALTHCHECK"]
    assert f"http://127.0.0.1:{config.port}/health" in check
    assert json.loads(check.partition("CMD")[2])[0] == "python3"
    assert f"--uid {USER}" in (DEPLOY / name).read_text()


def test_the_images_install_extras_that_exist() -> None:
    from lmcraft.extras import PURPOSES

    for name in DOCKERFILES:
        [extras] = re.findall(r"ARG EXTRAS=(\S+)", (DEPLOY / name).read_text())
        assert set(extras.split(",")) <= set(PURPOSES)


def test_the_context_of_the_build_has_what_is_copied() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for name in DOCKERFILES
        for word, rest in instructions(name)
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert kept == copied


def test_every_source_is_prebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DEPLOY)
    import prebuild  # type: ignore[import-not-found]

    sources: list[Source] = prebuild.SOURCES
    files = set((ROOT / "src").rglob("*.cpp"))
    assert {source.file for source in sources} == files


def test_the_compose_file_serves_with_keys_and_both_databases() -> None:
    service: dict[str, Any] = COMPOSE["services"]["lmcraft"]
    config = served(service["command"])
    assert str(config.api_keys) == "/run/secrets/keys"
    for url in (config.store, config.reviews):
        assert url.startswith("postgresql+psycopg://lmcraft@database/")  # the password is in PGPASSFILE
    assert service["ports"] == [f"127.0.0.1:8000:{config.port}"]
    assert float(service["stop_grace_period"].removesuffix("s")) > Limits().drain_timeout + 5
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert config.reviews.rsplit("/")[-1] in (DEPLOY / "reviews.sql").read_text()


@pytest.mark.parametrize("name", ["lmcraft", "database"])
def test_a_container_may_do_little(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service and not service.get("privileged") and "cap_add" not in service
    assert set(service["secrets"]) <= set(COMPOSE["secrets"]) and set(service["networks"]) <= set(COMPOSE["networks"])
    mounted = {volume.partition(":")[0] for volume in service["volumes"]}
    assert {volume for volume in mounted if not volume.startswith(".")} <= set(COMPOSE["volumes"])
    assert not [key for key in service.get("environment", {}) if key.endswith(("PASSWORD", "KEY"))]


def unit_settings() -> list[tuple[str, str]]:
    lines = (DEPLOY / "lmcraft.service").read_text().splitlines()
    return [(line.partition("=")[0], line.partition("=")[2]) for line in lines if re.match(r"\w+=", line)]


def test_the_unit_s_command_parses() -> None:
    settings = dict(unit_settings())
    command = settings["ExecStart"].replace("${MODEL}", "mine=/srv/models/mine").replace("$OPTIONS", "--weights int8")
    config = served(shlex.split(command)[1:])
    assert config.host == "127.0.0.1" and config.weights == "int8"
    assert float(settings["TimeoutStopSec"]) > Limits().drain_timeout + 5


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit_and_finds_little_exposed(tmp_path: Path) -> None:
    unit = tmp_path / "lmcraft.service"
    unit.write_text((DEPLOY / "lmcraft.service").read_text().replace("/opt/lmcraft/bin/lmcraft", sys.executable))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    secured = subprocess.run(["systemd-analyze", "security", "--offline=yes", str(unit)], capture_output=True, text=True)
    [level] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", secured.stdout)
    assert float(level) <= 1.5


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_accepts_a_dockerfile(name: str) -> None:
    if (hadolint := shutil.which("hadolint", path=str(Path(sys.executable).parent))) is None:
        pytest.skip("hadolint is not installed")
    linted = subprocess.run([hadolint, str(DEPLOY / name)], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, "")
