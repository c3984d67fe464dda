"""The C++ compilers of this machine."""

import os
import platform
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from lmcraft.cpp.targets import TARGETS

COMPILERS = ("c++", "g++", "clang++")
ZIG_PACKAGE = "ziglang"
INSTALL_COMPILER = f"pip install {ZIG_PACKAGE}"
"""The shortest way to a compiler: a wheel for Linux, macOS and Windows, which needs no rights."""


@dataclass(frozen=True)
class Compiler:
    """A compiler that takes the options of g++."""

    command: tuple[str, ...]
    is_zig: bool = False
    """Whether it writes the names of CPUs with underscores."""

    def __str__(self) -> str:
        return f"the C++ compiler of {ZIG_PACKAGE}" if self.is_zig else shlex.join(self.command)

    def target_options(self, target: str) -> tuple[str, ...]:
        """The options that choose the CPU: one of `TARGETS`, or what g++'s -march names."""
        if target == "native" and platform.machine() in ("aarch64", "arm64"):
            return ("-mcpu=native",)  # -march would be the oldest ARM to clang
        march, options = target, tuple[str, ...]()
        if target in TARGETS:
            march, options = TARGETS[target].march, TARGETS[target].options
        return (f"-march={march.replace('-', '_') if self.is_zig else march}", *options)


def find_compilers() -> list[Compiler]:
    """The compiler that CXX names, or else those on the path and the one in the package ziglang, in order of preference."""
    if command := os.environ.get("CXX"):
        return [Compiler(tuple(shlex.split(command)))]
    compilers = [Compiler((path,)) for path in dict.fromkeys(map(shutil.which, COMPILERS)) if path]
    if find_spec(ZIG_PACKAGE):
        compilers.append(Compiler((sys.executable, "-m", ZIG_PACKAGE, "c++"), is_zig=True))
    return compilers
