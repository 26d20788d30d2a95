"""What a tower is made of, piece by piece: matrices, tables, vectors, convolutions, scores and stacks of layers.

Every piece says where it runs: over the patches of an image alone (`patches`), over the tower's own positions (`inputs`: these and
class tokens, or frames of a sound), over what the language model is handed (`outputs`), or once for an image or a sound. What it
keeps for its backward pass is recorded from real code (`tests/oracle/record_activations_towers.py`), and refused where it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from tscale.blocks.attention import Attention, core_saves
from tscale.blocks.contrast import Contrast
from tscale.blocks.fields import MOST_SIZE, LayerContext, Problem, Size, Tagged, Whole, unrecorded, within
from tscale.blocks.kinds import FEED_FORWARDS, MIXERS, SIMPLE_PIECES
from tscale.blocks.norm import Norm
from tscale.blocks.seen import Few
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.blocks.sub_layer import Saving, SubLayerPart, sub_layer_saves
from tscale.core.ledger import (
    ALWAYS,
    Cache,
    Conv,
    Entry,
    Keeping,
    Lookup,
    Matmul,
    Saved,
    Scores,
    Stream,
    Subset,
    Vector,
)
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

IN_LAYERS: Final[tuple[Keeping, ...]] = ("naive", "selective", "flash")
"""What stands in layers is kept unless these are computed again whole."""


@spec_dataclass
class Linear:
    """A matrix, or a convolution as one: `d_in` is then the kernel's size times its input channels."""

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
    times: Annotated[int, Whole(0, MOST_SIZE)] = 1
    """How often one of its positions is multiplied by it (a convolution before a stride of 2 runs twice); 0: it is stored alone."""
    at: RunsOver = "inputs"
    """What it runs over."""
    keeps: tuple[Literal["input", "output", "activation"], ...] | None = None
    """What is kept for the backward pass: its input, unless another piece keeps that already; its output too where an activation
    function follows; and the activation of which its input is a product, as a gate makes it. Absent where nobody has recorded it."""
    inputs: Size | None = None
    """Numbers of its input that belong to one position, where a convolution's kernels overlap; by default d_in."""
    conv: bool = False
    """Whether it is a convolution."""
    learned: bool = True
    """Whether its numbers are weights; false where each position computes them (ConvBERT's filters)."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The matrix."""
        name, stream, used = f"{prefix}.{self.name}", STREAMS[self.at], self.copies * self.times
        stored = self.copies if self.learned else 0
        made = Matmul(name, "projection", "vision_tower", stream, self.d_in, self.d_out, self.bias, conv=self.conv)
        yield made._replace(stored=stored, used=used)

    def saves(self, prefix: str) -> Iterator[Saved]:
        """What it multiplies, and what an activation function behind it reads again."""
        if self.keeps is None:
            raise unrecorded(f"{prefix}.{self.name}")
        read = self.d_in if self.inputs is None else self.inputs
        widths = {"input": read, "output": self.d_out * self.times, "activation": self.d_in}
        for what in self.keeps:
            kept = Saved(f"{prefix}.{self.name}.{what}", "projector", STREAMS[self.at], widths[what], keeping=ALWAYS)
            yield kept._replace(eager=what == "activation", used=self.copies)


_WORDS: Final[Role] = "layer_embedding"
_PLACES: Final[Role] = "positions"


@spec_dataclass
class Table:
    """A table of learned vectors that are added or appended: positions, tiles, queries, latents."""

    kind: Literal["table"]
    name: str
    """What its line is called."""
    rows: Size
    """Rows."""
    width: Size
    """Width of a row."""
    trained: bool = True
    """Whether it has a gradient; a table of sines has none."""
    gated: bool = False
    """Whether a learned gate scales the row that an image reads (Llama 3.2 Vision)."""
    words: bool = False
    """Whether words are looked up in it, or groups of them, next to a text model's own parts (Qwen4-Exp)."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The table."""
        name, role = f"{prefix}.{self.name}", _WORDS if self.words else _PLACES
        yield Lookup(name, role, "vision_tower", self.rows, self.width, trained=self.trained)

    def saves(self, prefix: str) -> Iterator[Saved]:
        """The row of an image that a gate scales; else nothing: a sum asks for neither of its terms again."""
        if self.gated:
            yield Saved(f"{prefix}.{self.name}.row", "projector", "once", self.width, keeping=ALWAYS)


@spec_dataclass
class Gains:
    """Weights that are applied elementwise: a norm's gains and biases, a class token, gates, scales."""

    kind: Literal["vector"]
    name: str
    """What its line is called."""
    width: Size
    """Weights; a norm with biases has two for each channel."""
    copies: Size = 1
    """Copies with weights of their own."""
    does: Literal["layernorm", "rmsnorm", "scales", "joins", "idle"] | None = None
    """What it is: weights of a norm, factors of the channels, what is added to or put among the positions, or what is stored alone.
    Absent where nobody has recorded what it keeps for the backward pass."""
    at: RunsOver = "inputs"
    """What it runs over."""
    inputs: Size | None = None
    """Numbers of a position that it scales; by default, as many as there are weights (one gate scales all of them)."""
    activated: bool = False
    """Whether an activation function follows a norm, which keeps what the norm yields."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The vector."""
        role: Role = "norm" if "norm" in self.name else "scale"
        yield Vector(f"{prefix}.{self.name}", role, "vision_tower", self.width, stored=self.copies)

    def saves(self, prefix: str) -> Iterator[Saved]:
        """A norm's input and statistics, or what is scaled; of what is added, nothing."""
        name, stream = f"{prefix}.{self.name}", STREAMS[self.at]
        if self.does is None:
            raise unrecorded(name)
        if self.does == "scales":
            scaled = self.width if self.inputs is None else self.inputs
            yield Saved(f"{name}.input", "projector", stream, scaled, keeping=ALWAYS, used=self.copies)
        elif self.does in ("layernorm", "rmsnorm"):
            width = self.width // 2 if self.does == "layernorm" else self.width
            for kept in Norm(kind=self.does).saves_one(name, stream, width, "projector"):
                yield kept._replace(used=self.copies)
            if self.activated:
                yield Saved(f"{name}.output", "projector", stream, width, keeping=ALWAYS, used=self.copies)


@spec_dataclass
class Depthwise:
    """A convolution that filters each channel by weights of its own."""

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
    times: Size = 1
    """How often one of its positions is filtered, where what is before strides has more of them."""
    trimmed: bool = True
    """Whether frameworks run it over kernel - 1 positions more, and cut these off again."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The convolution."""
        name, stream = f"{prefix}.{self.name}", STREAMS[self.at]
        found = Conv(name, "conv", "vision_tower", stream, self.channels, self.kernel, self.bias, used=self.times)
        yield found._replace(trimmed=self.trimmed)

    def saves(self, prefix: str) -> Iterator[Saved]:
        """Refused: nobody has recorded what stands next to one."""
        raise unrecorded(f"{prefix}.{self.name}")


@spec_dataclass
class Attend:
    """Attention scores of queries against keys that run over another stream: a pooling head, a Q-Former, a resampler."""

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
    most: Size | None = None
    """Keys that each query sees, those of its window or block; by default all of them."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The scores."""
        d, name = self.head_dim, f"{prefix}.{self.name}"
        found = Scores(name, STREAMS[self.at], STREAMS[self.keys], self.heads, d, d, causal=False, used=self.copies)
        yield found._replace(most=self.most)

    def saves(self, prefix: str) -> Iterator[Saved]:
        """Queries, keys and values, and the probabilities where they are kept; the matrix behind it keeps its output."""
        name, width = f"{prefix}.{self.name}", self.heads * self.head_dim
        if self.most is not None:
            raise unrecorded(name)
        site = LayerContext(name, width, 1, STREAMS[self.at], STREAMS[self.keys], causal=False)
        for what, stream in (("q", site.stream), ("k", site.keys), ("v", site.keys)):
            yield Saved(f"{name}.{what}", "projector", stream, width, keeping=ALWAYS, used=self.copies)
        for kept in core_saves(site, self.heads):
            yield kept._replace(used=self.copies)


@spec_dataclass
class Kept:
    """Numbers that each sequence has in the cache while decoding, however long it is: a convolution's last inputs, or a state."""

    kind: Literal["kept"]
    name: str
    """What its line is called."""
    width: Size
    """Numbers."""

    def lower(self, prefix: str) -> Iterator[Entry]:
        """The state."""
        yield Cache(f"{prefix}.{self.name}", "conv_state", "once", self.width)

    def saves(self, prefix: str) -> Iterator[Saved]:
        """Nothing: a forward pass of training keeps no state."""
        yield from ()


Simple = Linear | Table | Gains | Depthwise | Attend | Kept


@spec_dataclass
class TowerLayers:
    """A stack of equal layers: attention, a feed-forward, their norms, and what else each layer has."""

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
    unread: Few = 0
    """Layers at its end that nothing reads, so that they keep nothing for the backward pass (LLaVA reads the last but one)."""

    def problems(self) -> Iterator[Problem]:
        """What contradicts itself in it."""
        for key in ("attention", "feed_forward"):
            block = getattr(self, key)
            yield from within((key,), block.problems(self.d_model) if block is not None else ())
            if block is not None and block.on is not None:
                yield (key, "on"), "every layer of a tower's stack is alike: write another stack for others"
        if self.unread > self.layers:
            yield ("unread",), f"there are {self.layers} layers: set at most as many"

    def _site(self, prefix: str) -> LayerContext:
        """Where its layers stand."""
        stream = STREAMS[self.at]
        name = prefix if self.name == "layers" else f"{prefix}.{self.name}"
        return LayerContext(f"{name}.", self.d_model, self.layers, stream, stream, causal=False)

    def _blocks(self, site: LayerContext) -> Iterator[tuple[SubLayerPart, Any, LayerContext]]:
        """Attention and feed-forward, where it has them, and where each stands."""
        blocks: tuple[tuple[SubLayerPart, Any], ...] = (
            ("attention", self.attention),
            ("feed_forward", self.feed_forward),
        )
        for label, block in blocks:
            if block is not None:
                yield label, block, site._replace(name=site.name + label)

    def saves(self, prefix: str) -> Iterator[Saved]:
        """What one layer keeps; its input alone where it is computed again whole."""
        site = self._site(prefix)
        yield Saved(f"{site.name}layer.input", "norm", site.stream, self.d_model, "residual", keeping=("full",))
        for label, block, own in self._blocks(site):
            if not isinstance(block, Saving):
                raise unrecorded(own.name)
            for found in sub_layer_saves(block, own, label):
                yield from _of_windows(found.items if isinstance(found, Subset) else (found,), block)
            if self.norm is not None:
                yield from self.norm.saves(site, label)
        for piece in self.each:
            for kept in piece.saves(site.name.removesuffix(".")):
                yield kept._replace(keeping=IN_LAYERS) if kept.keeping == ALWAYS else kept

    def lower(self, prefix: str) -> Iterator[Entry]:
        """One layer's entries."""
        site = self._site(prefix)
        for label, block, own in self._blocks(site):
            found = block.lower(own, caches=False) if label == "attention" else block.lower(own)
            for entry in found:
                yield from entry.items if hasattr(entry, "items") else (entry,)
            if self.norm is not None:
                yield from self.norm.lower(site, label)
        for piece in self.each:
            yield from piece.lower(site.name.removesuffix("."))


def _of_windows(kept: Iterable[Saved | Entry], block: object) -> Iterator[Saved]:
    """What attention keeps; of pairs those within its windows, which a tower scores one by one."""
    window = block.window if isinstance(block, Attention) else None
    for one in kept:
        if isinstance(one, Saved):
            yield one if one.keys is None else one._replace(most=window)


Piece = Simple | TowerLayers | Contrast
