"""How deep the stacks of a family are, and how its encoder differs from its decoder."""

from __future__ import annotations

from math import prod

from tscale.blocks import Attention, FeedForward
from tscale.blocks.attention import Projection
from tscale.importer.config_keys import Config
from tscale.importer.rules import Key
from tscale.models.spec import Encoder


def product(config: Config, *, of: tuple[Key, ...], at_most: tuple[Key, Key] | None = None) -> int:
    """Several sizes multiplied. `at_most`: two keys, of which the first must not be more than the second."""
    if at_most is not None and config.size(at_most[0]) > config.size(at_most[1]):
        raise config.wrong(
            f"{at_most[0]}: {config.size(at_most[0])} groups are more than {at_most[1]}, so some are never used"
        )
    return prod(config.size(key) for key in of)


def one_of(config: Config, *, key: Key, otherwise: Key) -> int:
    """What one key says, or another where that is null."""
    return config.optional(key) or config.size(otherwise)


def repeated(config: Config, *, key: Key, repeated_by: Key) -> int:
    """What a key says, which another may repeat."""
    return config.agreed(repeated_by, config.size(key), key)


def stack(
    config: Config,
    *,
    layers: Key,
    heads: Key | None = None,
    d_ff: Key | None = None,
    bias: tuple[Projection, ...] | bool = True,
    mel_bins: Key | None = None,
    frames: Key | None = None,
    vocabulary: Key | None = None,
) -> Encoder | None:
    """The encoder where it is not as the decoder.

    Args:
        config: The keys of the file.
        layers: Its depth.
        heads: Its heads, where it has a key of its own for them.
        d_ff: The width of its feed-forwards, alike; with a bias.
        bias: Which of its projections have a bias where its heads are others.
        mel_bins: Bins of the spectrogram that it reads, where it reads sounds.
        frames: Its positions behind the convolutions, alike.
        vocabulary: A key that may repeat the decoder's vocabulary, and say nothing else.
    """
    if vocabulary is not None:
        config.agreed(vocabulary, config.size(config.keys.vocabulary), config.keys.vocabulary)
    own_layers = _unlike(config.size(layers), _decoder_layers(config))
    own_heads = None if heads is None else _unlike(config.size(heads), config.size(config.keys.heads))
    key = config.keys.d_ff
    own_d_ff = None if d_ff is None or key is None else _unlike(config.size(d_ff), config.size(key))
    found = Encoder(
        layers=own_layers,
        attention=None if own_heads is None else Attention(heads=own_heads, bias=bias),
        feed_forward=None if own_d_ff is None else FeedForward(d_ff=own_d_ff, bias=True),
        mel_bins=None if mel_bins is None else config.size(mel_bins),
        frames=None if frames is None else config.size(frames),
    )
    return None if found == Encoder() else found


def _unlike(own: int, other: int) -> int | None:
    return None if own == other else own


def _decoder_layers(config: Config) -> int:
    return config.size(config.keys.layers) if config.family.layers is None else config.family.layers(config)
