"""How many bytes a model's weights take in a number format, entry by entry, as the software does that uses the format.

bytes = stored·d_in·d_out·bits/8 for a matrix, and the bits of each row that come besides. What a format is not used for is
kept in another: bitsandbytes leaves embeddings and the head in 16 bits, GGUF keeps everything with one dimension in 32.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, assert_never

from tscale.core.costs.params import TABLES
from tscale.core.dtypes import DTYPES, Dtype, Scope, bytes_of
from tscale.core.ledger import Buffer, Cache, Conv, Entry, Ledger, Lookup, Matmul, Scan, Scores, Vector
from tscale.core.metric import Line, Quantity
from tscale.core.partition import Stretch, has_group, is_within
from tscale.core.tracing import ceil_div, is_one
from tscale.core.units import BYTES

LEAVES_OUT = (
    "Not in the weights: a file's header and the alignment of its tensors; tables that are computed at the start."
)


class Rule(NamedTuple):
    """What some of a model's weights are kept in: those of `entries`, in some layers or in all of them."""

    format: Dtype
    entries: frozenset[int]
    """Places of entries in the model's ledger."""
    layers: frozenset[int] | None = None


class Mixture(NamedTuple):
    """The formats of a release or of a GGUF file, matrix by matrix.

    `placed`: for each entry that is not all in `rest`, by its place in the ledger, its formats, each with how many of the layers
    that it stands in. `by_layer`: the format in each of its layers by number, of entries whose layers differ. `base`: the type of
    most tensors of a GGUF file; None for a release. `scope`: which weights its formats hold.
    `cache`: what a release says that its cache is kept in; None: in 16 bits.
    """

    name: str
    rest: str
    placed: dict[int, tuple[tuple[Dtype, int], ...]]
    by_layer: Mapping[int, Mapping[int, Dtype]] = {}
    base: Dtype | None = None
    scope: Scope = "linear"
    cache: str | None = None

    @property
    def bits(self) -> Fraction:
        """Bits of a number in the type of most tensors, or in the widest format that matrices were converted to."""
        if self.base is not None:
            return self.base.bits
        return max((format.bits_with_scales for format in self.dtypes()), default=DTYPES[self.rest].bits)

    def dtypes(self) -> tuple[Dtype, ...]:
        """Every format that is in use beside that of the rest, each once."""
        used = (format for counts in self.placed.values() for format, _ in counts)
        return tuple(dict.fromkeys(format for format in used if format.name != self.rest))


def mixture(
    ledger: Ledger,
    main: Dtype | None,
    rules: Sequence[Rule],
    rest: str,
    standing: Mapping[int, Sequence[int]],
) -> Mixture:
    """What each entry of a model is kept in: in a layer, the format of the first rule that is about it.

    Args: `main`: the format of matrices of layers that no rule is about, routers and gates of experts excepted; None where
    rules alone say what is converted. `rest`: that of all else. `standing`: the layers that each entry stands in.
    """

    def kept(entry: Entry, place: int, layer: int | None) -> Dtype:
        format = _of_layer(entry, place, layer, main, rules) or DTYPES[rest]
        return format if format.name == rest else dividing(entry, format)

    made = placed_mixture(ledger, rest, standing, kept)
    used = dict.fromkeys(format.name for counts in made.placed.values() for format, _ in counts if format.name != rest)
    return made._replace(name=" and ".join(used) or rest)


def placed_mixture(
    ledger: Ledger,
    rest: str,
    standing: Mapping[int, Sequence[int]],
    kept: Callable[[Entry, int, int | None], Dtype],
) -> Mixture:
    """What `kept` says of each matrix and table: of the entry, its place, and one of the layers that it stands in, or None."""
    placed: dict[int, tuple[tuple[Dtype, int], ...]] = {}
    by_layer: dict[int, dict[int, Dtype]] = {}
    for place, entry in enumerate(ledger.entries):
        if isinstance(entry, (Matmul, Lookup)):
            layers: Sequence[int | None] = standing.get(place, (None,))
            dtypes = {layer: kept(entry, place, layer) for layer in layers}
            counts = Counter(dtypes.values())
            if counts and counts.keys() != {DTYPES[rest]}:
                placed[place] = tuple(counts.items())
            if len(counts) > 1:
                by_layer[place] = {layer: format for layer, format in dtypes.items() if layer is not None}
    return Mixture("", rest, placed, by_layer)


def of_stage(mixture: Mixture, whole: Ledger, own: Sequence[Stretch], *, first: bool, last: bool) -> Mixture:
    """The mixture of a pipeline stage of some stretches of a stack, by the places of the stage's own ledger (`partition.stage`)."""
    placed: dict[int, tuple[tuple[Dtype, int], ...]] = {}
    by_layer: dict[int, dict[int, Dtype]] = {}
    place = at = 0
    for group in whole.groups:
        stays = has_group(group, own, first=first, last=last)
        for _ in group.entries:
            if stays and place in mixture.by_layer:
                dtypes = {layer: format for layer, format in mixture.by_layer[place].items() if is_within(layer, own)}
                placed[at], by_layer[at] = tuple(Counter(dtypes.values()).items()), dtypes
            elif stays and place in mixture.placed:
                placed[at] = mixture.placed[place]
            place, at = place + 1, at + stays
    return mixture._replace(placed=placed, by_layer=by_layer)


def _of_layer(entry: Entry, place: int, layer: int | None, main: Dtype | None, rules: Sequence[Rule]) -> Dtype | None:
    """What an entry is kept in in one layer; None for the rest."""
    for rule in rules:
        if place in rule.entries and (rule.layers is None or layer in rule.layers):
            return rule.format
    return main if is_converted(entry) else None


class Kept(NamedTuple):
    """Copies of an entry that owns weights, and the format that they are kept in.

    `place`: of the entry in its ledger. `layers`: of how many of its layers these copies are.
    """

    place: int
    entry: Matmul | Lookup | Vector | Buffer | Conv
    format: Dtype
    rest: Dtype
    layers: tuple[int, int] = (1, 1)

    @property
    def name(self) -> str:
        """The entry's name, and the format where others of its copies are in another."""
        return self.entry.name if self.layers == (1, 1) else f"{self.entry.name} in {self.format.name}"

    @property
    def bytes(self) -> int:
        """Bytes of these copies; a bias is kept as vectors are."""
        return _bytes(self)

    def beside(self, matmul: Matmul) -> tuple[int, int]:
        """Bytes of what each row of a matrix has, a scale and a bias, and each column: of rows or columns that a cut leaves whole, no less."""
        format, bias = self.format, self.rest.bits * matmul.bias
        rows, columns = matmul.stored * matmul.d_out, matmul.stored * matmul.d_in
        return bytes_of(rows, format.row_bits) + bytes_of(rows, bias), bytes_of(columns, format.column_bits)


def weight_bytes(ledger: Ledger, format: Dtype | Mixture, whole: Ledger | None = None) -> Quantity:
    """Bytes of everything that is stored, buffers included, one line for each entry that owns weights.

    `whole`: the model that `ledger` is one device's share of; a matrix is quantised before it is cut, so it decides what
    can be kept in blocks. A block that a cut goes through is counted once, although each side needs its scale, but for
    blocks of several rows, of which each device has whole ones.
    """
    sizes: dict[int, int] = {}
    for kept in kept_in(ledger, format, whole):
        sizes[kept.place] = sizes[kept.place] + kept.bytes if kept.place in sizes else kept.bytes
    lines = tuple(Line(ledger.entries[place].name, size) for place, size in sizes.items())
    source = format.source if isinstance(format, Dtype) else ""
    return Quantity("weights", lines, BYTES, source=source)


def tower_format(format: Dtype | Mixture) -> Dtype:
    """What towers and projectors are kept in: the format of all weights, or, where weights are quantised, 16 bits.

    Releases and engines quantise the language model and leave these as they were trained; llama.cpp keeps them in a file of their own,
    whose matrices are of 16 bits, whatever the rest of the language model's file is.
    """
    own = format if isinstance(format, Dtype) else format.base or DTYPES[format.rest]
    return own if own.bits in (16, 32) else DTYPES["bf16"]


def tower_bytes(ledger: Ledger, format: Dtype | Mixture) -> Quantity:
    """Bytes of a model's towers and projectors, one line for each entry; nothing of a model that has none."""
    return weight_bytes(Ledger(ledger.model, ledger.towers), tower_format(format))


def kept_in(ledger: Ledger, format: Dtype | Mixture, whole: Ledger | None = None) -> Iterator[Kept]:
    """Each entry that owns weights with the format that it is kept in; of several formats, its copies in each of them."""
    whole = ledger if whole is None else whole
    routed = any(isinstance(entry, Matmul) and not is_one(entry.experts) for entry in whole.entries)
    rest = DTYPES[format.rest]
    for place, (entry, uncut) in enumerate(zip(ledger.entries, whole.entries, strict=True)):
        match entry:
            case Matmul() | Lookup() | Vector() | Buffer() | Conv():
                if isinstance(format, Mixture):
                    yield from _mixed(place, entry, format, rest)
                else:
                    held = _holds(format, uncut, routed=routed)
                    yield Kept(place, entry, dividing(uncut, format) if held else rest, rest)
            case Scores() | Scan() | Cache():
                pass  # they own no weights
            case _:
                assert_never(entry)


def _mixed(
    place: int, entry: Matmul | Lookup | Vector | Buffer | Conv, mixture: Mixture, rest: Dtype
) -> Iterator[Kept]:
    """The copies of an entry by format."""
    counts = mixture.placed.get(place, ((rest, 1),))
    if len(counts) == 1:
        yield Kept(place, entry, counts[0][0], rest)
        return
    layers = sum(count for _, count in counts)
    for format, count in counts:
        yield Kept(place, entry._replace(stored=entry.stored // layers * count), format, rest, (count, layers))


def _bytes(kept: Kept) -> int:
    entry, format = kept.entry, kept.format
    match entry:
        case Matmul():
            copies = entry.stored
            matrices = bytes_of(copies * entry.d_in * entry.d_out, format.bits)
            if format.block is not None:
                matrices += bytes_of(copies * _blocks(entry.d_out, entry.d_in, format.block), format.block_bits)
            if format.matrix_bits:
                matrices += bytes_of(copies, format.matrix_bits)
            return matrices + sum(kept.beside(entry))
        case Lookup():
            table = bytes_of(entry.stored * entry.rows * entry.width, format.bits)
            if format.block is not None:
                table += bytes_of(entry.stored * _blocks(entry.rows, entry.width, format.block), format.block_bits)
            return table
        case Vector() | Buffer():
            return bytes_of(entry.stored * entry.width, format.bits)
        case Conv():
            weights = entry.channels * entry.kernel + entry.channels if entry.bias else entry.channels * entry.kernel
            return bytes_of(entry.stored * weights, format.bits)
        case _:
            assert_never(entry)


def _blocks(rows: int, columns: int, block: tuple[int, int]) -> int:
    """Blocks of a matrix, those at its edges whole."""
    high, wide = block
    return (rows if high == 1 else ceil_div(rows, high)) * ceil_div(columns, wide)


def _holds(format: Dtype, entry: Entry, *, routed: bool) -> bool:
    """Whether a format is used for an entry; `routed`: whether the model has routed experts."""
    match format.scope:
        case "all":
            return True
        case "matrices":
            if isinstance(entry, Lookup):
                return entry.part == "embedding" and entry.role != "segments"
            return isinstance(entry, Matmul) and not _is_router(entry)
        case "linear":
            return is_linear(entry)
        case "experts":
            return isinstance(entry, Matmul) and (not is_one(entry.experts) if routed else is_linear(entry))
        case _:
            assert_never(format.scope)


def is_linear(entry: Entry) -> bool:
    """Whether it is a matrix inside of a layer, a router excepted."""
    return isinstance(entry, Matmul) and entry.part not in {"head", *TABLES} and not _is_router(entry)


def is_converted(entry: Entry) -> bool:
    """Whether software that converts a model's linear layers converts a matrix where nothing else is said.

    Neither embeddings nor the head, as in the loaders of Hugging Face and vLLM, nor what weighs experts or an indexer's heads.
    """
    return (
        isinstance(entry, Matmul)
        and is_linear(entry)
        and entry.role not in ("shared_switch", "index_weights", "streams", "stream_mix")
    )


def _is_router(entry: Matmul) -> bool:
    return entry.role == "router"


def dividing(entry: Entry, format: Dtype) -> Dtype:
    """The format itself, or the first of those that stand in for it whose blocks divide the rows of an entry."""
    row = entry.d_in if isinstance(entry, Matmul) else entry.width if isinstance(entry, Lookup) else 0
    while format.multiple > 1 and row % format.multiple:
        format = DTYPES[format.fallback]
    return format
