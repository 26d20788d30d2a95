"""How training or serving is spread over devices: the degrees of each kind of parallelism. No arithmetic of a model."""

from __future__ import annotations

from typing import NamedTuple

from tscale.errors import RequestError


class Parallelism(NamedTuple):
    """The degrees: how many devices share a model in each way; 1 where they do not.

    tensor: the matrices of a layer are cut (Shoeybi 2019); with `sequence`, what lies between them is cut along the
    sequence over the same devices (Korthikanti 2022, section 4.2.2). pipeline: the layers are dealt to stages
    (Narayanan 2021), each of `interleave` pieces of the stack. data: copies of the model read different sequences; with
    `zero` 1 to 3 they share optimizer states, gradients too, weights too (Rajbhandari 2019), among `shards` of
    them where that is not all (hybrid sharding). context: a sequence is cut over devices. expert: routed experts are
    dealt to devices that data and context parallelism have already.
    """

    tensor: int = 1
    sequence: bool = False
    pipeline: int = 1
    interleave: int = 1
    data: int = 1
    zero: int = 0
    shards: int | None = None
    context: int = 1
    expert: int = 1

    @property
    def devices(self) -> int:
        """Devices in all; expert parallelism takes none of its own."""
        return self.tensor * self.pipeline * self.data * self.context

    @property
    def sharing(self) -> int:
        """Devices among which ZeRO divides what it divides: those of data and context parallelism, or `shards` of them."""
        return self.data * self.context if self.shards is None else self.shards

    def check(self) -> None:
        """Raises `RequestError` for degrees that contradict one another."""
        if self.interleave > 1 and self.pipeline == 1:
            raise RequestError("an interleaved schedule needs pipeline stages: set --pipeline, or drop --interleave")
        if self.sequence and self.tensor == 1:
            raise RequestError("sequence parallelism is over the devices of tensor parallelism: set --tensor")
        ranks = self.data * self.context
        if ranks % self.expert:
            raise RequestError(
                f"expert parallelism by {self.expert} is over the {ranks} devices of data and context parallelism, "
                f"which it does not divide: use {or_list(divisors(ranks))}"
            )
        if self.shards is not None and ranks % self.shards:
            raise RequestError(
                f"{self.shards} shards do not divide the {ranks} devices of data and context parallelism: "
                f"use {or_list(divisors(ranks))}"
            )


def divisors(number: int) -> list[int]:
    """The divisors of a number, in order."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]


def or_list(numbers: list[int]) -> str:
    """`1, 2, 4 or 8`; of many numbers, the first dozen."""
    shown = [str(number) for number in numbers[:12]]
    if len(numbers) > len(shown):
        return ", ".join([*shown, "..."])
    return " or ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
