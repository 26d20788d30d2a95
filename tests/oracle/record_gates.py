"""Records what autograd keeps of a gated feed-forward whose activation and gate are one kernel.

`python tests/oracle/record_gates.py > tests/oracle/activations_gates.jsonl` needs `torch` 2.13.0, `triton` and `liger_kernel` 0.8.5. It
knows nothing of tscale. Liger's own Python code makes the arrays and decides what is kept; its kernel, which needs a GPU, is left out.
"""

# mypy: ignore-errors
# torch and liger_kernel are installed only where this is run
from __future__ import annotations

import contextlib

import torch
from liger_kernel.ops import swiglu
from record_activations import DTYPES, SHAPES, kept, line
from record_losses import Left
from torch import nn


class Gated(nn.Module):
    """Up, gate and down, with Liger's product between them."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.up, self.gate = (nn.Linear(d_model, d_ff, bias=False) for _ in "12")
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The gate's activation times what goes up, and down again."""
        return self.down(swiglu.LigerSiLUMulFunction.apply(self.gate(x), self.up(x)))


if __name__ == "__main__":
    swiglu._swiglu_forward_kernel = Left()
    swiglu.device_context = lambda _device: contextlib.nullcontext()
    for d_model, d_ff in ((64, 160), (96, 224)):
        for batch, length in SHAPES:
            for dtype, kind in DTYPES.items():
                module = Gated(d_model, d_ff).to(kind)
                x = torch.randn(batch, length, d_model, dtype=kind, requires_grad=True)
                what = {"d_model": d_model, "d_ff": d_ff, "batch": batch, "length": length, "dtype": dtype}
                line(what, kept(lambda module=module, x=x: module(x), module))
