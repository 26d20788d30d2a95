"""Reads the headers of safetensors files, and nothing else of them.

A file begins with eight bytes, the length of its header; then comes the header, a JSON object of every tensor's type,
shape and place; then the data, which is never touched. A header is untrusted: its length is capped, a key given twice is
refused, and every tensor must have a known type, a shape that its bytes hold exactly, and a place of its own. As the
format asks, the places follow one another without a gap, from the first byte of data to the last of the file.

Format: https://huggingface.co/docs/safetensors (Metadata parsing).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Final

from tscale.checkpoint.header_entries import decoded, entries
from tscale.checkpoint.regular_file import Read, opened
from tscale.checkpoint.tensors import Tensor, Weights
from tscale.errors import SpecError, called, shown
from tscale.importer.json_file import parse_object
from tscale.models.model_files import is_folder

MOST_HEADER: Final = 32 * 1024 * 1024  # a tensor takes some 120 bytes of it
MOST_SHARDS: Final = 10_000
MOST_TENSORS: Final = 500_000  # of all shards: the largest published models have 200,000
MOST_DIMENSIONS: Final = 16
INDEX: Final = "model.safetensors.index.json"
SINGLE: Final = "model.safetensors"

BITS: Final[dict[str, int]] = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
"""Bits of one number of each type."""


def read_safetensors(path: Path) -> Weights:
    """The tensors of a file, of an index and its shards, or of a folder with either. Raises `SpecError`."""
    if is_folder(path):
        path = _in_folder(path)
    if path.name.endswith(".json"):
        return _sharded(path)
    tensors, size = _read_file(path)
    return Weights(tensors, 1, size)


def _in_folder(folder: Path) -> Path:
    """The file in a folder that names all of its tensors."""
    for name in (SINGLE, INDEX):
        if (folder / name).exists():
            return folder / name
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        what = f"{len(found)} safetensors files and no {INDEX}" if found else "no safetensors file"
        raise SpecError(f"the folder holds {what}: name the file to read", where=called(str(folder)))
    return found[0]


def _sharded(index: Path) -> Weights:
    where = called(str(index))
    with opened(index) as (read, size):
        shards = shards_of(_capped(read, 0, size, where), where)
    return gathered(shards, lambda shard: _read_file(index.parent / shard), where)


def _read_file(path: Path) -> tuple[tuple[Tensor, ...], int]:
    with opened(path) as (read, size):
        return header(read, size, called(str(path))), size


def _capped(read: Read, start: int, count: int, where: str) -> bytes:
    """Exactly so many bytes, of which there may not be too many."""
    if count > MOST_HEADER:
        raise SpecError(f"claims a header of {count:,} bytes: more than {MOST_HEADER:,} are not read", where=where)
    found = read(start, count)
    while 0 < len(found) < count and (more := read(start + len(found), count - len(found))):
        found += more
    if len(found) < count:
        raise SpecError(f"ends within its header: {start + count:,} bytes are wanted", where=where)
    return found


def header(read: Read, size: int, where: str) -> tuple[Tensor, ...]:
    """The tensors that the header of one file describes, whose size in bytes is known. Raises `SpecError`."""
    length = int.from_bytes(_capped(read, 0, 8, where), "little")
    if length <= MOST_HEADER and 8 + length > size:
        raise SpecError(f"claims a header of {length:,} bytes, and is {size:,} bytes long: cut off?", where=where)
    described = entries(_capped(read, 8, length, where), where)
    places = sorted(((*_place(name, value, where), name) for name, value in described), key=lambda place: place[:2])
    end = 0
    for start, stop, _, name in places:
        if start != end:
            what = (
                f"overlaps the tensor before it by {end - start:,}"
                if start < end
                else f"leaves a gap of {start - end:,}"
            )
            raise SpecError(f"tensor {shown(name)} {what} bytes", where=where)
        end = stop
    if 8 + length + end != size:
        raise SpecError(
            f"its header describes {end:,} bytes of data, and {size - 8 - length:,} follow it: cut off?", where=where
        )
    return tuple(tensor for *_, tensor, _ in places)


def _place(name: str, value: object, where: str) -> tuple[int, int, Tensor]:
    """Where a tensor begins and ends, and what it is."""

    def wrong(what: str) -> SpecError:
        return SpecError(f"tensor {shown(name)} {what}", where=where)

    if not isinstance(value, Mapping) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise wrong("must have a dtype, a shape and data_offsets, and nothing else")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise wrong(f"has the dtype {shown(dtype)}, which is not known: one of {', '.join(BITS)}")
    if not _whole(shape) or len(shape) > MOST_DIMENSIONS:
        raise wrong(f"must have a shape of at most {MOST_DIMENSIONS} whole numbers")
    if not _whole(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise wrong("must have data_offsets of two whole numbers, the first not above the second")
    bits, size = prod(shape) * BITS[dtype], offsets[1] - offsets[0]
    if bits != 8 * size:
        raise wrong(f"of {dtype} takes {bits / 8:,.10g} bytes by its shape, and {size:,} by its offsets" if bits < 2**60
                    else "has a shape larger than any file")  # fmt: skip
    return offsets[0], offsets[1], Tensor(name, dtype, tuple(shape), size)


def _whole(values: object) -> bool:
    """Whether these are whole numbers that a file of 2^63 bytes could mean."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def shards_of(raw: bytes, where: str) -> dict[str, set[str]]:
    """The names of the tensors that an index promises in each shard. Raises `SpecError`."""
    index = parse_object(decoded(raw, where), where, what="an index")
    names = index.get("weight_map")
    if not isinstance(names, dict) or not names:
        raise SpecError("an index has a weight_map of tensors to the files that they are in", where=where)
    shards: dict[str, set[str]] = {}
    for name, shard in names.items():
        if not isinstance(shard, str) or (shard not in shards and not _is_shard(shard)):
            raise SpecError(
                f"tensor {shown(name)} is in {shown(shard)}: a shard must be a safetensors file in the folder of its index",
                where=where,
            )
        shards.setdefault(shard, set()).add(name)
    if len(shards) > MOST_SHARDS:
        raise SpecError(f"names {len(shards):,} shards: more than {MOST_SHARDS:,} are not read", where=where)
    return shards


def _is_shard(name: str) -> bool:
    """Whether a name is that of a safetensors file, and no path."""
    return Path(name).name == name and "\\" not in name and name.endswith(".safetensors")


def gathered(
    shards: Mapping[str, set[str]], read: Callable[[str], tuple[tuple[Tensor, ...], int]], where: str
) -> Weights:
    """The tensors of all shards, each in the shard that the index says. Raises `SpecError`."""
    tensors: list[Tensor] = []
    size = 0
    for shard, promised in shards.items():
        found, bytes_on_disk = read(shard)
        _promised(shard, promised, (tensor.name for tensor in found), where)
        tensors += found
        if len(tensors) > MOST_TENSORS:
            raise SpecError(f"names over {MOST_TENSORS:,} tensors: that many are read", where=where)
        size += bytes_on_disk
    return Weights(tuple(tensors), len(shards), size)


def _promised(shard: str, promised: set[str], found: Iterable[str], where: str) -> None:
    there = set(found)
    for name in sorted(promised - there):
        raise SpecError(f"tensor {shown(name)} is not in {shard}, where the index puts it", where=where)
    for name in sorted(there - promised):
        raise SpecError(f"tensor {shown(name)} is in {shard}, and the index does not put it there", where=where)
