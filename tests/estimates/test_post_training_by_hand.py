"""Steps after pre-training, put together of stand-ins: phases, rollouts and what is asked of a step."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tscale.calibration.interval import Interval
from tscale.core.costs.post_training import StepConstants
from tscale.core.costs.rollout import Lengths
from tscale.core.costs.step_time import Batch
from tscale.core.methods import SLEEPERS
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS
from tscale.errors import RequestError
from tscale.estimates.post_training import answered as answered_module
from tscale.estimates.post_training import changes, rollout, step
from tscale.estimates.post_training import phases as phases_module
from tscale.estimates.post_training.answered import Asked
from tscale.estimates.post_training.models import Ask
from tscale.estimates.post_training.phases import Held, decisive, peak
from tscale.estimates.post_training.rollout import How, Timed
from tscale.estimates.post_training.step import Passed, StepTime, _Trained
from tscale.estimates.recomputed import Recomputed
from tscale.models.trainer import RANK


def _ask(method: Any = "grpo", *, plan: Parallelism | None = None, **given: Any) -> Ask:
    how = SimpleNamespace(
        plan=Parallelism(data=8) if plan is None else plan, micro_batch=1, recompute="full", loss="fused-linear", optimizer=OPTIMIZERS["adam-8bit"], rank=4,
    )  # fmt: skip
    training: Any = SimpleNamespace(
        how=how, with_=lambda **changed: SimpleNamespace(how=SimpleNamespace(**vars(how) | changed))
    )
    return Ask(method, training, **given)


# ---------------------------------------------------------------------------------------------------------------------
# What is asked
# ---------------------------------------------------------------------------------------------------------------------


def test_rollouts_are_shared_among_engines() -> None:
    """8 devices that train, of 2 to an engine, are 4 engines; of 3 prompts with 6 answers, 18 rollouts, 5 fall on the fullest."""
    ask = _ask(prompts=3, group=6, rollout_tensor=2)
    assert (ask.rollouts, ask.devices, ask.generating, ask.engines, ask.tensor, ask.waiting) == (18, 8, 8, 4, 2, (5, 0))
    assert ask._replace(rollout_batch=2).waiting == (2, 3)
    assert ask._replace(rollout_batch=9).waiting == (5, 0)
    apart = _ask(prompts=3, group=6, apart=3)
    assert (apart.devices, apart.generating, apart.engines, apart.tensor, apart.waiting) == (11, 3, 3, 1, (6, 0))
    with pytest.raises(RequestError, match="does not divide the 3 devices that generate"):
        apart._replace(rollout_tensor=2).engines  # noqa: B018


def test_a_reference_is_scored_unless_there_is_none_or_it_was_scored_before() -> None:
    spec: Any = object()
    for given, scored in (
        ({}, False),
        ({"reference": spec}, True),
        ({"reference": spec, "precomputed": True}, False),
        ({"precomputed": True}, False),
    ):
        assert _ask("dpo", **given).scores_reference == scored
    assert [_ask(method).online for method in ("sft", "dpo", "grpo", "ppo")] == [False, False, True, True]


def test_sequences_and_updates_of_a_step() -> None:
    """16 rollouts in batches of 6 for 3 epochs are 8 updates; pairs are two sequences each; without rollouts there is one update."""

    def trained(ask: Ask) -> Any:
        return _Trained(SimpleNamespace(ask=ask, longest=900), None, How())  # type: ignore[arg-type]

    online = trained(_ask(prompts=4, group=4, batch=6, prompt=100, response=50, epochs=3))
    assert (online._sequences, online._of_update, online._mean) == (16, 6, 150)
    assert trained(_ask(prompts=4, group=4))._of_update == 16
    pairs = trained(_ask("dpo", batch=6, prompt=100, response=50))
    assert (pairs._sequences, pairs._of_update, pairs._mean) == (12, 12, 150)
    supervised = trained(_ask("sft", batch=6))
    assert (supervised._sequences, supervised._of_update, supervised._mean) == (6, 6, 900)

    def passed(spec: Any, sequences: int, *, forward: bool) -> Any:
        assert (spec, sequences, forward) == (None, 6, False)
        return step._Passed(2.0, Interval(1.0, 2.0, 3.0))

    online._passed = passed
    found = online._updates("training", None, 1000)
    assert (found.bound, tuple(found.seconds), found.tokens) == (  # type: ignore[comparison-overlap]
        pytest.approx(16.0),
        pytest.approx((8.0, 16.0, 24.0)),
        3000,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Time
# ---------------------------------------------------------------------------------------------------------------------

PHASES = (
    Timed("rollout", 3.0, Interval(4.0, 6.0, 9.0), 100),
    Timed("old log-probs", 1.0, Interval(1.0, 2.0, 3.0), 100),
    Timed("training", 2.0, Interval(2.0, 3.0, 4.0), 100),
)


def _time(
    phases: tuple[Timed, ...] = PHASES, *, overlapped: bool = False, colocated: bool = True, moved: int = 10
) -> StepTime:
    return StepTime(phases, overlapped, colocated, 1, 1, moved)


def test_a_step_takes_its_phases_in_turn_or_the_longer_of_those_that_overlap() -> None:
    assert (_time().bound, _time().alone) == (6.0, 11.0)
    assert (_time(overlapped=True).bound, _time(overlapped=True).alone) == (3.0, 6.0)
    unknown = (*PHASES[:2], PHASES[2]._replace(seconds=None))
    assert (_time(unknown).alone, _time(unknown).middle(StepConstants()), _time(unknown, moved=0).seconds(None)) == (  # type: ignore[arg-type]
        None,
        None,
        None,
    )


def test_what_a_step_takes_beside_its_passes() -> None:
    """Each of 10 bytes takes 1.5 s, or a tenth of one on devices apart; never less than the bound."""
    constants = StepConstants(1.5, 0.1)
    assert _time().middle(constants) == pytest.approx(11 + 15)
    assert _time(colocated=False).middle(constants) == pytest.approx(11 + 1)
    assert _time((PHASES[0]._replace(bound=30.0), *PHASES[1:])).middle(StepConstants(0.1)) == 33.0
    calibration: Any = SimpleNamespace(constants=constants, low=0.5, high=2.0)
    found = _time().seconds(calibration)
    assert found is not None
    assert found.middle == pytest.approx(26)
    assert found.low < found.middle < found.high
    assert _time(PHASES[2:], moved=0).seconds(calibration) == Interval(2.0, 3.0, 4.0)
    assert _time(PHASES[1:], moved=0).seconds(calibration) == Interval(3.0, 5.0, 7.0)


def test_phases_of_a_step_are_put_together() -> None:
    """Devices apart overlap where rollouts may be stale; of methods that generate nothing no sequences fall on an engine."""
    passed = Passed(PHASES[1:], "why not")
    generated: Any = SimpleNamespace(timed=PHASES[0], at_once=7, each=5)
    server = SimpleNamespace(weights=lambda: SimpleNamespace(total=99))
    for ask, how, found in (
        (_ask(prompts=3, group=6, apart=4), How(steps_off=1), (True, False, 7, 5, 99, "why not")), (_ask(prompts=3, group=6, apart=4), How(), (False, False, 7, 5, 99, "why not")),
        (_ask(prompts=3, group=6), How(steps_off=1), (False, True, 7, 5, 99, "why not")), (_ask(prompts=3, group=6), How(bound_only=True), (False, True, 7, 5, 99, "bounds alone are asked for")),
    ):  # fmt: skip
        models: Any = SimpleNamespace(ask=ask, server=server)
        one = step.together(models, how, generated, passed)
        assert one[1:] == found
        assert one.phases == PHASES
    alone = step.together(SimpleNamespace(ask=_ask("sft", batch=6), server=None), How(), None, passed)  # type: ignore[arg-type]
    assert (alone.phases, alone.at_once, alone.each, alone.moved) == (PHASES[1:], 0, 0, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Rollouts
# ---------------------------------------------------------------------------------------------------------------------


class Case(SimpleNamespace):
    """A deployment that takes 0.1 s and 0.01 s more for each sequence of an engine for a token, and 2 s for a prompt."""

    def _replace(self, **given: Any) -> Case:
        return Case(**vars(self) | given)


def _predicted(case: Any) -> Any:
    middle = 0.1 + 0.01 * case.concurrency / 4
    return SimpleNamespace(
        tpot=Interval(middle / 2, middle, 2 * middle),
        tpot_bound=middle / 4,
        ttft=Interval(1.0, 2.0, 3.0),
        ttft_bound=0.5,
        prompts_per_second=4 / 2.0,
    )


def test_the_least_seconds_of_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 6 sequences on each of 4 engines: the mean response at the full batch, or the longest alone where all are of one length."""
    monkeypatch.setattr(rollout, "_predicted", _predicted)
    ask: Any = SimpleNamespace(engines=4)
    together, alone = 0.16 / 4, 0.11 / 4
    assert rollout._least_decoding(Case(), Lengths(50, 200), 6, ask) == pytest.approx(max(50 * together, 50 * alone))  # type: ignore[arg-type]
    assert rollout._least_decoding(Case(), Lengths(100, 100), 6, ask) == pytest.approx(100 * together)  # type: ignore[arg-type]
    slow = dict(zip((4, 24), (8.0, 1.0), strict=True))  # a stand-in in which one alone takes longer
    monkeypatch.setattr(rollout, "_predicted", lambda case: SimpleNamespace(tpot_bound=slow[case.concurrency]))
    assert rollout._least_decoding(Case(), Lengths(100, 100), 6, ask) == pytest.approx(800.0)  # type: ignore[arg-type]
    assert rollout._least_decoding(Case(), Lengths(50, 200), 6, ask) == pytest.approx(400.0)  # type: ignore[arg-type]


def test_rollouts_are_prompts_of_each_group_and_steps_of_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """12 prompts on 4 engines, of 2 s each and with 2 answers; responses all of 100 tokens, of 6 at once."""
    monkeypatch.setattr(rollout, "_predicted", _predicted)
    ask = _ask(prompts=12, group=2, prompt=64, response=100, plan=Parallelism(data=4))
    models: Any = SimpleNamespace(ask=ask, longest=164)
    found = rollout._rollout(models, Case(), 6, How())  # type: ignore[arg-type]
    assert found.seconds is not None
    assert found.seconds.middle == pytest.approx(3 * 2.0 + 100 * 0.16)
    assert found.seconds.low == pytest.approx(3 * 1.0 + 100 * 0.08)
    assert found.seconds.high == pytest.approx(3 * 3.0 + 100 * 0.32)
    assert found.bound == pytest.approx(3 * 0.5 + 100 * 0.04)
    assert (found.phase, found.tokens) == ("rollout", 2400)
    assert rollout._rollout(models, Case(), 6, How(bound_only=True)).seconds is None  # type: ignore[arg-type]
    twice = rollout._rollout(models, Case(), 3, How())  # type: ignore[arg-type]
    assert twice.seconds is not None
    assert twice.seconds.middle == pytest.approx(
        3 * 2.0 + 2 * 100 * 0.13
    )  # three at a time: those that wait take as long again


def test_an_engine_takes_as_many_as_its_cache_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "_fitting", lambda *_: 0)
    ask = _ask(prompts=80, group=1, response=9)
    ask.training.hardware = SimpleNamespace(label="chip")  # type: ignore[assignment, misc]
    models: Any = SimpleNamespace(ask=ask, spec=SimpleNamespace(label="model"))
    for room, each, most in ((100, 10, 10), (101, 10, 10), (55, 10, 5), (10, 10, 1)):
        monkeypatch.setattr(rollout, "cache_room", lambda _, room=room, each=each: (room, each))
        assert rollout._at_once(models, Case()) == most  # type: ignore[arg-type]
    monkeypatch.setattr(rollout, "cache_room", lambda _: (9, 10))
    with pytest.raises(RequestError, match="has no room for a sequence"):
        rollout._at_once(models, Case())  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------------------------------


def _held(total: int, usable: int | None = None) -> Held:
    capacity: Any = None if usable is None else SimpleNamespace(usable=usable)
    return Held("training", (SimpleNamespace(value=total),), capacity, spare=3)  # type: ignore[arg-type]


def test_the_peak_holds_most_and_the_decisive_phase_has_the_least_room() -> None:
    few, many = _held(50, 40), _held(60, 90)
    assert (peak((few, many)), decisive((few, many))) == (many, few)
    assert decisive((_held(50), _held(60))) == _held(60)
    assert (many.total, many.least, _held(50).verdict) == (60, 57, None)


def _tried(found: Any) -> list[str]:
    return [one.option for one in found]


def test_changes_of_rollouts() -> None:
    """Of engines of 2 of 8 devices: of 4 and 8; and half of the 8 sequences at once, and half again."""
    ask = _ask(prompts=32, group=1, rollout_tensor=2)
    assert _tried(changes._of_rollouts(ask)) == [
        "--rollout-tensor 4",
        "--rollout-tensor 8",
        "--rollout-batch 4",
        "--rollout-batch 2",
        "--rollout-batch 1",
    ]
    assert next(changes._of_rollouts(ask)).costs == "2 engines; all-reduces in every layer"
    assert [one.ask.rollout_tensor for one in changes._of_rollouts(ask)][:2] == [4, 8]


@pytest.mark.parametrize(
    ("ask", "options"),
    [
        (_ask("sft", batch=8), []), (_ask("dpo", batch=8), ["--sleep all"]), (_ask("dpo", batch=8, asleep=frozenset(SLEEPERS)), []),
        (_ask("grpo", prompts=8, group=1, asleep=frozenset(SLEEPERS)), ["--rollout-tensor 2", "--rollout-tensor 4", "--rollout-tensor 8"]),
    ],
)  # fmt: skip
def test_what_is_tried_of_a_step_whose_training_is_light(ask: Ask, options: list[str]) -> None:
    """Adapters in 8 bits with all layers computed again; ZeRO alone is left, of 8 copies."""
    found = _tried(changes._candidates(None, ask))  # type: ignore[arg-type]
    assert found == [*options, "--zero 1", "--zero 2", "--zero 3"]


def test_what_else_is_tried_of_training() -> None:
    def options(**given: Any) -> list[str]:
        ask = _ask("sft", batch=8, plan=given.pop("plan", Parallelism()))
        vars(ask.training.how).update(given)
        return _tried(changes._candidates(None, ask))  # type: ignore[arg-type]

    assert options() == []
    assert options(micro_batch=2) == ["--micro-batch 1"]
    assert options(recompute="none") == ["--recompute full"]
    assert options(loss="plain") == ["--loss fused-linear"]
    assert options(loss="plain", plan=Parallelism(tensor=2)) == []
    assert options(optimizer=OPTIMIZERS["adamw"]) == ["--optimizer adam-8bit"]
    assert options(rank=None) == [f"--lora-rank {RANK}"]
    assert options(plan=Parallelism(data=8, zero=2)) == ["--zero 3"]
    assert options(plan=Parallelism(data=8, zero=3)) == []
    assert options(plan=Parallelism(data=2, zero=1)) == ["--zero 2", "--zero 3"]


def test_what_is_tried_is_what_its_option_says() -> None:
    """A step whose training is heavy, of 8 devices: each change by itself, and all else as it was."""
    plan, spec = Parallelism(data=8, zero=1), object()
    ask = _ask("grpo", plan=plan, prompts=32, group=1, rollout_tensor=2, reference=spec)
    vars(ask.training.how).update(micro_batch=2, recompute="none", loss="plain", optimizer=OPTIMIZERS["adamw"], rank=None, again="some")  # fmt: skip
    found = {one.option: one.ask for one in changes._candidates(spec, ask)}  # type: ignore[arg-type]

    def changed(option: str) -> dict[str, Any]:
        how = vars(found[option].training.how)
        return {name: value for name, value in how.items() if value != vars(ask.training.how)[name]}

    assert {option: changed(option) for option in found} == {
        "--sleep all": {}, "--rollout-tensor 4": {}, "--rollout-tensor 8": {}, "--rollout-batch 4": {}, "--rollout-batch 2": {}, "--rollout-batch 1": {},
        "--micro-batch 1": {"micro_batch": 1}, "--recompute full": {"recompute": "full", "again": None}, "--loss fused-linear": {"loss": "fused-linear"},
        "--zero 2": {"plan": plan._replace(zero=2)}, "--zero 3": {"plan": plan._replace(zero=3)}, "--optimizer adam-8bit": {"optimizer": OPTIMIZERS["adam-8bit"]},
        f"--lora-rank {RANK}": {"rank": RANK},
    }  # fmt: skip
    assert found["--sleep all"].asleep == frozenset(SLEEPERS)
    assert [found[f"--rollout-batch {many}"].rollout_batch for many in (4, 2, 1)] == [4, 2, 1]
    assert [found[f"--rollout-tensor {many}"].rollout_tensor for many in (4, 8)] == [4, 8]
    for reference, shares in ((spec, True), (object(), False), (None, False)):
        other = ask._replace(reference=reference)  # type: ignore[arg-type]
        lora = [one.ask for one in changes._candidates(spec, other) if one.option.startswith("--lora")]  # type: ignore[arg-type]
        assert [one.shares_reference for one in lora] == [shares]


def test_each_model_reads_all_sequences_and_what_is_trained_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 rollouts of 150 tokens, trained on in batches of 6 for 3 epochs; a model that reads twice is timed once."""
    monkeypatch.setattr(step, "scoring", lambda spec: f"scoring {spec}")
    calls: list[Any] = []

    def passed(spec: Any, sequences: int, *, forward: bool) -> Any:
        calls.append((spec, sequences, forward))
        return step._Passed(2.0, Interval(1.0, 2.0, 3.0))

    def of(ask: Ask) -> list[tuple[Any, ...]]:
        one: Any = _Trained(SimpleNamespace(ask=ask, longest=900, spec="policy"), None, How())  # type: ignore[arg-type]
        one._passed = passed
        calls.clear()
        return [(phase.phase, phase.tokens, round(phase.bound, 9)) for phase in one.phases()]

    ask = _ask("ppo", prompts=4, group=4, batch=6, prompt=100, response=50, epochs=3, reference="policy", reward="r", value="v")  # fmt: skip
    ask = ask._replace(reference=cast("Any", "policy"))
    assert of(ask) == [
        ("old log-probs", 2400, 2), ("reference", 2400, 2), ("reward", 2400, 2), ("value", 2400, 2), ("training", 7200, 16), ("value training", 7200, 16)
    ]  # fmt: skip
    assert calls == [
        ("policy", 16, True), ("scoring r", 16, True), ("scoring v", 16, True), ("policy", 6, False), ("scoring v", 6, False)
    ]  # fmt: skip
    pairs = _ask("dpo", batch=6, prompt=100, response=50, reference="other")
    assert of(pairs) == [("reference", 12 * 150, 2), ("training", 12 * 150, 2)]
    assert of(pairs._replace(precomputed=True)) == [("training", 12 * 150, 2)]
    assert [phase for phase, *_ in of(_ask(prompts=4, group=4, skips_old=True))] == ["training"]
    assert of(_ask("sft", batch=6)) == [("training", 6 * 900, 2)]


def test_a_pass_is_a_step_or_its_forward_third_of_the_sequences_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 sequences of up to 100 tokens, 40 on average, on 4 copies with room for two of the longest: 3 in each of 4 micro-batches are 12.

    A step of these takes 60 s at the least, of which 30 are computing, and is predicted to take 80, of which 8 are once a step.
    """
    asked: list[Any] = []
    seconds = Interval(60.0, 80.0, 120.0)

    def predicted_step(*given: Any, **named: Any) -> Any:
        asked.append((given[3], given[7], named["base"], named["stack"], named["kernel"]))
        parts = SimpleNamespace(gradients=4.0, optimizer=3.0, step=1.0, seconds=80.0)
        return SimpleNamespace(found=SimpleNamespace(seconds=seconds, parts=parts) if found else None, why="no kernel")

    monkeypatch.setattr(step, "of_plain", lambda spec: f"{spec}")
    monkeypatch.setattr(step, "adapting", lambda model, rank, targets, base: f"{model} {rank} {targets} {base}")
    monkeypatch.setattr(step, "recomputed", lambda *_: "again")
    monkeypatch.setattr(step, "peak_of", lambda *_: ("bf16", 9))
    monkeypatch.setattr(step, "run_of", lambda spec, tokens: (spec, tokens))
    planned: list[Any] = []

    def planned_step(*given: Any) -> Any:
        planned.append(given)
        return SimpleNamespace(step=SimpleNamespace(seconds=Fraction(60), seconds_by={"computing": Fraction(30)}))

    monkeypatch.setattr(step, "planned_step", planned_step)
    monkeypatch.setattr(step, "predicted_step", predicted_step)
    ask = _ask("grpo", plan=Parallelism(data=4), prompts=5, group=2, prompt=30, response=10)
    vars(ask.training.how).update(micro_batch=2, rank=8, lora_targets="all", base="nf4", again=None, precision=SimpleNamespace(name="bf16", gradients=4))  # fmt: skip
    chip: Any = SimpleNamespace(device=lambda: None, cluster=lambda: "cluster")

    def of(*, forward: bool, how: How = How(stack="s", kernel="k"), sequences: int = 10) -> Any:
        one = _Trained(SimpleNamespace(ask=ask, longest=100), chip, how)  # type: ignore[arg-type]
        monkeypatch.setattr(_Trained, "_redone", lambda *_: "redone")
        found = one._passed("spec", sequences, forward=forward)  # type: ignore[arg-type]
        return found, one.why

    for found in (True, False):
        whole, why = of(forward=False)
        batch, share = step.packed(10, 4, 2, 40, 100)
        assert (batch.sequences, batch.micro, share) == (12, 3, Fraction(10, 12))
        assert whole.bound == pytest.approx(60 * 10 / 12)
        ahead, _ = of(forward=True)
        assert ahead.bound == pytest.approx(30 * 10 / 12 / 3)
        if found:
            assert tuple(whole.seconds) == pytest.approx((60 * 10 / 12, 80 * 10 / 12, 120 * 10 / 12))
            middle = (80 - 8) * 10 / 12 / 3
            assert tuple(ahead.seconds) == pytest.approx((0.75 * middle, middle, 1.5 * middle))
            assert why == ""
            bounds, _ = of(forward=False, how=How(bound_only=True))
            assert (bounds.seconds, bounds.bound) == (None, whole.bound)
        else:
            assert (whole.seconds, why, ahead.seconds) == (None, "no kernel", None)
    assert {one[2] for one in asked} == {None, "nf4"}
    assert [one[2] for one in asked[:2]] == ["nf4", None]
    assert planned[0][0] == "spec 8 all nf4"
    assert planned[1][0] == "spec"
    assert planned[0][-1] == "redone"
    assert planned[1][-1] == Recomputed()
    assert planned[0][1] == ("spec", 40)
    seconds, found = Interval(1.0, 2.0, 3.0), True
    fast, _ = of(forward=False)
    assert fast.seconds.low == fast.bound, "no end is below what is possible"


def test_micro_batches_of_a_pipeline_are_filled_up() -> None:
    """Of 2 x 100 tokens with 3 sequences of 40, 66 fall on each, and on one device of a pipeline 40; never fewer than there are."""
    for pipeline, micro, tokens in ((1, 3, 40), (2, 3, 66), (2, 5, 40), (4, 2, 100)):
        ask = _ask("grpo", plan=Parallelism(pipeline=pipeline), prompts=5, group=2, prompt=30, response=10)
        vars(ask.training.how).update(micro_batch=2)
        one = _Trained(SimpleNamespace(ask=ask, longest=100), None, How())  # type: ignore[arg-type]
        assert one._filled(Batch(10, micro)) == tokens


def test_devices_ahead_decode_the_rollouts_of_as_many_steps_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3 steps, 18 of 6 each on 2 engines, 9 on one; a step takes a third. Devices that train too are never ahead."""
    asked: list[Any] = []
    monkeypatch.setattr(rollout, "models_of", lambda spec, ask: SimpleNamespace(spec=spec, ask=ask))
    monkeypatch.setattr(rollout, "_rollout_case", lambda *_: "case")

    def at_once(models: Any, _: Any) -> int:
        asked.append(models.ask.rollouts)
        return 4

    monkeypatch.setattr(rollout, "_at_once", at_once)
    monkeypatch.setattr(rollout, "_rollout", lambda *_: Timed("rollout", 3.0, Interval(6.0, 9.0, 12.0), 30))
    for apart, steps_off, found in (
        (2, 3, (18, 9, 1.0, (2.0, 3.0, 4.0), 10)), (2, 1, (6, 3, 3.0, (6.0, 9.0, 12.0), 30)),
        (2, 0, (6, 3, 3.0, (6.0, 9.0, 12.0), 30)), (None, 3, (6, 1, 3.0, (6.0, 9.0, 12.0), 30)),
    ):  # fmt: skip
        ask = _ask(prompts=3, group=2, apart=apart)
        vars(ask.training)["hardware"] = "chip"
        one = rollout.generation(SimpleNamespace(spec="s", ask=ask), How(steps_off=steps_off))  # type: ignore[arg-type]
        timed = one.timed
        assert timed.seconds is not None
        assert (asked.pop(), one.each, timed.bound, tuple(timed.seconds), timed.tokens) == found
        assert one.at_once == 4


def test_all_phases_fit_or_it_does_not() -> None:
    def one(*, fits: bool | None) -> Any:
        capacity = None if fits is None else SimpleNamespace(fits=lambda _: fits)
        return SimpleNamespace(capacity=capacity, total=1)

    for phases, fits in (((None, True), True), ((True, False), False), ((False, False), False), ((), True)):
        assert changes.fitting(tuple(one(fits=each) for each in phases)) == fits


def test_a_forward_pass_is_a_third_of_a_step() -> None:
    assert Fraction(1, 3) == step.FORWARD


def answered_step(monkeypatch: pytest.MonkeyPatch, how: How = How(), **changed: Any) -> tuple[Any, list[Any]]:
    """A step of which all is stood in for but its tokens; what these were counted of."""
    counted: list[Any] = []
    given: dict[str, Any] = {
        "method": "grpo",
        "rollouts": 12,
        "batch": None,
        "prompt": 30,
        "response": 40,
        "group": 4,
        "epochs": 2,
    }
    given |= {"training": SimpleNamespace(hardware="chip"), "waiting": (3, 0), "apart": None}
    ask: Any = SimpleNamespace(**given | changed)
    context = SimpleNamespace(known="assumed")
    models = SimpleNamespace(longest=500, ask=ask, spec="model", policy=SimpleNamespace(context=context))
    time = SimpleNamespace(
        seconds=lambda calibration: calibration.seconds, bound=5.0, moved=7, colocated=True, at_once=3
    )
    constants = StepConstants(moved_colocated=0.25)
    calibration = SimpleNamespace(seconds=SimpleNamespace(middle=8.0), constants=constants)
    stand_ins: dict[str, Any] = {
        "models_of": lambda *_: models,
        "step_time": lambda *_: time,
        "passes": lambda *of: counted.extend(of),
        "shipped": lambda: calibration,
        "rent_of": lambda *of: of,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(answered_module, name, stand_in)
    spec: Any = "model"
    return answered_module.answered(spec, Asked(ask, how, Fraction(2))), counted


def test_tokens_of_a_step_are_of_its_responses_or_its_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of SFT a sequence is all prompt; of a method that generates nothing it is a batch, or nothing is said."""
    assert answered_step(monkeypatch)[1] == ["grpo", 12, 30, 40, 4, 2]
    assert answered_step(monkeypatch, method="sft", rollouts=0, batch=9)[1] == ["sft", 9, 500, 0, 4, 2]
    assert answered_step(monkeypatch, method="dpo", rollouts=0, batch=9)[1] == ["dpo", 9, 30, 40, 4, 2]
    one, counted = answered_step(monkeypatch, rollouts=0, batch=None)
    assert counted[1] == one.sequences == 0
    assert answered_step(monkeypatch, rollouts=0, batch=9)[0].sequences == 9
    assert answered_step(monkeypatch)[0].sequences == 12


def test_a_step_is_as_long_as_predicted_or_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of 7 bytes take 0.25 s each; nothing is moved in no time."""
    one, bound = answered_step(monkeypatch)[0], answered_step(monkeypatch, How(bound_only=True))[0]
    assert (one.middle, bound.middle, bound.seconds) == (8.0, 5.0, None)
    assert (one.moving, one.known, one.rent) == (1.75, "assumed", ("chip", 2))
    still: Any = SimpleNamespace(moved=0, colocated=True)
    assert one._replace(time=still).moving == 0.0
    one.models.policy.context.known = "exact"
    assert one.known == "predicted"
    with pytest.raises(RequestError, match="a step is timed on hardware"):
        answered_step(monkeypatch, training=SimpleNamespace(hardware=None))


def test_models_are_held_with_as_many_sequences_as_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one, held = answered_step(monkeypatch)[0], cast("Any", answered_module.models_held)
    assert held(one) is one.models
    assert held(one._replace(time=SimpleNamespace(at_once=0))) is one.models
    monkeypatch.setattr(answered_module, "models_of", lambda spec, batch: (spec, batch))
    one.models.ask._replace = lambda rollout_batch: rollout_batch
    assert held(one._replace(time=SimpleNamespace(at_once=2))) == ("model", 2)


def test_logits_that_a_forward_pass_keeps_are_those_of_its_loss() -> None:
    """Stages before the last have none."""
    needs = SimpleNamespace(gradients=SimpleNamespace(total=5), activations=SimpleNamespace(total=7))
    for loss, kept in ((None, 0), (SimpleNamespace(kept=11), 11)):
        model: Any = SimpleNamespace(needs=lambda _: needs, loss=lambda _, loss=loss: loss)
        assert [line.value for line in phases_module._forward_kept(model, 0)] == [5, 7, kept]
