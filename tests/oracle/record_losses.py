"""Records which arrays a loss makes and lets go, from the head's product to the end of its own backward pass.

`python tests/oracle/record_losses.py > tests/oracle/losses.jsonl` needs `torch` 2.13.0, `transformers` 5.23.0, `accelerate` 1.15.0,
`peft` 0.21.2, `triton`, and on PYTHONPATH `liger_kernel` 0.8.5, `megatron-core` 0.16.1, flash-attn's `flash_attn/ops/triton/cross_entropy.py` (2.8.3) and torchtune's
`ce_chunked_output_loss.py` (0.6.1) and litgpt's `utils.py` (0.4.3) as `litgpt_utils.py`, the last three as files alone. It knows nothing of tscale. The libraries' own Python code makes the
arrays; kernels that need a GPU are left out, so that theirs are never filled.

Each line holds a loss, whether the head is trained, a batch, a length, a number format, and `events` in the order in which they came: `[n, bytes,
shape]` is storage n as it is made, `[n]` as it is let go, `"backward"` the moment between the two passes. What stands before the
head's product (its input, the head, the words) is not among them. `mixed`: under bf16 autocast, with what leaves the model
brought to fp32, as accelerate does.

`trainer`: in a step of transformers' own `Trainer` on a small Llama with low-rank adapters, prepared by peft; only arrays as large as the logits.

The last lines are of whole small Llamas with low-rank adapters, `prepared` by peft as one of 4 bits or not, with each layer
computed again: the numbers of each format among the parameters, and what is alive between the two passes, one shape a key.
"""

# mypy: ignore-errors
# torch and the libraries are installed only where this is run
from __future__ import annotations

import contextlib
import json
import sys
import types
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensor
from torch.distributed.tensor import DTensor, Shard, init_device_mesh
from torch.distributed.tensor.parallel import loss_parallel
from torch.nn import functional
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
SHAPES = ((1, 96), (2, 160))
"""Batches and lengths."""
VOCABULARY, WIDTH, CHUNKS, PIECES = 512, 64, 8, 4
SMALL = 1024
"""Bytes under which an array is passed over: words, sums and losses of a few positions."""


class Storages(TorchDispatchMode):
    """Notes each storage that an operation makes, and when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.alive: dict[int, weakref.ref[Any]] = {}
        self.made = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        if any(one is DTensor for one in types):
            return NotImplemented  # the operation on what it stands for comes next
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in given:
                self.note(tensor)
        return result

    def note(self, tensor: torch.Tensor) -> None:
        """A storage that is new."""
        storage, number = tensor.untyped_storage(), self.made
        known = self.alive.get(storage._cdata)
        if (known is not None and known() is storage) or isinstance(tensor, FakeTensor) or storage.nbytes() < SMALL:
            return  # DTensor asks with fake ones how an operation's result will be divided
        self.made += 1
        self.alive[storage._cdata] = weakref.ref(storage)
        self.events.append(
            [number, storage.nbytes(), f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"]
        )
        weakref.finalize(storage, self.events.append, [number])


def plain(hidden, head, words):  # noqa: ANN001, ANN201
    """torchtitan's: upcast, log-softmax and negative log-likelihood; the logits are let go before the backward pass."""
    logits = functional.linear(hidden, head)
    return functional.cross_entropy(logits.flatten(0, 1).float(), words.flatten(0, 1)), None


def plain_kept(hidden, head, words):  # noqa: ANN001, ANN201
    """transformers' own function; the model returns the logits beside the loss."""
    from transformers.loss.loss_utils import ForCausalLMLoss

    logits = functional.linear(hidden, head)
    return ForCausalLMLoss(logits, words, head.shape[0]), logits


def hf_old(hidden, head, words):  # noqa: ANN001, ANN201
    """As transformers did up to 4.44: logits in fp32 in the output, and a shifted copy of them."""
    logits = functional.linear(hidden, head).float()
    shifted = logits[..., :-1, :].contiguous()
    loss = functional.cross_entropy(shifted.view(-1, head.shape[0]), words[..., 1:].contiguous().view(-1))
    return loss, logits


def bf16(hidden, head, words):  # noqa: ANN001, ANN201
    """Cross-entropy of the logits as they are."""
    return functional.cross_entropy(functional.linear(hidden, head).flatten(0, 1), words.flatten(0, 1)), None


def parallel(hidden, head, words):  # noqa: ANN001, ANN201
    """loss_parallel of torch: the vocabulary divided among two devices, of which this is one."""
    mesh = init_device_mesh("cpu", (2,))
    logits = DTensor.from_local(functional.linear(hidden, head), mesh, [Shard(-1)], run_check=False)
    return functional.cross_entropy(logits.flatten(0, 1).float(), words.flatten(0, 1)), None


def in_place(hidden, head, words):  # noqa: ANN001, ANN201
    """Megatron's: softmax and gradient in the array of the upcast logits."""
    from megatron.core.tensor_parallel.cross_entropy import vocab_parallel_cross_entropy

    return vocab_parallel_cross_entropy(functional.linear(hidden, head), words).mean(), None


def one_kernel(hidden, head, words):  # noqa: ANN001, ANN201
    """flash-attn's kernel, which keeps the logits and makes their gradient in their format."""
    logits = functional.linear(hidden, head).flatten(0, 1)
    losses, _ = FLASH.CrossEntropyLoss.apply(logits, words.flatten(0, 1))
    return losses.mean(), None


def chunked(hidden, head, words):  # noqa: ANN001, ANN201
    """torchtune's: the head and the upcast a piece of the sequence at a time."""
    from ce_chunked_output_loss import CEWithChunkedOutputLoss

    logits = [functional.linear(piece, head) for piece in hidden.chunk(CHUNKS, dim=1)]
    return CEWithChunkedOutputLoss(CHUNKS)(logits, words), logits


def chunked_kept(hidden, head, words):  # noqa: ANN001, ANN201
    """litgpt's, of logits that lightning has brought to fp32: pieces of them where the head is frozen, whole where it is trained."""
    from litgpt_utils import chunked_cross_entropy

    frozen = not head.requires_grad
    pieces = [functional.linear(piece, head).float() for piece in hidden.chunk(PIECES, dim=1)] if frozen else None
    logits = functional.linear(hidden, head).float() if pieces is None else pieces
    shifted = [*logits[:-1], logits[-1][..., :-1, :]] if frozen else logits[..., :-1, :]
    return chunked_cross_entropy(shifted, words[..., 1:]), logits


def chunked_recomputed(hidden, head, words):  # noqa: ANN001, ANN201
    """The head and the loss of each piece computed again in the backward pass."""

    def piece(one: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(functional.linear(one, head).flatten(0, 1).float(), labels.flatten())

    pieces = zip(hidden.chunk(CHUNKS, dim=1), words.chunk(CHUNKS, dim=1), strict=True)
    return sum(checkpoint(piece, *both, use_reentrant=False) for both in pieces), None


def fused_linear(hidden, head, words):  # noqa: ANN001, ANN201
    """Liger's: head, loss and the gradients of both in the forward pass, a piece at a time."""
    from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction

    return LigerFusedLinearCrossEntropyFunction.apply(hidden.flatten(0, 1), head, words.flatten())[0], None


LOSSES: dict[str, Callable[..., Any]] = {
    "plain": plain, "plain-kept": plain_kept, "hf-old": hf_old, "bf16": bf16, "parallel": parallel, "in-place": in_place,
    "one-kernel": one_kernel, "chunked": chunked, "chunked-kept": chunked_kept, "chunked-recomputed": chunked_recomputed, "fused-linear": fused_linear,
}  # fmt: skip


class Left:
    """A kernel that is left out."""

    def __getitem__(self, _grid: object) -> Callable[..., None]:
        return lambda *_arguments, **_named: None


def without_kernels() -> types.ModuleType:
    """flash-attn's file, with its kernels and Liger's left out, and devices that are none."""
    import liger_kernel.ops.fused_linear_cross_entropy as liger
    import megatron.core.parallel_state as megatron
    from flash_attn.ops.triton import cross_entropy as flash

    source = Path(liger.__file__).read_text(encoding="utf-8")  # a GPU since Ampere sums the head's gradient in place
    source = source.replace('device.type == "cuda"', 'device.type == "cpu"')
    exec(compile(source, liger.__file__, "exec"), liger.__dict__)  # noqa: S102 (the library's own text)
    torch.cuda.get_device_capability = lambda _device: (9, 0)
    liger.liger_cross_entropy_kernel = liger.element_mul_kernel = Left()
    flash.cross_entropy_fwd_kernel = flash.cross_entropy_bwd_kernel = Left()
    torch.cuda.device = lambda _index: contextlib.nullcontext()
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    megatron.initialize_model_parallel(tensor_model_parallel_size=2, create_gloo_process_groups=False)
    return flash


def events(name: str, batch: int, length: int, dtype: torch.dtype, *, trained: bool) -> list[Any]:
    """What one loss makes and lets go."""
    torch.manual_seed(0)
    hidden = torch.randn(batch, length, WIDTH, dtype=dtype, requires_grad=True)
    head = torch.randn(VOCABULARY, WIDTH, dtype=dtype, requires_grad=trained)
    words = torch.randint(VOCABULARY, (batch, length))
    with Storages() as seen, loss_parallel() if name == "parallel" else contextlib.nullcontext():
        loss, held = LOSSES[name](hidden, head, words)
        seen.events.append("backward")
        loss.backward()
        noted = list(seen.events)
    del held
    return noted


def mixed(hidden, head, words):  # noqa: ANN001, ANN201
    """plain-kept in accelerate's mixed precision."""
    from accelerate.utils.operations import convert_outputs_to_fp32

    def forward() -> dict[str, Any]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, logits = plain_kept(hidden, head, words)
        return {"loss": loss, "logits": logits}

    output = convert_outputs_to_fp32(forward)()
    return output["loss"], output


SMALL_LLAMA = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 160, "num_hidden_layers": 3}
SMALL_LLAMA |= {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False, "use_cache": False}


def small(*, prepared: bool) -> Any:
    """A small Llama with adapters."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(**SMALL_LLAMA)).to(torch.bfloat16)
    again = {"gradient_checkpointing_kwargs": {"use_reentrant": True}}
    if prepared:
        model.is_loaded_in_4bit = (
            True  # matrices of 4 bits are of a class of their own, which is not cast: here all are
        )
        model = prepare_model_for_kbit_training(model, **again)
        model.is_loaded_in_4bit = False  # or the Trainer counts parameters by bitsandbytes
    else:
        model.gradient_checkpointing_enable(**again)
        model.enable_input_require_grads()
    model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
    model.train()
    return model


def adapted(length: int, *, prepared: bool) -> dict[str, Any]:
    """A small Llama with adapters, as peft and accelerate run it: its parameters' formats, and what is alive after the loss."""
    from accelerate.utils.operations import convert_outputs_to_fp32

    config, model = SMALL_LLAMA, small(prepared=prepared)
    formats: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        kind = (
            f"{'adapters' if 'lora' in name else 'norms' if 'norm' in name else name.split('.')[-2]} {parameter.dtype}"
        )
        formats[kind] = formats.get(kind, 0) + parameter.numel()
    words = torch.randint(VOCABULARY, (1, length))

    def forward() -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model(input_ids=words, labels=words)

    with Storages() as seen:
        output = convert_outputs_to_fp32(forward)()
        alive = {event[0]: event for event in seen.events if len(event) == 3}
        for event in seen.events:
            if len(event) == 1:
                alive.pop(event[0], None)
    del output
    kept = Counter(event[2] for event in alive.values())
    return {**config, "prepared": prepared, "length": length, "parameters": formats, "kept": dict(sorted(kept.items()))}


def by_trainer(length: int) -> list[Any]:
    """What a step of transformers' Trainer makes and lets go, of arrays over the vocabulary."""
    import tempfile

    from transformers import Trainer, TrainingArguments

    recorded: list[Any] = []

    class Watched(Trainer):
        def training_step(self, *arguments: Any, **named: Any) -> Any:
            with Storages() as seen:
                result = super().training_step(*arguments, **named)
                recorded.extend(seen.events)
            return result

    words = torch.randint(VOCABULARY, (length,))
    with tempfile.TemporaryDirectory() as folder:
        given = {"output_dir": folder, "max_steps": 1, "per_device_train_batch_size": 1, "report_to": []}
        given |= {
            "bf16": True,
            "use_cpu": True,
            "gradient_checkpointing": True,
            "save_strategy": "no",
            "disable_tqdm": True,
        }
        data = [{"input_ids": words, "labels": words}]
        Watched(model=small(prepared=True), args=TrainingArguments(**given), train_dataset=data).train()
    large = {
        event[0]
        for event in recorded
        if len(event) == 3 and f"{VOCABULARY}]" in event[2] and event[1] >= 2 * length * VOCABULARY
    }
    return [event for event in recorded if event[0] in large]


def cases() -> Iterator[tuple[str, int, int, str, bool]]:
    """Every loss in both formats, both shapes, with a head that is trained and one that is frozen."""
    for name in LOSSES:
        for dtype in DTYPES:
            for batch, length in SHAPES:
                for trained in (True, False):
                    yield name, batch, length, dtype, trained


if __name__ == "__main__":
    FLASH = without_kernels()
    for name, batch, length, dtype, trained in cases():
        what = {"loss": name, "trained": trained, "batch": batch, "length": length, "dtype": dtype}
        what |= {"vocabulary": VOCABULARY, "width": WIDTH}
        made = events(name, batch, length, DTYPES[dtype], trained=trained)
        print(json.dumps({**what, "events": made}), file=sys.stdout)
    LOSSES["plain-kept"] = mixed
    for batch, length in SHAPES:
        what = {
            "loss": "plain-kept",
            "mixed": True,
            "trained": False,
            "batch": batch,
            "length": length,
            "dtype": "bf16",
        }
        made = events("plain-kept", batch, length, torch.bfloat16, trained=False)
        print(json.dumps({**what, "vocabulary": VOCABULARY, "width": WIDTH, "events": made}))
    what = {"loss": "plain-kept", "trainer": True, "trained": False, "batch": 1, "length": 96, "dtype": "bf16"}
    print(json.dumps({**what, "vocabulary": VOCABULARY, "width": WIDTH, "events": by_trainer(96)}))
    for prepared in (False, True):
        print(json.dumps(adapted(96, prepared=prepared)))
