"""What kernels of routed experts in mxfp4 pad their matrices to, so that weights take more in memory than in a file.

As vLLM makes them: widths within an expert are padded on each device, after they are cut (vllm-project/vllm
quantization/mxfp4.py, `Mxfp4MoEMethod.create_weights`).
"""

from typing import Final, Literal, NamedTuple

from tscale.core.costs.weights import Mixture, kept_in
from tscale.core.dtypes import Dtype
from tscale.core.ledger import Entry, Ledger, Matmul
from tscale.core.sharding import is_expert, is_routed
from tscale.core.tracing import ceil_div

Kernel = Literal["none", "marlin", "triton", "trtllm", "cutlass"]
"""The kernels that run routed experts; none: matrices as they are stored."""


class _Multiples(NamedTuple):
    """What the residual stream's width and an expert's inner width are multiples of."""

    outer: int
    inner: int


_MULTIPLES: Final[dict[Kernel, _Multiples]] = {
    "marlin": _Multiples(256, 128),
    "triton": _Multiples(1, 64),
    "trtllm": _Multiples(256, 256),
    "cutlass": _Multiples(128, 128),
}
PADDED: Final = "mxfp4"
"""The format whose matrices are padded."""
_INWARD: Final = ("up", "gate")


def padded_for(share: Ledger, kernel: Kernel) -> Ledger:
    """One device's ledger with its routed experts as a kernel pads them. Where they are in another format, give `none`."""
    if kernel == "none":
        return share
    multiples = _MULTIPLES[kernel]

    def padded(entry: Entry) -> Entry:
        if not isinstance(entry, Matmul) or not is_expert(entry):
            return entry
        ends = (multiples.outer, multiples.inner) if entry.role in _INWARD else (multiples.inner, multiples.outer)
        return entry._replace(d_in=_up_to(entry.d_in, ends[0]), d_out=_up_to(entry.d_out, ends[1]))

    return share.each(padded)


def _up_to(width: int, multiple: int) -> int:
    """The next multiple."""
    return width if multiple == 1 else ceil_div(width, multiple) * multiple


def has_padded_experts(whole: Ledger, format: Dtype | Mixture) -> bool:
    """Whether routed experts are in the format whose kernels pad them."""
    return any(kept.format.name == PADDED for kept in kept_in(whole, format) if is_routed(kept.entry))
