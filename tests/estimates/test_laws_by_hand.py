"""Words and numbers around laws, mixtures, published figures and releases: of stand-ins that one works out by hand."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.catalogue.laws import read_law
from tscale.core.dtypes import DTYPES
from tscale.core.laws.experts import Leverage, Mixture, Run
from tscale.core.metric import Figure
from tscale.core.units import COUNT, NATS, TOKENS
from tscale.errors import RequestError
from tscale.estimates import experts, explaining, hyper, laws, truths
from tscale.estimates import fit as fitting
from tscale.estimates.release import Asked
from tscale.estimates.trained import published_total
from tscale.models.spec import Published, Stage

# ---------------------------------------------------------------------------------------------------------------------
# Published figures
# ---------------------------------------------------------------------------------------------------------------------


def _published(value: float, **given: Any) -> Published:
    return Published(value=value, source="a source", evidence="primary", **given)


def test_how_far_a_count_is_from_what_was_published() -> None:
    assert explaining.difference(110, _published(100)) == Fraction(1, 10)
    assert explaining.difference(90, _published(100)) == Fraction(-1, 10)


def test_numbers_in_a_sentence_are_in_full_below_a_quadrillion() -> None:
    for value, text in (
        (1234, "1,234"),
        (-1234.0, "-1,234"),
        (0.12345, "0.1235"),
        (10**15 - 1, "999,999,999,999,999"),
        (10**15, "1e15"),
        (-(10**15), "-1e15"),
        (Fraction(3, 2), "1.5"),
    ):
        assert explaining.plain_number(value) == text


def test_the_first_published_figure_stands_before_the_others() -> None:
    figures = {"params": (_published(100), _published(80)), "active_params": (_published(50),), "year": ()}
    of: Any = SimpleNamespace(figures=figures.__getitem__)
    wanted: Any = [(name, COUNT, 100) for name in figures]
    data: Any = explaining.published_data(of, wanted)
    assert set(data) == {"params", "active_params"}
    assert (data["params"]["value"].value, data["params"]["difference_percent"].value) == (100, 0)
    assert [one["difference_percent"].value for one in data["params"]["others"]] == [25]
    assert "others" not in data["active_params"]
    assert data["active_params"]["difference_percent"].value == 100
    alone: Any = explaining.published_data(of, wanted, compared=False)
    assert alone["params"]["difference_percent"] is None


def test_a_context_that_is_longer_than_the_trained_one_says_so() -> None:
    def of(context: int | None, audio: int | None = None) -> Any:
        return SimpleNamespace(context=context, audio_frames=audio, label="it")

    for asked, context, audio, value, known, noted in (
        (100, 100, None, 100, "exact", False), (101, 100, None, 101, "exact", True), (101, 100, 50, 101, "exact", False), (101, None, None, 101, "exact", False),
        (None, 100, None, 100, "exact", False), (None, None, None, explaining.ASSUMED_CONTEXT, "assumed", True),
    ):  # fmt: skip
        found = explaining.context_of(of(context, audio), asked)
        assert (int(found.value), found.known, bool(found.note)) == (value, known, noted)


def test_stages_of_training_may_be_claimed_beside_the_total() -> None:
    stages = [
        Stage(tokens=100, context=4, source="s", evidence="primary"),
        Stage(tokens=10, context=32, source="s", evidence="primary"),
        Stage(tokens=5, context=None, source="s", evidence="primary"),
    ]
    assert [one.figure.value for one in truths._of_first_stage(tuple(stages))] == [100]
    assert list(truths._of_first_stage(tuple(stages[:1]))) == []
    assert [(one.figure.value, one.figure.note) for one in truths._of_later_lengths(tuple(stages))] == [
        (32, "stage 2 of 3")
    ]
    known = truths.Truth(Figure(5, TOKENS), "counted")
    assert truths._news([known, known._replace(figure=Figure(6, TOKENS))], [known]) == [
        known._replace(figure=Figure(6, TOKENS))
    ]


def test_a_size_in_a_name_stands_for_the_count_where_it_is_within_a_tenth() -> None:
    assert [truths._alike(size, 100) for size in (90, 89, 110, 111)] == [True, False, True, False]
    of = SimpleNamespace(
        figures=lambda name: {"active_params": (), "params": (_published(95), _published(200))}[name],
        label="Some 98M and 1B model",
    )
    subject: Any = SimpleNamespace(spec=of)
    assert [(size, end) for size, end, _ in truths._other_sizes(subject, 98_000_000)] == [(98_000_000, "_called")]
    assert [(size, end) for size, end, _ in truths._other_sizes(subject, 100)] == [(95, "_published")]
    of.label = "Some 7B model"
    assert [size for size, *_ in truths._other_sizes(subject, 7_200_000_000)] == [7_000_000_000]


# ---------------------------------------------------------------------------------------------------------------------
# Releases
# ---------------------------------------------------------------------------------------------------------------------


def test_a_format_overrides_a_release_of_matrices_that_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a release without any placed matrix there is nothing to say."""
    own = SimpleNamespace(format="fp8", rules=(), cache=None, method="the method", unread=(), rest="bf16")
    of: Any = SimpleNamespace(weights=own, releases=())
    monkeypatch.setattr("tscale.estimates.release.release_in", lambda *_: None)
    for placed, name, said in (
        ((1,), "bf16", "--dtype bf16 overrides the release, whose weights are in mixed."),
        ((), "bf16", ""),
    ):
        monkeypatch.setattr(
            "tscale.estimates.release.released", lambda _, placed=placed: SimpleNamespace(placed=placed, name="mixed")
        )
        assert Asked(of, DTYPES[name], None)._weights() == said
    own.method = "bf16"
    monkeypatch.setattr("tscale.estimates.release.released", lambda _: SimpleNamespace(placed=(1,), name="mixed"))
    assert (
        Asked(of, DTYPES["bf16"], None)._weights()
        == "--dtype bf16 converts weights by the rule of that format: leave it out for the release."
    )
    own.method, own.cache = "x", "fp8"
    assert Asked(of, DTYPES["bf16"], None)._weights().endswith("in mixed, and its cache in fp8.")
    assert Asked(of, DTYPES["bf16"], DTYPES["bf16"])._weights().endswith("in mixed.")
    assert Asked(of, None, None)._cache() == "The cache is in fp8, as the release says; --cache-dtype overrides that."
    assert Asked(of, None, DTYPES["fp8"])._cache() == ""
    assert (
        Asked(of, None, DTYPES["bf16"])._cache() == "--cache-dtype bf16 overrides the release, whose cache is in fp8."
    )


def test_a_format_of_as_many_bits_as_a_release_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscale.estimates.release.release_in", lambda *_: None)
    of: Any = SimpleNamespace(weights=None, releases=(SimpleNamespace(dtype="fp8", name="model-fp8"),))
    assert (
        Asked(of, DTYPES["int8"], None)._weights()
        == "All matrices of layers in int8: this is not model-fp8, which --dtype fp8 means."
    )
    assert Asked(of, DTYPES["bf16"], None)._weights() == Asked(of, None, None)._weights() == ""
    assert [Asked(of, format, None).data()["dtype_source"] for format in (DTYPES["int8"], None)] == ["asked", "default"]


# ---------------------------------------------------------------------------------------------------------------------
# Laws
# ---------------------------------------------------------------------------------------------------------------------


def test_percentiles_lie_between_neighbours() -> None:
    """Of 0 to 40, the 2.5th percentile is the second and the 97.5th the last but one; of 0 to 10, a quarter of the way."""
    assert laws.percentiles([float(n) for n in range(41)][::-1]) == pytest.approx((1.0, 39.0))
    assert laws.percentiles([float(n) for n in range(11)]) == pytest.approx((0.25, 9.75))
    assert laws.percentiles([3.0]) == (3.0, 3.0)


def _law(name: str, **given: Any) -> Any:
    return SimpleNamespace(
        **{
            "name": name,
            "counts": "all",
            "flops": "6*N*D",
            "notes": (),
            "losses": "nats",
            "kind": "parametric",
            "dense": True,
            **given,
        }
    )


def test_what_laws_count_is_said_with_the_names_of_those_that_differ() -> None:
    plain, bare, met, of_m = (
        _law("a"),
        _law("b", counts="non_embedding"),
        _law("c", counts="active"),
        _law("d", flops="M*D"),
    )
    for several, said in (
        ([plain], "N is all parameters. C is 6·N·D."), ([plain, bare], "N is all parameters, but without embeddings in b. C is 6·N·D."),
        ([plain, met], "N is all parameters, but those that a token meets in c. C is 6·N·D."),
        ([bare, met, of_m], "N is all parameters, but without embeddings in b and those that a token meets in c. C is 6·N·D, and M·D with attention in d."),
    ):  # fmt: skip
        assert laws.counts_note(several) == said


def test_laws_that_are_asked_about_what_they_were_not_fitted_on_are_named() -> None:
    a, b = _law("a"), _law("b")
    assert laws.range_note([(a, False), (b, False)]) == ""
    assert laws.range_note([(a, True), (b, False)]).endswith("fitted on: a.")
    assert laws.range_note([(a, True), (b, True)]).endswith("for every law here.")


def test_notes_of_few_laws_are_printed_and_of_many_are_named() -> None:
    noted, plain = _law("a", notes=("one", " two ")), _law("b")
    assert list(laws.law_notes([noted, plain], explain=False)) == ["a: one", "a: two"]
    assert list(laws.law_notes([noted, plain, plain], explain=False)) == [
        "a have notes, such as misprints: --explain or --law NAME prints them."
    ]
    assert list(laws.law_notes([noted, plain, plain], explain=True)) == ["a: one", "a: two"]
    assert list(laws.law_notes([plain] * 3, explain=False)) == []


def test_laws_on_one_axis_have_one_unit() -> None:
    assert laws.one_unit([]) == NATS
    with pytest.raises(RequestError, match="have no axis in common"):
        laws.one_unit([_law("a"), _law("b", losses="bits per character")])


@pytest.mark.parametrize(
    ("given", "said"),
    [({"kind": "hyper"}, "learning rates"), ({"kind": "vocabulary"}, "vocabularies"), ({"dense": False}, "mixtures of experts"), ({"dense": False, "kind": "joint-experts"}, ""), ({}, "")],
)  # fmt: skip
def test_laws_of_something_else_are_refused(given: dict[str, Any], said: str) -> None:
    if said:
        with pytest.raises(RequestError, match=said):
            laws.refuse_others(_law("a", **given))
    else:
        laws.refuse_others(_law("a", **given))


def test_what_a_law_of_some_kind_reads_is_asked_of_such_alone() -> None:
    """Of repeated data, of service and of bits: the shipped laws of such where nothing is named, and else one of them must be."""
    default = {bound.law.kind for bound in laws.picked([], None, None)}
    assert not default & {"repeated", "lifetime", "precision"}
    given: tuple[Any, ...] = (10**9, None, None), (None, 10**9, None), (None, None, (8.0, 8.0, 8.0))
    for kind, asked in zip(("repeated", "lifetime", "precision"), given, strict=True):
        assert {bound.law.kind for bound in laws.picked([], *asked)} == default | {kind}
        with pytest.raises(RequestError, match=f"is read only by a law of kind {kind}"):
            laws.picked(["hoffmann2022-3"], *asked)
        name = next(bound.law.name for bound in laws.picked([], *asked) if bound.law.kind == kind)
        both = laws.picked(["hoffmann2022-3", name, name], *asked)
        assert [bound.law.name for bound in both] == ["hoffmann2022-3", name]


@pytest.mark.parametrize(
    "low, high, held",
    [
        (1.0, 2.0, True),
        (0.0, 2.0, False),
        (1.0, inf, False),
        (1 / fitting._MOST_SAVED, 2.0, False),
        (1.0, fitting._MOST_SAVED, False),
    ],
)
def test_intervals_that_no_number_bounds_are_left_out(low: float, high: float, held: bool) -> None:
    """None is kept where an end is nothing or beyond any number; of fewer than two amounts there is none at all."""

    class Draw:
        def __init__(self, value: float) -> None:
            self.value = value

        def at_flops(self, _: float) -> Any:
            return SimpleNamespace(params=self.value, tokens=self.value)

        at_params = at_tokens = at_flops

    optimum: Any = Draw(10.0)
    found = fitting._quantiles(optimum, [Draw(low)] * 3 + [Draw(high)] * 3, 1e20)  # type: ignore[arg-type]
    assert (found is not None) == held
    if found is not None:
        assert {row[1:] for row in (*found.flops, *found.params, *found.tokens)} == {(low, high)}

    def too_large(*_: float) -> float:
        raise OverflowError

    def none(*_: float) -> float:
        raise ZeroDivisionError

    assert (fitting._end(too_large, optimum, 1.0), fitting._end(none, optimum, 1.0)) == (inf, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("amounts", [0, 1, 2, 3])
def test_two_amounts_make_a_line_of_intervals(amounts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_SAVED", (1.0, 10.0, 100.0)[:amounts])

    def at(_: float) -> Any:
        return SimpleNamespace(params=5.0, tokens=7.0)

    draw: Any = SimpleNamespace(at_flops=at, at_params=at, at_tokens=at)
    found = fitting._quantiles(draw, [draw] * 3, 2.0)
    assert (found is not None) == (amounts >= 2)
    if found is not None:
        assert found.flops == tuple((2.0 * times, 5.0, 5.0) for times in (1.0, 10.0, 100.0)[:amounts])
        assert found.params == tuple((5.0 * times, 7.0, 7.0) for times in (1.0, 10.0, 100.0)[:amounts])
        assert found.tokens == tuple((7.0 * times, 5.0, 5.0) for times in (1.0, 10.0, 100.0)[:amounts])


# ---------------------------------------------------------------------------------------------------------------------
# Mixtures
# ---------------------------------------------------------------------------------------------------------------------

SPARSE = (
    "name: sparse\nlayers: 4\nd_model: 64\nvocabulary: 512\ncontext: 4096\ntied: true\nattention: {heads: 4}\npositions: {kind: rotary}\n"
    "norm: {kind: rmsnorm}\nfeed_forward: %s\n"
)


def test_how_a_feed_forward_is_divided() -> None:
    """8 experts of 32 columns, of which a token meets 2, and 48 more that all meet: 1.5 of them; 2·64/32 is the granularity."""
    alone = spec(SPARSE % "{kind: experts, experts: 8, top_k: 2, d_ff: 32, shared_d_ff: 48}")
    mixture = experts.mixture_of(alone)
    assert mixture is not None
    assert mixture[:4] == (8, 2, 1.5, 4.0)
    assert mixture.stored is None
    beside = spec(SPARSE % "[{d_ff: 96, on: {first: 1}}, {kind: experts, experts: 8, top_k: 2, d_ff: 32}]")
    mixed = experts.mixture_of(beside)
    assert mixed is not None
    dense, expert = 2 * 96, 3 * 32  # a dense layer of two matrices; experts of three
    assert mixed.stored == pytest.approx((dense + 3 * 8 * expert) / (dense + 3 * 2 * expert))
    assert experts.mixture_of(spec(SPARSE % "{d_ff: 96}")) is None
    kinds = [f"{{kind: experts, experts: {many}, top_k: {many // 4}, d_ff: {2 * many}%s}}" for many in (8, 24, 4)]
    several = spec(SPARSE % f"[{kinds[0] % ', on: {first: 1}'}, {kinds[1] % ', on: {layers: [1]}'}, {kinds[2] % ''}]")
    assert experts.mixture_of(several)[:4] == (24, 6, 0, 2 * 64 / 48)  # type: ignore[index]


def test_parameters_are_counted_as_a_law_counts_them() -> None:
    run = Run(active=20, total=100, active_bare=15, total_bare=90, tokens=1000, mixture=Mixture(8, 2))
    counts = {"all": 100, "non_embedding": 90, "active": 20, "active_non_embedding": 15}
    assert {name: experts.counted_by(_law("a", counts=name), run) for name in counts} == counts


def test_a_law_of_one_expansion_is_asked_near_it_alone() -> None:
    """Krajewski's of 64: from half of it to twice."""
    for expansion, asked in ((31, False), (32, True), (128, True), (129, False)):
        run = Run(20, 100, 15, 90, 1000, Mixture(expansion, 1))
        assert ("krajewski2024" in experts.default_losses(run)) == asked
    for mixture, like in ((None, False), (Mixture(16, 1), True), (Mixture(2, 1), False)):
        law: Any = SimpleNamespace(fitted=SimpleNamespace(expansion=(8, 32)))
        assert hyper._like(law, mixture) == like
    for expansion, like in ((3, False), (4, True), (64, True), (65, False)):
        assert hyper._like(law, Mixture(expansion, 1)) == like
    assert hyper._like(SimpleNamespace(fitted=SimpleNamespace(expansion=None)), None)  # type: ignore[arg-type]


def test_a_batch_is_a_token_at_least() -> None:
    of: Any = None
    assert [hyper._some(lambda _, value=value: value, of) for value in (None, 0.5, 1.0, 7.0)] == [None, 1, 1, 7]  # type: ignore[misc]


def test_weight_decay_follows_from_the_timescale_of_adamw() -> None:
    """A batch of 100 over a rate of 0.5, 4 of a timescale and 1,000 tokens."""
    law: Any = SimpleNamespace(optimizer="AdamW")
    of: Any = SimpleNamespace(tokens=1000)
    one = hyper.LawSays(law, of, 0.5, 100.0, None, None, False, 4.0)
    assert one.weight_decay == pytest.approx(100 / (0.5 * 4 * 1000))
    other: Any = SimpleNamespace(optimizer="Muon")
    for without in (
        one._replace(learning_rate=None),
        one._replace(batch=None),
        one._replace(tau=None),
        one._replace(law=other),
    ):
        assert without.weight_decay is None


def test_training_flops_without_a_head_are_six_for_each_of_its_weights_less() -> None:
    model = explaining.counted(spec(SPARSE % "{d_ff: 96}"))
    training: Any = SimpleNamespace(flops=lambda _: 10**12, tokens=SimpleNamespace(value=1000))
    assert hyper.flops_without_head(model, training) == 10**12 - 6 * 512 * 64 * 1000


def test_vocabularies_are_of_dense_models_alone() -> None:
    run = Run(20, 10**9, 15, 9 * 10**8, 10**11, Mixture())
    found = list(hyper.vocabularies_of(run, 2048))
    assert [one.params / one.size for one in found] == pytest.approx([2048] * 3)
    law = read_law(hyper.VOCABULARY_LAW)
    assert {one.extrapolated for one in found} == {not law.fitted.within(params=9 * 10**8)}
    assert not list(hyper.vocabularies_of(run._replace(mixture=Mixture(8, 1)), 2048))


def test_a_dense_model_of_equal_loss_is_larger_by_the_leverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tian 2025: 15 parameters that a token meets, of an expansion of 8, at a leverage of 6 over one of 2 without experts."""
    leverage = Leverage(*(0.0,) * 6)
    seen: list[tuple[float, ...]] = []

    def at(_: Any, share: float, granularity: float, flops: float) -> float:
        seen.append((share, granularity, flops))
        return 2.0 if share == 1 else 6.0

    monkeypatch.setattr(Leverage, "at", at)
    run = Run(20, 100, 15, 90, 1000, Mixture(16, 2, wide=3.0))
    law: Any = SimpleNamespace(experts=leverage)
    assert experts._dense(law, run) == 15 * 6 / 2
    assert seen == [(1 / run.mixture.expansion, 3.0, 6 * 15 * 1000), (1, 3.0, 6 * 15 * 1000)]


def test_a_total_of_several_stages_is_published_where_a_figure_that_is_right_says_it() -> None:
    """100 and 10 tokens; a figure of 110 that is a misprint of another is no source of it."""
    stages = tuple(Stage(tokens=tokens, context=4, source="s", evidence="primary") for tokens in (100, 10))
    wrong, right, other = (
        SimpleNamespace(value=value, corrected=corrected, source=source)
        for value, corrected, source in ((110, object(), "wrong"), (110, None, "right"), (109, None, "other"))
    )
    for figures, source in (
        ((wrong, right), "right"),
        ((wrong,), ""),
        ((other,), ""),
        ((right, wrong), "right"),
        ((), ""),
    ):
        training = SimpleNamespace(total_tokens=110, all_stages=lambda: stages)
        of: Any = SimpleNamespace(training=training, figures=lambda _, figures=figures: figures)
        total = published_total(of)
        assert total is not None
        assert (total.value, total.source, total.known) == (110, source, "cited" if source else "exact")
    single = SimpleNamespace(total_tokens=100, all_stages=lambda: stages[:1])
    alone = published_total(SimpleNamespace(training=single))  # type: ignore[arg-type]
    assert alone is not None
    assert (alone.value, alone.source) == (100, "s")
    for none in (None, SimpleNamespace(total_tokens=None)):
        assert published_total(SimpleNamespace(training=none)) is None  # type: ignore[arg-type]
