"""Works out what prefill, decode and a training step of four models take, from their hyper-parameters and a chip's alone:
`python -m tests.oracle.work_out_steps` prints the values as JSON.

Nothing here is tscale's: each model is written down as its report has it, each figure as one would on paper.

    prefill, decode   FLOPs of products (2 a weight and token) and of causal attention (4 a head, channel and pair), bytes
                      of weights read once (of experts, those that some token of the batch is expected to choose), bytes of
                      cache that is read; on one device, in 16 bits.
    training step     on A100s, seconds at the peak: three forward passes in causal attention; the gradients' all-reduce in
                      16 bits over copies of the model (a ring's 2(n-1)/n); of the dense model, under tensor parallelism, the
                      four all-reduces of a layer's two sums.

Sources: Llama 3 (Dubey 2024, table 3), Mixtral (Jiang 2024, table 1), DeepSeek-V3 (Liu 2024, section 4.2), Jamba (Lieber 2024,
section 3.1, and its config.json).
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple


class Shape(NamedTuple):
    """A model as its report gives it."""

    name: str
    d: int
    attention_layers: int
    attention_weights: int
    """Of one layer, as a token of training passes through them."""
    cache_numbers: int
    """Numbers that one attention layer keeps for a token."""
    pair_flops: int
    """FLOPs of a pair of positions in one layer, at prefill and in training."""
    decode_pair_flops: int
    """The same at decode; with a latent cache, of the absorbed form."""
    dense_layers: int
    dense_weights: int
    expert_layers: int
    experts: int
    chosen: int
    expert_weights: int
    shared_weights: int
    """Of one layer of experts: those that each token passes through, and the router."""
    other_layers: int
    other_weights: int
    """Layers without attention: their matrices."""
    vocabulary: int
    parameters: int
    """In all, as published with the model."""


def gated(d: int, hidden: int) -> int:
    """Weights of a gated feed-forward layer."""
    return 3 * d * hidden


def grouped(d: int, heads: int, kv_heads: int, width: int) -> int:
    """Weights of attention with shared keys and values."""
    return 2 * d * heads * width + 2 * d * kv_heads * width


LLAMA: Final = Shape(
    "llama-3-8b", 4096, 32, grouped(4096, 32, 8, 128), 2 * 8 * 128, 4 * 32 * 128, 4 * 32 * 128,
    32, gated(4096, 14336), 0, 1, 1, 0, 0, 0, 0, 128256, 8_030_261_248,
)  # fmt: skip
MIXTRAL: Final = Shape(
    "mixtral-8x7b", 4096, 32, grouped(4096, 32, 8, 128), 2 * 8 * 128, 4 * 32 * 128, 4 * 32 * 128,
    0, 0, 32, 8, 2, gated(4096, 14336), 4096 * 8, 0, 0, 32000, 46_702_792_704,
)  # fmt: skip
_LATENT: Final = 7168 * 1536 + 1536 * 128 * (128 + 64) + 7168 * (512 + 64) + 512 * 128 * (128 + 128) + 128 * 128 * 7168
DEEPSEEK: Final = Shape(
    "deepseek-v3", 7168, 61, _LATENT, 512 + 64, 2 * 128 * (128 + 64) + 2 * 128 * 128, 2 * 128 * (512 + 64) + 2 * 128 * 512,
    3, gated(7168, 18432), 58, 256, 8, gated(7168, 2048), 7168 * 256 + gated(7168, 2048), 0, 0, 129280, 671_026_404_352,
)  # fmt: skip
_MAMBA: Final = 4096 * 2 * 8192 + 8192 * (256 + 16 + 16) + 256 * 8192 + 8192 * 4096
JAMBA: Final = Shape(
    "jamba", 4096, 4, grouped(4096, 32, 8, 128), 2 * 8 * 128, 4 * 32 * 128, 4 * 32 * 128,
    16, gated(4096, 14336), 16, 16, 2, gated(4096, 14336), 4096 * 16, 28, _MAMBA, 65536, 51_570_323_328,
)  # fmt: skip
SHAPES: Final = (LLAMA, MIXTRAL, DEEPSEEK, JAMBA)

BATCH, PROMPT, ANSWER = 8, 4096, 256
BYTES: Final = 2
PEAK: Final = 312e12
LINK: Final = 300e9
"""Bytes a second that an A100 sends to others of its node, in one direction."""
SEQUENCES, DEVICES = 32, 8


def layers(shape: Shape, chosen: float) -> float:
    """Weights of all layers, with some number of experts in each that has them."""
    return (
        shape.attention_layers * shape.attention_weights
        + shape.dense_layers * shape.dense_weights
        + shape.expert_layers * (chosen * shape.expert_weights + shape.shared_weights)
        + shape.other_layers * shape.other_weights
    )


def head(shape: Shape) -> int:
    """Weights of the head."""
    return shape.d * shape.vocabulary


def expected(shape: Shape, tokens: int) -> float:
    """Experts of a layer that some of the tokens are expected to choose, where all are as likely."""
    return shape.experts * (1 - (1 - shape.chosen / shape.experts) ** tokens)


def prefill(shape: Shape) -> dict[str, float]:
    """All prompts at once; the head sees the last token of each."""
    tokens, pairs = BATCH * PROMPT, BATCH * PROMPT * (PROMPT + 1) / 2
    return {
        "product_flops": 2 * (tokens * layers(shape, shape.chosen) + BATCH * head(shape)),
        "attention_flops": shape.attention_layers * shape.pair_flops * pairs,
        "matrix_bytes": BYTES * (layers(shape, expected(shape, tokens)) + head(shape)),
    }


def decode(shape: Shape) -> dict[str, float]:
    """A token of each request, in the middle of its answer."""
    length = PROMPT + ANSWER / 2
    kept = shape.attention_layers * shape.cache_numbers * BYTES
    return {
        "product_flops": 2 * BATCH * (layers(shape, shape.chosen) + head(shape)),
        "attention_flops": shape.attention_layers * shape.decode_pair_flops * BATCH * length,
        "matrix_bytes": BYTES * (layers(shape, expected(shape, BATCH)) + head(shape)),
        "attention_cache_bytes": BATCH * length * kept,
    }


def ring(number: float) -> float:
    """Seconds of an all-reduce of so many 16-bit numbers."""
    return BYTES * number * 2 * (DEVICES - 1) / DEVICES / LINK


def step(shape: Shape) -> dict[str, float]:
    """A step of eight copies."""
    pairs = shape.attention_layers * shape.pair_flops * (PROMPT + 1) / 2
    forward = 2 * (layers(shape, shape.chosen) + head(shape)) + pairs
    return {
        "computing": 3 * SEQUENCES * PROMPT / DEVICES * forward / PEAK,
        "gradients": ring(shape.parameters),
    }


def cut_step(shape: Shape) -> dict[str, float]:
    """A step of one copy whose layers are cut over all devices: the same computing, and sums of activations."""
    sums = 2 * 2 * shape.attention_layers
    return {
        "computing": step(shape)["computing"],
        "tensor-parallel all-reduces": sums * ring(SEQUENCES * PROMPT * shape.d),
    }


def worked_out() -> list[dict[str, object]]:
    """The values of each model."""
    every: list[dict[str, object]] = [
        {"model": one.name, "prefill": prefill(one), "decode": decode(one), "step": step(one)} for one in SHAPES
    ]
    return [*every, {"model": LLAMA.name, "cut_step": cut_step(LLAMA)}]


if __name__ == "__main__":
    print(json.dumps(worked_out(), indent=1))
