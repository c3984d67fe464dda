"""A GPU whose memory is the machine's and whose operations run on the CPU, for machines without a GPU.

Its tensors cannot be mixed with the CPU's and it has no float64, as Apple's GPUs, so it finds code that forgets to move a
tensor. It says nothing about rounding or speed.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

KIND = "simulated"
COPIES = {"aten::copy_", "aten::_to_copy"}
TAKES_CPU_INDICES = {"aten::index.Tensor", "aten::index_put_", "aten::_index_put_impl_"}  # as CUDA does


class SimulatedTensor(Tensor):
    """A tensor in the simulated GPU's memory, which `content` holds."""

    content: Tensor

    @staticmethod
    def __new__(cls, content: Tensor, requires_grad: bool = False) -> "SimulatedTensor":
        tensor: SimulatedTensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            content.shape,
            strides=content.stride(),
            storage_offset=content.storage_offset(),
            dtype=content.dtype,
            device=torch.device(KIND, 0),
            requires_grad=requires_grad,
        )
        tensor.content = content
        return tensor

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"SimulatedTensor({self.content!r})"

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Methods that torch does not dispatch."""
        with torch._C.DisableTorchFunctionSubclass():
            if function is Tensor.tolist:
                return args[0].content.tolist()
            if function is Tensor.new_tensor:
                return torch.tensor(args[1], dtype=args[0].dtype).to(args[0].device)
            return function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(function, args, kwargs or {})


class _Stream:
    """What torch's distributed checkpoints expect."""

    def synchronize(self) -> None: ...


class _Backend(_DummyBackendModule):  # type: ignore[misc]
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def current_stream(self) -> _Stream:
        return STREAM

    def stream(self, stream: _Stream) -> AbstractContextManager[None]:
        return nullcontext()


STREAM = _Stream()


def install() -> None:
    """Make this process see a simulated GPU; it cannot be removed."""
    _setup_privateuseone_for_python_backend(KIND, backend_module=_Backend())
    make_tensor = torch.tensor  # it copies past the dispatcher

    def tensor(data: Any, *, device: Any = None, **settings: Any) -> Tensor:
        made = make_tensor(data, **settings)
        return made if device is None else made.to(device)

    torch.tensor = tensor
    torch.accelerator.synchronize = lambda device=None: None
    torch.inference_mode = lambda mode=True: (
        torch.no_grad() if mode else nullcontext()
    )  # it does not support wrapped tensors
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda function, *args, **kwargs: _compute(function, args, kwargs), "PrivateUse1")
    install.library = library  # type: ignore[attr-defined]  # which unregisters itself when it is collected


def _compute(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU; results are in the simulated memory if arguments are, or if it is asked for."""
    name, tensors = function._schema.name, [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    simulated = [x for x in tensors if isinstance(x, SimulatedTensor)]
    others = [x for x in tensors if not isinstance(x, SimulatedTensor) and x.dim() > 0]
    if simulated and others and name not in COPIES | TAKES_CPU_INDICES:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device")
    device = kwargs.get("device")
    on_gpu = bool(simulated) if device is None else torch.device(device).type == KIND
    if name == "aten::copy_":
        on_gpu = isinstance(args[0], SimulatedTensor)
    owners = {id(x.content): x for x in simulated}

    def to_cpu(x: Any) -> Any:
        if isinstance(x, torch.device) and x.type == KIND:
            return torch.device("cpu")
        return x.content if isinstance(x, SimulatedTensor) else x

    def to_gpu(x: Any) -> Any:
        if not isinstance(x, Tensor) or isinstance(x, SimulatedTensor) or not on_gpu:
            return x
        if x.dtype == torch.float64:
            raise RuntimeError(f"{name}: the simulated GPU has no float64")
        return owners[id(x)] if id(x) in owners else SimulatedTensor(x)

    args, kwargs = tree_map(to_cpu, (args, kwargs))
    result = function(*args, **kwargs)
    if name == "aten::_to_copy" and result is args[0]:
        result = result.clone()
    return tree_map(to_gpu, result)
