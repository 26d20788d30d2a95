"""Records what a Llama layer saves for its backward pass under a policy, eager and compiled, and what DTensor has whole at once.

`python tests/oracle/record_policies.py > tests/oracle/policies.jsonl` needs `torch` 2.13.0; it knows nothing of tscale. Each line has the
shape of a layer, batch and length, all in bf16, and one of

- `policy` (`none`, `full`, or `op`: torchtitan's, that saves attention and every second product), whether torch.compile ran it, how its
  norms are written, and `bytes`: of the distinct storages alive between the passes, beside parameters and the layer's input and output.
  The compiled ones are what AOTAutograd's partitioner hands from one pass to the other, with no code made of it.
- `loss`: cross-entropy of logits brought to fp32, compiled: the arrays that it saves, one format and shape a key.
- `devices`: the layer by tensor parallelism, cut along the sequence in between, by DTensor with torchtitan's plan and computed again whole:
  `whole`: arrays of the whole width and length alive at the peak of the backward pass, `peak`: bytes then, beyond those before it.
"""

# mypy: ignore-errors
# torch is installed only where this is run
from __future__ import annotations

import json
import sys
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.tensor import DTensor, Replicate, Shard, init_device_mesh
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.nn import functional
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

ATTENTIONS = {
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
}
SMALL = 256
"""Bytes under which a storage is passed over."""


class Storages(TorchDispatchMode):
    """Counts the bytes of storages that are alive, and what they were made as."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = self.made = 0
        self.alive: dict[int, Any] = {}
        self.shapes: dict[int, tuple[tuple[int, ...], int]] = {}
        self.at_peak: list[tuple[tuple[int, ...], int]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        if any(one is DTensor for one in types):
            return NotImplemented
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        result = function(*args, **(kwargs or {}))
        for t in tree_leaves(result):
            if (
                isinstance(t, torch.Tensor)
                and not isinstance(t, FakeTensor)
                and t.untyped_storage()._cdata not in given
            ):
                self.note(t)
        return result

    def note(self, tensor: torch.Tensor) -> None:
        """A storage that is new."""
        storage = tensor.untyped_storage()
        known = self.alive.get(storage._cdata)
        if (known is not None and known() is storage) or storage.nbytes() < SMALL:
            return
        self.alive[storage._cdata] = weakref.ref(storage)
        self.made += 1
        self.live += storage.nbytes()
        self.shapes[self.made] = (tuple(tensor.shape), storage.nbytes())
        if self.live > self.peak:
            self.peak, self.at_peak = self.live, list(self.shapes.values())
        weakref.finalize(storage, self.gone, self.made, storage.nbytes())

    def gone(self, number: int, size: int) -> None:
        """A storage that is let go."""
        self.live -= size
        self.shapes.pop(number, None)


class Norm(nn.Module):
    """An rmsnorm, as transformers and torchtitan write it, or by torch's own function."""

    def __init__(self, d: int, way: str) -> None:
        super().__init__()
        self.weight, self.way = nn.Parameter(torch.ones(d)), way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.way == "composite":
            return functional.rms_norm(x, x.shape[-1:], self.weight, 1e-5)
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).type_as(x) * self.weight


class Attention(nn.Module):
    """Grouped queries, without positions, by torch's own flash kernel."""

    def __init__(self, d: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.width = d // heads
        self.wq, self.wo = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.wk, self.wv = (nn.Linear(d, kv_heads * self.width, bias=False) for _ in "kv")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        q, k, v = (part(x).view(batch, length, -1, self.width).transpose(1, 2) for part in (self.wq, self.wk, self.wv))
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])
        return self.wo(out.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, d: int, d_ff: int) -> None:
        super().__init__()
        self.w1, self.w3 = nn.Linear(d, d_ff, bias=False), nn.Linear(d, d_ff, bias=False)
        self.w2 = nn.Linear(d_ff, d, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w2(functional.silu(self.w1(x)) * self.w3(x))


class Layer(nn.Module):
    """A layer of Llama."""

    def __init__(self, shape: dict[str, int], norms: str) -> None:
        super().__init__()
        d = shape["d_model"]
        self.attention = Attention(d, shape["heads"], shape["kv_heads"])
        self.feed_forward = FeedForward(d, shape["d_ff"])
        self.attention_norm, self.ffn_norm = Norm(d, norms), Norm(d, norms)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x + self.attention(self.attention_norm(x))
        return h + self.feed_forward(self.ffn_norm(h))


def every_second_product():  # noqa: ANN201
    """torchtitan's policy of selective activation checkpointing, op."""
    counts: dict[str, int] = defaultdict(int)

    def policy(context, function, *args, **kwargs):  # noqa: ANN001, ANN002, ANN003, ANN202
        saved = function in ATTENTIONS
        if function == torch.ops.aten.mm.default:
            key = "again" if context.is_recompute else "forward"
            counts[key] += 1
            saved = counts[key] % 2 == 1
        return CheckpointPolicy.MUST_SAVE if saved else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)


def under(policy: str, shape: dict[str, int], norms: str, *, compiled: bool) -> nn.Module:
    """A layer under a policy."""
    layer: nn.Module = Layer(shape, norms).bfloat16()
    if policy == "op":
        layer = checkpoint_wrapper(layer, context_fn=every_second_product, preserve_rng_state=False)
    elif policy == "full":
        layer = checkpoint_wrapper(layer, preserve_rng_state=False)
    if compiled:
        torch._dynamo.reset()
        layer = torch.compile(layer, fullgraph=True, backend="aot_eager_decomp_partition")
    return layer


def saved(layer: nn.Module, shape: dict[str, int], *, compiled: bool) -> int:
    """Bytes that a layer keeps between its passes, beside its parameters, its input and its output."""
    x = torch.randn(shape["batch"], shape["length"], shape["d_model"]).bfloat16().requires_grad_()
    layer(x * 1).sum().backward()
    given = x * 1
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    storages = Storages()
    if compiled:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = layer(given)
        out_of = {t.untyped_storage().data_ptr() for t in (*layer.parameters(), given, out)}
        return sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in out_of and t.numel() > SMALL)
    with storages:
        out = layer(given)
    return storages.live - out.untyped_storage().nbytes()


SHAPES = (
    {"d_model": 512, "heads": 8, "kv_heads": 2, "d_ff": 1792, "batch": 2, "length": 512},
    {"d_model": 384, "heads": 6, "kv_heads": 6, "d_ff": 1536, "batch": 1, "length": 768},
)
WAYS = (
    ("none", "eager", False),
    ("none", "composite", False),
    ("op", "eager", False),
    ("op", "eager", True),
    ("full", "eager", False),
)


def record_policies() -> None:
    """One line for each shape and way."""
    for shape in SHAPES:
        for policy, norms, compiled in WAYS:
            size = saved(under(policy, shape, norms, compiled=compiled), shape, compiled=compiled)
            print(json.dumps({**shape, "policy": policy, "norms": norms, "compiled": compiled, "bytes": size}))


def record_loss() -> None:
    """What a compiled cross-entropy saves."""

    def loss(logits: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits.float(), words, reduction="sum")

    logits, words = torch.randn(64, 512).bfloat16().requires_grad_(), torch.randint(0, 512, (64,))
    kept: Counter[str] = Counter()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"] += 1
        return tensor

    torch._dynamo.reset()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        torch.compile(loss, backend="aot_eager_decomp_partition")(logits, words)
    print(json.dumps({"loss": "compiled", "tokens": 64, "vocabulary": 512, "kept": dict(sorted(kept.items()))}))


def record_tensor_parallel(devices: int, shape: dict[str, int]) -> None:
    """What DTensor has at the peak of a layer's backward pass."""
    mesh = init_device_mesh("cpu", (devices,))
    whole = {"input_layouts": (Shard(1),), "desired_input_layouts": (Replicate(),)}
    plan = {
        "attention_norm": SequenceParallel(), "attention": PrepareModuleInput(**whole), "attention.wq": ColwiseParallel(),
        "attention.wk": ColwiseParallel(), "attention.wv": ColwiseParallel(),
        "attention.wo": RowwiseParallel(output_layouts=Shard(1)), "ffn_norm": SequenceParallel(),
        "feed_forward": PrepareModuleInput(**whole), "feed_forward.w1": ColwiseParallel(),
        "feed_forward.w2": RowwiseParallel(output_layouts=Shard(1)), "feed_forward.w3": ColwiseParallel(),
    }  # fmt: skip
    layer = parallelize_module(Layer(shape, "eager").bfloat16(), mesh, plan)
    layer = checkpoint_wrapper(layer, preserve_rng_state=False)
    x = torch.randn(shape["batch"], shape["length"] // devices, shape["d_model"]).bfloat16().requires_grad_()
    storages = Storages()
    with storages:
        out = layer(x)
        before, storages.peak = storages.live, storages.live
        out.backward(torch.ones_like(out))
    numbers = shape["batch"] * shape["length"] * shape["d_model"]
    arrays = sum(size == 2 * numbers for _, size in storages.at_peak)
    print(json.dumps({**shape, "devices": devices, "whole": arrays, "peak": storages.peak - before}))


def lines() -> Iterator[None]:
    """All of the file."""
    torch.manual_seed(0)
    yield record_policies()
    yield record_loss()
    dist.init_process_group("fake", rank=0, world_size=8, store=FakeStore())
    for shape in (
        {"d_model": 1024, "heads": 128, "kv_heads": 8, "d_ff": 3328, "batch": 4, "length": 1024},
        {"d_model": 1024, "heads": 64, "kv_heads": 8, "d_ff": 3584, "batch": 16, "length": 256},
    ):
        yield record_tensor_parallel(8, shape)


if __name__ == "__main__":
    for _ in lines():
        sys.stdout.flush()
