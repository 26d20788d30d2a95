"""How a model is to be served, and the server that it comes to."""

from fractions import Fraction
from typing import Final, Literal, NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.core.costs.cache import check_rows
from tscale.core.costs.kernel_padding import PADDED, Kernel, has_padded_experts
from tscale.core.costs.serving_chunks import chunk_on
from tscale.core.dtypes import Dtype
from tscale.core.metric import Figure
from tscale.core.serving_layout import ServingLayout
from tscale.core.sharding import is_routed
from tscale.core.tracing import TracedInt
from tscale.errors import RequestError, field
from tscale.estimates.explaining import context_of
from tscale.estimates.media import Media
from tscale.estimates.memory.held import Keeping, Server
from tscale.estimates.memory.layout import accepted, spelled
from tscale.estimates.release import cache_format_of, format_of, state_formats
from tscale.models.lower import lower
from tscale.models.spec import MOST_ASSUMED, ModelSpec

MOST_BATCH: Final = 10**9


class Ask(NamedTuple):
    """How a model is to be served, and on what, where that is given; `dtype` None: as it is released, or in bf16."""

    dtype: Dtype | None = None
    cache_dtype: Dtype | None = None
    batch: int = 1
    context: int | None = None
    page: int | None = None
    chunk: int | None = None
    """Tokens of prompts in a step; None: as vLLM's server takes them on the hardware."""
    gpus: int = 1
    memory_share: Fraction | None = None
    hardware: Hardware | None = None
    layout: ServingLayout | None = None
    """How devices share the model; None: all `gpus` share each layer."""
    state_dtype: Dtype | None = None
    cache_form: Literal["latent", "full"] = "latent"
    window_cache: Literal["cut", "whole"] = "cut"
    by_sequences: bool = False
    prefix: int = 0
    draft: ModelSpec | None = None
    draft_tokens: int = 0
    padding: Kernel = "none"
    media: Media = Media()

    @property
    def spread(self) -> ServingLayout:
        """The layout, where none is given that of so many devices."""
        return ServingLayout(tensor=self.gpus, expert_tensor=self.gpus) if self.layout is None else self.layout

    @property
    def step_chunk(self) -> int:
        """Tokens of prompts that a step takes."""
        if self.chunk is not None:
            return self.chunk
        return chunk_on("vllm", None if self.hardware is None else self.hardware.device())

    @property
    def devices(self) -> int:
        """Devices in all."""
        return self.spread.devices


def serving_context(spec: ModelSpec, asked: int | None) -> Figure:
    """The tokens of a sequence that is served: asked for, or what the model reads, of more than 8,192 those."""
    context = context_of(spec, asked)
    if asked is not None or int(context.value) <= MOST_ASSUMED or spec.audio_frames is not None:
        return context
    note = (
        f"{spec.label} reads up to {int(context.value):,} tokens: sequences of {MOST_ASSUMED:,} are counted; --context sets "
        "another length."
    )
    return context._replace(value=TracedInt(MOST_ASSUMED, label="context"), note=note)


def server_of(spec: ModelSpec, ask: Ask, context: int) -> Server:
    """Raises `RequestError` for devices that cannot share the model, and for a cache that its format cannot hold."""
    alone = _alone(spec, ask, context)
    try:
        check_rows(alone.whole, alone.cache_format)
    except RequestError as error:
        raise RequestError(f"{field('cache_dtype')}: {error.text}") from None
    try:
        return alone.on(ask.spread)
    except RequestError as error:
        said = f"{field('gpus')}: {error.text}" if ask.layout is None else _advised(error.text, alone, ask.layout)
        raise RequestError(said) from None


def _alone(spec: ModelSpec, ask: Ask, context: int) -> Server:
    """The server before it is spread over devices, with its draft."""
    _check(spec, ask, context)
    weights = format_of(spec, ask.dtype)
    states = state_formats(spec, ask.state_dtype, weights)
    keeping = Keeping(*states, ask.cache_form, ask.window_cache, ask.by_sequences)
    draft = None
    if ask.draft is not None:
        draft = _alone(ask.draft, ask._replace(draft=None, draft_tokens=0, padding="none"), context)
    return Server(
        spec,
        keeping.kept(lower(spec)),
        weights,
        cache_format_of(ask.cache_dtype, weights),
        ask.batch,
        context,
        ask.page,
        ask.step_chunk,
        keeping,
        ask.padding,
        prefix=ask.prefix,
        verified=ask.draft_tokens + 1,
        draft=draft,
    )


def _advised(problem: str, server: Server, layout: ServingLayout) -> str:
    """What is wrong with a layout, with the nearest one that is accepted."""
    nearest = next(accepted(server, layout), None) if ": use " in problem else None
    return problem if nearest is None else f"{problem.rpartition(': use ')[0]}: use {spelled(nearest)}"


def _check(spec: ModelSpec, ask: Ask, context: int) -> None:
    """Raises `RequestError` for what cannot be served so."""
    if spec.kind != "decoder" and (ask.prefix or ask.draft is not None or ask.draft_tokens or ask.by_sequences):
        raise RequestError(
            f"{spec.label} is an {spec.kind}: {field('prefix')}, {field('draft')}, {field('draft_tokens')} and {field('split_cache')} are known of decoders alone"
        )
    if ask.prefix >= context:
        raise RequestError(
            f"a prefix of {ask.prefix:,} leaves nothing of sequences of {context:,} tokens: set {field('prefix')} to less"
        )
    if ask.draft is not None and ask.draft.kind != "decoder":
        raise RequestError(f"{field('draft')}: {ask.draft.label} is an {ask.draft.kind}, and only a decoder can guess")
    if ask.draft is not None and ask.spread.pipeline > 1:
        raise RequestError(
            f"a draft is known beside a model in one stage: drop {field('draft')}, or use {field('pipeline', 1)}"
        )
    if ask.padding != "none" and not has_padded_experts(lower(spec), format_of(spec, ask.dtype)):
        raise RequestError(
            f"{field('padding', ask.padding)} is of routed experts in {PADDED}, which {spec.label} has not: drop it, or use {field('dtype', PADDED)}"
            if any(map(is_routed, lower(spec).entries))
            else f"{field('padding', ask.padding)} is of routed experts, which {spec.label} has not: drop it"
        )
