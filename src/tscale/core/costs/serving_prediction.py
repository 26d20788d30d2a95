"""Time per output token, time to first token and latency of a deployment in steady state, with constants that were measured.

What is summed up is the same work that a bound takes the longest part of (`serving_work`):

    step     sum over parts of max(FLOPs/(peak·share), bytes/(bandwidth·share)), a constant time for each layer by what it has,
             and for each collective, what is sent over the link, and passes over the residual stream; tokens that were guessed go
             through dense matrices at the share of a prompt's (`_computing_of_step`)
    prompt   FLOPs over the peak, at shares of their own, and passes over the copies of tokens that routed experts take
    tpot     step + interference·(batch - 1)/output·prompt: in a closed loop each request meets one prefill of each other in its
             life, of those that it began with half before its first token (`BEGUN`); a step with a prompt takes at least
             mixed·layers, and any eager·layers where the host launches all its kernels one by one
    ttft     starting + prompt + (queue + (begun - BEGUN)/2)·(batch - 1)·prompt + steps in progress, and waited +
             waiting·sqrt(batch - 1); of a pool for prompts alone at least batch·prompt - output·tpot, for all that do not decode
             wait for it; those that do are in `serving_loop`; where fewer places to decode are than requests, at least
             output·tpot·(batch/places - 1)
    latency  ttft + output·tpot

All numbers may be floats or arrays: the constants are fitted by the formula that predicts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple

from tscale.core.adding import in_order
from tscale.core.costs.serving_grouped import grouped_share
from tscale.core.costs.serving_share import Deployed, Structure
from tscale.core.costs.serving_work import Part, PassWork, decoding, share_met
from tscale.core.elementwise import larger, smaller
from tscale.core.tracing import where

BEGUN: Final = 0.1
"""The share of the requests of runs that constants were fitted to that came at once as these began: ten were sent for each (InferenceMAX,
"Benchmark Client Configuration": --num-prompts of ten times --max-concurrency, --request-rate inf). Of all other requests that a
mean time to first token waits for it is half: 5% of their prompts, and so much it grows by in those runs (4.5% of the first's with prompts
of 8,192 tokens under TensorRT-LLM, 4.4% under vLLM, in median)."""


@dataclass(frozen=True)
class ServingConstants:
    """What was measured of an engine on a generation of chips. Shares are of the dense peak, of bandwidth, or of the link."""

    compute: float
    """Share of the peak that products reach while decoding."""
    read_weights: float
    """Share of the bandwidth at which dense weights are read."""
    read_experts: float
    """The same of routed experts."""
    read_cache: float
    """The same of keys, values and latents."""
    read_states: float
    """The same of states of recurrences."""
    layer: float
    """Seconds of a layer's launches and what nothing else counts, in a step."""
    routed_layer: float
    """Seconds more where it has routed experts."""
    latent_layer: float
    """Seconds more where it has latent attention."""
    linear_layer: float
    """Seconds more where it has a recurrence."""
    indexed_layer: float
    """Seconds more where it has an indexer."""
    collective: float
    """Seconds of a layer's collectives at each doubling of devices."""
    link: float
    """Share of the link's one direction."""
    eager: float
    """Seconds of a layer in which the host launches its kernels one by one, where a step is no graph."""
    mixed: float
    """The same where a step takes in a prompt."""
    elementwise: float
    """Passes over the residual stream in a layer."""
    interference: float
    """How much of a prompt's time is added to the steps of others."""
    prompt_dense: float
    """Share of the peak of dense products of a prompt, where it interferes."""
    prompt_experts: float
    """The same of routed experts."""
    prompt_packed: float
    """The same of routed experts in 4 bits."""
    prompt_routing: float
    """Passes over the copies of a prompt's tokens that its experts take, where it interferes."""
    prompt_scores: float
    """The same of attention scores."""
    prompt_states: float
    """The same of recurrences."""
    start: float
    """Seconds a layer from a request to its prefill and from its end to the token."""
    start_routed: float
    """How much more of it where layers have routed experts."""
    start_latent: float
    """How much more of it where they have latent attention."""
    start_linear: float
    """How much more of it where they have recurrences."""
    first_dense: float
    """Share of the peak of dense products of a prompt, to its first token."""
    first_experts: float
    """The same of routed experts."""
    first_scores: float
    """The same of attention scores."""
    first_states: float
    """The same of recurrences."""
    first_link: float
    """Share of the link to the first token."""
    queue: float
    """How many prefills of each other request a request waits for."""
    steps: float
    """Steps of decoding that a request waits for."""
    waiting: float
    """Seconds that it waits for each square root of the requests before it."""
    apart: float
    """The same where prompts have a pool of their own."""
    cold: float
    """Seconds that first tokens are later on average where kernels are compiled as a run begins."""
    network: float
    """Share of the network between nodes that exchanges reach."""
    bus: float
    """The same where they are joined by the bus of their host alone."""
    exposed: float
    """Share of the time of exchanges between nodes that is not hidden behind computing."""
    grouped: float
    """Share of the peak of experts' products by kernels of published rates, with many rows an expert."""
    grouped_growth: float
    """The power of an expert's rows by which they reach it."""
    forwarded: float
    """Share of the link where such kernels send on what comes of other nodes."""


class Chip(NamedTuple):
    """Bytes a second of memory, of one direction of the link, and of what a device sends to other nodes; may be arrays.

    `host`: what a device reads of its host's memory. `bus`: 1 where the network is the bus of a host, 0 where it is NICs.
    """

    memory: float
    link: float
    network: float
    host: float = inf
    bus: float = 0.0

    def away(self, c: ServingConstants) -> float:
        """Bytes a second that what devices send to other nodes reaches."""
        return self.network * (self.bus * c.bus + (1 - self.bus) * c.network)


class Load(NamedTuple):
    """Requests at once on an attention rank that decodes, and on one that prefills; tokens of an answer; all may be arrays.

    `doublings`: log2 of the devices of a worker. `together`: 1 where prefill and decoding share devices, 0 where they do not.
    `waited`: steps of decoding that a request waits for by the engine's settings (`serving_waits`), or that its prompt takes beyond
    the first. `launches`: passes beyond the first that its prompt takes while nothing decodes (`serving_chunks`). `places`: sequences
    that a rank decodes at the most. `cold`: 1 where kernels are compiled as a run begins. `eager`: 1 where steps are no graphs.
    `mixing`: 1 where a step that takes in prompts decodes too, 0 where nothing decodes meanwhile. `begun`: the share of a run's requests
    that came at once as it began: each of them waits for half of the others' prompts on average.
    """

    batch: float
    queue: float
    output: float
    doublings: float
    together: float
    waited: float = 0.0
    launches: float = 0.0
    places: float = inf
    cold: float = 0.0
    eager: float = 0.0
    mixing: float = 1.0
    begun: float = BEGUN


class _Times(NamedTuple):
    """Seconds that a part of a step computes, and that it reads: the longer of them counts."""

    computing: float
    reading: float


class _Parts(NamedTuple):
    """The times of a step's parts."""

    attention: _Times
    dense: _Times
    experts: _Times
    scores: _Times
    states: _Times
    head: _Times


def _times(part: Part, compute: float, read: float, chip: Chip) -> _Times:
    return _Times(part.flops / (part.peak * compute), part.bytes / (chip.memory * read))


def _parts(work: PassWork, chip: Chip, c: ServingConstants, new: int) -> _Parts:
    def matrices(part: Part) -> _Times:
        return _Times(_computing_of_step(part, new, c), part.bytes / (chip.memory * c.read_weights))

    return _Parts(
        matrices(work.attention),
        matrices(work.dense),
        _times(work.experts, c.compute, c.read_experts, chip),
        _times(work.scores, c.compute, c.read_cache, chip),
        _times(work.states, c.compute, c.read_states, chip),
        matrices(work.head),
    )


def _computing_of_step(part: Part, new: int, c: ServingConstants) -> float:
    """Seconds of the products of a step that takes `new` tokens of each sequence: the first as decoding does, others as a prompt does.

    The share that decoding reaches is of runs in which each sequence had one token, so that what the engine does for a sequence
    (to schedule it, to sample, its part of each kernel's launch) is in it; further tokens of a sequence bring none of that, and are at
    the share that a pass over a prompt takes by itself.
    """
    first = part.flops / new
    return first / (part.peak * c.compute) + (part.flops - first) / (part.peak * c.first_dense)


def step_seconds(
    work: PassWork, structure: Structure, chip: Chip, load: Load, c: ServingConstants, stages: int = 1, new: int = 1
) -> float:
    """Seconds of a step of decoding with nothing beside it, over all stages of a pipeline; `new`: tokens of a sequence, guesses among them."""
    parts = in_order(larger(*times) for times in _parts(work, chip, c, new))
    return parts + _launches_of_step(structure, load, c, stages) + _passing_on(work, structure, chip, c, stages, new)


def _launches_of_step(structure: Structure, load: Load, c: ServingConstants, stages: int) -> float:
    """Seconds of a step's launches; each stage after the first has one more, which receives."""
    return launch_seconds(structure, load, c) + (stages - 1) * c.layer


def _passing_on(work: PassWork, structure: Structure, chip: Chip, c: ServingConstants, stages: int, new: int) -> float:
    """Seconds of a step's passes over the residual stream, and of sending: that of devices of a stage, and from stage to stage.

    Passes are those of one token of a sequence: what further ones take is in the share that a prompt reaches.
    """
    elementwise = structure.layers * (work.residual / new) * c.elementwise / chip.memory
    return elementwise + _sending(work, chip, c.link, c) + (stages - 1) * work.residual / (chip.link * c.link)


class StepCurve(NamedTuple):
    """Seconds of a step of decoding by how many sequences an attention rank decodes: `step_seconds` of `decoding`, quick to ask again.

    Of more sequences all that a step computes, sends, and reads and writes of caches is more; weights are read once for all of them,
    those of experts by the share of them that is met.
    """

    launches: float
    each: float
    """Seconds of a sequence: its caches, what is sent and passed on."""
    weights: tuple[_Times, ...]
    """Of a sequence's computing, and of reading, of parts whose weights are all read."""
    experts: _Times
    """The same of experts, where all are read."""
    met: Callable[[float], float] | None
    """The share of the experts that so many sequences meet; None where there are none."""

    def at(self, batch: float) -> float:
        """Seconds where so many decode; may be an array."""
        seconds = self.launches + self.each * batch
        for computing, reading in self.weights:
            seconds = seconds + larger(computing * batch, reading)
        if self.met is None:
            return seconds
        return seconds + larger(self.experts.computing * batch, self.experts.reading * self.met(batch))


def step_curve(
    one: Deployed, keys: int, new: int, chip: Chip, load: Load, c: ServingConstants, stages: int = 1
) -> StepCurve:
    """The seconds of a step by its sequences, each of which decodes `new` tokens with `keys` in its cache."""
    work, tokens = decoding(one, 1.0, keys, new), new * one.copies
    parts, met = _parts(work, chip, c, new), share_met(one, tokens)
    return StepCurve(
        _launches_of_step(one.structure, load, c, stages),
        larger(*parts.scores) + larger(*parts.states) + _passing_on(work, one.structure, chip, c, stages, new),
        tuple(
            times
            for lines, times in ((one.attention, parts.attention), (one.dense, parts.dense), (one.head, parts.head))
            if lines
        ),
        _Times(parts.experts.computing, parts.experts.reading / met),
        (lambda batch: share_met(one, tokens * batch)) if one.experts else None,
    )


def launch_seconds(structure: Structure, load: Load, c: ServingConstants) -> float:
    """Seconds of a pass that are there whatever it computes: launches, layer by layer."""
    return (
        structure.layers * (c.layer + c.collective * load.doublings)
        + structure.routed * c.routed_layer
        + structure.latent * c.latent_layer
        + structure.linear * c.linear_layer
        + structure.indexed * c.indexed_layer
    )


def host_seconds(structure: Structure, load: Load, c: ServingConstants) -> float:
    """Seconds in which the host launches a step that is no graph; 0 of graphs.

    It launches the next step while the devices compute one, so that the longer of the two counts over many steps.
    """
    return load.eager * c.eager * structure.layers


def _sending(work: PassWork, chip: Chip, link: float, c: ServingConstants) -> float:
    """Seconds of sending, level by level; between nodes all of sums, and what batches that take turns do not hide of the rest."""
    away = work.sent.summed + c.exposed * (work.sent.away - work.sent.summed)
    return work.sent.link / (chip.link * link) + away / chip.away(c)


def _sending_of_prompts(work: PassWork, chip: Chip, link: float, c: ServingConstants) -> float:
    """The same of a prompt: kernels of published rates send on over the link while the network brings more."""
    link_seconds = work.sent.link / (chip.link * c.forwarded)
    known = c.exposed * larger(link_seconds, work.sent.away / chip.away(c))
    found: float = where(work.rows > 0, known, _sending(work, chip, link, c))
    return found


def _computing(
    work: PassWork, dense: float, experts: float, scores: float, states: float, c: ServingConstants
) -> float:
    """Seconds of a prompt's products, each kind at its share of the peak."""
    experts = where(work.rows > 0, grouped_share(work.rows, c.grouped, c.grouped_growth), experts)
    matrices = work.attention.flops / work.attention.peak + work.dense.flops / work.dense.peak
    return (
        matrices / dense
        + work.experts.flops / (work.experts.peak * experts)
        + work.scores.flops / (work.scores.peak * scores)
        + work.states.flops / (work.states.peak * states)
    )


def prompt_seconds(work: PassWork, chip: Chip, c: ServingConstants) -> float:
    """Seconds that a prompt takes of devices that decode others meanwhile."""
    experts: float = where(work.packed > 0, c.prompt_packed, c.prompt_experts)
    computing = _computing(work, c.prompt_dense, experts, c.prompt_scores, c.prompt_states, c)
    routing: float = where(work.rows > 0, 0.0, work.copied * c.prompt_routing / chip.memory)
    return computing + routing + _sending_of_prompts(work, chip, c.link, c)


def prefill_seconds(work: PassWork, chip: Chip, c: ServingConstants) -> float:
    """Seconds from the start of a prefill to its end; what comes of the host's memory comes before."""
    computing = _computing(work, c.first_dense, c.first_experts, c.first_scores, c.first_states, c)
    return computing + _sending_of_prompts(work, chip, c.first_link, c) + work.loaded / chip.host


def tpot_seconds(
    step: float, prompt: float, structure: Structure, load: Load, c: ServingConstants, yielded: float = 1.0
) -> float:
    """Seconds of an output token: its part of a step, which yields so many, and the share of others' prefills that falls on it.

    A step that takes in prompts is no graph, and takes at least what the host launches; where it decodes too, that is one step less.
    """
    prompts = (load.batch - 1) / load.output * (1 - load.begun / 2) / (1 - BEGUN / 2)
    launching = smaller(prompts, 1 / yielded) * (c.mixed * structure.layers - load.mixing * step)
    return step / yielded + load.together * larger(c.interference * prompts * prompt, launching)


def ttft_seconds(
    work: PassWork, step: float, structure: Structure, chip: Chip, load: Load, c: ServingConstants
) -> float:
    """Seconds to the first token of a request in steady state."""
    prefill = prefill_seconds(work, chip, c)
    read = (work.attention.bytes + work.dense.bytes + work.experts.bytes) / chip.memory
    start = c.start * (
        structure.layers
        + c.start_routed * structure.routed
        + c.start_latent * structure.latent
        + c.start_linear * structure.linear
    )
    others = load.queue - 1
    return (
        start
        + larger(prefill, read)
        + larger(c.queue + (load.begun - BEGUN) / 2, 0.0) * others * prefill
        + load.together * (c.steps + load.waited) * step
        + load.launches * launch_seconds(structure, load, c)
        + (load.together * c.waiting + (1 - load.together) * c.apart) * sqrt_of(others)
        + load.cold * c.cold
    )


def pool_seconds(each: float, tpot: float, load: Load) -> float:
    """The least time to a first token of a rank for prompts alone, which takes one in every `each` seconds; 0 where steps are shared.

    A request comes as another leaves, so that queue = (ttft + output·tpot)/(seconds between prompts) (Little's law), and no prompts
    come faster than every `each` seconds; nor faster than places to decode become free, each of which is taken for output·tpot.
    """
    answer = load.output * tpot
    return (1 - load.together) * larger(load.queue * each - answer, answer * (load.batch / load.places - 1))


def sqrt_of(number: float) -> float:
    """The square root of a number, or of each of an array."""
    root: float = number**0.5
    return root


def least_seconds(work: PassWork, chip: Chip) -> float:
    """A bound of a pass: all computing, all reading and all sending overlapped, at the peaks.

    A switch that sums halves what an all-reduce sends (Klenk 2020), so half of it is in the bound.
    """
    parts = (work.attention, work.dense, work.experts, work.scores, work.states, work.head)
    computing: float = in_order(part.flops / part.peak for part in parts)
    reading: float = in_order(part.bytes for part in parts) / chip.memory
    sending = larger(work.sent.least_link / (2 * chip.link), work.sent.least_away / (2 * chip.network))
    return larger(larger(larger(computing, reading), sending), work.loaded / chip.host)
