"""Measures what bitsandbytes keeps of a quantised matrix: the packed numbers, scales, and tables.

`python tests/oracle/record_formats.py > tests/oracle/formats.jsonl` needs `bitsandbytes` 0.50.2 and `torch` 2.13.0; it knows
nothing of tscale. Matrices of a few shapes are quantised on the CPU, and the bytes of every tensor that is left are told.
"""

# mypy: ignore-errors
# bitsandbytes and torch are installed only where this is run
from __future__ import annotations

import json
import sys

import torch
from bitsandbytes import functional

SHAPES = ((256, 512), (384, 1024), (1024, 4096), (160, 96))


def main() -> None:
    """Writes a line for each format and shape."""
    torch.manual_seed(0)
    for shape in SHAPES:
        weight = torch.randn(shape, dtype=torch.float16)
        for name, nested in (("nf4", True), ("nf4-single", False)):
            packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=nested)
            parts = {"packed": packed, "absmax": state.absmax, "code": state.code}
            if nested:
                parts |= {"absmax2": state.state2.absmax, "code2": state.state2.code, "offset": state.offset}
            _write(name, shape, parts)
        rows, scales, _ = functional.int8_vectorwise_quant(weight)
        _write("int8", shape, {"packed": rows, "absmax": scales})


def _write(name: str, shape: tuple[int, int], parts: dict[str, torch.Tensor]) -> None:
    sizes = {part: tensor.numel() * tensor.element_size() for part, tensor in parts.items()}
    sys.stdout.write(json.dumps({"format": name, "rows": shape[0], "columns": shape[1], "bytes": sizes}) + "\n")


if __name__ == "__main__":
    main()
