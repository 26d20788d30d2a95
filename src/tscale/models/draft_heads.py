"""Heads that guess tokens of the model whose last layer they stand on (speculative decoding): what a guess runs.

Each is a model of one layer, behind a matrix that brings a state of the model and the vector of the last token together:

    mtp      the module of DeepSeek-AI 2024c (section 2.2): a matrix [2d, d], a layer like the model's last, and the model's own head
    eagle    the same of a dense model (Li 2024: EAGLE)
    eagle-3  a layer whose queries, keys and values read both, so that their matrices have 2d inputs; a matrix [3d, d] over the states of
             three layers; and a head of its own over the 32,000 most frequent tokens (Li 2025: EAGLE-3, `draft_vocab_size`)

Engines run one of them as often as tokens are guessed, with the head each time (vLLM, v1/spec_decode/llm_base_proposer.py, models
deepseek_mtp, llama_eagle and llama_eagle3; SGLang, speculative/eagle_worker_v2.py). Table and, but for EAGLE-3, head are the model's; here a
head has a copy of the table. EAGLE-3's [3d, d] runs once a step there, and here with each guess.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from tscale.blocks.attention import Attention
from tscale.blocks.feed_forward import FeedForward
from tscale.blocks.tower_pieces import Linear
from tscale.catalogue.models import normalised
from tscale.errors import RequestError, field
from tscale.models.spec import Embedding, Head, ModelSpec

if TYPE_CHECKING:
    from tscale.blocks import Mixer, Mlp

DraftHead = Literal["mtp", "eagle", "eagle-3"]
DRAFT_HEADS: Final[tuple[DraftHead, ...]] = get_args(DraftHead)
_TITLES: Final = {"mtp": "MTP module", "eagle": "EAGLE head", "eagle-3": "EAGLE-3 head"}
_EAGLE_3_WORDS: Final = 32_000
"""Tokens that published heads guess among (yuhuili/EAGLE3-LLaMA3.1-Instruct-8B, config.json, draft_vocab_size)."""
Block = TypeVar("Block", bound="Mixer | Mlp")


def head_kind(draft: object) -> DraftHead | None:
    """Which head a draft is the name of, spelled as names of models may be; None of what is none.

    >>> head_kind("EAGLE-3")
    'eagle-3'
    """
    wanted = normalised(draft) if isinstance(draft, str) else ""
    return next((kind for kind in DRAFT_HEADS if kind == wanted), None)


def draft_head(spec: ModelSpec, kind: DraftHead) -> ModelSpec:
    """A head of a model as a model of one layer, which guesses a token in each pass.

    Raises:
        RequestError: for a model of which no such head is known.

    Example:
        >>> import tscale
        >>> int(draft_head(tscale.load("llama-3.1-8b"), "eagle-3").head.words)
        32000
    """
    mixers, feeds = _last_layer(spec, kind)
    d = spec.d_model
    joined: tuple[Linear, ...] = (Linear(name="projection", d_in=2 * d, d_out=d),)
    head, tied = Head(), True
    if kind != "mtp":
        widths = _plain_attention(spec, kind, mixers, feeds).widths(d)
        if kind == "eagle-3":
            joined = (
                Linear(name="states", d_in=3 * d, d_out=d),
                Linear(name="qkv", d_in=d, d_out=(widths.heads + 2 * widths.kv_heads) * widths.head_dim),
            )
            head, tied = Head(words=min(int(spec.vocabulary), _EAGLE_3_WORDS)), False
    return replace(
        spec,
        name=f"{spec.name}-{kind}",
        title=f"{spec.label}'s {_TITLES[kind]}",
        aliases=(),
        layers=1,
        mtp=None,
        tied=tied,
        attention=mixers if len(mixers) > 1 else mixers[0],
        feed_forward=feeds if len(feeds) > 1 else feeds[0],
        embedding=Embedding(pieces=joined),
        head=head,
        towers=None,
        weights=spec.weights if kind == "mtp" else None,
        releases=None,
        adapter=None,
        training=None,
        published=None,
        notes=(),
        notes_on=None,
    )


def _last_layer(spec: ModelSpec, kind: DraftHead) -> tuple[tuple[Mixer, ...], tuple[Mlp, ...]]:
    """What mixes and what feeds forward in the last layer. Raises `RequestError` for a model of which no head is known."""
    plain = spec.streams is None and spec.layer_input is None and spec.unique_layers is None
    if spec.kind != "decoder" or spec.head.kind != "language-model" or not plain or spec.embedding.width is not None:
        raise RequestError(
            f"{field('draft')} {kind}: such a head is known of decoders with one residual stream and layers of their own weights only: "
            "name a draft model"
        )
    mixers, feeds = _last(spec.mixers, spec.layers), _last(spec.feed_forwards, spec.layers)
    if not mixers or not feeds:
        raise RequestError(
            f"{field('draft')} {kind}: the last layer of {spec.label} has not both attention and a feed-forward, as a head has: name a "
            "draft model"
        )
    return mixers, feeds


def _plain_attention(spec: ModelSpec, kind: DraftHead, mixers: tuple[Mixer, ...], feeds: tuple[Mlp, ...]) -> Attention:
    """The attention of an EAGLE head's layer. Raises `RequestError` where the model's is of another kind."""
    block = mixers[0]
    if len(mixers) > 1 or not isinstance(block, Attention) or not isinstance(feeds[0], FeedForward):
        raise RequestError(
            f"{field('draft')} {kind}: the layer of such a head is known of models with plain attention and dense feed-forwards alone, "
            f"which {spec.label} has not: name a draft model"
        )
    return block


def _last(blocks: tuple[Block, ...], layers: int) -> tuple[Block, ...]:
    """The blocks of the last layer, as those of every layer: they that claim it, or they that have all that no other claims."""
    claimed = [block for block in blocks if block.on is not None and block.on.holds(layers - 1)]
    found = claimed or [block for block in blocks if block.on is None]
    changed: Any = [replace(block, on=None) for block in found]
    return tuple(changed)
