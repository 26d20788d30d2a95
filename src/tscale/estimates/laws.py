"""What the answers by scaling laws share: which laws, a prediction as figures, and what must be said beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tscale.catalogue.laws import Law, read_law, shipped_laws
from tscale.core.laws import Bare, Bits, Farseer, Kaplan, KaplanJoint, Lifetime, Parametric, Point, Power, Repeated
from tscale.core.laws import Law as Formula
from tscale.core.metric import Data, Figure, Known, Label, Missing, Step
from tscale.core.units import (
    BITS_PER_CHARACTER,
    EXPONENT,
    FLOPS,
    NATS,
    PREDICTED_PARAMETERS,
    PREDICTED_TOKENS,
    RATIO,
    TOKENS_PER_PARAMETER,
    Unit,
)
from tscale.errors import RequestError, field
from tscale.estimates.judged import law_errors

INCOMPARABLE: Final = (
    "Losses are in nats per token, each on the data and tokenizer of its law: losses of two laws cannot be compared."
)
_UNITS: Final = {NATS.name: NATS, BITS_PER_CHARACTER.name: BITS_PER_CHARACTER}
NO_LOSS: Final = Missing("no loss", settled=True)


class Bound(NamedTuple):
    """A law with its formula, bound to the unique tokens and the tokens served that were asked about."""

    law: Law
    formula: Formula


def picked(names: Sequence[str], unique: int | None, served: int | None, bits: Bits | None = None) -> list[Bound]:
    """The laws asked for; where none are, all that are shipped, and those of repeated data, service and bits if asked about."""
    kinds = {"repeated": unique, "lifetime": served, "precision": bits}
    laws = [read_law(name) for name in dict.fromkeys(names)] or [
        law for law in shipped_laws() if law.dense and not law.by_name and kinds.get(law.kind, 1) is not None
    ]
    for law in laws:
        refuse_others(law)
    options = {"repeated": "unique_tokens", "lifetime": "inference_tokens", "precision": "bits"}
    for (kind, given), option in zip(kinds.items(), options.values(), strict=True):
        if given is not None and all(law.kind != kind for law in laws):
            raise RequestError(
                f"{field(option)} is read only by a law of kind {kind}: leave out {field('law')}, or add one of that kind"
            )
    return [_bound(law, unique, served, bits) for law in laws]


def _bound(law: Law, unique: int | None, served: int | None, bits: Bits | None) -> Bound:
    try:
        return Bound(law, law.formula(unique, served, bits))
    except OverflowError:
        assert bits is not None
        raise RequestError(
            f"{law.name} knows of no training in {', '.join(format(one, 'g') for one in bits)} bits of weights, activations and "
            f"KV cache: give more {field('bits')}"
        ) from None


def refuse_others(law: Law) -> None:
    """Raises `RequestError` for a law that says nothing of dense models."""
    if law.kind in ("hyper", "vocabulary"):
        of = "vocabularies" if law.kind == "vocabulary" else "learning rates and batch sizes"
        raise RequestError(f"{law.name} is a law of {of}: `tscale hyper MODEL` reads it")
    if not law.dense and law.kind != "joint-experts":
        raise RequestError(
            f"{law.name} is a law of mixtures of experts, and says nothing of a dense model: choose another {field('law')}"
        )


def predicted(value: float, unit: Unit, law: Law) -> Figure:
    """A number that a law predicts; whole where its unit counts things."""
    whole = unit in (PREDICTED_PARAMETERS, PREDICTED_TOKENS, FLOPS)
    return Figure(round(value) if whole else value, unit, "convention", law.source)


def law_unit(law: Law) -> Unit:
    """What the losses of a law are in."""
    return _UNITS[law.losses]


def one_unit(laws: Sequence[Law]) -> Unit:
    """What the losses of laws on one axis are in. Raises `RequestError` where they differ."""
    units = {law.losses: law for law in laws}
    if len(units) > 1:
        said = ", ".join(f"of {law.name} in {unit}" for unit, law in units.items())
        raise RequestError(f"losses {said} have no axis in common: choose one {field('law')}")
    return law_unit(laws[0]) if laws else NATS


def loss_figure(loss: float | None, law: Law) -> Figure | Missing:
    """A loss in the unit of its law, where the law has one."""
    return NO_LOSS if loss is None else predicted(round(loss, 6), law_unit(law), law)


def per_param(point: Point, law: Law) -> Figure:
    """Tokens for each parameter of a run."""
    return predicted(round(point.tokens / point.params, 6), TOKENS_PER_PARAMETER, law)


def extrapolated(bound: Bound, point: Point) -> bool:
    """Whether a run lies outside of those that its law was fitted on."""
    unique = bound.formula.unique if isinstance(bound.formula, Repeated) else point.tokens
    return not bound.law.fitted.holds(point.params, point.tokens, point.flops, max(point.tokens / unique, 1))


def range_mark(*, beyond: bool) -> Label:
    """Whether a run lies within what a law was fitted on, in a word."""
    return Label("extrapolated" if beyond else "inside", value=beyond)


class Interval(NamedTuple):
    """The low and the high end of an optimum's parameters and tokens."""

    params: tuple[float, float]
    tokens: tuple[float, float]


def interval(bound: Bound, ends: Interval | None) -> Data:
    """For JSON: the interval of the parameters where the law file holds it, else of the exponent if published."""
    law = bound.law
    if ends is not None:
        low, high = ends.params
        return {
            "of": "params",
            "low": predicted(low, PREDICTED_PARAMETERS, law),
            "high": predicted(high, PREDICTED_PARAMETERS, law),
            "level": LEVEL if law.quantiles is None else law.quantiles.level,
        }
    if law.exponent is None:
        return None
    _, least, most = exponents(law)
    return {"of": "exponent", "low": least, "high": most, "level": law.exponent.level}


LEVEL: Final = "2.5th to 97.5th percentile of bootstrap samples"


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The 2.5th and the 97.5th percentile, between neighbours as numpy does by default."""
    ordered = sorted(values)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (place - below) * (ordered[above] - ordered[below])

    return at(0.025), at(0.975)


def exponents(law: Law) -> tuple[Figure, Figure, Figure]:
    """The a of N ~ C^a of a law that states it, and the ends of its interval: as published, or as it was fitted here."""
    one = law.exponent
    assert one is not None
    known: Known = "convention" if one.evidence == "derived" else "cited"
    value, low, high = (Figure(end, EXPONENT, known, one.source) for end in (one.value, one.low, one.high))
    return value, low, high


def exponent_of(bound: Bound) -> Figure | Missing:
    """The a of N ~ C^a: as published, else as the constants give it."""
    if bound.law.exponent is not None:
        return exponents(bound.law)[0]
    match bound.formula:
        case Power() | Kaplan() | KaplanJoint() | Parametric():
            return predicted(round(bound.formula.exponent, 4), EXPONENT, bound.law)
        case Lifetime() | Repeated() | Farseer() | Bare():
            return Missing("no single power", settled=True)


def counts_note(laws: Sequence[Law]) -> str:
    """Which parameters the laws count, and how FLOPs."""
    bare = [law.name for law in laws if law.counts == "non_embedding"]
    met = [law.name for law in laws if law.counts == "active"]
    by_m = [law.name for law in laws if law.flops == "M*D"]
    said = "N is all parameters" + (f", but without embeddings in {', '.join(bare)}" if bare else "")
    said += f"{' and' if bare else ', but'} those that a token meets in {', '.join(met)}" if met else ""
    return f"{said}. C is 6·N·D" + (f", and M·D with attention in {', '.join(by_m)}." if by_m else ".")


def range_note(laws: Sequence[tuple[Law, bool]]) -> str:
    """Which laws were asked about what they were not fitted on: each law, and whether it was."""
    beyond = [law.name for law, past in laws if past]
    if not beyond:
        return ""
    if len(beyond) == len(laws):
        return "Extrapolated: the run lies outside the range that the law was fitted on, for every law here."
    return f"Extrapolated, because the run lies outside the range that the law was fitted on: {', '.join(beyond)}."


def law_notes(laws: Sequence[Law], *, explain: bool) -> Iterator[str]:
    """What is noted of the laws: all of it where it is asked for or of a law or two, else where to find it."""
    noted = [law for law in laws if law.notes]
    if explain or len(laws) <= 2:
        yield from (f"{law.name}: {note.strip()}" for law in noted for note in law.notes)
    elif noted:
        yield f"{', '.join(law.name for law in noted)} have notes, such as misprints: --explain or --law NAME prints them."


_FORMULAS: Final = {
    "parametric": "N = G·(C/6)^(beta/(alpha + beta)), G = (alpha·A/(beta·B))^(1/(alpha + beta)), L = E + A/N^alpha + B/D^beta",
    "lifetime": "the least 6·N·D + 2·N·D_served that keeps L = E + A/N^alpha + B/D^beta",
    "repeated": "the least L = E + A/N_eff^alpha + B/D_eff^beta, X_eff = U + U·R·(1 - exp(-(X/U - 1)/R))",
    "power": "{of} = coefficient·C^exponent",
    "kaplan": "N = coefficient·C^exponent, C in PF-days, L = (C_c/C)^alpha_C",
    "kaplan-joint": "the least L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D with 6·N·D = C",
    "precision": "N = G·(C/6)^(beta/(alpha + beta)), G = (alpha·A_P/(beta·B))^(1/(alpha + beta)), A_P = A·(N/N_eff)^alpha",
    "farseer": "the least L = exp(a3·N^g + b3) + exp(a2·N^bt + b2)·D^(-exp(a1·N^al + b1)) with 6·N·D = C",
    "bare": "the least L = E + A/N_T^alpha + B/D^beta with 6·N·D = C, N_T = N + omega·N^(1/3)",
    "joint-experts": "N = G·(C/6)^a of its law for E = 1, L = c + m/N^mu + n/D^nu",
}
_OF: Final = {"params": "N", "tokens": "D", "flops_per_token": "M"}


def steps(bounds: Sequence[tuple[Bound, Point]]) -> Iterator[Step]:
    """Each law's formula, its constants with their sources, and the parameters that came of it."""
    for bound, point in bounds:
        law = bound.law
        formula = _FORMULAS[law.kind].format(of=_OF[law.of])
        constants = ", ".join(f"{name} {one.value:g}" for name, one in law.constants.items())
        yield Step("params", formula, constants, predicted(point.params, PREDICTED_PARAMETERS, law), law.name)


def law_data(law: Law) -> dict[str, Data]:
    """For JSON: what a law counts, what it was fitted on, its constants and what is noted of it."""

    def span(pair: tuple[float, float] | None, unit: Unit) -> Data:
        if pair is None:
            return None
        return [Figure(value, unit, "cited", law.fitted.source) for value in pair]

    return {
        "title": law.label,
        "counts": law.counts,
        "flops_by": law.flops,
        "fitted": {
            "params": span(law.fitted.params, PREDICTED_PARAMETERS),
            "tokens": span(law.fitted.tokens, PREDICTED_TOKENS),
            "flops": span(law.fitted.flops, FLOPS),
            "evidence": law.fitted.evidence,
        },
        "constants": {
            name: {
                "value": Figure(one.value, RATIO._replace(name=""), "cited", one.source),
                "evidence": one.evidence,
                "note": one.note,
            }
            for name, one in law.constants.items()
        },
        "law_notes": [note.strip() for note in law.notes],
        "errors": law_errors(law),
    }
