"""What the loss of a language model takes: of each way of computing cross-entropy what it keeps, and what it takes at its peak.

A head makes n = tokens·V logits (V: the words that a device has), in the activations' format. Plain cross-entropy upcasts them,
keeps the logarithms of the probabilities in fp32 for its backward pass, and makes two gradients of 4 bytes there: 12·n live at
once. A caching allocator takes more: the bf16 logits that were let go cannot serve a request of twice their size, so 14·n.
Kernels that go through the tokens in pieces, or compute in place, take next to none of it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tscale.core.parallelism import Parallelism
from tscale.core.tracing import ceil_div, is_one, minimum, power_of_two
from tscale.errors import RequestError, nearest, shown

CHUNKS: Final = 8
"""Pieces of a sequence in torchtune's and torchtitan's chunked losses."""


PIECES: Final = 4
"""Pieces of a sequence of 512 tokens, as litgpt's configurations have, in its loss, which are of 128."""


class Kernel(NamedTuple):
    """A way of computing the loss: what it does, and whose code does it."""

    name: str
    does: str
    source: str


_KERNELS: Final = (
    Kernel("plain", "logits upcast to fp32, and freed before the backward pass", "torchtitan components/loss.py"),
    Kernel("plain-kept", "logits upcast to fp32, and kept in the model's output too", "transformers 5.23 loss/loss_utils.py"),
    Kernel("hf-old", "fp32 logits in the output, and a shifted copy", "transformers 4.44 modeling_llama.py"),
    Kernel("bf16", "cross-entropy in the format of the logits", "torch 2.13 cross_entropy"),
    Kernel("parallel", "the vocabulary sharded, by DTensor's loss_parallel", "torch 2.13 loss_parallel"),
    Kernel("in-place", "softmax and gradient in the array of the fp32 logits", "megatron-core 0.16 cross_entropy.py"),
    Kernel("one-kernel", "one kernel that reads logits and writes their gradient", "flash-attn 2.8 cross_entropy.py"),
    Kernel("compiled", "one compiled kernel each way, which reads the logits as they are", "torchtitan 2025 components/loss.py, torch.compile"),
    Kernel("chunked", f"logits upcast in {CHUNKS} chunks", "torchtune 0.6 CEWithChunkedOutputLoss"),
    Kernel("chunked-compiled", f"logits in {CHUNKS} chunks, the loss of each compiled", "torchtune 0.6 compile_loss, torch 2.13"),
    Kernel("chunked-kept", "logits in fp32 in the output, the loss in pieces", "litgpt 0.4 chunked_cross_entropy, lightning 2.3 convert_output"),
    Kernel("chunked-recomputed", f"head and loss in {CHUNKS} chunks, each recomputed", "torch 2.13 checkpoint"),
    Kernel("fused-linear", "head, loss and both gradients in chunks of the forward pass", "liger-kernel 0.8 fused_linear_cross_entropy.py"),
)  # fmt: skip

KERNELS: Final[dict[str, Kernel]] = {kernel.name: kernel for kernel in _KERNELS}
"""Every loss by its name."""

OF_TRANSFORMERS: Final = frozenset({"plain-kept", "hf-old"})
"""Losses that are transformers' own."""

COMPILED: Final = frozenset({"compiled", "chunked-compiled"})
"""Losses whose kernels torch.compile makes."""

ALIASES: Final = {"eager": "plain-kept", "fused": "fused-linear"}


def find_kernel(name: str) -> Kernel:
    """The loss of a name or an alias. Raises `RequestError` for any other name."""
    kernel = KERNELS.get(ALIASES.get(name, name))
    if kernel is None:
        raise RequestError(f"no loss {shown(name)}: {nearest(name, [*KERNELS, *ALIASES])}")
    return kernel


class Default(NamedTuple):
    """The loss that is taken where none is named, and why."""

    name: str
    why: str


def default_kernel(plan: Parallelism, *, adapters: bool) -> Default:
    """The loss of the trainer that is commonly used for such a plan."""
    divided = plan.shards_weights and not is_one(plan.sharing)
    cut = not is_one(plan.tensor)
    if divided and cut:
        return Default("parallel", "as torchtitan keeps it where FSDP and tensor parallelism meet")
    if cut or not is_one(plan.pipeline) or not is_one(plan.expert):
        return Default("in-place", "as Megatron-LM keeps it")
    if divided and not adapters:
        return Default("plain", "as torchtitan keeps it with FSDP")
    return Default("plain-kept", "as Hugging Face transformers keeps it")


class Logits(NamedTuple):
    """What a device's head makes of one micro-batch, and of what.

    `numbers`: logits, `tokens` times `words`. `number_bytes`: of a logit as the head makes it. `width`: of the head's input.
    `trained`: whether the head has a gradient. `mixed`: whether they leave the model in fp32, as accelerate's mixed precision has it.
    """

    numbers: int
    tokens: int
    words: int
    width: int
    number_bytes: int
    trained: bool
    mixed: bool = False


class LossBytes(NamedTuple):
    """Bytes of a loss: kept between its forward and backward pass, live at its peak, and what an allocator reserves for that."""

    kept: int
    live: int
    reserved: int


def loss_bytes(name: str, logits: Logits) -> LossBytes:
    """Bytes that one device needs for the loss of one micro-batch, beside the gradients that are kept anyway.

    `name`: of a kernel in `KERNELS`. Each figure is that of the kernel's own arrays, as they are recorded in
    tests/oracle/losses.jsonl; arrays of one number a token are left out.

    Example:
        >>> loss_bytes("plain", Logits(numbers=1000, tokens=10, words=100, width=8, number_bytes=2, trained=True))
        LossBytes(kept=4000, live=12000, reserved=14000)
    """
    n, a = logits.numbers, logits.number_bytes  # logits, bytes of one as the head makes it
    upcast = a * (a < 4)  # beside their copy in fp32, where they are not fp32 already
    match name:
        case "plain":
            return LossBytes(4 * n, 12 * n, (12 + upcast) * n)
        case "plain-kept":
            held = 4 if logits.mixed else a
            return LossBytes((4 + held) * n, (12 + held) * n, (12 + held + (upcast if logits.mixed else 0)) * n)
        case "hf-old":
            return LossBytes(8 * n, 16 * n, (16 + upcast) * n)
        case "bf16":
            return LossBytes(a * n, 3 * a * n, 3 * a * n)
        case "parallel":
            return LossBytes(4 * n, 16 * n, (16 + upcast) * n)
        case "in-place":
            return LossBytes(4 * n, (4 + upcast) * n, (4 + upcast) * n)
        case "one-kernel" | "compiled":
            return LossBytes(a * n, 2 * a * n, 2 * a * n)
        case "chunked":
            peak = (4 + a) * n + ceil_div(8 * n, CHUNKS)
            return LossBytes((4 + a) * n, peak, peak)
        case "chunked-compiled":
            peak = a * n + ceil_div(a * n, CHUNKS) + _head_again(logits)
            return LossBytes(a * n, peak, peak)
        case "chunked-kept":
            return _chunked_kept(n, upcast, trained=logits.trained)
        case "chunked-recomputed":
            again = _head_again(logits)
            return LossBytes(0, ceil_div(12 * n, CHUNKS) + again, ceil_div((12 + upcast) * n, CHUNKS) + again)
        case "fused-linear":
            return _fused_linear(logits)
        case _:
            raise AssertionError(name)


def scoring_bytes(kernel: str, logits: Logits) -> int:
    """Bytes of a forward pass that ends in log-probabilities, without gradients: the arrays of a loss's forward pass.

    Plain cross-entropy has the logits in fp32 and their logarithms of probabilities at once, 8 bytes each, and transformers' own
    the logits in the output beside them; kernels that go through the tokens in pieces have a piece of those.

    Example:
        >>> scoring_bytes("plain", Logits(numbers=1000, tokens=10, words=100, width=8, number_bytes=2, trained=False))
        8000
    """
    n, a = logits.numbers, logits.number_bytes  # logits, bytes of one as the head makes it
    match kernel:
        case "plain" | "parallel" | "chunked-kept":
            return 8 * n
        case "plain-kept":
            return (8 + a) * n
        case "hf-old":
            return 12 * n
        case "bf16":
            return 2 * a * n
        case "chunked" | "chunked-compiled":
            return a * n + ceil_div(8 * n, CHUNKS)
        case "chunked-recomputed":
            return ceil_div((8 + a) * n, CHUNKS)
        case "one-kernel" | "compiled":
            return a * n
        case _:  # those that work in place, and pieces of head and loss at once
            return loss_bytes(kernel, logits._replace(trained=False)).live


def _head_again(logits: Logits) -> int:
    """Bytes of a piece's own gradient of the head, beside the sum of those before it."""
    return logits.number_bytes * logits.words * logits.width if logits.trained else 0


def least_live_bytes(name: str, logits: Logits) -> int:
    """Bytes that a loss has live at its peak, at the least: of transformers' own, by a trainer that lets the model's output go.

    transformers' `Trainer` drops the logits in the output when it has the loss, before the backward pass: then log-probabilities and
    two gradients are live, 4 bytes each. A loop of one's own that still refers to the output keeps them (`LossBytes.live`). A compiler may
    write gradients where the logits were.
    """
    if name in OF_TRANSFORMERS:
        return 12 * logits.numbers
    taken = loss_bytes(name, logits)
    return taken.kept if name in COMPILED else taken.live


def _chunked_kept(n: int, upcast: int, *, trained: bool) -> LossBytes:
    """litgpt's: where the head is in pieces, too, a gradient is padded and cast; of whole logits, those of pieces are joined, and padded."""
    if trained:  # of several sequences
        return LossBytes(8 * n, 12 * n, (16 + upcast) * n)
    return LossBytes(8 * n, 8 * n + ceil_div(8 * n, PIECES), 8 * n + ceil_div((8 + upcast) * n, PIECES))


def _fused_linear(logits: Logits) -> LossBytes:
    """Liger's: the gradients of the head and of its input are made in the forward pass, a piece of the tokens at a time.

    A piece is the power of two that is next to tokens/⌈V/d⌉, so that its logits are about as large as the head's input. The head's
    gradient is summed in place in 16 bits (on GPUs since Ampere); in fp32 each piece's product is an array beside it.
    """
    a, tokens, words, width = logits.number_bytes, logits.tokens, logits.words, logits.width
    piece = minimum(power_of_two(ceil_div(tokens, ceil_div(words, width))), tokens)
    of_head = a * words * width if logits.trained else 0
    kept = of_head + a * tokens * width
    beside = of_head if a == 4 else 0
    peak = kept + a * piece * words + beside
    return LossBytes(kept, peak, peak)
