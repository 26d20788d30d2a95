"""A training layout in words: as people name its degrees, as keys of JSON, and as the options of `tscale train`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from shlex import join
from typing import Final

from tscale.calibration.training_case import CURRENT
from tscale.core.metric import Data
from tscale.core.parallelism import Parallelism
from tscale.estimates.parallel_data import parallel_data
from tscale.estimates.plan.search import Ask, Best
from tscale.planning.layouts import Layout

_DEGREES: Final = (
    ("TP", "tensor"),
    ("CP", "context"),
    ("PP", "pipeline"),
    ("VP", "interleave"),
    ("DP", "data"),
    ("EP", "expert"),
)


def layout_text(layout: Layout) -> str:
    """The degrees above 1 and what else is not usual: `TP 8 (SP), PP 16, DP 128, ZeRO 1, recompute full`."""
    return ", ".join(text for _, text in layout_words(layout))


def layout_words(layout: Layout) -> Iterator[tuple[str, str]]:
    """Each part of a layout that is not usual: its key, as in JSON, and how it reads."""
    plan = layout.plan
    for name, field in _DEGREES:
        if getattr(plan, field) > 1:
            yield field, f"{name} {getattr(plan, field)}" + (" (SP)" if name == "TP" and plan.sequence else "")
    if plan.expert_cut > 1:
        yield "expert_tensor", f"ETP {plan.expert_cut}"
    if plan.stages:
        yield "stages", f"stages {stages_text(plan.stages)}"
    if plan.schedule:
        yield "schedule", plan.schedule
    if plan.zero:
        yield ("zero" if plan.shards is None else "shards"), _zero_text(plan)
    yield "micro_batch", f"micro-batch {layout.micro_batch}"
    if layout.recompute != "none":
        yield "recompute", f"recompute {layout.again.text}"
    yield from _format_words(layout)


def _zero_text(plan: Parallelism) -> str:
    return f"ZeRO {plan.zero}" + ("" if plan.shards is None else f" over {plan.shards}")


def _format_words(layout: Layout) -> Iterator[tuple[str, str]]:
    """In which formats, by which optimizer and loss, and what is kept on the host."""
    if layout.precision != "bf16":
        yield "precision", layout.precision
    if layout.optimizer != "adamw":
        yield "optimizer", layout.optimizer
    if layout.loss:
        yield "loss", f"loss {layout.loss}"
    if layout.offload:
        yield "offload", f"offload {'+'.join(sorted(layout.offload))}"


def stages_text(stages: tuple[int, ...]) -> str:
    """Layers of stages, those alike that follow one another together: `7+14×8+6`."""
    runs = ((size, len(list(alike))) for size, alike in groupby(stages))
    return "+".join(f"{many}×{size}" if many > 1 else str(size) for size, many in runs)


def layout_data(layout: Layout) -> dict[str, Data]:
    """The axes of a layout by the names that `train` has for them."""
    return {
        **parallel_data(layout.plan),
        "micro_batch": layout.micro_batch,
        "recompute": layout.again.text,
        "precision": layout.precision,
        "optimizer": layout.optimizer,
        "loss": layout.loss,
        "offload": sorted(layout.offload),
    }


_USUAL: Final = {
    "sequence": False,
    "context_parallel": 1,
    "interleave": 1,
    "expert": 1,
    "expert_tensor": 1,
    "recompute": "none",
    "precision": "bf16",
    "optimizer": "adamw",
}
"""What `train` takes where nothing is said, so that it need not be."""
_ANY_TOKENS: Final = "1e12"


def command_of(ask: Ask, best: Best) -> str:
    """The command that predicts a layout alone, in full."""
    words = ["--gpu", best.chip]
    words += [*ask.changes.split()] if ask.changes else []
    words += ["--gpus", str(best.gpus), "--batch", str(ask.batch)]
    tokens = _ANY_TOKENS if ask.any_tokens else ask.tokens
    for name, number in (("tokens", tokens), ("context", ask.context)):
        words += [f"--{name}", str(number)] if number is not None else []
    words += ask.media.options()
    words += [*layout_options(best.layout)]
    words += ask.adapter_words.split()
    words += ["--stack", ask.stack] if ask.stack != CURRENT else []
    words += ["--attention-kernel", ask.kernel] if ask.kernel else []
    words += ["--attention", ask.attention] if ask.attention != "flash" else []
    return f"tscale train {ask.words} {join(words)}"


def layout_options(layout: Layout) -> list[str]:
    """The options of a layout, as the command line takes them."""
    words: list[str] = []
    data = {**layout_data(layout), "schedule": layout.plan.schedule, "offload": ",".join(sorted(layout.offload))}
    for name, value in data.items():
        if value in (None, "", False) or _USUAL.get(name) == value:
            continue
        words.append("--" + name.replace("_", "-"))
        words += [] if value is True else [option_text(value)]
    return words


def option_text(value: Data) -> str:
    """A value as the command line takes it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
