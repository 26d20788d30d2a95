"""Files of towers that are models by themselves: one row a `model_type`, with the classes that its files name.

Each class adds a head of its own to the tower, or none. `tests/oracle/towers_alone.jsonl` holds them to what transformers counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from tscale.blocks.fields import dotted, out_of_range
from tscale.blocks.tower import Tower
from tscale.blocks.tower_inputs import FixedImage, Reading, Sound
from tscale.errors import SpecError, shown
from tscale.importer.known_keys import unread_note
from tscale.importer.towers import audio, audio_alone, vision, vision_alone
from tscale.importer.towers.ends import Pieces
from tscale.importer.towers.parts import READ, linear
from tscale.importer.towers.sizes import Sizes, recorded
from tscale.models.tower_spec import TowerSpec

Head = Callable[[Sizes], Pieces]


class Alone(NamedTuple):
    """One row: the pieces of the tower, the head of each class (the first is taken where none is named), and how it reads."""

    pieces: Callable[[Sizes], Pieces]
    heads: Mapping[str, Head]
    reading: Callable[[Sizes], Reading | None]
    sounds: bool = False


def _none(_: Sizes) -> Pieces:
    return iter(())


def _one_size(v: Sizes, learned: int, *, kept: bool = True) -> FixedImage:
    """Every image is brought to the size that the tower was made for; `kept`: whether learned positions are handed on."""
    patches = v.grid()
    return FixedImage(kind="fixed", patches=patches, classes=learned, outputs=patches + (learned if kept else 0))


def _projection(v: Sizes) -> Pieces:
    """CLIP's, on the class token."""
    yield linear("projection", v.size("hidden_size"), v.size("projection_dim"), bias=False, at="once", keeps=READ)


def _of_waves(a: Sizes) -> Sound | None:
    """Sounds of 16,000 samples a second; None where the convolutions do not divide these."""
    step = 1
    for stride in a.sizes("conv_stride"):
        step *= stride
    if not step or _SAMPLES % step:
        return None
    return Sound(kind="sound", positions_per_second=_SAMPLES // step)


def _of_pieces(a: Sizes) -> Sound | None:
    """Whisper's pieces, always whole, of 50 positions a second; None where they are no whole seconds."""
    seconds, rest = divmod(a.size("max_source_positions"), _POSITIONS)
    if rest or not seconds:
        return None
    return Sound(kind="sound", positions_per_second=_POSITIONS, piece_seconds=seconds, padded=True)


_SAMPLES: Final = 16_000
_POSITIONS: Final = 50

KINDS: Final[dict[str, Alone]] = {
    "vit": Alone(
        vision_alone.vit,
        {"ViTModel": vision_alone.vit_pooler, "ViTForImageClassification": vision_alone.classifier},
        lambda v: _one_size(v, 1),
    ),
    "dinov2": Alone(
        vision_alone.dinov2,
        {"Dinov2Model": _none, "Dinov2ForImageClassification": vision_alone.wide_classifier},
        lambda v: _one_size(v, 1),
    ),
    "vit_msn": Alone(
        vision_alone.vit,
        {"ViTMSNModel": _none, "ViTMSNForImageClassification": vision_alone.classifier},
        lambda v: _one_size(v, 1),
    ),
    "deit": Alone(
        vision_alone.deit,
        {
            "DeiTModel": vision_alone.vit_pooler,
            "DeiTForImageClassification": vision_alone.classifier,
            "DeiTForImageClassificationWithTeacher": vision_alone.two_classifiers,
        },
        lambda v: _one_size(v, 2),
    ),
    "ijepa": Alone(
        vision_alone.ijepa,
        {"IJepaModel": _none, "IJepaForImageClassification": vision_alone.classifier},
        lambda v: _one_size(v, 0),
    ),
    "dinov2_with_registers": Alone(
        vision_alone.dinov2_with_registers,
        {"Dinov2WithRegistersModel": _none, "Dinov2WithRegistersForImageClassification": vision_alone.wide_classifier},
        lambda v: _one_size(v, 1 + v.whole("num_register_tokens")),
    ),
    "dinov3_vit": Alone(
        vision_alone.dinov3,
        {"DINOv3ViTModel": _none},
        lambda v: _one_size(v, 1 + v.whole("num_register_tokens")),
    ),
    "clip_vision_model": Alone(
        vision.clip,
        {"CLIPVisionModel": _none, "CLIPVisionModelWithProjection": _projection},
        lambda v: _one_size(v, 1),
    ),
    "siglip_vision_model": Alone(
        vision.siglip,
        {"SiglipVisionModel": _none},
        lambda v: _one_size(v, 0),
    ),
    "wav2vec2": Alone(
        audio_alone.wav2vec2,
        {
            "Wav2Vec2Model": _none,
            "Wav2Vec2ForCTC": audio_alone.ctc,
            "Wav2Vec2ForPreTraining": audio_alone.quantizer,
        },
        _of_waves,
        sounds=True,
    ),
    "whisper": Alone(
        audio.whisper, {"WhisperForAudioClassification": audio_alone.whisper_classifier}, _of_pieces, sounds=True
    ),
    "hubert": Alone(
        audio_alone.hubert, {"HubertModel": _none, "HubertForCTC": audio_alone.ctc}, _of_waves, sounds=True
    ),
}
"""The towers that are models by themselves, by `model_type`."""


def tower_spec(config: Mapping[str, object], *, name: str, where: str, strict: bool = False) -> TowerSpec:
    """The spec of a tower alone.

    Raises `SpecError` for a class that is not known, a size that is none, and, where `strict`, a key that its class does not have.
    """
    kind = str(config["model_type"])
    row, known = KINDS[kind], recorded()["types"][kind]
    sizes = Sizes(dict(config) | {"model_type": kind}, known["keys"], where, "")
    head = row.heads[_class_of(config, kind, row, where)]
    unread = sizes.unread()
    if strict and unread:
        raise SpecError(f'key "{unread[0][:60]}" is not known for {kind}, and may change what is counted', where=where)
    tower = Tower(
        part="audio_tower" if row.sounds else "vision_tower",
        reads="sounds" if row.sounds else "images",
        input=row.reading(sizes),
        pieces=(*row.pieces(sizes), *head(sizes)),
    )
    spec = TowerSpec(name=name, kind="tower", towers=(tower,), notes=unread_note(unread, own_code=None))
    for path, message in (*out_of_range(spec), *spec.problems()):
        raise SpecError(f"{dotted(path)}: {message}", where=where)
    return spec


def _class_of(config: Mapping[str, object], kind: str, row: Alone, where: str) -> str:
    named = config.get("architectures")
    if named in (None, []):
        return next(iter(row.heads))
    cls = named[0] if isinstance(named, list) and len(named) == 1 and isinstance(named[0], str) else None
    if cls not in row.heads:
        known = " and ".join(row.heads)
        raise SpecError(
            f"architectures: {shown(named if cls is None else cls)} is not known for {kind}: only {known}", where=where
        )
    return str(cls)
