"""Runs of a small model counted on paper: at which lengths, by which convention, and what may be said of its quantities."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.catalogue.hardware import find_hardware
from tscale.core.costs.step_time import Batch
from tscale.core.metric import Figure, Missing
from tscale.core.parallelism import Parallelism
from tscale.core.units import PARAMETERS, SECONDS
from tscale.errors import NotPublishedError
from tscale.estimates import assumed, caveats, metrics, release_words, trained, truths, utilisation
from tscale.estimates.attention import Ask as AttentionAsk
from tscale.estimates.attention import crossovers
from tscale.estimates.explaining import counted
from tscale.estimates.metrics import CLAIMABLE, subject_of
from tscale.estimates.recomputed import Recomputed
from tscale.estimates.serve import sweep
from tscale.estimates.serve.times import Ask as Serving
from tscale.estimates.serve.times import Draft, memory_of, served
from tscale.estimates.train import answered, derived, planned, prediction
from tscale.estimates.train import data as train_data
from tscale.estimates.train.ask import Ask
from tscale.models.spec import Corrected, Published, Stage, Training
from tscale.models.undisclosed import UndisclosedSpec

TEXT = (
    "name: small\ntitle: Small\nlayers: 2\nd_model: 64\nvocabulary: 512\ncontext: {}\ntied: true\nattention: {}\npositions: {{kind: rotary}}\n"
    "norm: {{kind: rmsnorm}}\nfeed_forward: {{d_ff: 256}}\n"
)
BARE = spec(TEXT.format(1000, "{heads: 4}"))
PRODUCTS = 2 * (4 * 64 * 64 + 2 * 64 * 256) + 64 * 512
"""Weights that a token is multiplied with, the head's among them."""
RANK = 2 * 4 * (16 + 16)
PARAMS = PRODUCTS + 5 * 64
H100 = find_hardware("h100")


def _stage(tokens: int | None, context: int | None, source: str = "brown2020", **given: Any) -> Stage:
    return Stage(tokens=tokens, context=context, source=source, evidence="primary", **given)


def _run(*stages: Stage, model: Any = BARE, **given: Any) -> Any:
    return replace(model, training=Training(stages=stages), **given)


THREE = _run(_stage(10**6, 100), _stage(2 * 10**5, 400, up_to=True, note="a note."), _stage(None, 900))


def _training_flops(tokens: int, context: int, *, causal: bool = False) -> Fraction:
    """Three times forward, of sequences of a length."""
    seen = Fraction(context + 1, 2) if causal else Fraction(context)
    return 3 * tokens * (2 * PRODUCTS + 2 * seen * RANK)


# ---------------------------------------------------------------------------------------------------------------------
# Lengths and tokens
# ---------------------------------------------------------------------------------------------------------------------


def test_a_run_is_its_stages_or_what_is_asked() -> None:
    """Its own where nothing is asked or as many tokens as it had; else all tokens at one length, that of the first stage if none is said."""
    for tokens, context, stages in (
        (None, None, [(10**6, 100), (2 * 10**5, 400)]), (1_200_000, None, [(10**6, 100), (2 * 10**5, 400)]), (7, None, [(7, 100)]),
        (None, 50, [(1_200_000, 50)]), (7, 50, [(7, 50)]), (1_200_000, 50, [(1_200_000, 50)]),
    ):  # fmt: skip
        run = trained.trained(THREE, tokens, context)
        assert [(stage.ran_through, int(stage.context.value)) for stage in run.stages] == stages
        assert int(run.tokens.value) == sum(many for many, _ in stages)
        assert run.first is run.stages[0]
        for sight, causal in (("full", False), ("causal", True)):
            exact = sum(_training_flops(*stage, causal=causal) for stage in stages)
            assert run.flops(counted(THREE), sight) == exact  # type: ignore[arg-type]
    with pytest.raises(NotPublishedError, match="its training tokens are not known"):
        trained.trained(BARE, None, 50)
    unknown = _run(_stage(None, 100))
    with pytest.raises(NotPublishedError):
        trained.trained(unknown, None, None)
    assert int(trained.trained(unknown, 5, None).first.context.value) == 100


def test_lines_of_each_stage_are_derived_under_names_of_their_own() -> None:
    for sight, tag in (("full", ""), ("causal", "causal.")):
        for stage, own in zip(trained.trained(THREE, None, None).stages, ("", "stage_2."), strict=True):
            names = [name for name, _ in stage.derived(counted(THREE), sight)]  # type: ignore[arg-type]
            assert names[-1] == f"{own}forward_{sight}"
            assert all(name.startswith(f"{own}{tag}attention.") or "attention" not in name for name in names[:-1])


def test_published_shortcuts_are_of_dense_models() -> None:
    mixed = spec(TEXT.format(1000, "{heads: 4}").replace("{d_ff: 256}", "[{d_ff: 96, on: {first: 1}}, {kind: experts, experts: 8, top_k: 2, d_ff: 32}]"))  # fmt: skip
    for model, said in ((BARE, False), (mixed, True)):
        assert any("active parameters" in line for line in caveats.departures(model)) == said


def test_what_is_said_of_a_run() -> None:
    run = trained.trained(THREE, None, None)
    assert run.lengths_text() == "100 tokens, then 400"
    assert run.known == "assumed", "the second stage is an upper bound"
    assert [stage.known for stage in run.stages] == ["exact", "assumed"]
    (lead,) = run.lead
    assert lead.startswith("The last 200,000 tokens of Small are counted in sequences of 400 tokens, an upper bound")
    assert [one["tokens"] is None for one in run.data()] == [False, False, True]  # type: ignore[index, call-overload]
    first, second, uncounted = run.notes
    assert first.startswith("1,000,000 of its tokens in sequences of 100 tokens (")
    assert second.endswith(": a note.")
    assert "was also trained in sequences of 900 tokens" in uncounted
    assert run.tokens.note == "the sum of its 2 stages"
    assert [stage.tag for stage in run.stages] == ["", "stage_2."]
    assert trained.training_lengths(THREE) == "100, then 400, then 900"
    plain = trained.trained(_run(_stage(5, 100)), None, None)
    assert (plain.notes[0][:33], plain.lengths_text()) == ("Tokens: those it was trained on (", "100 tokens")
    bounded = [_stage(n, 100 * n, up_to=True) for n in (1, 2, 3)]
    for count, which in ((1, ["1"]), (2, ["first 1", "last 2"]), (3, ["first 1", "next 2", "last 3"])):
        leads = trained.trained(_run(*bounded[:count]), None, None).lead
        assert [lead.removeprefix("The ").partition(" tokens")[0] for lead in leads] == which
    asked = trained.trained(_run(bounded[0]), 9, None)
    assert asked.first.up_to, "at the length of a stage that is an upper bound"
    assert not trained.trained(_run(bounded[0]), 9, 50).first.up_to
    for several, said in (
        ((_stage(5, 100), _stage(5, None)), "100 tokens, then 1,000 (assumed)"), ((_stage(5, None), _stage(5, 100)), "1,000 tokens (assumed), then 100"),
        ((_stage(5, 100), _stage(5, 400), _stage(5, 400)), "100 tokens, then 400"),
        ((_stage(5, 100), _stage(7, 100), _stage(5, 400)), "100 tokens, then 400"),
    ):  # fmt: skip
        assert trained.trained(_run(*several), None, None).lengths_text() == said
    unsure = trained.trained(_run(_stage(5, None)), None, None)
    assert unsure.lengths_text() == "1,000 tokens (assumed)"


def test_the_length_of_training_is_asked_for_or_of_the_first_stage_or_assumed() -> None:
    for model, asked, value, known in (
        (THREE, None, 100, "cited"), (THREE, 50, 50, "exact"), (BARE, None, 1000, "assumed"), (_run(_stage(5, None)), None, 1000, "assumed"),
        (replace(BARE, context=10_000), None, 8192, "assumed"), (replace(BARE, context=None), None, 1024, "assumed"), (replace(THREE, context=None), None, 100, "cited"),
        (replace(_run(_stage(5, None)), context=None), None, 1024, "assumed"),
    ):  # fmt: skip
        found = trained.training_length(model, asked)
        assert (int(found.value), found.known) == (value, known)
    assert trained.training_lengths(BARE) == "1,000 (assumed)"


def test_tokens_of_a_whole_run_are_published_or_a_sum() -> None:
    one = trained.published_total(_run(_stage(5, 100)))
    assert one is not None
    assert (one.value, one.known, one.source) == (5, "cited", "brown2020")
    total = trained.published_total(THREE)
    assert total is not None
    assert (total.value, total.known) == (1_200_000, "exact")
    for value, known in ((1_200_000, "cited"), (1_200_001, "exact")):
        said = {"training_tokens": (Published(value=value, source="hoffmann2022", evidence="primary"),)}
        found = trained.published_total(replace(THREE, published=said))
        assert found is not None
        assert (found.value, found.known) == (1_200_000, known)
    assert trained.published_total(BARE) is None
    assert trained.published_total(_run(_stage(None, 100))) is None
    rows: list[Any] = trained.published_stages(THREE)
    assert [(row["tokens"], row["context"], row["up_to"]) for row in rows] == [
        (10**6, 100, False), (2 * 10**5, 400, True), (None, 900, False)
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Quantities that models are asked for
# ---------------------------------------------------------------------------------------------------------------------


def _value(key: str, model: Any = THREE, context: int | None = None) -> Any:
    answer = CLAIMABLE[key].answer(subject_of(model, context))
    return answer.value if isinstance(answer, Figure) else answer


def test_quantities_of_a_small_model() -> None:
    """At 100 tokens, the first stage's: a forward pass of two FLOPs for each weight, and for each pair of tokens."""
    values = {
        "layers": 2, "heads": 4, "kv_heads": 4, "head_dim": 16, "d_model": 64, "d_ff": 256, "vocabulary": 512, "context": 1000, "training_context": 100,
        "params": PARAMS, "active_params": PARAMS, "non_embedding_params": PARAMS - 64 * 512, "flops_per_token": 2 * PRODUCTS + 2 * 100 * RANK,
        "attention_share": Fraction(100 * RANK, PRODUCTS + 100 * RANK), "kv_bytes_per_token": 2 * 2 * 2 * 64, "training_tokens": 1_200_000,
        "training_flops": _training_flops(10**6, 100) + _training_flops(2 * 10**5, 400),
    }  # fmt: skip
    assert {key: _value(key) for key in values} == values
    assert _value("flops_per_token", context=50) == 2 * PRODUCTS + 2 * 50 * RANK
    assert _value("training_context", context=50) == 100
    assert _value("training_flops", context=50) == _training_flops(1_200_000, 50)
    assert _value("kv_bytes_per_token", spec(TEXT.format(1000, "{heads: 4, window: 64}")), 128) == 2 * 2 * 64
    for key in ("training_tokens", "training_flops", "published_params", "year"):
        found = CLAIMABLE[key].answer(subject_of(BARE))
        assert isinstance(found, Missing)
    mixed = spec(TEXT.format(1000, "[{heads: 4, on: {first: 1}}, {heads: 8}]"))
    heads = metrics._of_mixers("heads")(subject_of(mixed))
    assert heads == Missing("4 or 8", settled=True)
    assert metrics._of_mixers("heads")(subject_of(BARE)).value == 4  # type: ignore[union-attr]
    none: Any = SimpleNamespace(spec=SimpleNamespace(mixers=(), d_model=64))
    assert metrics._of_mixers("heads")(none) == Missing("none: no attention", settled=True)
    assert metrics._the_only(set(), none) == Missing("none", settled=True)
    for kind, said in (("sinusoidal", "no limit"), ("rotary", "not published")):
        endless: Any = SimpleNamespace(spec=SimpleNamespace(context=None, positions=SimpleNamespace(kind=kind)))
        found = metrics._trained_context(endless)
        assert isinstance(found, Missing)
        assert found.why == said


def test_what_rests_on_an_assumed_length_is_assumed() -> None:
    for model, asked, known in (
        (BARE, None, "assumed"), (BARE, 50, "exact"), (THREE, None, "exact"), (_run(_stage(5, 100, up_to=True)), None, "assumed"),
        (_run(_stage(5, 100, up_to=True)), 50, "exact"), (_run(_stage(5, 100), _stage(5, 100, up_to=True)), None, "exact"),
    ):  # fmt: skip
        assert subject_of(model, asked).known == known
        answer = CLAIMABLE["flops_per_token"].answer(subject_of(model, asked))
        assert isinstance(answer, Figure)
        assert answer.known == known
    cache = CLAIMABLE["kv_bytes_per_token"]
    windowed = spec(TEXT.format(1000, "{heads: 4, window: 64}"))
    known_of = [cache.answer(subject_of(model)).known for model in (BARE, windowed)]  # type: ignore[union-attr]
    assert known_of == ["exact", "assumed"], "each token adds as much, whatever the length, where there is no window"


def test_published_figures_are_shown_where_they_are_not_known_to_be_wrong() -> None:
    right = Published(value=5, source="a", evidence="primary")
    wrong = Published(value=7, source="b", evidence="primary", corrected=Corrected(value=6, source="c"))
    for several, shown in (((wrong, right), right), ((wrong,), wrong), ((right, wrong), right), ((), None)):
        model = replace(BARE, published={"params": several} if several else None)
        assert metrics.shown_figure(model, "params") == shown
        found = metrics._published("params", PARAMETERS)(subject_of(model))
        assert found == metrics.NOT_PUBLISHED if shown is None else found.value == shown.value  # type: ignore[union-attr]
    assert metrics.claimable("Parameters") is CLAIMABLE["params"]
    assert metrics.claimable("forward FLOPs a token") is CLAIMABLE["flops_per_token"]
    assert metrics.claimable("no-such") is None


# ---------------------------------------------------------------------------------------------------------------------
# What may be claimed
# ---------------------------------------------------------------------------------------------------------------------


def _truths(key: str, model: Any = THREE) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for truth in truths.truths_of(CLAIMABLE[key], subject_of(model)).right:
        found.setdefault(truth.basis, []).append(truth.figure.value)
    return found


def test_training_flops_may_be_claimed_by_any_convention() -> None:
    """6·N·D with all tokens or those of the first stage, N as counted, as published or as the model is called."""
    published = {"params": (Published(value=100_000, source="brown2020", evidence="primary"), Published(value=200_000, source="brown2020", evidence="primary"))}  # fmt: skip
    called = replace(THREE, title="Small 0.13M", published=published)
    found = _truths("training_flops", called)
    exact = sum(_training_flops(*stage) for stage in ((10**6, 100), (2 * 10**5, 400)))
    causal = sum(_training_flops(*stage, causal=True) for stage in ((10**6, 100), (2 * 10**5, 400)))
    assert found["exact"] == [exact]
    assert found["exact_causal"] == [causal]
    for n, whose in ((PARAMS, ""), (130_000, "_called")):
        assert found[f"six_nd{whose}"] == [6 * n * 1_200_000]
        assert found[f"six_nd{whose}_first_stage"] == [6 * n * 10**6]
    assert "six_nd_published" not in found, "100,000 is more than a tenth off"
    assert "megatron_recompute" not in found
    near = _truths("training_flops", replace(THREE, published={"params": (Published(value=PARAMS + 1000, source="brown2020", evidence="primary"),)}))  # fmt: skip
    assert near["six_nd_published"] == [6 * (PARAMS + 1000) * 1_200_000]


def test_of_two_stacks_a_token_meets_half_of_the_parameters() -> None:
    run: Any = SimpleNamespace(tokens=SimpleNamespace(value=1_000), stages=(1,))
    both, one = ([*truths._of_sizes(subject_of(BARE), run, two=two)] for two in (True, False))
    assert [(truth.basis, truth.figure.value) for truth in both] == [("three_nd", 3 * PARAMS * 1_000)]
    assert one == []


def test_what_is_counted_comes_first_and_what_was_published_beside_it() -> None:
    misprint = Published(value=7, source="b", evidence="primary", corrected=Corrected(value=6, source="c"))
    told: Any = {"params": (Published(value=5, source="a", evidence="primary"), misprint)}
    found = truths.truths_of(CLAIMABLE["params"], subject_of(replace(BARE, published=told)))
    assert [(truth.figure.value, truth.basis) for truth in found.right] == [
        (PARAMS, "counted"), (5, "published"), (6, "published")
    ]  # fmt: skip
    assert found.misprints == (misprint,)
    assert found.missing is None
    own = found.counted()
    assert own is not None
    assert own.value == PARAMS
    same: Any = {"params": (Published(value=PARAMS, source="a", evidence="primary"),)}
    assert [truth.basis for truth in truths.truths_of(CLAIMABLE["params"], subject_of(replace(BARE, published=same))).right] == ["published"]  # fmt: skip
    nothing = truths.truths_of(CLAIMABLE["training_tokens"], subject_of(BARE))
    assert (nothing.right, nothing.missing, nothing.counted()) == ((), metrics.NOT_PUBLISHED, None)
    assert _truths("training_tokens") == {"counted": [1_200_000], "published": [10**6]}
    assert _truths("training_tokens", _run(_stage(5, 100))) == {"published": [5]}
    assert _truths("training_context") == {"published": [100, 400, 900]}
    assert _truths("training_context", BARE) == {}
    windowed = spec(TEXT.format(1000, "{heads: 4, window: 64}"))
    lengths = _truths("kv_bytes_per_token", _run(_stage(5, 128), model=windowed))
    assert lengths == {"counted": [2 * 2 * 64, 2 * 2 * 2 * 64]}, "and what a token adds before the window is full"


def test_of_a_model_whose_shape_is_not_known_its_year_alone_is() -> None:
    for year, value in ((2024, 2024), (None, None)):
        hidden: Any = UndisclosedSpec.__new__(UndisclosedSpec)
        object.__setattr__(hidden, "year", year)
        found = truths.truths_of(CLAIMABLE["year"], hidden)
        assert [truth.figure.value for truth in found.right] == ([] if value is None else [value])
        assert (found.missing == Missing("n/a")) == (year is None)
        other = truths.truths_of(CLAIMABLE["params"], hidden)
        assert other.missing == Missing("undisclosed: its shape was never published")


def test_a_model_that_is_counted_like_another_has_assumed_figures_but_quoted_ones() -> None:
    like: Any = SimpleNamespace(assumed=object())
    plain: Any = SimpleNamespace(assumed=None)
    for known, became in (("exact", "assumed"), ("cited", "cited"), ("predicted", "assumed")):
        figure = Figure(5, SECONDS, known)  # type: ignore[arg-type]
        assert assumed.answer_of(figure, like).known == became
        assert assumed.answer_of(figure, plain) == figure
    assert assumed.answer_of(Missing("no"), like) == Missing("no")
    assert assumed.answer_of("decoder", like) == "decoder"


# ---------------------------------------------------------------------------------------------------------------------
# Words about releases
# ---------------------------------------------------------------------------------------------------------------------


def test_what_a_release_keeps_is_said_in_a_sentence() -> None:
    def rule(format: str, *parts: str, layers: Any = None) -> Any:
        return SimpleNamespace(format=format, parts=parts, layers=layers)

    def release(format: str | None, *rules: Any) -> Any:
        return SimpleNamespace(format=format, rules=rules, rest="bf16", method=None)

    for said, words in (
        (release("fp8"), "matrices of layers in fp8; all else in bf16."), (release(None, rule("mxfp4", "experts")), "mxfp4 in experts; all else in bf16."),
        (release("fp8", rule("bf16", "attention", "head")), "matrices of layers in fp8 but for attention, head; all else in bf16."),
        (release("fp8", rule("fp4", "up", layers=(3,)), rule("bf16", "q", layers=(0, 1, 2, 3, 4, 5)), rule("bf16", "k", layers=tuple(range(8)))),
         "matrices of layers in fp8, fp4 in up of layer 3 but for q of layers 0, 1, 2, 3, 4, 5, k of layers 0, 1, 2, 3, 4, 5 and 2 more; all else in bf16."),
    ):  # fmt: skip
        assert release_words.words(said) == words
    assert [release_words.method(SimpleNamespace(method=one)) for one in ("awq", None)] == [" (awq)", ""]  # type: ignore[arg-type]


def test_a_release_is_noted_with_what_was_not_read_of_it() -> None:
    """What stands in a format or has rules is said; of one that has neither only what was not read."""

    def note(format: str | None, *rules: Any, unread: tuple[str, ...] = (), method: str | None = None) -> str:
        said = SimpleNamespace(format=format, rules=rules, rest="bf16", method=method, unread=unread)
        return release_words.release_note(SimpleNamespace(label="It", weights=said))  # type: ignore[arg-type]

    experts = SimpleNamespace(format="mxfp4", parts=("experts",), layers=None)
    assert note("fp8") == "It is released with matrices of layers in fp8; all else in bf16."
    assert note(None, experts) == "It is released with mxfp4 in experts; all else in bf16."
    assert note("fp8", experts, method="awq") == (
        "It is released (awq) with matrices of layers in fp8, mxfp4 in experts; all else in bf16."
    )
    assert note(None, unread=("a", "b")) == "It: Not read: a. Not read: b."
    assert note("fp8", unread=("a",)).endswith("in bf16. Not read: a.")
    assert release_words.release_note(SimpleNamespace(weights=None)) == ""  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------------
# Attention and the rest
# ---------------------------------------------------------------------------------------------------------------------


def test_a_cache_outweighs_the_weights_beside_its_states_or_never() -> None:
    """Layers of attention keep 2 bytes of 2·64 numbers a token; a recurrent layer keeps a state that does not grow."""
    recurrent = "{kind: mamba2, heads: 4, d_head: 32, d_state: 16}"
    for text, why in (("{heads: 4}", None), (recurrent, "never: the state does not grow")):
        model = counted(spec(TEXT.format(1000, text)))
        found = crossovers(model, AttentionAsk())["cache_equals_weights"]
        if why is None:
            assert isinstance(found, Figure)
            assert found.value == -(-PARAMS // (2 * 2 * 64))
        else:
            assert found == Missing(why)
    encoder = counted(replace(BARE, kind="encoder", head=replace(BARE.head, kind="masked")))
    assert crossovers(encoder, AttentionAsk())["cache_equals_weights"] == Missing("none: an encoder keeps no cache")


# ---------------------------------------------------------------------------------------------------------------------
# Timed runs
# ---------------------------------------------------------------------------------------------------------------------


def test_one_published_run_is_one() -> None:
    for many, known, said in (
        (1, 0, "1 run of its shape ± 10%"), (2, 0, "2 runs of its shape ± 10%"), (5, 99, "99 published runs"), (1, 1, "1 published run"),
    ):  # fmt: skip
        runs: Any = ("run",) * many
        found = utilisation.Utilisation(Fraction(1, 4), Fraction(2, 5), Fraction(1, 2), runs, (), Fraction(1), known)
        assert (found.error() == utilisation.OWN_HOURS) == (known == 0)
        assert found.said() == f"MFU assumed: 40.0% (25.0% to 50.0%: {said}, with restarts)."
        steps = found.over(Fraction(4, 5))
        assert steps[:3] == (Fraction(5, 16), Fraction(1, 2), Fraction(5, 8))
        assert steps.said() == f"MFU assumed: 50.0% (31.2% to 62.5%: {said}, of steps alone)."
        capped = found.within(Fraction(9, 20))
        assert capped[:3] == (Fraction(1, 4), Fraction(2, 5), Fraction(9, 20))
    assert [utilisation.percent_text(Fraction(share)) for share in ("1", "0.5", "0.123456")] == ["100%", "50.0%", "12.3%"]  # fmt: skip


def test_a_utilisation_is_assumed_where_it_does_not_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[Fraction] = []

    class Found(SimpleNamespace):
        def within(self, most: Fraction) -> str:
            limits.append(most)
            return "assumed"

        def over(self, goodput: Fraction) -> Any:
            assert goodput == Fraction(935, 1000), "the mean of 90 and 97%"
            return SimpleNamespace(within=lambda most: ("of steps", most))

    monkeypatch.setattr(answered, "assumed_utilisation", lambda *_: Found())
    monkeypatch.setattr(answered, "case_of", lambda *_: None)
    model: Any = SimpleNamespace(ledger=None)
    half, ten = Fraction(1, 2), Fraction(10)
    for ask, follows in (
        (Ask(gpus=8), False), (Ask(days=ten), False), (Ask(gpus=8, days=ten), True), (Ask(gpus=8, mfu=half), True), (Ask(gpus=8, tokens_per_second=ten), True),
        (Ask(days=ten, mfu=half), True),
    ):  # fmt: skip
        found: Any = answered._assumed(model, H100, ask, "bf16", 1, Fraction(4, 3))
        assert found == (None if follows else "assumed")
    assert set(limits) == {Fraction(3, 4)}
    lost: Any = answered._assumed(model, H100, Ask(gpus=8, goodput=half), "bf16", 1, Fraction(4, 3))
    assert lost == ("of steps", Fraction(3, 4))


def test_goodput_is_told_where_hours_have_no_failures_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answered, "goodput_of", lambda gpus, given: (gpus, given))
    whole = utilisation.Utilisation(Fraction(1), Fraction(1), Fraction(1), (), (), Fraction(1), 9)
    predicted, share = prediction.PlanUtilisation(Fraction(1), Fraction(1), Fraction(1)), Fraction(9, 10)
    measured = Ask(gpus=8, days=Fraction(3))
    for ask, assumed_, told in (
        (Ask(gpus=8), predicted, True), (Ask(gpus=8), whole, False), (Ask(gpus=8), None, True), (measured, None, False), (measured, predicted, False),
        (measured._replace(goodput=share), None, True), (Ask(gpus=8, goodput=share), whole, True),
    ):  # fmt: skip
        found: Any = answered._goodput(8, ask, assumed_)
        assert found == ((8, ask.goodput) if told else None)


def test_a_plan_is_asked_with_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(known="exact")
    whole: Any = SimpleNamespace(first=SimpleNamespace(run=SimpleNamespace(plain="run"), context=context))
    monkeypatch.setattr(planned, "planned_step", lambda *_: SimpleNamespace(step=SimpleNamespace(seconds=7)))
    monkeypatch.setattr(planned, "with_towers", lambda *_: "model")
    monkeypatch.setattr(planned, "of_plain", lambda *_: "model")
    monkeypatch.setattr(planned, "adapting", lambda *_: "model")
    monkeypatch.setattr(planned, "as_bounds", lambda step, known: (step.step.seconds, known))
    monkeypatch.setattr(planned, "plan_memory", lambda *given: (given[2].how, given[3]))
    monkeypatch.setattr(planned, "predicted_step", lambda *_, **given: given)
    model: Any = SimpleNamespace(spec=BARE)

    def of(**given: Any) -> Any:
        return planned.planned_of(model, H100, Ask(**given), whole, "bf16", 1, Recomputed())

    plan, batch = Parallelism(data=8), Batch(64, 2)
    assert of(plan=plan) is None
    assert of(batch=batch) is None
    found = of(plan=plan, batch=batch, recompute="full", rank=4, command="it")
    how, command = found.memory
    assert (how.plan, how.micro_batch, how.batch, how.recompute, how.rank, command) == (plan, 2, 64, "full", 4, "it")
    assert (found.step, found.predicted["known"]) == ((7, "bound"), "predicted")
    assert of(plan=plan, batch=batch, bound_only=True).predicted is None
    assert of(plan=plan._replace(zero=3), batch=batch, base="nf4").predicted["base"] == "nf4"


def test_a_predicted_step_is_the_sum_of_its_parts_and_its_share_of_the_peak() -> None:
    """1,200 FLOPs on 4 devices of 10 FLOP/s in 40 s are three quarters."""
    parts = SimpleNamespace(_asdict=lambda: {"computing": Fraction(30), "sums": Fraction(10), "host": Fraction(0)})
    found: Any = SimpleNamespace(
        found=SimpleNamespace(seconds=SimpleNamespace(middle=40.0), parts=parts), flops=1200, devices=4, peak=10, known="predicted"
    )  # fmt: skip
    total, share = derived.of_prediction(found, "it")
    assert (total.names, total.numbers, total.figure.value) == ("computing + sums", "30 + 10", 40.0)
    assert (share.numbers, share.figure.value) == ("1200/(4·10·40)", 0.75)
    found.found = None
    assert list(derived.of_prediction(found, "it")) == []


# ---------------------------------------------------------------------------------------------------------------------
# Throughput by batch
# ---------------------------------------------------------------------------------------------------------------------


def test_throughput_is_below_what_computing_or_reading_alone_allow() -> None:
    """At half of the peaks; a draft's work is neither's."""
    ask = Serving(context=1000, output=9, efficiency=Fraction(1, 2))
    found: Any = sweep.throughputs(BARE, H100, ask, (1, 8, 64))
    peak, bandwidth = H100.device().flops_per_second["bf16"], H100.device().memory_bytes_per_second
    for row, batch in zip(found.rows, (1, 8, 64), strict=True):
        tokens = 1004 + 1  # those before the one in the middle, and itself
        flops = batch * (2 * PRODUCTS + 2 * tokens * RANK)
        read = 2 * (PRODUCTS + 5 * 64) + batch * 2 * 2 * 2 * 64 * 1004
        assert row.batch == batch
        assert row.by_compute == pytest.approx(0.5 * batch / (flops / peak), rel=2e-3)
        assert row.by_memory == pytest.approx(0.5 * batch / (read / bandwidth), rel=2e-2)
        assert row.tokens_per_second < 1.001 * min(row.by_compute, row.by_memory), "which are of the step in the middle"
    one = served(BARE, H100, ask)
    fits = [memory_of(one._replace(ask=ask._replace(batch=batch))).fits for batch in (found.most, found.most + 1)]
    assert fits == [True, False]
    guessed = sweep.throughputs(BARE, H100, ask._replace(draft=Draft(None, 3, Fraction(1, 2))), (8,))
    assert (guessed.rows[0].by_compute, guessed.rows[0].by_memory) == (None, None)
    assert guessed.rows[0].tokens_per_second > found.rows[1].tokens_per_second


def test_a_run_is_put_together_of_what_is_given() -> None:
    """Of published runs where nothing is said; of the plan where there is one; a utilisation in causal FLOPs is one of fewer in full ones."""
    flops = _training_flops(10**12, 1000)
    plain = answered.answered(BARE, H100, Ask(tokens=10**12, gpus=8, price=Fraction(3)))
    assert isinstance(plain.assumed, utilisation.Utilisation)
    assert ([case.label for case in plain.cases], plain.known, plain.planned) == (["low", "middle", "high"], "assumed", None)  # fmt: skip
    assert plain.flops == flops
    assert not isinstance(plain.states, str)
    assert (plain.states.gpus, plain.states.total) == (8, 16 * PARAMS)
    middle = plain.cases[1]
    peak = H100.device().flops_per_second["bf16"]
    millionths = round(middle.mfu * 10**6)
    assert middle.seconds == -(-flops * 10**6 // (8 * peak * millionths))
    data: Any = train_data.train_data(plain)
    assert [row["case"] for row in data["range"]] == ["low", "middle", "high"]
    assert data["gpu_hours"].value == Fraction(8 * middle.seconds, 3600)
    assert data["cost_usd"].value == 3 * data["gpu_hours"].value
    assert (data["assumed"], len(data["utilisation_runs"]) > 0, "plan" in data, "media" in data) == (True, True, False, False)  # fmt: skip
    assert data["cost_usd_range"]["low"].value == 3 * Fraction(8 * plain.cases[2].seconds, 3600)
    planned_run = answered.answered(
        BARE, H100, Ask(tokens=10**12, gpus=8, plan=Parallelism(data=8), batch=Batch(64, 2))
    )
    assert isinstance(planned_run.assumed, prediction.PlanUtilisation)
    assert planned_run.planned is not None
    assert planned_run.planned.predicted is not None
    assert planned_run.planned.predicted.found is not None
    seconds = Fraction(planned_run.planned.predicted.found.seconds.middle)
    assert planned_run.cases[1].mfu == _training_flops(64_000, 1000) / (8 * peak * seconds)
    assert planned_run.known == "assumed", "the length of its sequences is assumed"
    held: Any = train_data.train_data(planned_run)
    assert held["memory"]["verdict"] == held["plan"]["memory"]["verdict"] == "fits"
    half = Ask(tokens=10**12, gpus=8, mfu=Fraction(1, 2), flops_count="causal", context=1000)
    (given,) = answered.answered(BARE, H100, half).columns
    found = answered.answered(BARE, H100, half)
    causal = _training_flops(10**12, 1000, causal=True)
    assert found.cases[0].mfu == Fraction(1, 2) * flops / causal
    assert given["mfu"] is not None
    assert (given["mfu"].value, found.known, found.assumed) == (Fraction(1, 2), "exact", None)
    alone: Any = train_data.train_data(found)
    assert (alone["range"], alone["assumed"], alone["utilisation_runs"]) == ([], False, [])
    for case in train_data.timed(BARE, H100, half):
        assert (type(case.gpus), type(case.seconds), case.mfu) == (int, int, found.cases[0].mfu)
