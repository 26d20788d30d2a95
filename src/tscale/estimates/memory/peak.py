"""The peak that a run is measured by: of the format of its products, which the precision of training stands for."""

from __future__ import annotations

from typing import Final

from tscale.catalogue.hardware import Hardware
from tscale.core.device import Device, formats_of, of_peak
from tscale.core.precision import PRECISIONS
from tscale.errors import RequestError, field

SIXTEEN_BITS: Final = ("bf16", "fp16")
OF_ITS_OWN: Final = ("fp8", "fp16", "fp32")
"""Formats of products that are a precision of training too; the others go with bf16."""


def peak_of(device: Device, hardware: Hardware, dtype: str | None) -> tuple[str, int]:
    """The dtype of the products and its dense peak: 16 bits where none is asked for."""
    peaks = device.flops_per_second
    if dtype is None:
        dtype = next((name for name in SIXTEEN_BITS if name in peaks), None)
        if dtype is None:
            raise RequestError(
                f"{hardware.label}: its vendor states no 16-bit peak, so no time can be estimated: "
                f"{field('gpu_set')} bf16=TFLOPS gives one"
            )
    if dtype not in (formats := formats_of(peaks)):
        legal = ", ".join(formats) or "none"
        raise RequestError(f"{hardware.label} has no peak in {dtype}: it has {legal}")
    return dtype, peaks[of_peak(dtype)]


def precision_of(dtype: str) -> str:
    """The precision of a run whose products are in a format; bf16 where there is none of its own."""
    return of_peak(dtype) if of_peak(dtype) in OF_ITS_OWN else "bf16"


def products_of(precision: str) -> str | None:
    """The format of the products of a precision of training; None for that of 16 bits which the device has."""
    if PRECISIONS[precision].products:  # whose inputs are kept in 8 bits
        return "fp8"
    return precision if precision in OF_ITS_OWN else None
