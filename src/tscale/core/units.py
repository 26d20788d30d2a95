"""The units of every figure, and how people read each: in full, in powers of ten, or scaled by a prefix."""

from typing import Final, Literal, NamedTuple

Reading = Literal["full", "plain", "power", "decimal", "short", "estimate", "given", "ratio", "percent", "utilisation"]


class Unit(NamedTuple):
    """A unit: its name in full, the symbol set behind a scaled figure, and how people read it.

    full: every digit (174,604,259,328). plain: as it is (2020). power: 3.14e+23. decimal: 4.83 GB, in powers of 1000, never of 1024.
    short: 40.4B, three digits of a number that was predicted. estimate: 16,900 or 11.8, three digits of one that no run comes to
    exactly. given: 31,457,280 or 54.25, every digit of one that follows from what was given. ratio: ×16. percent: 0.4%, of a
    number that is itself a fraction of 1. utilisation: 40.0%, three digits of such a fraction, however it is known.
    """

    name: str
    symbol: str
    reading: Reading

    @property
    def word(self) -> str:
        """Its name behind a number; nothing behind one that has none, such as a count or a share."""
        return "" if self.name in _NO_WORDS else self.name


_NO_WORDS: Final = frozenset({"count", "share", "ratio", "quotient", "exponent"})


PARAMETERS = Unit("parameters", "", "full")
COUNT = Unit("count", "", "full")
TOKENS = Unit("tokens", "", "full")
OPERATIONS = Unit("operations", "", "power")
STEPS = Unit("sequential steps", "", "full")
SIZE = Unit("parameters", "", "short")
PREDICTED_PARAMETERS = Unit("parameters", "", "short")
PREDICTED_TOKENS = Unit("tokens", "", "short")
TOKENS_PER_PARAMETER = Unit("tokens per parameter", "", "estimate")
NATS = Unit("nats per token", "", "full")
BITS_PER_CHARACTER = Unit("bits per character", "", "full")
EXPONENT = Unit("exponent", "", "plain")
EPOCHS = Unit("epochs", "", "full")
YEAR = Unit("year", "", "plain")
FLOPS = Unit("FLOPs", "", "power")
FLOPS_PER_TOKEN = Unit("FLOPs per token", "", "power")
PF_DAYS = Unit("PF-days (8.64e19 FLOPs)", "", "full")
BITS = Unit("bits per number", "", "full")
BYTES = Unit("bytes", "B", "decimal")
RATIO = Unit("ratio", "", "ratio")
BYTES_PER_SECOND = Unit("bytes per second", "B/s", "decimal")
FLOPS_PER_SECOND = Unit("FLOP/s", "FLOP/s", "decimal")
TOKENS_PER_SECOND = Unit("tokens per second", "", "estimate")
REQUESTS_PER_SECOND = Unit("requests per second", "", "estimate")
MILLISECONDS = Unit("milliseconds", "ms", "estimate")
INTENSITY = Unit("FLOPs per byte", "", "full")
SECONDS = Unit("seconds", "s", "estimate")
DAYS = Unit("days", "", "estimate")
GPU_HOURS = Unit("GPU-hours", "", "estimate")
WATTS = Unit("watts", "W", "decimal")
KWH = Unit("kilowatt-hours", "", "estimate")
KG = Unit("kilograms of CO2 equivalent", "", "estimate")
USD = Unit("US dollars", "", "estimate")
SHARE = Unit("share", "", "percent")
MFU = Unit("share", "", "utilisation")


def as_given(unit: Unit) -> Unit:
    """The unit of a number that follows from what was given alone, of which every digit is shown."""
    return unit._replace(reading="given")
