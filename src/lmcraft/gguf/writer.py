"""Write a Hugging Face checkpoint as a GGUF file, as llama.cpp's converter does."""

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, get_args

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import atomic_write
from lmcraft.gguf.architecture import Architecture
from lmcraft.gguf.architectures import architecture_for
from lmcraft.gguf.dependency import gguf_package
from lmcraft.gguf.hf_config import write_config
from lmcraft.gguf.k_quants import K_QUANTS, quantize_k
from lmcraft.gguf.mixtures import FILE_TYPES, Mixture, Quantization
from lmcraft.gguf.tensors import is_tied, to_gguf
from lmcraft.gguf.vocabulary import write_tokenizer
from lmcraft.tokenizer import Tokenizer

MAX_BUFFER_BYTES = 1 << 28  # of tensors kept in memory


def write_gguf(
    path: str | Path,
    hf_config: Mapping[str, Any],
    tensors: Iterable[tuple[str, Tensor]],
    tokenizer: Tokenizer,
    quantization: Quantization = "f16",
    *,
    name: str = "",
    license: str = "",
) -> None:
    """Write a GGUF file atomically, for llama.cpp, Ollama and LM Studio.

    Norms, biases and other vectors stay float32. Tensors are processed one at a time and buffered beside the file until
    the header is written.

    Args:
        path: the file; replaced if it exists.
        hf_config: the contents of a config.json.
        tensors: names and tensors of a Hugging Face checkpoint.
        tokenizer: tokenizer of the model.
        quantization: type of the matrices; "q8_0" stores 8 bits plus a scale per 32 numbers of a row, "q4_k_m" and "q5_k_m"
            mix 4 or 5 bits with 6 as llama.cpp does. Matrices whose rows are not whole blocks get a type of smaller blocks,
            or F16 if they are not a multiple of 32.
        name: `general.name`; empty: the file's name.
        license: `general.license`, an SPDX identifier; empty: not written.

    Raises:
        UserError: GGUF cannot express the model or the tokenizer, a number is too large for F16, or the package `gguf` is
            not installed.
    """
    path = Path(path)
    package = gguf_package()
    _check(hf_config, quantization)
    arch = architecture_for(hf_config)
    settings, rope_tensors = write_config(hf_config, arch)
    tied = is_tied(hf_config, arch) and not arch.needs_output
    mixture = Mixture.of(quantization, arch.name, settings, tied=tied)
    metadata = _full_keys(settings, arch)
    vocabulary = write_tokenizer(tokenizer, hf_config)
    with atomic_write(path) as temporary:
        writer = _open_writer(temporary, arch.name)
        try:
            writer.add_type(package.GGUFType.MODEL)
            writer.add_name(name or path.stem)
            if license:
                writer.add_license(license)
            for key, value in metadata.items():
                _add_value(writer, key, value)
            writer.add_file_type(package.LlamaFileType[FILE_TYPES[quantization]])
            for key, value in vocabulary.items():
                _add_value(writer, key, value)
            writer.add_quantization_version(package.GGML_QUANT_VERSION)
            for tensor_name, tensor in chain(rope_tensors.items(), to_gguf(tensors, arch, hf_config)):
                _add_tensor(writer, tensor_name, tensor, mixture)
            writer.add_size_label(package.size_label(*writer.get_total_parameter_count()))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def _check(hf_config: Mapping[str, Any], quantization: str) -> None:
    if quantization not in get_args(Quantization):
        raise UserError(f"quantization={quantization!r} is not supported; use one of {', '.join(get_args(Quantization))}")
    if not isinstance(hf_config.get("vocab_size"), int):
        raise UserError(f"config.json: vocab_size={hf_config.get('vocab_size')!r} is not a count; config.json is damaged")


def _open_writer(file: Path, architecture: str) -> Any:
    writer = gguf_package().GGUFWriter(file, architecture, use_temp_file=True)
    writer.temp_file = SpooledTemporaryFile(MAX_BUFFER_BYTES, dir=str(file.parent))  # noqa: SIM115 - the writer closes it
    return writer


def _add_tensor(writer: Any, name: str, tensor: Tensor, mixture: Mixture) -> None:
    package = gguf_package()
    kind = mixture.type_of(name, tuple(tensor.shape))
    numbers = _to_float32(name, tensor, kind)
    number = package.GGMLQuantizationType[kind]
    data = quantize_k(name, numbers, kind) if kind in K_QUANTS else package.quantize(numbers.numpy(), number)
    writer.add_tensor(name, data, raw_dtype=number)


def _full_keys(settings: Mapping[str, Any], arch: Architecture) -> dict[str, Any]:
    metadata = {f"{arch.name}.{key}": value for key, value in settings.items()}
    if arch.head_dim_key and "attention.key_length" in settings:
        metadata[arch.head_dim_key] = settings["attention.key_length"]
    return metadata


def _add_value(writer: Any, key: str, value: Any) -> None:
    """Add one metadata value; integers are unsigned, but token types are signed, as llama.cpp expects."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(
            key, [int(entry) if type(entry) is not bool and isinstance(entry, int) else entry for entry in value]
        )


def _to_float32(name: str, tensor: Tensor, kind: str) -> Tensor:
    numbers = tensor.detach().to("cpu", torch.float32).contiguous()
    if kind == "F16" and not bool(torch.isfinite(numbers.to(torch.float16)).all()):
        raise UserError(f"the tensor '{name}' has numbers that F16 cannot hold; use quantization bf16 or f32")
    return numbers
