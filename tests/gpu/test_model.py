"""The Transformer's logits on a GPU, for every architecture switch, and the step of every optimizer."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lmcraft.model.attention import AttentionKind
from lmcraft.model.transformer import Transformer
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.optimizer import Optimizer
from tests.inference.native.models import MODELS
from tests.tiny import tiny_model

pytestmark = pytest.mark.gpu
MIXTURE: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
ARCHITECTURES = {**MODELS, "mixture": MIXTURE}
RATES = {f"{group}learning_rate": 0.01 for group in ("", "embedding_", "head_", "scalar_")}
CPU = torch.device("cpu")


def logits(model: Transformer, device: torch.device, dtype: torch.dtype, packed: bool, kind: AttentionKind) -> Tensor:
    """Of random tokens; `packed`: of three documents per row."""
    ids = torch.randint(0, 96, (2, 40), generator=torch.Generator().manual_seed(2)).to(device)
    documents = (torch.arange(40) // 15).expand(2, 40).to(device) if packed else None
    model = model.to(device, dtype)
    model.compute_dtype = dtype
    model.use_attention(kind)
    with torch.no_grad():
        result: Tensor = model(ids, document_ids=documents)
    assert result.device.type == device.type and result.dtype == dtype
    return result.float().cpu()


@pytest.mark.parametrize(("packed", "kind"), [(False, "sdpa"), (True, "matmul")])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_equal_the_cpus(name: str, packed: bool, kind: AttentionKind, gpu: torch.device) -> None:
    settings = ARCHITECTURES[name]
    expected = logits(tiny_model(3, **settings), CPU, torch.float32, packed, kind)
    actual = logits(tiny_model(3, **settings), gpu, torch.float32, packed, kind)
    torch.testing.assert_close(actual, expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)  # a mixture may choose other experts after rounding
def test_logits_in_bf16_are_as_near_to_fp32_as_the_cpus(name: str, gpu: torch.device) -> None:
    settings = ARCHITECTURES[name]
    exact = logits(tiny_model(3, **settings), CPU, torch.float32, False, "auto")
    on_cpu, on_gpu = (logits(tiny_model(3, **settings), device, torch.bfloat16, False, "auto") for device in (CPU, gpu))
    assert (on_gpu - exact).norm() < 1.5 * (on_cpu - exact).norm() + 0.005 * exact.norm()


@pytest.mark.parametrize("name", ["normuon", "muon", "adamw", "sgd"])
def test_a_step_of_each_optimizer_equals_the_cpus(name: Any, gpu: torch.device) -> None:
    models = []
    for device in (CPU, gpu):
        model = tiny_model(3).to(device)
        optimizer = Optimizer(model, OptimizerConfig(name=name, weight_decay=0.1, **RATES), torch.float32)
        generator = torch.Generator().manual_seed(1)
        for _ in range(2):
            for p in model.parameters():
                p.grad = torch.randn(p.shape, generator=generator).to(device)
            optimizer.step(1.0)
        models.append({key: value.cpu() for key, value in model.state_dict().items()})
    torch.testing.assert_close(models[1], models[0], atol=1e-4, rtol=1e-3)
