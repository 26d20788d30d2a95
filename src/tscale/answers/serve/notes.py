"""What must be said of the speed of serving: what is shared, what is left out, and what a draft model does."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.catalogue.hardware import Hardware
from tscale.core.costs.communication import TWO_SUMS
from tscale.core.costs.roofline import LEAVES_OUT, Work, distinct_experts, top_k
from tscale.core.ledger import Cache
from tscale.core.metric import Detail
from tscale.estimates.serve.parts import bound, causes, routed
from tscale.estimates.serve.times import Memory, Served, format_names
from tscale.models.spec import ModelSpec


def serve_notes(one: Served, hardware: Hardware, memory: Memory, decode: list[Work]) -> Iterator[str]:
    """What bounds decoding, what products are computed in, and what the answer counts and leaves out."""
    ask = one.ask
    if not memory.fits:
        yield "`tscale memory` shows what a device holds in parts, and what would make it fit."
    spent = causes(one, decode)
    sent = f", {percent(spent['communication'])} communicates" if ask.gpus > 1 else ""
    yield (
        f"Decoding is bound by {bound(one, decode)}: {percent(spent['weights'])} of its time reads weights, "
        f"{percent(spent['cache'])} the cache, {percent(spent['compute'])} computes{sent}."
    )
    if ask.efficiency == 1:
        yield "A bound: each part at the device's dense peak or full bandwidth. --efficiency scales it to a measured machine."
    else:
        yield f"At {percent(float(ask.efficiency))} of the peak and of the bandwidths, as --efficiency says."
    yield _products_note(one, hardware)
    if ask.gpus > 1:
        yield from _sharing_notes(one)
    yield from _model_notes(one)
    if ask.draft is not None:
        yield from _draft_notes(one)
    if ask.prefix:
        yield f"Of each prompt, {ask.prefix:,} tokens were cached before: their cost is that of reading them."
    if ask.host is not None:
        yield "Reading the prefix of host memory is in the steady state alone, not in the best case."
    yield Detail(LEAVES_OUT)


def _products_note(one: Served, hardware: Hardware) -> str:
    """What products are computed in, and why, where that is not what weights are kept in."""
    dtypes = one.setup.dtypes
    weights = dtypes.weights
    names = format_names(weights)
    unpacked = [name for name in names if name not in dtypes.peaks and name not in ("fp32", "bf16", "fp16")]
    how = f", since {hardware.label} does not multiply by {' or '.join(unpacked)}: weights are made 16 bits first"
    peak = max((dtypes.peak(name) for name in names), default=dtypes.peak("")) / 1e12
    said = f"Weights in {weights.name}, cache in {dtypes.cache.name}; products at {peak:,.1f} TFLOP/s{how if unpacked else ''}."
    return said if unpacked else Detail(said)


def _sharing_notes(one: Served) -> Iterator[str]:
    """How devices share the model, and what another way would change."""
    gpus = one.ask.gpus
    yield (
        f"{gpus:,} devices share each layer by tensor parallelism (Shoeybi 2019); other ways, such as those that gather "
        "weights or assign experts, have bounds of their own."
    )
    yield Detail(TWO_SUMS)
    if one.setup.by_sequences:
        yield "The cache is split by sequences while decoding: queries are sent to it and outputs back (Pope 2022, section 3.3)."
        return
    caches = [entry for entry in one.setup.whole.entries if isinstance(entry, Cache) and entry.stream != "once"]
    if any(cache.cut is None or cache.cut.pieces < gpus for cache in caches):
        yield (
            "There are more devices than key-value heads, so that several keep and read the same cache: --split-cache sequences "
            "gives each its own sequences."
        )


def _model_notes(one: Served) -> Iterator[str]:
    """What is particular to a model: experts, latents, a context beyond its own."""
    ask, spec = one.ask, one.spec
    entry = routed(one.setup.whole.entries)
    if entry is not None:
        met = distinct_experts(entry.experts, top_k(entry), ask.batch)
        tokens = "a token meets" if ask.batch == 1 else f"{ask.batch:,} tokens meet"
        yield (
            f"In each layer, {tokens} {met:,.4g} of {entry.experts} experts in expectation, each being as likely: those are "
            "read."
        )
    if any(getattr(entry, "decoded", None) for entry in one.setup.whole.entries):
        anew = ", those of a cached prefix too" if ask.prefix else ""
        yield f"Latents are scored as they are while decoding (absorbed), and spread out to keys and values in the prefill{anew}."
    if one.source:
        audio_frames = ", of sound, whatever --context says" if spec.audio_frames else ""
        yield (
            f"The prefill runs the encoder over {one.source:,} positions{audio_frames}, and the decoder over the token that an answer "
            "begins with; keys and values of what was read are cached for the decoder's layers."
        )
    longest = max(ask.context, ask.output) if one.source else ask.context + ask.output
    yield from beyond_trained(spec, longest, "prompt or answer is" if one.source else "prompt and answer are")


def beyond_trained(spec: ModelSpec, tokens: int, both: str) -> Iterator[str]:
    """That a request is longer than what a model was trained on; `both`: what of it is."""
    if spec.context is not None and tokens > spec.context and not spec.audio_frames:
        yield f"{spec.label} was trained on {spec.context:,} tokens, and {both} longer."


def _draft_notes(one: Served) -> Iterator[str]:
    draft = one.ask.draft
    assert draft is not None
    who = "A draft at no cost" if draft.spec is None else draft.spec.label
    yield (
        f"{who} guesses {draft.tokens} token{'' if draft.tokens == 1 else 's'} per round, each accepted with probability {float(draft.acceptance):g}: "
        f"{draft.expected:.2f} tokens per round in expectation (Leviathan 2023, equation 1). The tables are of a step without."
    )
    if draft.spec is not None:
        table = ", with a copy of the table of tokens, which engines share" if draft.is_head else ""
        yield f"{draft.spec.label} is kept and shared as {one.spec.label} is{table}; its prefill is in the end-to-end latency."
        if draft.is_head:
            yield f"{draft.spec.label} has the shape of published ones; whether one was trained for {one.spec.label} is not known here."
        if draft.spec.vocabulary != one.spec.vocabulary:
            yield (
                f"Their vocabularies differ ({draft.spec.vocabulary:,} and {one.spec.vocabulary:,} tokens): guesses can be "
                "verified only where the tokens are the same."
            )


def percent(share: float) -> str:
    """A share in text, by the hundred."""
    return f"{100 * share:.3g}%"
