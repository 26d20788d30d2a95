"""Reads the tensor infos of a GGUF file through the package `gguf` (`tscale[gguf]`), and no data.

The package trusts what it reads: a length beyond the end of the file could keep it busy for ever. So every read of its
header is held to the file and to a cap, and what it does about data is not run.
"""

from __future__ import annotations

from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, Final

from tscale.checkpoint.tensors import Tensor, Weights
from tscale.errors import SpecError, called, shown

MOST_HEADER: Final = 64 * 1024 * 1024  # vocabularies stand in it


def read_gguf(path: Path) -> Weights:
    """The tensors of a GGUF file. Raises `SpecError`."""
    where = called(str(path))
    if find_spec("gguf") is None:
        raise SpecError(
            "GGUF files need the package gguf: `pip install '.[gguf]'` in the folder of tscale's source installs it",
            where=where,
        )
    if not path.is_file():
        raise SpecError("cannot be read: no such file", where=where)
    try:
        size = path.stat().st_size
        infos, data_at = _infos(path, min(size, MOST_HEADER))
        return Weights(_tensors(infos, size - data_at, where), 1, size)
    except SpecError:
        raise
    except Exception as error:  # whatever the package stumbles over, the header is broken
        why = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise SpecError(f"its header cannot be read: {why}", where=where) from error


def _infos(path: Path, most: int) -> tuple[list[Any], int]:
    """The fields that describe tensors, and where the data begins."""
    from gguf import GGUFReader

    class Header(GGUFReader):
        """The package's reader, held to the header."""

        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            found = super()._get(offset, dtype, count, override_order)
            if offset > most or len(found) < int(count):
                raise ValueError(f"it does not end within {most:,} bytes")
            return found

        def _build_tensors(self, start_offs: int, fields: list[Any]) -> None:
            self.infos, self.data_at = fields, int(start_offs)

    header = Header(path)
    return header.infos, header.data_at


def _tensors(infos: list[Any], room: int, where: str) -> tuple[Tensor, ...]:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    tensors: dict[str, Tensor] = {}
    places: list[tuple[int, int, str]] = []
    for info in infos:
        _, raw_name, _, dims, raw_type, offset = info.parts
        name = bytes(raw_name).decode("utf-8")
        dtype, shape = GGMLQuantizationType(int(raw_type[0])), tuple(int(dim) for dim in reversed(dims))
        block, block_bytes = GGML_QUANT_SIZES[dtype]
        numbers = prod(shape)
        if numbers % block:
            raise SpecError(f"tensor {shown(name)} is no whole number of blocks of {dtype.name}", where=where)
        if name in tensors:
            raise SpecError(f"tensor {shown(name)} is given twice", where=where)
        size = numbers // block * block_bytes
        tensors[name] = Tensor(name, dtype.name, shape, size)
        places.append((int(offset[0]), int(offset[0]) + size, name))
    end = 0
    for start, stop, name in sorted(places):
        if start < end or stop > room:
            what = "overlaps the one before it" if start < end else "reaches past the end of the file"
            raise SpecError(f"tensor {shown(name)} {what}", where=where)
        end = stop
    return tuple(tensors.values())
