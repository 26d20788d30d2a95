"""Calibrations that are shipped: constants fitted to measured runs, with the runs behind them and the error on others.

Each is a YAML file of `configs/calibrations/` that a script makes anew from `configs/measured/`; `kernels.yaml` beside them
says what named kernels reach on kinds of chip.
"""

from __future__ import annotations

from dataclasses import field
from functools import cache
from typing import Annotated, Any, Final

from tscale.blocks.fields import Positive, Size, Whole
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.catalogue.shipped import read_as, shipped_as, shipped_document
from tscale.core.device import SCALED
from tscale.errors import RequestError, nearest, shown
from tscale.models.spec import Evidence

Count = Annotated[int, Whole(0, 10**9)]


@spec_dataclass
class Constant:
    """One constant: its value, in a unit, what it means, the range that it was kept to, and whether it was fitted."""

    value: float
    unit: str
    meaning: str
    range: tuple[float, float] | None = None
    fitted: bool = False


@spec_dataclass
class Residual:
    """What was measured over what was predicted, of runs of a kind that the constants were not fitted to.

    `low` and `high` are the ends of an 80% interval, `median_error` that of |predicted/measured - 1|.
    """

    low: Positive
    high: Positive
    runs: Count
    median_error: float
    how: str
    """How the runs were kept from the fit."""
    shortest: Size
    longest: Size
    """Tokens of their shortest and of their longest sequences."""


@spec_dataclass
class Fitted:
    """The runs that constants were fitted to, and the error by cross-validation."""

    file: str
    where: str
    runs: Size
    median: float
    p90: float
    mean: float
    how: str


@spec_dataclass
class Covers:
    """What runs it was fitted to, in words that a case is compared by; empty where that does not matter."""

    stacks: tuple[str, ...]
    chips: tuple[str, ...]
    precisions: tuple[str, ...]
    d_model: tuple[Size, Size]
    context: Size = 1
    """The most devices of context parallelism."""
    ways: tuple[str, ...] = ()
    """What some of its runs have of how models can be divided, by the words of `tscale.calibration.training_case.ways_of`."""
    sources: tuple[str, ...] = ()
    """Who published its runs, as the first word of a row's source; empty where its stack is the software of one source."""


@spec_dataclass
class Calibration:
    """Constants of a prediction, with what they were fitted to."""

    name: str
    title: str
    covers: Covers
    constants: dict[str, Constant]
    fitted_to: Fitted
    residuals: dict[str, Residual]
    """By kind of case; `elsewhere` for what it does not cover."""
    unexplained: tuple[str, ...] = ()
    sources: tuple[str, ...]
    evidence: Evidence

    def value(self, name: str) -> float:
        """The value of a constant."""
        return self.constants[name].value


@spec_dataclass
class Family:
    """A kind of chip: its multiprocessors, what named attention kernels reach of its 16-bit peak, and which is usual.

    `products`, `products_8bit`: by chip, what large products of matrices alone reach of the peak in 16 and in 8 bits, over what
    they reach of an H100's. `eight_bit`: by format, what products in fp8 with such scales reach over those in what `fp8` means on it.
    """

    name: str
    chips: tuple[str, ...]
    multiprocessors: Size | None = None
    attention: dict[str, Positive]
    usual: str
    products: dict[str, Positive] = field(default_factory=dict)
    products_8bit: dict[str, Positive] = field(default_factory=dict)
    eight_bit: dict[str, Positive] = field(default_factory=dict)
    source: str
    evidence: Evidence

    def rate(self, chip: str) -> float:
        """What products in 16 bits reach on a chip over what they do on an H100; 1 where no one published it."""
        return float(self.products.get(chip, 1.0))

    def rate_8bit(self, chip: str) -> float:
        """The same in 8 bits, as in 16 where only that is known."""
        return float(self.products_8bit.get(chip, self.rate(chip)))

    def scaled(self, dtype: str) -> float:
        """What products in a format reach over those in the usual one of its bits. Raises `RequestError` for one that is not known on it."""
        if dtype in SCALED and dtype not in self.eight_bit:
            chips = self.name if self.chips else "chips without calibration"
            raise RequestError(
                f"no products in {dtype} are known on {chips}: {', '.join(('fp8', *self.eight_bit))} are"
            )
        return float(self.eight_bit.get(dtype, 1.0))

    def share(self, kernel: str) -> float:
        """The share of the peak that a kernel reaches. Raises `RequestError` for one that is not known on it."""
        if kernel not in self.attention:
            raise RequestError(
                f"no attention kernel {shown(kernel)} is known on {self.name}: {nearest(kernel, [*self.attention, UNFUSED])}"
            )
        return float(self.attention[kernel])


@spec_dataclass
class Families:
    """All of them."""

    families: tuple[Family, ...]


UNFUSED: Final = "unfused"
"""Attention without a fused kernel, whose time follows from products and traffic."""

TRAINING: Final = ("training-megatron-node", "training-megatron-cluster", "training-current", "training-bridge-26.06")
"""The calibrations of training steps."""


FILES: Final[dict[str, type]] = {"kernels": Families, **dict.fromkeys(TRAINING, Calibration)}
"""What each file of configs/calibrations holds that the compiled index has."""


@cache
def calibration(name: str) -> Calibration:
    """A shipped calibration, by its name."""
    return shipped_as(Calibration, "calibrations", name, _INNER)


@cache
def families() -> tuple[Family, ...]:
    """The kinds of chip that are known, the last one for all others."""
    return shipped_as(Families, "calibrations", "kernels", _INNER).families


_INNER: Final[dict[str, type]] = {
    "covers": Covers,
    "fitted_to": Fitted,
    "constants*": Constant,
    "residuals*": Residual,
    "families": Family,
}


def calibration_from_yaml(name: str) -> Any:
    """What a file of configs/calibrations says, read and validated."""
    return read_as(FILES[name], shipped_document("calibrations", name), _INNER)


def family_of(chip: str) -> Family:
    """The kind of a chip, by its name in configs/hardware."""
    known = families()
    return next((family for family in known if chip in family.chips), known[-1])
