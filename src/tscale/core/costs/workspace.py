"""What a serving step needs beside weights and cache: the activations of a layer, and the logits.

A step takes a token of every sequence and a chunk of one more prompt (chunked prefill), so min(batch·context, batch + chunk)
tokens; an encoder reads its input at once. At its largest a layer holds, for each token, its input before and after the norm,
all that the products of one block of it (attention, feed-forward) come to, and what goes into a feed-forward's matrix down: the
activations, or the product of both where they are gated, which is an array of its own. That is a convention: an engine frees
some of it earlier, and takes more for its kernels. Scores are never stored whole, as in flash attention.
"""

from __future__ import annotations

from typing import Final, assert_never

from tscale.core.dtypes import bytes_of
from tscale.core.kept import keep
from tscale.core.ledger import Block, Buffer, Cache, Conv, Ledger, Lookup, Matmul, Scan, Scores, Stream, Vector
from tscale.core.metric import Line, Quantity
from tscale.core.roles import Role
from tscale.core.sharding import is_expert
from tscale.core.tracing import ceil_div, label, minimum, most_of
from tscale.core.units import BYTES
from tscale.core.workload import SequenceLengths

LEAVES_OUT: Final = "what sampling adds to the logits"
"""What is no part of the workspace, nor of any reserve."""

_LOGIT_BITS: Final = 32


def workspace_bytes(
    share: Ledger,
    whole: Ledger,
    run: SequenceLengths,
    batch: int,
    chunk: int,
    d_model: int,
    bits: int,
    verified: int = 1,
) -> Quantity:
    """Bytes of one device's activations at their largest, and of the logits, which are gathered whole in fp32.

    `share`: what the device has of the model `whole`; activations are kept in so many `bits`. `verified`: tokens of a sequence that
    a step of decoding takes: more than one where those that a draft guesses are verified.
    """
    lines = (
        Line("activations", activation_bytes(share, run, batch * verified, chunk, d_model, bits)),
        Line("logits", _logit_bytes(whole, run, batch * verified)),
    )
    return Quantity("workspace", lines, BYTES, "convention")


def activation_bytes(ledger: Ledger, run: SequenceLengths, batch: int, chunk: int, d_model: int, bits: int) -> int:
    """The largest over all blocks of tokens·(2·d_model + outputs), with what goes into a matrix down among the outputs."""
    sizes = []
    for (_, stream), (first, outputs) in keep(ledger.made, _outputs, lambda: _outputs(ledger)).items():
        tokens = label(f"{stream}_step_tokens", _step_tokens(stream, run, batch, chunk), "tokens")
        block = first.rpartition(".")[0]
        name = block if stream == "target" else f"{block}.{stream}"
        width = 2 * d_model + label(f"{name}.outputs", outputs, "numbers per token")
        sizes.append(label(f"{name}.activations", tokens * width, "numbers"))
    return bytes_of(most_of(sizes), bits)


def _step_tokens(stream: Stream, run: SequenceLengths, batch: int, chunk: int) -> int:
    """Tokens of a stream, of all sequences together, that a step takes."""
    match stream:
        case "source":
            return batch * run.source
        case "target":
            return minimum(batch * run.target, batch + chunk)
        case "images":
            return run.images  # a prompt's at a time, as its towers
        case "once":
            return batch
        case "tower_patches" | "tower_inputs" | "tower_outputs":
            return 0  # images and sounds are read before a step, one at a time
        case _:
            assert_never(stream)


def _outputs(ledger: Ledger) -> dict[tuple[_Together, Stream], tuple[str, int]]:
    """Numbers a token that the products of each block of a layer come to, with the name of the first of them."""
    outputs: dict[tuple[_Together, Stream], tuple[str, int]] = {}
    alike: set[_Together] = set()  # of scores that see a window and those that do not, a layer has one

    def add(entry: Matmul | Scores | Conv, block: _Together, width: int) -> None:
        first, before = outputs.get((block, entry.stream), (entry.name, 0))
        outputs[block, entry.stream] = first, before + width

    for entry in ledger.entries:
        match entry:
            case Matmul():
                if entry.part != "head" and entry.stream != "once":
                    add(entry, _block(entry), _a_token(entry) * (entry.d_out + _activated(entry)))
            case Scores():
                block = _block(entry)
                if block not in alike:
                    add(entry, block, entry.heads * entry.d_v)
                alike.add(block)
            case Conv():
                add(entry, _block(entry), entry.channels)
            case Lookup() | Vector() | Buffer() | Scan() | Cache():
                pass  # what they come to is the layer's input, or stays within a kernel
            case _:
                assert_never(entry)
    return outputs


_Together = tuple[Block, str]
_APART: Final[dict[Role, str]] = {
    "index_q": "index",
    "index_k": "index",
    "index_weights": "index",
    "index_scores": "index",
    "latent_down": "latents",
    "latent_up": "latents",
    "adapter": "adapters",
    "position_key": "positions",
    "position_scores": "positions",
}
"""What of a block runs before or beside the rest of it, and is counted on its own."""


def _block(entry: Matmul | Scores | Conv) -> _Together:
    """What stands together in a layer; a recurrence beside attention stands on its own."""
    recurs = not isinstance(entry, Scores) and entry.part == "mixer" and entry.role != "projection"
    return entry.block, _APART.get(entry.role, "recurrence" if recurs else "")


def _activated(entry: Matmul) -> int:
    """Numbers that go into a feed-forward's matrix down, the one that is cut along its rows: no product comes to them."""
    down = entry.part == "feed_forward" and entry.cut is not None and entry.cut.axis == "in"
    return entry.d_in if down else 0


def _a_token(entry: Matmul) -> int:
    """How many copies in a layer a token is sent through: of routed experts, a few."""
    return ceil_div(entry.used * entry.experts, entry.stored) if is_expert(entry) else 1


def _logit_bytes(ledger: Ledger, run: SequenceLengths, batch: int) -> int:
    """One row of logits for each sequence; of an encoder, one for each position."""
    head = next((entry for entry in ledger.entries if isinstance(entry, Matmul) and entry.role == "head"), None)
    if head is None:
        return 0
    rows = batch * run.source if head.stream == "source" else batch
    return bytes_of(rows * head.d_out, _LOGIT_BITS)
