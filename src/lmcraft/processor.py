"""This machine's processor, as the operating system describes it: its name, its cores and its instruction sets."""

import ctypes
import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
# Lines of /proc/cpuinfo that say which processor this is; others change while it runs.
CPU_IDENTITY = {"vendor_id", "cpu family", "model", "model name", "stepping", "flags"}
CPU_IDENTITY |= {"CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"}
# Flags of processors that multiply bfloat16 matrices, x86 first, then ARM. All others emulate it, a hundred times slower.
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}
# The instruction sets that matter to matrix products, by their flags: x86 first, then ARM.
INSTRUCTION_SETS = {
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "avx512_fp16": "AVX-512 FP16",
    "amx_tile": "AMX",
    "amx_int8": "AMX INT8",
    "amx_bf16": "AMX BF16",
    "asimd": "NEON",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "BF16",
    "sve": "SVE",
}


def cpu_identity() -> list[tuple[str, str]]:
    """The lines of /proc/cpuinfo that identify the processor, from its first core."""
    try:
        first_core = CPU_INFO.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:  # not Linux
        return []
    pairs = (line.partition(":")[::2] for line in first_core.splitlines())
    return [(name.strip(), value.strip()) for name, value in pairs if name.strip() in CPU_IDENTITY]


def cpu_key() -> str:
    """A text that differs between processors, for what is cached in a folder that machines may share."""
    return repr(cpu_identity() or [platform.machine(), platform.processor()])


def cpu_name() -> str:
    """The name of the processor's model, or its architecture."""
    return dict(cpu_identity()).get("model name") or _darwin_name() or platform.processor() or platform.machine()


def _darwin_name() -> str:
    """Of macOS, such as Apple M2; empty elsewhere."""
    if platform.system() != "Darwin":
        return ""
    library, size = ctypes.CDLL(None), ctypes.c_size_t(256)
    text = ctypes.create_string_buffer(size.value)
    failed = library.sysctlbyname(b"machdep.cpu.brand_string", text, ctypes.byref(size), None, 0)
    return "" if failed else text.value.decode("utf-8", "replace")


def cpu_flags() -> set[str]:
    """The features of the processor under Linux's names; empty where the system does not list them."""
    return {flag for name, value in cpu_identity() if name in ("flags", "Features") for flag in value.split()}


def has_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16; true where the system does not list them, since speed decides then."""
    flags = cpu_flags()
    return not flags or bool(flags & BF16_FLAGS)


def instruction_sets() -> list[str]:
    """The names of this CPU's instruction sets for matrix products."""
    flags = cpu_flags()
    return [name for flag, name in INSTRUCTION_SETS.items() if flag in flags]


def usable_cpus() -> int:
    """The number of CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_cores() -> int:
    """The number of the machine's cores, whose threads share one; 0 where the system does not say."""
    lines = _all_cpus()
    packages = [value for name, value in lines if name == "physical id"]
    cores = [value for name, value in lines if name == "core id"]
    return len(set(zip(packages, cores, strict=False)))


def physical_packages() -> int:
    """The number of the machine's processors, each in a socket; 0 where the system does not say."""
    return len({value for name, value in _all_cpus() if name == "physical id"})


def _all_cpus() -> list[tuple[str, str]]:
    """The lines of /proc/cpuinfo, of each CPU; empty where there is none."""
    try:
        lines = [line.partition(":")[::2] for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return []
    return [(name.strip(), value.strip()) for name, value in lines]
