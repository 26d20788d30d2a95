"""Stacks whose layers are run several times over: HRM-Text and Dory."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from tscale.blocks import Augmented
from tscale.blocks.tower_pieces import Gains, Table
from tscale.importer.config_keys import Config
from tscale.importer.layer_lists import layers_told_apart, mask_of, refuse_unknown
from tscale.importer.mixed_layers import GLOBAL, LOCAL, attention_of, window_of
from tscale.models.spec import Embedding, Head


def _of_one_stack(config: Config) -> int:
    """Layers of one of HRM's two stacks; a file that was saved by the class says all runs of layers as well."""
    own = config.optional("num_layers_per_stack")
    if own is None:
        return config.size("num_hidden_layers")
    config.agreed("num_hidden_layers", own * _cycles(config), "num_layers_per_stack x H_cycles x (L_cycles + 1)")
    return own


def _cycles(config: Config) -> int:
    return config.size("H_cycles") * (config.size("L_cycles") + 1)


def hrm_layers(config: Config) -> int:
    """The lower stack runs `L_cycles` times, then the higher one once, and all of that `H_cycles` times."""
    return _of_one_stack(config) * _cycles(config)


def hrm_unique(config: Config) -> int:
    """Both stacks."""
    return 2 * _of_one_stack(config)


def hrm_embedding(config: Config) -> Embedding:
    """The state that the lower stack begins with, which is not trained."""
    return Embedding(
        pieces=(Table(kind="table", name="state", rows=1, width=config.size("hidden_size"), trained=False),)
    )


class _Sections(NamedTuple):
    """Dory's layers before, in and behind the section that is run several times; and what each of them is."""

    before: int
    looped: int
    behind: int
    types: list[str]


def _sections(config: Config) -> _Sections:
    """Of a released file, which lists attention and feed-forwards as blocks of their own, half of what it says."""
    listed, depth = config.listed("layer_types", str), layers_told_apart(config)
    blocks = 2 if listed is not None and "mlp" in listed else 1
    depth //= blocks
    before, behind = config.whole("n_input_layers") // blocks, config.whole("n_output_layers") // blocks
    own = config.optional_whole("n_recurrent_layers")
    looped = depth - before - behind if own is None else own // blocks
    types = [GLOBAL if layer % 4 == 3 else LOCAL for layer in range(depth)] if listed is None else listed[::blocks]
    refuse_unknown(config, "layer_types", types, LOCAL, GLOBAL)
    if looped < 0 or before + looped + behind != depth or len(types) != depth:
        raise config.wrong(
            "n_input_layers, n_recurrent_layers and n_output_layers must be num_hidden_layers together, each with a type"
        )
    return _Sections(before, looped, behind, types)


def dory_layers(config: Config) -> int:
    """All layers that are run."""
    found = _sections(config)
    return found.before + found.looped * config.size("n_recurrent_loops") + found.behind


def dory_unique(config: Config) -> int:
    """Layers with weights of their own."""
    return len(_sections(config).types)


def dory(config: Config) -> Augmented:
    """Gated attention without norms that have weights, and what scales queries, gates, feed-forwards and residual connections."""
    found = _sections(config)
    end = found.before + found.looped
    inner = found.types[found.before : end] * config.size("n_recurrent_loops")
    types = [*found.types[: found.before], *inner, *found.types[end:]]
    mask = mask_of(["local" if kind == LOCAL else "global" for kind in types], window_of(config, types))
    attention = replace(attention_of(config, gated=True), window=mask.window, pattern=mask.pattern)
    d, wide = config.size("hidden_size"), config.size("num_attention_heads") * config.size("head_dim")
    widths = {"queries": wide, "gates": wide, "feed_forward": 2 * config.size("intermediate_size"), "residuals": 2 * d}
    pieces = tuple(Gains(kind="vector", name=f"scale.{name}", width=width) for name, width in widths.items())
    return Augmented(kind="augmented", attention=attention, pieces=pieces)


def dory_head(config: Config, head: Head) -> Head:
    """Each word's logit has a scale of its own."""
    if head.kind == "none":
        return head
    return replace(head, pieces=(Gains(kind="vector", name="scale", width=config.size("vocab_size")),))
