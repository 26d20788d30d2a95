"""What images, videos and sounds add to a sequence: tokens by the family's own rule, their cache, and FLOPs of towers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tscale.blocks import sees_images
from tscale.core.metric import Data, Figure, Label
from tscale.core.tracing import ceil_div
from tscale.core.units import COUNT, FLOPS, TOKENS
from tscale.core.view import Record
from tscale.core.workload import TowerPass
from tscale.errors import RequestError, field
from tscale.models.lower import lower, run_of
from tscale.models.spec import ModelSpec

if TYPE_CHECKING:  # towers are imported where something is seen or heard
    from tscale.blocks.seen import Seen
    from tscale.blocks.tower import Tower
    from tscale.core.costs.media import TowerCost
    from tscale.models.tower_spec import TowerSpec

ASSUMED_SIDE = 1024
"""Pixels of an image's sides where none are given."""


class Media(NamedTuple):
    """What a sequence has beside text: images, and frames of a video, of so many pixels; seconds of sound."""

    images: int = 0
    frames: int = 0
    height: int = ASSUMED_SIDE
    width: int = ASSUMED_SIDE
    seconds: int = 0
    sized: bool = False

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return bool(self.images or self.frames or self.seconds)

    def options(self) -> list[str]:
        """What asks for them on a command line."""
        counts = {"--images": self.images, "--video-frames": self.frames, "--audio-seconds": self.seconds}
        words = [word for name, many in counts.items() if many for word in (name, str(many))]
        return words + (["--image-size", f"{self.height}x{self.width}"] if self.sized else [])


class MediaCost(NamedTuple):
    """One kind of them: how many there are, tokens of the sequence, and FLOPs of the towers."""

    name: str
    key: str
    many: int
    tokens: int
    flops: TowerCost
    passes: tuple[TowerPass, ...] = ()

    @property
    def outputs(self) -> int:
        """Positions that towers give to the language model."""
        return sum(one.times * one.run.outputs for one in self.passes)


def tower_passes(spec: ModelSpec | TowerSpec, media: Media) -> tuple[TowerPass, ...]:
    """What runs through the towers for one sequence. Raises `RequestError` as `media_costs` does."""
    costs = media_costs(spec, media)
    _check_paired(spec, media)
    return tuple(one for cost in costs for one in cost.passes)


def _check_paired(spec: ModelSpec | TowerSpec, media: Media) -> None:
    """Raises `RequestError` for other than one image of a sequence, where images are compared with texts."""
    compared = any(piece.kind == "contrast" for tower in spec.towers or () for piece in tower.pieces)
    if not compared or not media.any or (media.images == 1 and not media.frames):
        return
    name = field("video_frames") if media.frames else field("images")
    raise RequestError(f"{name}: {spec.label} is trained on pairs of a text and an image: ask for {field('images')} 1")


def media_costs(spec: ModelSpec | TowerSpec, media: Media) -> tuple[MediaCost, ...]:
    """Each kind of media in a sequence. Raises `RequestError` where a model has no tower for it, or its rule is not known."""
    return tuple(_costs(spec, media))


def _costs(spec: ModelSpec | TowerSpec, media: Media) -> Iterator[MediaCost]:
    if not media.any:
        return
    from tscale.blocks.tower_inputs import NativeImage, Sound, reads_frames, reads_one_image

    size = f"{media.height:,}x{media.width:,}"
    if media.images:
        tower = _tower_of(spec, "images", field("images"))
        assert tower.input is not None
        assert not isinstance(tower.input, Sound)
        if media.images > 1 and reads_one_image(tower.input):
            raise RequestError(f"{field('images')}: {spec.label} is given one image in a sequence: ask for 1")
        seen = tower.input.read(media.height, media.width)
        yield _cost(spec, _named(media.images, "image", size), "images", media.images, seen)
    if media.frames:
        tower = _tower_of(spec, "images", field("video_frames"))
        assert tower.input is not None
        assert not isinstance(tower.input, Sound)
        if not reads_frames(tower.input):
            raise RequestError(
                f"{field('video_frames')}: {spec.label} does not read frames as images, and how it reads videos is not known: drop it"
            )
        seen = tower.input.read(media.height, media.width)
        together = tower.input.frames if isinstance(tower.input, NativeImage) else 1
        yield _cost(
            spec, _named(media.frames, "frame", size), "video_frames", ceil_div(media.frames, together), seen
        )._replace(many=media.frames)
    if media.seconds:
        tower = _tower_of(spec, "sounds", field("audio_seconds"))
        assert isinstance(tower.input, Sound)
        yield _cost(
            spec, f"{media.seconds:,} s of sound", "audio_seconds", 1, tower.input.hear(media.seconds)
        )._replace(many=media.seconds)


def _named(many: int, what: str, size: str) -> str:
    return f"{many:,} {what}{'' if many == 1 else 's'} of {size}"


def _tower_of(spec: ModelSpec | TowerSpec, reads: str, option: str) -> Tower:
    """The tower that reads images or sounds."""
    towers = [
        tower
        for tower in spec.towers or ()
        if tower.reads == reads and (tower.part != "projector" or tower.input is not None)
    ]
    encoder = getattr(spec, "encoder", None)
    if reads == "sounds" and encoder is not None and encoder.mel_bins:
        raise RequestError(
            f"{option}: the encoder of {spec.label} reads sound as its source, and no tower does: drop it"
        )
    if not towers:
        raise RequestError(f"{option}: {spec.label} has no tower that reads {reads}: drop it")
    tower = next((tower for tower in towers if tower.input is not None), None)
    if tower is None:
        raise RequestError(
            f"{option}: how {spec.label} reads {reads} is not known: write its input into the spec, "
            f"such as {field('set')} towers.0.input.kind=fixed, or drop the option"
        )
    return tower


def _cost(spec: ModelSpec | TowerSpec, name: str, key: str, times: int, seen: Seen) -> MediaCost:
    from tscale.blocks.tower import IMAGES, SOUNDS
    from tscale.core.costs.media import TowerCost, tower_flops

    reads = "sounds" if key == "audio_seconds" else "images"
    towers = [(tower.part, tuple(tower.groups())) for tower in spec.towers or () if tower.reads == reads]
    once = tower_flops(spec.name, towers, seen.passes)
    block = SOUNDS if reads == "sounds" else IMAGES
    passes = tuple(TowerPass(block, times * count, run) for count, run in seen.passes)
    return MediaCost(name, key, times, times * seen.tokens, TowerCost(*(times * flops for flops in once)), passes)


def towers_flops(spec: ModelSpec | TowerSpec, media: Media) -> int:
    """FLOPs of towers and projectors for the media of a sequence. Raises `RequestError` as `media_costs` does."""
    return flops_of(media_costs(spec, media))


def flops_of(costs: tuple[MediaCost, ...]) -> int:
    """FLOPs of towers and projectors in all."""
    return sum(int(cost.flops.total) for cost in costs)


def with_images(spec: ModelSpec, media: Media) -> ModelSpec:
    """The model of sequences with images: its layers that attend to these, where it has some, say how many positions there are.

    Raises `RequestError` as `media_costs` does.
    """
    if not (media.images or media.frames) or not any(map(sees_images, spec.mixers)):
        return spec
    pictures = media._replace(seconds=0)
    positions = sum(cost.outputs for cost in media_costs(spec, pictures))

    return _at_positions(spec, positions)


def _at_positions(spec: ModelSpec, positions: int | None) -> ModelSpec:
    """The model with so many positions of images in its layers that attend to these."""
    mixers: tuple[Any, ...] = spec.mixers
    return replace(spec, attention=tuple(replace(one, images=positions) if sees_images(one) else one for one in mixers))


def check_fits(costs: tuple[MediaCost, ...], context: int, name: str = "context") -> None:
    """Raises `RequestError` for media that take more tokens than a sequence has; `name`: the field that says how many."""
    tokens = sum(cost.tokens for cost in costs)
    if tokens > context:
        raise RequestError(
            f"images and sounds take {tokens:,} tokens, and sequences of {context:,} hold no more: raise {field(name)}, or ask for fewer"
        )


def media_record(cost: MediaCost) -> dict[str, Data]:
    """One kind of them: how many there are, and their tokens in a sequence."""
    return {
        "media": Label(cost.name, cost.key),
        "count": Figure(cost.many, COUNT),
        "tokens": Figure(cost.tokens, TOKENS),
    }


def media_data(spec: ModelSpec, costs: tuple[MediaCost, ...], context: int) -> list[Record]:
    """Tokens and FLOPs of each kind, the language model's for its tokens included."""
    return [
        {
            **media_record(cost),
            "flops": {
                "vision_tower": Figure(cost.flops.vision_tower, FLOPS),
                "audio_tower": Figure(cost.flops.audio_tower, FLOPS),
                "projector": Figure(cost.flops.projector, FLOPS),
                "language_model": Figure(language_flops(spec, cost, context), FLOPS),
            },
        }
        for cost in costs
    ]


def language_flops(spec: ModelSpec, cost: MediaCost, context: int) -> int:
    """FLOPs of the language model for some of a sequence's tokens, at the average of its tokens.

    Where its layers attend to images, also what these add: keys and values of them, and all that tokens run through there.
    """
    whole, run = _forward(spec, context), run_of(spec, context)
    plain = whole if not run.images else _forward(_without_images(spec), context)
    added = ceil_div((whole - plain) * cost.outputs, int(run.images)) if run.images else 0
    return ceil_div(cost.tokens * plain, int(run.tokens)) + added


def _forward(spec: ModelSpec, context: int) -> int:
    from tscale.core.costs.forward import forward_flops

    return int(forward_flops(lower(spec), run_of(spec, context)).total)


def _without_images(spec: ModelSpec) -> ModelSpec:
    """The model of a plain text, which skips the layers that attend to images."""
    return _at_positions(spec, None)
