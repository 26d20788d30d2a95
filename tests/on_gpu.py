"""Measures the GPU of this machine with plain PyTorch, and what is predicted of it: `python -m tests.on_gpu FOLDER`.

Needs `torch` and one NVIDIA GPU of 40 GB or more; nothing is downloaded, weights are random. It takes a few minutes and writes five tables,
each row beside what is predicted of it by the calibrations as they are shipped, before any is fitted to it:

- products.csv: products of matrices by size, in bf16: seconds, and their share of the dense peak;
- attention.csv: causal attention by length, forward and forward with backward: seconds, share of the peak, and the share that the
  kernel is taken to reach (configs/calibrations/kernels.yaml);
- serving.csv: a prefill and a step of decoding of a stack in the shape of `MODEL`, decoding replayed as a CUDA graph, by batch: seconds,
  the bound of `tscale serve`, and its prediction, which is of an engine;
- training_memory.csv: peaks of a training step by loss and by what is computed again, in the columns of configs/measured/training_memory.csv;
- published_layouts.csv: tokens/s of these steps, in the columns of configs/measured/published_layouts.csv.

`tscale accuracy` judges the last two. Rows that are to be kept go into configs/measured/ with the chip, the version of torch and the day.
"""

# mypy: ignore-errors
# torch is installed only where this is run
from __future__ import annotations

import csv
import functools
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

import tscale
from tscale.catalogue.calibrations import family_of

try:
    import torch
    from torch import nn
    from torch.nn import functional
    from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts
except ImportError:
    torch = None

MODEL: Final = "llama-3.2-1b"
LAYERS, WIDTH, INNER, HEADS, KV_HEADS, HEAD, WORDS = 16, 2048, 8192, 32, 8, 64, 128_256
"""Its shape, as configs/models/llama-3.2-1b.yaml has it: head tied to the table."""
PRODUCTS: Final = (*product((16, 64, 256, 1024, 4096, 16_384), ((4096, 4096), (14_336, 4096), (8192, 28_672))),)
"""Rows, and columns and depth, of the products."""
LENGTHS: Final = (512, 2048, 8192, 32_768)
ATTENDED: Final = 32_768
"""Tokens of the batch of each attention: as many sequences as make them."""
BATCHES: Final = (1, 4, 16, 64, 256)
CONTEXT: Final = 1024
STEPS: Final = (*product((2048, 8192), ("none", "op", "full"), ("plain", "compiled", "chunked")),)
"""Tokens of a micro-batch of one sequence, what is computed again, and the loss."""
CHUNKS: Final = 8
ROUNDS: Final = 20


class Cache(NamedTuple):
    """Keys and values of a layer, (batch, heads, length, head_dim), and the position that is written next."""

    keys: Any
    values: Any
    position: Any


def rotated(x: Any, angles: Any) -> Any:
    """Rotary embeddings of (batch, heads, length, head_dim), in fp32 as models have them."""
    one, two = x.float().chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((one * cos - two * sin, two * cos + one * sin), dim=-1).type_as(x)


def stack_of() -> Any:
    """The stack: table, layers, last norm; the head is the table. Its classes are made here, so that this file is read without torch."""

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            linear = functools.partial(nn.Linear, bias=False)
            self.norm, self.second = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
            self.q, self.out = linear(WIDTH, HEADS * HEAD), linear(HEADS * HEAD, WIDTH)
            self.k, self.v = linear(WIDTH, KV_HEADS * HEAD), linear(WIDTH, KV_HEADS * HEAD)
            self.gate, self.up, self.down = linear(WIDTH, INNER), linear(WIDTH, INNER), linear(INNER, WIDTH)

        def forward(self, x: Any, angles: Any, cache: Cache | None = None) -> Any:
            normed = self.norm(x)
            q, k, v = (each(normed).unflatten(-1, (-1, HEAD)).transpose(1, 2) for each in (self.q, self.k, self.v))
            q, k = rotated(q, angles), rotated(k, angles)
            if cache is not None and x.shape[1] == 1:
                cache.keys.index_copy_(2, cache.position, k)
                cache.values.index_copy_(2, cache.position, v)
                k, v = cache.keys, cache.values
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=x.shape[1] > 1, enable_gqa=True)
            x = x + self.out(mixed.transpose(1, 2).flatten(2))
            normed = self.second(x)
            return x + self.down(functional.silu(self.gate(normed)) * self.up(normed))

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(WORDS, WIDTH)
            self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
            self.norm = nn.RMSNorm(WIDTH)

        def forward(self, words: Any, angles: Any, caches: list[Cache] | None = None, again: str = "none") -> Any:
            """What goes into the head: (batch, length, width)."""
            x = self.table(words)
            for index, each in enumerate(self.layers):
                if again == "none":
                    x = each(x, angles, caches[index] if caches else None)
                else:
                    contexts = {"context_fn": every_second} if again == "op" else {}
                    x = checkpoint(each, x, angles, use_reentrant=False, **contexts)
            return self.norm(x)

    return Stack().to("cuda", torch.bfloat16)


def every_second() -> Any:
    """Computes every second product again, and keeps the others and attention: torchtitan's policy `op`."""
    seen = 0

    def policy(context: Any, operation: Any, *_: Any, **__: Any) -> Any:
        nonlocal seen
        if operation is torch.ops.aten.mm.default:
            seen += not context.is_recompute
            return CheckpointPolicy.MUST_SAVE if seen % 2 else CheckpointPolicy.PREFER_RECOMPUTE
        kept = "attention" in str(operation)
        return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)


def angles_of(positions: Any) -> Any:
    """Angles of rotary embeddings by position: (length, head_dim/2)."""
    each = 500_000.0 ** (-torch.arange(0, HEAD, 2, device=positions.device).float() / HEAD)
    return positions.float()[:, None] * each


def loss_of(name: str) -> Callable[[Any, Any, Any], Any]:
    """The loss by its name in `tscale.core.loss_kernels`, of the head's input, the head's matrix and the next words."""

    def of_logits(logits: Any, words: Any) -> Any:
        return functional.cross_entropy(logits.float().flatten(0, 1), words.flatten())

    if name == "compiled":
        of_logits = torch.compile(of_logits)
    if name != "chunked":
        return lambda x, head, words: of_logits(functional.linear(x, head), words)

    def in_chunks(x: Any, head: Any, words: Any) -> Any:
        logits = functional.linear(x, head).chunk(CHUNKS, dim=1)
        each = words.chunk(CHUNKS, dim=1)
        return sum(of_logits(*pair) for pair in zip(logits, each, strict=True)) / CHUNKS

    return in_chunks


def seconds_of(run: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """The median of rounds, by events of the device, after three that are not counted."""
    times = []
    for index in range(rounds + 3):
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record()
        run()
        ended.record()
        ended.synchronize()
        if index >= 3:
            times.append(begun.elapsed_time(ended) / 1000)
    return statistics.median(times)


def random(*shape: int, grad: bool = False) -> Any:
    """Random numbers in bf16 on the device."""
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16, requires_grad=grad)


def products(peak: float) -> Iterator[dict[str, Any]]:
    """Products of matrices by size."""
    for m, (n, k) in PRODUCTS:
        one, two = random(m, k), random(k, n)
        seconds = seconds_of(functools.partial(torch.matmul, one, two))
        yield {"m": m, "n": n, "k": k, "seconds": seconds, "of_peak": 2 * m * n * k / seconds / peak}


def attention(peak: float, assumed: float) -> Iterator[dict[str, Any]]:
    """Causal attention by length: of 32 heads of 128 with 8 of keys, the pairs that a causal query sees counted."""
    for length in LENGTHS:
        batch = ATTENDED // length
        forward = 4 * batch * 32 * 128 * length * (length + 1) / 2
        for passes, seconds, flops in zip(
            ("forward", "forward and backward"), attended(batch, length), (forward, 3.5 * forward), strict=True
        ):
            yield {
                "batch": batch, "length": length, "passes": passes, "seconds": seconds,
                "of_peak": flops / seconds / peak, "assumed_of_peak": assumed,
            }  # fmt: skip


def attended(batch: int, length: int) -> tuple[float, float]:
    """Seconds of attention, forward alone and with its backward pass."""
    q = random(batch, 32, length, 128, grad=True)
    k, v = (random(batch, 8, length, 128, grad=True) for _ in range(2))
    attend = functools.partial(functional.scaled_dot_product_attention, q, k, v, is_causal=True, enable_gqa=True)
    given = random(*q.shape)
    return seconds_of(attend), seconds_of(lambda: attend().backward(given))


def serving() -> Iterator[dict[str, Any]]:
    """A prefill of a batch of prompts, and a step of decoding behind them, beside what `tscale serve` says."""
    stack = stack_of().requires_grad_(requires_grad=False)
    for batch in BATCHES:
        said = tscale.serve(MODEL, gpu="here", batch=batch, context=CONTEXT)
        same = {"batch": batch, "context": CONTEXT}
        yield {
            "phase": "prefill", **same, "seconds": prefill(stack, batch), "bound_seconds": said["prefill_seconds"],
        }  # fmt: skip
        yield {
            "phase": "decode", **same, "seconds": decode(stack, batch), "bound_seconds": said["seconds_per_token_first"],
            "predicted_seconds": said["tpot_seconds"]["middle"],
        }  # fmt: skip


def prefill(stack: Any, batch: int) -> float:
    """Seconds of a batch of prompts to their first words."""
    words = torch.randint(WORDS, (batch, CONTEXT), device="cuda")
    angles = angles_of(torch.arange(CONTEXT, device="cuda"))
    return seconds_of(lambda: functional.linear(stack(words, angles)[:, -1], stack.table.weight), 5)


def decode(stack: Any, batch: int) -> float:
    """Seconds of a step with full caches, replayed as a graph."""
    last = torch.full((1,), CONTEXT - 1, device="cuda")
    shape = (batch, KV_HEADS, CONTEXT, HEAD)
    caches = [Cache(random(*shape), random(*shape), last) for _ in range(LAYERS)]
    words, angles = torch.randint(WORDS, (batch, 1), device="cuda"), angles_of(last)

    def step() -> None:
        functional.linear(stack(words, angles, caches)[:, -1], stack.table.weight).argmax(-1)

    seconds_of(step, 1)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return seconds_of(graph.replay)


class Measured(NamedTuple):
    """A training step: its seconds, and the peak that the allocator reserved, in bytes."""

    seconds: float
    reserved: int


def step_of(tokens: int, again: str, loss: str) -> Measured:
    """Steps of AdamW on one sequence, weights and states in bf16."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    stack = stack_of()
    optimizer = torch.optim.AdamW(stack.parameters(), fused=True)
    words = torch.randint(WORDS, (1, tokens + 1), device="cuda")
    angles = angles_of(torch.arange(tokens, device="cuda"))
    lost = loss_of(loss)

    def step() -> None:
        lost(stack(words[:, :-1], angles, again=again), stack.table.weight, words[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = seconds_of(step, 5)
    return Measured(seconds, torch.cuda.max_memory_reserved())


def training(gpu: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows of memory and of speed of each training step that the device has room for."""
    source = f"tests/on_gpu.py torch {torch.__version__}"
    gib = torch.cuda.mem_get_info()[1] / 2**30
    for tokens, again, loss in STEPS:
        try:
            found = step_of(tokens, again, loss)
        except torch.OutOfMemoryError:
            continue
        same = {"source": source, "model": MODEL, "gpus": 1, "context": tokens, "micro_batch": 1, "recompute": again}
        yield (
            {
                **same, "gpu_gib": f"{gib:.1f}", "precision": "pure-bf16", "optimizer": "adamw", "loss": loss,
                "what": "peak_reserved", "value": found.reserved / 2**30, "unit": "GiB",
            },
            {**same, "source": f"{source}, {loss} loss", "gpu": gpu, "batch": 1, "tensor": 1, "pipeline": 1, "precision": "bf16", "tokens_per_second_per_gpu": tokens / found.seconds},
        )  # fmt: skip


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes rows as CSV, by the columns of any of them."""
    every = list(rows)
    columns = list(dict.fromkeys(column for row in every for column in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(every)
    print(f"{path}: {len(every)} rows")


def why_not() -> str | None:
    """Why nothing can be measured here; None where it can."""
    if torch is None:
        return "torch is not installed here, so that nothing is measured: pip install torch on a machine with a GPU"
    if not torch.cuda.is_available():
        return "torch sees no GPU here, so that nothing is measured: run it on a machine with one"
    return None


def main(arguments: list[str]) -> int:
    """Measures, and writes the tables into a folder. Exit code 1 where nothing can be measured."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m tests.on_gpu FOLDER", file=sys.stderr)
        return 2
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 1
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    gpu = tscale.hardware("here")
    peak = float(gpu.dense_tflops.bf16) * 1e12
    family = family_of(gpu.name)
    write(folder / "products.csv", products(peak))
    write(folder / "attention.csv", attention(peak, family.attention[family.usual]))
    write(folder / "serving.csv", serving())
    memory, speed = zip(*training(gpu.name), strict=True)
    write(folder / "training_memory.csv", memory)
    write(folder / "published_layouts.csv", speed)
    for name in ("training_memory.csv", "published_layouts.csv"):
        print(tscale.accuracy(folder / name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
