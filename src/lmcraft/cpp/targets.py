"""Instruction sets to compile for ahead of time, so that machines without a compiler can use the result."""

import platform
from dataclasses import dataclass

from lmcraft.processor import cpu_flags


@dataclass(frozen=True)
class Target:
    """An instruction set.

    Args:
        machine: the architecture, as `platform.machine` names it.
        march: what the option -march names.
        flags: what a processor must have, by Linux's names.
        options: further options of the compiler.
    """

    machine: str
    march: str
    flags: frozenset[str]
    options: tuple[str, ...] = ()


_V3 = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"})
_V4_VNNI = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"}
# Of each architecture the fastest first. The last one runs on nearly all machines.
TARGETS = {
    "x86-64-v4-bf16": Target("x86_64", "x86-64-v4", _V4_VNNI | {"avx512_bf16"}, ("-mavx512vnni", "-mavx512bf16")),
    "x86-64-v4-vnni": Target("x86_64", "x86-64-v4", _V4_VNNI, ("-mavx512vnni",)),
    "x86-64-v3": Target("x86_64", "x86-64-v3", _V3),
    "armv8.2-a+dotprod": Target("aarch64", "armv8.2-a+dotprod", frozenset({"asimd", "asimddp"})),
    "armv8-a": Target("aarch64", "armv8-a", frozenset({"asimd"})),
}


def machine_targets() -> list[str]:
    """The targets of this architecture, whatever this processor can do."""
    return [name for name, target in TARGETS.items() if target.machine == platform.machine()]


def usable_targets() -> list[str]:
    """The targets that this processor can run, the fastest first."""
    return [name for name in machine_targets() if TARGETS[name].flags <= cpu_flags()]


def missing_flags(name: str) -> list[str]:
    """What a target needs and this processor lacks; empty if that is unknown."""
    flags = cpu_flags()
    return sorted(TARGETS[name].flags - flags) if name in TARGETS and flags else []
