"""How far predictions are from published figures that nothing was fitted to: `python -m tests.judged` writes configs/measured/judged.yaml.

Hours of whole training runs at the utilisation that `train` assumes, the power that it takes a device to draw, losses that scaling laws predict,
sizes that they name the best of a budget beside minima of IsoFLOP curves, the learning rates, batches and critical batches of laws of hyper-parameters,
beside those that makers chose and those of grids of runs, and speed-ups by guesses that cost nothing.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import yaml

from tscale.analysis.layout import pool_of
from tscale.blocks import Attention, FeedForward
from tscale.calibration.memory_rows import judge
from tscale.catalogue.hardware import find_hardware
from tscale.catalogue.laws import Law, shipped_laws
from tscale.catalogue.models import built_in, configs
from tscale.core.costs.params import non_embedding_params, params
from tscale.core.laws import Power
from tscale.core.laws.experts import Mixture
from tscale.estimates.capacity import kind_of
from tscale.estimates.deployment import Deployment, Engine
from tscale.estimates.experts import mixture_of, run_of
from tscale.estimates.explaining import counted
from tscale.estimates.goodput import goodput_of
from tscale.estimates.hyper import flops_without_head, laws_of, said_by
from tscale.estimates.laws import Bound
from tscale.estimates.loss import dense_by_laws
from tscale.estimates.serve.prediction import predicted
from tscale.estimates.serve.times import Ask as Serving
from tscale.estimates.serve.times import Draft
from tscale.estimates.train.ask import Ask
from tscale.estimates.train.data import timed
from tscale.estimates.trained import trained
from tscale.models.draft_heads import DRAFT_HEADS, draft_head
from tscale.models.resolve import find
from tscale.models.spec import ModelSpec

HERE: Final = Path(__file__).parent / "measured"
WRITTEN: Final = configs() / "measured" / "judged.yaml"
HEAD: Final = """\
# How far predictions are from published figures that nothing is fitted to. Made by `python -m tests.judged`, not by hand.
# share: |predicted/published - 1|. factor: the larger of predicted and published over the smaller. held: how many of the figures the predicted
# range holds. loss_ratio: of two losses of one data set. best_: what was best in a grid of runs, not what makers chose. optimal_params: parameters of
# a budget, and with them its tokens. speculative: how much faster guesses make output, by what guesses.
"""
STEP_LAW: Final = "li2025"
"""The law that was fitted to such grids as step_law_best.csv has."""


OF_A_FIFTH: Final = "zhang2024b"
"""The law whose critical batch takes a fifth more tokens, where that of others takes twice as many."""


class Pair(NamedTuple):
    """A prediction beside what was published; whether the predicted range holds it, where there is one."""

    predicted: float
    published: float
    held: bool | None = None

    @property
    def share(self) -> float:
        """|predicted/published - 1|."""
        return abs(self.predicted / self.published - 1)

    @property
    def factor(self) -> float:
        """The larger over the smaller."""
        return max(self.predicted / self.published, self.published / self.predicted)


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table in tests/measured."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def later_hours() -> list[dict[str, Any]]:
    """Published hours of whole runs, recorded before any was predicted."""
    found: list[dict[str, Any]] = yaml.safe_load((HERE / "training_hours_later.yaml").read_text(encoding="utf-8"))[
        "rows"
    ]
    return found


def hours() -> Iterator[Pair]:
    """GPU-hours of whole runs at the assumed utilisation, of runs that it is not assumed from."""
    for row in later_hours():
        spec, hardware = find(row["model"], row["set"]), find_hardware(row["gpu"])
        assert isinstance(spec, ModelSpec)
        ask = Ask(gpus=row["gpus"] or 1024, tokens=int(float(row["tokens"])), context=row["context"])
        found = [float(Fraction(int(case.gpus) * int(case.seconds), 3600)) for case in timed(spec, hardware, ask)]
        published = float(row["gpu_hours"])
        yield Pair(found[len(found) // 2], published, min(found) <= published <= max(found))


def power() -> Iterator[tuple[str, Pair]]:
    """The watts that `train` takes a device to draw, beside what was measured, by the kind of device."""
    for row in rows("training_power.csv"):
        hardware = find_hardware(row["gpu"])
        assert hardware.tdp_watts is not None
        yield kind_of(hardware.name), Pair(float(hardware.tdp_watts), float(row["watts"]))


def goodput() -> Iterator[Pair]:
    """The share of the time that goes to steps that count, of runs that it is not assumed from."""
    for row in rows("goodput_apart.csv"):
        found, published = goodput_of(int(row["gpus"])), float(row["goodput"])
        yield Pair(float(found.middle), published, float(found.low) <= published <= float(found.high))


def memory() -> Iterator[tuple[str, Pair]]:
    """Bytes that a device holds, or the longest context that runs, beside what was measured, of serving and of training."""
    for row in rows("memory_apart.csv"):
        found = judge(row)
        of = "training" if row["what"].startswith("peak") or row["what"] == "longest_context" else "serving"
        yield of, Pair(found.middle, found.measured, found.covered)


def speculative() -> Iterator[tuple[str, Pair]]:
    """How much faster guesses are predicted to make output, beside what was measured with as many tokens of a step, by what guesses."""
    for row in rows("speculative.csv"):
        spec, hardware = built_in(row["model"]), find_hardware(row["gpu"])
        assert isinstance(spec, ModelSpec)
        layout = pool_of(row["layout"], "layout") if row["layout"] else None
        engine: Engine = "sglang" if row["engine"] == "sglang" else "vllm"
        plain = Serving(
            gpus=1 if layout is None else layout.devices,
            batch=int(row["batch"]),
            context=int(row["context"]),
            output=int(row["output"]),
            deployment=Deployment(engine, layout=layout),
        )
        tokens = int(row["draft_tokens"])
        chance = acceptance(tokens, float(row["tokens_per_step"]))
        kind = next((kind for kind in DRAFT_HEADS if kind == row["method"]), None)
        head = None if kind is None else draft_head(spec, kind)
        guessed = plain._replace(draft=Draft(head, tokens, chance, is_head=kind is not None))
        seconds = []
        for ask in (plain, guessed):
            times = predicted(spec, hardware, ask).times
            assert times is not None
            seconds.append((times.tpot if row["of"] == "tpot" else times.latency).middle)
        yield (
            "n-gram" if row["method"] == "n-gram" else "head",
            Pair(seconds[0] / seconds[1], float(row["speedup"])),
        )


def acceptance(tokens: int, yielded: float) -> Fraction:
    """The chance with which each of so many guesses is right where a step yields so many tokens."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(middle**power for power in range(tokens + 1)) < yielded else (low, middle)
    return Fraction(low)


def of_shape(row: Mapping[str, str]) -> ModelSpec:
    """The model of a row: a built-in one, or one of another size."""
    spec = built_in(row.get("model") or "llama-7b")
    assert isinstance(spec, ModelSpec)
    if not row.get("layers"):
        return spec
    assert isinstance(spec.attention, Attention)
    assert isinstance(spec.feed_forward, FeedForward)
    heads = int(row["heads"])
    return replace(
        spec,
        layers=int(row["layers"]),
        d_model=int(row["d_model"]),
        vocabulary=int(row.get("vocabulary") or 65536),
        attention=replace(spec.attention, heads=heads, kv_heads=heads),
        feed_forward=replace(spec.feed_forward, d_ff=int(row["d_ff"])),
    )


def losses() -> dict[str, dict[str, list[Pair]]]:
    """By law, and by the data of the losses: what it predicts beside what was published."""
    found: dict[str, dict[str, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    bounds = list(_bounds())
    for row in rows("losses.csv"):
        ledger = counted(of_shape(row)).ledger
        sizes = {"all": int(params(ledger).total), "non_embedding": int(non_embedding_params(ledger))}
        for one in dense_by_laws(sizes, int(row["tokens"]), bounds)[0]:
            assert one.point.loss is not None
            found[one.law.name][row["data"]].append(Pair(one.point.loss, float(row["loss"])))
    return found


def _bounds() -> Iterator[Bound]:
    """The laws of plain training that predict nats a token of a dense model."""
    for law in shipped_laws():
        if law.dense and law.losses == "nats per token" and law.kind not in ("repeated", "lifetime", "precision"):
            formula = law.formula(None, None, None)
            if not isinstance(formula, Power):
                yield Bound(law, formula)


def of_two(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """The ratio of each two losses of one data set."""
    for one, other in combinations(pairs, 2):
        yield Pair(one.predicted / other.predicted, one.published / other.published)


def rates(table: str, context: int | None) -> tuple[dict[str, list[Pair]], dict[str, list[Pair]]]:
    """Learning rates, and batches, by law, beside those of a table."""
    found: tuple[dict[str, list[Pair]], dict[str, list[Pair]]] = (defaultdict(list), defaultdict(list))
    for row in rows(table):
        spec = of_shape(row)
        mixture, tokens = mixture_of(spec), int(row["tokens"]) if row.get("tokens") else None
        model, training = counted(spec), trained(spec, tokens, context)
        run = run_of(model, mixture or Mixture(), int(training.tokens.value))
        for law in laws_of((), mixture):
            if (law.optimizer == "Muon") is not (row.get("optimizer") == "Muon"):
                continue
            says = said_by(law, run, flops_without_head(model, training))
            for pairs, value, published in zip(
                found, (says.learning_rate, says.batch), (row["learning_rate"], row["batch_tokens"]), strict=True
            ):
                if value is not None and published:
                    pairs[law.name].append(Pair(value, float(published)))
    return found


def critical_batches() -> dict[str, list[Pair]]:
    """By law, its critical batch beside that of grids of runs, by the definition that the law has."""
    found: dict[str, list[Pair]] = defaultdict(list)
    for row in rows("critical_batches.csv"):
        model, tokens = counted(of_shape(row)), int(row["tokens"])
        run = run_of(model, Mixture(), tokens)
        for law in laws_of((), None):
            published = row["fifth" if law.name == OF_A_FIFTH else "twice"]
            if "critical" in law.constants and published:
                critical = said_by(law, run, 0).critical
                assert critical is not None
                found[law.name].append(Pair(critical, float(published)))
    return found


def sizes() -> dict[str, list[Pair]]:
    """By law, the parameters that are optimal of the FLOPs of a published minimum, both as the law counts them, beside the minimum's."""
    found: dict[str, list[Pair]] = defaultdict(list)
    laws = [
        law
        for law in shipped_laws()
        if law.hyper is None
        and law.dense
        and law.optima
        and not law.counts.startswith("active")
        and law.kind not in ("repeated", "lifetime", "precision", "vocabulary")
    ]
    for row in rows("isoflop_minima.csv"):
        for law in laws:
            if (counted := row[_counted_by(law)]) and not law.name.startswith(
                tuple(row["not_of"].split()) or ("none",)
            ):
                per_token = int(counted) if law.flops == "M*D" else 6 * int(counted)
                optimum = law.formula(None, None, None).at_flops(per_token * int(row["tokens"]))
                found[law.name].append(Pair(optimum.params, per_token / 6))
    return found


def _counted_by(law: Law) -> str:
    """The column of isoflop_minima.csv that counts parameters as a law does: Porian 2024 but for its first has the head's, as its note says."""
    if law.flops == "M*D":
        return "flops_per_token"
    if law.name.startswith("porian2024") and law.name != "porian2024-kaplan":
        return "with_head"
    return "non_embedding" if law.counts == "non_embedding" else "params"


def judged(but: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Each error, but of some tables, as configs/measured/judged.yaml has it; laws that fewer than five figures judge are left out."""
    yield _of("hours", None, list(hours()), "share", "training_hours_later.yaml")
    yield _of("goodput", None, list(goodput()), "share", "goodput_apart.csv")
    for of, found_pairs, table in (
        ("power", power(), "training_power.csv"),
        ("memory", memory(), "memory_apart.csv"),
        ("speculative", speculative(), "speculative.csv"),
    ):
        if table in but:
            continue
        kinds: dict[str, list[Pair]] = defaultdict(list)
        for kind, pair in found_pairs:
            kinds[kind].append(pair)
        for kind, pairs in sorted(kinds.items()):
            yield _of(of, kind, pairs, "share", table)
    for law, by_data in losses().items():
        yield _of("loss", law, [pair for pairs in by_data.values() for pair in pairs], "share", "losses.csv")
        yield _of(
            "loss_ratio", law, [two for pairs in by_data.values() for two in of_two(pairs)], "share", "losses.csv"
        )
    for law, pairs in sizes().items():
        yield _of("optimal_params", law, pairs, "factor", "isoflop_minima.csv")
    for law, pairs in critical_batches().items():
        yield _of("critical_batch", law, pairs, "factor", "critical_batches.csv")
    for table, prefix, context in (("learning_rates.csv", "", None), ("step_law_best.csv", "best_", 2048)):
        for what, found in zip(("learning_rate", "batch"), rates(table, context), strict=True):
            for law, pairs in found.items():
                if len(pairs) >= LEAST and not (prefix and law == STEP_LAW):
                    yield _of(prefix + what, law, pairs, "factor", table)


LEAST: Final = 5


def _of(of: str, by: str | None, pairs: list[Pair], unit: str, table: str) -> dict[str, Any]:
    median, p90 = np.quantile([pair.share if unit == "share" else pair.factor for pair in pairs], (0.5, 0.9))
    held = [pair.held for pair in pairs if pair.held is not None]
    return {
        "of": of,
        **({} if by is None else {"by": by}),
        "figures": len(pairs),
        **({} if unit == "share" else {"unit": unit}),
        "median": round(float(median), 4),
        "p90": round(float(p90), 4),
        **({"held": sum(held)} if held else {}),
        "source": f"tests/measured/{table}",
    }


def main() -> None:
    """Writes the errors."""
    rows = ("  - {" + ", ".join(f"{key}: {value}" for key, value in one.items()) + "}\n" for one in judged())
    WRITTEN.write_text("".join((HEAD, "evidence: derived\njudged:\n", *rows)), encoding="utf-8")


if __name__ == "__main__":
    main()
