"""The options of images, videos and sounds, which questions about a sequence share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tscale.analysis.request import Option, Request, asked
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.counts import parse_count
from tscale.errors import RequestError, shown

if TYPE_CHECKING:
    from tscale.estimates.media import Media

MOST_SIDE: Final = 100_000
MOST_MEDIA: Final = 10**6
MEDIA: Final = ("images", "image_size", "video_frames", "audio_seconds")
"""The options of what a sequence has beside text."""
_HEADING: Final = "Images, video and audio"


def _count(text: str, what: str) -> int:
    return parse_count(text, what=what, most=MOST_MEDIA)


def image_size(text: str, what: str) -> tuple[int, int]:
    """Height and width in pixels: 768x1024."""
    sides = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text.strip().lower())
    if sides is None or not all(0 < int(side) <= MOST_SIDE for side in sides.groups()):
        raise RequestError(f"{what} takes a height and a width in pixels, such as 768x1024, not {shown(text)}")
    return int(sides[1]), int(sides[2])


@spec_dataclass
class WithMedia(Request):
    """A question about sequences that may hold more than text."""

    images: int | None = asked(
        Option("Set the images in a sequence.", "N", _count, heading=_HEADING, none_at_zero=True)
    )
    image_size: tuple[int, int] | None = asked(
        Option("Set the size of images and of frames in pixels, such as 768x1024.", "HxW", image_size, heading=_HEADING)
    )
    video_frames: int | None = asked(
        Option("Set the frames of a video in a sequence.", "N", _count, heading=_HEADING, none_at_zero=True)
    )
    audio_seconds: int | None = asked(
        Option("Set the seconds of audio in a sequence.", "N", _count, heading=_HEADING, none_at_zero=True)
    )

    @property
    def media(self) -> Media:
        """What a sequence holds beside text. Raises `RequestError` for the size of images of which there are none."""
        from tscale.estimates.media import ASSUMED_SIDE, Media

        if self.image_size is not None and not (self.images or self.video_frames):
            raise RequestError("--image-size is of images: add --images or --video-frames, or drop it")
        height, width = self.image_size or (ASSUMED_SIDE, ASSUMED_SIDE)
        return Media(
            self.images or 0,
            self.video_frames or 0,
            height,
            width,
            self.audio_seconds or 0,
            self.image_size is not None,
        )
