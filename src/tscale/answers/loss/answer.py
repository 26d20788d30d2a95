"""`tscale loss`: the loss that laws predict of a run, how far it is from the best one, and other runs of equal loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, inf
from typing import Final

from tscale.answers.experts import equivalents_data, equivalents_table, mixture_data, mixture_note
from tscale.answers.loss.precision import (
    best_data,
    bits_text,
    losses_in,
    precision_data,
    precision_notes,
    precision_tables,
)
from tscale.blocks import attentions
from tscale.catalogue.laws import Law
from tscale.core.costs.params import non_embedding_params, params
from tscale.core.laws import HALF, Bits, Kaplan, Lifetime, Parametric, Point, Repeated
from tscale.core.laws.experts import Granular, Joint, Mixture, Routed, saturated
from tscale.core.metric import Cell, Column, Data, Derivations, Figure, Missing, Report, Step, Table
from tscale.core.number_text import count_text
from tscale.core.units import FLOPS, PARAMETERS, PREDICTED_PARAMETERS, PREDICTED_TOKENS, RATIO, SHARE, TOKENS
from tscale.core.view import Record, view
from tscale.estimates.experts import equivalents, mixture_of, run_of
from tscale.estimates.explaining import TracedModel, counted
from tscale.estimates.judged import loss_note
from tscale.estimates.laws import (
    INCOMPARABLE,
    NO_LOSS,
    counts_note,
    law_data,
    law_notes,
    law_unit,
    loss_figure,
    per_param,
    picked,
    predicted,
    range_mark,
    range_note,
)
from tscale.estimates.loss import Judged, dense_by_laws, experts_by_laws, refuse_other_models
from tscale.estimates.trained import trained
from tscale.models.spec import ModelSpec

_NOT_SAID: Final = Missing("n/a", settled=True)
_COLUMNS = (
    Column("law", "law", numeric=False),
    Column("params", "params"),
    Column("loss", "loss"),
    Column("optimal loss", "best_with_flops_loss", drop=1, of="best_with_flops.loss", absent=_NOT_SAID),
    Column("tokens/param", "tokens_per_param"),
    Column(
        "optimal", "best_with_flops_tokens_per_param", drop=2, of="best_with_flops.tokens_per_param", absent=_NOT_SAID
    ),
    Column("fitted range", "extrapolated", drop=3, numeric=False),
)
_EQUAL_COLUMNS = (
    Column("optimum of equal loss", "law", numeric=False),
    Column("params", "params", of="optimal_of_equal_loss.params"),
    Column("tokens", "tokens", of="optimal_of_equal_loss.tokens"),
    Column("FLOPs", "flops", drop=3, of="optimal_of_equal_loss.flops"),
    Column("FLOPs ratio", "compute_ratio", drop=1),
    Column("params ratio", "params_ratio", drop=2),
    Column("break-even tokens", "breakeven_tokens", absent=Missing("never", settled=True)),
)
_DOWNSTREAM_COLUMNS = (
    Column("downstream error by", "law", numeric=False),
    Column("error", "downstream_error"),
    Column("mean of", "tasks", numeric=False),
)
_SIZES: Final = (1 / 4, 1 / 2, 1, 2, 4)
"""Of the model's parameters: the other runs of equal loss that are shown."""


def loss_report(
    spec: ModelSpec,
    asked: int | None,
    names: Sequence[str],
    unique: int | None,
    served: int | None,
    bits: Bits | None = None,
    *,
    explain: bool = False,
) -> Report:
    """The loss of a model trained on so many tokens by each law that has one, and what it could have been."""
    model = counted(spec)
    refuse_other_models(model)
    tokens = trained(spec, asked, None).tokens
    sizes = {"all": int(params(model.ledger).total), "non_embedding": int(non_embedding_params(model.ledger))}
    mixture = mixture_of(spec)
    run = None if mixture is None else run_of(model, mixture, int(tokens.value))
    judged, without = (
        dense_by_laws(sizes, int(tokens.value), picked(names, unique, served, bits))
        if run is None
        else (experts_by_laws(model, run, names, unique, bits), list[str]())
    )
    alike = [] if run is None else list(equivalents(run))
    by_bits = precision_data(judged, bits)
    title = _title(spec, int(tokens.value), judged, bits)
    records = [_data(one, served) for one in judged]
    tables = (
        view(title, _COLUMNS, map(_shown, judged, records), subject=spec.name),
        *_downstream_tables(judged),
        *precision_tables(by_bits),
        *equivalents_table(alike),
        *_equal_tables(records),
        *(
            table
            for one, record in zip(judged, records, strict=True)
            for table in _alternative_tables(one, record, served)
        ),
    )
    data: Data = {
        "model": spec.name,
        "params": {name: Figure(size, PARAMETERS) for name, size in sizes.items()},
        "tokens": tokens,
        "unique_tokens": unique,
        "inference_tokens": served,
        "rows": records,
        "without_loss": without,
        **({"by_bits": by_bits, "best_bits": best_data(judged)} if by_bits else {}),
        **({} if run is None else {"mixture": mixture_data(mixture), "dense_equivalents": equivalents_data(alike)}),
    }
    laws = [one.law for one in judged]
    notes = [
        counts_note(laws),
        "" if mixture is None else mixture_note(mixture),
        range_note([(one.law, one.extrapolated) for one in judged]),
        INCOMPARABLE if len(judged) > 1 else "",
        loss_note(laws),
        *_notes(model, judged, without, served, unique),
        *precision_notes(judged, bits),
        *law_notes(laws, explain=explain),
    ]
    steps = Derivations(lambda: (_step(one, bits) for one in judged))
    return Report(title, tables, data, tuple(filter(None, notes)), steps)


def _title(spec: ModelSpec, tokens: int, judged: Sequence[Judged], bits: Bits | None) -> str:
    after = f"predicted loss after {count_text(tokens)} training tokens is"
    if bits is None:
        return f"{spec.label}: {after} {_losses(judged)}"
    return f"{spec.label} in {bits_text(bits)}: {after} {losses_in(judged, bits)}"


def _losses(judged: Sequence[Judged]) -> str:
    """The losses that are predicted, the least and the most of several laws."""
    by_unit: dict[str, list[float]] = {}
    for run in judged:
        if run.point.loss is not None:
            by_unit.setdefault(run.law.losses, []).append(run.point.loss)
    said = [
        f"{losses[0]:.3f} {unit}"
        if len(losses) == 1
        else f"{min(losses):.3f} to {max(losses):.3f} {unit}, by {len(losses)} laws"
        for unit, losses in by_unit.items()
    ]
    return " and ".join(said) or "not predicted by any law"


def _shown(run: Judged, record: Record) -> Record:
    params = Figure(round(run.point.params), PREDICTED_PARAMETERS)
    return {**record, "params": params, "loss": loss_figure(run.point.loss, run.law)}


def _downstream_tables(judged: Sequence[Judged]) -> Iterator[Table]:
    """The error of downstream tasks by the laws that were fitted to them."""
    rows: list[tuple[Cell, ...]] = []
    for run in judged:
        error = _downstream(run)
        if error is not None:
            assert run.law.downstream is not None
            rows.append((run.law.name, error, run.law.downstream.tasks))
    if rows:
        yield Table("", _DOWNSTREAM_COLUMNS, tuple(rows), aside=True)


def _downstream(run: Judged) -> Figure | None:
    """The mean error of downstream tasks, epsilon - k·exp(-gamma·L); None of a law that does not say."""
    by, loss = run.law.downstream, run.point.loss
    if by is None or loss is None:
        return None
    return Figure(by.epsilon - by.k * exp(-by.gamma * loss), SHARE, "convention", by.source)


def _equal_tables(records: Sequence[Record]) -> Iterator[Table]:
    told = [record for record in records if record["optimal_of_equal_loss"] is not None]
    if told:
        yield view("", _EQUAL_COLUMNS, told, aside=True)


def _breakeven(run: Judged) -> Figure | None:
    """Tokens served, at 2·N FLOPs each, after which a smaller model has saved what its longer training took."""
    point, equal = run.point, run.equal
    if equal is None or point.params >= equal.params:
        return None
    served = max(point.flops - equal.flops, 0) / (2 * (equal.params - point.params))
    return predicted(served, PREDICTED_TOKENS, run.law)


def _alternatives(run: Judged) -> Iterator[tuple[str, Point]]:
    """Runs of equal loss: smaller models for longer and larger ones for shorter, and the best among them, by size."""
    equal, loss, formula = run.equal, run.point.loss, run.formula
    assert equal is not None
    assert loss is not None
    law = formula.law if isinstance(formula, Lifetime) else formula
    assert isinstance(law, (Parametric, Repeated))
    runs = [("compute-optimal", equal)]
    for times in _SIZES:
        size = run.point.params * times
        tokens = run.point.tokens if times == 1 else law.tokens_to(loss, size)
        flops = inf if tokens == inf else 6 * size * tokens
        runs.append(("this run" if times == 1 else f"{times:g}× its parameters", Point(size, tokens, flops, loss)))
    yield from sorted(runs, key=lambda pair: pair[1].params)


def _alternative_tables(run: Judged, record: Record, served: int | None) -> Iterator[Table]:
    alternatives = record["alternatives"]
    if run.equal is None or not isinstance(alternatives, list):
        return
    none = Missing("", settled=True)
    columns = (
        Column(f"equal loss by {run.law.name}", "run", numeric=False),
        Column("params", "params"),
        Column("tokens", "tokens", absent=Missing("n/a", settled=True)),
        Column("tokens/param", "tokens_per_param", drop=2, absent=none),
        Column("training FLOPs", "flops", absent=none),
        Column("FLOPs ratio", "compute_ratio", drop=1, absent=none),
        Column("including serving", "lifetime_flops", absent=none) if served is not None else None,
    )
    rows = (
        {
            **own,
            "compute_ratio": None if point.tokens == inf else predicted(point.flops / run.point.flops, RATIO, run.law),
        }
        for own, (_, point) in zip(alternatives, _alternatives(run), strict=True)
    )
    yield view("", columns, rows, aside=True)


def _data(run: Judged, served: int | None) -> Record:
    law, point, best, equal = run.law, run.point, run.best, run.equal

    def told(other: Point) -> dict[str, Data]:
        ends = other.tokens < inf
        lifetime = None if served is None or not ends else other.flops + 2 * other.params * served
        return {
            "params": predicted(other.params, PREDICTED_PARAMETERS, law),
            "tokens": predicted(other.tokens, PREDICTED_TOKENS, law) if ends else None,
            "tokens_per_param": per_param(other, law) if ends else None,
            "flops": predicted(other.flops, FLOPS, law) if ends else None,
            "loss": loss_figure(other.loss, law),
            "lifetime_flops": None if lifetime is None else predicted(lifetime, FLOPS, law),
        }

    return {
        "law": law.name,
        "params": Figure(round(point.params), PARAMETERS),
        "tokens": Figure(round(point.tokens), TOKENS),
        "tokens_per_param": Figure(round(point.tokens / point.params, 6), TOKENS._replace(name="tokens per parameter")),
        "flops": Figure(round(point.flops), FLOPS, "convention", "kaplan2020 section 2.1"),
        "loss": NO_LOSS if point.loss is None else predicted(point.loss, law_unit(law), law),
        "best_with_flops": None if best is None else told(best),
        "optimal_of_equal_loss": None if equal is None else told(equal),
        "compute_ratio": None if equal is None else predicted(point.flops / equal.flops, RATIO, law),
        "params_ratio": None if equal is None else predicted(point.params / equal.params, RATIO, law),
        "breakeven_tokens": _breakeven(run),
        "alternatives": [] if equal is None else [{"run": text, **told(other)} for text, other in _alternatives(run)],
        "extrapolated": range_mark(beyond=run.extrapolated),
        **({} if law.downstream is None else {"downstream_error": _downstream(run)}),
        **law_data(law),
    }


def _notes(
    model: TracedModel, judged: Sequence[Judged], without: Sequence[str], served: int | None, unique: int | None
) -> Iterator[str]:
    spec = model.spec
    if without:
        yield f"These laws predict only an optimum (`tscale optimal`), and no loss: {', '.join(without)}."
    told = [run for run in judged if run.equal is not None]
    if told:
        yield (
            "The compute-optimal run reaches the same loss with the fewest training FLOPs; ratios are those of this run to it. "
            "A smaller model than the optimum trains on more tokens, and saves 2 FLOPs per parameter and token served: the "
            "break-even tokens are those served when the saving equals the additional training."
            + ("" if all(map(_breakeven, told)) else " Never: this model is larger, and costs more in both.")
        )
    if any(isinstance(run.formula, Kaplan) for run in judged):
        yield (
            "The loss by kaplan2020 is that at convergence on the tokens, after any number of steps: it does not depend on the "
            "compute."
        )
    if served is not None:
        yield f"FLOPs including serving have 2·N more for each of {served:,} tokens."
    if unique is not None:
        blind = [r.law.name for r in judged if not isinstance(r.formula, Repeated) and r.point.tokens > unique]
        if blind:
            yield f"These laws take every token as new, and not as one of {unique:,}: {', '.join(blind)}."
    if len(list(attentions(spec.mixers))) < len(spec.mixers):
        yield f"{spec.label} is not a plain transformer, and the laws were fitted on those: their losses are assumed to hold."


_FORMULAS: Final = {
    "parametric": "L = E + A/N^alpha + B/D^beta",
    "lifetime": "L = E + A/N^alpha + B/D^beta",
    "repeated": "L = E + A/N_eff^alpha + B/D_eff^beta, X_eff = U + U·R·(1 - exp(-(X/U - 1)/R))",
    "kaplan": "L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D",
    "kaplan-joint": "L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D",
    "precision": "L = E + A/N_eff^alpha + B/D^beta, N_eff = N·(1 - exp(n_w - P_w/gamma_w))·(the same of a)·(the same of kv)",
    "farseer": "L = exp(a3·N^g + b3) + exp(a2·N^bt + b2)·D^(-exp(a1·N^al + b1))",
    "bare": "L = E + A/N_T^alpha + B/D^beta, N_T = N + omega·N^(1/3)",
    "joint-experts": "L = a·Ê^delta·N^(alpha + gamma·ln Ê) + b·Ê^omega·D^(beta + zeta·ln Ê) + c",
    "granular-experts": "L = c + (g/G^gamma + a)/N^alpha + b/D^beta",
    "sparse-experts": "L = a/N^alpha + b/D^beta + c/(1 - S)^lam + d/((1 - S)^delta·N^gamma) + e",
    "routed-experts": "log10 L = a·log10 N + b·log10 Ê + c·log10 N·log10 Ê + d",
}


def _divided(law: Law, mixture: Mixture | None) -> str:
    """What a law is told of a mixture: the number of experts that counts, the granularity or the sparsity."""
    if mixture is None:
        return ""
    formula = law.experts
    match formula:
        case Joint() | Routed():
            e = saturated(mixture.expansion, formula.E_start, formula.E_max)
            return f"E {mixture.expansion:.6g}, Ê {e:.6g}, "
        case Granular():
            return f"G {mixture.granularity:.6g}, "
        case _:
            return f"S {1 - 1 / mixture.expansion:.6g}, "


def _step(run: Judged, bits: Bits | None) -> Step:
    law, point = run.law, run.point
    in_bits = "" if law.precision is None else "P_w {:g}, P_a {:g}, P_kv {:g}, ".format(*(bits or HALF))
    constants = ", ".join(f"{name} {one.value:g}" for name, one in law.constants.items())
    numbers = f"N {point.params:,}, D {point.tokens:,}, {_divided(law, run.mixture)}{in_bits}{constants}"
    return Step("loss", _FORMULAS[law.kind], numbers, predicted(point.loss or 0, law_unit(law), law), law.name)
