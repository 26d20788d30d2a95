"""A server: a model, how it is kept and spread and what it serves; and what one of its devices holds."""

from __future__ import annotations

from typing import NamedTuple

from tscale.core.costs.cache import cache_bytes
from tscale.core.costs.weights import Mixture, weight_bytes
from tscale.core.costs.workspace import workspace_bytes
from tscale.core.dtypes import Format
from tscale.core.ledger import Ledger
from tscale.core.metric import Quantity
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard
from tscale.core.workload import Run
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec


class Server(NamedTuple):
    """A model that is served: `whole`, and the `share` of it that each of `gpus` devices has."""

    spec: ModelSpec
    whole: Ledger
    share: Ledger
    format: Format | Mixture
    cache_format: Format
    batch: int
    context: int
    page: int | None
    chunk: int
    gpus: int

    @property
    def run(self) -> Run:
        """One sequence of the context's length."""
        return run_of(self.spec, self.context)

    def weights(self) -> Quantity:
        """Bytes of a device's weights."""
        return weight_bytes(self.share, self.format, self.whole)

    def cache(self) -> Quantity:
        """Bytes that a device keeps for one sequence."""
        return cache_bytes(self.share, self.run, self.cache_format.bits, self.page)

    def workspace(self) -> Quantity:
        """Bytes of a device's activations and logits."""
        bits = 32 if self.format.name == "fp32" else 16
        return workspace_bytes(self.share, self.whole, self.run, self.batch, self.chunk, self.spec.d_model, bits)

    def on(self, gpus: int) -> Server:
        """The same on another number of devices. Raises `RequestError` where so many cannot share its layers."""
        return self._replace(share=shard(self.whole, Parallelism(tensor=gpus)), gpus=gpus)

    def of(self, spec: ModelSpec) -> Server:
        """The same of a model on other numbers, such as those that remember."""
        return self._replace(spec=spec, whole=lower(spec)).on(self.gpus)


class Held(NamedTuple):
    """Bytes that one device holds, by part."""

    weights: int
    kv_cache: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return self.weights + self.kv_cache + self.activations + self.logits


def held(server: Server) -> Held:
    """Bytes of each part that one device holds."""
    activations, logits = server.workspace().lines
    return Held(server.weights().total, server.batch * server.cache().total, activations.value, logits.value)
