"""The notes of `tscale memory` on serving."""

from __future__ import annotations

from collections.abc import Iterator

from tscale.answers.capacity import capacity_notes, left_out
from tscale.answers.memory.tables import no_change_note
from tscale.catalogue.hardware import Hardware
from tscale.catalogue.judged import certainly_judged
from tscale.core.costs.cache import LEAVES_OUT as CACHE_LEAVES_OUT
from tscale.core.costs.cache import growing
from tscale.core.costs.params import params
from tscale.core.costs.weights import LEAVES_OUT as WEIGHTS_LEAVE_OUT
from tscale.core.costs.weights import Mixture, kept_in, weight_bytes
from tscale.core.costs.workspace import LEAVES_OUT as WORKSPACE_LEAVES_OUT
from tscale.core.dtypes import DTYPES, Dtype, computed_in
from tscale.core.ledger import Cache
from tscale.core.metric import Detail
from tscale.estimates.capacity import Capacity
from tscale.estimates.explaining import streams_note
from tscale.estimates.judged import error_text
from tscale.estimates.memory.changes import Change
from tscale.estimates.memory.held import Server, held
from tscale.estimates.memory.layout import keeping_notes, layout_notes
from tscale.estimates.memory.room import Room


def serving_notes(
    server: Server,
    hardware: Hardware | None,
    assumed: str,
    capacity: Capacity | None,
    room: Room | None,
    options: tuple[Change, ...],
) -> list[str]:
    """What is taken for granted, on which formats the figures rest, and what they leave out."""
    format, total = server.format, held(server).total
    said = [assumed]
    if hardware is not None and capacity is not None:
        said += capacity_notes(capacity, hardware, total)
    said += [_kept_note(format), *_format_notes(server)]
    if hardware is not None and capacity is not None:
        said += _device_notes(server, hardware, capacity, options)
    said += layout_notes(server)
    said += keeping_notes(server)
    trained = server.spec.context
    longest = server.context if room is None else room.context
    if trained is not None and server.context <= trained and (longest is None or longest > trained):
        said.append(
            f"{server.spec.label} was trained on contexts of up to {int(trained):,} tokens: of longer ones the memory alone is counted."
        )
    if server.spec.kind == "encoder-decoder":
        said.append(streams_note(server.spec))
    said.append(
        Detail(
            f"Activations: in a step of a token of each sequence and {server.chunk:,} of a prompt (--chunk), the widest block of a "
            "layer with all of its products; no scores are stored. Logits: a row for each sequence in fp32."
        )
    )
    error = certainly_judged("memory", "serving")
    said.append(f"Its parts: {error_text(error, 'measured ones')}.")
    said.append(Detail(WEIGHTS_LEAVE_OUT))
    if server.page is None and any(isinstance(entry, Cache) for entry in growing(server.whole).entries):
        said.append(Detail(f"{CACHE_LEAVES_OUT} --page adds it."))
    said.append(left_out(capacity, WORKSPACE_LEAVES_OUT))
    return said


def _device_notes(server: Server, hardware: Hardware, capacity: Capacity, options: tuple[Change, ...]) -> Iterator[str]:
    """What a device does not compute in, how many of them a node joins, and that nothing else would fit."""
    format, total = server.format, held(server).total
    peaks = capacity.device.flops_per_second
    names = [format.name] if isinstance(format, Dtype) else [each.name for each in format.dtypes()]
    for own in dict.fromkeys(map(computed_in, names)):
        if own and own not in peaks:
            yield f"{hardware.label} does not compute in {own}: it stores weights so, and dequantises them to 16 bits."
    ranks, joined = server.layout.ranks, hardware.devices_per_node
    if joined is not None and ranks > joined:
        yield f"{ranks:,} devices are more than the {joined:,} that a node of {hardware.label} joins."
    elif joined is None and server.layout.devices > 1:
        yield f"How many devices of {hardware.label} a node has is not known here."
    if not capacity.fits(total) and not options:
        yield no_change_note(capacity.verdict(total))


def _kept_note(format: Dtype | Mixture) -> str:
    """What a format is not used for; of a release, that stands above the figures."""
    if isinstance(format, Mixture):
        return ""
    match format.scope:
        case "all":
            return ""
        case "linear":
            return f"In {format.name} are the matrices of layers; embeddings, head, routers, norms and biases stay in bf16."
        case "experts":
            return f"In {format.name} are routed experts, or in a model without them its layers' matrices; the rest stays in bf16."
        case "matrices":
            return (
                f"All matrices are in {format.name}, as llama.cpp's --pure does; positions, routers, norms and biases stay in "
                "fp32. Its files mix several formats: q4_k_m names such a mixture."
            )


def _mixture_note(server: Server, mixture: Mixture, most: Dtype) -> str:
    """What a mixture of GGUF is made of, and the bits of a weight that it comes to."""
    others = sorted({format.name for format in mixture.dtypes()} - {most.name})
    also = f", others in {', '.join(others)}" if others else ""
    bits = 8 * weight_bytes(server.whole, mixture).total / params(server.whole).total
    return (
        f"{mixture.name} is llama.cpp's mixture, {float(bits):.2f} bits a weight: most matrices in {most.name}{also}, tensor by tensor "
        "as its quantiser decides; positions, routers, norms and biases in fp32."
    )


def _format_notes(server: Server) -> list[str]:
    """What the bits of each format are made of, and what stands in for it."""
    format = server.format
    if isinstance(format, Mixture):
        if format.base is not None:
            return [_mixture_note(server, format, format.base)]
        return [_bits_note(each) for each in format.dtypes() if each.scope != "all"]
    return [] if format.scope == "all" else [_bits_note(format) + _instead_note(server, format)]


def _bits_note(format: Dtype) -> str:
    inside = f" ({format.note})" if format.note else ""
    return f"A weight in {format.name} takes {float(format.bits_with_scales):.6g} bits{inside}."


def _instead_note(server: Server, format: Dtype) -> str:
    """What rows are kept in that the blocks of a format do not divide, where there are any."""
    instead = {
        kept.format.name
        for kept in kept_in(server.stages[0].share, format, server.stages[0].whole)
        if kept.format not in (format, DTYPES[format.rest]) or (kept.format.name == format.fallback != format.rest)
    }
    if not instead:
        return ""
    return f" Rows that are no multiple of {format.multiple} are kept in {' and '.join(sorted(instead))}."
