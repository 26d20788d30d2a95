"""Towers of a `config.json`: what its vision and audio configurations build, and what stands between these and the text model.

A family is here where its projector is (`projectors`, `audio`), a type of tower where its pieces are (`vision`, `audio`).
`tests/oracle/towers.jsonl` holds both to what transformers counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from tscale.blocks.tower import Tower
from tscale.importer.towers import audio, further, hearing, inputs, newer, projectors, vision
from tscale.importer.towers.ends import Ends, without_unread
from tscale.importer.towers.sam import sam
from tscale.importer.towers.sizes import File

_BEHIND_VISION: Final = projectors.PROJECTORS | further.BEHIND_VISION | newer.BEHIND_VISION
_BEHIND_AUDIO: Final = audio.PROJECTORS | further.BEHIND_AUDIO | newer.BEHIND_AUDIO
_VISION: Final = vision.KINDS | further.VISION | newer.VISION
_AUDIO: Final = audio.KINDS | further.AUDIO | newer.AUDIO
FAMILIES: Final = tuple(sorted({*_BEHIND_VISION, *_BEHIND_AUDIO, *further.WITHOUT_TOWER}))
"""Families that are counted whole."""

_IMAGES: Final = "vision_config"
_SOUNDS: Final = {"granite_speech": "encoder_config"}


class Found(NamedTuple):
    """The towers of a file, the keys of theirs that their classes do not have, and the configurations that it does not hold."""

    towers: tuple[Tower, ...]
    unread: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def towers_of(
    config: Mapping[str, object], family: str, text_size: Callable[[str], int], d_model: int, where: str
) -> Found | None:
    """The towers of a file of a family; None where one of them is of a type that is not known.

    Raises `SpecError` for sizes that are none.
    """
    if family not in FAMILIES:
        return None
    file = File(config, family, where, text_size)
    images = _of_images(file, d_model)
    sounds = _of_sounds(file, d_model)
    if images is None or sounds is None:
        return None
    return Found((*images, *sounds), file.unread(), tuple(file.absent))


def _of_images(file: File, d_model: int) -> tuple[Tower, ...] | None:
    """The vision tower and its projector; none where the file has no images, None where the tower is not known."""
    if file.family in further.WITHOUT_TOWER:
        return (Tower(part="projector", pieces=tuple(further.WITHOUT_TOWER[file.family](file, d_model))),)
    if file.family not in _BEHIND_VISION:
        return ()
    v = file.inside(_IMAGES)
    if v is None:
        return ()
    build = _VISION.get(v.kind)
    if build is None:
        return None
    between = _BEHIND_VISION[file.family]
    own = without_unread(file, tuple(build(v)))
    ends = Ends(file, v, d_model, own)
    reading = inputs.IMAGES.get(file.family)
    found = [Tower(part="vision_tower", input=None if reading is None else reading(ends), pieces=own)]
    if file.family == "video_llava":
        found.append(Tower(part="vision_tower", name="video_tower", pieces=own))
    if file.family == "deepseek_vl_hybrid":
        high = file.inside("high_res_vision_config")
        assert high is not None, "the class always has one"
        found.append(Tower(part="vision_tower", name="high_res_tower", pieces=tuple(sam(high))))
    pieces = tuple(between(ends))
    if pieces:
        found.append(Tower(part="projector", pieces=pieces))
    return tuple(found)


def _of_sounds(file: File, d_model: int) -> tuple[Tower, ...] | None:
    """The audio tower and its projector; none where the file has no sounds, None where the tower is not known."""
    if file.family not in _BEHIND_AUDIO:
        return ()
    a = file.inside(_SOUNDS.get(file.family, "audio_config"))
    if a is None:
        return ()
    build = _AUDIO.get(a.kind)
    if build is None:
        return None
    seen = file.family in _BEHIND_VISION
    ends = Ends(file, a, d_model)
    between, own = tuple(_BEHIND_AUDIO[file.family](ends)), tuple(build(a))
    rule = hearing.SOUNDS.get(file.family)
    reading = rule(ends) if callable(rule) else rule
    projector = Tower(part="projector", name="audio_projector" if seen else None, reads="sounds", pieces=between)
    if not own:
        return (replace(projector, input=reading),)
    return Tower(part="audio_tower", reads="sounds", input=reading, pieces=own), projector
