"""What may rightly be said of a quantity: what is counted, what was published, and training FLOPs by every convention.

Published figures that are known to be wrong stand apart, with what is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.core.costs.params import active_params
from tscale.core.costs.training import PF_DAY
from tscale.core.metric import Figure, Missing
from tscale.core.sources import cited
from tscale.core.units import FLOPS, PF_DAYS, TOKENS, YEAR, Unit
from tscale.errors import NotPublishedError
from tscale.estimates.assumed import answer_of
from tscale.estimates.caveats import unlike_a_gpt
from tscale.estimates.conventions import CONVENTIONS, by_convention, two_stacks
from tscale.estimates.explaining import plain_number, published_figure, source_text
from tscale.estimates.metrics import NOT_PUBLISHED, Named, Subject, cache_of_one_token
from tscale.estimates.trained import Trained, trained
from tscale.models.spec import Published, Stage
from tscale.models.undisclosed import UndisclosedSpec

COUNTED: Final = "counted"
PUBLISHED: Final = "published"
EXACT: Final = "exact"
_RECOMPUTED: Final = "megatron_recompute"  # what the hardware does, and a claim of training FLOPs does not mean
_OF_A_GPT: Final = ("chinchilla", "megatron")
_SIX_ND: Final = "six_nd"
_TABLE: Final = "brown2020 Table D.1"  # 6·N·D; 3·N·D where a token passes through one of two stacks
_ALIKE: Final = Fraction(1, 10)
"""How far from the count the size in a model's name is at most, if it is to stand for N."""
_SIZE: Final = r"(?<![\w.])A?(\d+(?:\.\d+)?)([BbMm])\b"


class Truth(NamedTuple):
    """A figure that may rightly be claimed: counted, published, or by a convention, whose key is the basis."""

    figure: Figure
    basis: str
    how: str = ""
    """Of a convention: its name, N where that is not counted, and its source, as people read them."""
    fits: bool = True
    """Whether it was made for such a model: if not, what is off by rounding alone cannot be told from what is wrong."""


class Truths(NamedTuple):
    """All that may rightly be claimed, the likeliest first; the misprints; or why there is nothing."""

    right: tuple[Truth, ...] = ()
    misprints: tuple[Published, ...] = ()
    missing: Missing | None = None

    def counted(self) -> Figure | None:
        """What the program itself counts, if it does."""
        return next((truth.figure for truth in self.right if truth.basis in (COUNTED, EXACT)), None)


def truths_of(quantity: Named, subject: Subject | UndisclosedSpec) -> Truths:
    """What may rightly be said of a quantity of a model; of one whose shape was never published, little but its year."""
    if isinstance(subject, UndisclosedSpec):
        return _of_undisclosed(quantity, subject)
    printed = () if quantity.published is None else subject.spec.figures(quantity.published)
    misprints = tuple(one for one in printed if one.corrected is not None)
    right = [Truth(published_figure(one, quantity.unit), PUBLISHED) for one in printed if one not in misprints]
    answer = _answer(quantity, subject)
    if quantity.key in _BY_CONVENTION:
        right += _conventions(subject, quantity.unit)
    assert not isinstance(answer, str)
    if isinstance(answer, Figure) and answer.value not in [one.value for one in printed]:
        right = [_own(answer), *right]
    right += _news(_beside(quantity, subject), right)
    right += [Truth(corrected_figure(one, quantity.unit), PUBLISHED) for one in misprints]
    return Truths(tuple(right), misprints, None if right or isinstance(answer, Figure) else answer)


def _own(answer: Figure) -> Truth:
    """What the program answers itself, or cites."""
    return Truth(answer, PUBLISHED if answer.known == "cited" else COUNTED)


def _news(found: Iterable[Truth], right: list[Truth]) -> list[Truth]:
    """Those of several figures that are none of the right ones already."""
    known = [truth.figure.value for truth in right]
    return [one for one in found if one.figure.value not in known]


_BY_CONVENTION: Final = frozenset({"training_flops", "pf_days"})
"""Quantities that several conventions count, each of them rightly."""


def _of_undisclosed(quantity: Named, spec: UndisclosedSpec) -> Truths:
    if quantity.key != "year":
        return Truths(missing=Missing("undisclosed: its shape was never published"))
    if spec.year is None:
        return Truths(missing=Missing("n/a"))
    return Truths((Truth(Figure(spec.year, YEAR, "cited"), PUBLISHED),))


def _answer(quantity: Named, subject: Subject) -> Figure | Missing | str:
    """What the program answers, unless that is an assumption about how the model was trained, or one convention of several."""
    if quantity.key in _BY_CONVENTION:
        return NOT_PUBLISHED
    answer = quantity.answer(subject)
    if quantity.key == "training_context" and isinstance(answer, Figure) and answer.known == "assumed":
        return NOT_PUBLISHED
    return answer_of(answer, subject.spec)


def _beside(quantity: Named, subject: Subject) -> Iterator[Truth]:
    """What is as right as the answer."""
    stages = () if subject.spec.training is None else subject.spec.training.all_stages()
    match quantity.key:
        case "training_tokens":
            yield from _of_first_stage(stages)
        case "training_context":
            yield from _of_later_lengths(stages)
        case "kv_bytes_per_token":
            one = cache_of_one_token(subject)
            if one is not None:
                yield Truth(one._replace(note="what one token adds before a window is full"), COUNTED)


def _of_first_stage(stages: tuple[Stage, ...]) -> Iterator[Truth]:
    """The tokens of pre-training alone, where more stages followed."""
    if len(stages) > 1 and stages[0].tokens is not None:
        note = f"the first of its {len(stages)} stages"
        yield Truth(Figure(stages[0].tokens, TOKENS, "cited", stages[0].source, note), PUBLISHED)


def _of_later_lengths(stages: tuple[Stage, ...]) -> Iterator[Truth]:
    """The lengths that a context was extended at."""
    for place, stage in enumerate(stages[1:], start=2):
        if stage.context is not None:
            note = f"stage {place} of {len(stages)}"
            yield Truth(Figure(stage.context, TOKENS, "cited", stage.source, note), PUBLISHED)


def corrected_figure(misprint: Published, unit: Unit) -> Figure:
    """What is right where a source has a slip."""
    assert misprint.corrected is not None
    return Figure(misprint.corrected.value, unit, "cited", misprint.corrected.source)


def _conventions(subject: Subject, unit: Unit) -> Iterator[Truth]:
    """Training FLOPs, or the same in PF-days, by every convention, at the lengths that the model was trained at."""
    try:
        run = trained(subject.spec, None, None)
    except NotPublishedError:
        return
    for truth in sorted(_of_run(subject, run), key=lambda truth: truth.basis != EXACT):
        if unit is PF_DAYS:
            value = Fraction(int(truth.figure.value), PF_DAY)
            yield truth._replace(figure=truth.figure._replace(value=value, unit=PF_DAYS))
        else:
            yield truth


def _of_run(subject: Subject, run: Trained) -> Iterator[Truth]:
    two, unlike = two_stacks(subject.spec), unlike_a_gpt(subject.spec)
    for key, figure in by_convention(subject.model, run).items():
        if isinstance(figure, Missing) or key == _RECOMPUTED or (two and key.startswith(_SIX_ND)):
            continue
        source = f" ({cited(figure.source)})" if figure.source else ""
        fits = not (unlike and key in _OF_A_GPT)
        lengths = "" if key.startswith(_SIX_ND) else f", in sequences of {run.lengths_text()}"
        how = CONVENTIONS[key][0] + source + ("" if fits else ", as printed") + lengths
        yield Truth(figure, key, how, fits)
    yield from _of_sizes(subject, run, two=two)


def _of_sizes(subject: Subject, run: Trained, *, two: bool) -> Iterator[Truth]:
    """6·N·D, or 3·N·D of two stacks, as people take N and D who do not count: of pre-training alone, as often as not."""
    times, basis, name = (3, "three_nd", "3·N·D") if two else (6, _SIX_ND, "6·N·D")
    stages = [(int(run.tokens.value), "", "")]
    if len(run.stages) > 1:
        first = int(run.first.tokens.value)
        stages.append((first, "_first_stage", f", D = {plain_number(first)} of the first stage"))
    for tokens, stage, of_stage in stages:
        for size, whose, of_whom in _sizes(subject, counted=two or bool(stage)):
            flops = Figure(times * size * tokens, FLOPS, "convention", _TABLE)
            yield Truth(flops, f"{basis}{whose}{stage}", f"{name}{of_whom}{of_stage}")


def _sizes(subject: Subject, *, counted: bool) -> Iterator[tuple[int, str, str]]:
    """Each N, the end of its basis, and how it is said: counted where that is asked for, and as others take it."""
    n = int(active_params(subject.model.ledger).total)
    if counted:
        yield n, "", f" ({cited(_TABLE)})"
    yield from _other_sizes(subject, n)


def _other_sizes(subject: Subject, counted: int) -> Iterator[tuple[int, str, str]]:
    """N as people take it who do not count, as published or from the model's name, and how that is said."""
    spec = subject.spec
    for one in spec.figures("active_params") or spec.figures("params"):
        if one.corrected is None and _alike(one.value, counted):
            yield int(one.value), "_published", f" with N = {plain_number(one.value)} ({source_text(one.source)})"
    for number, suffix in re.findall(_SIZE, spec.label):
        size = int(Fraction(number) * (10**9 if suffix in "Bb" else 10**6))
        if _alike(size, counted):
            yield size, "_called", f" with N = {plain_number(size)}, as the model is called"


def _alike(size: float, counted: int) -> bool:
    return abs(Fraction(size) - int(counted)) <= _ALIKE * int(counted)
