"""Where a model is not what the conventions' papers had in mind, so that their figures are only what they print."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.blocks import Attention, Experts, FeedForward
from tscale.models.spec import ModelSpec


def departures(spec: ModelSpec) -> Iterator[str]:
    """One sentence for each way in which published shortcuts do not fit a model."""
    if any(isinstance(block, Experts) for block in spec.feed_forwards):
        yield f"N is {spec.label}'s active parameters: each token passes through some of the experts."
    found = unlike_a_gpt(spec)
    if found:
        yield f"Chinchilla's and Megatron's formulas are evaluated as printed, although in {spec.label} {'; '.join(found)}."
    if spec.kind == "encoder-decoder":
        yield (
            f"Each token of {spec.label} passes through one of its two stacks, so 6·N·D is about twice too "
            "large; Brown 2020, Table D.1 takes 3·N·D. Tokens are counted over both streams."
        )


def unlike_a_gpt(spec: ModelSpec) -> list[str]:
    """Where a plain stack differs from the one in the formulas of Hoffmann 2022 and Narayanan 2021; nothing of others."""
    plain = spec.plain_blocks()
    return [] if plain is None or spec.kind == "encoder-decoder" else list(_differences(spec, *plain))


def _differences(spec: ModelSpec, attention: Attention, feed_forward: FeedForward) -> Iterator[str]:
    """In words, each way in which blocks differ from a GPT's."""
    heads, kv_heads, head_dim = (int(width) for width in attention.widths(spec.d_model))
    d_model, d_ff = int(spec.d_model), int(feed_forward.d_ff)
    if feed_forward.gated:
        yield "a gated feed-forward has three matrices, not two"
    if kv_heads != heads:
        yield f"{kv_heads} key-value heads serve {heads} heads"
    if heads * head_dim != d_model:
        yield f"heads·head_dim is {heads * head_dim:,}, not d_model {d_model:,}"
    if d_ff != 4 * d_model:
        yield f"d_ff is {d_ff:,}, not 4·d_model"
    if spec.positions.kind in ("relative", "disentangled"):
        yield "relative positions have a projection and scores of their own"
    if spec.head.kind not in ("language-model", "masked"):
        yield "the last layer has no head"
