"""Images in a sequence: their tokens, their part of the cache, and what a tower computes of them."""

from __future__ import annotations

import pytest

from tests.helpers import answer, run
from tscale.analysis.media import image_size
from tscale.errors import RequestError

GEMMA = ("gemma-3-4b", "--images", "3")


@pytest.mark.parametrize(("context", "layers"), [("8k", 5), ("1024", 34)])
def test_images_are_cached_where_they_are_seen(context: str, layers: int) -> None:
    """Gemma 3 4B: 256 tokens an image, 4 heads of 256; past a window of 1,024 its 5 global layers of 34 alone keep them."""
    (images,) = answer("memory", *GEMMA, "--context", context)["media"]
    assert (images["count"], images["tokens"]) == (3, 3 * 256)
    assert images["kv_cache_bytes"] == 3 * 256 * layers * 2 * 4 * 256 * 2


def test_a_tower_computes_all_patches_of_each_image() -> None:
    """SigLIP of 27 layers: 64 by 64 patches of 14 by 14 by 3, a width of 1,152, 4,304 inside; 256 tokens are projected to 2,560."""
    (images,) = answer("flops", *GEMMA)["media"]
    patches, d = 64 * 64, 1152
    layer = 2 * patches * (4 * d * d + 2 * d * 4304) + 4 * patches * patches * d
    assert images["flops"]["vision_tower"] == 3 * (27 * layer + 2 * patches * 14 * 14 * 3 * d)
    assert images["flops"]["projector"] == 3 * 2 * 256 * d * 2560
    assert images["flops"]["audio_tower"] == 0


def test_sizes_are_of_images() -> None:
    done = run("memory", "gemma-3-4b", "--image-size", "448x448")
    assert (done.code, done.out) == (2, "")
    assert "add --images or --video-frames" in done.err


def test_a_size_is_a_height_and_a_width() -> None:
    assert image_size("768x1024", "--image-size") == (768, 1024)
    assert image_size("1x100000", "--image-size") == (1, 100_000)


@pytest.mark.parametrize("text", ["768", "0x5", "5x0", "100001x1", "-1x5", "768x1024x3", ""])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="takes a height and a width in pixels"):
        image_size(text, "--image-size")
