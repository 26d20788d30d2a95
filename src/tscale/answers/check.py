"""`tscale check`: each claim beside the right value, whether it holds, and what the number may have been taken from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Final, Literal, NamedTuple

from tscale.catalogue.claims import Claim, Claims
from tscale.core.metric import Column, Data, Figure, Missing, Report, weakest
from tscale.core.sources import cited
from tscale.core.units import COUNT, FLOPS, PF_DAYS, RATIO, TOKENS
from tscale.core.view import Record, view
from tscale.errors import RequestError, SpecError, TscaleError, nearest
from tscale.estimates.explaining import plain_number, source_text
from tscale.estimates.metrics import CLAIMABLE, Subject, claimable, subject_of
from tscale.estimates.truths import PUBLISHED, Truth, Truths, corrected_figure, truths_of
from tscale.models.resolve import disclosed, find
from tscale.models.spec import Published, Spec
from tscale.models.undisclosed import UndisclosedSpec
from tscale.models.yaml_file import Document

Verdict = Literal["holds", "close", "misprint", "does not hold", "cannot be checked", "not judged"]

HOLDS: Final = Fraction(1, 200)
"""A claim holds if it is within 0.5% of a right value, unless it sets a tolerance; a whole number only if it is equal."""
CLOSE: Final = 10
"""It is close within ten times that."""
_FEWEST_DIGITS: Final = 2
"""Training FLOPs are quoted rounded: a claim holds if a right value rounds to it, in its own digits or so many at least."""

_COLUMNS = (
    Column("claim", "claim", numeric=False, wraps=16),
    Column("claimed", "claimed", drop=1),
    Column("right value", "right"),
    Column("verdict", "verdict", numeric=False, wraps=13),
    Column("because", "because", numeric=False, wraps=20, below=True),
)
_QUOTE = Column("quote", "quote", numeric=False, wraps=20, below=True)


class _Judged(NamedTuple):
    """A claim with what is right, what follows, and why; `held_by`: every basis on which it holds."""

    claim: Claim
    claimed: Figure
    right: Figure | Missing
    verdict: Verdict
    because: str
    hint: str = ""
    counted: Figure | None = None
    held_by: tuple[str, ...] = ()


def check_report(claims: Claims, document: Document) -> Report:
    """The audit of a file of claims: exit code 3 if one of them does not hold, or repeats a misprint; 1 if one is about nothing known."""
    judged = [_judged_or_not(claim, document, place) for place, claim in enumerate(claims.claims)]
    counts = {verdict: sum(one.verdict == verdict for one in judged) for verdict in _VERDICTS}
    summary = ", ".join(f"{count} {_plural(verdict, count)}" for verdict, count in counts.items() if count)
    records = [_data(one) for one in judged]
    data: Data = {
        "title": claims.title,
        "claims": records,
        "verdicts": {verdict.replace(" ", "_"): count for verdict, count in counts.items()},
    }
    wrong = counts["does not hold"] + counts["misprint"]
    of = "1 claim" if len(judged) == 1 else f"{len(judged)} claims"
    title = f"{claims.title}: of {of}, {summary}" if judged else claims.title
    rows = [{**record, **_in_words(one)} for record, one in zip(records, judged, strict=True)]
    table = view(title, (*_COLUMNS, _QUOTE if any(one.claim.quote for one in judged) else None), rows)
    return Report(
        title, (table,), data, _notes(claims, judged), exit_code=1 if counts["not judged"] else 3 if wrong else 0
    )


def _notes(claims: Claims, judged: Sequence[_Judged]) -> tuple[str, ...]:
    return (
        *([] if judged else ["No claims."]),
        "A claim holds within 0.5% of the right value (or its own tolerance), is close within ten times that; "
        "whole numbers of an architecture, such as layers, are right or wrong.",
        *([_ROUNDED] if any(one.claimed.unit in (FLOPS, PF_DAYS) for one in judged) else []),
        *([f"Claims from: {claims.source}"] if claims.source else []),
    )


_ANY_BASIS: Final = ("training_tokens",)
"""Quantities whose sum over stages, which is ours, is on the same basis as another model's published total."""
_VERDICTS: Final[tuple[Verdict, ...]] = (
    "holds",
    "close",
    "misprint",
    "does not hold",
    "cannot be checked",
    "not judged",
)
_ROUNDED: Final = (
    "Training FLOPs are judged by each convention, at the lengths that were trained at, and hold too where the right "
    "value is the claim once it is rounded to the claim's digits, two at least."
)


def _plural(verdict: Verdict, count: int) -> str:
    if count == 1:
        return verdict
    return {"holds": "hold", "misprint": "misprints", "does not hold": "do not hold"}.get(verdict, verdict)


def _in_words(one: _Judged) -> Record:
    """What people read of a claim in the place of its parts; that there is no right value in a word or two, for why is said too."""
    claim, right = one.claim, one.right
    times = f", times {claim.relative_to}'s" if claim.relative_to else ""
    return {
        "claim": f"{claim.subject}: {CLAIMABLE[claim.quantity].name if claim.quantity in CLAIMABLE else claim.quantity}{times}",
        "right": right if isinstance(right, Figure) else right._replace(why=right.why.partition(":")[0]),
        "because": "; ".join(filter(None, (one.because, one.hint))),
    }


def _data(one: _Judged) -> Record:
    right = one.right if isinstance(one.right, Figure) else None
    gap = None if one.counted is None or right is None else _percent(one.counted, right)
    return {
        "subject": one.claim.subject,
        "quantity": one.claim.quantity,
        "relative_to": one.claim.relative_to,
        "quote": one.claim.quote,
        "claimed": one.claimed,
        "right": one.right,
        "source": cited(right.source) if right is not None and right.source else None,
        "counted": one.counted,
        "difference_percent": gap,
        "held_by": list(one.held_by),
        "verdict": one.verdict,
        "because": one.because,
        "hint": one.hint,
    }


def _judged_or_not(claim: Claim, document: Document, place: int) -> _Judged:
    """A claim with its verdict; why there is none where it names a model or a quantity that is not known, by its line."""
    try:
        return _judge(claim, document, place)
    except TscaleError as error:
        claimed = Figure(claim.claimed, RATIO if claim.relative_to else COUNT)
        return _Judged(claim, claimed, Missing("n/a"), "not judged", str(error))


def _judge(claim: Claim, document: Document, place: int) -> _Judged:
    quantity = claimable(claim.quantity)
    if quantity is None:
        where = document.where(("claims", place, "quantity"))
        labels = {one.name: one.key for one in CLAIMABLE.values()}
        hint = nearest(claim.quantity, CLAIMABLE, labels)
        raise SpecError(f'no quantity "{claim.quantity[:40]}": {hint}', where=where)
    claim = replace(claim, quantity=quantity.key)
    subject = _subject(claim.subject, document, ("claims", place, "subject"))
    truths = truths_of(quantity, subject)
    if claim.relative_to is not None:
        other = _subject(claim.relative_to, document, ("claims", place, "relative_to"))
        return _judged_ratio(claim, truths, truths_of(quantity, other))
    claimed = Figure(claim.claimed, quantity.unit)
    if not truths.right:
        missing = truths.missing
        assert missing is not None
        hint = _hint(claim, subject) if missing.settled else ""
        verdict: Verdict = "does not hold" if missing.settled else "cannot be checked"
        return _Judged(claim, claimed, missing, verdict, missing.why, hint)
    return _judged(claim, claimed, truths, subject)


def _judged(claim: Claim, claimed: Figure, truths: Truths, subject: Subject | UndisclosedSpec) -> _Judged:
    """A claim where something is known to be right."""
    counted = truths.counted()
    holding = [truth for truth in truths.right if _holds(claim, truth.figure, fits=truth.fits)]
    if holding:
        right = _nearest(claim, holding)
        because = _because(claim, right, counted, holding)
        return _Judged(claim, claimed, right.figure, "holds", because, "", counted, _bases(holding))
    for misprint in truths.misprints:
        if _repeats(claim.claimed, Figure(misprint.value, claimed.unit)):
            right_figure = corrected_figure(misprint, claimed.unit)
            because = _because_misprint(misprint, right_figure, counted)
            return _Judged(claim, claimed, right_figure, "misprint", because, "", counted)
    right = _nearest(claim, truths.right)
    hint = _hint(claim, subject)
    if _is_close(claim, right.figure):
        return _Judged(claim, claimed, right.figure, "close", _because(claim, right, counted), hint, counted)
    right = right if claimed.unit not in (FLOPS, PF_DAYS) else truths.right[0]
    because = "; ".join(text for text in (_because(claim, right, counted), _range(truths.right)) if text)
    return _Judged(claim, claimed, right.figure, "does not hold", because, hint, counted)


def _judged_ratio(claim: Claim, ours: Truths, theirs: Truths) -> _Judged:
    """A ratio of two figures on the same basis: both counted, both published, or both by one convention."""
    claimed = Figure(claim.claimed, RATIO)
    missing = _no_ratio(claim, ours, theirs)
    if missing is not None:
        return _Judged(claim, claimed, missing, "cannot be checked", missing.why)
    ratios = _ratios(claim, ours, theirs)
    holding = [truth for truth in ratios if _holds(claim, truth.figure)]
    if holding:
        right = _nearest(claim, holding)
        return _Judged(claim, claimed, right.figure, "holds", right.how, held_by=_bases(holding))
    close = [truth for truth in ratios if _is_close(claim, truth.figure)]
    right = _nearest(claim, close) if close else ratios[0]
    return _Judged(claim, claimed, right.figure, "close" if close else "does not hold", right.how)


def _no_ratio(claim: Claim, ours: Truths, theirs: Truths) -> Missing | None:
    """Why there is no ratio to compare a claim with; None where there is one."""
    if not ours.right or not theirs.right:
        missing = ours.missing or theirs.missing
        assert missing is not None
        return missing
    if any(not truth.figure.value for truth in theirs.right):
        return Missing(f"the {claim.quantity} of {claim.relative_to} is 0, which nothing is a multiple of")
    return None


def _ratios(claim: Claim, ours: Truths, theirs: Truths) -> list[Truth]:
    """The ratios on one basis; where no two figures have one, that of the first two."""
    every = [(one, other) for one in ours.right for other in theirs.right]
    both = [(one, other) for one, other in every if one.basis == other.basis or claim.quantity in _ANY_BASIS]
    pairs = both or [(ours.right[0], theirs.right[0])]
    return [Truth(_ratio(one.figure, other.figure), one.basis, _against(one, other)) for one, other in pairs]


def _bases(holding: Iterable[Truth]) -> tuple[str, ...]:
    """On what a claim holds: counted, published, or the keys of conventions."""
    return tuple(dict.fromkeys(truth.basis for truth in holding))


def _ratio(ours: Figure, theirs: Figure) -> Figure:
    value = Fraction(ours.value) / Fraction(theirs.value)
    return Figure(value, RATIO, weakest(ours.known, theirs.known), ours.source)


def _against(ours: Truth, theirs: Truth) -> str:
    by = f", by {ours.how}" if ours.how else ""
    return f"{plain_number(ours.figure.value)} against {plain_number(theirs.figure.value)}{by}"


@cache
def _found(name: str) -> Spec:
    return find(name)


def _subject(name: str, document: Document, path: tuple[str | int, ...]) -> Subject | UndisclosedSpec:
    """The model that a claim is about, ready to be asked; as it is if its shape was never published."""
    try:
        spec = _found(name)
        return spec if isinstance(spec, UndisclosedSpec) else subject_of(disclosed(spec))
    except RequestError as error:
        raise SpecError(str(error), where=document.where(path)) from None


# ---------------------------------------------------------------------------------------------------------------------
# How near a claim is
# ---------------------------------------------------------------------------------------------------------------------


def _gap(claimed: float, right: Figure) -> Fraction:
    """How far a claim is off, as a share of the right value; past any tolerance where that is 0 and the claim is not."""
    if not right.value:
        return Fraction(0) if not claimed else _PAST_ANY_TOLERANCE
    return abs(Fraction(claimed) - Fraction(right.value)) / Fraction(right.value)


_PAST_ANY_TOLERANCE: Final = Fraction(10**30)


def _nearest(claim: Claim, truths: Iterable[Truth]) -> Truth:
    return min(truths, key=lambda truth: _gap(claim.claimed, truth.figure))


def _tolerance(claim: Claim, right: Figure) -> Fraction:
    """How far off still holds: as the claim says, not at all for a whole number of an architecture, else 0.5%."""
    if claim.tolerance is not None:
        return Fraction(claim.tolerance)
    return Fraction(0) if _is_whole(claim, right) else HOLDS


def _is_whole(claim: Claim, right: Figure) -> bool:
    """Whether a claim is right or wrong: of a whole number, and not of how many times another it is."""
    return CLAIMABLE[claim.quantity].whole and right.unit is not RATIO


def _holds(claim: Claim, right: Figure, *, fits: bool = True) -> bool:
    """Whether a claim is right; `fits`: training FLOPs by what was made for such a model may be rounded."""
    if _gap(claim.claimed, right) <= _tolerance(claim, right):
        return True
    rounded = fits and claim.tolerance is None and right.unit in (FLOPS, PF_DAYS)
    return rounded and _rounds_to(right, claim.claimed)


def _is_close(claim: Claim, right: Figure) -> bool:
    return not _is_whole(claim, right) and _gap(claim.claimed, right) <= CLOSE * (_tolerance(claim, right) or HOLDS)


def _repeats(claimed: float, misprint: Figure) -> bool:
    """Whether a claim is a published figure, as it stands there or, of FLOPs, rounded."""
    if misprint.unit in (FLOPS, PF_DAYS) and _rounds_to(misprint, claimed):
        return True
    return _gap(claimed, misprint) <= (0 if misprint.unit is COUNT else HOLDS)


def _rounds_to(right: Figure, claimed: float) -> bool:
    """Whether the right value is the claimed one once it is rounded to the claim's own digits, or to two at least."""
    written = Decimal(repr(float(claimed)) if float(claimed) == claimed else claimed).normalize()
    last = min(int(written.as_tuple().exponent), written.adjusted() - _FEWEST_DIGITS + 1)
    return abs(Fraction(right.value) - Fraction(claimed)) <= Fraction(10) ** last / 2


# ---------------------------------------------------------------------------------------------------------------------
# Why
# ---------------------------------------------------------------------------------------------------------------------


def _because(claim: Claim, right: Truth, counted: Figure | None, holding: Iterable[Truth] = ()) -> str:
    """On what the right value rests, and which convention gives it too; of one that the count does not reach, the count."""
    figure = right.figure
    if right.how:
        return f"by {right.how}"
    note = f" ({figure.note})" if figure.note else ""
    also = next((f"also by {truth.how}" for truth in holding if truth.how), "")
    differs = right.basis == PUBLISHED and counted is not None and not _holds(claim, counted)
    reasons = (source_text(figure.source, figure.known) + note, also, _count(counted, figure) if differs else "")
    return "; ".join(reason for reason in reasons if reason)


def _because_misprint(misprint: Published, right: Figure, counted: Figure | None) -> str:
    note = f" ({misprint.note})" if misprint.note else ""
    differs = counted is not None and _gap(float(right.value), counted) > HOLDS
    said = f"printed in {cited(misprint.source)}{note}; corrected by {cited(right.source)}"
    return said + (f"; {_count(counted, right)}" if differs else "")


def _count(counted: Figure | None, right: Figure) -> str:
    assert counted is not None
    what = counted.note if counted.unit is TOKENS and counted.note else "the count"
    return f"{what} is {plain_number(counted.value)} ({float(_percent(counted, right).value):+.1f}%)"


def _percent(counted: Figure, right: Figure) -> Figure:
    """How far the count is from the right value, in percent of it."""
    off = Fraction(counted.value) - Fraction(right.value)
    value = 100 * off / Fraction(right.value) if off else off  # a right value of 0 is the count itself
    return Figure(value, right.unit._replace(name="percent"))


def _range(truths: tuple[Truth, ...]) -> str:
    """Between which figures the conventions are, where there are several."""
    values = sorted(float(truth.figure.value) for truth in truths if truth.how)
    return f"by convention {plain_number(values[0])} to {plain_number(values[-1])}" if values else ""


def _hint(claim: Claim, subject: Subject | UndisclosedSpec) -> str:
    """What else of this model has the claimed number: `12288 is gpt3's d_model`."""
    if isinstance(subject, UndisclosedSpec):
        return ""
    for quantity in CLAIMABLE.values():
        if quantity.key != claim.quantity:
            for truth in truths_of(quantity, subject).right:
                if Fraction(truth.figure.value) == Fraction(claim.claimed):
                    return f"{plain_number(truth.figure.value)} is {subject.spec.name}'s {quantity.name}"
    return ""
