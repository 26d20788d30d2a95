"""What a server and a trainer hold, counted on paper of a small model; and what is said of layouts and of what is kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.blocks.test_experts_and_latents import spec
from tscale.catalogue.hardware import find_hardware
from tscale.core.dtypes import DTYPES
from tscale.core.metric import Figure
from tscale.core.parallelism import Parallelism
from tscale.core.serving_layout import ServingLayout
from tscale.core.units import TOKENS
from tscale.errors import RequestError
from tscale.estimates.memory import answered, layout, lines, serving
from tscale.estimates.memory.held import Keeping, Server, fullest, held, most_held
from tscale.estimates.memory.serving import Ask
from tscale.estimates.memory_train import figures as train_figures
from tscale.estimates.memory_train import held as trained
from tscale.estimates.memory_train.ask import Ask as TrainAsk
from tscale.estimates.memory_train.ask import train_ask
from tscale.models.resolve import resolve

TEXT = (
    "name: {}\nlayers: {}\nd_model: 64\nvocabulary: 512\ncontext: 4096\ntied: true\nattention: {}\npositions: {{kind: rotary}}\n"
    "norm: {{kind: rmsnorm}}\nfeed_forward: {}\n"
)
PLAIN, DENSE = "{heads: 4, kv_heads: 2}", "{d_ff: 128, gated: true}"
MODEL, GUESSER = spec(TEXT.format("large", 6, PLAIN, DENSE)), spec(TEXT.format("guesser", 2, PLAIN, DENSE))
WINDOWED = spec(TEXT.format("windowed", 6, "{heads: 4, kv_heads: 2, window: 128}", DENSE))
ROUTED = spec(TEXT.format("routed", 6, PLAIN, "{kind: experts, experts: 8, top_k: 2, d_ff: 32}"))
TOKEN = 2 * 2 * 16
"""Numbers that a layer keeps of a token: a key and a value of 16 for each of 2 heads."""
H100 = find_hardware("h100")


def _weights(layers: int) -> int:
    """Of embeddings, and in each layer of attention, three matrices of a feed-forward and two norms; one norm at the end."""
    attention = 64 * 64 * 2 + 64 * 32 * 2
    return 512 * 64 + layers * (attention + 3 * 64 * 128 + 2 * 64) + 64


def _server(model: Any = MODEL, **given: Any) -> Server:
    ask = Ask(**{"context": 1000, **given})
    return serving.server_of(model, ask, ask.context or 1000)


# ---------------------------------------------------------------------------------------------------------------------
# Caches
# ---------------------------------------------------------------------------------------------------------------------


def _shared_by_hand(batch: int, context: int, prefix: int, page: int | None) -> int:
    """Numbers of one layer, sequence by sequence and token by token: those of the prefix once, of pages those that are full."""
    size = page or 1
    kept: set[tuple[Any, int]] = {("all", token // size) for token in range(min(prefix, context) // size * size)}
    for sequence in range(batch):
        kept |= {(sequence, token // size) for token in range(min(prefix, context) // size * size, context)}
    return len(kept) * size * TOKEN


@pytest.mark.parametrize("page", [None, 16, 100])
def test_a_prefix_is_kept_once_in_pages_that_are_full(page: int | None) -> None:
    for batch, context, prefix in (
        (1, 333, 0),
        (1, 333, 100),
        (3, 333, 100),
        (3, 333, 332),
        (4, 320, 96),
        (2, 100, 15),
    ):
        server = _server(batch=batch, context=context, prefix=prefix, page=page)
        assert held(server).kv_cache == 2 * 6 * _shared_by_hand(batch, context, prefix, page), (batch, context, prefix)


def test_a_cache_is_divided_by_heads_or_by_sequences() -> None:
    """On two devices each has one of two heads of 5 sequences, or both of 3; a prefix once on each."""
    heads = _server(batch=5, gpus=2)
    assert held(heads).kv_cache == 2 * 6 * 5 * 1000 * TOKEN // 2
    for prefix, tokens in ((0, 3 * 1000), (100, 100 + 3 * 900)):
        split = _server(batch=5, gpus=2, by_sequences=True, prefix=prefix)
        assert held(split).kv_cache == 2 * 6 * tokens * TOKEN
        assert {line.division for line in lines.held_lines(split, 0) if line.name.endswith("cache")} == {"by sequences"}
    copies = _server(batch=5, layout=ServingLayout(1, 1, 1, 2, 2))
    assert held(copies).kv_cache == 2 * 6 * 3 * 1000 * TOKEN


def test_windows_are_cut_or_kept_whole() -> None:
    assert held(_server(WINDOWED)).kv_cache == 2 * 6 * 128 * TOKEN
    assert held(_server(WINDOWED, window_cache="whole")).kv_cache == 2 * 6 * 1000 * TOKEN
    assert Keeping(DTYPES["fp32"]).bits == (32, None)


def test_latents_are_kept_as_they_are_or_spread_out_to_all_heads() -> None:
    """32 + 8 numbers of a token, or 4 keys of 16 + 8 and 4 values of 16."""
    latent = "{kind: latent, heads: 4, kv_rank: 32, nope_dim: 16, rope_dim: 8, v_dim: 16}"
    model = spec(TEXT.format("latent", 6, latent, DENSE))
    assert held(_server(model)).kv_cache == 2 * 6 * 1000 * (32 + 8)
    assert held(_server(model, cache_form="full")).kv_cache == 2 * 6 * 1000 * 4 * (16 + 8 + 16)


# ---------------------------------------------------------------------------------------------------------------------
# All of it
# ---------------------------------------------------------------------------------------------------------------------


def test_a_draft_is_held_beside_its_model() -> None:
    """In bf16, of 3 sequences of 1,000 tokens; the draft's lines stand behind the model's, and all of them are the total."""
    both, alone, own = _server(batch=3, draft=GUESSER), _server(batch=3), _server(GUESSER, batch=3)
    assert held(both) == tuple(one + other for one, other in zip(held(alone), held(own), strict=True))
    assert held(alone).weights == 2 * _weights(6)
    assert held(own).weights == 2 * _weights(2)
    assert held(alone).kv_cache == 2 * 6 * 3 * 1000 * TOKEN
    names = [line.name for line in lines.held_lines(both, 0)]
    assert names == [line.name for line in lines.held_lines(alone, 0)] + [
        f"draft.{line.name}" for line in lines.held_lines(own, 0)
    ]
    assert sum(line.size for line in lines.held_lines(both, 0)) == held(both).total == most_held(both)
    assert all(line.size for line in lines.held_lines(both, 0))


def test_a_workspace_is_in_the_format_of_the_weights_or_in_16_bits() -> None:
    half, whole, few = (_server(dtype=DTYPES[name], batch=2) for name in ("bf16", "fp32", "fp8"))
    assert held(whole).activations == 2 * held(half).activations > 0
    assert held(few).activations == held(half).activations
    assert held(half).logits == held(few).logits == 4 * 2 * 512


def test_stages_hold_their_layers_and_the_ends_of_the_model() -> None:
    """Six layers in stages of 1, 3 and 2: the second holds most of a cache; of equal ones the last, with a table, a norm and the logits."""
    for layers, batch, place in (((1, 3, 2), 64, 1), ((2, 2, 2), 1, 2), ((3, 1, 2), 64, 0), ((1, 1, 4), 64, 2)):
        server = _server(batch=batch, layout=ServingLayout(pipeline=3, layers=layers))
        assert fullest(server) == place
        assert most_held(server) == held(server).total
        assert held(server).kv_cache == 2 * layers[place] * batch * 1000 * TOKEN


def test_two_stacks_are_served_in_one_stage() -> None:
    both = _server(resolve("t5-small"), context=None)
    assert len(both.stages) == 1
    with pytest.raises(RequestError, match=r"two stacks of t5-small in stages: use --pipeline 1$"):
        both.on(ServingLayout(pipeline=2))


# ---------------------------------------------------------------------------------------------------------------------
# What is said
# ---------------------------------------------------------------------------------------------------------------------


def test_what_is_said_of_a_layout() -> None:
    for model, degrees, said in (
        (MODEL, ServingLayout(), []), (MODEL, ServingLayout(2, 1, 1, 2), ["Each layer is divided over 2 devices"]),
        (MODEL, ServingLayout(1, 1, 1, 2, 2), ["6 sequences over all devices are at most 3 on each"]),
        (MODEL, ServingLayout(replicas=2), ["6 sequences over all devices are at most 3 on each"]),
        (MODEL, ServingLayout(pipeline=2), ["Stages of 3, 3 layers; stage 2 holds the most"]),
        (ROUTED, ServingLayout(2, 1, 1, 2), ["Each layer"]), (ROUTED, ServingLayout(1, 2), ["Stages of"]),
        (ROUTED, ServingLayout(2, 1, 2, 1), ["Each layer", "Routed experts are assigned to 2 groups of ranks, each expert whole"]),
        (ROUTED, ServingLayout(1, 1, 1, 2, 2), ["6 sequences", "Routed experts are assigned to one group of ranks, each expert cut 2 ways"]),
        (ROUTED, ServingLayout(2, 1, 2, 2, 2), ["Each layer", "6 sequences", "Routed experts are assigned to 2 groups of ranks, each expert cut 2 ways"]),
    ):  # fmt: skip
        notes = list(layout.layout_notes(_server(model, batch=6, layout=degrees)))
        assert len(notes) == len(said), degrees
        assert all(note.startswith(start) for note, start in zip(notes, said, strict=True)), notes


def test_what_is_said_of_what_is_kept() -> None:
    latent = spec(
        TEXT.format("latent", 6, "{kind: latent, heads: 4, kv_rank: 32, nope_dim: 16, rope_dim: 8, v_dim: 16}", DENSE)
    )
    for model, given, said in (
        (MODEL, {}, []), (MODEL, {"cache_form": "full"}, ["large keeps no latents"]), (latent, {}, ["The cache holds latents"]),
        (latent, {"cache_form": "full"}, ["Latents are spread out"]), (WINDOWED, {}, ["Layers with a window keep no more than it"]),
        (WINDOWED, {"window_cache": "whole"}, []), (MODEL, {"window_cache": "whole"}, ["large has no layers with a window"]),
        (MODEL, {"prefix": 7}, ["The first 7 tokens of all sequences"]), (MODEL, {"draft": GUESSER, "draft_tokens": 1}, ["guesser guesses tokens", "A step verifies 2 tokens"]),
        (MODEL, {"draft_tokens": 3}, ["A step verifies 4 tokens"]),
    ):  # fmt: skip
        notes = list(layout.keeping_notes(_server(model, **given)))
        assert len(notes) == len(said), (given, notes)
        assert all(note.startswith(start) for note, start in zip(notes, said, strict=True)), notes


def test_what_cannot_be_served_is_refused() -> None:
    encoder: Any = SimpleNamespace(kind="encoder", label="It")
    for given in ({"prefix": 1}, {"draft": MODEL}, {"draft_tokens": 1}, {"by_sequences": True}):
        with pytest.raises(RequestError, match=r"It is an encoder: .* are known of decoders alone"):
            serving._check(encoder, Ask(**given), 100)
    serving._check(encoder, Ask(), 100)
    serving._check(MODEL, Ask(prefix=99), 100)
    with pytest.raises(RequestError, match="a prefix of 100 leaves nothing of sequences of 100 tokens"):
        serving._check(MODEL, Ask(prefix=100), 100)
    with pytest.raises(RequestError, match="It is an encoder, and only a decoder can guess"):
        serving._check(MODEL, Ask(draft=encoder), 100)
    with pytest.raises(RequestError, match="a draft is known beside a model in one stage"):
        serving._check(MODEL, Ask(draft=GUESSER, layout=ServingLayout(pipeline=2)), 100)
    with pytest.raises(RequestError, match=r"is of routed experts, which large has not: drop it$"):
        serving._check(MODEL, Ask(padding="marlin"), 100)
    with pytest.raises(
        RequestError, match=r"is of routed experts in mxfp4, which routed has not: drop it, or use --dtype mxfp4"
    ):
        serving._check(ROUTED, Ask(padding="marlin"), 100)
    serving._check(ROUTED, Ask(padding="marlin", dtype=DTYPES["mxfp4"]), 100)


def test_a_sequence_is_as_long_as_asked_or_as_a_model_reads_up_to_a_limit() -> None:
    def of(context: int, audio: int | None = None) -> Any:
        return SimpleNamespace(context=context, audio_frames=audio, label="it")

    for asked, context, audio, value, noted in (
        (None, 8192, None, 8192, False), (None, 8193, None, 8192, True), (20_000, 32_768, None, 20_000, False), (None, 9000, 1500, 9000, False)
    ):  # fmt: skip
        found = serving.serving_context(of(context, audio), asked)
        assert (int(found.value), "reads up to" in found.note) == (value, noted)


def test_the_room_that_is_left_is_of_batches_and_of_contexts() -> None:
    """One more of either does not fit."""
    server = _server(batch=2, context=64)
    total = held(server).total
    for usable in (total, total - 1, 3 * total):
        room = answered.room_of(server, usable)
        assert room.batch is not None
        assert room.context is not None
        batches = [held(server._replace(batch=n)).total <= usable for n in (room.batch, room.batch + 1)]
        contexts = [held(server._replace(context=n)).total <= usable for n in (room.context, room.context + 1)]
        assert batches == contexts == [True, False]
    assert answered.room_of(server, 0) == (0, 0)
    assert answered.room_of(server, total) == (2, 64)


def test_what_serving_holds_is_data() -> None:
    """On 4 devices of H100: nothing of gradients; exact where it is counted, assumed where the length is."""
    found: Any = answered.memory_figures(
        MODEL, Ask(batch=3, context=1000, gpus=4, hardware=H100, prefix=10, by_sequences=True)
    )
    sizes = {name: figure.value for name, figure in found["per_device_bytes"].items()}
    one = _server(batch=3, gpus=4, prefix=10, by_sequences=True, chunk=8192)
    assert sizes == {
        "weights": held(one).weights, "gradients": 0, "optimizer": 0, "activations": held(one).activations, "logits": held(one).logits, "kv_cache": held(one).kv_cache,
        "total": held(one).total,
    }  # fmt: skip
    assert (found["devices"], found["split_cache"], found["prefix"], found["gpu"], found["verdict"]) == (4, "sequences", 10, H100.name, "fits")  # fmt: skip
    assert found["layout"]["stage"] == 1
    assert [found["per_device_bytes"][name].known for name in ("weights", "kv_cache", "activations")] == [
        "exact", "exact", "convention"
    ]  # fmt: skip
    assert found["max_batch"].value > 3
    bare: Any = answered.memory_figures(MODEL, Ask())
    assert (bare["gpu"], bare["split_cache"], bare["max_batch"], bare["draft"], bare["state_dtype"]) == (None, "heads", None, None, None)  # fmt: skip
    unknown: Any = answered.memory_figures(
        spec(TEXT.format("x", 2, PLAIN, DENSE).replace("context: 4096\n", "")), Ask()
    )
    assert [unknown["per_device_bytes"][name].known for name in ("weights", "kv_cache", "total")] == [
        "exact", "assumed", "assumed"
    ]  # fmt: skip


def test_contexts_are_listed_where_there_are_several() -> None:
    rows = list(answered.at_contexts(_server(), None, "convention"))
    assert rows == [], "no more than 4,096"
    longer = spec(TEXT.format("long", 6, PLAIN, DENSE).replace("4096", "10000"))
    known = list(answered.at_contexts(_server(longer), None, "convention"))
    assert [row.context for row in known] == [4096, 8192, 10_000]
    for row in known:
        assert row.total.value == held(_server(longer, context=row.context)).total
        assert row.verdict is None


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


def _training(**given: Any) -> TrainAsk:
    values = {"precision": "bf16", "optimizer": "adamw", "rank": None, "qlora": False, **given}
    return train_ask(**values)


def test_states_of_training_are_sixteen_bytes_of_each_parameter_and_more_of_activations() -> None:
    """Rajbhandari 2019, section 3.1: 2 of weights, 2 of gradients, 4 of a master copy and 8 of moments; in bf16 alone 2 of each, and no copy."""
    for precision, sizes in (("bf16", (2, 2, 4, 8)), ("pure-bf16", (2, 2, 0, 4))):
        one = trained.weighed(MODEL, _training(precision=precision, context=100))
        found: Any = one.data["per_device_bytes"]
        names = ("weights", "gradients", "master_weights", "optimizer")
        assert tuple(found[name].value / _weights(6) for name in names) == sizes
        assert (found["kv_cache"].value, found["total"].value) == (0, one.most.total)
        assert sum(figure.value for name, figure in found.items() if name != "total") == one.total
        assert [found[name].known for name in ("weights", "activations")] == ["exact", "convention"]


def test_figures_of_training_are_those_of_the_answer() -> None:
    """What a sweep's row holds, and what is made with all lists, are made apart."""
    for hardware, given, batch in (
        (None, {}, None),
        (H100, {"micro_batch": 2}, 16),
        (H100, {"qlora": True, "plan": Parallelism(data=2, zero=3)}, 16),
    ):
        ask = _training(hardware=hardware, context=128, **given)
        found: Any = train_figures.memory_train_figures(GUESSER, ask, batch)
        whole = trained.all_held(trained.weighed(GUESSER, ask))
        timed = {"step"} if batch is not None else set()
        assert set(found) == {*train_figures.figures_of(whole), "shortcut"} | timed
        assert {key: found[key] for key in train_figures.figures_of(whole)} == train_figures.figures_of(whole)
        assert whole.shortcut is not None
        assert found["shortcut"] == whole.shortcut.data()
        if batch is not None:
            assert found["step"]["step_seconds"]["middle"].value > 0
        assert (found["max_batch"] is None) == (hardware is None)
        assert found["mode"] == "train"


def test_a_title_says_what_is_trained_where_and_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "verdict_text", lambda *_: "fits")
    model: Any = SimpleNamespace(context=2048, spec=MODEL)
    most: Any = SimpleNamespace(total=70 * 10**9)
    for given, hardware, assumed, said in (
        ({}, None, False, "Training large in bf16 with adamw, one sequence of 2,048 tokens, takes 70.00 GB"),
        ({"micro_batch": 2}, None, True, "Training large in bf16 with adamw, 2 sequences of 2,048 tokens (assumed), takes 70.00 GB"),
        ({"plan": Parallelism(data=2)}, None, False, "Training large in bf16 with adamw, one sequence of 2,048 tokens, takes 70.00 GB on each of 2 devices"),
        ({"plan": Parallelism(pipeline=2)}, None, False, "Training large in bf16 with adamw, one sequence of 2,048 tokens, takes 70.00 GB on the fullest of 2 devices"),
        ({}, "chip", False, "Training large in bf16 with adamw, one sequence of 2,048 tokens, takes 70.00 GB on chip: fits"),
        ({"plan": Parallelism(data=2)}, "chip", False, "Training large in bf16 with adamw, one sequence of 2,048 tokens, takes 70.00 GB on each of 2 × chip: fits"),
        ({"rank": 4, "optimizer": "sgd"}, None, False, "Training adapters of rank 4 for large in bf16 with sgd, one sequence of 2,048 tokens, takes 70.00 GB"),
    ):  # fmt: skip
        ask = _training(**given)._replace(hardware=None if hardware is None else SimpleNamespace(label=hardware))  # type: ignore[arg-type]
        length = Figure(2048, TOKENS, "assumed" if assumed else "exact")
        capacity: Any = hardware
        assert trained.Weighed(ask, model, length, 0, most, 0, capacity).title == said


def test_one_more_sequence_or_token_has_no_room() -> None:
    one = trained.weighed(MODEL, _training(context=64))
    usable = one.total * 2
    room = trained.room_of(one.model, usable)
    assert room.batch is not None
    assert room.context is not None
    batches = [one.model.with_(micro_batch=n).worst()[1].total <= usable for n in (room.batch, room.batch + 1)]
    contexts = [one.model.of_length(n).worst()[1].total <= usable for n in (room.context, room.context + 1)]
    assert batches == contexts == [True, False]
    assert trained.room_of(one.model, 0) == (0, 0)
