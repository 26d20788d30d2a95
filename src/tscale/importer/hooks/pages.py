"""Encoders that read pages: where words stand, and what the page looks like."""

from __future__ import annotations

from dataclasses import replace

from tscale.blocks import Attention
from tscale.blocks.augmented import Augmented
from tscale.blocks.tower_pieces import Simple
from tscale.importer.config_keys import Config
from tscale.importer.towers.parts import linear, norm, scores, table, vector
from tscale.models.spec import Embedding, Head


def layoutlmv3_embedding(config: Config) -> Embedding:
    """Tables of places and sizes on a page; patches of its image, and tables of biases by distance, which a plain text does not run."""
    d, heads = config.size("hidden_size"), config.size("num_attention_heads")
    rows = config.size("max_2d_position_embeddings")
    pieces: list[Simple] = []
    for key, names in (("coordinate_size", ("x", "y")), ("shape_size", ("height", "width"))):
        pieces += [table(name, rows, config.size(key)) for name in names]
    if config.flag("visual_embed"):
        side, patch = config.size("input_size") // config.size("patch_size"), config.size("patch_size")
        pieces += [
            vector("image.class", d), table("image.positions", side**2 + 1, d),
            linear("image.patches", patch**2 * config.size("num_channels"), d, at="patches"),
            norm("image.norm.in", d), norm("image.norm.out", d),
        ]  # fmt: skip
    if config.flag("has_relative_attention_bias"):
        pieces.append(table("biases.distance", config.size("rel_pos_bins"), heads))
    if config.flag("has_spatial_attention_bias"):
        pieces += [table(f"biases.{name}", config.size("rel_2d_pos_bins"), heads) for name in ("x", "y")]
    return Embedding(segments=config.size("type_vocab_size"), pieces=tuple(pieces))


def layoutlmv3_head(config: Config, head: Head) -> Head:
    """A layer and a classifier; of words with fewer than ten labels, the classifier alone."""
    if head.classes is None:
        return head
    labels, d = config.labels(), config.size("hidden_size")
    alone = config.architectures() == "LayoutLMv3ForTokenClassification" and labels < _FEW
    dense = () if alone else (linear("dense", d, d, at="inputs" if head.per_token else "once"),)
    return replace(head, classes=labels, pieces=dense)


_FEW = 10


def lilt(config: Config) -> Augmented:
    """Attention of words and of their layout, a stream so many times narrower, on the sum of both scores (Wang 2022)."""
    d, heads, ratio = (
        config.size("hidden_size"),
        config.size("num_attention_heads"),
        config.size("channel_shrink_ratio"),
    )
    narrow, inner = _shrunk(config), config.size("intermediate_size") // ratio
    if d % (heads * ratio):
        raise config.wrong(
            f"channel_shrink_ratio: {ratio} does not divide the width of a head, hidden_size / num_attention_heads"
        )
    return Augmented(
        kind="augmented",
        attention=Attention(heads=heads, bias=True),
        pieces=(
            *(linear(f"layout.{name}", narrow, narrow) for name in ("q", "k", "v", "o")),
            scores("layout.scores", heads, d // heads // ratio, at="inputs"),
            linear("layout.up", narrow, inner),
            linear("layout.down", inner, narrow),
            norm("layout.norms", narrow, copies=2),
        ),
    )


def _shrunk(config: Config) -> int:
    width = config.size("hidden_size") // config.size("channel_shrink_ratio")
    if not width:
        raise config.wrong("channel_shrink_ratio is more than hidden_size, so that the layout has no width")
    return width


def lilt_embedding(config: Config) -> Embedding:
    """Tables of segments, and of the layout: places and sizes on the page, brought to its width, and positions."""
    d, narrow, rows = config.size("hidden_size"), _shrunk(config), config.size("max_2d_position_embeddings")
    if d % _PLACES:
        raise config.wrong(f"hidden_size: {d} is not six equal parts, one for each place and size of a box")
    pieces = (
        *(table(f"layout.{name}", rows, d // _PLACES) for name in ("x", "y", "height", "width")),
        table("layout.positions", config.size("max_position_embeddings"), narrow),
        linear("layout.in", d, narrow),
        norm("layout.norm", narrow),
    )
    return Embedding(segments=config.size("type_vocab_size"), pieces=pieces)


_PLACES = 6


def markuplm_embedding(config: Config) -> Embedding:
    """Tables of segments, and of the tags around a word and their numbers, brought to the model's width by two layers (Li 2022)."""
    d, depth, width = config.size("hidden_size"), config.size("max_depth"), config.size("xpath_unit_hidden_size")
    pieces = (
        table("tags", depth * config.size("max_xpath_tag_unit_embeddings"), width),
        table("tag_numbers", depth * config.size("max_xpath_subs_unit_embeddings"), width),
        linear("tags.unused", depth * width, d, at="patches"),  # the class builds it, and never runs it
        linear("tags.up", depth * width, 4 * d),
        linear("tags.down", 4 * d, d),
    )
    return Embedding(segments=config.size("type_vocab_size"), pieces=pieces)
