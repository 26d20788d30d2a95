"""What each constant of a training step's prediction means, and its unit: for the files that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "products": ("share of the dense 16-bit peak", "what products of matrices reach, waves of tiles apart"),
    "products_8bit": ("share of the dense 8-bit peak", "what products in fp8 reach, conversions included"),
    "ampere": ("ratio", "products on Ampere over those on newer chips, which draw more power than they are given"),
    "traffic": (
        "share of the memory's bandwidth",
        "what elementwise work and products that are bound by traffic reach",
    ),
    "experts": ("ratio", "products of routed experts over plain ones as large: padding, permuting, uneven loads"),
    "dispatches": ("share", "sending tokens to experts and back that is not hidden behind computing"),
    "sums": ("ratio", "tensor-parallel all-reduces in a step over the same ones alone"),
    "nics": ("share of the NICs' bandwidth", "what collectives between nodes reach"),
    "whole_head": (
        "ratio",
        "the head and the loss where no tensor parallelism cuts the vocabulary over what they come to",
    ),
    "recomputed": ("share", "what is computed again that is seen in the time"),
    "host_layer": ("seconds", "of the host, a layer of a micro-batch, forward and backward"),
    "host_tensor": ("seconds", "more a layer with tensor parallelism"),
    "host_wide": ("seconds", "more again a layer with tensor parallelism of 8 and more"),
    "host_softmax": ("seconds", "more a layer where softmax is taken in steps"),
    "host_head": ("seconds", "of the host, the head and the loss of a micro-batch"),
    "step": ("seconds", "a step, whatever its size"),
    "optimizer_bytes": ("bytes", "read and written a parameter by the optimizer, at the full bandwidth"),
    "loss_bytes": (
        "bytes",
        "read and written a logit by the loss, counted from its kernels: 52 of eager fp32, 12 of fused ones",
    ),
}
