"""What a file of a scaling law may say: its kind of formula, its constants, and what it was fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from math import exp, log
from typing import Annotated, Final, Literal

from tscale.blocks.fields import Number, Positive, Problem, Whole, of_one_line
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.catalogue.index import aliases_of, compiled
from tscale.catalogue.law_kinds import CONSTANTS, EXPERTS, OWN, PARAMETRIC, Kind, problems_of_constants
from tscale.catalogue.shipped import built, read_as, shipped_names, shipped_or_file
from tscale.core.laws import (
    HALF,
    Bare,
    Bits,
    Lifetime,
    Parametric,
    Power,
    Precision,
    Repeated,
    power_of_flops_per_token,
    power_of_tokens,
)
from tscale.core.laws import Law as Formula
from tscale.core.laws.experts import ExpertsLaw, Joint, Leverage
from tscale.core.laws.hyper import Hyper
from tscale.core.laws.vocabulary import Vocabulary
from tscale.core.tracing import Recordable
from tscale.errors import SpecError, SpecErrors
from tscale.models.spec import Evidence

Signed = Annotated[int | float, Number(signed=True)]
Range = tuple[Positive, Positive]

Counts = Literal["all", "non_embedding", "active", "active_non_embedding"]


@spec_dataclass
class Constant:
    """A constant of a law, where it was read, and its interval where one was published."""

    value: Signed
    low: Signed | None = None
    high: Signed | None = None
    source: str
    evidence: Evidence = "unconfirmed"
    note: str | None = None


@spec_dataclass
class Downstream:
    """The error of downstream tasks by the loss, epsilon - k·exp(-gamma·L). Gadre 2024, equation 5."""

    epsilon: Positive
    k: Positive
    gamma: Positive
    tasks: str
    """Which tasks the error is the mean of."""
    source: str
    evidence: Evidence = "unconfirmed"


@spec_dataclass
class Exponent:
    """The a of N ~ C^a along the optimum as published, with its interval."""

    value: Positive
    low: Positive
    high: Positive
    level: str
    """What the interval is: 95%, 10th to 90th percentile."""
    source: str
    evidence: Evidence = "unconfirmed"


@spec_dataclass
class Fitted:
    """The runs that a law was fitted on, from the least to the most."""

    params: Range | None = None
    tokens: Range | None = None
    flops: Range | None = None
    epochs: Range | None = None
    expansion: Range | None = None
    """Feed-forward parameters stored for each that a token meets, in mixtures of experts."""
    granularity: Range | None = None
    """Experts that a dense feed-forward of the width that a token meets is cut into."""
    source: str
    evidence: Evidence = "unconfirmed"
    note: str | None = None

    def holds(self, params: float, tokens: float, flops: float, epochs: float = 1) -> bool:
        """Whether a run lies within them, as far as they are known."""
        return self.within(params=params, tokens=tokens, flops=flops, epochs=epochs)

    def within(self, **run: float) -> bool:
        """Whether what is given of a run, by the names of these fields, lies within them, as far as they are known."""
        known = ((getattr(self, name), value) for name, value in run.items())
        return all(ends is None or ends[0] <= value <= ends[1] for ends, value in known)


Ends = tuple[Positive, Positive, Positive]


@spec_dataclass
class Quantiles:
    """Intervals of the optimum: rows of what is given, and the low and the high end of what is not.

    Between rows logarithms are interpolated: along the optima of one law of Hoffmann's form they are straight lines.
    """

    level: str
    """What the interval is."""
    flops: tuple[Ends, ...]
    """Training FLOPs, and the parameters of their optimum."""
    params: tuple[Ends, ...]
    """Parameters, and the tokens of the run for which they are optimal."""
    tokens: tuple[Ends, ...]
    """Tokens, and the parameters of the run for which they are optimal."""

    def at(self, of: Literal["flops", "params", "tokens"], amount: float) -> tuple[float, float]:
        """The low and the high end for an amount, past the first and last rows along the lines of the two nearest."""
        if isinstance(amount, Recordable):
            return amount.called("low", lambda one: self.at(of, one)[0]), amount.called(
                "high", lambda one: self.at(of, one)[1]
            )
        rows = getattr(self, of)
        place = min(max(sum(row[0] <= amount for row in rows), 1), len(rows) - 1)
        before, after = rows[place - 1], rows[place]
        share = log(amount / before[0]) / log(after[0] / before[0])
        low, high = (exp(log(a) + share * log(b / a)) for a, b in zip(before[1:], after[1:], strict=True))
        return low, high


@spec_dataclass
class Law:
    """A scaling law: one kind of formula with constants, and what it counts."""

    name: str
    title: str | None = None
    aliases: tuple[str, ...] = ()
    """Other names of it, which lead to this one where they are asked for."""
    year: Annotated[int, Whole(1900, 2100)] | None = None
    kind: Kind
    """parametric: E + A/N^alpha + B/D^beta. power: the optimum alone. repeated, lifetime, precision: parametric, with what it adds.
    Those of experts: the loss of mixtures, or their leverage over dense models. hyper: learning rate and batch size. vocabulary: its rows."""
    by_name: bool = False
    """Whether it answers only where it is asked for by name."""
    of: Literal["params", "tokens", "flops_per_token"] = "params"
    """What the power of C is, in a law of kind power."""
    source: str
    counts: Counts
    """Which parameters N is."""
    flops: Literal["6ND", "M*D"]
    """How it counts training FLOPs; M is FLOPs per token with attention."""
    data: str | None = None
    """What its losses were measured on."""
    losses: Literal["nats per token", "bits per character"] = "nats per token"
    """What its losses are in."""
    optima: bool = True
    """Whether its constants are known well enough to say which run is the best of a budget."""
    fitted: Fitted
    constants: dict[str, Constant]
    exponent: Exponent | None = None
    downstream: Downstream | None = None
    """What errors of downstream tasks its losses stand for, if that was fitted."""
    optimizer: str | None = None
    """What the learning rates of a law of kind hyper are for."""
    sequence: Annotated[int, Whole(1, 10**7)] | None = None
    """Tokens of a sequence, where a law of kind hyper counts batches in sequences."""
    draws: tuple[tuple[Positive, ...], ...] = ()
    """E, A, B, alpha and beta of bootstrap samples, for intervals."""
    quantiles: Quantiles | None = None
    """The intervals of its optima, in place of samples."""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name as its makers write it."""
        return self.title or self.name

    def problems(self) -> Iterator[Problem]:
        """What contradicts itself: each names a field and says what is wrong and what to do."""
        for path, message in of_one_line(name=self.name, title=self.title):
            yield path, f"{path[0]} {message}"
        wanted = CONSTANTS[self.kind]
        yield from problems_of_constants(self.kind, {name: one.value for name, one in self.constants.items()})
        for name in ("params", "tokens", "flops", "epochs", "expansion", "granularity"):
            known = getattr(self.fitted, name)
            if known is not None and known[0] > known[1]:
                yield ("fitted", name), f"fitted.{name} goes from the least to the most"
        if self.quantiles is not None:
            yield from self._problems_of_quantiles(self.quantiles)
        if self.of != "params" and self.kind != "power":
            yield ("of",), f"only a law of kind power is of something else than params: drop it ({self.kind})"
        if self.draws and (self.kind != "parametric" or any(len(draw) != len(wanted) for draw in self.draws)):
            yield ("draws",), f"draws are lists of {', '.join(PARAMETRIC)}, of a parametric law"

    def _problems_of_quantiles(self, quantiles: Quantiles) -> Iterator[Problem]:
        """Rows that are too few, or do not rise."""
        for name in ("flops", "params", "tokens"):
            rows = getattr(quantiles, name)
            if len(rows) < 2 or any(later[0] <= row[0] for row, later in pairwise(rows)):
                yield (
                    ("quantiles", name),
                    f"quantiles.{name} has two rows or more, by what is given, from the least to the most",
                )

    def formula(self, unique: float | None = None, served: float | None = None, bits: Bits | None = None) -> Formula:
        """The law as it is computed; `unique` tokens, tokens `served` and `bits` of training bind the kinds that know of them.

        Without them, those are what they are made from: the plain parametric law, of 16 bits. Of a joint law of experts, that of
        dense models. Raises `OverflowError` where no parameter counts in so few bits.
        """
        assert self.dense or self.kind == "joint-experts", "a law that says something of dense models"
        value = self._values()
        if self.kind == "joint-experts":
            return Joint(**value).of(1)
        if self.kind == "power":
            made = {"params": Power, "tokens": power_of_tokens, "flops_per_token": power_of_flops_per_token}[self.of]
            return made(value["coefficient"], value["exponent"])
        if self.kind in OWN:
            return OWN[self.kind](**value)
        if self.kind == "precision":
            return Precision(**value).of(bits or HALF)
        law = Parametric(*(value[name] for name in PARAMETRIC))
        if self.kind == "bare":
            return Bare(law, value["omega"])
        if self.kind == "repeated" and unique is not None:
            return Repeated(law, value["R_D"], value["R_N"], unique)
        return Lifetime(law, served) if self.kind == "lifetime" and served is not None else law

    @property
    def dense(self) -> bool:
        """Whether it predicts of dense models."""
        return self.kind in (*OWN, "parametric", "power", "repeated", "lifetime", "precision", "bare")

    @property
    def precision(self) -> Precision | None:
        """The law of bits of training; None where it knows of none."""
        return Precision(**self._values()) if self.kind == "precision" else None

    @property
    def experts(self) -> ExpertsLaw | Leverage | None:
        """The law as it is computed of mixtures of experts; None where it knows of none."""
        made = EXPERTS.get(self.kind)
        return None if made is None else made(*self._values().values())

    @property
    def hyper(self) -> Hyper | None:
        """The law of learning rates and batch sizes; None where it is none."""
        return Hyper(self._values(), self.sequence) if self.kind == "hyper" else None

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The law of vocabularies; None where it is none."""
        return Vocabulary(**self._values()) if self.kind == "vocabulary" else None

    def _values(self) -> dict[str, float]:
        return {name: float(self.constants[name].value) for name in CONSTANTS[self.kind] if name in self.constants}


def listed_laws() -> list[str]:
    """The names of the laws that are shipped."""
    return shipped_names("laws")


def shipped_laws() -> list[Law]:
    """The laws that are shipped, oldest first."""
    return list(_shipped())


@cache
def _shipped() -> tuple[Law, ...]:
    """The laws that are shipped, read once."""
    return tuple(sorted(map(read_law, listed_laws()), key=lambda law: (law.year or 0, law.name)))


def read_law(name: str) -> Law:
    """The law in a file, or one that is shipped, by its name. Raises `TscaleError`."""
    data = compiled("laws", name)
    return law_from_yaml(name) if data is None else built(Law, data, _INNER)


def law_from_yaml(name: str) -> Law:
    """The law in a file, or one that is shipped, read and validated. Raises `TscaleError`."""
    document = shipped_or_file(name, "laws", "law", "`tscale fit` writes such a file", lambda: aliases_of("laws"))
    law = read_as(Law, document, _INNER)
    problems = [SpecError(message, where=document.where(where)) for where, message in law.problems()]
    if problems:
        raise SpecErrors(problems)
    return law


_INNER: Final[dict[str, type]] = {
    "fitted": Fitted,
    "exponent": Exponent,
    "downstream": Downstream,
    "quantiles": Quantiles,
    "constants*": Constant,
}
