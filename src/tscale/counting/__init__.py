"""The public functions: what they are given is right or refused, and then the core counts.

Numbers may be of three kinds: ints; ints that remember how they were made (`traced`); float64 arrays, for many models
or lengths at once. Where a ledger is asked for, a spec is taken too. Everything refused is a `TscaleError` of one line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction

import tscale.core.workload
import tscale.models.lower
import tscale.models.spec
from tscale.core.costs import cache, forward, training
from tscale.core.costs import params as parameters
from tscale.core.costs.forward import AttentionMask
from tscale.core.counts import MOST_TOKENS
from tscale.core.ledger import Entry, Group, Ledger, Scores, Stream
from tscale.core.metric import Quantity
from tscale.counting.given import bits_of, count_of, is_any, length_of, refuse_unlike, sight_of
from tscale.errors import RequestError, SpecErrors, TscaleError, as_keyword, shown
from tscale.models.made import a_kind_of, arrays_in, checked, trusted
from tscale.models.resolve import resolve
from tscale.models.spec import ModelSpec


class SequenceLengths(tscale.core.workload.SequenceLengths):
    """One sequence: `target` tokens through a decoder, `source` tokens through an encoder (0 where there is none).

    `images`: positions of images that a decoder's layers attend to (Llama 3.2 Vision), 0 where none do.
    `run_of(spec, context)` is the run of a model of any kind.

    Raises:
        TscaleError: for what is no number of tokens, and where there are none at all.

    Example:
        >>> SequenceLengths(target=2048)
        SequenceLengths(target=2048, source=0, media=(), images=0)
    """

    __slots__ = ()

    def __new__(cls, target: int, source: int = 0, images: int = 0) -> SequenceLengths:
        lengths = length_of(target, "target"), length_of(source, "source")
        refuse_unlike(None, target=lengths[0], source=lengths[1])
        run = super().__new__(cls, *lengths, images=length_of(images, "images"))
        if is_any(run.tokens == 0):
            raise RequestError("a SequenceLengths has tokens: give target, or source for an encoder, or both")
        return run


def load(
    model: str | os.PathLike[str], changes: Iterable[str] = (), assume: str | None = None, families: object = None
) -> ModelSpec:
    """The spec that MODEL means on the command line: a built-in name, a file, a folder with a config.json.

    Args:
        model: the name or the path.
        changes: fields to set, such as `["layers=24", "attention.kv_heads=8"]`.
        assume: the family that a config.json of an unknown one counts like.
        families: the path of a YAML file of further families, or a mapping like one.

    Raises:
        TscaleError: for what is no model, and for one whose shape was never published.

    Example:
        >>> load("gpt2", ["layers=24"]).layers
        24
    """
    name = os.fspath(model) if isinstance(model, os.PathLike) else model
    if not isinstance(name, str):
        raise RequestError(f"model must be a name or a path, such as gpt3, not {a_kind_of(name)}")
    if not isinstance(assume, str | None):
        raise RequestError(f"assume must be the name of a family, such as llama, not {a_kind_of(assume)}")
    try:
        from tscale.importer.families import more_families

        with more_families(os.fspath(families) if isinstance(families, os.PathLike) else families):
            return trusted(resolve(name, _changes(changes), assume))
    except TscaleError as error:
        _call_arguments(error)
        raise


def _call_arguments(error: TscaleError) -> None:
    """Lets an error speak of the arguments of `load` where a command's speaks of its options."""
    errors = error.errors if isinstance(error, SpecErrors) else ()
    for one in (error, *errors):
        one.respell(_argument)


def _argument(name: str, value: str | None) -> str:
    """A field as an argument of `load`."""
    return as_keyword("changes" if name == "set" else name, value)


def _changes(changes: object) -> tuple[str, ...]:
    try:
        listed = (changes,) if isinstance(changes, str) or not isinstance(changes, Iterable) else tuple(changes)
    except TypeError:  # of numpy, an array without dimensions
        listed = (changes,)
    for change in listed:
        if not isinstance(change, str):
            raise RequestError(f"changes are texts KEY=VALUE, such as layers=24, not {a_kind_of(change)}")
    return listed


def traced(spec: ModelSpec) -> ModelSpec:
    """The same spec on ints that remember: whatever is counted from it tells how, by `names` and by `numbers`.

    Raises:
        TscaleError: for a spec that is not valid, and for one of arrays.

    Example:
        >>> params(traced(load("gpt2"))).lines[0].value.numbers
        '50257·768'
    """
    valid = checked(spec)
    if arrays_in(valid):
        raise RequestError(
            f"{valid.name} has arrays as sizes, and only ints can be traced: give it one number for each"
        )
    return trusted(tscale.models.naming.traced(valid))


def lower(spec: ModelSpec) -> Ledger:
    """The ledger of a model: all that it owns and does, which the other functions ask.

    Raises:
        TscaleError: with all that validation of a file with the same content finds, for a spec that was made in Python.

    Example:
        >>> lower(load("gpt2")).entries[0].name
        'embedding.tokens'
    """
    if isinstance(spec, Ledger):
        raise RequestError(
            "lower takes a ModelSpec, and this is a Ledger: pass it to params and the other functions as it is"
        )
    return tscale.models.lower.lower(checked(spec))


def run_of(spec: ModelSpec, context: int, source: int | None = None, target: int | None = None) -> SequenceLengths:
    """The run of one sequence of `context` tokens, each on the stream where a model of its kind reads them.

    A decoder's are target tokens, an encoder's source tokens; an encoder-decoder has as many of both. An encoder that
    hears always reads as many positions (Whisper's 1,500).

    Args:
        spec: the model.
        context: tokens of the sequence.
        source: of an encoder-decoder, tokens that its encoder reads, if not as many.
        target: of an encoder-decoder, tokens that its decoder runs over, if not as many.

    Raises:
        TscaleError: for lengths that are none, and for those of a stream that the model does not have.

    Example:
        >>> run_of(load("bert-base"), 512)
        SequenceLengths(target=0, source=512, media=(), images=0)
    """
    valid = checked(spec)
    for stream, given in (("source", source), ("target", target)):
        if given is not None and valid.kind != "encoder-decoder":
            raise RequestError(f"{valid.name} has a single stack: leave out {stream}, context is its length")
    if source is not None and valid.audio_frames is not None:
        raise RequestError(f"{valid.name} always reads {shown(valid.audio_frames)} audio frames: leave out source")
    lengths = (
        None if given is None else count_of(given, name) for name, given in (("source", source), ("target", target))
    )
    run = tscale.models.lower.run_of(valid, count_of(context, "context"), *lengths)
    return SequenceLengths(run.target, run.source, run.images)


def params(ledger: Ledger | ModelSpec) -> Quantity:
    """Parameters that are stored, one line for each kind of weight; a tied tensor counts once. Towers are counted too.

    Raises:
        TscaleError: for what is neither a ledger nor a valid spec.

    Example:
        >>> params(load("gpt3")).total
        174604259328
    """
    asked = _ledger(ledger)
    return _known(parameters.params(asked.whole), asked)


def active_params(ledger: Ledger | ModelSpec) -> Quantity:
    """Parameters that one token can meet: routed experts by those it is sent to, everything else whole.

    Raises:
        TscaleError: for what is neither a ledger nor a valid spec.

    Example:
        >>> active_params(load("mixtral-8x7b")).total
        12879925248
    """
    asked = _ledger(ledger)
    return _known(parameters.active_params(asked), asked)


def non_embedding_params(ledger: Ledger | ModelSpec) -> int:
    """Parameters without token and position embeddings and without an untied head (the N of Kaplan 2020).

    Raises:
        TscaleError: for what is neither a ledger nor a valid spec.

    Example:
        >>> non_embedding_params(load("gpt3"))
        173961535488
    """
    return parameters.non_embedding_params(_ledger(ledger))


def cache_bytes(
    ledger: Ledger | ModelSpec, run: SequenceLengths, bits: int | Fraction | str, page: int | None = None
) -> Quantity:
    """Bytes that one sequence keeps while decoding, one line for each kind of layer that caches (Pope 2022, section 2.1).

    Args:
        ledger: the model.
        run: the tokens that are kept.
        bits: those of a number, scales included, or the name of a format that caches are kept in, such as fp8 or bf16.
        page: positions are kept in blocks of so many, the last one whole (Kwon 2023, section 4.1).

    Raises:
        TscaleError: for a run of streams that are not the model's, and for a format that its cache cannot be kept in.

    Example:
        >>> cache_bytes(load("gpt3"), SequenceLengths(target=2048), "bf16").total
        9663676416
    """
    asked = _ledger(ledger)
    lengths, pages = _run(run, asked), None if page is None else count_of(page, "page")
    refuse_unlike(asked, run=lengths.tokens, page=pages)
    return _known(cache.cache_bytes(asked, lengths, bits_of(bits, asked), pages), asked)


def forward_flops(ledger: Ledger | ModelSpec, run: SequenceLengths, sight: AttentionMask = "full") -> Quantity:
    """FLOPs of one sequence's forward pass, one line for each thing that computes, the head at every position.

    Args:
        ledger: the model.
        run: the tokens of the sequence.
        sight: full lets every query see every key, as frameworks count; causal counts the keys that a query may see.

    Raises:
        TscaleError: for a run of streams that are not the model's, and for another word than full and causal.

    Example:
        >>> forward_flops(load("gpt2"), SequenceLengths(target=1024)).total
        291648307200
    """
    asked = _ledger(ledger)
    return _known(forward.forward_flops(asked, _run(run, asked), sight_of(sight)), asked)


def training_flops(ledger: Ledger | ModelSpec, run: SequenceLengths, tokens: int, sight: AttentionMask = "full") -> int:
    """FLOPs to train on `tokens` tokens in sequences like `run`: forward once, backward twice that; no recomputation.

    Args:
        ledger: the model.
        run: one of the sequences.
        tokens: all that training runs through, those of both streams of an encoder-decoder.
        sight: as in `forward_flops`.

    Raises:
        TscaleError: for a run of streams that are not the model's, for what is no number of tokens, for another word.

    Example:
        >>> bert = load("bert-base")
        >>> training_flops(bert, run_of(bert, 512), tokens=250 * 10**9)
        141559488000000000000
    """
    asked = _ledger(ledger)
    lengths, count = _run(run, asked), count_of(tokens, "tokens", MOST_TOKENS)
    refuse_unlike(asked, run=lengths.tokens, tokens=count)
    return training.training_flops(asked, lengths, count, sight_of(sight))


def _known(quantity: Quantity, ledger: Ledger) -> Quantity:
    """A quantity as it is, or assumed where the model is counted like one of another family."""
    return quantity._replace(known="assumed") if ledger.assumed else quantity


def _ledger(asked: object) -> Ledger:
    """A ledger as it is, a spec lowered; anything else is refused."""
    if isinstance(asked, ModelSpec):
        return lower(asked)
    if not isinstance(asked, Ledger):
        raise RequestError(f'a Ledger must be given, such as tscale.lower(tscale.load("gpt3")), not {a_kind_of(asked)}')
    groups = asked.groups
    if not (isinstance(groups, tuple) and all(isinstance(group, Group) for group in groups)):
        raise RequestError(
            "a Ledger has groups of entries, as tscale.lower makes them: tscale.Ledger.of(model, entries) makes one of entries"
        )
    entries = [entry for group in groups for entry in group.entries]
    odd = [a_kind_of(entry) for entry in entries if not isinstance(entry, Entry)]
    if odd or not entries:
        raise RequestError(f"a Ledger has entries, as tscale.lower makes them: this has {odd[0] if odd else 'none'}")
    return asked


def _run(run: object, ledger: Ledger) -> SequenceLengths:
    """A run with tokens on those streams that a model reads, and on no other."""
    if not isinstance(run, tscale.core.workload.SequenceLengths):
        raise RequestError(f"a SequenceLengths must be given, such as tscale.run_of(spec, 2048), not {a_kind_of(run)}")
    lengths = SequenceLengths(run.target, run.source, run.images)
    refuse_unlike(ledger, run=lengths.tokens)
    read = _streams(ledger)
    if not read:
        return lengths
    for stream in ("target", "source"):
        length = lengths.length(stream)
        if is_any(length == 0) if stream in read else is_any(length != 0):
            raise RequestError(f"{ledger.model} reads {_reading(read)}")
    seen = any(isinstance(entry, Scores) and entry.keys == "images" for entry in ledger.entries)
    if is_any((lengths.images != 0) != seen):
        raise RequestError(
            f"layers of {ledger.model} attend to images: give tscale.run_of(spec, 512), which has as many positions of them"
            if seen
            else f"no layer of {ledger.model} attends to images, of which this run has some: leave images at 0"
        )
    if ledger.audio_frames is not None and is_any(lengths.source != ledger.audio_frames):
        raise RequestError(
            f"{ledger.model} always reads {shown(ledger.audio_frames)} source positions, not {shown(lengths.source)}: "
            "give tscale.run_of(spec, 448)"
        )
    return lengths


def _reading(read: set[Stream]) -> str:
    """Which tokens a model reads, and how to give it some."""
    tokens = "source and target tokens" if len(read) > 1 else f"{min(read)} tokens alone"
    target, source = (512 if stream in read else 0 for stream in ("target", "source"))
    return f"{tokens}: give tscale.run_of(spec, 512), or SequenceLengths(target={target}, source={source})"


def _streams(ledger: Ledger) -> set[Stream]:
    """The streams whose length counts for a model."""
    found: set[Stream] = set()
    for entry in ledger.entries:
        found |= {getattr(entry, name) for name in ("stream", "keys") if hasattr(entry, name)}
    return found - {"once", "images"}
