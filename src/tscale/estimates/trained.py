"""At which lengths a model is trained: in the stages that its makers published, or in sequences as long as asked for.

Pre-training runs in short sequences, and a context is extended in a short last stage: training that is counted at the
extended context comes out up to hundreds of times too dear. Where no length was published, sequences of
min(context, 8,192) tokens are assumed, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import add
from typing import NamedTuple

from tscale.core.costs.forward import AttentionMask, forward_flops
from tscale.core.costs.training import training_flops
from tscale.core.metric import Data, Figure, Known, weakest
from tscale.core.sources import cited
from tscale.core.tracing import TracedInt, label, trace
from tscale.core.units import FLOPS, TOKENS
from tscale.core.workload import SequenceLengths, TowerPass
from tscale.errors import NotPublishedError, field
from tscale.estimates.explaining import ASSUMED_CONTEXT, TracedModel, context_of, line_figures, summed
from tscale.models.lower import run_of
from tscale.models.spec import MOST_ASSUMED, ModelSpec, Stage


class TrainedStage(NamedTuple):
    """Tokens that are run through in sequences of one length."""

    tokens: Figure
    context: Figure
    run: SequenceLengths
    tag: str = ""
    """What begins the names in its derivation: nothing for the first, `stage_2.` for the second."""
    up_to: bool = False
    """Whether some of its tokens were in shorter sequences, so that what is counted is an upper bound."""

    @property
    def known(self) -> Known:
        """How whatever rests on the length of its sequences is known."""
        return "assumed" if self.up_to or self.context.known == "assumed" else "exact"

    @property
    def ran_through(self) -> int:
        """Its tokens as a whole number."""
        assert isinstance(self.tokens.value, int)
        return self.tokens.value

    def flops(self, model: TracedModel, sight: AttentionMask) -> int:
        """FLOPs of the stage."""
        return training_flops(model.ledger, self.run, self.ran_through, sight, self.tag)

    def derived(self, model: TracedModel, sight: AttentionMask = "full") -> Iterator[tuple[str, Figure]]:
        """The lines of one sequence's forward pass, and their sum, to be explained."""
        lines = forward_flops(model.ledger, self.run, sight).lines
        tag = self.tag + ("causal." if sight == "causal" else "")
        yield from line_figures(lines, FLOPS, "kaplan2020 Table 1", tag)
        yield f"{self.tag}forward_{sight}", Figure(summed(lines, tag), FLOPS, self.known)


class Trained(NamedTuple):
    """A training run: its stages, at least one, in their order; `uncounted`: those whose tokens were not published.

    `lead`: what must be known before its FLOPs are read. `total_source`: where the tokens of several stages were published
    as one total; "" where their sum is ours.
    """

    stages: tuple[TrainedStage, ...]
    uncounted: tuple[Stage, ...] = ()
    notes: tuple[str, ...] = ()
    lead: tuple[str, ...] = ()
    total_source: str = ""

    @property
    def first(self) -> TrainedStage:
        """Where most of the training takes place, and what its memory and its plan are asked at."""
        return self.stages[0]

    @property
    def tokens(self) -> Figure:
        """Tokens of all stages: as published, or the sum of what was published of each."""
        if len(self.stages) == 1:
            return self.first.tokens
        total = label("tokens", sum(stage.ran_through for stage in self.stages), "tokens")
        return _total(total, len(self.stages), self.total_source)

    @property
    def known(self) -> Known:
        """How whatever rests on the lengths of the sequences is known."""
        return weakest(*(stage.known for stage in self.stages))

    def flops(self, model: TracedModel, sight: AttentionMask = "full") -> int:
        """Training FLOPs: the sum over all stages."""
        if len(self.stages) == 1:
            return self.first.flops(model, sight)
        return sum(label(f"{stage.tag or 'stage_1.'}{sight}", stage.flops(model, sight)) for stage in self.stages)

    def with_media(self, passes: tuple[TowerPass, ...]) -> Trained:
        """The same with images and sounds in each sequence, which run through towers first."""
        stages = (stage._replace(run=stage.run._replace(media=passes)) for stage in self.stages)
        return self._replace(stages=tuple(stages)) if passes else self

    def lengths_text(self) -> str:
        """The lengths as people read them: `8,192 tokens, then 131,072`; of an assumption that it is one."""
        marks = (" (assumed)" if stage.context.known == "assumed" else "" for stage in self.stages)
        first, *others = dict.fromkeys(map(add, (_length_text(stage.run) for stage in self.stages), marks))
        return ", then ".join((first, *(text.replace(" tokens", "") for text in others)))

    def data(self) -> list[Data]:
        """For JSON: tokens and length of each stage; null of one whose tokens were not published, which is not counted."""
        counted: list[Data] = [_stage_data(stage.tokens, stage.context, up_to=stage.up_to) for stage in self.stages]
        return counted + [_stage_data(None, stage.context, up_to=stage.up_to) for stage in self.uncounted]


def trained(spec: ModelSpec, tokens: int | None, context: int | None) -> Trained:
    """The training run that is asked about.

    Its own stages where nothing is asked, or as many tokens as they have together; else one stage of `tokens`, or of its own
    tokens, at `context`, or at the length of its first stage. `spec`: on plain ints or on numbers that remember.

    Raises:
        NotPublishedError: where no tokens are asked for and none were published.
    """
    own = None if spec.training is None else spec.training.total_tokens
    if tokens is None and own is None:
        raise NotPublishedError(
            f"{spec.label}: its training tokens are not known: {field('tokens')} gives them, such as {field('tokens', '300e9')}"
        )
    published = _published_stages(spec)
    if context is None and tokens in (None, own) and own is not None:
        return _own_run(spec, published)
    length = training_length(spec, context)
    total = published_total(spec)
    if tokens is None:
        assert total is not None
        given, said = total._replace(value=TracedInt(int(total.value), label="tokens")), [_tokens_note(published)]
    else:
        given, said = _tokens(tokens, "tokens"), []
    assert isinstance(length.value, int)
    up_to = context is None and bool(published) and published[0].up_to
    stage = TrainedStage(given, length, run_of(spec, length.value), up_to=up_to)
    return Trained((stage,), notes=(length.note, *said), lead=tuple(_lead(spec, (stage,))))


def _own_run(spec: ModelSpec, published: tuple[Stage, ...]) -> Trained:
    """The training that was published of a model, stage by stage."""
    counted = [stage for stage in published if stage.tokens is not None]
    many = len(counted) > 1
    stages = tuple(_own_stage(spec, stage, place if many else 0) for place, stage in enumerate(counted, 1))
    uncounted = tuple(stage for stage in published if stage.tokens is None)
    total = published_total(spec)
    assert total is not None
    notes, lead = _notes(spec, stages, counted, uncounted), _lead(spec, stages)
    return Trained(stages, uncounted, tuple(notes), tuple(lead), total.source if many else "")


def published_total(spec: ModelSpec) -> Figure | None:
    """The tokens of a model's whole training; None where those of its first stage were not published.

    Of several stages the sum is ours, unless it was published as a total too: no source of one stage states it.
    """
    total = None if spec.training is None else spec.training.total_tokens
    if total is None:
        return None
    counted = [stage for stage in _published_stages(spec) if stage.tokens is not None]
    if len(counted) == 1:
        return Figure(total, TOKENS, "cited", counted[0].source)
    same = (one for one in spec.figures("training_tokens") if one.corrected is None and one.value == total)
    source = next((one.source for one in same), "")
    return _total(total, len(counted), source)


def _total(tokens: int, stages: int, source: str) -> Figure:
    """Tokens of several stages, which their makers published as one total, or whose sum is ours."""
    if source:
        return Figure(tokens, TOKENS, "cited", source)
    return Figure(tokens, TOKENS, note=f"the sum of its {stages} stages")


def published_stages(spec: ModelSpec) -> list[Data]:
    """For JSON: every stage whose tokens or length were published, in the order of training."""
    return [_stage_data(stage.tokens, stage.context, up_to=stage.up_to) for stage in _published_stages(spec)]


def training_lengths(spec: ModelSpec) -> str:
    """Every length that a model was trained at, as people read them: `8,192, then 131,072`."""
    first = training_length(spec, None)
    assumed = " (assumed)" if first.known == "assumed" else ""
    later = [f"{stage.context:,}" for stage in _published_stages(spec)[1:] if stage.context is not None]
    return ", then ".join(dict.fromkeys([f"{int(first.value):,}{assumed}", *later]))


def training_length(spec: ModelSpec, asked: int | None) -> Figure:
    """Tokens of a sequence in training: asked for, or those of the model's first stage, or an assumption that says so."""
    if asked is not None or (spec.context is None and not _published_stages(spec)):
        return context_of(spec, asked)
    stage = next(iter(_published_stages(spec)), None)
    return _length(spec, stage, "context")


def _published_stages(spec: ModelSpec) -> tuple[Stage, ...]:
    return () if spec.training is None else spec.training.all_stages()


def _own_stage(spec: ModelSpec, stage: Stage, number: int) -> TrainedStage:
    """A stage that was published; `number`: its place where there are several, else 0."""
    assert stage.tokens is not None
    tag, end = (f"stage_{number}." if number > 1 else ""), (f"_{number}" if number else "")
    tokens = _tokens(stage.tokens, f"tokens{end}")._replace(known="cited", source=stage.source)
    length = _length(spec, stage, f"context{end}")
    assert isinstance(length.value, int)
    return TrainedStage(tokens, length, run_of(spec, length.value), tag, stage.up_to)


def _stage_data(tokens: Figure | int | None, context: Figure | int | None, *, up_to: bool) -> Data:
    return {"tokens": tokens, "context": context, "up_to": up_to}


def _lead(spec: ModelSpec, stages: tuple[TrainedStage, ...]) -> Iterator[str]:
    """Of each stage that is counted at the longest of its lengths, that it is, and so that FLOPs are an upper bound."""
    for place, stage in enumerate(stages):
        if stage.up_to:
            which = "" if len(stages) == 1 else "first " if place == 0 else "last " if stage is stages[-1] else "next "
            yield (
                f"The {which}{stage.ran_through:,} tokens of {spec.label} are counted in sequences of "
                f"{_length_text(stage.run)}, an upper bound: shorter ones are not distinguished."
            )


def _tokens(value: int, label: str) -> Figure:
    return Figure(trace(value, label), TOKENS)


def _length(spec: ModelSpec, stage: Stage | None, label: str) -> Figure:
    if stage is not None and stage.context is not None:
        return Figure(TracedInt(stage.context, label=label), TOKENS, "cited", stage.source)
    if spec.audio_frames is not None and spec.context is not None:
        return Figure(TracedInt(int(spec.context), label=label), TOKENS)  # a transcript is as long as it is
    length = min(int(spec.context or ASSUMED_CONTEXT), MOST_ASSUMED)
    note = f"The length of {spec.label}'s sequences in training is not stated: {length:,} tokens are assumed; --context sets it."
    return Figure(TracedInt(length, label=label), TOKENS, "assumed", note=note)


def _length_text(run: SequenceLengths) -> str:
    if run.source and run.target:
        return f"{int(run.source):,} source and {int(run.target):,} target tokens"
    return f"{int(run.tokens):,} tokens"


def _notes(
    spec: ModelSpec, stages: tuple[TrainedStage, ...], counted: list[Stage], uncounted: tuple[Stage, ...]
) -> list[str]:
    notes = list(dict.fromkeys(stage.context.note for stage in stages))
    notes.append(_tokens_note(tuple(counted)))
    for stage, of in zip(stages, counted, strict=True):
        if len(stages) > 1 or of.note:
            notes.append(_stage_note(stage, of))
    for stage_ in uncounted:
        length = "" if stage_.context is None else f" of {stage_.context:,} tokens"
        notes.append(
            f"{spec.label} was also trained in sequences{length} ({cited(stage_.source)}); how many tokens "
            "it ran through there was not published, and none are counted at that length."
        )
    return [note for note in notes if note]


def _stage_note(stage: TrainedStage, of: Stage) -> str:
    tokens, length = int(stage.tokens.value), _length_text(stage.run)
    more = f": {of.note.rstrip('.')}" if of.note else ""
    return f"{tokens:,} of its tokens in sequences of {length} ({cited(of.source)}{_grade(of)}){more}."


def _tokens_note(stages: tuple[Stage, ...]) -> str:
    """Where the tokens of the run were read; of several stages each says its own."""
    first = stages[0]
    if len(stages) > 1 or first.note:
        return ""
    return f"Tokens: those it was trained on ({cited(first.source)}{_grade(first)})."


def _grade(stage: Stage) -> str:
    return "" if stage.evidence == "primary" else f", {stage.evidence}"
