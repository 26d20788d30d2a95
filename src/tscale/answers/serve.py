"""`tscale serve`: how fast a model answers at the best, what bounds it, and what its tokens cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.common import counted, notes_of, steps_of
from tscale.core.device import Cluster, Device
from tscale.core.formats import Format
from tscale.core.ledger import Ledger, Matmul
from tscale.core.numbers import Remembered
from tscale.core.plan import Plan
from tscale.core.quantity import Cell, Column, Data, Figure, Known, Missing, Report, Step, Table
from tscale.core.questions.cache import cache_bytes
from tscale.core.questions.roofline import (
    LEAVES_OUT,
    SOURCE,
    Formats,
    Pass,
    Work,
    decode_seconds,
    distinct_experts,
    pass_seconds,
    works,
)
from tscale.core.questions.weights import weight_bytes
from tscale.core.run import Run
from tscale.core.shard import shard
from tscale.core.units import (
    BYTES,
    COUNT,
    FLOPS,
    INTENSITY,
    MILLISECONDS,
    SECONDS,
    SHARE,
    TOKENS_PER_SECOND,
    USD,
)
from tscale.errors import RequestError
from tscale.spec.hardware import Hardware
from tscale.spec.lower import lower
from tscale.spec.model import ModelSpec

MILLION: Final = 10**6
MOST_BATCH: Final = 10**6
_OWN_PEAKS: Final = {"fp32": "fp32", "fp8": "fp8", "mxfp8": "fp8", "int8": "int8", "nvfp4": "fp4"}
"""The peak at which a device multiplies by weights of a format, where it has one; all the others are made 16 bits first."""


class Draft(NamedTuple):
    """A small model that guesses: tokens a round, and the chance that one is accepted (Leviathan 2023)."""

    spec: ModelSpec
    tokens: int
    acceptance: Fraction

    @property
    def expected(self) -> float:
        """Tokens that a round yields in expectation (Leviathan 2023, equation 1)."""
        chance = float(self.acceptance)
        return self.tokens + 1 if chance == 1 else (1 - chance ** (self.tokens + 1)) / (1 - chance)


class Ask(NamedTuple):
    """What is served: sequences at once, tokens of each prompt, of them `prefix` cached before, tokens of each answer."""

    weights: Format
    cache: Format
    gpus: int = 1
    batch: int = 1
    context: int = 2048
    output: int = 256
    prefix: int = 0
    efficiency: Fraction = Fraction(1)
    price: Fraction | None = None
    price_source: str = ""
    draft: Draft | None = None


class _Served(NamedTuple):
    """A model on its devices: the whole, one device's share, and what decides how fast it is."""

    whole: Ledger
    share: Ledger
    formats: Formats
    cluster: Cluster
    ask: Ask

    def works(self, run: Pass) -> list[Work]:
        return works(self.share, self.whole, self.formats, run, self.cluster, self.ask.gpus)

    def seconds(self, lines: list[Work]) -> float:
        """The time of a pass, at the efficiency that is given."""
        return pass_seconds(lines, self.cluster, self.ask.gpus) / float(self.ask.efficiency)

    def line_seconds(self, line: Work) -> float:
        return self.seconds([line])


def serve_report(spec: ModelSpec, hardware: Hardware, ask: Ask) -> Report:
    """Time to the first token and of each further one, what bounds them, and what tokens cost. Exit code 3: it does not fit."""
    if spec.kind != "decoder":
        raise RequestError(f"{spec.label} is an {spec.kind}: serve reckons decoders, which answer a token at a time")
    if ask.prefix >= ask.context:
        raise RequestError(f"a prefix of {ask.prefix:,} leaves nothing of a prompt of {ask.context:,} tokens to answer")
    if ask.price is None and hardware.price_usd_per_hour is not None:
        ask = ask._replace(price=Fraction(str(hardware.price_usd_per_hour)), price_source=hardware.price_source or "")
    model = counted(spec)
    served = _served(lower(spec), hardware, ask)
    prompt = Pass(ask.batch, ask.context - ask.prefix, ask.prefix, 1, decoding=False)
    middle = ask.context + (ask.output - 1) // 2
    step = Pass(ask.batch, 1, middle, 1, decoding=True)
    prefill, decode = served.works(prompt), served.works(step)
    times = _times(served, prefill)
    memory = _memory(served)
    known: Known = "exact" if ask.efficiency == 1 else "assumed"
    turning = _turning_batch(served, middle)
    figures = _figures(served, times, memory, turning, known)
    tables = (
        _summary(spec, hardware, ask, figures),
        _parts(served, f"decoding, {middle:,} cached", decode, spec.name),
        _parts(served, f"prefill, {ask.batch * prompt.new:,} tokens", prefill, spec.name),
    )
    bound = _bound(served, decode)
    data: dict[str, Data] = {
        "model": spec.name,
        "gpu": hardware.name,
        "gpus": ask.gpus,
        "batch": ask.batch,
        "context": ask.context,
        "output": ask.output,
        "prefix": ask.prefix,
        "dtype": ask.weights.name,
        "cache_dtype": ask.cache.name,
        "bound": bound,
        **figures,
        "fits": memory.total <= served.cluster.device.memory_bytes,
        "decode": [_line_data(served, line) for line in decode],
        "prefill": [_line_data(served, line) for line in prefill],
    }
    title = _title(spec, hardware, ask)
    notes = notes_of(spec, *_notes(served, hardware, memory, step, bound))
    fits = memory.total <= served.cluster.device.memory_bytes
    remembered = served._replace(whole=model.ledger, share=_shared(model.ledger, ask.gpus))
    return Report(title, tables, data, notes, tuple(_steps(remembered, spec, middle)), exit_code=0 if fits else 3)


def _served(whole: Ledger, hardware: Hardware, ask: Ask) -> _Served:
    cluster = hardware.cluster()
    return _Served(whole, _shared(whole, ask.gpus), _formats(cluster.device, hardware, ask), cluster, ask)


def _shared(whole: Ledger, gpus: int) -> Ledger:
    return shard(whole, Plan(tensor=gpus))


def _formats(device: Device, hardware: Hardware, ask: Ask) -> Formats:
    """The peaks by format of weights; what a device cannot multiply by is made 16 bits first, and multiplied in those."""
    peaks = device.flops_per_second
    sixteen = max((peaks[name] for name in ("bf16", "fp16") if name in peaks), default=None)
    if sixteen is None:
        raise RequestError(
            f"{hardware.label}: its vendor states no 16-bit peak, so there is nothing to reckon time from: "
            "--gpu-set bf16=TFLOPS gives one"
        )
    own = {format: peaks[peak] for format, peak in _OWN_PEAKS.items() if peak in peaks}
    return Formats(ask.weights, ask.cache, {"": sixteen, **own})


class _Times(NamedTuple):
    prefill: float
    per_token: float
    first: float
    last: float


def _times(served: _Served, prefill: list[Work]) -> _Times:
    """Seconds to the first token of each answer, and of each further one: on average, the first and the last."""
    ask = served.ask
    steps = max(ask.output - 1, 1)
    if ask.draft is not None:
        rounds = [_round_seconds(served, ask.draft, context) for context in _ends(ask, steps)]
        first, middle, last = (seconds / ask.draft.expected for seconds in rounds)
        return _Times(served.seconds(prefill), middle, first, last)

    def of(start: int, count: int) -> float:
        total = decode_seconds(
            served.share, served.whole, served.formats, ask.batch, start, count, served.cluster, ask.gpus
        )
        return total / count / float(ask.efficiency)

    return _Times(served.seconds(prefill), of(ask.context, steps), of(ask.context, 1), of(ask.context + steps - 1, 1))


def _ends(ask: Ask, steps: int) -> tuple[int, int, int]:
    return ask.context, ask.context + steps // 2, ask.context + steps - 1


def _round_seconds(served: _Served, draft: Draft, context: int) -> float:
    """A round of speculative decoding: the draft's tokens one at a time, then all of them and one more by the model at once."""
    ask = served.ask
    whole = lower(draft.spec)
    guessing = served._replace(whole=whole, share=_shared(whole, ask.gpus))
    guess = guessing.seconds(guessing.works(Pass(ask.batch, 1, context, 1, decoding=True)))
    verified = Pass(ask.batch, draft.tokens + 1, context, draft.tokens + 1, decoding=True)
    return draft.tokens * guess + served.seconds(served.works(verified))


class _Memory(NamedTuple):
    """Bytes on each device: weights, the draft's included, and the cache of all sequences at their longest."""

    weights: int
    cache: int

    @property
    def total(self) -> int:
        return self.weights + self.cache


def _memory(served: _Served) -> _Memory:
    ask = served.ask
    longest = Run(target=ask.context + ask.output)
    weights = weight_bytes(served.share, ask.weights, served.whole).total
    cache = cache_bytes(served.share, longest, ask.cache.bits).total
    if ask.draft is not None:
        whole = lower(ask.draft.spec)
        share = _shared(whole, ask.gpus)
        weights += weight_bytes(share, ask.weights, whole).total
        cache += cache_bytes(share, longest, ask.cache.bits).total
    return _Memory(weights, ask.batch * cache)


def _turning_batch(served: _Served, context: int) -> int | None:
    """The least batch at which a step of decoding computes for as long as it waits for memory; None: no batch does.

    Each sequence brings its own cache, so that computing need not catch up; weights are read once for all of them.
    """

    def computes(batch: int) -> bool:
        lines = served.works(Pass(batch, 1, context, 1, decoding=True))
        computing = sum(line.flops / line.peak for line in lines)
        return computing * served.cluster.device.memory_bytes_per_second >= sum(
            line.weights + line.cache for line in lines
        )

    if not computes(MOST_BATCH):
        return None
    low, high = 0, MOST_BATCH
    while high - low > 1:
        half = (low + high) // 2
        low, high = (low, half) if computes(half) else (half, high)
    return high


def _bound(served: _Served, lines: list[Work]) -> str:
    """What most of the time goes to: memory, compute or communication."""
    spent = {"memory": 0.0, "compute": 0.0, "communication": 0.0}
    for line in lines:
        spent[_kind(served, line)] += served.line_seconds(line)
    return max(spent, key=lambda kind: spent[kind])


def _kind(served: _Served, line: Work) -> str:
    if line.sent:
        return "communication"
    moving = (line.weights + line.cache) / served.cluster.device.memory_bytes_per_second
    return "compute" if line.flops / line.peak > moving else "memory"


def _figures(
    served: _Served, times: _Times, memory: _Memory, turning: int | None, known: Known
) -> dict[str, Figure | None]:
    """Everything that follows from the times."""
    ask = served.ask
    hourly = None if ask.price is None else float(ask.price * ask.gpus)
    answered = times.prefill + (ask.output - 1) * times.per_token
    cited: Known = "assumed" if ask.price_source else known

    def price(seconds: float, tokens: int) -> Figure | None:
        return None if hourly is None else Figure(hourly / 3600 * seconds / tokens * MILLION, USD, cited)

    def seconds(value: float) -> Figure:
        return Figure(value, SECONDS, known, SOURCE)

    return {
        "prefill_seconds": seconds(times.prefill),
        "seconds_per_token": seconds(times.per_token),
        "seconds_per_token_first": seconds(times.first),
        "seconds_per_token_last": seconds(times.last),
        "seconds_per_answer": seconds(answered),
        "tokens_per_second": Figure(ask.batch / times.per_token, TOKENS_PER_SECOND, known),
        "tokens_per_second_per_user": Figure(1 / times.per_token, TOKENS_PER_SECOND, known),
        "tokens_per_second_with_prefill": Figure(ask.batch * ask.output / answered, TOKENS_PER_SECOND, known),
        "compute_bound_from_batch": None if turning is None else Figure(turning, COUNT),
        "weight_bytes": Figure(memory.weights, BYTES),
        "kv_cache_bytes": Figure(memory.cache, BYTES),
        "memory_bytes": Figure(served.cluster.device.memory_bytes, BYTES, "cited"),
        "usd_per_million_input_tokens": price(times.prefill, ask.batch * ask.context),
        "usd_per_million_output_tokens": price(times.per_token, ask.batch),
    }


_ROWS: Final = (
    ("prefill_seconds", "time to the first token, ms"),
    ("seconds_per_token", "time of each further token, ms"),
    ("seconds_per_token_first", "  the first of them"),
    ("seconds_per_token_last", "  the last of them"),
    ("seconds_per_answer", "the whole answer, s"),
    ("tokens_per_second_per_user", "tokens a second, a user"),
    ("tokens_per_second", "tokens a second, all users"),
    ("tokens_per_second_with_prefill", "  prefill counted too"),
    ("compute_bound_from_batch", "computing bounds decoding from batch"),
    ("weight_bytes", "weights on a device"),
    ("kv_cache_bytes", "cache on a device, at the end"),
    ("memory_bytes", "memory of a device"),
    ("usd_per_million_input_tokens", "US dollars a million tokens in"),
    ("usd_per_million_output_tokens", "US dollars a million tokens out"),
)
_ABSENT: Final = {
    "compute_bound_from_batch": Missing("no batch: the cache grows as fast", settled=True),
    "usd_per_million_input_tokens": Missing("--price gives it"),
    "usd_per_million_output_tokens": Missing("--price gives it"),
}


def _title(spec: ModelSpec, hardware: Hardware, ask: Ask) -> str:
    many = f"{ask.gpus} × " if ask.gpus > 1 else ""
    return (
        f"{spec.label} on {many}{hardware.label}: {ask.batch:,} at once, {ask.context:,} tokens in, {ask.output:,} out"
    )


def _summary(spec: ModelSpec, hardware: Hardware, ask: Ask, figures: dict[str, Figure | None]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for key, name in _ROWS:
        figure = figures[key]
        if figure is None:
            rows.append((name, _ABSENT[key]))
        elif figure.unit is SECONDS and key != "seconds_per_answer":
            rows.append((name, figure._replace(value=figure.value * 1000, unit=MILLISECONDS)))
        else:
            rows.append((name, figure))
    columns = (Column("at the best", "quantity", numeric=False), Column("value", "value"))
    return Table(_title(spec, hardware, ask), columns, tuple(rows), subject=spec.name)


_GROUPS: Final = {
    "attention": "attention's matrices",
    "cache": "attention over the cache",
    "mixer": "recurrences and convolutions",
    "state": "states",
    "feed_forward": "feed-forward",
    "head": "head",
    "embedding": "embedding",
    "norm": "norms",
    "communication": "all-reduces",
}


def _parts(served: _Served, title: str, lines: list[Work], subject: str) -> Table:
    columns = (
        Column(title, "part", numeric=False),
        Column("FLOPs", "flops"),
        Column("bytes", "bytes"),
        Column("FLOPs a byte", "intensity", drop=2),
        Column("ms", "ms"),
        Column("share", "share"),
        Column("bound by", "bound", drop=1, numeric=False),
    )
    total = served.seconds(lines)
    rows: list[tuple[Cell, ...]] = []
    for group, name in _GROUPS.items():
        own = [line for line in lines if line.group == group]
        moved = sum(line.weights + line.cache + line.sent for line in own)
        if not moved and not any(line.flops for line in own):
            continue
        computed, seconds = sum(line.flops for line in own), served.seconds(own)
        rows.append(
            (
                name,
                Figure(computed, FLOPS),
                Figure(round(moved), BYTES),
                Figure(computed / moved, INTENSITY) if moved and computed else "",
                Figure(seconds * 1000, MILLISECONDS),
                Figure(seconds / total, SHARE),
                _bound(served, own),
            )
        )
    computed, moved = sum(line.flops for line in lines), sum(line.weights + line.cache for line in lines)
    last: tuple[Cell, ...] = (
        "together",
        Figure(computed, FLOPS),
        Figure(round(moved), BYTES),
        Figure(computed / moved, INTENSITY),
        Figure(total * 1000, MILLISECONDS),
        Figure(1, SHARE),
        _bound(served, lines),
    )
    return Table("", columns, (*rows, last), subject=subject, totals=frozenset({len(rows)}), aside=True)


def _line_data(served: _Served, line: Work) -> Data:
    return {
        "name": line.name,
        "part": line.group,
        "flops": Figure(line.flops, FLOPS),
        "weight_bytes": Figure(round(line.weights), BYTES),
        "cache_bytes": Figure(line.cache, BYTES),
        "sent_bytes": Figure(line.sent, BYTES),
        "seconds": Figure(served.line_seconds(line), SECONDS, source=SOURCE),
        "bound": _kind(served, line),
    }


def _notes(served: _Served, hardware: Hardware, memory: _Memory, step: Pass, bound: str) -> Iterator[str]:
    ask, device = served.ask, served.cluster.device
    if memory.total > device.memory_bytes:
        yield (
            f"It does not fit: {memory.total / 1e9:,.1f} GB of weights and cache on a device of "
            f"{device.memory_bytes / 1e9:,.1f} GB. `tscale memory` tells what would."
        )
    yield f"Decoding is bound by {bound}."
    if ask.efficiency == 1:
        yield "A bound: each part at the device's dense peak or full bandwidth. --efficiency scales it to a measured machine."
    else:
        yield f"At {float(ask.efficiency):.0%} of the peak and of the bandwidth, as --efficiency says."
    peak = served.formats.peak(ask.weights.name)
    own = ask.weights.name in served.formats.peaks or ask.weights.name in ("bf16", "fp16")
    how = (
        ""
        if own
        else f", since {hardware.label} does not multiply by {ask.weights.name}: weights are made 16 bits first"
    )
    yield f"Weights in {ask.weights.name}, cache in {ask.cache.name}; products at {peak / 1e12:,.1f} TFLOP/s{how}."
    routed = next((e for e in served.whole.entries if isinstance(e, Matmul) and e.experts > 1), None)
    if routed is not None:
        top_k = routed.used * routed.experts // routed.stored
        met = distinct_experts(routed.experts, top_k, step.tokens)
        yield (
            f"In each layer, {step.tokens:,} tokens meet {met:,.1f} of {routed.experts} experts in expectation, each being as "
            "likely: those are read."
        )
    if any(getattr(entry, "decoded", None) for entry in served.whole.entries):
        yield "Latents are scored as they are while decoding (absorbed), and spread out to keys and values in the prefill."
    if ask.draft is not None:
        yield (
            f"{ask.draft.spec.label} guesses {ask.draft.tokens} tokens a round, each accepted with a chance of "
            f"{float(ask.draft.acceptance):g}: {ask.draft.expected:.2f} tokens a round in expectation (Leviathan 2023)."
        )
    if ask.prefix:
        yield f"Of each prompt, {ask.prefix:,} tokens were cached before: their cost is that of reading them."
    if ask.price_source and ask.price is not None:
        yield f"At {float(ask.price):g} USD a GPU-hour: {ask.price_source}. --price gives yours."
    yield LEAVES_OUT


def _steps(served: _Served, spec: ModelSpec, middle: int) -> Iterator[Step]:
    """How FLOPs and bytes of each line were made, in both phases."""
    ask = served.ask
    batch = Remembered(ask.batch, label="batch")
    prompt = Pass(batch, Remembered(ask.context - ask.prefix, label="prompt"), ask.prefix, 1, decoding=False)
    step = Pass(batch, 1, Remembered(middle, label="cached"), 1, decoding=True)
    for title, run in (("prefill", prompt), ("decoding", step)):
        figures: list[tuple[str, Figure]] = []
        for line in served.works(run):
            figures.append((f"{line.name}, FLOPs", Figure(line.flops, FLOPS, source=SOURCE)))
            read = line.weights + line.cache
            if isinstance(read, int):
                figures.append((f"{line.name}, bytes", Figure(read, BYTES, source=SOURCE)))
        yield from steps_of(figures, f"{spec.name}, {title}")


class Throughput(NamedTuple):
    """Tokens a second of all users at a batch; and if computing, or reading weights and cache, were all that took time.

    The two bounds are None where a draft model guesses, whose work is neither's.
    """

    batch: int
    tokens_per_second: float
    by_compute: float | None
    by_memory: float | None


class Sweep(NamedTuple):
    """Throughput by batch, the batch from which computing bounds decoding, and the largest whose cache a device holds."""

    rows: tuple[Throughput, ...]
    turning: int | None
    most: int


def throughputs(spec: ModelSpec, hardware: Hardware, ask: Ask, batches: Iterable[int]) -> Sweep:
    """The throughput that `serve_report` gives, at each of many batches."""
    served = _served(lower(spec), hardware, ask)
    middle = ask.context + (ask.output - 1) // 2
    device = served.cluster.device
    memory = _memory(served)
    each = memory.cache // ask.batch
    room = device.memory_bytes - memory.weights
    most = max(int(room // each), 0) if each else MOST_BATCH if room >= 0 else 0
    return Sweep(
        tuple(_throughput(served._replace(ask=ask._replace(batch=batch)), middle) for batch in batches),
        _turning_batch(served, middle),
        most,
    )


def _throughput(served: _Served, middle: int) -> Throughput:
    ask, device = served.ask, served.cluster.device
    lines = served.works(Pass(ask.batch, 1, middle, 1, decoding=True))
    computing = sum(line.flops / line.peak for line in lines)
    reading = sum(line.weights + line.cache for line in lines) / device.memory_bytes_per_second
    alone = ask.batch * float(ask.efficiency)
    guessed = ask.draft is not None
    return Throughput(
        ask.batch,
        ask.batch / _times(served, []).per_token,
        None if guessed else float(alone / computing),
        None if guessed else float(alone / reading),
    )
