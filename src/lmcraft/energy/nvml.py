"""NVIDIA's management library, as far as it tells what GPUs draw and which processes use them."""

import contextlib
import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LIBRARIES = ("libnvidia-ml.so.1", "nvml.dll")
INSUFFICIENT_SIZE = 7
MAX_PROCESSES = 1024
UUID_BYTES = NAME_BYTES = 96
NO_INSTANCE = 0xFFFFFFFF
MAX_SLICES = 7  # of a GPU that is shared out (MIG)


class _Process(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class _Use(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("microseconds", ctypes.c_ulonglong),
        ("percent", ctypes.c_uint),
        ("memory_percent", ctypes.c_uint),
        ("encoder_percent", ctypes.c_uint),
        ("decoder_percent", ctypes.c_uint),
    )


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("multiprocessors", ctypes.c_uint),
        ("shared_copy_engines", ctypes.c_uint),
        ("shared_decoders", ctypes.c_uint),
        ("shared_encoders", ctypes.c_uint),
        ("shared_jpegs", ctypes.c_uint),
        ("shared_optical_flows", ctypes.c_uint),
        ("gpu_slices", ctypes.c_uint),
        ("compute_slices", ctypes.c_uint),
        ("megabytes", ctypes.c_ulonglong),
    )


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on a GPU."""

    pid: int
    """As the host counts; 0 where it is hidden."""
    slices: int = MAX_SLICES
    """Of the GPU's seven, those of its partition; all of a GPU without partitions."""


class NvmlError(OSError):
    """The library has an error, or does not know the question."""


class Nvml:
    """The library; each method asks about a GPU by its number, in the order of the PCI bus.

    Raises:
        NvmlError: there is no library, or no driver.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library or _load()
        self._call("nvmlInit_v2")
        count = ctypes.c_uint()
        self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        self._handles = []
        for number in range(count.value):
            handle = ctypes.c_void_p()
            with contextlib.suppress(NvmlError):  # a GPU that has fallen off the bus
                self._call("nvmlDeviceGetHandleByIndex_v2", number, ctypes.byref(handle))
                self._handles.append(handle)

    def __len__(self) -> int:
        return len(self._handles)

    def uuid(self, number: int) -> str:
        """Such as GPU-4c9e0c5a-..."""
        text = ctypes.create_string_buffer(UUID_BYTES)
        self._call("nvmlDeviceGetUUID", self._handles[number], text, UUID_BYTES)
        return text.value.decode("ascii", "replace")

    def name(self, number: int) -> str:
        """Such as NVIDIA H200."""
        text = ctypes.create_string_buffer(NAME_BYTES)
        self._call("nvmlDeviceGetName", self._handles[number], text, NAME_BYTES)
        return text.value.decode("utf-8", "replace")

    def joules(self, number: int) -> float:
        """Drawn since the driver was loaded; GPUs before Volta have no such counter."""
        millijoules = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self._handles[number], ctypes.byref(millijoules))
        return millijoules.value / 1e3

    def watts(self, number: int) -> float:
        """Drawn now, or on average over a second, by model."""
        milliwatts = ctypes.c_uint()
        self._call("nvmlDeviceGetPowerUsage", self._handles[number], ctypes.byref(milliwatts))
        return milliwatts.value / 1e3

    def processes(self, number: int) -> list[GpuProcess]:
        """Those that compute on a GPU."""
        count = ctypes.c_uint(MAX_PROCESSES)
        processes = (_Process * MAX_PROCESSES)()
        self._call("nvmlDeviceGetComputeRunningProcesses_v3", self._handles[number], ctypes.byref(count), processes)
        slices = self._slices(number)
        return [GpuProcess(each.pid, slices(each.gpu_instance)) for each in processes[: count.value]]

    def use(self, number: int, since: int) -> dict[int, int]:
        """By process, the percent of a GPU's multiprocessors that it used, on average of the samples since a time.

        Args:
            since: microseconds, by the samples' own clock; 0: all that the driver has kept.
        """
        count = ctypes.c_uint(0)
        with contextlib.suppress(NvmlError):  # of the size, which is the question
            self._call("nvmlDeviceGetProcessUtilization", self._handles[number], None, ctypes.byref(count), since)
        if count.value == 0:
            return {}
        samples = (_Use * count.value)()
        arguments = (samples, ctypes.byref(count), ctypes.c_ulonglong(since))
        self._call("nvmlDeviceGetProcessUtilization", self._handles[number], *arguments)
        percents: dict[int, list[int]] = {}
        for sample in samples[: count.value]:
            percents.setdefault(sample.pid, []).append(sample.percent)
        return {pid: sum(values) // len(values) for pid, values in percents.items()}

    def _slices(self, number: int) -> Callable[[int], int]:
        """The slices of each partition; all of them without partitions, one of an unknown one."""
        mode, pending = ctypes.c_uint(), ctypes.c_uint()
        try:
            self._call("nvmlDeviceGetMigMode", self._handles[number], ctypes.byref(mode), ctypes.byref(pending))
        except NvmlError:
            mode.value = 0
        if not mode.value:
            return lambda instance: MAX_SLICES
        partitions = {}
        for index in range(MAX_SLICES):
            handle, instance, attributes = ctypes.c_void_p(), ctypes.c_uint(), _Attributes()
            with contextlib.suppress(NvmlError):  # there are fewer
                self._call("nvmlDeviceGetMigDeviceHandleByIndex", self._handles[number], index, ctypes.byref(handle))
                self._call("nvmlDeviceGetGpuInstanceId", handle, ctypes.byref(instance))
                self._call("nvmlDeviceGetAttributes_v2", handle, ctypes.byref(attributes))
                partitions[instance.value] = attributes.gpu_slices
        return lambda instance: partitions.get(instance, 1)

    def _call(self, function: str, *arguments: Any) -> None:
        try:
            status = getattr(self._library, function)(*arguments)
        except AttributeError as error:  # an older driver
            raise NvmlError(f"this driver has no {function}") from error
        if status:
            raise NvmlError(f"{function}: error {status}")


def _load() -> Any:
    for name in LIBRARIES:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    raise NvmlError("there is no NVIDIA driver")
