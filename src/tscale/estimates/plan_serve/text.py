"""How deployments are named and launched: in a row of a table, in a sentence, and as command lines."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import inf

from tscale.calibration.serving_case import ServingCase
from tscale.core.dtypes import Dtype
from tscale.core.number_text import duration, significant
from tscale.core.serving_layout import ServingLayout
from tscale.estimates.plan_serve.search import Base, Found, ServingPlan
from tscale.models.release import release_in
from tscale.planning.deployment_rows import Deployed
from tscale.planning.launch_flags import ENGINES, Launch, Role

_DEGREES = (("TP", "tensor"), ("PP", "pipeline"), ("DP", "attention_data"), ("EP", "expert"))


def layout_words(layout: ServingLayout) -> str:
    """The degrees of a worker that are more than 1: `TP 8, EP 16`; DP is that of attention, ETP that of each expert."""
    said = [f"{word} {getattr(layout, name)}" for word, name in _DEGREES if getattr(layout, name) > 1]
    cut = [f"ETP {layout.expert_tensor}"] if layout.expert > 1 and layout.expert_tensor > 1 else []
    return ", ".join([*said, *cut] or ["TP 1"])


def deployment_words(case: ServingCase) -> str:
    """A deployment in a few words: `2 × TP 8`, or its two pools."""
    if not case.disaggregated:
        return f"{case.decode.workers:,} × {layout_words(case.decode.layout)}"
    pools = [("prefill", case.prefill), ("decode", case.decode)]
    return " + ".join(f"{name} {pool.workers:,} × {layout_words(pool.layout)}" for name, pool in pools)


def full_words(case: ServingCase, plan: ServingPlan, found: Found) -> str:
    """The same with what it was asked with, where several were tried: `2 × TP 8 (h100-sxm)`."""
    extra = asked_words(found.base_of(case), plan)
    return f"{deployment_words(case)} ({extra})" if extra else deployment_words(case)


def asked_words(base: Base, plan: ServingPlan) -> str:
    """What a deployment was asked with, where several were tried: the chip, the engine, formats, drafts."""
    words = [
        base.chip.hardware.name if len(plan.chips) > 1 else "",
        base.engine if len(plan.engines) > 1 else "",
        f"weights {_named(base.weights)}" if len(plan.weights) > 1 else "",
        f"cache {_named(base.cache)}" if len(plan.caches) > 1 else "",
        f"{base.draft.tokens if base.draft else 0} draft tokens" if len(plan.drafts) > 1 else "",
        f"chunks of {base.chunk:,}" if len(plan.chunks) > 1 else "",
    ]
    return ", ".join(filter(None, words))


def _named(format: Dtype | None) -> str:
    return "as released" if format is None else format.name


def load_words(plan: ServingPlan, load: float) -> str:
    """A load in words: 12 requests/s, 64 users."""
    one = "" if load == 1 else "s"
    return f"{significant(load)} request{one}/s" if plan.arrivals == "rate" else f"{load:,.0f} user{one}"


def target_words(plan: ServingPlan) -> str:
    """The targets in words: TTFT 2 s and TPOT 30 ms, or TTFT 2 s (p90)."""
    ttft, tpot, share = plan.targets
    of = "" if share is None else f" (p{round(100 * share)})"
    both = (("TTFT", ttft, of), ("TPOT", tpot, ""))
    return " and ".join(
        f"{name} {duration(Fraction(seconds).limit_denominator(10**9))}{word}"
        for name, seconds, word in both
        if seconds < inf
    )


def serve_command(plan: ServingPlan, base: Base, case: ServingCase) -> str:
    """The command of `serve` that predicts the same of a deployment."""
    words = ["tscale", "serve", *plan.model, *base.chip.words, *_degrees(case)]
    words += ["--input", str(plan.context), "--output", str(plan.output), "--concurrency", str(case.concurrency)]
    words += ["--prefix", str(plan.prefix)] if plan.prefix else []
    words += plan.media.options()
    words += ["--host-bandwidth", f"{float(plan.host):g}"] if plan.host is not None else []
    words += ["--dtype", base.weights.name] if base.weights is not None else []
    words += ["--cache-dtype", base.cache.name] if base.cache is not None else []
    if base.draft is not None:
        words += ["--draft-tokens", str(base.draft.tokens), "--acceptance", f"{float(base.draft.acceptance):g}"]
    words += ["--engine", base.engine]
    words += ["--engine-version", plan.version] if plan.version else []
    words += ["--chunk", str(base.chunk)] if base.chunk else []
    words += ["--calibration", plan.calibration] if plan.calibration else []
    return " ".join(words)


def _degrees(case: ServingCase) -> Iterator[str]:
    """How the devices of a case are given to `serve`."""
    if case.disaggregated:
        for name, pool in (("--prefill", case.prefill), ("--decode", case.decode)):
            yield from (name, _pool(pool.layout._replace(replicas=pool.workers)))
        return
    layout = case.decode.layout._replace(replicas=case.decode.workers)
    for name, degree in _given(layout):
        yield from (f"--{name}", str(degree))


def _pool(layout: ServingLayout) -> str:
    return ",".join(f"{name}={degree}" for name, degree in _given(layout))


def _given(layout: ServingLayout) -> Iterator[tuple[str, int]]:
    """The degrees that say all of a layout."""
    yield "tensor", layout.tensor
    degrees = (
        ("pipeline", layout.pipeline),
        ("expert", layout.expert),
        ("attention-data", layout.attention_data),
        ("replicas", layout.replicas),
    )
    yield from ((name, degree) for name, degree in degrees if degree > 1)


def launches(plan: ServingPlan, base: Base, row: Deployed) -> dict[str, str | None]:
    """The command lines of each engine, a pool on a line; None where an engine has no such layout."""
    found: dict[str, str | None] = {}
    for engine, line in ENGINES.items():
        lines = [line(launch) for launch in _workers(plan, base, row)]
        found[engine] = None if None in lines else "\n".join(filter(None, lines))
    return found


def _checkpoint(plan: ServingPlan) -> str:
    """What engines load: a path or a name on the hub as it was given, or a place for one."""
    return plan.model[0] if "/" in plan.model[0] else "MODEL"


def _workers(plan: ServingPlan, base: Base, row: Deployed) -> Iterator[Launch]:
    unit = row.choice.unit.case
    named = None if base.weights is None else release_in(plan.spec, base.weights)
    model = _checkpoint(plan) if named is None else named.name
    weights = "" if base.weights is None or named is not None else base.weights.name
    cache = "" if unit.cache is None else unit.cache.name
    pools: list[tuple[Role, ServingLayout, int]] = [("", unit.decode.layout, unit.decode.workers)]
    if unit.disaggregated:
        pools = [
            ("prefill", unit.prefill.layout, unit.prefill.workers),
            ("decode", unit.decode.layout, unit.decode.workers),
        ]
    for role, layout, workers in pools:
        at_once = 0 if role == "prefill" else -(-row.places // workers)
        yield Launch(model, layout, at_once, plan.context + plan.output, weights, cache, role, base.chunk)
