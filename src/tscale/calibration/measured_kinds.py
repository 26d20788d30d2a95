"""The kinds of table of measured runs: by which columns each is known, what it needs, and who judges its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, NamedTuple, cast

from tscale.calibration.rows import Judged
from tscale.errors import SpecError, nearest, shown

Judge = Callable[[Mapping[str, str]], list[Judged]]


class Kind(NamedTuple):
    """A kind of table: its name, the columns that only it has (any of them tells), those it needs, others that it reads."""

    name: str
    tells: tuple[str, ...]
    needs: tuple[str, ...]
    reads: tuple[str, ...]
    module: str

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        return (*self.tells, *self.needs, *self.reads)

    def judge(self) -> Judge:
        """The function that judges a row; only the kind that a table is of is loaded."""
        return cast("Judge", import_module(f"tscale.calibration.{self.module}").judge)


KINDS: Final = (
    Kind(
        "training",
        ("step_ms", "tokens_per_second_per_gpu"),
        ("gpu", "gpus", "batch", "micro_batch", "context", "tensor", "pipeline", "precision", "recompute"),
        (
            "layers", "d_model", "heads", "d_ff", "vocabulary", "data", "schedule", "attention", "stack", "source", "model",
            "interleave", "context_parallel", "expert", "expert_tensor", "sharding", "passes", "queued", "dispatcher", "rank", "targets",
            "mtp", "head", "base",
        ),
        "training_rows",
    ),
    Kind(
        "serving",
        ("ttft_ms", "tpot_ms", "latency_ms", "output_tokens_per_s"),
        ("engine", "model", "gpu", "isl", "osl", "concurrency"),
        (
            "mode", "engine_version", "measured", "weights", "experts_weights", "gpus", "tensor",
            "attention_data", "expert_tensor", "expert_parallel", "prefill_batch", "prefill_workers", "prefill_tensor",
            "prefill_attention_data", "prefill_expert_parallel", "decode_batch", "decode_workers", "decode_tensor",
            "decode_attention_data", "decode_expert_parallel", "pipeline", "replicas",
            "chunk", "poll_steps", "gather_steps", "gather_tokens", "balance_steps", "places",
            "cold_tokens", "graphs", "drawn", "cache", "cache_memory", "node", "source", "requests", "at_once",
        ),
        "serving_rows",
    ),
    Kind(
        "memory",
        ("what",),
        ("model", "value", "unit"),
        (
            "source", "gpu_gib", "gpus", "context", "micro_batch", "tensor", "pipeline", "interleave", "context_parallel",
            "data", "zero", "precision", "products", "recompute", "kernels", "optimizer", "optimizer_in_backward", "method",
            "loss", "offload", "note",
        ),
        "memory_judged",
    ),
)  # fmt: skip


def kind_of(columns: tuple[str, ...], where: str) -> tuple[Kind, tuple[str, ...]]:
    """The kind of a table, and its columns that are not read. Raises `SpecError` where it is none, or a column is missing."""
    found = next((kind for kind in KINDS if set(kind.tells) & set(columns)), None)
    if found is None:
        told = "; ".join(f"{kind.name} by {' or '.join(kind.tells)}" for kind in KINDS)
        raise SpecError(f"no column says what was measured: {told}", where=where)
    missing = [name for name in found.needs if name not in columns]
    if missing:
        others = [name for name in columns if name not in found.columns]
        close = nearest(missing[0], others)
        hint = f"; not read: {', '.join(others[:12])}" if others else ""
        if close.startswith("did"):
            hint = f": {close}"
        raise SpecError(f"a table of {found.name} needs {_listed(missing)}{hint}", where=where)
    return found, tuple(name for name in columns if name not in found.columns)


def _listed(names: list[str]) -> str:
    texts = [shown(name) for name in names]
    return f"the column {texts[0]}" if len(texts) == 1 else f"the columns {', '.join(texts[:-1])} and {texts[-1]}"
