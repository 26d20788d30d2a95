"""The quantities that a model can be asked for by name: what `compare` sets side by side and `check` audits."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tscale.answers.explaining import TracedModel, counted, published_figure, share, summed
from tscale.answers.trained import trained, training_length
from tscale.blocks import attentions
from tscale.core.costs.cache import SOURCE as CACHE_SOURCE
from tscale.core.costs.cache import cache_bytes, growing
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, non_embedding_params, params
from tscale.core.dtypes import FORMATS
from tscale.core.ledger import Cache, Scores
from tscale.core.metric import Figure, Known, Missing
from tscale.core.tracing import ceil_div, named
from tscale.core.units import BYTES, COUNT, FLOPS, FLOPS_PER_TOKEN, PARAMETERS, PF_DAYS, TOKENS, YEAR, Unit
from tscale.core.workload import Run
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec, Published, PublishedName

NOT_PUBLISHED = Missing("not published")
FLOPS_OF = "flops."
"""What begins the names of FLOPs where parameters are told of too."""


class Subject(NamedTuple):
    """A model as it is asked, and the length of the sequences that it is trained on."""

    model: TracedModel
    context: Figure
    run: Run
    asked: int | None = None
    """The length that was asked for, where one was."""

    @property
    def spec(self) -> ModelSpec:
        return self.model.spec


def subject_of(spec: ModelSpec, context: int | None = None) -> Subject:
    """A model in sequences of `context` tokens: as long as those of its training where none is given."""
    model = counted(spec)
    length = training_length(model.spec, context)
    assert isinstance(length.value, int)
    return Subject(model, length, run_of(model.spec, length.value), context)


class Named(NamedTuple):
    """A quantity: its key, its name, what a model answers, and the published figures that speak of the same."""

    key: str
    name: str
    answer: Callable[[Subject], Figure | Missing | str]
    published: PublishedName | None = None
    unit: Unit = COUNT


def _count(pick: Callable[[ModelSpec], int], unit: Unit = COUNT) -> Callable[[Subject], Figure | Missing | str]:
    return lambda subject: Figure(pick(subject.spec), unit, source=subject.model.shape_source)


def _of_mixers(width: str) -> Callable[[Subject], Figure | Missing | str]:
    """A width of the attention layers, where all of them have the same."""

    def answer(subject: Subject) -> Figure | Missing:
        spec = subject.spec
        found = {int(getattr(mixer.widths(spec.d_model), width)) for mixer in attentions(spec.mixers)}
        return _the_only(found, subject) if found else Missing("none: no attention", settled=True)

    return answer


def _d_ff(subject: Subject) -> Figure | Missing:
    """The inner width of the feed-forward; of one expert, where there are some."""
    return _the_only({int(block.d_ff) for block in subject.spec.feed_forwards}, subject)


def _the_only(found: set[int], subject: Subject) -> Figure | Missing:
    if len(found) == 1:
        return Figure(found.pop(), COUNT, source=subject.model.shape_source)
    return Missing(" or ".join(f"{value:,}" for value in sorted(found)) or "none", settled=True)


def _year(subject: Subject) -> Figure | Missing:
    return Missing("not said") if subject.spec.year is None else Figure(subject.spec.year, YEAR, "cited")


def _training_length(subject: Subject) -> Figure:
    return subject.context._replace(value=int(subject.context.value))


def _trained_context(subject: Subject) -> Figure | Missing:
    spec = subject.spec
    if spec.context is None:
        return Missing("no limit", settled=True) if spec.positions.kind == "sinusoidal" else NOT_PUBLISHED
    return Figure(int(spec.context), TOKENS, source=subject.model.shape_source)


def _params(subject: Subject) -> Figure:
    return Figure(summed(params(subject.model.ledger).lines), PARAMETERS)


def _active(subject: Subject) -> Figure:
    return Figure(active_params(subject.model.ledger).total, PARAMETERS)


def _non_embedding(subject: Subject) -> Figure:
    return Figure(non_embedding_params(subject.model.ledger), PARAMETERS)


def _flops_per_token(subject: Subject) -> Figure:
    forward = named("forward_full", summed(forward_flops(subject.model.ledger, subject.run).lines, FLOPS_OF))
    known: Known = "assumed" if subject.context.known == "assumed" else "exact"
    return Figure(ceil_div(forward, subject.run.tokens), FLOPS_PER_TOKEN, known, "kaplan2020 Table 1")


def _attention_share(subject: Subject) -> Figure:
    lines = forward_flops(subject.model.ledger, subject.run).lines
    scores = {entry.name for entry in subject.model.ledger.entries if isinstance(entry, Scores)}
    part = sum(line.value for line in lines if line.name in scores)
    return share(part, sum(line.value for line in lines))._replace(
        known="assumed" if subject.context.known == "assumed" else "exact"
    )


def _cache(subject: Subject) -> Figure | Missing:
    ledger = subject.model.ledger
    cache = cache_bytes(growing(ledger), Run(target=1, source=1), FORMATS["bf16"].bits)
    if not cache.lines:
        stateful = any(isinstance(entry, Cache) for entry in ledger.entries)
        return Missing("none: a state that does not grow" if stateful else "none: no decoder", settled=True)
    return Figure(sum(line.value for line in cache.lines), BYTES, source=CACHE_SOURCE)


def _training_tokens(subject: Subject) -> Figure | Missing:
    training = subject.spec.training
    if training is None or training.total_tokens is None:
        return NOT_PUBLISHED
    return Figure(training.total_tokens, TOKENS, "cited", training.all_stages()[0].source)


def _training_flops(subject: Subject) -> Figure | Missing:
    if isinstance(_training_tokens(subject), Missing):
        return NOT_PUBLISHED
    whole = trained(subject.spec, None, subject.asked)
    return Figure(whole.flops(subject.model), FLOPS, whole.known)


def shown_figure(spec: ModelSpec, name: PublishedName) -> Published | None:
    """The published figure that stands for all: the first that is not known to be wrong, or else the first."""
    found = spec.figures(name)
    return next((figure for figure in found if figure.corrected is None), next(iter(found), None))


def _published(name: PublishedName, unit: Unit) -> Callable[[Subject], Figure | Missing | str]:
    def answer(subject: Subject) -> Figure | Missing:
        shown = shown_figure(subject.spec, name)
        return NOT_PUBLISHED if shown is None else published_figure(shown, unit)

    return answer


COMPARED = (
    Named("year", "year", _year, unit=YEAR),
    Named("kind", "kind", lambda subject: subject.spec.kind),
    Named("layers", "layers", _count(lambda spec: spec.layers)),
    Named("heads", "heads", _of_mixers("heads"), "heads"),
    Named("kv_heads", "key-value heads", _of_mixers("kv_heads")),
    Named("head_dim", "head_dim", _of_mixers("head_dim")),
    Named("d_model", "d_model", _count(lambda spec: spec.d_model), "d_model"),
    Named("d_ff", "d_ff", _d_ff),
    Named("vocabulary", "vocabulary", _count(lambda spec: spec.vocabulary)),
    Named("context", "trained context", _trained_context),
    Named("training_context", "sequences in training", _training_length, unit=TOKENS),
    Named("positions", "positions", lambda subject: subject.spec.positions.kind),
    Named("params", "parameters", _params, "params", PARAMETERS),
    Named("active_params", "active a token", _active, "active_params", PARAMETERS),
    Named("non_embedding_params", "non-embedding", _non_embedding, "non_embedding_params", PARAMETERS),
    Named("published_params", "parameters, published", _published("params", PARAMETERS), "params", PARAMETERS),
    Named("flops_per_token", "forward FLOPs a token", _flops_per_token, unit=FLOPS_PER_TOKEN),
    Named("attention_share", "attention's share", _attention_share),
    Named("kv_bytes_per_token", "KV cache a token", _cache, unit=BYTES),
    Named("training_tokens", "training tokens", _training_tokens, "training_tokens", TOKENS),
    Named("training_flops", "training FLOPs", _training_flops, "training_flops", FLOPS),
    Named(
        "published_training_flops", "training, published", _published("training_flops", FLOPS), "training_flops", FLOPS
    ),
)
"""What models are compared by, in the order in which they are read."""

_ONLY_PUBLISHED: tuple[tuple[PublishedName, Unit], ...] = (
    ("embedding_params", PARAMETERS),
    ("pf_days", PF_DAYS),
    ("dataset_tokens", TOKENS),
    ("common_crawl_tokens", TOKENS),
    ("sentence_pairs", COUNT),
    ("batch_tokens", TOKENS),
)

CLAIMABLE: dict[str, Named] = {
    **{quantity.key: quantity for quantity in COMPARED if quantity.key not in ("kind", "positions")},
    **{
        name: Named(name, name.replace("_", " "), lambda _: NOT_PUBLISHED, name, unit) for name, unit in _ONLY_PUBLISHED
    },
}
"""What a claim may be about, by key."""


def claimable(name: str) -> Named | None:
    """The quantity of a key, or of the name that tables print: params, parameters; None of any other name."""
    wanted = name.strip().lower()
    by_name = {quantity.name.lower(): quantity for quantity in CLAIMABLE.values()}
    return CLAIMABLE.get(wanted.replace(" ", "_").replace("-", "_")) or by_name.get(wanted)
