"""What each constant of a training step's prediction means, its unit, and where a fit of it begins and must end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "products": ("share of the dense 16-bit peak", "what products of matrices reach on an H100, waves of tiles apart"),
    "products_8bit": ("share of the dense 8-bit peak", "what products in fp8 reach on an H100, conversions included"),
    "traffic": (
        "share of the memory's bandwidth",
        "what elementwise work and the traffic of routed experts' products reach",
    ),
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
    "host_routed": ("seconds", "more a layer with routed experts whose kernels are in no CUDA graph"),
    "host_expert": ("seconds", "more for each expert of such a layer that the device has"),
    "host_head": ("seconds", "of the host, the head and the loss of a micro-batch"),
    "step": ("seconds", "a step, whatever its size"),
    "optimizer_bytes": ("bytes", "read and written a parameter by the optimizer, at the full bandwidth"),
    "loss_bytes": (
        "bytes",
        "read and written a logit by the loss, counted from its kernels: 52 of eager fp32, 12 of fused ones",
    ),
}

RANGES: Final[Mapping[str, tuple[float, float, float]]] = {
    "products": (0.75, 0.3, 1.0),
    "products_8bit": (0.65, 0.3, 1.0),
    "traffic": (0.8, 0.2, 1.0),
    "dispatches": (0.5, 0.0, 1.0),
    "sums": (2.0, 0.5, 5.0),
    "nics": (0.5, 0.1, 1.0),
    "whole_head": (1.5, 1.0, 4.0),
    "host_layer": (3e-3, 0.0, 0.02),
    "host_tensor": (1e-4, 0.0, 0.01),
    "host_wide": (5e-4, 0.0, 0.01),
    "host_softmax": (1e-3, 0.0, 0.01),
    "host_expert": (3e-4, 0.0, 5e-3),
    "host_head": (4e-3, 0.0, 0.05),
    "step": (2e-3, 0.0, 0.05),
    "optimizer_bytes": (30.0, 10.0, 100.0),
}
"""Where a fit begins, and the range that a constant is kept to."""
