"""The peak that holds for weights as they are stored: those of 8 bits without groups and of 4 bits with blocks of their own."""

from __future__ import annotations

import pytest

from tscale.core.dtypes import DTYPES, computed_in


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fp8", "fp8"), ("fp8-row", "fp8"), ("fp8-128x128", "fp8"), ("fp8-tensor", "fp8"), ("fp8-pure", "fp8"), ("int8", "int8"),
        ("int8-row", "int8"), ("int8-row-sym", "int8"), ("int8-tensor", "int8"), ("int8-tensor-sym", "int8"), ("int8-g128", None),
        ("int8-row-z16", None), ("int4", None), ("int4-row", None), ("mxfp8", "fp8"), ("mxfp6", "fp8"), ("nvfp4", "fp4"), ("mxfp4", "fp4"),
        ("mxfp4-pure", "fp4"), ("bf16", None), ("q8_0", None),
    ],
)  # fmt: skip
def test_products_of_a_format_are_computed_in(name: str, kind: str | None) -> None:
    """Scales of rows, blocks and matrices are applied outside of the products, those of groups of integers inside."""
    assert computed_in(name) == kind


@pytest.mark.parametrize(
    ("name", "most"), [("q2_k_s", "q2_k"), ("q4_k_m", "q4_k"), ("iq3_xs", "iq3_s"), ("mxfp4_moe", "mxfp4")]
)
def test_a_mixture_is_for_weights_and_no_cache_is_kept_in_it(name: str, most: str) -> None:
    """Most of its matrices are of one type, and vectors stay in 32 bits."""
    format, of_most = DTYPES[name], DTYPES[most]
    assert (format.bits, format.multiple, format.fallback) == (of_most.bits, of_most.multiple, of_most.fallback)
    assert (format.mixture, format.scope, format.rest, format.caches) == (name, "matrices", "fp32", False)
