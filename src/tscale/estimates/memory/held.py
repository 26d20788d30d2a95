"""A server: a model, how it is kept and spread and what it serves; and what one of its devices holds."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from tscale.core.costs.cache import StateBits, alike, cache_bytes, is_state, spread_latents, whole_windows
from tscale.core.costs.kernel_padding import Kernel, padded_for
from tscale.core.costs.weights import Mixture, of_stage, tower_bytes, weight_bytes
from tscale.core.costs.workspace import workspace_bytes
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.kept import keep
from tscale.core.ledger import Cache, Ledger
from tscale.core.metric import Line, Quantity
from tscale.core.parallelism import Parallelism
from tscale.core.partition import Stretch, stage
from tscale.core.serving_layout import ServingLayout
from tscale.core.sharding import serving_share
from tscale.core.tracing import ceil_div, minimum, most_of
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, field
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec


class Keeping(NamedTuple):
    """How an engine keeps caches.

    `state`, `conv`: the formats of recurrent states, and of what convolutions still need; None: that of the cache, and 16 bits at
    the least. `form`: latents as they are, or spread out to the keys and values of all heads. `window`: layers with a window keep
    no more than it, or all positions. `by_sequences`: the devices that share each layer divide the cache by sequences, not
    by heads.
    """

    state: Dtype | None = None
    conv: Dtype | None = None
    form: Literal["latent", "full"] = "latent"
    window: Literal["cut", "whole"] = "cut"
    by_sequences: bool = False

    @property
    def bits(self) -> StateBits:
        """Bits of a number of recurrent layers."""
        state, conv = (None if format is None else int(format.bits) for format in (self.state, self.conv))
        return StateBits(state, conv)

    def kept(self, ledger: Ledger) -> Ledger:
        """The ledger of a model with its caches as they are kept."""
        ledger = spread_latents(ledger) if self.form == "full" else ledger
        return whole_windows(ledger) if self.window == "whole" else ledger

    def format(self, entry: Cache, cache: Dtype) -> Dtype:
        """What an entry is kept in; `cache`: what the cache is."""
        if not is_state(entry):
            return cache
        own = self.conv if entry.role == "conv_state" else self.state
        return own or (cache if cache.bits >= 16 else DTYPES["bf16"])


class Stage(NamedTuple):
    """What a stage of the pipeline has of a model: `whole`, and the `share` of it that each of its devices has."""

    whole: Ledger
    share: Ledger
    own: tuple[Stretch, ...] = ()
    """Its layers; empty where there is one stage."""
    first: bool = True
    last: bool = True


class Server(NamedTuple):
    """A model that is served: `whole`, and the stages that it is spread over.

    `batch`: sequences over all devices. `prefix`: tokens that they all begin with, which are kept once. `verified`: tokens of a
    sequence that a step of decoding takes. `draft`: the model that guesses those beyond the first. `lengths`: of a sequence, where
    they do not follow from the context.
    """

    spec: ModelSpec
    whole: Ledger
    format: Dtype | Mixture
    cache_format: Dtype
    batch: int
    context: int
    page: int | None
    chunk: int
    keeping: Keeping = Keeping()
    kernel: Kernel = "none"
    layout: ServingLayout = ServingLayout()
    stages: tuple[Stage, ...] = ()
    prefix: int = 0
    verified: int = 1
    draft: "Server | None" = None
    lengths: SequenceLengths | None = None

    @property
    def run(self) -> SequenceLengths:
        """One sequence of the context's length."""
        return run_of(self.spec, self.context) if self.lengths is None else self.lengths

    @property
    def sequences(self) -> int:
        """Sequences of the fullest device."""
        return self.layout.sequences(self.batch)

    def stage_format(self, place: int) -> Dtype | Mixture:
        """What the weights of a stage are kept in."""
        at = self.stages[place]
        if isinstance(self.format, Dtype) or not at.own:
            return self.format
        return of_stage(self.format, self.whole, at.own, first=at.first, last=at.last)

    def stored(self, place: int) -> Ledger:
        """The share of a stage's device as its weights stand in memory."""
        return padded_for(self.stages[place].share, self.kernel)

    def weights(self, place: int = 0) -> Quantity:
        """Bytes of the weights of a device of a stage; towers and projectors stand whole on each device of the first."""
        stored, format = self.stored(place), self.stage_format(place)

        def own() -> Quantity:
            found = weight_bytes(stored, format, self.stages[place].whole)
            return found._replace(lines=found.lines + self.towers(place).lines)

        return keep(stored.made, (Server.weights, format), own) if isinstance(format, Dtype) else own()

    def towers(self, place: int = 0) -> Quantity:
        """Bytes of the towers and projectors among them."""
        return tower_bytes(self.whole if self.stages[place].first else Ledger(self.whole.model, ()), self.format)

    def cache(self, place: int = 0) -> Quantity:
        """Bytes that a device of a stage keeps for one sequence."""
        return self._cache_of(self.stages[place].share)

    def _cache_of(self, ledger: Ledger) -> Quantity:
        return cache_bytes(ledger, self.run, self.cache_format.bits, self.page, self.keeping.bits)

    def caches(self, place: int = 0) -> Iterator[Line]:
        """What a device of a stage keeps for all of its sequences, by kind of layer."""
        at, sequences = self.stages[place], self.sequences
        kept = [entry for entry in at.share.entries if isinstance(entry, Cache)]
        split = self.keeping.by_sequences and self.layout.tensor > 1
        lines = self.cache(place).lines
        whole = self._cache_of(at.whole).lines if split else lines
        shared = self._shared(at.whole if split else at.share)
        for entry, line, uncut in zip(kept, lines, whole, strict=True):
            if split and not is_state(entry):
                each, own = uncut.value, ceil_div(sequences, self.layout.tensor)
            else:
                each, own = line.value, sequences
            once = shared.get(entry.name, 0)
            yield Line(line.name, own * each - (own - 1) * once if once else own * each)

    def _shared(self, ledger: Ledger) -> dict[str, int]:
        """Bytes of the prefix, by the name of the entry that keeps it; of pages those that are full."""
        if not self.prefix:
            return {}
        tokens = minimum(self.prefix, self.context)
        if self.page is not None:
            tokens = tokens // self.page * self.page
        lines = cache_bytes(alike(ledger), SequenceLengths(target=tokens), self.cache_format.bits, self.page).lines
        return {line.name: line.value for line in lines}

    def workspace(self, place: int = 0) -> Quantity:
        """Bytes of the activations and logits of a device of a stage."""
        at, bits = self.stages[place], 32 if self.format.name == "fp32" else 16
        return workspace_bytes(
            at.share, at.whole, self.run, self.sequences, self.chunk, self.spec.d_model, bits, self.verified
        )

    def on(self, layout: ServingLayout) -> "Server":
        """The same on devices in another layout. Raises `RequestError` where so many cannot share its layers."""
        draft = None if self.draft is None else self.draft.on(layout)
        return self._replace(layout=layout, stages=tuple(_stages(self.spec, self.whole, layout)), draft=draft)

    def of(self, spec: ModelSpec) -> "Server":
        """The same of a model on other numbers, such as those that remember."""
        return self._replace(spec=spec, whole=self.keeping.kept(lower(spec))).on(self.layout)

    def drafting(self) -> "Server | None":
        """The draft with what is asked of both."""
        if self.draft is None:
            return None
        return self.draft._replace(
            batch=self.batch, context=self.context, page=self.page, chunk=self.chunk, prefix=self.prefix
        )


def _stages(spec: ModelSpec, whole: Ledger, layout: ServingLayout) -> Iterator[Stage]:
    if layout.pipeline == 1:
        yield Stage(whole, serving_share(whole, layout))
        return
    if spec.kind == "encoder-decoder":
        raise RequestError(
            f"no engine is known that serves the two stacks of {spec.name} in stages: use {field('pipeline', 1)}"
        )
    yield from _several_stages(spec, whole, layout)


def _several_stages(spec: ModelSpec, whole: Ledger, layout: ServingLayout) -> Iterator[Stage]:
    from tscale.models.stages import stages, with_ends

    layout.stretches(int(spec.layers))  # refuses stages that are not those of the stack
    plan = Parallelism(pipeline=layout.pipeline, stages=layout.layers or None)
    stages(spec, plan, whole)  # refuses what no stage has alone
    for place, ((own,), first, last) in enumerate(with_ends(spec, plan), start=1):
        name = f"{spec.name}, stage {place} of {layout.pipeline}"
        at = stage(whole, (own,), name, first=first, last=last)
        yield Stage(at, serving_share(at, layout), (own,), first, last)


class Held(NamedTuple):
    """Bytes that one device holds, by part."""

    weights: int
    kv_cache: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return self.weights + self.kv_cache + self.activations + self.logits


def held(server: Server) -> Held:
    """Bytes of each part that a device of the fullest stage holds, a draft's included."""
    return held_at(server, fullest(server))


def held_at(server: Server, place: int) -> Held:
    """The same of a stage."""
    activations, logits = server.workspace(place).lines
    caches = sum(line.value for line in server.caches(place))
    own = Held(server.weights(place).total, caches, activations.value, logits.value)
    draft = server.drafting()
    if draft is None:
        return own
    return Held(*(one + other for one, other in zip(own, held_at(draft, 0), strict=True)))


def fullest(server: Server) -> int:
    """The stage whose devices hold the most; the first of several."""
    if len(server.stages) == 1:
        return 0
    totals: dict[tuple[object, ...], tuple[int, int]] = {}
    for place in range(len(server.stages)):
        kind = _kind(server, place)
        if kind not in totals:
            totals[kind] = int(held_at(server, place).total), -place
    return -max(totals.values())[1]


def most_held(server: Server) -> int:
    """Bytes that a device of the fullest stage holds: the total of `held`, which does not ask which stage that is."""
    each = {_kind(server, place): place for place in reversed(range(len(server.stages)))}
    return most_of(held_at(server, place).total for place in each.values())


def _kind(server: Server, place: int) -> tuple[object, ...]:
    """What stages have in common that hold the same, where formats do not go by layer."""
    if isinstance(server.format, Mixture) and server.format.by_layer:
        return (place,)
    return server.stages[place].whole.contents
