"""What towers and projectors keep for the backward pass: as autograd keeps it of transformers' classes, every byte of difference named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.importer.recorded import recorded, spec_of
from tscale.blocks.tower import Tower
from tscale.core.costs.activations import Passes, activation_bytes
from tscale.core.ledger import Group, Saved
from tscale.core.workload import SequenceLengths, TowerPass, TowerRun
from tscale.importer.config_file import TOWERS_ALONE
from tscale.importer.towers.alone import tower_spec

RECORDED = recorded("activations_towers.jsonl")
D, HEADS, HEAD_DIM = 64, 4, 16
LEARNED = {
    "llava-clip": 1, "llava_next": 1, "vipllava": 1, "internvl": 1, "llama4": 1, "vit": 1, "deit": 2, "dinov2": 1,
    "dinov2_with_registers": 5, "dinov3_vit": 5, "vit_msn": 1, "clip_vision_model": 1, "clip": 1,
}  # fmt: skip
"""Positions that are no patches."""
COMPARED = ("clip", "siglip", "siglip2")
"""Models that compare images with as many texts: what they keep is of a whole micro-batch."""
WHOLE = {
    "llava-clip", "llava-siglip", "llava_next", "llava_onevision", "vipllava", "paligemma", "llava-pixtral", "gemma4_unified",
    *TOWERS_ALONE, *COMPARED,
}  # fmt: skip
"""Towers each of whose patches is an output; in all others, four are one, or in Qwen2-Audio two."""
TILES = {"llava_next": 3, "llava_onevision": 3}
FUSED = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "glm4v")
"""Towers that project queries, keys and values by one matrix."""
OF_LENGTHS = (*FUSED, "kimi_k25")
"""Towers that run images of several sizes one behind the other, and attention for each."""
QUICK = ("llava-clip", "llava_next", "vipllava", "clip_vision_model", "clip", "qwen2_vl")
IN_NATIVE_PRECISION = (
    "internvl", "llama4", "qwen2_audio", "voxtral", "dinov2", "dinov2_with_registers", "dinov3_vit",
)  # fmt: skip
"""Towers whose probabilities are not made in fp32."""


class Case(NamedTuple):
    """One record: its towers, what they keep, and how it was run."""

    record: dict[str, Any]
    towers: tuple[Tower, ...]
    kept: tuple[Saved, ...]
    run: SequenceLengths
    passes: Passes

    @property
    def name(self) -> str:
        return str(self.record["name"])

    @property
    def number(self) -> int:
        return self.passes.activation_bytes

    @property
    def eager(self) -> bool:
        return self.passes.keeping == "naive"

    @property
    def positions(self) -> int:
        each = sum(one.times * one.run.inputs for one in self.run.media) // len(self.run.media)
        return self.passes.micro_batch * each

    @property
    def layers(self) -> int:
        return 3 if self.name == "vipllava" else 2

    @property
    def images(self) -> int:
        return int(self.record["images"])

    def bytes_of(self, *ends: str) -> int:
        """Bytes of what ends so."""
        return self.bytes_where(*(one.name for one in self.kept if one.name.endswith(ends)))

    def bytes_where(self, *names: str) -> int:
        return int(activation_bytes([one for one in self.kept if one.name in names], self.run, self.passes).total)


def case(record: dict[str, Any]) -> Case:
    config = record["config"]
    alone = config["model_type"] in TOWERS_ALONE
    towers = tower_spec(config, name="it", where="config.json").towers if alone else spec_of(config).towers
    assert towers
    kept = tuple(saved for tower in towers for group in tower.groups(saves=True) for saved in _each(group))
    number = 2 if record["dtype"] == "bf16" else 4
    run = SequenceLengths(target=0, media=tuple({one.block: _pass(record, one) for one in kept}.values()))
    batch = record["images"] if record["name"] in COMPARED else 1
    return Case(
        record, towers, kept, run, Passes(batch, "naive" if record["attention"] == "eager" else "flash", number)
    )


def _each(group: Group) -> Iterator[Saved]:
    return (saved._replace(used=saved.used * group.layers) for saved in group.saved)


def _pass(record: dict[str, Any], saved: Saved) -> TowerPass:
    """The images of a record through the tower that something is kept of."""
    name, (high, wide) = record["name"], record["size"]
    if name in ("qwen2_audio", "voxtral"):  # frames, of which a position has two
        return TowerPass(
            saved.block, record["images"], TowerRun(wide // 2, wide // 2 // (2 if name == "qwen2_audio" else 4))
        )
    if name == "mllama":  # two tiles of 16 patches and a class token, each padded to 24 positions
        return TowerPass(saved.block, record["images"], TowerRun(48, 34, 16))
    patches = (high // 8) * (wide // 8)
    if name == "minicpmv4_6":  # four patches are merged half-way, and four of these behind the tower
        return TowerPass(saved.block, record["images"], TowerRun(patches // 4, patches // 16, patches // 4 - patches))
    run = TowerRun(patches + LEARNED.get(name, 0), patches if name in WHOLE else patches // 4, LEARNED.get(name, 0))
    times = 1 if name in COMPARED else record["images"] * TILES.get(name, 1)
    return TowerPass(saved.block, times, run)


def test_the_recording_holds_what_is_asked_of_it() -> None:
    """Towers with their projectors and towers alone, two formats, two kinds of attention, two numbers of images."""
    assert len(RECORDED) == 8 * len({record["name"] for record in RECORDED})
    assert {(record["dtype"], record["attention"]) for record in RECORDED} == {
        (dtype, attention) for dtype in ("fp32", "bf16") for attention in ("eager", "sdpa")
    }


@pytest.mark.parametrize("name", dict.fromkeys(record["name"] for record in RECORDED))
def test_a_tower_keeps_what_is_counted(name: str) -> None:
    for record in RECORDED:
        if record["name"] == name:
            one = case(record)
            named = list(differences(one))
            counted = int(activation_bytes(one.kept, one.run, one.passes).total)
            assert record["bytes"] - counted == sum(size for _, size in named), (record, named)


def test_the_loss_on_images_and_texts_keeps_a_table_of_all_beside_all() -> None:
    """Three images beside three texts: nine similarities, and what each loss makes of them."""
    of_three = {
        record["name"]: case(record)
        for record in RECORDED
        if record["name"] in COMPARED and record["images"] == 3 and record["dtype"] == "bf16"
    }
    assert of_three["clip"].bytes_of("contrast.similarities", "contrast.log_probabilities") == 9 * 3 * 2
    assert of_three["siglip"].bytes_of("contrast.similarities", "contrast.signs_and_logits") == 9 * (2 + 3 * 4)


def differences(one: Case) -> Iterator[tuple[str, int]]:
    """What transformers' own code keeps beside, or less, each with its reason."""
    name, number, positions = one.name, one.number, one.positions
    of_layernorms = [saved.name for saved in one.kept if saved.name.endswith(".statistics") and saved.width == 2]
    yield "the statistics of layernorms in the activations' format", one.bytes_where(*of_layernorms) * (number - 4) // 4
    if one.eager and number == 2 and name not in IN_NATIVE_PRECISION:
        yield "the probabilities in fp32 beside those in bf16", 2 * one.bytes_of(".probabilities")
    if name in QUICK:
        yield "QuickGELU in steps keeps its sigmoid too", one.bytes_of("feed_forward.up")
    if name in FUSED:
        yield "values are a part of the array that holds queries and keys too", 2 * one.bytes_of("attention.v")
    if name in OF_LENGTHS:
        yield "sines and cosines, kept once for all layers in fp32", positions * 2 * HEAD_DIM * 4
        if not one.eager:
            yield "what attention yields for each image, beside all of them in one array", one.bytes_of("attention.out")
    yield from _norms(one)
    yield from _OWN.get(name, _nothing)(one)


def _norms(one: Case) -> Iterator[tuple[str, int]]:
    """An RMS norm in steps keeps its normalised input, and its input in fp32."""
    if one.name not in ("qwen2_5_vl", "glm4v", "llava-pixtral", "mistral3"):
        return
    norms = [saved.name for saved in one.kept if saved.name.endswith(".statistics") and saved.width == 1]
    inputs = [name.replace(".statistics", ".input") for name in norms]
    yield "RMS norms in steps", one.bytes_where(*inputs) * 4 // one.number


def _nothing(_: Case) -> Iterator[tuple[str, int]]:
    return iter(())


def _unread(one: Case, *names: str) -> int:
    """Bytes of norms that are let go, since nothing reads what they yield."""
    inputs = one.bytes_where(*(f"{name}.input" for name in names))
    return inputs + one.bytes_where(*(f"{name}.statistics" for name in names)) * one.number // 4


def _post_unread(one: Case) -> Iterator[tuple[str, int]]:
    yield "the norm behind the layers, whose output is not read", -_unread(one, "vision_tower.norm.post")


def _gemma3(one: Case) -> Iterator[tuple[str, int]]:
    outputs = one.positions // 4 * D
    yield "what is averaged, which torch keeps", one.positions * D * one.number
    yield "the RMS norm in fp32: the normalised input, and the input where that is in bf16", outputs * (8 - one.number)
    yield "its gain, with one added", 4 * D


def _gemma4(one: Case) -> Iterator[tuple[str, int]]:
    wide, groups = one.number == 2, one.positions // 4
    on_stream, by_head, of_values = 4 * one.layers, 2 * one.layers, one.layers
    normed = on_stream + by_head
    yield "the normalised input of each norm with a gain, in fp32", 4 * normed * one.positions * D
    yield "a second statistic of each norm", 4 * one.positions * (on_stream + (by_head + of_values) * HEADS)
    if wide:
        yield "inputs of norms in fp32", 2 * (normed + of_values) * one.positions * D
        yield "gains in fp32", 4 * (on_stream * D + by_head * HEAD_DIM)
    yield "sines and cosines", 2 * one.positions * HEAD_DIM * one.number
    yield "positions of patches, whether they are padding, and those of groups", one.positions * 17 + groups
    yield "weights of the averages", one.positions * (groups // one.images) * 4
    yield "a norm without weights before the projector, in fp32", groups * (4 * D + 2 * 4)


def _unified(one: Case) -> Iterator[tuple[str, int]]:
    yield "a norm without weights before the projector, in fp32", one.positions * (4 * D + 2 * 4)
    yield "row and column of each patch, whether it is padding, and the two axes", one.positions * (2 * 8 + 1) + 2 * 8
    yield "whether each row and column is one", one.positions * 2 * one.number


def _mllama(one: Case) -> Iterator[tuple[str, int]]:
    yield "gates, as factors", 7 * one.number
    yield "the layouts of tiles", 8 * one.images
    if not one.eager:
        yield "the mask that keeps padding apart", one.positions * 48 * one.number


def _places(one: Case) -> Iterator[tuple[str, int]]:
    yield "positions of patches", 8 * one.positions


def _qwen2_5(one: Case) -> Iterator[tuple[str, int]]:
    yield "the order of windows, and back", 2 * 8 * one.positions // 4
    if one.eager and one.record["size"] == [32, 48]:  # 4 by 4 patches, and 4 by 2
        pairs = (16 * 16 + 8 * 8 - 24 * 16) * HEADS
        yield "the last window is no full one", pairs * (one.number if one.number == 4 else one.number + 4)


def _minicpm(one: Case) -> Iterator[tuple[str, int]]:
    yield "the order of windows, twice, of four patches a position", 2 * 8 * 4 * one.positions
    if not one.eager:
        yield (
            "what attention yields for each image or window, beside all of it in one array",
            one.bytes_of("attention.out"),
        )


def _qwen3(one: Case) -> Iterator[tuple[str, int]]:
    yield "four weights and places in the table of positions for each patch", one.positions * 4 * (4 + 8)
    yield (
        "what a deep merger's norm reads is the next layer's input too",
        -one.bytes_where("projector.deepstack.norm.input"),
    )


def _glm4v(one: Case) -> Iterator[tuple[str, int]]:
    yield "where in the table of positions a patch lies", 2 * 4 * one.positions
    if one.number == 2:
        yield "the table in fp32", 4 * D * (32 // 8) ** 2


def _pixtral(one: Case) -> Iterator[tuple[str, int]]:
    yield "sines and cosines", 2 * one.positions * HEAD_DIM * one.number
    if not one.eager:
        yield "the mask that keeps images apart", one.positions**2 * one.number
    else:
        others = one.positions * (one.positions - one.positions // one.images)
        width = one.number if one.number == 4 else one.number + 4
        yield "probabilities of patches of other images", others * HEADS * one.layers * width


def _llama4(one: Case) -> Iterator[tuple[str, int]]:
    yield "the projector, which is not run with the tower", -one.bytes_where("projector.linear.input")


def _kimi(one: Case) -> Iterator[tuple[str, int]]:
    yield "sixteen weights and places in the table of positions for each patch", one.positions * 16 * (one.number + 8)
    yield "whole numbers that say where each patch lies", one.positions * 4 * 8
    yield "the average over frames, in fp32", one.positions * (D + 1) * 4


def _class_token(one: Case) -> Iterator[tuple[str, int]]:
    yield "the class token is a part of the array of all positions", (one.positions - one.images) * D * one.number


def _llava_clip(one: Case) -> Iterator[tuple[str, int]]:
    yield from _post_unread(one)
    if one.images == 1:
        yield "the patches are a part of the array that holds the class token too", D * one.number


def _copied_out(one: Case) -> Iterator[tuple[str, int]]:
    if not one.eager:
        yield (
            "what attention yields, beside the same with a position's heads next to each other",
            one.bytes_of("attention.out"),
        )


def _dinov3(one: Case) -> Iterator[tuple[str, int]]:
    yield from _copied_out(one)
    yield "sines and cosines of the patches, once for all images", 2 * 16 * HEAD_DIM * one.number


def _siglip_head(one: Case) -> Iterator[tuple[str, int]]:
    pairs = HEADS * one.positions
    if not one.eager:
        yield "the head's attention is step by step in any case", pairs * one.number - HEADS * one.images * 4
    elif one.number == 2:
        yield "the head's probabilities are not made in fp32", -pairs * 4


def _siglip2(one: Case) -> Iterator[tuple[str, int]]:
    yield from _siglip_head(one)
    yield "the weights of each row of the table of positions in each position, in fp32", one.positions * 16 * 4


def _qwen2_audio(one: Case) -> Iterator[tuple[str, int]]:
    yield from _copied_out(one)
    yield "two positions are averaged before the last norm, not behind it", -_unread(one, "audio_tower.norm.post") // 2
    yield "what is averaged, which torch keeps", one.positions * D * one.number


_OWN: dict[str, Any] = {
    "llava-clip": _llava_clip,
    "llava-siglip": _post_unread,
    "aya_vision": _post_unread,
    "voxtral": _copied_out,
    "vit": _class_token,
    "clip_vision_model": _class_token,
    "clip": _class_token,
    "siglip": _siglip_head,
    "siglip2": _siglip2,
    "siglip_vision_model": _siglip_head,
    "deit": _class_token,
    "dinov3_vit": _dinov3,
    "llava_next": _post_unread,
    "llava_onevision": _post_unread,
    "vipllava": _post_unread,
    "gemma3": _gemma3,
    "gemma4": _gemma4,
    "gemma4_unified": _unified,
    "mllama": _mllama,
    "idefics3": _places,
    "smolvlm": _places,
    "qwen2_5_vl": _qwen2_5,
    "minicpmv4_6": _minicpm,
    "qwen3_vl": _qwen3,
    "qwen3_5": _qwen3,
    "glm4v": _glm4v,
    "mistral3": _pixtral,
    "llava-pixtral": _pixtral,
    "llama4": _llama4,
    "kimi_k25": _kimi,
    "qwen2_audio": _qwen2_audio,
}
