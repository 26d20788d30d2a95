"""What `tscale serve` estimates with: a model on its devices, the time of each of its passes, and what a device holds."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.core.adding import in_order
from tscale.core.costs.cache import check_rows
from tscale.core.costs.largest import largest
from tscale.core.costs.roofline import Dtypes, Pass, Setup, Work, decode_seconds, pass_seconds, works
from tscale.core.costs.serving_chunks import chunk_on
from tscale.core.costs.weights import Mixture
from tscale.core.device import Device
from tscale.core.dtypes import DTYPES, Dtype, computed_in
from tscale.core.ledger import Ledger
from tscale.core.parallelism import Parallelism
from tscale.core.serving_layout import ServingLayout
from tscale.core.sharding import shard
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, field
from tscale.estimates.capacity import Capacity, serving_capacity
from tscale.estimates.deployment import Deployment
from tscale.estimates.memory.held import Keeping, Server, Stage, held
from tscale.estimates.release import cache_format_of, format_of, state_formats
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec

MOST_BATCH: Final = 10**6


class Draft(NamedTuple):
    """What guesses: a small model, a head of the model, or something that costs nothing; tokens a round, and the chance that one is accepted."""

    spec: ModelSpec | None
    tokens: int
    acceptance: Fraction
    is_head: bool = False
    """Whether `spec` is a head of the model that it guesses for (`draft_head`), and no model by itself."""

    @property
    def expected(self) -> float:
        """Tokens that a round yields in expectation: (1 - a^(k+1)) / (1 - a) (Leviathan 2023, equation 1)."""
        chance = float(self.acceptance)
        return self.tokens + 1 if chance == 1 else (1 - chance ** (self.tokens + 1)) / (1 - chance)


class Ask(NamedTuple):
    """What is served: sequences at once, tokens of each prompt, of them `prefix` cached before, tokens of each answer."""

    weights: Dtype | None = None
    """None: as it is released, or in bf16."""
    cache: Dtype | None = None
    """None: as the release says, or in 16 bits."""
    gpus: int = 1
    batch: int = 1
    context: int = 2048
    output: int = 256
    prefix: int = 0
    by_sequences: bool = False
    efficiency: Fraction = Fraction(1)
    price: Fraction | None = None
    draft: Draft | None = None
    deployment: Deployment = Deployment()
    """How it runs in steady state, for a prediction."""
    host: Fraction | None = None
    """GB/s at which a device reads the cached prefix of its host's memory; None where it has that itself."""
    tower_flops: int = 0
    """What towers do for the images and sounds of each prompt."""

    @property
    def steps(self) -> int:
        """Tokens of an answer after the first; of an answer of one, that which would follow."""
        return max(self.output - 1, 1)


def sixteen_bit_peak(device: Device) -> int:
    """FLOP/s of a device in 16 bits. Raises `RequestError` where its vendor states none."""
    peaks = device.flops_per_second
    found = max((peaks[name] for name in ("bf16", "fp16") if name in peaks), default=None)
    if found is None:
        raise RequestError(f"{device.name}: its vendor states no 16-bit peak, so no tower can be timed")
    return found


class Served(NamedTuple):
    """A model on its devices, and what is asked of it."""

    spec: ModelSpec
    setup: Setup
    ask: Ask

    @property
    def device(self) -> Device:
        return self.setup.cluster.device

    @property
    def source(self) -> int:
        """Positions that an encoder reads; 0 where there is none."""
        return self.ask.context if self.spec.kind == "encoder-decoder" else 0

    @property
    def images(self) -> int:
        """Positions of images that its layers attend to beside the tokens of a sequence."""
        return self.spec.image_positions

    @property
    def start(self) -> int:
        """Tokens that are cached before the second one of an answer: the prompt's, or behind an encoder one to begin with."""
        return 1 if self.source else self.ask.context

    @property
    def middle(self) -> int:
        """Tokens that are cached in the middle of an answer."""
        return self.start + (self.ask.output - 1) // 2

    @property
    def prompt(self) -> Pass:
        """The prefill of all sequences: their prompts, or what the encoder reads and the token that an answer begins with."""
        ask = self.ask
        if self.source:
            return Pass(ask.batch, 1, 0, 1, decoding=False, source=self.source)
        return Pass(ask.batch, ask.context - ask.prefix, ask.prefix, 1, decoding=False, images=self.images)

    def step(self, cached: int, new: int = 1, batch: int | None = None) -> Pass:
        """A pass that decodes, with as many tokens cached."""
        batch = self.ask.batch if batch is None else batch
        return Pass(batch, new, cached, new, decoding=True, source=self.source, images=self.images)

    def works(self, run: Pass) -> list[Work]:
        return works(self.setup, run)

    def seconds(self, *lines: Work) -> float:
        """The time of lines one after the other, at the efficiency that is given."""
        return pass_seconds(self.setup, list(lines)) / float(self.ask.efficiency)

    @property
    def tower_seconds(self) -> float:
        """The time of towers for the prompts of a batch: their products on all devices, at the 16-bit peak."""
        ask = self.ask
        if not ask.tower_flops:
            return 0.0
        rate = ask.gpus * sixteen_bit_peak(self.device) * ask.efficiency
        return float(ask.batch * ask.tower_flops / rate)

    def pass_seconds(self, run: Pass) -> float:
        return self.seconds(*self.works(run))

    def decoding(self, start: int, steps: int) -> float:
        """The time of so many tokens of each sequence, after `start` that are cached."""
        seconds = decode_seconds(self.setup, self.ask.batch, start, steps, self.source, self.images)
        return seconds / float(self.ask.efficiency)

    def of(self, spec: ModelSpec) -> Served:
        """Another model on the same devices, or this one on numbers that remember."""
        whole = lower(spec)
        setup = self.setup._replace(
            whole=whole, share=_shared(whole, self.ask.gpus), parallel_block=spec.parallel_block
        )
        if isinstance(setup.dtypes.weights, Mixture):
            setup = setup._replace(dtypes=setup.dtypes._replace(weights=format_of(spec, self.ask.weights)))
        return Served(spec, setup, self.ask)


def served(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Served:
    """A model on the hardware that is asked about. Raises `RequestError` where it cannot be served so."""
    cluster, whole = hardware.cluster(), lower(spec)
    weights = format_of(spec, ask.weights)
    cache = DTYPES["bf16"] if ask.cache is None else ask.cache
    if ask.cache is None and isinstance(weights, Mixture):
        cache = cache_format_of(None, weights)
    check_rows(whole, cache)
    dtypes = _formats(cluster.device, hardware, weights, cache)._replace(states=_states(spec, weights).bits)
    share = _shared(whole, ask.gpus)
    by_sequences = ask.by_sequences and ask.gpus > 1
    ask = ask._replace(context=spec.audio_frames or ask.context)
    return Served(spec, Setup(whole, share, dtypes, cluster, ask.gpus, spec.parallel_block, by_sequences), ask)


def _states(spec: ModelSpec, weights: Dtype | Mixture) -> Keeping:
    """How recurrent states are kept."""
    return Keeping(*state_formats(spec, None, weights))


def _shared(whole: Ledger, gpus: int) -> Ledger:
    return shard(whole, Parallelism(tensor=gpus))


def _formats(device: Device, hardware: Hardware, weights: Dtype | Mixture, cache: Dtype) -> Dtypes:
    """The peaks by format of weights; what a device cannot multiply by is made 16 bits first, and multiplied in those."""
    peaks = device.flops_per_second
    wanted = ("fp32",) if weights.name == "fp32" else ("bf16", "fp16")
    rest = max((peaks[name] for name in wanted if name in peaks), default=None)
    if rest is None:
        what = "fp32" if weights.name == "fp32" else "16-bit"
        raise RequestError(
            f"{hardware.label}: its vendor states no {what} peak, so no time can be estimated: "
            f"{field('gpu_set')} {wanted[0]}=TFLOPS gives one"
        )
    own = {
        name: peaks[peak] for name in format_names(weights) if (peak := computed_in(name)) in peaks and peak is not None
    }
    return Dtypes(weights, cache, {"": rest, **own})


def format_names(weights: Dtype | Mixture) -> list[str]:
    """The formats that weights are kept in, by name."""
    return [weights.name] if isinstance(weights, Dtype) else [format.name for format in weights.dtypes()]


class Times(NamedTuple):
    """Seconds to the first token of each answer, and of each further one: on average, the first and the last.

    `drafting`: what the draft takes for its own prefill, before it can guess. `towers`: what images and sounds take before the
    prefill, which is in the seconds to the first token.
    """

    prefill: float
    per_token: float
    first: float
    last: float
    drafting: float = 0
    towers: float = 0

    def answer(self, output: int) -> float:
        """Seconds of a whole answer."""
        return self.prefill + self.drafting + (output - 1) * self.per_token


def times_of(one: Served) -> Times:
    """The times of one answer."""
    ask = one.ask
    towers = one.tower_seconds
    prefill = one.pass_seconds(one.prompt) + towers
    if ask.draft is None:
        first, last = one.decoding(one.start, 1), one.decoding(one.start + ask.steps - 1, 1)
        return Times(prefill, one.decoding(one.start, ask.steps) / ask.steps, first, last, towers=towers)
    guessing = None if ask.draft.spec is None else one.of(ask.draft.spec)
    contexts = (ask.context + ask.steps // 2, ask.context, ask.context + ask.steps - 1)
    middle, first, last = (_round_seconds(one, guessing, ask.draft, n) / ask.draft.expected for n in contexts)
    drafting = 0 if guessing is None else guessing.pass_seconds(guessing.prompt)
    return Times(prefill, middle, first, last, drafting, towers)


def _round_seconds(one: Served, guessing: Served | None, draft: Draft, context: int) -> float:
    """A round of speculative decoding: guesses one at a time, then all of them and one more token by the model at once."""
    verified = one.step(context, draft.tokens + 1)
    guesses = 0 if guessing is None else guessing.decoding(context, draft.tokens)
    return guesses + one.pass_seconds(verified)


class Memory(NamedTuple):
    """Bytes on each device, the draft's included: weights, the cache of all sequences at their longest, workspace."""

    weights: int
    cache: int
    workspace: int
    capacity: Capacity

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.workspace

    @property
    def fits(self) -> bool:
        """Whether it fits whatever software takes."""
        return self.capacity.fits(self.total)


def memory_of(one: Served) -> Memory:
    """What a device holds at the end of an answer, as `tscale memory` counts it."""
    draft = one.ask.draft
    models = [one] if draft is None or draft.spec is None else [one, one.of(draft.spec)]
    weights, cache, workspace = map(sum, zip(*map(_held, models), strict=True))
    return Memory(weights, cache, workspace, serving_capacity(one.device, one.ask.gpus))


def _held(one: Served) -> tuple[int, int, int]:
    """Weights, cache and workspace of one model."""
    ask, setup, dtypes = one.ask, one.setup, one.setup.dtypes
    server = Server(
        one.spec,
        setup.whole,
        dtypes.weights,
        dtypes.cache,
        ask.batch,
        ask.context + ask.output,
        None,
        ask.deployment.chunk or chunk_on(ask.deployment.engine, one.device),
        _states(one.spec, dtypes.weights)._replace(by_sequences=setup.by_sequences),
        layout=ServingLayout(tensor=ask.gpus, expert_tensor=ask.gpus),
        stages=(Stage(setup.whole, setup.share),),
        lengths=SequenceLengths(target=ask.output + 1, source=one.source) if one.source else None,
    )
    parts = held(server)
    return parts.weights, parts.kv_cache, parts.activations + parts.logits


def turning_batch(one: Served, *, matrices: bool = False) -> int | None:
    """The least batch at which a step of decoding computes for as long as it waits for memory; None: no batch does.

    Each sequence brings its own cache, so that computing need not catch up; weights are read once for all of them.
    `matrices`: of what has weights alone. Where devices split a cache by sequences, of batches that they share evenly.
    """
    each = one.ask.gpus if one.setup.by_sequences else 1

    def waits(batches: int) -> bool:
        lines = one.works(one.step(one.middle, batch=each * batches))
        lines = [line for line in lines if line.weights or not matrices]
        computing = in_order(line.flops / line.peak for line in lines)
        return computing * one.device.memory_bytes_per_second < in_order(line.weights + line.cache for line in lines)

    waiting = largest(waits, max(MOST_BATCH // each, 1))
    return None if waiting is None else each * (waiting + 1)
