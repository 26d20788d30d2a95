"""The quantities that a model can be asked for by name: what `compare` sets side by side and `check` audits."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tscale.blocks import attentions
from tscale.core.costs.cache import SOURCE as CACHE_SOURCE
from tscale.core.costs.cache import cache_bytes, growing
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import active_params, non_embedding_params, params
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Cache, Scores
from tscale.core.metric import Figure, Known, Missing
from tscale.core.partition import layer_kinds
from tscale.core.tracing import ceil_div, label
from tscale.core.units import BYTES, COUNT, FLOPS, FLOPS_PER_TOKEN, PARAMETERS, PF_DAYS, SHARE, TOKENS, YEAR, Unit
from tscale.core.workload import SequenceLengths
from tscale.estimates.explaining import TracedModel, counted, published_figure, share, summed
from tscale.estimates.trained import published_total, trained, training_length
from tscale.models.lower import run_of
from tscale.models.spec import ModelSpec, Published, PublishedName

NOT_PUBLISHED = Missing("not published")
FLOPS_OF = "flops."
"""What begins the names of FLOPs where parameters are told of too."""
CACHE_OF = "cache."
"""What begins the names of a cache's lines."""


class Subject(NamedTuple):
    """A model as it is asked, and the length of the sequences that it is trained on."""

    model: TracedModel
    context: Figure
    run: SequenceLengths
    asked: int | None = None
    """The length that was asked for, where one was."""

    @property
    def spec(self) -> ModelSpec:
        return self.model.spec

    @property
    def known(self) -> Known:
        """How whatever rests on the length of the sequences is known."""
        training = self.spec.training
        up_to = self.asked is None and training is not None and training.all_stages()[0].up_to
        return "assumed" if up_to or self.context.known == "assumed" else "exact"


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
    whole: bool = False
    """Whether a claim of it is right or wrong and never close: a whole number of the architecture, or a year."""


def _count(pick: Callable[[ModelSpec], int]) -> Callable[[Subject], Figure | Missing | str]:
    return lambda subject: Figure(pick(subject.spec), COUNT, source=subject.model.shape_source)


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


def _vocabulary(subject: Subject) -> Figure:
    """Rows of the token embedding, which may be more than the tokenizer has entries."""
    return Figure(
        subject.spec.vocabulary,
        COUNT,
        source=subject.model.shape_source,
        note="rows of the embedding, padding included",
    )


def _year(subject: Subject) -> Figure | Missing:
    return Missing("n/a") if subject.spec.year is None else Figure(subject.spec.year, YEAR, "cited")


def _training_length(subject: Subject) -> Figure:
    """Tokens of a sequence of the first stage, whatever length is asked for."""
    length = training_length(subject.spec, None)
    return length._replace(value=int(length.value))


def _trained_context(subject: Subject) -> Figure | Missing:
    spec = subject.spec
    if spec.context is None:
        return Missing("no limit", settled=True) if spec.positions.kind == "sinusoidal" else NOT_PUBLISHED
    return Figure(int(spec.context), TOKENS, source=subject.model.shape_source)


def _params(subject: Subject) -> Figure:
    return Figure(summed(params(subject.model.ledger.whole).lines), PARAMETERS)


def _active(subject: Subject) -> Figure:
    return Figure(active_params(subject.model.ledger).total, PARAMETERS)


def _non_embedding(subject: Subject) -> Figure:
    return Figure(non_embedding_params(subject.model.ledger), PARAMETERS)


def _flops_per_token(subject: Subject) -> Figure:
    forward = label("forward_full", summed(forward_flops(subject.model.ledger, subject.run).lines, FLOPS_OF), "FLOPs")
    return Figure(ceil_div(forward, subject.run.tokens), FLOPS_PER_TOKEN, subject.known, "kaplan2020 Table 1")


def _attention_share(subject: Subject) -> Figure:
    lines = forward_flops(subject.model.ledger, subject.run).lines
    scores = {entry.name for entry in subject.model.ledger.entries if isinstance(entry, Scores)}
    part = sum(line.value for line in lines if line.name in scores)
    return share(part, sum(line.value for line in lines))._replace(known=subject.known)


def _cache(subject: Subject) -> Figure | Missing:
    """What a sequence keeps, states included, over its length: with windows, less than each token adds at first."""
    ledger = subject.model.ledger
    if not any(isinstance(entry, Cache) for entry in growing(ledger).entries):
        stateful = any(isinstance(entry, Cache) for entry in ledger.entries)
        return Missing("none: a state that does not grow" if stateful else "none: no decoder", settled=True)
    lines = cache_bytes(ledger, subject.run, DTYPES["bf16"].bits).lines
    kept = label("cache_of_a_sequence", summed(lines, CACHE_OF), "bytes")
    length = subject.context.value
    assert isinstance(length, int)
    one = cache_of_one_token(subject)
    at_any_length = one is not None and length * int(one.value) == kept
    known: Known = "assumed" if subject.context.known == "assumed" and not at_any_length else "exact"
    return Figure(ceil_div(kept, length), BYTES, known, CACHE_SOURCE)


def cache_of_one_token(subject: Subject) -> Figure | None:
    """What a token adds to the cache of a sequence that is shorter than all windows; None where nothing grows."""
    lines = cache_bytes(growing(subject.model.ledger), SequenceLengths(target=1, source=1), DTYPES["bf16"].bits).lines
    return Figure(sum(line.value for line in lines), BYTES, source=CACHE_SOURCE) if lines else None


def _training_tokens(subject: Subject) -> Figure | Missing:
    return published_total(subject.spec) or NOT_PUBLISHED


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


def _layer_kinds(subject: Subject) -> Figure | Missing:
    """How many kinds of layers there are: 1 if all are alike; not counted where more is known than the spec can say."""
    if subject.spec.figures("layer_kinds"):
        return NOT_PUBLISHED  # what was published stands, as that GPT-3 has layers of a band that nobody knows
    kinds = layer_kinds(subject.model.ledger)
    what = "kinds of layers" if kinds > 1 else "kind of layers: all are alike"
    return Figure(kinds, COUNT, source=subject.model.shape_source, note=what)


COMPARED = (
    Named("year", "year", _year, unit=YEAR, whole=True),
    Named("kind", "kind", lambda subject: subject.spec.kind),
    Named("layers", "layers", _count(lambda spec: spec.layers), whole=True),
    Named("heads", "heads", _of_mixers("heads"), "heads", whole=True),
    Named("kv_heads", "key-value heads", _of_mixers("kv_heads"), whole=True),
    Named("head_dim", "head_dim", _of_mixers("head_dim"), whole=True),
    Named("d_model", "d_model", _count(lambda spec: spec.d_model), "d_model", whole=True),
    Named("d_ff", "d_ff", _d_ff, whole=True),
    Named("vocabulary", "vocabulary", _vocabulary, "vocabulary", whole=True),
    Named("context", "trained context", _trained_context, whole=True),
    Named("training_context", "sequences in training", _training_length, unit=TOKENS, whole=True),
    Named("positions", "positions", lambda subject: subject.spec.positions.kind),
    Named("params", "parameters", _params, "params", PARAMETERS),
    Named("active_params", "active per token", _active, "active_params", PARAMETERS),
    Named("non_embedding_params", "non-embedding", _non_embedding, "non_embedding_params", PARAMETERS),
    Named("published_params", "parameters, published", _published("params", PARAMETERS), "params", PARAMETERS),
    Named("flops_per_token", "forward FLOPs per token", _flops_per_token, unit=FLOPS_PER_TOKEN),
    Named("attention_share", "attention's share", _attention_share),
    Named("kv_bytes_per_token", "KV cache per token", _cache, unit=BYTES),
    Named("training_tokens", "training tokens", _training_tokens, "training_tokens", TOKENS),
    Named("training_flops", "training FLOPs", _training_flops, "training_flops", FLOPS),
    Named(
        "published_training_flops", "training, published", _published("training_flops", FLOPS), "training_flops", FLOPS
    ),
)
"""What models are compared by, in the order in which they are read."""

_ONLY_PUBLISHED: tuple[tuple[PublishedName, str, Unit], ...] = (
    ("embedding_params", "embedding parameters", PARAMETERS),
    ("pf_days", "training PF-days", PF_DAYS),
    ("dataset_tokens", "", TOKENS),
    ("common_crawl_tokens", "", TOKENS),
    ("common_crawl_share", "", SHARE),
    ("sentence_pairs", "", COUNT),
    ("batch_tokens", "", TOKENS),
)

_ONLY_CLAIMED = (Named("layer_kinds", "kinds of layers", _layer_kinds, "layer_kinds", whole=True),)
"""What is counted, and compares no models."""

CLAIMABLE: dict[str, Named] = {
    **{quantity.key: quantity for quantity in COMPARED if quantity.key not in ("kind", "positions")},
    **{quantity.key: quantity for quantity in _ONLY_CLAIMED},
    **{
        key: Named(key, name or key.replace("_", " "), lambda _: NOT_PUBLISHED, key, unit)
        for key, name, unit in _ONLY_PUBLISHED
    },
}
"""What a claim may be about, by key."""


def claimable(name: str) -> Named | None:
    """The quantity of a key, or of the name that tables print: params, parameters; None of any other name.

    "A token" is "per token", as tables printed it before.
    """
    wanted = name.strip().lower().replace(" a token", " per token")
    by_name = {quantity.name.lower(): quantity for quantity in CLAIMABLE.values()}
    return CLAIMABLE.get(wanted.replace(" ", "_").replace("-", "_")) or by_name.get(wanted)
