"""What must be said of a fitted law, and how its optimum follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from pathlib import Path
from shlex import quote
from typing import Final

from tscale.answers.fit.tables import PLAIN, Optimum, objective
from tscale.calibration.parametric import DELTA, LEAST_E
from tscale.core.metric import Figure, Step
from tscale.core.units import EXPONENT, PREDICTED_PARAMETERS, PREDICTED_TOKENS
from tscale.errors import shown
from tscale.estimates.fit import Fitting, kept
from tscale.estimates.fit_forms import FormFitting
from tscale.estimates.laws import LEVEL

_FEW: Final = 20
_ALIKE: Final = 0.95
_CHANCE: Final = 13
"""Nats a token of a guess among 440,000 tokens: a model that learned anything is below."""


def fit_notes(answer: Fitting, written: Path | None) -> Iterator[str]:
    """What the fit rests on, what its runs leave open, and where it was written."""
    read, found, law = answer.read, answer.fit, answer.law
    counted = "all parameters" if law.counts == "all" else "parameters without embeddings"
    yield f"N is {counted}, as --counts says; D is tokens, C is 6·N·D; losses are in nats per token."
    third = "params" if "params" not in read.columns else "tokens"
    yield from read_notes(answer, f"; {third} from C = 6·N·D" if "flops" in read.columns else "")
    yield from _warnings(answer)
    if found.lost:
        yield (
            f"In {found.lost:,} of the samples the constants diverged: the intervals are of the other {len(found.draws):,}, and "
            "are therefore too narrow."
        )
    if written is not None:
        yield f"{written} is written, with the intervals of its optima: `tscale optimal --flops 1e22 --law {quote(str(written))}` reads it."


def read_notes(answer: Fitting | FormFitting, made: str = "") -> Iterator[str]:
    """What the ends of intervals are, and what was read, each column with its heading where that is another word."""
    read = answer.read
    yield f"Low and high are the {LEVEL}, of which there are {answer.bootstraps:,}, with seed {answer.seed}."
    left_out = f"; left out: {', '.join(shown(name, 30) for name in read.unread[:12])}" if read.unread else ""
    pairs = zip(read.columns, read.heads or read.columns, strict=True)
    columns = (key if head.lower() == key else f"{key} ({shown(head, 30)[1:-1]})" for key, head in pairs)
    yield f"Read from {read.name}: {', '.join(columns)}{made}{left_out}."


def _warnings(answer: Fitting) -> Iterator[str]:
    """What makes a fit less sure than its intervals say."""
    runs, found = answer.runs, answer.fit
    if len(runs) < _FEW:
        yield f"{len(runs)} runs are few for 5 constants: read the intervals before the values."
    if found.correlation > _ALIKE:
        yield "Tokens rise with parameters in nearly the same way in all runs: the two effects can hardly be separated."
    share = answer.formula.E / min(run.loss for run in runs)
    if share < 2 * LEAST_E:
        yield "E falls to 0: these runs do not show an irreducible loss."
    if max(run.loss for run in runs) > _CHANCE:
        yield f"A loss above {_CHANCE} nats per token is worse than chance: are these perplexities, or bits of a whole text?"


def fit_steps(answer: Fitting, optimum: Optimum) -> Iterator[Step]:
    """The objective and its least, the exponents, and the optimum at the runs' largest budget."""
    f = answer.formula
    constants = f"ln A {_log(f.A)}, ln B {_log(f.B)}, ln E {_log(f.E)}, alpha {f.alpha:.5g}, beta {f.beta:.5g}"
    yield Step(
        "objective",
        f"Σ Huber(LSE(ln A − alpha·ln N, ln B − beta·ln D, ln E) − ln L), delta {DELTA:g}, the least of L-BFGS from 25 of "
        "4,500 starts, the best for each pair of exponents",
        f"{constants}, to which {answer.fit.agreed} of the 25 came, over {len(answer.runs):,} runs",
        objective(answer),
    )
    source = "hoffmann2022 equation 4"
    a, b = (Figure(round(value, 4), EXPONENT, "convention", source) for value in (f.exponent, 1 - f.exponent))
    total = f"({f.alpha:.5g} + {f.beta:.5g})"
    yield Step("a", "beta/(alpha + beta)", f"{f.beta:.5g}/{total}", a)
    yield Step("b", "alpha/(alpha + beta)", f"{f.alpha:.5g}/{total}", b)
    g = (f.alpha * f.A / (f.beta * f.B)) ** (1 / (f.alpha + f.beta))
    flops = f"{optimum.point.flops:.4g}/6"
    params, tokens = round(optimum.point.params), round(optimum.point.tokens)
    yield Step(
        "G",
        "(alpha·A/(beta·B))^(1/(alpha + beta))",
        f"({f.alpha:.5g}·{f.A:.5g}/({f.beta:.5g}·{f.B:.5g}))^(1/{total})",
        Figure(kept(g), PLAIN, "convention", source),
    )
    yield Step(
        "params",
        "G·(C/6)^a",
        f"{g:.5g}·({flops})^{f.exponent:.5g}",
        Figure(params, PREDICTED_PARAMETERS, "convention", source),
    )
    yield Step(
        "tokens",
        "(C/6)^b/G",
        f"({flops})^{1 - f.exponent:.5g}/{g:.5g}",
        Figure(tokens, PREDICTED_TOKENS, "convention", source),
    )


def _log(value: float) -> str:
    return f"{log(value):.5g}"
