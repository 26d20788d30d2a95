"""What is varied of deployments: the fields that only `plan --serve` has."""

from __future__ import annotations

import re
from fractions import Fraction
from math import inf, prod
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from tscale.analysis import options, readers
from tscale.analysis.axes import varied
from tscale.analysis.request import Option, Request, asked, spelled
from tscale.analysis.serve import HOST_ALONE
from tscale.analysis.serve import Ask as Serve
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.errors import RequestError, shown

if TYPE_CHECKING:
    from tscale.analysis.plan import Ask
    from tscale.catalogue.hardware import Hardware
    from tscale.core.axis import Axis
    from tscale.estimates.plan_serve.search import Chip, ServingPlan
    from tscale.estimates.serve.times import Draft
    from tscale.planning.deployment_layouts import LayoutAxes
    from tscale.planning.deployment_loads import Targets

LOAD: Final = "Load and targets"
MOST_VARIED: Final = 64
"""Formats, engines, chips and drafts, one with each other, that layouts are looked for of."""
MOST_COPIES: Final = 4096
_UNITS: Final = {"us": Fraction(1, 10**6), "ms": Fraction(1, 1000), "s": Fraction(1), "min": Fraction(60)}
_SERVE: Final = Serve.options()


def seconds(text: str, what: str) -> Fraction:
    """A time with its unit: 2s, 30ms, 1.5s."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*(us|ms|s|min)\s*", text, re.ASCII)
    if match is None:
        hint = f"{shown(text)} has no unit" if re.fullmatch(r"\s*[0-9.]+\s*", text, re.ASCII) else f"not {shown(text)}"
        raise RequestError(f"{what} takes a time with its unit, such as 2s or 30ms: {hint}")
    number, unit = match.groups()
    from tscale.core.counts import parse_fraction

    return parse_fraction(number, what=what, most=10**6, such_as="2s or 30ms") * _UNITS[unit]


def _of_serve(name: str, help: str, heading: str = options.PARALLELISM) -> Any:
    """An axis of an option that `serve` has."""
    return asked(varied(_SERVE[name], help)._replace(heading=heading))


@spec_dataclass
class ServingAxes(Request):
    """The load, its targets, and the axes of its deployments."""

    input: int | None = asked(
        Option("Set the tokens of each prompt; 2k is 2048.", "N", readers.context, heading=LOAD, shown="2k")
    )
    output: int | None = asked(Option("Set the tokens of each answer.", "N", readers.size, heading=LOAD, shown="256"))
    prefix: int | Fraction = asked(_SERVE["prefix"]._replace(heading=LOAD), 0)
    host_bandwidth: Fraction | None = asked(_SERVE["host_bandwidth"]._replace(heading=LOAD))
    rate: Fraction | None = asked(
        Option("Set the requests per second that arrive at random.", "R", readers.number(10**6, "2.5"), heading=LOAD)
    )
    users: int | None = asked(
        Option("Set the users who each send a request when the last was answered.", "N", readers.degree, heading=LOAD)
    )
    ttft: Fraction | None = asked(
        Option(
            "Set the longest mean time to first token, such as 2s; --ttft-percentile is about others.",
            "TIME",
            seconds,
            heading=LOAD,
        )
    )
    ttft_percentile: str | None = asked(
        Option(
            "Hold --ttft for this percentile of the requests that arrive at random, rather than on average.",
            choices=("50", "90", "95", "99"),
            heading=LOAD,
        )
    )
    tpot: Fraction | None = asked(
        Option("Set the longest time per output token, such as 30ms.", "TIME", seconds, heading=LOAD)
    )
    attention_data: Axis | None = _of_serve(
        "attention_data", "Vary the groups that have attention of their own sequences (data-parallel attention)."
    )
    replicas: Axis | None = _of_serve("replicas", "Vary the copies of the whole deployment.")
    pools: str = asked(
        Option(
            "Choose whether prefill and decode share devices, have pools of their own, or either.",
            choices=("any", "aggregated", "disaggregated"),
            heading=options.PARALLELISM,
        ),
        "any",
    )
    dtype: Axis | None = _of_serve(
        "dtype", "Vary the format of the weights: bf16,fp8; by default as the file says, or bf16.", options.SERVING
    )
    cache_dtype: Axis | None = _of_serve(
        "cache_dtype",
        "Vary the format of the KV cache: bf16,fp8; by default as the file says, or bf16.",
        options.SERVING,
    )
    draft_tokens: Axis | None = _of_serve(
        "draft_tokens", "Vary the draft tokens per round, which cost nothing: 1..5.", options.SERVING
    )
    acceptance: Fraction | None = asked(_SERVE["acceptance"]._replace(heading=options.SERVING))
    engine: Axis | None = _of_serve(
        "engine", "Vary the engine: vllm, sglang, trtllm (default: vllm).", options.PREDICTION
    )
    engine_version: str | None = asked(_SERVE["engine_version"])
    chunk: Axis | None = _of_serve(
        "chunk",
        "Vary the most tokens that a step takes (chunked prefill): 1024..8192; by default as the engine's server does.",
        options.PREDICTION,
    )
    calibration: str | None = asked(_SERVE["calibration"])


def check_serving(ask: Ask) -> None:
    """Raises `RequestError` for a load that is said twice or not at all, and for what contradicts itself."""
    if ask.rate is not None and ask.users is not None:
        raise RequestError("--rate and --users say how requests come in two ways: give one of them")
    if ask.users is not None and ask.ttft_percentile is not None:
        raise RequestError(
            "--ttft-percentile is of requests that arrive at random: give --rate, or drop it with --users"
        )
    if ask.host_bandwidth is not None and not ask.prefix:
        raise RequestError(HOST_ALONE)
    if ask.ttft is None:
        raise RequestError("plan --serve needs --ttft, the longest mean time to first token, such as 2s")
    if ask.rate is None and ask.users is None and ask.gpus is None:
        raise RequestError("give the load, --rate or --users, or --gpus to find the largest that they carry")
    _check_varied(ask)


def _check_varied(ask: Ask) -> None:
    """Raises `RequestError` for what is varied that is one number, or of training, and for half of what belongs to drafts."""
    if (ask.draft_tokens is None) != (ask.acceptance is None):
        raise RequestError(
            "--draft-tokens and --acceptance need each other: how many tokens are guessed, and the chance that one is accepted"
        )
    for name in ("gpus", "batch"):
        axis = getattr(ask, name)
        if axis is not None and axis.only is None:
            raise RequestError(
                f"{spelled(name)} is one number with --serve, not {shown(axis.text)}: the most that there are"
            )
    if ask.rank == "time" or ask.memory_share is not None:
        name = "--rank time" if ask.rank == "time" else "--memory-share"
        raise RequestError(f"{name} is of training: drop it")


def _targets(ask: Ask) -> Targets:
    """The seconds that requests may take, on average or of a share of them."""
    from tscale.planning.deployment_loads import Targets

    ttft, tpot = (inf if target is None else float(target) for target in (ask.ttft, ask.tpot))
    return Targets(ttft, tpot, None if ask.ttft_percentile is None else int(ask.ttft_percentile) / 100)


def serving_plan(ask: Ask) -> ServingPlan:
    """What is searched. Raises `TscaleError` for what is none, and `RequestError` where too much varies."""
    from tscale.estimates.plan_serve.search import ServingPlan

    chips, dtypes, caches = _chips(ask), _values(ask, "dtype"), _values(ask, "cache_dtype")
    engines, drafts, chunks = _values(ask, "engine", "vllm"), _drafts(ask), _chunks(ask)
    varied = prod(map(len, (chips, dtypes, caches, engines, drafts, chunks)))
    if varied > MOST_VARIED:
        raise RequestError(
            f"{varied:,} combinations of hardware, formats, engines, drafts and chunks: at most {MOST_VARIED}; list fewer"
        )
    return ServingPlan(
        ask.spec,
        tuple(map(quote, ask.model_words)),
        chips,
        *_lengths(ask),
        "users" if ask.users is not None else "rate",
        _load(ask),
        _one(ask.gpus),
        _targets(ask),
        _axes(ask),
        ask.pools,  # type: ignore[arg-type]
        dtypes,
        caches,
        engines,
        ask.engine_version or "",
        drafts,
        ask.calibration or "",
        _one(ask.batch),
        "dollars" if _by_dollars(ask, chips) else "devices",
        ask.top,
        None if ask.replicas is None else tuple(map(int, _few(ask.replicas, "replicas", MOST_COPIES).values)),
        ask.host_bandwidth,
        chunks,
        ask.media,
    )


def _chunks(ask: Ask) -> tuple[int, ...]:
    """The tokens of a step that are tried, powers of two of a range; 0 for the engine's default."""
    if ask.chunk is None:
        return (0,)
    if ask.chunk.stepped_size > MOST_VARIED:
        raise _too_many("chunk", ask.chunk, ask.chunk.stepped_size, MOST_VARIED)
    found = tuple(int(chunk) for chunk in ask.chunk.among(2**power for power in range(_MOST_POWER)))
    if not found:
        raise RequestError(
            f"--chunk {shown(ask.chunk.text)} has no power of two: list values, such as 1024,3072, or give a step, such as 1k..4k+1k"
        )
    return found


def _lengths(ask: Ask) -> tuple[int, int, int]:
    """Tokens of a prompt, of an answer, and of the prompt that are cached."""
    prompt = ask.input or _DEFAULT["context"]
    cached = ask.prefix if isinstance(ask.prefix, int) else int(ask.prefix * prompt)
    return prompt, ask.output or _DEFAULT["output"], cached


def _one(axis: Axis | None) -> int | None:
    """The value of an axis that is one number."""
    return None if axis is None else int(axis.only)


_MOST_POWER: Final = 21
_DEFAULT: Final = {"context": 2048, "output": 256}


def _load(ask: Ask) -> float | None:
    if ask.rate is not None:
        return float(ask.rate)
    return None if ask.users is None else float(ask.users)


def _values(ask: Ask, name: str, default: Any = None) -> tuple[Any, ...]:
    """The values of an axis; of one that is not given, its default alone."""
    axis = getattr(ask, name)
    return (default,) if axis is None else _few(axis, name).values


def _few(axis: Axis, name: str, most: int = MOST_VARIED) -> Axis:
    """The axis. Raises `RequestError`, before its values are listed, where there are too many."""
    if axis.size > most:
        raise _too_many(name, axis, axis.size, most)
    return axis


def _too_many(name: str, axis: Axis, size: int, most: int) -> RequestError:
    return RequestError(f"{spelled(name)} {shown(axis.text)} comes to {size:,} values: at most {most:,}")


def _drafts(ask: Ask) -> tuple[Draft | None, ...]:
    from tscale.estimates.serve.times import Draft

    if ask.draft_tokens is None or ask.acceptance is None:
        return (None,)
    return (
        None,
        *(Draft(None, int(tokens), ask.acceptance) for tokens in _few(ask.draft_tokens, "draft_tokens").values),
    )


def _axes(ask: Ask) -> LayoutAxes:
    from tscale.planning.deployment_layouts import LayoutAxes

    axes = LayoutAxes(ask.tensor, ask.pipeline, ask.expert, ask.expert_tensor, ask.attention_data)
    for name, axis in axes._asdict().items():
        if axis is not None and axis.stepped_size > MOST_VARIED:
            raise _too_many(name, axis, axis.stepped_size, MOST_VARIED)
    return axes


def _chips(ask: Ask) -> tuple[Chip, ...]:
    from tscale.estimates.plan_serve.search import chip_of

    changes = tuple(word for change in ask.gpu_set for word in ("--gpu-set", quote(change)))
    return tuple(chip_of(one, ("--gpu", _name_of(ask, one), *changes), ask.price) for one in ask.chips)


def _name_of(ask: Ask, hardware: Hardware) -> str:
    """What the hardware was called, where it is alone and was called something; else its own name."""
    return quote(ask.gpu) if isinstance(ask.gpu, str) and "," not in ask.gpu else hardware.name


def _by_dollars(ask: Ask, chips: tuple[Chip, ...]) -> bool:
    """Whether deployments are ranked by dollars: as asked, or of several kinds of hardware, all of which have a price."""
    priced = all(chip.rent is not None for chip in chips)
    if ask.rank == "dollars" and not priced:
        without = next(chip.hardware.label for chip in chips if chip.rent is None)
        raise RequestError(f"--rank dollars: no price of {without} is known: --price gives one")
    return priced and (ask.rank == "dollars" or (ask.rank is None and len(chips) > 1))
