"""What a tower is made of, piece by piece: matrices, tables, vectors, convolutions, scores and stacks of layers.

Every piece says where it runs: over the patches of an image alone (`patches`), over the tower's own positions (`inputs`: these and
class tokens, or frames of a sound), over what the language model is handed (`outputs`), or once for an image or a sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from tscale.blocks.fields import CONFIG, LayerContext, Problem, Size, Tagged
from tscale.blocks.kinds import FEED_FORWARDS, MIXERS, SIMPLE_PIECES
from tscale.blocks.norm import Norm
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Conv, Entry, Lookup, Matmul, Scores, Stream, Vector
from tscale.core.roles import Role

if TYPE_CHECKING:
    from tscale.blocks import Mixer, Mlp
else:
    Mixer = Mlp = object

RunsOver = Literal["patches", "inputs", "outputs", "once"]
STREAMS: Final[dict[RunsOver, Stream]] = {
    "patches": "tower_patches",
    "inputs": "tower_inputs",
    "outputs": "tower_outputs",
    "once": "once",
}


@spec_dataclass
class Linear:
    """A matrix, or a convolution as one: `d_in` is then the kernel's size times its input channels."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["linear"] = "linear"
    name: str
    """What its line is called."""
    d_in: Size
    """Inputs of one output."""
    d_out: Size
    """Outputs."""
    bias: bool = False
    """Whether each output has a bias."""
    copies: Size = 1
    """Copies with weights of their own."""
    times: Size = 1
    """How often one of its positions is multiplied by it (a convolution before a stride of 2 runs twice)."""
    at: RunsOver = "inputs"
    """What it runs over."""
    learned: bool = True
    """Whether its numbers are weights; false where each position computes them (ConvBERT's filters)."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The matrix."""
        name, stream, used = f"{prefix}.{self.name}", STREAMS[self.at], self.copies * self.times
        stored = self.copies if self.learned else 0
        yield Matmul(
            name, "projection", "vision_tower", stream, self.d_in, self.d_out, self.bias, stored=stored, used=used
        )


@spec_dataclass
class Table:
    """A table of learned vectors that are added or appended: positions, tiles, queries, latents."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["table"]
    name: str
    """What its line is called."""
    rows: Size
    """Rows."""
    width: Size
    """Width of a row."""
    trained: bool = True
    """Whether it has a gradient; a table of sines has none."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The table."""
        name = f"{prefix}.{self.name}"
        yield Lookup(name, "positions", "vision_tower", self.rows, self.width, trained=self.trained)


@spec_dataclass
class Gains:
    """Weights that are applied elementwise: a norm's gains and biases, a class token, gates, scales."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["vector"]
    name: str
    """What its line is called."""
    width: Size
    """Weights; a norm with biases has two for each channel."""
    copies: Size = 1
    """Copies with weights of their own."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The vector."""
        role: Role = "norm" if "norm" in self.name else "scale"
        yield Vector(f"{prefix}.{self.name}", role, "vision_tower", self.width, stored=self.copies)


@spec_dataclass
class Depthwise:
    """A convolution that filters each channel by weights of its own."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["depthwise"]
    name: str
    """What its line is called."""
    channels: Size
    """Channels."""
    kernel: Size
    """Weights of a channel."""
    bias: bool = False
    """Whether each channel has a bias."""
    at: RunsOver = "inputs"
    """What it runs over."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The convolution."""
        name, stream = f"{prefix}.{self.name}", STREAMS[self.at]
        yield Conv(name, "conv", "vision_tower", stream, self.channels, self.kernel, self.bias)


@spec_dataclass
class Attend:
    """Attention scores of queries against keys that run over another stream: a pooling head, a Q-Former, a resampler."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["scores"]
    name: str
    """What its line is called."""
    heads: Size
    """Heads."""
    head_dim: Size
    """Width of a head."""
    at: RunsOver = "outputs"
    """What the queries run over."""
    keys: RunsOver = "inputs"
    """What the keys run over."""
    copies: Size = 1
    """How often it is computed."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The scores."""
        d, name = self.head_dim, f"{prefix}.{self.name}"
        yield Scores(name, STREAMS[self.at], STREAMS[self.keys], self.heads, d, d, causal=False, used=self.copies)


Simple = Linear | Table | Gains | Depthwise | Attend


@spec_dataclass
class TowerLayers:
    """A stack of equal layers: attention, a feed-forward, their norms, and what else each layer has."""

    __pydantic_config__: ClassVar[dict[str, object]] = CONFIG

    kind: Literal["layers"]
    name: str = "layers"
    """What its lines begin with."""
    layers: Size
    """Layers."""
    d_model: Size
    """Width of the residual stream."""
    attention: Annotated[Mixer | None, Tagged(MIXERS, "multi-head")] = None
    """How positions are mixed; absent where `each` says it."""
    feed_forward: Annotated[Mlp | None, Tagged(FEED_FORWARDS, "dense")] = None
    """What follows the mixing; absent where nothing does."""
    norm: Norm | None = None
    """The norms next to both, without one behind the last layer."""
    each: Annotated[tuple[Any, ...], Tagged(SIMPLE_PIECES, "linear", many=True)] = ()
    """What each layer has beyond these."""
    at: RunsOver = "inputs"
    """What it runs over."""

    def problems(self) -> Iterator[Problem]:
        """What contradicts itself in it."""
        for key in ("attention", "feed_forward"):
            block = getattr(self, key)
            for path, message in block.problems(self.d_model) if block is not None else ():
                yield (key, *path), message
            if block is not None and block.on is not None:
                yield (key, "on"), "every layer of a tower's stack is alike: write another stack for others"

    def lower(self, prefix: str) -> Iterator[Entry]:
        """One layer's entries."""
        stream = STREAMS[self.at]
        name = prefix if self.name == "layers" else f"{prefix}.{self.name}"
        site = LayerContext(f"{name}.", self.d_model, self.layers, stream, stream, causal=False)
        blocks: tuple[tuple[str, Any], ...] = (("attention", self.attention), ("feed_forward", self.feed_forward))
        for label, block in blocks:
            if block is None:
                continue
            own = site._replace(name=site.name + label)
            found = block.lower(own, caches=False) if label == "attention" else block.lower(own)
            for entry in found:
                yield from entry.items if hasattr(entry, "items") else (entry,)
            if self.norm is not None:
                yield from self.norm.lower(site, label)
        for piece in self.each:
            yield from piece.lower(name)


Piece = Simple | TowerLayers
