"""A deployment in steady state: its model, chip and engine, pools of workers, and how its requests share their steps."""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from tscale.catalogue.hardware import Hardware
from tscale.core.costs.serving_chunks import MIXING, chunk_on, chunks_of, most_decoding
from tscale.core.costs.serving_prediction import BEGUN
from tscale.core.costs.serving_share import Deployed
from tscale.core.costs.serving_waits import Scheduling, steps_waited
from tscale.core.costs.serving_work import PassWork
from tscale.core.costs.weights import Mixture
from tscale.core.device import Cluster
from tscale.core.dtypes import Dtype
from tscale.core.elementwise import larger, smaller
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import is_nothing
from tscale.models.spec import ModelSpec


class Pool(NamedTuple):
    """Workers of one kind and what each has: a layout of one worker.

    Of many deployments at once its degrees and workers are arrays, as is its `model`, which is of these layouts.
    """

    layout: ServingLayout
    workers: int
    model: Deployed | None = None
    """The model on a worker, where it is made already."""

    @property
    def words(self) -> str:
        """What deviations of a deployment are found by: its degrees. Many deployments at once are none that was measured."""
        return "" if self.model is not None else "-".join(map(str, (*self.layout[:6], self.workers)))


class ServingCase(NamedTuple):
    """A deployment in steady state: `concurrency` requests at any time, each of `prompt` tokens in and `output` out.

    `concurrency` may be an array: the deployment is then predicted at each of these loads.
    """

    spec: ModelSpec
    hardware: Hardware
    engine: str
    version: str
    weights: str
    experts: str
    prompt: float
    output: float
    concurrency: int
    prefill: Pool
    decode: Pool
    disaggregated: bool
    shortest: float = 1.0
    """The least lengths, as a share of the mean: a bound is made of them."""
    prefix: int = 0
    kept: Dtype | Mixture | None = None
    """What weights are kept in, where `weights` and `experts` do not say it all."""
    cache: Dtype | None = None
    """What the cache is kept in, where it is asked for."""
    guesses: int = 0
    """Tokens that are guessed, and verified, a step."""
    yielded: float = 1.0
    """Tokens that a step yields."""
    draft: ServingCase | None = None
    """The model that guesses, on the same devices, or a head of it; None where guesses cost nothing."""
    is_head: bool = False
    """Whether what guesses is a head of the model."""
    host: float = 0.0
    """Bytes a second at which a device reads a cached prefix of its host's memory; 0 where it has that itself."""
    tower_seconds: float = 0.0
    """What the images and sounds of a prompt take of one device, before its prefill, at its 16-bit peak."""
    scheduling: Scheduling = Scheduling()
    """How the engine takes up requests."""
    chunk: int = 0
    """Tokens of a step that prompts are cut to; 0: as the engine does by default."""
    by_default: bool = False
    """Whether the engine gives caches what it does by default; else as much as those of measured runs were set to at the most."""
    begun: float = BEGUN
    """The share of the requests of a run, of whose first tokens the mean is asked, that came at once as it began."""
    written: float = 0.5
    """The share of a mean answer that a sequence in a step has behind it on average."""
    decoding: float | None = None
    """The share of the requests that decode, where prompts have a pool of their own; None: what a closed loop leaves (`serving_loop`)."""

    @property
    def devices(self) -> int:
        """All devices."""
        pools = (self.prefill, self.decode) if self.disaggregated else (self.decode,)
        return sum(pool.layout.devices * pool.workers for pool in pools)

    @property
    def batch(self) -> float:
        """Requests that one attention rank decodes at once, over all stages of a pipeline."""
        if self.disaggregated:
            if self.decoding is not None and is_nothing(self.decoding):
                return 1.0
            most = larger(1.0, self.requests * (1.0 if self.decoding is None else self.decoding))
            return most if self.scheduling.places == inf else smaller(most, self.scheduling.places)
        return smaller(self.requests, larger(1.0, self.most_decoding)) if self.is_mixing else self.requests

    @property
    def requests(self) -> float:
        """Requests of an attention rank, those that wait for their prompts among them."""
        return larger(1.0, self.concurrency / (self.decode.workers * self.decode.layout.attention_data))

    @property
    def held(self) -> float:
        """Requests of an attention rank that hold a cache where it decodes: others wait for their prompts.

        They are those that decode, and where prompts are taken in beside them the next of these.
        """
        return self.batch if self.disaggregated else smaller(self.requests, self.batch + 1)

    @property
    def crowd(self) -> float:
        """Requests that wait because prompts take up no more of a step than a chunk, over those that decode.

        Where steps take in prompts so slowly that less than one request decodes on average, the others' prompts and answers
        are waited for one after the other; its own prompt counts in its own chunks.
        """
        if not self.is_mixing:
            return 0.0
        return larger(self.requests / self.batch, (self.requests - 1) / self.most_decoding) - 1

    @property
    def most_decoding(self) -> float:
        """Requests that a rank decodes at once at the most, on average, by what its steps take in; infinite where steps do not mix."""
        if not self.is_mixing:
            return inf
        each = most_decoding(self.chunk_tokens, self.prompt - self.prefix, self.output / self.yielded, 1 + self.guesses)
        return each * self.decode.layout.pipeline

    @property
    def is_mixing(self) -> bool:
        """Whether its steps both decode and take in prompts."""
        return self.engine in MIXING and not self.disaggregated

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a step of an attention rank: as asked, or as the engine's server does by default."""
        device = cluster_of(self.hardware).device
        return self.chunk or chunk_on(self.engine, device, self.prefill.layout.attention_data)

    @property
    def chunks(self) -> int:
        """Steps that a prompt takes."""
        return chunks_of(self.prompt - self.prefix, self.chunk_tokens)

    @property
    def is_cold(self) -> bool:
        """Whether the first prompts of a run without requests to warm up compile what long chunks need."""
        return self.concurrency * (self.prompt - self.prefix) >= self.scheduling.cold_tokens

    @property
    def is_eager(self) -> bool:
        """Whether the host launches the kernels of its steps one by one, for they decode more sequences than graphs were captured of."""
        return not self.disaggregated and self.batch > self.scheduling.graphs

    @property
    def queue(self) -> float:
        """Requests of all that fall on one attention rank that prefills."""
        return larger(1.0, self.concurrency / (self.prefill.workers * self.prefill.layout.attention_data))

    @property
    def waited(self) -> float:
        """Steps of decoding that a request waits by the engine's settings, and that its prompt takes beyond the first.

        None where prompts have a pool of their own.
        """
        if self.disaggregated:
            return 0.0
        further = self.chunks - 1.0 if self.is_mixing else 0.0
        arrivals = self.concurrency / self.decode.workers * self.yielded / self.output
        copies = self.decode.layout.attention_data
        return further + steps_waited(self.scheduling, arrivals, self.batch, self.prompt - self.prefix, copies)


class Passes(NamedTuple):
    """What the passes of a case do: a step of decoding, a prompt beside others, and one with nothing beside it."""

    decode: PassWork
    prompt: PassWork
    """On the devices that decode, where it interferes."""
    prefill: PassWork
    """On the devices that prefill, where no more copies of attention have prompts than there are requests."""
    full: PassWork
    """The same where all have."""


_CLUSTERS: Final[dict[int, tuple[Hardware, Cluster]]] = {}
_MOST_CLUSTERS: Final = 4096
"""Chips whose nodes are remembered."""


def cluster_of(hardware: Hardware) -> Cluster:
    """The nodes of a chip, remembered for each object."""
    if id(hardware) not in _CLUSTERS:
        if len(_CLUSTERS) >= _MOST_CLUSTERS:
            _CLUSTERS.clear()
        _CLUSTERS[id(hardware)] = hardware, hardware.cluster()
    return _CLUSTERS[id(hardware)][1]
