"""`lmcraft doctor`: what this machine can do, which kernels will run, and what to install."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcraft.config import Config, command_config, takes_settings
from lmcraft.json_lines import format_json
from lmcraft.terminal import format_bytes, key_value_table, print_result

if TYPE_CHECKING:
    from rich.table import Table

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


@command_config
@dataclass(frozen=True)
class DoctorConfig(Config):
    """Show the processor, its measured speeds, the compiler, the GPU, the kernels that will run, and what to install.

    Speeds are measured once, in less than a second, and kept in the cache folder.
    """

    _: KW_ONLY
    remeasure: bool = False
    """Measure the speeds again."""
    energy: bool = False
    """Also work for some seconds, and show the energy by every meter that can be read here, and by CodeCarbon if it is
    installed."""
    json: bool = False
    """Print JSON instead of tables."""


@takes_settings(DoctorConfig)
def doctor(config: DoctorConfig = DoctorConfig()) -> dict[str, Any]:
    """Print what this machine can do, and return it as a dict."""
    from lmcraft.measurements import forget_measurements

    if config.remeasure:
        forget_measurements()
    report = examine()
    if config.energy:
        report["energy"] |= {"checks": _energy_checks()}
        report["advice"] += _energy_advice(report["energy"]["checks"])
    if config.json:
        print(format_json(report, indent=2))
    else:
        print_result(*_tables(report), *(f"- {advice}" for advice in report["advice"]))
    return report


def examine() -> dict[str, Any]:
    """What this machine can do; speeds are in bytes and floating-point operations per second."""
    from lmcraft.hub.download_cache import cache_folder
    from lmcraft.measurements import is_busy

    busy = is_busy()
    report: dict[str, Any] = {
        "versions": _versions(),
        "processor": _processor(),
        "gpus": _gpus(),
        "generation": _generation(),
        "training": _training(),
    }
    report["speeds"] = _speeds(native=report["generation"]["tier"] == "native") | {"busy": busy}
    report["energy"] = _energy()
    report["extras"] = _extras()
    report["cache"] = str(cache_folder())
    report["advice"] = _advice(report)
    return report


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    import torch

    return {
        "lmcraft": version("lmcraft"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
    }


def _processor() -> dict[str, Any]:
    import torch

    from lmcraft.machine import free_memory, total_memory
    from lmcraft.processor import cpu_name, instruction_sets, physical_cores, usable_cpus

    cpu = torch.device("cpu")
    return {
        "name": cpu_name(),
        "cores": physical_cores(),
        "usable_cpus": usable_cpus(),
        "threads": torch.get_num_threads(),
        "instruction_sets": instruction_sets(),
        "memory_bytes": total_memory(cpu),
        "free_memory_bytes": free_memory(cpu),
    }


def _gpus() -> list[dict[str, Any]]:
    import torch

    from lmcraft.machine import choose_device, machine_name, total_memory

    kind = torch.device(choose_device("auto")).type
    count = 0 if kind == "cpu" else torch.accelerator.device_count()
    devices = [torch.device(kind, number) for number in range(count)]
    return [{"device": str(each), "name": machine_name(each), "memory_bytes": total_memory(each)} for each in devices]


def _generation() -> dict[str, Any]:
    from lmcraft.cpp.compiler import find_compilers
    from lmcraft.cpp.library import BuildError
    from lmcraft.inference.native.build import instruction_set

    compilers = [str(compiler) for compiler in find_compilers()]
    try:
        return {"tier": "native", "instruction_set": instruction_set(), "reason": "", "compilers": compilers}
    except BuildError as error:
        return {"tier": "eager", "instruction_set": "", "reason": str(error), "compilers": compilers}


def _training() -> dict[str, str]:
    from lmcraft.machine import choose_machine

    machine = choose_machine()
    return {"device": str(machine.device), "precision": machine.precision, "reason": machine.description}


def _speeds(*, native: bool) -> dict[str, Any]:
    from lmcraft.inference.prompt_speed import prompt_flops
    from lmcraft.machine import matmul_flops
    from lmcraft.measurements import memory_bandwidth
    from lmcraft.processor import has_bf16

    precisions = ("bf16", "fp32") if has_bf16() else ("fp32",)
    flops = matmul_flops("cpu", precisions)
    return {
        "memory": memory_bandwidth(),
        "products": {name: flops[name] for name in precisions},
        "prompts": prompt_flops() if native else {},
    }


def _energy() -> dict[str, Any]:
    from lmcraft.energy import find_grid, open_meter

    meter, grid = open_meter(), find_grid()
    return {"meter": meter.method, "description": meter.describe(), "region": grid.code, "grams_per_kwh": grid.grams_per_kwh}


def _energy_checks() -> list[dict[str, Any]]:
    from lmcraft.energy.cross_check import cross_check

    return [load.as_json() for load in cross_check()]


def _energy_advice(checks: list[dict[str, Any]]) -> list[str]:
    measured = [load["watts_per_cpu"] for load in checks if load["watts_per_cpu"]]
    return [f"where RAPL cannot be read on this machine, set LMCRAFT_CPU_WATTS={watts:.2g}" for watts in measured]


def _extras() -> dict[str, dict[str, Any]]:
    from lmcraft.extras import PURPOSES, missing_packages

    return {extra: {"purpose": purpose, "missing": missing_packages(extra)} for extra, purpose in PURPOSES.items()}


def _advice(report: dict[str, Any]) -> list[str]:
    """Sentences about what can be improved, the most important first."""
    from lmcraft.cpp.compiler import INSTALL_COMPILER
    from lmcraft.extras import install_command

    advice = []
    generation = report["generation"]
    if generation["tier"] == "eager":
        remedy = "" if INSTALL_COMPILER in generation["reason"] else f"; {INSTALL_COMPILER} brings another compiler"
        advice.append(f"PyTorch decodes, several times slower than the native kernels: {generation['reason']}{remedy}")
    if not report["gpus"] and NVIDIA_DRIVER.exists():
        advice.append("there is an NVIDIA driver, but this PyTorch uses no GPU: install one with CUDA (https://pytorch.org)")
    if report["speeds"]["busy"]:
        advice.append("other programs are busy: speeds that are not in the cache are measured too low, and are not kept")
    if missing := [name for name, extra in report["extras"].items() if extra["missing"]]:
        advice.append(f"for the missing extras, or some of them: {install_command(','.join(missing))}")
    return advice


def _tables(report: dict[str, Any]) -> list["Table"]:
    processor, speeds, generation = report["processor"], report["speeds"], report["generation"]
    cores = f"{processor['cores']} cores, " if processor["cores"] else ""
    free, total = (format_bytes(processor[name]) for name in ("free_memory_bytes", "memory_bytes"))
    machine = {
        "processor": processor["name"],
        "cores": f"{cores}{processor['usable_cpus']} usable CPUs; PyTorch uses {processor['threads']} threads",
        "instruction sets": ", ".join(processor["instruction_sets"]) or "unknown",
        "memory": f"{free} free of {total}",
        "GPU": ", ".join(f"{gpu['device']}: {gpu['name']}, {format_bytes(gpu['memory_bytes'])}" for gpu in report["gpus"])
        or "none",
        "energy": report["energy"]["description"],
    }
    gigabytes = speeds["memory"] / 1e9
    measured = {"reading memory": f"{gigabytes:.1f} GB/s: weights of 1 GB decode at most {gigabytes:.0f} tokens/s"}
    measured |= {f"PyTorch's products in {name}": _format_flops(value) for name, value in speeds["products"].items()}
    measured |= {f"prompts with {name} weights": _format_flops(value) for name, value in speeds["prompts"].items()}
    kernels = {
        "generation": f"native kernels for {generation['instruction_set']}"
        if generation["tier"] == "native"
        else f"PyTorch: {generation['reason']}",
        "C++ compiler": ", ".join(generation["compilers"]) or "none",
        "training": report["training"]["reason"],
    }
    extras = {
        f"{name} {'(missing)' if extra['missing'] else ''}": extra["purpose"] for name, extra in report["extras"].items()
    }
    return [
        key_value_table("Machine", machine),
        key_value_table("Speed", measured),
        key_value_table("What will run", kernels),
        *_energy_tables(report["energy"].get("checks", [])),
        key_value_table("Extras", extras),
        key_value_table("Versions", {**report["versions"], "cache": report["cache"]}),
    ]


def _energy_tables(checks: list[dict[str, Any]]) -> list["Table"]:
    """One for each load."""
    from lmcraft.energy import Energy, format_energy

    tables = []
    for load in checks:
        rows = {method: format_energy(Energy.from_json(energy)) for method, energy in load["energies"].items()}
        if other := load["codecarbon"]:
            total = sum(other[part] for part in ("processor", "memory", "gpu"))
            counted = format_energy(Energy(total, total, total)).partition(" (")[0]
            rows[f"CodeCarbon {other['version']}"] = (
                f"{counted}, without board and losses; it can err by 40% (arXiv 2509.22092)"
            )
        threads = f"{load['threads']} thread{'s' if load['threads'] > 1 else ''}"
        tables.append(key_value_table(f"Energy of {load['processor_seconds']:.1f} s of CPU time on {threads}", rows))
    return tables


def _format_flops(value: float) -> str:
    return f"{value / 1e12:.3f} TFLOP/s"
