"""`tscale summary`: what is asked first of a model, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.answers.assumed import as_assumed
from tscale.answers.params.answer import undisclosed
from tscale.answers.tower_alone import summary_of_tower
from tscale.catalogue.hardware import Hardware
from tscale.catalogue.judged import certainly_judged
from tscale.core.costs.weights import Mixture, tower_bytes, weight_bytes
from tscale.core.dtypes import DTYPES, Dtype
from tscale.core.metric import Cell, Column, Data, Figure, Missing, Report, Table
from tscale.core.number_text import number_text
from tscale.core.units import BYTES, COUNT, FLOPS, PARAMETERS, TOKENS, TOKENS_PER_SECOND, Unit
from tscale.errors import NotPublishedError, RequestError
from tscale.estimates.capacity import serving_capacity, verdict_text
from tscale.estimates.explaining import counted, published_figure
from tscale.estimates.memory.held import held
from tscale.estimates.memory.serving import Ask as MemoryAsk
from tscale.estimates.memory.serving import server_of
from tscale.estimates.metrics import COMPARED, Subject, cache_of_one_token, shown_figure, subject_of
from tscale.estimates.release import format_of
from tscale.estimates.release_words import release_note
from tscale.estimates.serve.prediction import prediction_of
from tscale.estimates.serve.times import Ask as ServeAsk
from tscale.estimates.serve.times import served
from tscale.estimates.train.ask import Ask as TrainAsk
from tscale.estimates.train.data import train_figures
from tscale.estimates.utilisation import HOURS
from tscale.models.resolve import disclosed
from tscale.models.spec import MOST_ASSUMED, ModelSpec, PublishedName, Spec

FORMATS_SHOWN: Final = ("bf16", "fp8", "q8_0", "q4_k_m", "nf4")
"""Formats that weights are shown in, the plain one first."""
_FORMATS_OF_JSON: Final = ("q4_k",)
"""Those that programs are given besides."""
_MOST_DEVICES: Final = 1024
_DAYS: Final = 30
"""A run of so long is asked about: how many devices it takes, and what they cost."""

_ASKED: Final[tuple[tuple[str, str, PublishedName | None, Unit], ...]] = (
    ("params", "parameters", "params", PARAMETERS),
    ("active_params", "active parameters", "active_params", PARAMETERS),
    ("layers", "layers", None, COUNT),
    ("context", "context", None, TOKENS),
    ("flops_per_token", "forward FLOPs per token", None, FLOPS),
    ("kv_bytes_per_token", "KV cache per token, bf16", None, BYTES),
    ("training_tokens", "training tokens", "training_tokens", TOKENS),
    ("training_flops", "training FLOPs", "training_flops", FLOPS),
)
"""What is shown: the key of the quantity, its name here, and what was published of it."""
CACHE_PER_TOKEN: Final = next(quantity for quantity in COMPARED if quantity.key == "kv_bytes_per_token")


class _Row(NamedTuple):
    """One thing that is asked of a model on a device: its key in JSON, its name, the answer, and the ends of its range."""

    key: str
    name: str
    answer: Figure | Missing | str
    low: Figure | None = None
    high: Figure | None = None
    code: str = ""
    """What programs read in the place of words."""

    @property
    def data(self) -> dict[str, Data]:
        """For JSON; null where there is no number."""
        answer: dict[str, Data] = {self.key: self.code or (None if isinstance(self.answer, Missing) else self.answer)}
        if self.key not in _RANGED:
            return answer
        return {**answer, f"{self.key}_range": None if self.low is None else {"low": self.low, "high": self.high}}


_RANGED: Final = ("tokens_per_second_predicted", "gpu_hours", "cost_usd")
"""What may have a range."""


class _OnGpu(NamedTuple):
    """A model on a device: what it takes there."""

    hardware: Hardware
    rows: tuple[_Row, ...]

    @property
    def title(self) -> str:
        """Its name, as the table's heading."""
        return f"on {self.hardware.label}"

    def table(self) -> Table:
        """What is not said by another row: devices that are needed say whether one is enough."""
        columns = (
            Column(self.title, "quantity", numeric=False),
            Column("value", "value"),
            Column("from", "low"),
            Column("to", "high"),
        )
        known = isinstance(self.row("devices"), Figure)
        rows = (row for row in self.rows if row.key != "verdict" or not known)
        return Table("", columns, tuple((row.name, row.answer, row.low or "", row.high or "") for row in rows))

    def row(self, key: str) -> Figure | Missing | str:
        """What is answered to one question."""
        return next(row.answer for row in self.rows if row.key == key)

    def data(self) -> dict[str, Data]:
        """For JSON."""
        return {key: value for row in self.rows for key, value in row.data.items()}


def summary_report(spec: Spec, hardware: Hardware | None = None) -> Report:
    """Parameters, FLOPs, cache, weights by format and training of a model; on a device also fit, speed, hours and dollars.

    Of an undisclosed model what its makers published and what others estimate; exit code 3.
    """
    if spec.kind == "undisclosed":
        return undisclosed(spec)
    if spec.kind == "tower" and hardware is None:
        return summary_of_tower(spec)
    spec = disclosed(spec)
    found = _found(spec, hardware)
    answers, weights, on_gpu = found.answers, found.weights, found.on_gpu
    title = _headline(spec, answers, weights["bf16"], on_gpu)
    tables = [_table(title, found.subject, answers), _weights_table(weights)]
    if on_gpu is not None:
        tables.append(on_gpu.table())
    notes = tuple(
        note
        for note in (_adapter_note(spec), found.subject.context.note, _window_note(found.subject), release_note(spec))
        if note
    )
    return as_assumed(Report(title, tuple(tables), found.data(), notes), spec)


def summary_figures(spec: Spec, hardware: Hardware | None = None) -> Data:
    """The figures of the answer by their keys, without tables and words."""
    if isinstance(spec, ModelSpec):
        return _found(disclosed(spec), hardware).data()
    return summary_report(spec, hardware).data


class _Found(NamedTuple):
    """What a summary is of: what is asked of a model, its weights by format, and what it takes on a device."""

    subject: Subject
    answers: dict[str, Figure | Missing | str]
    weights: dict[str, Figure]
    on_gpu: _OnGpu | None

    def data(self) -> dict[str, Data]:
        """For JSON."""
        spec = self.subject.spec
        return {
            "model": spec.name,
            "title": spec.label,
            **{key: None if isinstance(answer, Missing) else answer for key, answer in self.answers.items()},
            "published": {name: _published(spec, name, unit) for _, _, name, unit in _ASKED if name is not None},
            "weight_bytes": self.weights,
            "gpu": None if self.on_gpu is None else {"name": self.on_gpu.hardware.name, **self.on_gpu.data()},
        }


def _found(spec: ModelSpec, hardware: Hardware | None) -> _Found:
    subject = subject_of(spec)
    quantities = {quantity.key: quantity for quantity in COMPARED}
    answers = {key: quantities[key].answer(subject) for key, *_ in _ASKED}
    on_gpu = None if hardware is None else _OnGpu(hardware, tuple(_rows_on(spec, hardware)))
    return _Found(subject, answers, dict(_weights(spec)), on_gpu)


def _adapter_note(spec: ModelSpec) -> str:
    """What is said of adapters, none of which is in the answers; nothing of other models."""
    if spec.adapter is None:
        return ""
    on = ", ".join(spec.adapter.targets)
    return (
        f"Of {spec.label} without its adapters of rank {int(spec.adapter.rank):,} on {on}: `tscale params` counts them, and "
        "`tscale train` times their training."
    )


def _headline(
    spec: ModelSpec, answers: dict[str, Figure | Missing | str], weights: Figure, on_gpu: _OnGpu | None
) -> str:
    """The size of a model, and on hardware what one sequence of it needs, in a line."""
    params, active = answers["params"], answers["active_params"]
    assert isinstance(params, Figure)
    part = f" ({number_text(active.value, 'short')} active)" if isinstance(active, Figure) and active != params else ""
    size = f"{number_text(params.value, 'short')} parameters{part}"
    if on_gpu is None:
        return f"{spec.label} has {size} and takes {number_text(weights.value, 'decimal', 'B')} in bf16"
    served, devices = on_gpu.row("per_device_bytes"), on_gpu.row("devices")
    assert isinstance(served, Figure)
    held = number_text(served.value, "decimal", "B")
    if not isinstance(devices, Figure):
        return f"{spec.label}: {size}, takes {held}, does not fit"
    return f"{spec.label}: {size}, served in {held} on {devices.value} {'device' if devices.value == 1 else 'devices'}"


def _published(spec: ModelSpec, name: PublishedName, unit: Unit) -> Figure | None:
    found = shown_figure(spec, name)
    return None if found is None else published_figure(found, unit)


def _table(title: str, subject: Subject, answers: dict[str, Figure | Missing | str]) -> Table:
    columns = (Column("", "quantity", numeric=False), Column("value", "value"), Column("published", "published"))
    rows: list[tuple[Cell, ...]] = []
    for key, name, published, unit in _ASKED:
        dense = key == "active_params" and answers[key] == answers["params"]
        if not dense:
            figure = None if published is None else _published(subject.spec, published, unit)
            rows.append((_at_length(key, name, subject), answers[key], figure or ""))
    return Table(title, columns, tuple(rows), subject=subject.spec.name)


def _at_length(key: str, name: str, subject: Subject) -> str:
    """The name of a quantity, with the length of the sequences that it is of where that matters."""
    of_length = key == "flops_per_token" or (key == "kv_bytes_per_token" and _windowed(subject) is not None)
    name, comma, form = name.partition(",")
    return f"{name} at {subject.context.value:,} tokens{comma}{form}" if of_length else f"{name}{comma}{form}"


def _windowed(subject: Subject) -> Figure | None:
    """What a token adds to the cache until windows are full, where the cache of a whole sequence has less for each."""
    answer, one = CACHE_PER_TOKEN.answer(subject), cache_of_one_token(subject)
    return one if one is not None and isinstance(answer, Figure) and answer.value != one.value else None


def _window_note(subject: Subject) -> str:
    """Of which length, and how it is taken, what a token has of a cache that does not grow evenly; nothing of one that does."""
    one = _windowed(subject)
    if one is None:
        return ""
    length = f"{subject.context.value:,} tokens"
    added = number_text(one.value, "decimal", "B")
    return (
        f"The KV cache per token is the whole cache of {length} over their number; the first tokens add {added} each."
    )


def _weights(spec: ModelSpec) -> Iterator[tuple[str, Figure]]:
    """Bytes of the weights in each format."""
    ledger = counted(spec).ledger
    for name in (*FORMATS_SHOWN, *_FORMATS_OF_JSON):
        kept = _kept(spec, DTYPES[name])
        size = weight_bytes(ledger, kept).total + tower_bytes(ledger, kept).total
        yield name, Figure(size, BYTES, source=DTYPES[name].source)


def _kept(spec: ModelSpec, format: Dtype) -> Dtype | Mixture:
    """What weights are kept in; of a stack too deep to tell its layers apart, the type of most."""
    try:
        return format_of(spec, format)
    except RequestError:
        return format


def _weights_table(weights: dict[str, Figure]) -> Table:
    columns = (Column("", "quantity", numeric=False), *(Column(name, name) for name in FORMATS_SHOWN))
    return Table("", columns, (("weights", *(weights[name] for name in FORMATS_SHOWN)),))


def _rows_on(spec: ModelSpec, hardware: Hardware) -> Iterator[_Row]:
    """What a model takes on a device: whether it fits, devices needed, its speed and what bounds it, hours and dollars."""
    length = min(int(spec.context or MOST_ASSUMED), MOST_ASSUMED)
    alone = MemoryAsk(context=length, hardware=hardware)
    total = held(server_of(spec, alone, length)).total
    yield _Row("per_device_bytes", f"serving one sequence of {length:,} tokens", Figure(total, BYTES, "convention"))
    capacity = serving_capacity(hardware.device(), 1)
    yield _Row("verdict", "on one device", verdict_text(capacity, total), code=capacity.verdict(total))
    devices = _devices_needed(spec, alone, length)
    many = Missing(f"more than {_MOST_DEVICES:,}") if devices is None else Figure(devices, COUNT, "convention")
    yield _Row("devices", "devices to serve it, a power of two", many)
    ask = None if devices is None or spec.kind == "encoder" else ServeAsk(gpus=devices, context=max(length // 2, 1))
    yield _predicted_speed(spec, hardware, ask)
    yield _Row("tokens_per_second", "  at most", _speed(spec, hardware, ask))
    yield from _training(spec, hardware)


def _devices_needed(spec: ModelSpec, ask: MemoryAsk, length: int) -> int | None:
    """The fewest devices, a power of two of them, on which a sequence fits; None where more would be needed."""
    assert ask.hardware is not None
    device, gpus = ask.hardware.device(), 1
    while gpus <= _MOST_DEVICES:
        try:
            total = held(server_of(spec, ask._replace(gpus=gpus), length)).total
        except RequestError:  # so many cannot share its layers
            return None
        if serving_capacity(device, gpus).fits(total):
            return gpus
        gpus *= 2
    return None


def _predicted_speed(spec: ModelSpec, hardware: Hardware, ask: ServeAsk | None) -> _Row:
    """Tokens a second of one user, alone and in the middle of the context, as an 80% interval."""
    found = None if ask is None else prediction_of(spec, hardware, ask)
    key, name = "tokens_per_second_predicted", "tokens/s per user, predicted"
    if found is None or isinstance(found, str) or found.times is None:
        return _Row(key, name, Missing("n/a"))
    low, middle, high = (Figure(1 / seconds, TOKENS_PER_SECOND, "predicted") for seconds in reversed(found.times.tpot))
    return _Row(key, name, middle, low, high)


def _speed(spec: ModelSpec, hardware: Hardware, ask: ServeAsk | None) -> Figure | Missing:
    """The bound on decoding one sequence in the middle of its context."""
    if ask is None:
        return Missing("n/a")
    try:
        one = served(spec, hardware, ask)
        seconds = one.pass_seconds(one.step(one.middle))
    except RequestError as error:  # such as a network that nobody has stated
        return Missing(str(error).partition(":")[0])
    return Figure(1 / seconds, TOKENS_PER_SECOND, "bound")


def _training(spec: ModelSpec, hardware: Hardware) -> Iterator[_Row]:
    """GPU-hours and dollars of its training, at the utilisation and the price that are assumed, each with its range."""
    rows = (("gpu_hours", "training, GPU-hours"), ("cost_usd", "training, US dollars"))
    try:
        answer = train_figures(spec, hardware, TrainAsk(days=Fraction(_DAYS)))
    except (NotPublishedError, RequestError):
        for key, name in rows:
            yield _Row(key, name, Missing("n/a"))
        return
    assert isinstance(answer, dict)
    how = {"gpu_hours": _hours_known(answer)}
    for key, name in rows:
        found = answer[key]
        yield _Row(
            key,
            name + how.get(key, ""),
            found if isinstance(found, Figure) else Missing("n/a"),
            *_range_of(answer, key),
        )


def _hours_known(answer: dict[str, Data]) -> str:
    """How far hours are from published ones, or that they are those of the model's own run."""
    errors = answer["errors"]
    assert isinstance(errors, list)
    judged_here = any(isinstance(one, dict) and one["of"] == "gpu_hours" for one in errors)
    return f" (within {certainly_judged(HOURS).median:.0%})" if judged_here else " (published run)"


def _range_of(answer: dict[str, Data], key: str) -> tuple[Figure | None, Figure | None]:
    """The least and the most of a figure: of dollars at the lowest and the highest price too."""
    if key == "cost_usd":
        ends = answer["cost_usd_range"]
        figures = [ends["low"], ends["high"]] if isinstance(ends, dict) else []
    else:
        cases = answer["range"]
        figures = [case[key] for case in cases if isinstance(case, dict)] if isinstance(cases, list) else []
    known = sorted((figure for figure in figures if isinstance(figure, Figure)), key=lambda figure: figure.value)
    return (known[0], known[-1]) if known else (None, None)
