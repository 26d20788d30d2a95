"""How a model that is served is spread over devices. No arithmetic of a model.

Devices are `tensor` x `attention_data` x `pipeline` x `replicas`. A copy's stage has `tensor` x `attention_data` ranks: each group of
`tensor` ranks has attention, dense matrices and the cache of its own sequences; routed experts are spread over all of them,
`expert` ways, and each expert is cut `expert_tensor` ways. Where experts are not spread, all ranks cut each of them.
"""

from math import prod
from typing import NamedTuple

from tscale.core.parallelism import divisors, or_list
from tscale.core.partition import Stretch, stretches
from tscale.core.tracing import ceil_div
from tscale.errors import RequestError, field


class ServingLayout(NamedTuple):
    """The degrees; 1 where devices do not share a model so.

    `layers`: how many layers each stage of the pipeline has; empty where they are as even as possible.
    """

    tensor: int = 1
    pipeline: int = 1
    expert: int = 1
    expert_tensor: int = 1
    attention_data: int = 1
    replicas: int = 1
    layers: tuple[int, ...] = ()

    @property
    def ranks(self) -> int:
        """Devices of a stage of one copy."""
        return self.tensor * self.attention_data

    @property
    def devices(self) -> int:
        """Devices in all."""
        return self.ranks * self.pipeline * self.replicas

    @property
    def groups(self) -> int:
        """The groups of devices that one device sends to: one for each way in which it shares the work."""
        return sum((self.tensor > 1, self.pipeline > 1, self.attention_data > 1))

    @property
    def is_tensor_alone(self) -> bool:
        """Whether all devices share each layer, and nothing else is asked for."""
        return self.devices == self.tensor == self.expert_tensor and not self.layers

    def sequences(self, batch: int) -> int:
        """Sequences of the fullest device, of so many over all devices."""
        copies = self.attention_data * self.replicas
        return batch if type(copies) is int and copies == 1 else ceil_div(batch, copies)

    def check(self) -> None:
        """Raises `RequestError` for degrees that contradict one another."""
        if self.expert * self.expert_tensor != self.ranks:
            raise RequestError(
                f"{field('expert', self.expert)} and {field('expert_tensor', self.expert_tensor)} do not come to the {self.ranks} ranks of a "
                f"stage: use {field('expert', self.expert)} {field('expert_tensor', self.ranks // self.expert)}"
                if self.ranks % self.expert == 0
                else f"{field('expert', self.expert)} does not divide the {self.ranks} ranks of a stage: use "
                f"{field('expert', or_list(divisors(self.ranks)))}"
            )
        if self.layers and len(self.layers) != self.pipeline:
            raise RequestError(
                f"{field('stages')} names {len(self.layers)} stages: use {field('pipeline', len(self.layers))}"
            )

    def stretches(self, layers: int) -> tuple[Stretch, ...]:
        """The layers of each stage. Raises `RequestError` where the stages that are named have not as many as the stack."""
        if not self.layers:
            return stretches(layers, self.pipeline)
        if sum(self.layers) != layers or min(self.layers) < 1:
            raise RequestError(
                f"{field('stages')} names {sum(self.layers)} layers, and there are {layers}: let the stages come to {layers}, each of 1 or more"
            )
        starts = (sum(self.layers[:place]) for place in range(len(self.layers)))
        return tuple(map(Stretch, starts, self.layers))


def serving_layout(
    gpus: int | None = None,
    *,
    tensor: int | None = None,
    pipeline: int | None = None,
    expert: int | None = None,
    expert_tensor: int | None = None,
    attention_data: int | None = None,
    replicas: int | None = None,
    stages: tuple[int, ...] = (),
) -> ServingLayout:
    """The layout of so many devices: `tensor` takes what the other degrees leave, experts are cut by all ranks that hold them.

    Raises `RequestError` for degrees that do not come to `gpus`, or contradict one another.
    """
    pipeline = len(stages) or 1 if pipeline is None else pipeline
    given = {"pipeline": pipeline, "attention_data": attention_data or 1, "replicas": replicas or 1}
    others = prod(given.values())
    if tensor is None:
        tensor = _left(gpus, given, others)
    elif gpus is not None and tensor * others != gpus:
        raise RequestError(
            f"{field('gpus', gpus)}: {_named({'tensor': tensor, **given})} take {tensor * others}: use {field('gpus', tensor * others)}"
        )
    ranks = tensor * given["attention_data"]
    if expert is None:
        expert = 1 if expert_tensor is None or ranks % expert_tensor else ranks // expert_tensor
    if expert_tensor is None:
        expert_tensor = max(ranks // expert, 1)
    layout = ServingLayout(tensor, pipeline, expert, expert_tensor, given["attention_data"], given["replicas"], stages)
    layout.check()
    return layout


def _left(gpus: int | None, given: dict[str, int], others: int) -> int:
    """What the other degrees leave of the devices."""
    if gpus is None:
        return 1
    if gpus % others:
        nearest = max(gpus // others, 1) * others
        raise RequestError(
            f"{field('gpus', gpus)}: {_named(given)} take a multiple of {others}: use {field('gpus', nearest)}"
        )
    return gpus // others


def _named(degrees: dict[str, int]) -> str:
    return " ".join(field(name, degree) for name, degree in degrees.items() if degree > 1)
