"""The quantisation methods, each with a reader of what its `quantization_config` says.

A reader says what linear layers are kept in, and which modules in something else. What stays in 16 bits where a file is silent
is what the method's own loaders leave so (transformers 5.23, vLLM 0.11): embeddings, norms, what routes to experts and,
but for those that are said to, the head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tscale.importer.converted import Converted
from tscale.importer.quantization_methods.compressed_tensors import compressed_tensors
from tscale.importer.quantization_methods.integers import (
    aqlm,
    auto_round,
    awq,
    bitnet,
    bitsandbytes,
    eetq,
    gptq,
    hqq,
    mlx,
    quanto,
    torchao,
)
from tscale.importer.quantization_methods.said import Said
from tscale.importer.quantization_methods.vendors import fbgemm, fp8, modelopt, mxfp4, quark

READERS: Final[dict[str, Callable[[Said], Converted]]] = {
    "fp8": fp8,
    "fbgemm_fp8": fbgemm,
    "awq": awq,
    "gptq": gptq,
    "gptqmodel": gptq,
    "auto-round": auto_round,
    "intel/auto-round": auto_round,
    "bitsandbytes": bitsandbytes,
    "compressed-tensors": compressed_tensors,
    "modelopt": modelopt,
    "mxfp4": mxfp4,
    "quark": quark,
    "hqq": hqq,
    "eetq": eetq,
    "quanto": quanto,
    "torchao": torchao,
    "aqlm": aqlm,
    "bitnet": bitnet,
    "mlx": mlx,
}
