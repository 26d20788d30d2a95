"""Qwen4-Exp: tables of groups of words, streams that low-rank products mix, and attention to blocks of keys."""

from __future__ import annotations

from itertools import count, islice
from typing import Final

from tscale.blocks import Augmented, IndexedAttention, MixedStreams, Mixer
from tscale.blocks.tower_pieces import Depthwise, Gains, Kept, Linear, Table
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart
from tscale.importer.mixed_layers import GLOBAL, LINEAR, attention_of, by_kind, gated_delta_of, layer_types

_PICKED: Final = "indexed_attention"
_MOST_TABLES: Final = 4096


def qwen4(config: Config) -> Mixer | tuple[Mixer, ...]:
    """Delta rules, some of them next to a table of groups of words, and attention to blocks of keys that an indexer picks."""
    depth, interval = layers_told_apart(config), config.size("full_attention_interval")
    usual = [LINEAR if (layer + 1) % interval else _PICKED for layer in range(depth)]
    types = [_PICKED if kind == GLOBAL else kind for kind in layer_types(config, usual, LINEAR, _PICKED, GLOBAL)]
    blocks: dict[str, Mixer] = {LINEAR: gated_delta_of(config)}
    if _PICKED in types:
        blocks[_PICKED] = _picking(config)
    kinds = list(types)
    for number, layer in enumerate(sorted(set(config.listed("ple_layer_ids", int) or ()))):
        if not 1 <= layer <= depth or types[layer - 1] != LINEAR:
            raise config.wrong(f"ple_layer_ids: {layer} is no layer with linear_attention, counted from 1")
        kinds[layer - 1] = f"table {number}"
        blocks[f"table {number}"] = _with_table(config, number)
    return by_kind(config, kinds, blocks)


def _picking(config: Config) -> IndexedAttention:
    block, budget = config.size("indexer_compress_ratio"), config.size("indexer_budget")
    if config.size("indexer_kv_heads") != 1 or budget % block:
        raise config.wrong(
            "indexer_kv_heads must be 1, and indexer_compress_ratio divide indexer_budget, as in the class"
        )
    return IndexedAttention(
        kind="indexed",
        attention=attention_of(config, gated=True, qk_norm="head"),
        index_heads=config.size("indexer_n_heads"),
        index_dim=config.size("indexer_head_dim"),
        index_block=block,
        index_top_blocks=budget // block,
        pooled=True,
    )


def _with_table(config: Config, number: int) -> Augmented:
    """A delta rule next to the `number`-th table: each token's groups of words are looked up, and let into all streams."""
    streams, d = config.size("hc_count"), config.size("hidden_size")
    longest, many = config.size("ngram_size"), config.size("heads_per_ngram")
    heads = (longest - 1) * many
    width, kernel = config.optional("ple_embed_dim") or d, config.size("ple_conv_kernel_size")
    if not 0 < heads <= _MOST_TABLES or width % heads:
        raise config.wrong(
            f"ple_embed_dim: {width} is not divided by {heads} tables, (ngram_size - 1) x heads_per_ngram of them"
        )
    every, rows = streams * d, _rows(config, heads, number)
    norms = (Gains(kind="vector", name=f"norm.{name}", width=every) for name in ("key", "query", "conv"))
    waiting = every * (kernel - 1) * longest
    return Augmented(
        kind="augmented",
        mixer=gated_delta_of(config),
        pieces=(
            Table(kind="table", name="ngrams", rows=rows, width=width // heads, words=True),
            Linear(name="ngrams.key", d_in=width, d_out=every),
            Linear(name="ngrams.value", d_in=width, d_out=d),
            *norms,
            Depthwise(kind="depthwise", name="ngrams.conv", channels=every, kernel=kernel, trimmed=False),
            *((Kept(kind="kept", name="ngrams.conv_state", width=waiting),) if waiting else ()),
        ),
    )


def _rows(config: Config, heads: int, number: int) -> int:
    """Rows of the tables of one layer, side by side: each has a prime of its own, the next one from a size on; padded at the end."""
    primes = (size for size in count(config.size("ngram_vocab_size_base")) if _is_prime(size))
    total, step = (
        sum(islice(primes, number * heads, (number + 1) * heads)),
        config.size("make_ngram_vocab_size_divisible_by"),
    )
    return -(-total // step) * step


_BASES: Final = (2, 3, 5, 7, 11, 13, 17)


def _is_prime(size: int) -> bool:
    """Whether a size is prime, by Miller and Rabin's test with bases that are enough below 3.4 x 10^14 (Jaeschke 1993)."""
    if size < 2 or any(size % base == 0 for base in _BASES):
        return size in _BASES
    odd, twos = size - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_is_passed(size, base, odd, twos) for base in _BASES)


def _is_passed(size: int, base: int, odd: int, twos: int) -> bool:
    power = pow(base, odd, size)
    if power in (1, size - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % size
        if power == size - 1:
            return True
    return False


def streams(config: Config) -> MixedStreams:
    """Streams that low-rank products mix."""
    return MixedStreams(kind="mixed", count=config.size("hc_count"), rank=config.size("hc_lowrank"))
