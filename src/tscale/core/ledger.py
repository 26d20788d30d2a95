"""The ledger: one entry for each kind of thing that a model owns or does. No arithmetic here.

Every entry has a role and the `part` of the model that it belongs to. Entries that own weights say how many copies are
`stored`; entries that compute say how many copies each position of their `stream` is run through (`used`). Equal layers are
one group with a count, so a ledger does not grow with depth. A tied head is stored 0 times and used once, a block shared by
all layers is stored once and used by each of them. Names are for printing only.

Widths and multiplicities may be any of the three kinds of number (`tscale.core.tracing`); they are typed as int.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, assert_never

from tscale.core.layers import Layers
from tscale.core.roles import Role

TowerPart = Literal["vision_tower", "audio_tower", "projector"]
"""What brings images and sounds to the language model: towers, and what stands between them and it."""

Part = Literal["embedding", "positions", "attention", "mixer", "feed_forward", "norm", "head", TowerPart]
"""What a weight belongs to; `mixer` is whatever mixes tokens without attention scores."""

Stream = Literal["source", "target", "images", "once", "tower_patches", "tower_inputs", "tower_outputs"]
"""What an entry runs over: an encoder's tokens, a decoder's tokens, positions of images that layers of a decoder attend to, or a single
position of each sequence; in a tower, the patches of an image, its own positions (these and class tokens, or frames of a sound), or what
it hands to the language model."""


Stack = Literal["none", "encoder", "decoder", "tower"]
SubLayer = Literal["none", "mixer", "cross-attention", "feed-forward"]


class Block(NamedTuple):
    """Which block an entry belongs to: of which stack, of which sub-layer, and which of several that take turns there.

    Norms and tables of a stack are in no sub-layer of it, embeddings and the head in no stack.
    """

    stack: Stack
    sub_layer: SubLayer
    number: int = 0


OUTSIDE: Final = Block("none", "none")


class Cut(NamedTuple):
    """How tensor parallelism divides an entry (Shoeybi 2019, section 3): into `pieces` that are never cut themselves.

    A matrix is cut along its columns (`out`), or along its rows (`in`), where the devices' products are summed; of blocks on a
    diagonal each device has some (`copies`). A number of devices that does not divide the pieces is refused, or the last device is
    `padded`, or, where there are fewer pieces than devices, a piece is `repeated` on several of them. `beside`: how many of the
    numbers that are cut are of groups, and of how many of them: a device has whole groups, or one that others have too.
    """

    pieces: int
    axis: Literal["out", "in", "copies"] = "out"
    otherwise: Literal["refused", "padded", "repeated"] = "refused"
    beside: tuple[int, int] | None = None


WHOLE: Final = Cut(1, otherwise="repeated")
"""What each device has whole: a narrow matrix whose products all of them read."""


class Matmul(NamedTuple):
    """A weight matrix [d_in, d_out] that every position of `stream` is multiplied by.

    `experts`: how many of its copies in a layer are routed experts', of which a token is sent through a few; 1 for all
    else. `cut`: how tensor parallelism divides it; None where every device keeps it whole. `most`: the most positions of a
    sequence that are multiplied by it; None for all of them. `one_of`: whether it is an expert's, where a device has one alone.
    `groups`: where experts are in groups, how many there are, and in how many of them a token's experts are at the most.
    `trained`: whether it has a gradient; a model that adapters are trained on has none. `abreast`: so many of its uses are one product,
    of several streams side by side, for which it is read once. `conv`: whether a model's own code has it as a convolution, on which
    adapters of all linear modules do not stand. `bits`: whole bits of a number of one that is frozen in few of them; None of any other.
    """

    name: str
    role: Role
    part: Part
    stream: Stream
    d_in: int
    d_out: int
    bias: bool = False
    cut: Cut | None = None
    experts: int = 1
    most: int | None = None
    one_of: bool = False
    groups: tuple[int, int] | None = None
    trained: bool = True
    abreast: int = 1
    conv: bool = False
    bits: int | None = None
    stored: int = 1
    used: int = 1
    block: Block = OUTSIDE


class Lookup(NamedTuple):
    """A table [rows, width] that is read, not multiplied: no arithmetic. Cut along its rows.

    `trained`: whether it has a gradient; a table of sines that is kept with the parameters has none.
    """

    name: str
    role: Role
    part: Part
    rows: int
    width: int
    cut: Cut | None = None
    trained: bool = True
    stored: int = 1
    block: Block = OUTSIDE


class Vector(NamedTuple):
    """Weights applied elementwise: gains and biases of norms, biases without a matrix of their own.

    `trained`: whether they have a gradient; what is added when experts are chosen is moved by hand. `tensors`: of how many of
    one width they are, such as a gain and a bias.
    """

    name: str
    role: Role
    part: Part
    width: int
    cut: Cut | None = None
    trained: bool = True
    tensors: int = 1
    stored: int = 1
    block: Block = OUTSIDE


class Buffer(NamedTuple):
    """Numbers that are kept with the weights and not trained as they are: a router's selection bias, a fixed table."""

    name: str
    role: Role
    part: Part
    width: int
    stored: int = 1
    block: Block = OUTSIDE


class Scores(NamedTuple):
    """Attention of each query in `stream` over the keys in `keys`: logits (d_qk a head) and their sum of values (d_v).

    `causal`: a query sees itself and what came before; otherwise it sees every key. `window`: how many keys it sees at
    the most, counting itself (half of them on either side where it sees both ways); None for all of them. `chunked`: the sequence is cut into pieces
    of the window's length, and a query sees what came before it in its own. `decoded`: d_qk and d_v while decoding, where a
    cache of latents is scored as it is (DeepSeek-AI 2024b, section 2.1.2) and not spread out to keys and values first.
    `most`: the most keys that there are, however long the stream. `cache`: the `slot` of the cache in its block that holds its
    keys while decoding; None where they are not of a sequence. `stride`: so many positions are compressed into one key, which a
    query sees from the last of them on (DeepSeek-V4); None where each position has its own. A window then counts keys. `behind`: the
    last keys, its own among them, that a causal query of a prompt does not see, though always the first one (ProphetNet).
    """

    name: str
    stream: Stream
    keys: Stream
    heads: int
    d_qk: int
    d_v: int
    causal: bool
    window: int | None = None
    chunked: bool = False
    cut: Cut | None = None
    decoded: tuple[int, int] | None = None
    most: int | None = None
    cache: int | None = None
    stride: int | None = None
    behind: int = 0
    role: Role = "scores"
    used: int = 1
    block: Block = OUTSIDE


class Conv(NamedTuple):
    """A depthwise convolution along `stream`: each of `channels` is filtered by `kernel` weights of its own.

    `trimmed`: whether frameworks run it over kernel - 1 positions more, and cut these off again.
    """

    name: str
    role: Role
    part: Part
    stream: Stream
    channels: int
    kernel: int
    bias: bool = False
    cut: Cut | None = None
    trained: bool = True
    trimmed: bool = True
    stored: int = 1
    used: int = 1
    block: Block = OUTSIDE


class Scan(NamedTuple):
    """A recurrence along `stream`, by the multiply-adds of one layer's products; what is elementwise is in none of them.

    A sequence is cut into chunks of `chunk` positions. What is left over is padded to a chunk, or, where not `padded`, goes
    position by position and takes no work of a chunk. Work is counted for each position, for each
    chunk, and for each pair of the chunks' edges, of which there is one more than there are chunks. The block that
    lowers to an entry says where its counts were published; `per_pair` is work for each pair of positions within a chunk, of which
    the last is as long as what is left over. A recurrence that is elementwise alone has zeros.
    """

    name: str
    stream: Stream
    per_position: int = 0
    chunk: int = 1
    per_chunk: int = 0
    per_edge_pair: int = 0
    padded: bool = True
    cut: Cut | None = None
    per_pair: int | None = None
    used: int = 1
    block: Block = OUTSIDE


class Cache(NamedTuple):
    """`width` numbers kept for each position of `stream` while decoding, in each of `stored` layers.

    On the stream `once` it is a state that does not grow: so many numbers a sequence, however long.
    A layer that borrows an earlier one's keys stores 0, and reads them all the same. `slot`: which it is of the caches of its
    block that scores refer to. `stride`: so many positions are kept as one, once the last of them is there; None: each by itself.
    """

    name: str
    role: Role
    stream: Stream
    width: int
    window: int | None = None
    cut: Cut | None = None
    slot: int = 0
    stride: int | None = None
    stored: int = 1
    block: Block = OUTSIDE


Entry = Matmul | Lookup | Vector | Buffer | Conv | Scores | Scan | Cache


Keeping = Literal["naive", "selective", "flash", "full"]
"""How a layer's forward pass is kept for its backward pass: attention step by step, with all that it makes; the same with
the scores computed again (Korthikanti 2022, section 5); by a fused kernel that computes them again (Dao 2022); or whole
layers computed again from their input."""

ALWAYS: tuple[Keeping, ...] = ("naive", "selective", "flash", "full")
"""Outside of the layers nothing is computed again."""

Number = Literal["activation", "residual", "product", "fp32", "mask", "index"]
"""The format of a number that is kept: that of the activations, that of the residual stream, which is the same unless a trainer
keeps the stream in fp32, that of the inputs of products, which is the same unless a recipe keeps them in 8 bits, 32 bits, one byte, or
a whole number of 8 bytes."""

NormKernel = Literal["fused", "eager", "composite"]
"""How a norm is computed: in one kernel (Liger, Transformer Engine, torch.compile), in the steps of transformers' own code, or in
those that torch's rms_norm is made of where no kernel stands for it."""


class Saved(NamedTuple):
    """`width` numbers that the forward pass keeps for the backward pass, for each position of `stream` in `used` layers.

    `keys`: they are kept for each pair of a position and one of that stream. `chunk`: they are kept once for so many positions,
    and once for what is left over. `most`: the most positions of a sequence that they are kept for, or, of pairs, the most keys.
    `shared`: they are kept once for all sequences of a micro-batch. `squared`: for each pair of two of them. `keeping`: in which of the ways of keeping.
    `dropout`: only where there is dropout. `eager`: only where each step of a gate is a kernel of its own. `norms`: only where
    norms are computed in one of these ways. `copied`: only where inputs of products are kept in a format of their own, beside what
    else is kept of the same numbers. `repeated`: only where grouped keys and values are copied for every head, or only where they are
    not. `read_by`: the roles of the matrices whose gradients alone ask for them. `cut`: how tensor parallelism divides them; what it does not divide, sequence
    parallelism does (Korthikanti 2022, section 4.2.2), unless it is `gathered` from all of its devices. `routed`: they are of the
    tokens that routed experts of a feed-forward are sent, which are cut and spread as these are.

    It is no entry: only the memory of training asks for it, and no other question pays for it.
    """

    name: str
    part: Part
    stream: Stream
    width: int
    number: Number = "activation"
    keys: Stream | None = None
    keeping: tuple[Keeping, ...] = ("naive", "selective", "flash")
    dropout: bool = False
    eager: bool = False
    norms: tuple[NormKernel, ...] = ()
    copied: bool = False
    repeated: bool | None = None
    cut: Cut | None = None
    gathered: bool = False
    routed: bool = False
    chunk: int = 1
    most: int | None = None
    shared: bool = False
    squared: bool = False
    role: Role | None = None
    read_by: tuple[Role, ...] = ()
    used: int = 1
    block: Block = OUTSIDE


class Subset(NamedTuple):
    """Entries of a block, or what it saves, that do not stand once in each of its layers.

    `places`: in `layers` of its layers alone, those that have one of these places in a `period`. `copies`: so many copies take
    turns in all of its layers. `once`: one for the whole stack, before its first layer; `throughout`: and all of its layers
    read it, so that each stage of a pipeline has one.
    """

    items: tuple[Entry | Saved, ...]
    places: tuple[int, ...] = ()
    period: int = 1
    layers: int | None = None
    copies: int | None = None
    once: bool = False
    throughout: bool = False


class Group(NamedTuple):
    """Entries that stand in the same layers of a stack, each as one layer has it, and what a layer of them saves.

    `where`: which layers, or before the first one or behind the last; stack: once, and read by all layers. `layers`: how many of them. `copies`: how many copies of
    their weights there are, where several layers share one; None where each has its own.
    """

    where: Layers | Literal["start", "end", "stack"]
    stack: Stack
    layers: int
    copies: int | None
    entries: tuple[Entry, ...]
    saved: tuple[Saved, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """All that a model owns and does, in groups of layers.

    `groups`: the language model, or all of a model that has no towers. `towers`: what brings images and sounds to it.
    `audio_frames`: positions of the source, where an encoder always reads as many of them. `assumed`: whether the model is counted
    like one of another family, so that nothing counted of it is exact.
    """

    model: str
    groups: tuple[Group, ...]
    audio_frames: int | None = None
    assumed: bool = False
    towers: tuple[Group, ...] = ()

    @cached_property
    def whole(self) -> "Ledger":
        """The model with its towers, before the first layer of the language model and in one ledger with it."""
        return replace(self, groups=self.groups + self.towers, towers=()) if self.towers else self

    @cached_property
    def contents(self) -> tuple[tuple[int, int, int | None], ...]:
        """What stages of one model have in common that hold the same: as many layers, and copies, of the same groups."""
        return tuple((id(group.entries), int(group.layers), group.copies) for group in self.groups)

    @cached_property
    def made(self) -> dict[Any, Any]:
        """What was made of this very ledger (`tscale.core.kept`): its shares, and what those cost."""
        return {}

    @staticmethod
    def of(model: str, entries: Iterable[Entry]) -> "Ledger":
        """A ledger of entries that are counted as they stand, in no layers."""
        return Ledger(model, (Group("start", "none", 1, None, tuple(entries)),))

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Each entry once, with the copies that all its layers store and use."""
        found: list[Entry] = []
        for group in self.groups:
            if _is_one(group):
                found += group.entries
            else:
                copies = group.layers if group.copies is None else group.copies
                found += [_all_layers(entry, group.layers, copies) for entry in group.entries]
        return tuple(found)

    @cached_property
    def saved(self) -> tuple[Saved, ...]:
        """What all layers save for their backward pass; empty where the ledger was made without it."""
        return tuple(
            saved if _is_one(group) else Saved._make((*saved[:-2], group.layers * saved.used, saved.block))
            for group in self.groups
            for saved in group.saved
        )

    def each(self, change: Callable[[Entry], Entry]) -> "Ledger":
        """The ledger with every entry changed alike."""
        groups = (group._replace(entries=tuple(map(change, group.entries))) for group in self.groups)
        return Ledger(self.model, tuple(groups), self.audio_frames, self.assumed, self.towers)


def _is_one(group: Group) -> bool:
    return type(group.layers) is int and group.layers == 1 and group.copies is None


def _all_layers(entry: Entry, layers: int, copies: int) -> Entry:
    """An entry of one layer with those of all its layers, of whose weights there are so many copies.

    The fields in question are the last ones of every entry, and `_make` takes a third of the time of `_replace`: most answers
    do little else than this.
    """
    made: Callable[[Iterable[object]], Entry] = type(entry)._make
    match entry:
        case Matmul() | Conv():
            return made((*entry[:-3], copies * entry.stored, layers * entry.used, entry.block))
        case Lookup() | Vector() | Buffer():
            return made((*entry[:-2], copies * entry.stored, entry.block))
        case Scores() | Scan():
            return made((*entry[:-2], layers * entry.used, entry.block))
        case Cache():
            return made((*entry[:-2], layers * entry.stored, entry.block))
        case _:
            assert_never(entry)
