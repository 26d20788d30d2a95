"""How much more would fit on a device, and what it holds by context."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from tscale.core.metric import Data, Figure, Label
from tscale.core.units import COUNT, TOKENS
from tscale.core.view import Record
from tscale.estimates.capacity import VERDICTS, Verdict


class Room(NamedTuple):
    """The largest batch at the context that is asked about, and the longest context at the batch; None without an end."""

    batch: int | None
    context: int | None

    def data(self) -> dict[str, Data]:
        """For JSON; what has no end is null."""
        batch, context = self
        return {
            "max_batch": None if batch is None else Figure(batch, COUNT),
            "max_context": None if context is None else Figure(context, TOKENS),
        }


class AtContext(NamedTuple):
    """What a device holds at a context, and whether that fits; `verdict` None without a device."""

    context: int
    total: Figure
    verdict: Verdict | None

    def data(self) -> Record:
        verdict = None if self.verdict is None else Label(VERDICTS[self.verdict], self.verdict)
        return {"context": Figure(self.context, TOKENS), "per_device_bytes": self.total, "verdict": verdict}


def contexts_up_to(longest: int) -> Iterator[int]:
    """4,096 and each double of it that is less than the longest context, and that."""
    context = _FIRST_CONTEXT
    while context < longest:
        yield context
        context *= 2
    yield longest


class Growth(NamedTuple):
    """What a device holds, by context and part; what it may hold and the longest context with that, if it is known."""

    context: int
    rows: Mapping[int, Mapping[str, Figure]]
    usable: int | None
    longest: int | None


def growth(
    context: int, usable: int | None, longest: int | None, parts: Callable[[int], Mapping[str, Figure]]
) -> Growth:
    """The parts at contexts from the first token to well past what was asked for and what fits."""
    furthest = max(2 * context, (longest or 0) * 5 // 4)
    contexts = {context, *(max(furthest * place // _STEPS, 1) for place in range(_STEPS + 1))}
    return Growth(context, {one: parts(one) for one in sorted(contexts)}, usable, longest)


_STEPS: Final = 64
_FIRST_CONTEXT: Final = 4096
