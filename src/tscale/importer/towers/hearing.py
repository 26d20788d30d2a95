"""How each family's processor reads sounds, as the release's classes do by default.

`tests/oracle/sound_flops.jsonl` holds the towers to what the release computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tscale.blocks.tower_inputs import Sound

if TYPE_CHECKING:
    from tscale.importer.towers.ends import Ends


def _sound(per_second: int, merge: int, piece: int | None = None, *, padded: bool = False) -> Sound:
    return Sound(kind="sound", positions_per_second=per_second, merge=merge, piece_seconds=piece, padded=padded)


def _in_windows(ends: Ends) -> Sound | None:
    """Granite Speech: 50 positions a second, of which the queries of each window become tokens; not known where these do not divide it."""
    window, rate = (ends.file.own.size(key) for key in ("window_size", "downsample_rate"))
    if window % rate:
        return None
    queries, block = window // rate, ends.tower.size("context_size")
    return Sound(kind="sound", positions_per_second=50, window=window, queries=queries, block=block)


_CHUNK: Final = 100


def _of_chunks(ends: Ends) -> Sound | None:
    """13 positions of each second, which is a chunk of 100 frames; of other chunks the processor's rule is not known."""
    if 2 * ends.tower.size("n_window") != _CHUNK:
        return None
    return Sound(kind="sound", positions_per_second=13, chunk=13)


def _in_blocks(ends: Ends) -> Sound:
    """Gemma 4: a position for each 40 ms, of which a block is scored at a time."""
    return Sound(kind="sound", positions_per_second=25, block=ends.tower.size("attention_chunk_size"))


def _phi4(ends: Ends) -> Sound | None:
    """A position for each 8 frames of 10 ms, up to 500 of them in a piece; not known where the tower makes other ones of them."""
    stride, rate = (ends.tower.size(key) for key in ("time_reduction", "downsample_rate"))
    if stride != _PHI4_STRIDE or rate != 1:
        return None
    return Sound(kind="sound", positions_per_second=100, stride=stride, longest=500)


_PHI4_STRIDE: Final = 8
SOUNDS: Final[dict[str, Sound | Callable[[Ends], Sound | None]]] = {
    "granite_speech": _in_windows,
    "qwen3_asr": _of_chunks,
    "qwen3_omni_moe_thinker": _of_chunks,
    "qwen2_audio": _sound(50, 2, 30),
    "voxtral": _sound(50, 4, 30, padded=True),
    "gemma4": _in_blocks,
    "phi4_multimodal": _phi4,
    "gemma4_unified": _sound(25, 1),
    "qwen2_5_omni_thinker": _sound(50, 2),
    "audioflamingo3": _sound(50, 2, 30),
    "musicflamingo": _sound(50, 2, 30),
    "glmasr": _sound(50, 4, 30),
}
"""How each family reads a sound; of others it is not known here."""
