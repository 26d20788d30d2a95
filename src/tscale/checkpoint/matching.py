"""Whether the tensors of a checkpoint are those that a ledger predicts, compared by shape.

A ledger has no tensor names, so the two sides are multisets of shapes, alike up to a transposition and dimensions of 1.
First all that is equal cancels. Then what is left over on both sides may explain one another: matrices that are packed
into one tensor (q, k and v; gate and up; the experts of a layer), a vector in two halves or a tensor in another layout.
At last come copies of tied tensors. Whatever remains is missing, or not expected.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, NamedTuple, assert_never

from tscale.checkpoint.tensors import Tensor
from tscale.core.ledger import Buffer, Cache, Conv, Ledger, Lookup, Matmul, Scan, Scores, Vector

Key = tuple[int, ...]
"""A shape up to a transposition and dimensions of 1."""

_BESIDE: Final = re.compile(
    r"(.*\.)?(position_ids|inv_freq|original_inv_freq|masked_bias|final_logits_bias|rope_freqs(\.weight)?|attn\.bias|attention\.bias)"
)
_TOWERS: Final = re.compile(
    r"(.*\.)?(image|video|audio|vision|visual|speech|high_res|mm|multi_modal|embed_vision|embed_audio|language_projection"
    r"|q_?former|query_tokens|text_projection|logit_scale|logit_bias|connector|aligner|projector|merger|perceiver|resampler)(_\w+)?(\.|$)|(model\.)?encoder\."
)
"""What the names of tensors of towers and of projectors have in them."""
_SINES: Final = re.compile(r"(.*\.)?(embed_positions|position_embeddings)\.weights?")
_NORMS: Final = (frozenset({"weight", "bias"}), frozenset({"gamma", "beta"}))
_HALVES: Final = 2


def key_of(shape: Sequence[int]) -> Key:
    """What two shapes share that differ by a transposition or by dimensions of 1."""
    return tuple(sorted(dimension for dimension in shape if dimension != 1))


@dataclass
class Piece:
    """One tensor of an entry, `count` times: predicted, and what became of it."""

    entry: str
    what: str
    shape: tuple[int, ...]
    count: int
    optional: bool = False
    matched: int = 0
    """Copies that stand in the file as they are."""
    packed: int = 0
    """Copies that stand in it together with others, or in another layout."""
    packed_as: str = ""

    @property
    def key(self) -> Key:
        return key_of(self.shape)

    @property
    def name(self) -> str:
        """The entry's name, and which of its tensors this is."""
        return f"{self.entry} {self.what}".rstrip()

    @property
    def missing(self) -> int:
        """Copies that the file lacks."""
        return 0 if self.optional else self.count - self.matched - self.packed


class Surplus(NamedTuple):
    """Tensors of one shape beyond those that were predicted: so many of these, which cannot be told apart."""

    extra: int
    tensors: tuple[Tensor, ...]


class Comparison(NamedTuple):
    """Both sides of the comparison: every predicted piece, and the tensors that are not pieces of any."""

    pieces: tuple[Piece, ...]
    unexpected: tuple[Surplus, ...]
    copies: tuple[Surplus, ...]
    beside: tuple[Tensor, ...]

    @property
    def agrees(self) -> bool:
        """Whether all that was predicted is there, and nothing else that counts."""
        return not self.unexpected and not any(piece.missing for piece in self.pieces)


def predicted(ledger: Ledger) -> Iterator[Piece]:
    """The tensors that a ledger's entries are kept in, where nothing is packed."""
    for entry in ledger.entries:
        match entry:
            case Matmul():
                if entry.stored:
                    bias = "bias" if entry.bias else ""
                    yield Piece(entry.name, "weight" if bias else "", (entry.d_out, entry.d_in), entry.stored)
                    if bias:
                        yield Piece(entry.name, bias, (entry.d_out,), entry.stored)
            case Lookup():
                yield Piece(entry.name, "", (entry.rows, entry.width), entry.stored)
            case Vector():
                if entry.width:
                    yield Piece(entry.name, "", (entry.width,), entry.stored)
            case Buffer():
                yield Piece(entry.name, "", (entry.width,), entry.stored, optional=True)
            case Conv():
                yield Piece(entry.name, "weight" if entry.bias else "", (entry.channels, entry.kernel), entry.stored)
                if entry.bias:
                    yield Piece(entry.name, "bias", (entry.channels,), entry.stored)
            case Scores() | Scan() | Cache():
                pass  # own nothing
            case _:
                assert_never(entry)


class _Packing(NamedTuple):
    """Pieces that a checkpoint may keep in one tensor: each so many times."""

    text: str
    parts: tuple[tuple[Piece, int], ...]
    shape: tuple[int, ...]


def _packings(pieces: Sequence[Piece]) -> Iterator[_Packing]:
    """The ways of packing that are in use, the largest first."""
    groups: dict[tuple[str, str], dict[str, Piece]] = defaultdict(dict)
    for piece in pieces:
        block, _, matrix = piece.entry.rpartition(".")
        groups[block, "bias" if piece.what == "bias" else ""][matrix] = piece
    routed = {
        block: group["router"].shape[0] for (block, what), group in groups.items() if "router" in group and not what
    }
    for (block, _), group in groups.items():
        experts = routed.get(block, 0)
        for matrices in (("q", "k", "v"), ("k", "v"), ("gate", "up")):
            if all(matrix in group for matrix in matrices):
                parts = [group[matrix] for matrix in matrices]
                fused = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
                if experts:
                    yield _Packing(
                        f"{', '.join(matrices)} of all experts",
                        tuple((part, experts) for part in parts),
                        (experts, *fused),
                    )
                yield _Packing(", ".join(matrices), tuple((part, 1) for part in parts), fused)
        for matrix in ("up", "gate", "down") if experts else ():
            if matrix in group:
                yield _Packing("all experts", ((group[matrix], experts),), (experts, *group[matrix].shape))


class _Found:
    """The tensors of a checkpoint by the key of their shapes; those that are left are counted, not chosen."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.all: dict[Key, list[tuple[Tensor, ...]]] = defaultdict(list)
        for item in _items(tensors):
            self.all[_key_of_item(item)].append(item)
        self.left = Counter({key: len(items) for key, items in self.all.items()})

    def part_norms(self) -> None:
        """Takes the norms that are left apart: a gain and a bias that were not predicted together."""
        for key, items in list(self.all.items()):
            pairs = [item for item in items if len(item) > 1][-self.left[key] :] if self.left[key] else []
            for item in pairs:
                single = key_of(item[0].shape)
                items.remove(item)
                self.all[single] += [(tensor,) for tensor in item]
                self.left[key] -= 1
                self.left[single] += len(item)

    def surplus(self, key: Key) -> Surplus:
        """What is left of a shape."""
        return Surplus(self.left[key], tuple(tensor for item in self.all[key] for tensor in item))


def _items(tensors: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """The tensors, a norm's gain and bias together: the two vectors of one width that one module has."""
    modules: dict[str, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        modules[tensor.name.rpartition(".")[0]].append(tensor)
    for module in modules.values():
        names = frozenset(tensor.name.rpartition(".")[2] for tensor in module)
        if names in _NORMS and len({tensor.shape for tensor in module}) == 1 and len(module[0].shape) == 1:
            yield tuple(module)
        else:
            yield from ((tensor,) for tensor in module)


def _key_of_item(item: tuple[Tensor, ...]) -> Key:
    return key_of(item[0].shape) if len(item) == 1 else _pair_of(sum(tensor.numbers for tensor in item))


def _pair_of(numbers: int) -> Key:
    """The key of a gain and a bias together: no single vector has it."""
    return (-numbers,)


def compared(ledger: Ledger, tensors: Sequence[Tensor]) -> Comparison:
    """The tensors of a checkpoint beside those that a ledger predicts.

    Where a model has towers, their tensors are told from the language model's by their names, and each are compared for themselves.
    A tensor that holds no numbers says nothing (DINOv3 without registers).
    """
    tensors = [tensor for tensor in tensors if tensor.numbers]
    if not ledger.towers:
        return _compared(ledger, tensors)
    towers = Ledger(ledger.model, ledger.towers)
    of_towers = [tensor for tensor in tensors if _TOWERS.match(tensor.name)]
    own, theirs = (
        _compared(ledger, [one for one in tensors if not _TOWERS.match(one.name)]),
        _compared(towers, of_towers),
    )
    return Comparison(
        own.pieces + theirs.pieces,
        own.unexpected + theirs.unexpected,
        own.copies + theirs.copies,
        own.beside + theirs.beside,
    )


def _compared(ledger: Ledger, tensors: Sequence[Tensor]) -> Comparison:
    """The tensors of one of the two beside those that are predicted of it."""
    beside = tuple(tensor for tensor in tensors if _is_beside(tensor, ledger))
    kept = set(beside)
    found = _Found([tensor for tensor in tensors if tensor not in kept])
    pieces = list(predicted(ledger))
    lacking = Counter[Key]()
    for piece in pieces:
        if not piece.optional:
            lacking[piece.key] += piece.count
    _take_norms(pieces, lacking, found)
    _cancel(lacking, found)
    found.part_norms()
    _cancel(lacking, found)
    as_is = Counter({key: -left for key, left in lacking.items()})
    for piece in pieces:
        as_is[piece.key] += 0 if piece.optional else piece.count
    _unpack(pieces, lacking, found)
    _relaid(pieces, lacking, found)
    _rejoin(pieces, lacking, found)
    _share_out(pieces, as_is)
    _take_buffers(pieces, found)
    copies = _take_copies(ledger, found)
    unexpected = tuple(found.surplus(key) for key in found.all if found.left[key])
    return Comparison(tuple(pieces), unexpected, copies, beside)


def _take_norms(pieces: Sequence[Piece], lacking: Counter[Key], found: _Found) -> None:
    """Takes gains that stand next to a bias with the vectors that were predicted as both."""
    vectors = Counter[Key]()
    for piece in pieces:
        if not (piece.optional or piece.what) and len(piece.shape) == 1:
            vectors[piece.key] += piece.count
    for key, count in vectors.items():
        pair = _pair_of(prod(key))
        equal = min(count, found.left[pair])
        lacking[key] -= equal
        found.left[pair] -= equal


def _cancel(lacking: Counter[Key], found: _Found) -> None:
    """Takes from both sides what is equal."""
    for key in lacking:
        equal = min(lacking[key], found.left[key])
        lacking[key] -= equal
        found.left[key] -= equal


def _share_out(pieces: Sequence[Piece], as_is: Counter[Key]) -> None:
    """Says which pieces stand in the file as they are: those of one shape share what there is, each by its number."""
    for key, there in as_is.items():
        alike = [piece for piece in pieces if piece.key == key and not piece.optional]
        wanted = sum(piece.count - piece.packed for piece in alike)
        for piece in alike:
            piece.matched = (piece.count - piece.packed) * there // wanted if wanted else 0
        rest = there - sum(piece.matched for piece in alike)
        for piece in sorted(alike, key=lambda piece: -((piece.count - piece.packed) * there % max(wanted, 1)))[:rest]:
            piece.matched += 1


def _unpack(pieces: Sequence[Piece], lacking: Counter[Key], found: _Found) -> None:
    """Explains tensors that are left by pieces that are lacking and fit together into one."""
    for packing in _packings(pieces):
        key = key_of(packing.shape)
        need = Counter[Key]()
        for part, times in packing.parts:
            need[part.key] += times
        count = min(
            found.left[key],
            *(lacking[part] // times for part, times in need.items()),
            *((part.count - part.packed) // times for part, times in packing.parts),
        )
        if count:
            found.left[key] -= count
            for part, times in packing.parts:
                lacking[part.key] -= count * times
                part.packed += count * times
                part.packed_as = f"{packing.text} in one {shape_text(packing.shape)}"


def _relaid(pieces: Sequence[Piece], lacking: Counter[Key], found: _Found) -> None:
    """Explains tensors that are left by pieces of another layout: dimensions taken apart, or a vector in two halves."""
    keys = list(found.all)
    by_size: dict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        by_size[prod(key)].append(place)
    for piece in pieces:
        if piece.optional or not lacking[piece.key]:
            continue
        numbers = prod(piece.shape)
        for place in sorted(by_size.get(numbers, []) + by_size.get(numbers // _HALVES, [])):
            key, items = keys[place], found.all[keys[place]]
            if not found.left[key] or len(items[0]) > 1:
                continue
            shape = items[0][0].shape
            each = 1 if piece.key in _merged(shape) else _HALVES
            if each == _HALVES and (len(piece.shape) > 1 or prod(shape) * _HALVES != piece.shape[0]):
                continue
            count = min(found.left[key] // each, lacking[piece.key], piece.count - piece.packed)
            if count:
                found.left[key] -= count * each
                lacking[piece.key] -= count
                piece.packed += count
                piece.packed_as = f"kept as {'two ' if each > 1 else ''}{shape_text(shape)}"


def _rejoin(pieces: Sequence[Piece], lacking: Counter[Key], found: _Found) -> None:
    """Explains tensors that are left as one matrix's rows in two parts (Qwen3.5 keeps those of its linear attention apart)."""
    for piece in pieces:
        if piece.optional or len(piece.shape) != _HALVES or not lacking[piece.key]:
            continue
        rows, columns = piece.shape
        for first in [key for key in found.all if columns in key and found.left[key] > 0]:
            own = prod(first) // columns
            second = key_of((rows - own, columns)) if own < rows else ()
            both = found.left[first] // _HALVES if first == second else min(found.left[first], found.left[second])
            count = min(both, lacking[piece.key], piece.count - piece.packed)
            if second and count > 0:
                found.left[first] -= count
                found.left[second] -= count
                lacking[piece.key] -= count
                piece.packed += count
                piece.packed_as = f"in two, of {own} and {rows - own} rows"


def _merged(shape: Sequence[int]) -> set[Key]:
    """The keys of what a tensor is with its dimensions written together into two, or into one."""
    cuts = {key_of((prod(shape[:cut]), prod(shape[cut:]))) for cut in range(1, len(shape))}
    return cuts | {key_of((prod(shape),))}


def _take_buffers(pieces: Sequence[Piece], found: _Found) -> None:
    """Buffers may be kept in a checkpoint or not."""
    for piece in pieces:
        if piece.optional:
            piece.matched = min(piece.count, found.left[piece.key])
            found.left[piece.key] -= piece.matched


def _take_copies(ledger: Ledger, found: _Found) -> tuple[Surplus, ...]:
    """Tied tensors that a checkpoint keeps again: the head, the table of each stack, the head's own bias."""
    allowed = Counter[Key]()
    entries = {entry.name: entry for entry in ledger.entries}
    table, head, bias = entries.get("embedding.tokens"), entries.get("head"), entries.get("head.bias")
    if isinstance(table, Lookup):
        tied = isinstance(head, Matmul) and not head.stored
        two_stacks = any(name.startswith("encoder.") for name in entries)
        allowed[key_of((table.rows, table.width))] += tied + (_HALVES if two_stacks and table.stored == 1 else 0)
    if isinstance(bias, Vector):
        allowed[key_of((bias.width,))] += 1
    copies = []
    for key, most in allowed.items():
        count = min(most, found.left[key])
        if count:
            copies.append(found.surplus(key)._replace(extra=count))
            found.left[key] -= count
    return tuple(copies)


def _is_beside(tensor: Tensor, ledger: Ledger) -> bool:
    """Whether a tensor is known by its name to be no parameter: masks, positions that are counted, frequencies."""
    if _SINES.fullmatch(tensor.name) and not any(
        isinstance(entry, Lookup) and entry.role == "positions" for entry in ledger.entries
    ):
        return True
    if not _BESIDE.fullmatch(tensor.name):
        return False
    return len(tensor.shape) > 2 if tensor.name.endswith(("attn.bias", "attention.bias")) else True


def shape_text(shape: Sequence[int]) -> str:
    """A shape as frameworks print it."""
    return f"[{', '.join(map(str, shape))}]"
