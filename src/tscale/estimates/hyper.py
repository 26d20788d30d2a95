"""Learning rate, batch and vocabulary of a run, by each law that says something of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from tscale.catalogue.laws import Law, read_law, shipped_laws
from tscale.core.costs.params import size
from tscale.core.laws import Kaplan
from tscale.core.laws.experts import Mixture, Run
from tscale.core.laws.hyper import Of
from tscale.core.ledger import Matmul
from tscale.core.units import PREDICTED_PARAMETERS, Unit
from tscale.core.view import Record
from tscale.errors import NotPublishedError, RequestError
from tscale.estimates.experts import inside, mixture_of, run_of
from tscale.estimates.explaining import TracedModel, counted
from tscale.estimates.laws import predicted, range_mark
from tscale.estimates.trained import Trained, trained
from tscale.models.spec import ModelSpec

LEARNING_RATE: Final = Unit("learning rate", "", "power")
VOCABULARY_LAW: Final = "tao2024"
_ROWS: Final = Unit("rows of the vocabulary", "", "estimate")
_LOSS_LAW: Final = "kaplan2020"
_NEAR: Final = 2.0
"""How many times the expansions that a law was fitted on it may be asked about unasked."""


class LawSays(NamedTuple):
    """What a law says of a run; None of what it does not say."""

    law: Law
    of: Of
    learning_rate: float | None
    batch: float | None
    critical: float | None
    timescale: float | None
    extrapolated: bool
    tau: float | None
    """The timescale by the law that has one, for the weight decay of this one."""

    @property
    def weight_decay(self) -> float | None:
        """B/(lr·tau·D), where learning rate and batch are this law's, and AdamW's timescale that of the law that has one."""
        if self.learning_rate is None or self.batch is None or self.tau is None or self.law.optimizer != "AdamW":
            return None
        return self.batch / (self.learning_rate * self.tau * self.of.tokens)


def learning_rates(
    spec: ModelSpec, asked: int | None, context: int | None, names: Sequence[str]
) -> tuple[int, dict[str, float]]:
    """The training tokens, and the peak learning rate by each law that has one. Raises as `hyper_report` does."""
    if spec.kind != "decoder":
        raise NotPublishedError(f"{spec.label}: the laws here are for decoders, and this is an {spec.kind}")
    model, training, mixture = counted(spec), trained(spec, asked, context), mixture_of(spec)
    tokens = int(training.tokens.value)
    run = run_of(model, mixture or Mixture(), tokens)
    rows = (said_by(law, run, flops_without_head(model, training)) for law in laws_of(names, mixture))
    return tokens, {row.law.name: row.learning_rate for row in rows if row.learning_rate is not None}


class BestVocabulary(NamedTuple):
    """The best vocabulary by one approach of a law, and its parameters."""

    by: str
    params: float
    size: float
    extrapolated: bool

    @property
    def data(self) -> Record:
        """For programs, and for the table."""
        law = read_law(VOCABULARY_LAW)
        return {
            "by": self.by,
            "params": predicted(self.params, PREDICTED_PARAMETERS, law),
            "size": predicted(round(self.size), _ROWS, law),
            "extrapolated": range_mark(beyond=self.extrapolated),
        }


def vocabularies_of(run: Run, d_model: int) -> Iterator[BestVocabulary]:
    """The best vocabulary of a dense model by each approach of the law of vocabularies."""
    law = read_law(VOCABULARY_LAW)
    formula = law.vocabulary
    if formula is None or run.mixture.expansion > 1:
        return
    past = not law.fitted.within(params=run.total_bare)
    flops = 6 * run.total_bare * run.tokens
    for by, found in (
        ("equal FLOPs, compute-optimal", formula.by_flops(run.total_bare)),
        ("derivative, compute-optimal", formula.by_derivative(run.total_bare)),
        ("loss, of these tokens", formula.by_loss(run.total_bare, flops)),
    ):
        yield BestVocabulary(by, found, found / d_model, past)


def laws_of(names: Sequence[str], mixture: Mixture | None) -> list[Law]:
    """The laws asked for, else all: those fitted on mixtures of experts only of mixtures that are like them."""
    asked = [read_law(name) for name in dict.fromkeys(names)]
    for law in asked:
        if law.hyper is None:
            known = ", ".join(one.name for one in shipped_laws() if one.hyper is not None)
            raise RequestError(f"{law.name} is no law of learning rates or batch sizes: choose among {known}")
    return asked or [law for law in shipped_laws() if law.hyper is not None and _like(law, mixture)]


def _like(law: Law, mixture: Mixture | None) -> bool:
    ends = law.fitted.expansion
    if ends is None:
        return True
    return mixture is not None and ends[0] / _NEAR <= mixture.expansion <= ends[1] * _NEAR


def flops_without_head(model: TracedModel, training: Trained) -> float:
    """Training FLOPs with attention and without the head: M·D."""
    heads = [entry for entry in model.ledger.entries if isinstance(entry, Matmul) and entry.role == "head"]
    return int(training.flops(model)) - 6 * int(sum(map(size, heads))) * int(training.tokens.value)


def said_by(law: Law, run: Run, bare_flops: float) -> LawSays:
    """What a law says. Raises `RequestError` where that is no number that makes sense."""
    formula = law.hyper
    assert formula is not None
    counts: dict[str, float] = {
        "all": run.total,
        "non_embedding": run.total_bare,
        "active": run.active,
        "active_non_embedding": run.active_bare,
    }
    params_ = counts[law.counts]
    # C of mixtures is of the parameters that a token meets, whichever ones the law's N is.
    flops = (
        bare_flops if law.flops == "M*D" else 6 * (run.active_bare if "non" in law.counts else run.active) * run.tokens
    )
    of = Of(params_, run.tokens, flops, _loss(run) if formula.needs_loss() else None)
    try:
        rate, batch, critical = formula.learning_rate(of), _some(formula.batch, of), _some(formula.critical, of)
        tau = formula.timescale(of)
    except (OverflowError, ZeroDivisionError):
        raise RequestError(f"{law.name} makes no sense of this run: its powers are past any number") from None
    past = not inside(law, run._replace(active=run.active)) or not law.fitted.within(flops=flops)
    return LawSays(law, of, None if rate is None or rate <= 0 else rate, batch, critical, tau, past, None)


def _some(made: Callable[[Of], float | None], of: Of) -> float | None:
    """A batch of at least a token."""
    value = made(of)
    return None if value is None else max(value, 1)


def _loss(run: Run) -> float:
    """The loss that Kaplan 2020 predicts of a run."""
    formula = read_law(_LOSS_LAW).formula()
    assert isinstance(formula, Kaplan)
    return formula.loss(run.active_bare, run.tokens)
