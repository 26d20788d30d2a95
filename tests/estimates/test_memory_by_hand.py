"""What would make a model fit, and how memory grows: changes of stand-ins, tried in an order that one works out by hand."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.catalogue.hardware import find_hardware
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Buffer, Cache, Cut, Saved, Scan, Scores
from tscale.core.metric import JointLine, Line
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS
from tscale.core.recompute import Again
from tscale.core.serving_layout import ServingLayout
from tscale.core.tracing import TracedInt
from tscale.errors import RequestError
from tscale.estimates import caveats, media
from tscale.estimates import recomputed as redone
from tscale.estimates import rent as rents
from tscale.estimates.capacity import Capacity, kind_of
from tscale.estimates.memory import changes as serving
from tscale.estimates.memory import held as holding
from tscale.estimates.memory import peak as peaks
from tscale.estimates.memory import steps as explained
from tscale.estimates.memory.held import Keeping
from tscale.estimates.memory.room import Room, contexts_up_to, growth
from tscale.estimates.memory_train import changes, lines, shortcut
from tscale.estimates.memory_train.ask import train_ask
from tscale.estimates.rent import Rent

H100 = find_hardware("h100")


def test_contexts_double_up_to_the_longest() -> None:
    for longest, found in (
        (100, [100]),
        (4096, [4096]),
        (4097, [4096, 4097]),
        (20_000, [4096, 8192, 16_384, 20_000]),
        (8192, [4096, 8192]),
    ):
        contexts = contexts_up_to(longest)
        assert [next(contexts) for _ in found] == found
        assert next(contexts, None) is None


def test_parts_grow_from_the_first_token_to_twice_the_context_or_a_quarter_past_what_fits() -> None:
    """In 64 steps, and at the context itself."""
    for context, longest, furthest in ((640, None, 1280), (640, 6400, 8000), (640, 100, 1280), (10, None, 20)):
        found = growth(context, 5, longest, lambda one: {"part": one})  # type: ignore[dict-item]
        expected = sorted({context, *(max(furthest * place // 64, 1) for place in range(65))})
        assert list(found.rows) == expected
        assert (found.rows[context], min(found.rows), max(found.rows)) == ({"part": context}, 1, furthest)  # type: ignore[comparison-overlap]
        assert found[2:] == (5, longest)


def test_what_has_no_end_has_no_figure() -> None:
    assert Room(None, None).data() == {"max_batch": None, "max_context": None}
    data: Any = Room(3, 4).data()
    assert (data["max_batch"].value, data["max_context"].value) == (3, 4)


def test_a_state_is_kept_in_its_own_format_or_in_that_of_the_cache_if_that_has_16_bits() -> None:
    fp8, fp32, bf16, fp16 = (DTYPES[name] for name in ("fp8", "fp32", "bf16", "fp16"))
    state, conv, kv = (
        Cache(role, role, "once" if role != "kv" else "target", 8) for role in ("state", "conv_state", "kv")
    )
    for keeping, cache, kept in (
        (Keeping(), bf16, (bf16, bf16, bf16)), (Keeping(), fp16, (fp16, fp16, fp16)), (Keeping(), fp8, (bf16, bf16, fp8)), (Keeping(), fp32, (fp32, fp32, fp32)),
        (Keeping(state=fp32), fp8, (fp32, bf16, fp8)), (Keeping(conv=fp8), bf16, (bf16, fp8, bf16)),
    ):  # fmt: skip
        assert tuple(keeping.format(entry, cache) for entry in (state, conv, kv)) == kept
    assert Keeping().bits == (None, None)
    assert Keeping(state=fp32, conv=fp8).bits == (32, 8)


def _capacity(**given: Any) -> Capacity:
    return Capacity(H100.device(), **given)


def test_the_least_share_of_the_memory_that_is_enough_leaves_room_for_software() -> None:
    """A share in whole per cent, where more than that is used now, and what software takes at the least is left."""
    capacity = _capacity()
    memory, low, usable = capacity.device.device_bytes, capacity.reserve.low, capacity.usable
    percent = memory // 100

    def share(total: int, one: Capacity = capacity) -> list[str]:
        return [change.option for change in serving.larger_share(total, one)]

    assert share(usable // 2) == []
    most = (100 * (memory - low)) // memory
    assert share(most * percent) == [f"--memory-share {most}%"]
    assert share((most + 1) * percent + 10**6) == []
    assert share(60 * percent, _capacity(share=Fraction(1, 2))) == ["--memory-share 60%"]
    assert share(60 * percent + 10**6, _capacity(share=Fraction(1, 2))) == ["--memory-share 61%"]
    assert share(50 * percent, _capacity(share=Fraction(1, 2))) == []


def test_larger_hardware_is_of_the_same_kind_and_has_the_least_memory_first() -> None:
    """Three at the most; with the memory of now it is none, nor where nothing has as much."""
    total = 100 * 10**9
    found = list(serving.larger_hardware(lambda _: total, 8, H100, _capacity()))
    names = [change.option.removeprefix("--gpu ") for change in found]
    sizes = [find_hardware(name).device().device_bytes for name in names]
    assert len(names) == 3
    assert sizes == sorted(sizes)
    assert sizes[0] >= total
    assert all(change.total == total for change in found)
    assert {kind_of(name) for name in names} == {kind_of(H100.name)}
    own = _capacity().device.device_bytes / 1e9
    for change, size in zip(found, sizes, strict=True):
        assert change.costs.startswith(f"{size / 1e9:.4g} GB a device, not {own:.4g}")
    assert list(serving.larger_hardware(lambda _: 10**15, 8, H100, _capacity())) == []


def test_an_hour_of_several_devices_is_priced_with_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 devices at 3 dollars, of 2 to 4."""
    for rent, said in (
        (None, ""), (Rent(Fraction(2), Fraction(3), Fraction(4), "assumed"), ", 24 USD an hour (16 to 32)"), (Rent(Fraction(3), Fraction(3), Fraction(3), "exact"), ", 24 USD an hour"),
    ):  # fmt: skip
        monkeypatch.setattr(rents, "rent_of", lambda _, rent=rent: rent)
        assert serving._priced(H100, 8) == said


# ---------------------------------------------------------------------------------------------------------------------
# Changes of training
# ---------------------------------------------------------------------------------------------------------------------


class Model:
    """A stand-in for what is trained: what is changed of it, and a total of 100."""

    has_loss = True
    context = 4096

    def __init__(self, **given: Any) -> None:
        plain = {
            "attention": "flash", "recompute": "none", "plan": Parallelism(), "micro_batch": 4, "loss_kernel": "plain", "run": None,
            "precision": PRECISIONS["bf16"], "optimizer": OPTIMIZERS["adamw"], "base": None, "rank": None, "again": None,
        }  # fmt: skip
        self.training = SimpleNamespace(**plain | given)
        self.spec = SimpleNamespace(layers=12)

    def with_(self, **given: Any) -> Model:
        known = {name: value for name, value in given.items() if name != "loss"}
        return Model(**vars(self.training) | known)

    def of_length(self, _: int) -> Model:
        return self

    def worst(self) -> Any:
        return 0, SimpleNamespace(total=100)


def _options(found: Any) -> list[str]:
    return [change.option for change in found]


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({}, ["--recompute full"]), ({"attention": "naive"}, ["--attention flash", "--recompute selective", "--recompute full"]),
        ({"recompute": "selective", "attention": "naive"}, ["--attention flash", "--recompute full"]), ({"recompute": "selective"}, ["--recompute full"]),
        ({"recompute": "full"}, []), ({"recompute": "full", "attention": "naive"}, ["--attention flash"]),
    ],
)  # fmt: skip
def test_the_pass_is_fused_or_computed_again(
    given: dict[str, Any], options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ratios = {"none": Fraction(1), "selective": Fraction(11, 10), "full": Fraction(4, 3)}
    monkeypatch.setattr(changes, "lower", lambda _: None)
    monkeypatch.setattr(changes, "hardware_flops_ratio", lambda _, __, policy: ratios[policy])
    model: Any = Model(**given)
    found = list(changes._of_the_pass(model))
    assert _options(found) == options
    last = "21.2% more FLOPs" if given.get("recompute") == "selective" else "33.3% more FLOPs"
    assert all(change.costs == last for change in found if change.option == "--recompute full")


def test_the_loss_is_fused_where_a_device_has_the_whole_vocabulary() -> None:
    for given, options in (
        ({}, ["--loss fused-linear"]),
        ({"plan": Parallelism(tensor=2)}, []),
        ({"loss_kernel": "fused-linear"}, []),
    ):
        model: Any = Model(**given)
        assert _options(changes._of_the_loss(model)) == options
    without: Any = Model()
    without.has_loss = False
    assert _options(changes._of_the_loss(without)) == []


def test_less_of_a_batch_or_of_a_context_than_now() -> None:
    """Of micro-batches of 4 and a context of 4,096."""
    model: Any = Model()
    for micro, context, options in (
        (2, 1024, ["--micro-batch 2", "--context 1024"]), (4, 4096, []), (5, 5000, []), (0, 0, []), (None, None, []), (3, None, ["--micro-batch 3"]),
    ):  # fmt: skip
        assert _options([*changes._of_the_batch(model, micro), *changes._of_the_context(model, context)]) == options
    assert [one.costs for one in (*changes._of_the_batch(model, 2), *changes._of_the_context(model, 1024))] == [
        "micro-batches of 2, not 4: more of them in a step",
        "25% of the context",
    ]


def test_more_is_sharded_where_several_devices_share_a_copy() -> None:
    for plan, options in (
        (Parallelism(), []), (Parallelism(data=8), ["--zero 1", "--zero 2", "--zero 3"]), (Parallelism(data=8, zero=2), ["--zero 3"]), (Parallelism(data=8, zero=3), []),
        (Parallelism(tensor=2), ["--sequence"]), (Parallelism(tensor=2, sequence=True), []), (Parallelism(context=2), ["--zero 1", "--zero 2", "--zero 3"]),
    ):  # fmt: skip
        model: Any = Model(plan=plan)
        assert _options(changes._of_zero(model)) == options


def test_a_change_is_what_its_option_says(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    class Noted(Model):
        def with_(self, **given: Any) -> Model:
            made.append(given)
            return super().with_(**given)

    monkeypatch.setattr(changes, "lower", lambda _: None)
    monkeypatch.setattr(changes, "hardware_flops_ratio", lambda *_: Fraction(1))
    plan = Parallelism(tensor=2, data=4, zero=1)
    model: Any = Noted(plan=plan, attention="naive", micro_batch=4)
    alone: Any = Noted()
    found: list[Any] = []
    for several in (
        changes._of_the_pass(model), changes._of_the_loss(alone), changes._of_the_batch(model, 2), changes._of_zero(model), changes._of_the_formats(model)
    ):  # fmt: skip
        found += several
    expected = {
        "--attention flash": {"attention": "flash"}, "--recompute selective": {"recompute": "selective", "again": None}, "--recompute full": {"recompute": "full", "again": None},
        "--loss fused-linear": {"loss": "fused-linear"}, "--micro-batch 2": {"micro_batch": 2}, "--sequence": {"plan": plan._replace(sequence=True)},
        "--zero 2": {"plan": plan._replace(zero=2)}, "--zero 3": {"plan": plan._replace(zero=3)}, "--optimizer adam-8bit": {"optimizer": OPTIMIZERS["adam-8bit"]},
        "--optimizer adafactor": {"optimizer": OPTIMIZERS["adafactor"]}, "--precision pure-bf16": {"precision": PRECISIONS["pure-bf16"]},
        "--qlora": {"rank": 64, "base": DTYPES["nf4"]},
    }  # fmt: skip
    assert dict(zip(_options(found), made, strict=True)) == expected
    assert [tried.change().groups for tried in found if tried.option != "--loss fused-linear"] == [2] * 11


def test_formats_that_take_less() -> None:
    for given, options in (
        ({}, ["--optimizer adam-8bit", "--optimizer adafactor", "--precision pure-bf16", "--qlora"]),
        ({"optimizer": OPTIMIZERS["adam-8bit"]}, ["--optimizer adafactor", "--precision pure-bf16", "--qlora"]),
        ({"precision": PRECISIONS["pure-bf16"]}, ["--optimizer adam-8bit", "--optimizer adafactor", "--qlora"]),
        ({"base": DTYPES["nf4"]}, ["--optimizer adam-8bit", "--optimizer adafactor", "--precision pure-bf16"]),
    ):  # fmt: skip
        model: Any = Model(**given)
        assert _options(changes._of_the_formats(model)) == options
    for rank, said in ((None, 64), (5, 5)):
        one: Any = Model(rank=rank)
        assert list(changes._of_the_formats(one))[-1].costs.startswith(f"only adapters of rank {said} are trained")


def test_higher_degrees_are_first_of_the_devices_that_there_are_and_then_of_more() -> None:
    """A degree of 2 on 12 copies: 4 on 6 copies, 6 on 4 and 16 on none, then each on all 12; 3 is no multiple."""
    model: Any = Model(plan=Parallelism(tensor=2, data=12))
    found = [(degree, plan.tensor, plan.data) for degree, plan in changes._plans(model, "tensor", [1, 2, 3, 4, 6, 16])]
    assert found == [(4, 4, 6), (6, 6, 4), (4, 4, 12), (6, 6, 12), (16, 16, 12)]
    staged: Any = Model(plan=Parallelism(pipeline=1, data=2))
    assert [(degree, plan.pipeline, plan.data) for degree, plan in changes._plans(staged, "pipeline", [1, 2])] == [
        (2, 2, 1),
        (2, 2, 2),
    ]


def test_a_plan_on_more_devices_says_how_many() -> None:
    model: Any = Model(plan=Parallelism(data=2))

    def spread(plan: Parallelism) -> list[tuple[str, str]]:
        return [(change.option, change.costs) for change in changes._spread(model, "--tensor 2", plan, "; so")]

    assert spread(Parallelism(tensor=2, data=2)) == [("--tensor 2 --data 2 --gpus 4", "4 devices, not 2; so")]
    assert spread(Parallelism(tensor=2, data=1)) == [("--tensor 2 --data 1", "fewer copies of the model; so")]
    assert spread(Parallelism(tensor=2, data=2**13)) == [
        ("--tensor 2 --data 8192 --gpus 16384", "16,384 devices, not 2; so")
    ]
    assert spread(Parallelism(tensor=2, data=2**13 + 1)) == []

    def refuse(**_: Any) -> Any:
        raise RequestError("no")

    model.with_ = refuse
    assert spread(Parallelism(tensor=2, data=1)) == []


def test_copies_are_doubled_where_zero_makes_use_of_them() -> None:
    """Up to 16,384 devices."""
    for plan, copies in (
        (Parallelism(data=2**12, zero=1), [2**13, 2**14]), (Parallelism(data=2**12), []), (Parallelism(data=2**12, zero=1, shards=8), []),
        (Parallelism(tensor=8, data=512, zero=3), [1024, 2048]),
    ):  # fmt: skip
        model: Any = Model(plan=plan)
        assert [int(option.split()[1]) for option in _options(changes._data(model))] == copies


def test_the_first_change_that_is_enough_is_taken() -> None:
    capacity = _capacity()
    usable = capacity.usable
    tried = iter([serving.Change("a", usable + 1, ""), serving.Change("b", usable, ""), serving.Change("c", 0, "")])
    assert _options(changes._first(tried, capacity)) == ["b"]
    assert changes._first(iter([serving.Change("a", usable + 1, "")]), capacity) == []
    many = serving.Change("a", usable, "", groups=9)
    assert many.fits(_capacity(groups=9)) == _capacity(groups=9).fits(usable)


# ---------------------------------------------------------------------------------------------------------------------
# Lines, peaks, and where a model is no GPT
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "plan", "said"),
    [
        (None, Parallelism(tensor=2), "whole"), ({}, Parallelism(), "whole"), ({}, Parallelism(tensor=2), "whole"), ({}, Parallelism(tensor=2, sequence=True), "1/2 by sequence"),
        ({"gathered": True}, Parallelism(tensor=2, sequence=True), "whole"), ({"cut": Cut(8)}, Parallelism(tensor=4), "1/4"), ({"cut": Cut(8)}, Parallelism(), "whole"),
        ({"cut": Cut(2, otherwise="repeated")}, Parallelism(tensor=4), "1/2"), ({"cut": Cut(8)}, Parallelism(tensor=4, context=2), "1/2 by position, 1/4"),
        ({"stream": "once"}, Parallelism(context=2), "whole"), ({"routed": True, "cut": Cut(8)}, Parallelism(tensor=4, expert_tensor=1), "1/4 of the tokens"),
        ({"routed": True, "cut": Cut(8)}, Parallelism(tensor=2, data=2, expert_tensor=4), "2 times the tokens, 1/4"),
        ({"routed": True, "cut": Cut(8)}, Parallelism(tensor=2, expert_tensor=2), "1/2"),
    ],
)  # fmt: skip
def test_how_devices_share_what_is_kept(given: dict[str, Any] | None, plan: Parallelism, said: str) -> None:
    saved = None if given is None else Saved("x", "attention", "target", 8)._replace(**given)
    assert lines._shared(saved, plan) == said


def test_a_peak_is_of_the_format_that_is_asked_for_or_of_16_bits() -> None:
    device: Any = SimpleNamespace(flops_per_second={"fp16": 5, "fp8": 9})
    hardware: Any = SimpleNamespace(label="chip")
    assert peaks.peak_of(device, hardware, None) == ("fp16", 5)
    assert peaks.peak_of(device, hardware, "fp8") == ("fp8", 9)
    with pytest.raises(RequestError, match="chip has no peak in fp4: it has fp16, fp8"):
        peaks.peak_of(device, hardware, "fp4")
    none: Any = SimpleNamespace(flops_per_second={"fp8": 9})
    with pytest.raises(RequestError, match="its vendor states no 16-bit peak"):
        peaks.peak_of(none, hardware, None)
    both: Any = SimpleNamespace(flops_per_second={"fp16": 5, "bf16": 4})
    assert peaks.peak_of(both, hardware, None) == ("bf16", 4)
    assert [peaks.precision_of(name) for name in ("fp8", "fp16", "fp32", "bf16", "int8")] == [
        "fp8",
        "fp16",
        "fp32",
        "bf16",
        "bf16",
    ]
    assert [peaks.products_of(name) for name in ("fp8", "fp32", "bf16", "pure-bf16")] == ["fp8", "fp32", None, None]


GPT = (
    "name: it\nlayers: 2\nd_model: 64\nvocabulary: 512\ncontext: 128\ntied: true\nattention: {heads: 4%s}\npositions: {kind: %s}\nnorm: {kind: layernorm}\n"
    "feed_forward: {d_ff: %s}\n"
)


@pytest.mark.parametrize(
    ("attention", "positions", "d_ff", "words"),
    [
        ("", "learned", "256", []), (", kv_heads: 2", "learned", "256", ["2 key-value heads serve 4 heads"]), (", head_dim: 8", "learned", "256", ["heads·head_dim is 32, not d_model 64"]),
        ("", "learned", "255", ["d_ff is 255, not 4·d_model"]), ("", "relative", "256", ["relative positions have a projection and scores of their own"]),
        ("", "learned", "256, gated: true", ["a gated feed-forward has three matrices, not two"]),
    ],
)  # fmt: skip
def test_where_a_model_is_no_gpt(attention: str, positions: str, d_ff: str, words: list[str]) -> None:
    assert caveats.unlike_a_gpt(spec(GPT % (attention, positions, d_ff))) == words


def test_layers_that_are_computed_again_are_all_or_those_of_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        redone, "recomputed_stages", lambda _, plan, __, ___: [(place, None) for place in range(plan.pipeline)]
    )
    of: Any = None
    for again, plan, stages in (
        (None, None, None),
        (Again("full"), Parallelism(pipeline=2), None),
        (Again("full", 3), Parallelism(pipeline=2), (0, 1)),
        (Again("full", 3), None, (0,)),
    ):
        found = redone.recomputed(of, of, "full", again, plan)
        assert (found.policy, found.stages) == ("full", stages)
        whole: Any = "whole"
        assert found.parts(whole) == (("whole",) if stages is None else stages)  # type: ignore[comparison-overlap]


def test_what_is_asked_of_training_has_the_usual_rank_where_a_model_is_in_few_bits() -> None:
    for rank, qlora, taken in ((None, False, None), (4, False, 4), (None, True, 64), (4, True, 4)):
        asked = train_ask(precision="bf16", optimizer="adamw", rank=rank, qlora=qlora)
        assert (asked.how.rank, asked.how.base is not None) == (taken, qlora)


def test_the_fullest_stage_is_the_first_of_those_that_hold_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages of one kind are asked about once."""
    asked: list[int] = []

    def held_at(server: Any, place: int) -> Any:
        asked.append(place)
        return SimpleNamespace(total=server.totals[place])

    monkeypatch.setattr(holding, "held_at", held_at)
    monkeypatch.setattr(holding, "_kind", lambda server, place: (server.totals[place],))
    for totals, fullest in (((5,), 0), ((5, 7, 6), 1), ((7, 5, 7), 0), ((5, 7, 7), 1), ((5, 6, 7), 2)):
        asked.clear()
        server: Any = SimpleNamespace(stages=totals, totals=totals)
        assert holding.fullest(server) == fullest
        assert len(asked) == len(set(asked)) == (0 if len(totals) == 1 else len(set(totals)))
        assert holding.most_held(server) == max(totals)


def test_one_image_is_one_and_two_are_several() -> None:
    assert [media._named(many, "image", "3x4") for many in (1, 2, 1000)] == [
        "1 image of 3x4",
        "2 images of 3x4",
        "1,000 images of 3x4",
    ]


def test_weights_are_rounded_to_the_widest_format_that_fits_unless_a_kernel_is_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1,000 numbers in so many bits, of bf16 now: fp8 fits in 1,000 bytes, and four bits in fewer; of a kernel's padding nothing is known."""
    monkeypatch.setattr(serving, "_in_format", lambda _, kept: kept)
    monkeypatch.setattr(serving, "held", lambda kept: SimpleNamespace(total=int(1000 * kept.bits / 8)))
    for kernel, usable, option in (
        ("none", 2000, "fp8"),
        ("none", 1000, "fp8"),
        ("none", 999, "int4-g128"),
        ("none", 100, None),
        ("marlin", 2000, None),
    ):
        server: Any = SimpleNamespace(kernel=kernel, format=DTYPES["bf16"])
        found = list(serving._narrower_weights(server, usable))
        assert [change.option for change in found] == ([] if option is None else [f"--dtype {option}"])
        assert all(change.total <= usable for change in found)


def test_korthikanti_counts_stacks_of_attention_whose_sequences_no_devices_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a decoder with scores and no recurrence; heads are those of all devices that share a layer."""
    asked: list[Any] = []

    def published(*given: Any, sequence: bool) -> int:
        asked.append((given, sequence))
        return 200

    monkeypatch.setattr(shortcut, "korthikanti_layer_bytes", published)
    monkeypatch.setattr(shortcut, "layer_bytes", lambda *_: 100)
    scores, scan = Scores("s", "target", "target", 4, 8, 8, causal=True), Scan("r", "target")
    for entries, kind, plan, counted in (
        ([scores], "decoder", Parallelism(), True), ([scores], "decoder", Parallelism(context=2), False), ([scores], "encoder", Parallelism(), False),
        ([scores, scan], "decoder", Parallelism(), False), ([], "decoder", Parallelism(), False), ([scores], "decoder", Parallelism(tensor=2, sequence=True), True),
    ):  # fmt: skip
        training = SimpleNamespace(plan=plan, micro_batch=3, passes="p")
        model: Any = SimpleNamespace(
            shares=[SimpleNamespace(entries=entries)], training=training, spec=SimpleNamespace(kind=kind, d_model=32), context=128, layers=[None]
        )  # fmt: skip
        asked.clear()
        found = shortcut.shortcut_of(model, 0)
        assert (found is not None) == counted
        if found is not None:
            assert asked == [((128, 3, 32, 4 * plan.tensor, plan.tensor, "p"), plan.sequence)]
            assert [figure.value for figure in found.figures()] == [100, 200, Fraction(1, 2)]


def test_what_is_owned_is_cut_by_zero_where_it_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix over 4 devices, a vector over one, a buffer on each, and nothing of what is not stored; adapters after their matrix."""
    matrix, vector, absent = (
        SimpleNamespace(name=name, stored=stored) for name, stored in (("q", 2), ("n", 1), ("k", 0))
    )
    buffer = Buffer("bias", "selection_bias", "mixer", 5)
    entries = (matrix, vector, absent, buffer)
    monkeypatch.setattr(lines, "shards", lambda entry, _: {"q": 4, "n": 1}[entry.name])
    monkeypatch.setattr(lines, "division", lambda entry, _: "1/2" if entry is matrix else "")
    gradients = [Line("q", 20), Line("q.lora_a", 3), JointLine("largest_gradient", 7)]
    kinds = {"weights": [Line("q", 10), Line("bias", 5)], "gradients": gradients, "master": [], "optimizer": []}
    needs = SimpleNamespace(**{kind: SimpleNamespace(lines=found) for kind, found in kinds.items()})

    def told(zero: int) -> list[tuple[Any, ...]]:
        model: Any = SimpleNamespace(
            training=SimpleNamespace(plan=SimpleNamespace(zero=zero)), needs=lambda _: needs,
            stages=[SimpleNamespace(entries=entries)], shares=[SimpleNamespace(entries=entries)],
        )  # fmt: skip
        names = ("name", "division", "zero", "weights", "gradients", "optimizer")
        rows: list[Any] = list(lines.owned_data(model, 0))
        found = ([row[name] for name in names] for row in rows)
        return [(*row[:3], *(figure.value for figure in row[3:])) for row in found]

    rest = [("n", None, "whole", 0, 0, 0), ("bias", None, "whole", 5, 0, 0), ("largest gradient", None, "", 0, 7, 0)]
    assert told(1) == [("q", "1/2", "1/4", 10, 20, 0), ("q.lora_a", None, "1/4", 0, 3, 0), *rest]
    assert told(0) == [("q", "1/2", "whole", 10, 20, 0), ("q.lora_a", None, "whole", 0, 3, 0), *rest]


def test_degrees_above_one_are_named_in_a_derivation() -> None:
    """All devices that share each layer are `gpus`; of other layouts each degree has its own name, and 1 has none."""

    def labels(layout: ServingLayout) -> dict[str, str]:
        found = explained._labelled(layout)
        assert found == layout
        return {name: degree.label for name, degree in found._asdict().items() if isinstance(degree, TracedInt)}

    assert labels(ServingLayout(tensor=2, expert_tensor=2)) == {"tensor": "gpus", "expert_tensor": "gpus"}
    assert labels(ServingLayout()) == {}
    names = ("tensor", "expert", "expert_tensor", "attention_data", "replicas")
    assert labels(ServingLayout(2, 1, 2, 2, 2, 2)) == {name: name for name in names}
    assert labels(ServingLayout(attention_data=2, expert=2)) == {"attention_data": "attention_data", "expert": "expert"}


def test_a_draft_is_told_after_its_model_from_its_only_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explained, "_remembered", lambda server: server)
    monkeypatch.setattr(explained, "_steps", lambda server, place, subject: ((server.spec.name, place, subject),))
    draft = SimpleNamespace(spec=SimpleNamespace(name="small"))
    one: Any = SimpleNamespace(spec=SimpleNamespace(name="large"), drafting=lambda: draft)
    one._replace = lambda **_: one
    assert explained.serving_steps(one, 3) == (("large", 3, "large"), ("small", 0, "draft, small"))  # type: ignore[comparison-overlap]
    one.drafting = lambda: None
    assert explained.serving_steps(one, 3) == (("large", 3, "large"),)  # type: ignore[comparison-overlap]
