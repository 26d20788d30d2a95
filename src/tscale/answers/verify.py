"""`tscale verify`: the tensors of a checkpoint beside those that a spec predicts, by shape, from headers alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tscale.checkpoint.matching import Comparison, Piece, Surplus, compared, shape_text
from tscale.checkpoint.tensors import Tensor, Weights
from tscale.core.costs.params import params
from tscale.core.metric import Cell, Column, Data, Figure, Report, Table
from tscale.core.units import BYTES, COUNT, PARAMETERS
from tscale.core.view import Record, view
from tscale.errors import one_line
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.tower_spec import TowerSpec

MOST_NAMES: Final = 3
MOST_ROWS: Final = 20

_PIECES = (
    Column("predicted", "name", numeric=False),
    Column("shape", "shape", numeric=False),
    Column("tensors", "predicted"),
    Column("as predicted", "matched"),
    Column("packed", "packed"),
    Column("missing", "missing"),
    Column("packed as", "packed_as", drop=1, numeric=False),
)
_SURPLUS = (
    Column("not predicted", "why", numeric=False),
    Column("shape", "shape", numeric=False),
    Column("tensors", "tensors"),
    Column("among", "among"),
    Column("such as", "names", drop=1, numeric=False),
)
_TOTALS = (
    Column("total", "what", numeric=False),
    Column("tensors", "tensors"),
    Column("parameters", "params"),
    Column("bytes", "bytes"),
)


def verify_report(spec: ModelSpec | TowerSpec, weights: Weights, path: str) -> Report:
    """Whether a checkpoint holds what a spec predicts, line by line: exit code 3 where it does not."""
    ledger = spec.ledger() if spec.kind == "tower" else lower(spec)
    result = compared(ledger, weights.tensors)
    wanted = int(params(ledger.whole).total)
    copied = sum(one.extra * one.tensors[0].numbers for one in result.copies)
    found = sum(tensor.numbers for tensor in weights.tensors) - _beside(result) - copied
    agrees = result.agrees and wanted == found
    surplus = len(result.unexpected) + len(result.copies)
    verdict = "has the tensors that are predicted" if agrees else "differs from the tensors that are predicted"
    title = f"{spec.label}: {one_line(path)} {verdict}"
    tables = (
        view(title, _PIECES, map(_piece_row, result.pieces), subject=spec.name),
        *_surplus_table(result),
        view("", _TOTALS, _totals(result, weights, wanted, found), aside=True),
    )
    data: Data = {
        "model": spec.name,
        "path": path,
        "agrees": agrees,
        "params": {"predicted": Figure(wanted, PARAMETERS), "found": Figure(found, PARAMETERS)},
        "tensors": {
            "predicted": Figure(_count(result.pieces), COUNT),
            "found": Figure(len(weights.tensors), COUNT),
        },
        "bytes": {
            "data": Figure(sum(tensor.size for tensor in weights.tensors), BYTES),
            "on_disk": Figure(weights.bytes_on_disk, BYTES),
        },
        "files": weights.files,
        "dtypes": {dtype: _dtype_data(tensors) for dtype, tensors in _by_dtype(weights.tensors).items()},
        "lines": [_piece_data(piece) for piece in result.pieces],
        "unexpected": [_surplus_data(one) for one in result.unexpected],
        "copies": [_surplus_data(one) for one in result.copies],
        "beside": [tensor.name for tensor in result.beside],
    }
    return Report(title, tables, data, _notes(result, surplus, wanted, found), exit_code=0 if agrees else 3)


def _surplus_table(result: Comparison) -> Iterator[Table]:
    """What was found beside the predicted tensors, where anything was."""
    surplus = [("not expected", one) for one in result.unexpected]
    surplus += [("copy of a tied tensor", one) for one in result.copies]
    rows = [_surplus_row(why, one) for why, one in surplus[:MOST_ROWS]]
    if result.beside:
        rows.append(_surplus_row("no parameters", Surplus(len(result.beside), result.beside)))
    if rows:
        yield Table("", _SURPLUS, tuple(rows), aside=True)


def _notes(result: Comparison, surplus: int, wanted: int, found: int) -> tuple[str, ...]:
    missing = sum(piece.missing for piece in result.pieces)
    unexpected = sum(one.extra for one in result.unexpected)
    if result.agrees and wanted == found:
        verdict = "The tensors are those that the spec predicts."
    else:
        parts = [f"{missing:,} predicted tensors are missing"] if missing else []
        parts += [f"{unexpected:,} tensors are not expected"] if unexpected else []
        parts += [f"the file has {found:,} parameters, the spec {wanted:,}"] if wanted != found else []
        verdict = f"They differ: {'; '.join(parts)}."
    notes = (
        verdict,
        f"{surplus - MOST_ROWS} more shapes are not predicted: --format json lists them."
        if surplus > MOST_ROWS
        else "",
        "A tied head is stored a second time: a header cannot tell a copy from a separate head."
        if result.copies
        else "",
        "Compared by shape, transposed or not; tensors of one shape cannot be told apart. Only headers were read.",
    )
    return tuple(note for note in notes if note)


def _count(pieces: Sequence[Piece]) -> int:
    return sum(int(piece.count) for piece in pieces if not piece.optional)


def _beside(result: Comparison) -> int:
    """Numbers that are no parameters: known by name, or predicted as buffers."""
    buffers = sum(piece.matched * piece.shape[0] for piece in result.pieces if piece.optional)
    return buffers + sum(tensor.numbers for tensor in result.beside)


def _piece_row(piece: Piece) -> Record:
    """A line as people read it: its shape in words, and that it is a buffer."""
    packed = piece.packed_as or ("a buffer" if piece.optional else "")
    return {**_piece_data(piece), "shape": shape_text(piece.shape), "packed_as": packed}


def _piece_data(piece: Piece) -> Record:
    return {
        "name": piece.name,
        "shape": list(piece.shape),
        "predicted": int(piece.count),
        "matched": int(piece.matched),
        "packed": int(piece.packed),
        "packed_as": piece.packed_as,
        "missing": int(piece.missing),
    }


def _surplus_row(why: str, one: Surplus) -> tuple[Cell, ...]:
    shapes = {tensor.shape for tensor in one.tensors}
    shape = shape_text(one.tensors[0].shape) + (", ..." if len(shapes) > 1 else "")
    names = one_line(", ".join(tensor.name for tensor in one.tensors[:MOST_NAMES]))
    more = ", ..." if len(one.tensors) > MOST_NAMES else ""
    return (why, shape, Figure(one.extra, COUNT), Figure(len(one.tensors), COUNT), names + more)


def _surplus_data(one: Surplus) -> Data:
    return {
        "shape": list(one.tensors[0].shape),
        "tensors": one.extra,
        "among": [tensor.name for tensor in one.tensors],
    }


def _by_dtype(tensors: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    found: dict[str, list[Tensor]] = {}
    for tensor in tensors:
        found.setdefault(tensor.dtype, []).append(tensor)
    return found


def _dtype_data(tensors: Sequence[Tensor]) -> Record:
    return {
        "tensors": Figure(len(tensors), COUNT),
        "numbers": Figure(sum(tensor.numbers for tensor in tensors), COUNT),
        "bytes": Figure(sum(tensor.size for tensor in tensors), BYTES),
    }


def _totals(result: Comparison, weights: Weights, wanted: int, found: int) -> Iterator[Record]:
    files = "1 file" if weights.files == 1 else f"{weights.files} files"
    yield {"what": "predicted", "tensors": _count(result.pieces), "params": Figure(wanted, PARAMETERS)}
    yield {"what": "found", "tensors": len(weights.tensors), "params": Figure(found, PARAMETERS)}
    for dtype, tensors in _by_dtype(weights.tensors).items():
        numbers = Figure(sum(tensor.numbers for tensor in tensors), PARAMETERS)
        yield {**_dtype_data(tensors), "what": f"of {dtype}", "params": numbers}
    yield {"what": f"on disk, {files}", "bytes": Figure(weights.bytes_on_disk, BYTES)}
