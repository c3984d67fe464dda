"""NVIDIA's library as ctypes sees it, with GPUs that a test moves."""

from dataclasses import dataclass, field
from typing import Any

from lmcraft.energy.nvml import _Attributes, _Process, _Use

NOT_SUPPORTED = 3
NOT_FOUND = 6
LOST = 15


@dataclass
class FakeGpu:
    """A GPU, and who uses it."""

    name: str = "NVIDIA H200"
    uuid: str = "GPU-0"
    millijoules: int = 1_000_000
    milliwatts: int = 300_000
    has_counter: bool = True
    is_lost: bool = False
    processes: list[tuple[int, int]] = field(default_factory=list)
    """pid and partition."""
    use: dict[int, int] = field(default_factory=dict)
    """Percent by pid."""
    partitions: dict[int, int] = field(default_factory=dict)
    """Slices by the number of the partition."""


@dataclass
class FakeLibrary:
    """The functions that lmcraft calls; each returns a status."""

    gpus: list[FakeGpu]
    init_status: int = 0

    def _gpu(self, handle: Any) -> FakeGpu:
        return self.gpus[handle.value - 1]

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return self.init_status

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.gpus)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:  # noqa: N802
        handle._obj.value = index + 1
        return 0

    def nvmlDeviceGetUUID(self, handle: Any, text: Any, size: int) -> int:  # noqa: N802
        text.value = self._gpu(handle).uuid.encode()
        return 0

    def nvmlDeviceGetName(self, handle: Any, text: Any, size: int) -> int:  # noqa: N802
        text.value = self._gpu(handle).name.encode()
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, value: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        value._obj.value = gpu.millijoules
        return LOST if gpu.is_lost else 0 if gpu.has_counter else NOT_SUPPORTED

    def nvmlDeviceGetPowerUsage(self, handle: Any, value: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        value._obj.value = gpu.milliwatts
        return LOST if gpu.is_lost else 0

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any, count: Any, infos: Any) -> int:  # noqa: N802
        processes = self._gpu(handle).processes
        for number, (pid, partition) in enumerate(processes):
            infos[number] = _Process(pid, 0, partition, 0)
        count._obj.value = len(processes)
        return 0

    def nvmlDeviceGetProcessUtilization(self, handle: Any, samples: Any, count: Any, since: Any) -> int:  # noqa: N802
        use = self._gpu(handle).use
        if samples is None:
            count._obj.value = len(use)
            return 7 if use else NOT_FOUND
        for number, (pid, percent) in enumerate(use.items()):
            samples[number] = _Use(pid, 1, percent, 0, 0, 0)
        return 0

    def nvmlDeviceGetMigMode(self, handle: Any, mode: Any, pending: Any) -> int:  # noqa: N802
        mode._obj.value = int(bool(self._gpu(handle).partitions))
        return 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int, partition: Any) -> int:  # noqa: N802
        if index >= len(self._gpu(handle).partitions):
            return NOT_FOUND
        partition._obj.value = 1000 * handle.value + index
        return 0

    def nvmlDeviceGetGpuInstanceId(self, partition: Any, instance: Any) -> int:  # noqa: N802
        gpu = self.gpus[partition.value // 1000 - 1]
        instance._obj.value = list(gpu.partitions)[partition.value % 1000]
        return 0

    def nvmlDeviceGetAttributes_v2(self, partition: Any, attributes: Any) -> int:  # noqa: N802
        gpu = self.gpus[partition.value // 1000 - 1]
        fields: _Attributes = attributes._obj
        fields.gpu_slices = list(gpu.partitions.values())[partition.value % 1000]
        return 0
