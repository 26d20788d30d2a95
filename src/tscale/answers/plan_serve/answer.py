"""`tscale plan --serve`: the deployment that meets targets with the fewest devices or dollars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tscale.answers.plan_serve.miss import miss_report
from tscale.answers.plan_serve.tables import cost_tables, front_table, relax_tables, rows_table
from tscale.answers.serve.media import prompt_media_notes, prompt_media_table
from tscale.answers.serve.notes import beyond_trained
from tscale.answers.serve.prediction import notes_of_prediction
from tscale.calibration.serving_calibration import Others, is_own
from tscale.calibration.serving_groups import keys_of
from tscale.core.metric import Detail, Report, Table
from tscale.core.number_text import duration, estimate
from tscale.estimates.explaining import OF_SERVING, notes_of
from tscale.estimates.plan_serve.data import Cost, answer_data, cost_of, pareto, row_data
from tscale.estimates.plan_serve.relax import binding, changes
from tscale.estimates.plan_serve.search import Found, ServingPlan, again, searched
from tscale.estimates.plan_serve.text import (
    full_words,
    launches,
    layout_words,
    load_words,
    serve_command,
    target_words,
)
from tscale.estimates.release import Asked
from tscale.estimates.serve.prediction import Predicted
from tscale.estimates.serve.times import sixteen_bit_peak
from tscale.planning.deployment_rows import Deployed
from tscale.planning.launch_flags import lacks_cache


def plan_serve_report(plan: ServingPlan) -> Report:
    """The best deployments under a load, or on so many devices. Exit code 3: none meets the targets.

    Raises `RequestError` for a model that `serve` does not predict, and where too many layouts are asked for.
    """
    found = searched(plan)
    if not found.rows:
        return miss_report(plan, found)
    best = found.rows[0]
    cost = cost_of(plan, found, best)
    relaxed = tuple(changes(plan, found))
    without = next(iter(again(plan, found, prefix=0)), None) if plan.prefix else None
    binds = binding(found, plan.wanted)
    front = pareto(found)
    title = f"{plan.spec.label}: {_headline(plan, found, best, cost)}"
    rows = [row_data(plan, found, row) for row in found.rows]
    changed = [change.data(plan) for change in relaxed]
    tables = (
        rows_table(title, plan, found, rows),
        *_media_tables(plan, best),
        *cost_tables(plan, found, best, cost, without),
        *relax_tables(plan, relaxed, best),
        front_table(plan, found, front),
    )
    command = serve_command(plan, found.base_of(best.case), best.case)
    data = answer_data(plan, found, rows, front=front, binds=binds, without=without, relaxed=changed, command=command)
    notes = notes_of(plan.spec, *_notes(plan, found, best, binds), about=OF_SERVING)
    return Report(title, tables, data, notes, lead=_lead(plan, found))


def _media_tables(plan: ServingPlan, best: Deployed) -> Iterator[Table]:
    """What images and sounds take of each prompt, and of the devices of a worker that prefills."""
    if plan.media.any:
        peak = sixteen_bit_peak(best.case.hardware.device()) * best.case.prefill.layout.devices
        yield prompt_media_table(plan.media_costs, peak)


def _headline(plan: ServingPlan, found: Found, best: Deployed, cost: Cost | None) -> str:
    """The answer in a sentence: how many devices, or how much load, and what tokens cost."""
    devices, words = f"{best.case.devices:,} × {best.case.hardware.label}", full_words(best.case, plan, found)
    dollars = (
        ""
        if cost is None
        else f"; ${estimate(cost.input)} per 1M input and ${estimate(cost.output)} per 1M output tokens"
    )
    meet = "meets" if best.case.devices == 1 else "meet"
    if plan.load is not None:
        return f"{devices} {meet} {target_words(plan)} at {load_words(plan, plan.load)}: {words}{dollars}"
    carry = "carries" if best.case.devices == 1 else "carry"
    return f"{devices} {carry} {load_words(plan, best.load)} within {target_words(plan)}: {words}{dollars}"


def _lead(plan: ServingPlan, found: Found) -> tuple[str, ...]:
    """What must be known before the figures are read."""
    base = found.base_of(found.rows[0].case)
    rent = base.chip.rent
    share = plan.targets.share
    of = (
        ""
        if share is None
        else f"; times to the first token are those that {round(100 * share)}% of the requests stay within"
    )
    slow = f"Times are the slow end of their 80% intervals, including queueing{of}."
    others = "" if is_own(found.calibration, keys_of(found.rows[0].case)) else _others_line(found.calibration.others)
    formats, priced = Asked(plan.spec, base.weights, base.cache).lead(), "" if rent is None else rent.said()
    return tuple(filter(None, (slow, others, _all_but_missed(plan, found.rows[0]), *formats, priced)))


def _others_line(others: Others) -> str:
    """That targets are met by intervals of the fitted source, and how far others' runs are."""
    low, high = others.ends["tpot"]
    return (
        f"The intervals are of the source that the calibration was fitted to. Runs of other sources are off by {100 * others.median:.0f}% (median), "
        f"and 80% of them take {low:.2f} to {high:.2f} times the predicted time per output token: `serve` has intervals of that width."
    )


_ALL_BUT_MISSED: Final = 0.9
"""Of a target: what one request alone takes of it where waiting for others is what most devices are for."""


def _all_but_missed(plan: ServingPlan, best: Deployed) -> str:
    """That one request alone takes nearly all of the target, so that next to none may wait for another; nothing where it does not."""
    alone, target = float(best.choice.unit.curve.ttft[0]), plan.targets.ttft
    if alone <= _ALL_BUT_MISSED * target:
        return ""
    return (
        f"One request alone takes up to {duration(alone)} of the TTFT of {duration(target)}: next to none may wait for another, "
        "and nearly all of these devices are there for that."
    )


def _notes(plan: ServingPlan, found: Found, best: Deployed, binds: str | None) -> Iterator[str]:
    base = found.base_of(best.case)
    yield from beyond_trained(plan.spec, plan.context + plan.output, "prompt and answer are")
    if binds is not None:
        more = "a quarter more of it" if binds == "memory" else "relaxing it by a quarter"
        yield f"{binds[:1].upper()}{binds[1:]} binds the best deployment: {more} raises the largest load the most."
    yield f"To reproduce its times: {serve_command(plan, base, best.case)}"
    for engine, lines in launches(plan, base, best).items():
        for text in _launch_notes(_ENGINES[engine], lines, best):
            yield text if engine == base.engine else Detail(text)
    if plan.host is not None:
        yield (
            "Prefixes are kept in host memory by vLLM's --kv-offloading-size, SGLang's --enable-hierarchical-cache and TensorRT-LLM's "
            "kv_cache_config.host_cache_size."
        )
    if base.draft is not None:
        yield (
            "What guesses, and how many tokens, is told by vLLM's --speculative-config, SGLang's --speculative-algorithm and "
            "--speculative-num-draft-tokens, and TensorRT-LLM's speculative_config."
        )
    tried = ", ".join(f"{count:,} rejected for {reason}" for reason, count in found.reasons.items())
    yield f"Tried: {found.evaluated:,} deployments in {estimate(found.seconds)} s{f'; {tried}' if tried else ''}."
    yield Detail(_waits(plan))
    yield Detail(
        "DP is data-parallel attention. The tokens of a step are those of each of its copies, and by default as the engine's server has them "
        "(--chunk): fewer keep answers steadier and let prompts wait once more of them come than steps take in."
    )
    yield Detail("Costs are divided between prompts and answers as devices' time is; of pools apart, as devices are.")
    yield from notes_of_prediction(Predicted(best.case, found.calibration, best.times))
    yield from prompt_media_notes(plan.media, plan.media_costs)


def _launch_notes(engine: str, lines: str | None, best: Deployed) -> Iterator[str]:
    """A note a pool with its command line, or that an engine has no such layout."""
    if lines is None:
        cache = best.choice.unit.case.cache
        what = f"such layout as {layout_words(best.case.decode.layout)}"
        if cache is not None and lacks_cache(cache.name):
            what = f"option here for a cache in {cache.name}"
        yield f"{engine} has no {what}."
        return
    roles = (", prefill", ", decode") if best.case.disaggregated else ("",)
    yield from (f"{engine}{role}: {line}" for role, line in zip(roles, lines.splitlines(), strict=True))


_ENGINES: Final = {"vllm": "vLLM", "sglang": "SGLang", "trtllm": "TensorRT-LLM"}


def _waits(plan: ServingPlan) -> str:
    """By what waiting is reckoned."""
    if plan.arrivals == "users":
        return "Users send a request when the last was answered; those beyond the places wait by Little's law."
    return (
        "Requests arrive at random (Poisson), and each copy has an equal share of them. The wait is that of a flow-equivalent server (Chandy, Herzog and Woo 1975): exact where "
        "answers' lengths are exponentially distributed, and longer than that of answers that are all as long."
    )
