"""What must hold of every answer, whatever the model and the request: of figures alone, and of two answers side by side.

A request is a question, a model and options; `draw` makes one of a seed, as people combine them. Each invariant takes a
request and asserts what holds of its answer. `tests/test_invariants.py` tries them on some, always the same;
`python -m tests.fuzz.invariants [REQUESTS] [SEED]` on as many as it is told, and prints those that break one.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import tscale
from tests.helpers import trainable
from tscale.analysis.result import Result
from tscale.errors import TscaleError

GPUS: Final = ("a100", "h100", "h200", "b200", "mi300x", "l40s")
MODELS: Final = tuple(trainable())


class Asked(NamedTuple):
    """A question about a model, and the options that it is asked with."""

    question: str
    model: str
    options: Mapping[str, Any]

    def answer(self, **changed: Any) -> Result:
        """What tscale says, with some options changed. Raises `TscaleError` where it refuses."""
        options = {name: value for name, value in {**self.options, **changed}.items() if value is not None}
        found: Result = getattr(tscale, self.question)(self.model, **options)
        return found

    def data(self, **changed: Any) -> dict[str, Any]:
        """The figures of the answer."""
        data: dict[str, Any] = self.answer(**changed).to_dict()
        return data


# ---------------------------------------------------------------------------------------------------------------------
# Requests
# ---------------------------------------------------------------------------------------------------------------------


def draw(seed: int) -> Asked:
    """A request of its own for each seed."""
    dice = random.Random(seed)  # noqa: S311 (a sample is no secret)
    question = dice.choice(list(_DRAWN))
    return Asked(question.split(" ")[0], dice.choice(MODELS), _DRAWN[question](dice))


def _counted(dice: random.Random) -> dict[str, Any]:
    return {"context": dice.choice([None, 1, 512, 4096, 32768])}


def _flops(dice: random.Random) -> dict[str, Any]:
    return {"context": dice.choice([None, 1, 512, 4096]), "tokens": dice.choice(["1e9", "300e9", "15T"])}


def _served(dice: random.Random) -> dict[str, Any]:
    return {
        "gpu": dice.choice(GPUS),
        "tensor": dice.choice([None, 1, 2, 4, 8]),
        "batch": dice.choice([None, 1, 7, 64]),
        "context": dice.choice([None, 512, 4096, 32768]),
        "dtype": dice.choice([None, "bf16", "fp8", "q4_k"]),
        "cache_dtype": dice.choice([None, "bf16", "fp8"]),
    }


def _speed(dice: random.Random) -> dict[str, Any]:
    return {
        "gpu": dice.choice(GPUS[:4]),
        "tensor": dice.choice([1, 2, 4, 8]),
        "batch": dice.choice([1, 8, 64]),
        "context": dice.choice([None, 512, 8192]),
        "output": dice.choice([None, 128, 1024]),
        "engine": dice.choice([None, "vllm", "sglang", "trtllm"]),
        "dtype": dice.choice([None, "bf16", "fp8"]),
    }


def spread(dice: random.Random) -> dict[str, Any]:
    """Degrees of a training plan, and the policies of one."""
    tensor, pipeline, context = dice.choice([1, 1, 2, 4, 8]), dice.choice([1, 1, 2, 4]), dice.choice([1, 1, 2])
    data = dice.choice([1, 2, 8])
    micro = dice.choice([1, 1, 2])
    return {
        "gpus": tensor * pipeline * context * data,
        "tensor": tensor,
        "pipeline": pipeline,
        "context_parallel": context,
        "sequence": True if tensor > 1 and dice.random() < 0.5 else None,
        "zero": dice.choice([None, 1, 2, 3]) if data * context > 1 else None,
        "interleave": 2 if pipeline > 1 and dice.random() < 0.3 else None,
        "recompute": dice.choice([None, "selective", "full", "op"]),
        "micro_batch": micro,
        "batch": data * micro * dice.choice([1, 4, 16]),
        "precision": dice.choice([None, "bf16", "fp8", "fp32-master"]),
    }


def _trained(dice: random.Random) -> dict[str, Any]:
    return {"gpu": dice.choice(GPUS[:4]), "tokens": "1e12", "context": dice.choice([None, 2048, 8192]), **spread(dice)}


def _memory_trained(dice: random.Random) -> dict[str, Any]:
    options = {"train": True, **_trained(dice)}
    del options["tokens"]
    return options


_DRAWN: Final[dict[str, Callable[[random.Random], dict[str, Any]]]] = {
    "params": lambda _: {},
    "flops": _flops,
    "attention": _counted,
    "memory": _served,
    "memory train": _memory_trained,
    "serve": _speed,
    "train": _trained,
}

# ---------------------------------------------------------------------------------------------------------------------
# Figures of one answer
# ---------------------------------------------------------------------------------------------------------------------

SIGNED: Final = frozenset({"deviation", "change", "difference", "difference_percent"})
"""Keys whose figures are differences, which have a sign."""


def figures(data: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Each number of an answer, with where it stands."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key != "figures":
                yield from figures(value, f"{path}.{key}")
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from figures(value, f"{path}[{index}]")
    elif isinstance(data, (int, float)) and not isinstance(data, bool):
        yield path, data


def _key(path: str) -> str:
    return path.rsplit(".", 1)[-1].split("[", maxsplit=1)[0]


def no_figure_is_negative_or_endless(asked: Asked) -> None:
    """Also `-0.0`, which is printed as such."""
    for path, value in figures(asked.data()):
        assert math.isfinite(value), f"{path} is {value}"
        if _key(path) not in SIGNED:
            assert value >= 0 and math.copysign(1, value) > 0, f"{path} is {value}"


def utilisation_is_at_most_one(asked: Asked) -> None:
    """What is achieved, or predicted to be; a bound that counts full attention where kernels are causal may pass it."""
    for path, value in figures(asked.data()):
        if _key(path) in ("mfu", "hfu") or ".mfu_predicted" in path:
            assert value <= 1, f"{path} is {value}"


def shares_lie_between_none_and_all(asked: Asked) -> None:
    """And the shares of one thing add up to it."""
    data = asked.data()
    for path, value in figures(data):
        if "share" in _key(path) or "_shares" in path:
            assert value <= 1 + 1e-12, f"{path} is {value}"
    for key, value in data.items():
        if key.endswith("_shares") and isinstance(value, Mapping):
            assert math.isclose(sum(value.values()), 1, rel_tol=1e-9), f"{key} adds up to {sum(value.values())}"


def parts_add_up(asked: Asked) -> None:
    """Bytes of a device by part, parameters by part, and the predicted seconds of a step."""
    data = asked.data()
    held = data.get("per_device_bytes")
    if isinstance(held, Mapping):
        assert sum(value for key, value in held.items() if key != "total") == held["total"]
    prediction = (data.get("plan") or {}).get("prediction") if isinstance(data.get("plan"), Mapping) else None
    if prediction:
        assert math.isclose(sum(prediction["parts"].values()), data["plan"]["step_seconds"]["middle"], rel_tol=1e-9)


def a_prediction_lies_above_its_bound(asked: Asked) -> None:
    """bound <= low <= middle <= high, wherever the three stand beside a bound."""
    data = asked.data()
    for holder in (data, data.get("plan"), data.get("step")):
        if not isinstance(holder, Mapping):
            continue
        for key, least in holder.items():
            ends = holder.get(key.removesuffix("_at_least"))
            if key.endswith("_at_least") and isinstance(ends, Mapping):
                assert least <= ends["low"] <= ends["middle"] <= ends["high"], f"{key}: {least} against {ends}"


ALONE: Final = (
    no_figure_is_negative_or_endless,
    utilisation_is_at_most_one,
    shares_lie_between_none_and_all,
    parts_add_up,
    a_prediction_lies_above_its_bound,
)

# ---------------------------------------------------------------------------------------------------------------------
# Two answers
# ---------------------------------------------------------------------------------------------------------------------


def more_devices_take_no_more_memory_each(asked: Asked) -> None:
    """Twice the devices of tensor parallelism, or of data parallelism that shares states."""
    if asked.question != "memory":
        return
    options = asked.options
    before = asked.data()["per_device_bytes"]["total"]
    if options.get("train"):
        ways: list[dict[str, Any]] = [{"gpus": 2 * options["gpus"], "batch": 2 * options["batch"]}]
        ways.append({"gpus": 2 * options["gpus"], "tensor": 2 * options["tensor"]})
    else:
        ways = [{"tensor": 2 * (options.get("tensor") or 1)}]
    for way in ways:
        after = answered(asked, **way)
        if after is not None:
            assert after["per_device_bytes"]["total"] <= before, (
                f"{way}: {before} to {after['per_device_bytes']['total']}"
            )


def a_faster_chip_takes_no_more_time(asked: Asked) -> None:
    """Of bounds: a chip of twice the rates."""
    if asked.question in ("serve", "train") and "gpu" in asked.options:
        slow, fast = asked.data(), asked.data(gpu_set=twice_as_fast(asked.options["gpu"]))
        _no_more_time(slow, fast, "twice as fast")


def a_longer_context_takes_no_less_time(asked: Asked) -> None:
    """Of bounds, and of memory."""
    if asked.question in ("serve", "train", "memory"):
        short, long = answered(asked, context=1024), answered(asked, context=2048)
        if short is not None and long is not None:
            if asked.question == "memory":
                assert short["per_device_bytes"]["total"] <= long["per_device_bytes"]["total"]
            _no_more_time(long, short, "half as long")


_BOUNDS: Final = (
    "prefill_seconds",
    "seconds_per_token",
    "ttft_seconds_at_least",
    "tpot_seconds_at_least",
    "latency_seconds_at_least",
)


def _no_more_time(slow: Mapping[str, Any], fast: Mapping[str, Any], why: str) -> None:
    times = [_bounds_of(one) for one in (slow, fast)]
    assert times[0].keys() == times[1].keys()
    for key, before in times[0].items():
        assert times[1][key] <= before * (1 + 1e-12), f"{key}, {why}: {before} to {times[1][key]}"


def _bounds_of(data: Mapping[str, Any]) -> dict[str, float]:
    """The least times of an answer: of serving, or of a step."""
    step = data.get("plan") or data.get("step")
    if isinstance(step, Mapping) and "step_seconds_at_least" in step:
        return {"step_seconds_at_least": step["step_seconds_at_least"]}
    return {key: data[key] for key in _BOUNDS if data.get(key) is not None}


def twice_as_fast(name: str) -> dict[str, Any]:
    """The fields of a chip that are its rates, doubled, as `gpu_set` takes them."""
    chip = tscale.hardware(name)
    rates = ("bandwidth_gb_per_s", "link_gb_per_s", "network_gb_per_s")
    doubled = {key: 2 * value for key in rates if (value := getattr(chip, key)) is not None}
    peaks = {f"dense_tflops.{key}": 2 * peak for key, peak in vars(chip.dense_tflops).items() if peak is not None}
    return doubled | peaks


def twice_the_micro_batches_compute_twice(asked: Asked) -> None:
    """Computing, without the bubble; and a step takes no more than twice as long."""
    if asked.question != "train":
        return
    once, twice = asked.data(), asked.data(batch=2 * asked.options["batch"])
    parts = [{part["part"]: part["seconds"] for part in one["plan"]["parts"]} for one in (once, twice)]
    assert math.isclose(parts[1]["computing"], 2 * parts[0]["computing"], rel_tol=1e-9)
    assert twice["plan"]["step_seconds_at_least"] <= 2 * once["plan"]["step_seconds_at_least"] * (1 + 1e-9)


def a_plan_of_one_device_is_none(asked: Asked) -> None:
    """Degrees of one change nothing of what a device holds."""
    if asked.question == "memory" and asked.options.get("train"):
        degrees = ("tensor", "pipeline", "context_parallel", "sequence", "zero", "interleave", "gpus", "batch")
        bare = asked._replace(options={key: value for key, value in asked.options.items() if key not in degrees})
        one = answered(bare)
        if one is not None:
            ones = bare.data(tensor=1, pipeline=1, context_parallel=1, gpus=1, data=1)
            assert ones["per_device_bytes"] == one["per_device_bytes"]


PAIRED: Final = (
    more_devices_take_no_more_memory_each,
    a_faster_chip_takes_no_more_time,
    a_longer_context_takes_no_less_time,
    twice_the_micro_batches_compute_twice,
    a_plan_of_one_device_is_none,
)
INVARIANTS: Final = (*ALONE, *PAIRED)


def answered(asked: Asked, **changed: Any) -> dict[str, Any] | None:
    """The figures of an answer; None where it is refused."""
    try:
        return asked.data(**changed)
    except TscaleError:
        return None


def holds(seed: int) -> tuple[bool, list[str]]:
    """Whether the request of a seed is answered, and what it breaks."""
    asked = draw(seed)
    if answered(asked) is None:
        return False, []
    broken = []
    for invariant in INVARIANTS:
        try:
            invariant(asked)
        except TscaleError as error:
            broken.append(f"{invariant.__name__}: refused: {error}")
        except AssertionError as error:
            broken.append(f"{invariant.__name__}: {error}")
    return True, broken


def main(requests: int = 300, first: int = 0) -> int:
    """Tries all invariants on requests, and prints what breaks; the exit code says whether any did."""
    tried = failed = 0
    for seed in range(first, first + requests):
        answer, broken = holds(seed)
        tried += answer
        failed += bool(broken)
        for one in broken:
            print(f"{seed} {draw(seed)}\n    {one}", flush=True)
    print(f"{requests} requests, {tried} answered, {failed} break an invariant")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(*(int(value) for value in sys.argv[1:])))
