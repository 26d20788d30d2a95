"""`tscale check`: each claim beside the right value, whether it holds, and what the number may have been taken from."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Final, Literal, NamedTuple

from tscale.answers.assumed import answer_of
from tscale.answers.common import published_figure, source_text
from tscale.answers.quantities import CLAIMABLE, Named, Subject, subject_of
from tscale.core.quantity import Cell, Column, Data, Figure, Missing, Report, Table, weakest
from tscale.core.units import COUNT, RATIO, TOKENS, YEAR
from tscale.errors import RequestError, SpecError, nearest
from tscale.spec.claims import Claim, Claims
from tscale.spec.model import ModelSpec, Spec
from tscale.spec.resolve import find
from tscale.spec.yaml_file import Document

Verdict = Literal["holds", "close", "does not hold", "cannot be checked"]

HOLDS: Final = Fraction(1, 200)
"""A claim holds if it is within 0.5% of the right value, unless it sets a tolerance; a whole count only if it is equal."""
CLOSE: Final = 10
"""It is close within ten times that."""

_COLUMNS = (
    Column("claim", "claim", numeric=False),
    Column("claimed", "claimed"),
    Column("right value", "right"),
    Column("verdict", "verdict", numeric=False),
    Column("because", "because", drop=1, numeric=False),
)


class _Judged(NamedTuple):
    """A claim with what is right, what follows, and why."""

    claim: Claim
    claimed: Figure
    right: Figure | Missing
    verdict: Verdict
    because: str
    hint: str


def check_report(claims: Claims, document: Document) -> Report:
    """The audit of a file of claims: exit code 3 if one of them does not hold."""
    judged = [_judge(claim, document, place) for place, claim in enumerate(claims.claims)]
    counts = {verdict: sum(one.verdict == verdict for one in judged) for verdict in _VERDICTS}
    summary = ", ".join(f"{count} {_PLURAL[verdict]}" for verdict, count in counts.items() if count)
    rows: list[tuple[Cell, ...]] = [
        (_text(one.claim), one.claimed, one.right, one.verdict, _why(one)) for one in judged
    ]
    data: Data = {
        "title": claims.title,
        "claims": [_data(one) for one in judged],
        "verdicts": {verdict.replace(" ", "_"): count for verdict, count in counts.items()},
    }
    notes = (
        f"{len(judged)} claims: {summary}." if judged else "No claims.",
        "A claim holds within 0.5% of the right value (or its own tolerance), is close within ten times that; "
        "a whole count holds only if it is equal.",
        *([f"Claims from: {claims.source}"] if claims.source else []),
    )
    table = Table(claims.title, _COLUMNS, tuple(rows))
    hints = Table(
        "",
        (
            Column("does not hold", "claim", numeric=False),
            Column("right value", "right"),
            Column("because", "because", numeric=False),
        ),
        tuple((_text(one.claim), one.right, _why(one)) for one in judged if one.verdict == "does not hold"),
        aside=True,
    )
    tables = (table, hints) if hints.rows else (table,)
    return Report(claims.title, tables, data, notes, exit_code=3 if counts["does not hold"] else 0)


_VERDICTS: Final[tuple[Verdict, ...]] = ("holds", "close", "does not hold", "cannot be checked")
_PLURAL: Final[dict[str, str]] = {"holds": "hold", "does not hold": "do not hold"} | {
    verdict: verdict for verdict in ("close", "cannot be checked")
}


def _text(claim: Claim) -> str:
    name = CLAIMABLE[claim.quantity].name
    return f"{claim.subject}: {name}" + (f", times {claim.relative_to}'s" if claim.relative_to else "")


def _why(one: _Judged) -> str:
    return "; ".join(text for text in (one.because, one.hint) if text)


def _data(one: _Judged) -> Data:
    return {
        "subject": one.claim.subject,
        "quantity": one.claim.quantity,
        "relative_to": one.claim.relative_to,
        "quote": one.claim.quote,
        "claimed": one.claimed,
        "right": one.right,
        "verdict": one.verdict,
        "because": one.because,
        "hint": one.hint,
    }


def _judge(claim: Claim, document: Document, place: int) -> _Judged:
    quantity = CLAIMABLE.get(claim.quantity)
    if quantity is None:
        where = document.where(("claims", place, "quantity"))
        raise SpecError(f'no quantity "{claim.quantity[:40]}": {nearest(claim.quantity, CLAIMABLE)}', where=where)
    subject = _subject(claim.subject, document, ("claims", place, "subject"))
    if claim.relative_to is not None:
        other = _subject(claim.relative_to, document, ("claims", place, "relative_to"))
        return _judged_ratio(claim, quantity, subject, other)
    claimed = Figure(claim.claimed, quantity.unit)
    truths = list(_truths(quantity, subject))
    figures = [truth for truth in truths if isinstance(truth, Figure)]
    if not figures:
        missing = next(truth for truth in truths if isinstance(truth, Missing))
        hint = _hint(claim, subject)
        verdict: Verdict = "does not hold" if missing.settled else "cannot be checked"
        return _Judged(claim, claimed, missing, verdict, missing.why, hint if missing.settled else "")
    right = min(figures, key=lambda figure: _gap(claim.claimed, figure))
    verdict = _verdict(claim, right)
    hint = "" if verdict == "holds" else _hint(claim, subject)
    return _Judged(claim, claimed, right, verdict, _because(right), hint)


def _judged_ratio(claim: Claim, quantity: Named, subject: Subject | None, other: Subject | None) -> _Judged:
    claimed = Figure(claim.claimed, RATIO)
    ours, theirs = (next(iter(_truths(quantity, one))) for one in (subject, other))
    if not isinstance(ours, Figure) or not isinstance(theirs, Figure):
        missing = ours if isinstance(ours, Missing) else theirs
        assert isinstance(missing, Missing)
        return _Judged(claim, claimed, missing, "cannot be checked", missing.why, "")
    known = weakest(ours.known, theirs.known)
    right = Figure(Fraction(ours.value) / Fraction(theirs.value), RATIO, known, ours.source)
    because = f"{_plain(ours)} against {_plain(theirs)}"
    return _Judged(claim, claimed, right, _verdict(claim, right), because, "")


def _plain(figure: Figure) -> str:
    value = figure.value
    return f"{int(value):,}" if value == int(value) else f"{float(value):,.4g}"


@cache
def _found(name: str) -> Spec:
    return find(name)


def _subject(name: str, document: Document, path: tuple[str | int, ...]) -> Subject | None:
    """The model that a claim is about; None if its shape was never published."""
    try:
        spec = _found(name)
    except RequestError as error:
        raise SpecError(str(error), where=document.where(path)) from None
    return subject_of(spec) if isinstance(spec, ModelSpec) else None


def _truths(quantity: Named, subject: Subject | None) -> Iterator[Figure | Missing]:
    """All that may rightly be said: what is counted, then what was published; or why nothing can be."""
    if subject is None:
        yield Missing("undisclosed: its shape was never published")
        return
    answer = answer_of(quantity.answer(subject), subject.spec)
    published = [] if quantity.published is None else subject.spec.figures(quantity.published)
    if isinstance(answer, Figure) or not published:
        assert not isinstance(answer, str)
        yield answer
    for figure in published:
        yield published_figure(figure, quantity.unit)


def _gap(claimed: float, right: Figure) -> Fraction:
    return abs(Fraction(claimed) - Fraction(right.value)) / Fraction(right.value)


def _verdict(claim: Claim, right: Figure) -> Verdict:
    gap = _gap(claim.claimed, right)
    whole = right.unit in (COUNT, YEAR) or (right.unit is TOKENS and right.known == "exact")
    holds = Fraction(claim.tolerance) if claim.tolerance is not None else Fraction(0) if whole else HOLDS
    if gap <= holds:
        return "holds"
    return "close" if gap <= CLOSE * (holds or HOLDS) and right.unit is not YEAR else "does not hold"


def _because(right: Figure) -> str:
    note = f" ({right.note})" if right.note else ""
    return source_text(right.source, right.known) + note


def _hint(claim: Claim, subject: Subject | None) -> str:
    """What else of this model has the claimed number: `12288 is gpt3's d_model`."""
    if subject is None:
        return ""
    for quantity in CLAIMABLE.values():
        if quantity.key != claim.quantity:
            for truth in _truths(quantity, subject):
                if isinstance(truth, Figure) and Fraction(truth.value) == Fraction(claim.claimed):
                    return f"{_plain(truth)} is {subject.spec.name}'s {quantity.name}"
    return ""
