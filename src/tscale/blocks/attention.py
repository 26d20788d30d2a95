"""Softmax attention: multi-head, grouped-query and multi-query, over everything, within a window or within a chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

from tscale.blocks.fields import LayerContext, LayerSelector, Length, Problem, Size, unrecorded
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Cache, Cut, Entry, Lookup, Matmul, Part, Saved, Scores, Subset, Vector
from tscale.core.tracing import ceil_div, label_beside, minimum

_LONGEST_PATTERN = 256  # a derivation spells every place of it

Projection = Literal["q", "k", "v", "o"]
_SIGHTS = ("local", "global")


class Widths(NamedTuple):
    """The widths of an attention layer, defaults filled in."""

    heads: int
    kv_heads: int
    head_dim: int


@spec_dataclass
class Attention:
    """Softmax attention. kv_heads below heads is grouped-query attention, 1 is multi-query attention."""

    label: ClassVar[str] = "attention"

    kind: Literal["multi-head"] = "multi-head"
    heads: Size
    """Query heads."""
    kv_heads: Size | None = None
    """Key and value heads; by default as many as query heads."""
    head_dim: Size | None = None
    """Width of one head; by default d_model / heads."""
    v_dim: Size | None = None
    """Width of one head of values; by default head_dim (MiMo-V2-Flash has narrower ones)."""
    bias: bool | tuple[Projection, ...] = False
    """Which projections have a bias: true for all of q, k, v and o, or a list of them."""
    values_are_keys: bool = False
    """Whether values are what the key projection yields, so that there is no matrix for them (Gemma 4)."""
    borrows_keys: bool = False
    """Whether keys and values are an earlier layer's, so that there are no matrices for them, and no cache (Gemma 3n)."""
    gated: bool = False
    """Whether the query projection also yields a gate of its own width on the output (Qwen3-Next)."""
    gate_bias: bool = False
    """Whether that gate has one bias for each head, and a matrix of its own without any (Beam)."""
    head_gates: bool = False
    """Whether a projection yields one number for each head that gates its output (Laguna)."""
    qk_norm: Literal["head", "full"] | None = None
    """Norms on queries and keys. head: one gain of a head's width for all heads; full: one for every channel."""
    qk_norm_bias: bool = False
    """Whether those norms have a bias too."""
    v_norm: bool = False
    """Whether each head's values are normalised, without a gain (Gemma 4)."""
    out_norm: bool = False
    """Whether the heads' outputs are normalised as one vector, with a gain for each channel, before they are projected (BitNet)."""
    differential: bool = False
    """Whether heads are scored in pairs, one subtracted from the other (DiffLlama): each sums values of two heads' width."""
    sinks: bool = False
    """Whether each head has a learned logit that attends to nothing (gpt-oss)."""
    global_projections: bool = False
    """Whether tokens that see all others have projections q, k and v of their own: stored, and run by none of a plain text (Longformer)."""
    groups: Size | None = None
    """Groups of channels within which q, k and v are projected: each projection is as many smaller ones (SqueezeBERT)."""
    value_conv: Size | None = None
    """Length of a filter over each head's values, next to the attention to them (Nystromformer)."""
    summaries: Size | None = None
    """Rows of a table of biases by distance to sums of blocks of tokens, which a norm of each layer precedes (LongT5)."""
    window: Length | None = None
    """The most keys that a query sees in a local layer, itself included. Where it sees both ways, half of them on either side and
    itself: one more if the window is even (ModernBERT: 129 of 128)."""
    chunked: bool = False
    """Whether a local layer cuts the sequence into chunks of the window's length (Llama 4), not a sliding window."""
    pattern: tuple[Literal["local", "global"], ...] | None = None
    """Which layers are local, repeated down the stack; by default, all of them are if there is a window."""
    fused: bool = False
    """Whether its checkpoints hold queries, keys and values in one matrix, which a GGUF file then has in one type (Phi-3)."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other mixer claims."""

    def widths(self, d_model: int) -> Widths:
        """Heads, key-value heads and head width in a model of width `d_model`."""
        heads = self.heads
        kv_heads = heads if self.kv_heads is None else self.kv_heads
        head_dim = self.head_dim
        if head_dim is None:
            head_dim = label_beside("head_dim", d_model // heads, heads, "heads")
        return Widths(heads, kv_heads, head_dim)

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        if self.head_dim is None and d_model % self.heads:
            yield (
                ("heads",),
                f"{self.heads} heads do not divide d_model {d_model}: set head_dim, or heads to a divisor of {d_model}",
            )
        if self.kv_heads is not None and self.heads % self.kv_heads:
            yield (
                ("kv_heads",),
                f"{self.kv_heads} kv_heads do not divide {self.heads} heads: every key-value head serves as many heads",
            )
        if self.differential and self.v_dim is not None:
            yield ("v_dim",), "heads in pairs sum values of two heads' width: drop v_dim, or differential"
        if self.values_are_keys and self.v_dim is not None:
            yield ("v_dim",), "values that are keys are as wide as them: drop v_dim, or values_are_keys"
        if self.borrows_keys and self.values_are_keys:
            yield ("values_are_keys",), "a layer that borrows its keys has no projection to take values from: drop it"
        if self.borrows_keys and self.v_norm:
            yield ("v_norm",), "a layer that borrows its values has them normalised already: drop it"
        yield from self._bias_problems()
        yield from self._sight_problems()
        yield from self._group_problems(d_model)

    def _bias_problems(self) -> Iterator[Problem]:
        """Biases of what is not there."""
        if self.gate_bias and not self.gated:
            yield ("gate_bias",), "there is no gate to have a bias: set gated, or drop it"
        if self.qk_norm_bias and self.qk_norm is None:
            yield ("qk_norm_bias",), "there is no norm to have a bias: set qk_norm, or drop it"

    def _group_problems(self, d_model: int) -> Iterator[Problem]:
        """Groups of channels that the projections cannot be divided into."""
        if self.groups is not None and (self.kv_heads, self.head_dim, d_model % self.groups) != (None, None, 0):
            yield ("groups",), f"groups must divide d_model {d_model}, without kv_heads and head_dim: drop it, or these"
        if self.groups is not None and (self.gated or self.global_projections):
            yield ("groups",), "groups of channels are known without further projections: drop it, or gated"

    def _sight_problems(self) -> Iterator[Problem]:
        if self.pattern is not None and "local" in self.pattern and self.window is None:
            yield ("pattern",), "a pattern with local layers needs the window that they see: set window"
        if self.window is not None and self.pattern is not None and "local" not in self.pattern:
            yield ("window",), "no layer of the pattern is local, so nothing reads the window: drop it"
        if self.pattern is not None and len(self.pattern) > _LONGEST_PATTERN:
            yield (
                ("pattern",),
                f"a pattern of {len(self.pattern)} layers is no pattern: write at most {_LONGEST_PATTERN}",
            )
        if self.pattern is not None and not self.pattern:
            yield ("pattern",), "an empty pattern says nothing: drop it, or list local and global"
        if self.chunked and self.window is None:
            yield ("chunked",), "a chunk needs its length: set window"

    def sights(self, layers: int) -> Iterator[tuple[str, Subset, int | None]]:
        """Name, layers and window of each kind of sight: all alike, or local and global ones."""
        if self.pattern is None or len(set(self.pattern)) == 1:
            yield "", Subset((), layers=layers), self.window
            return
        period = len(self.pattern)
        places = {sight: tuple(n for n, each in enumerate(self.pattern) if each == sight) for sight in _SIGHTS}
        local = label_beside(
            "local_layers",
            sum(ceil_div(layers - place, period) for place in places["local"]),
            layers,
            "layers",
            "layers",
        )
        rest = label_beside("global_layers", layers - local, layers, "layers", "layers")
        yield ".local", Subset((), places["local"], period, local), self.window
        yield ".global", Subset((), places["global"], period, rest), None

    def lower(self, site: LayerContext, *, caches: bool) -> Iterator[Entry | Subset]:
        """Projections q, k, v, o; scores; and, where the stack decodes, a cache of keys and values."""
        heads, kv_heads, head_dim = self.widths(site.d_model)
        d = site.d_model
        biased: tuple[Projection, ...] = ("q", "k", "v", "o") if self.bias is True else (self.bias or ())
        queries = 2 * heads * head_dim if self.gated and not self.gate_bias else heads * head_dim
        by_head, by_kv_head = self._cuts(site.d_model)
        yield self._grouped(Matmul(f"{site.name}.q", "q", "attention", site.stream, d, queries, "q" in biased, by_head))
        v_dim = head_dim if self.v_dim is None else self.v_dim
        for name, width in self._own_keys(kv_heads * head_dim, kv_heads * v_dim):
            own = Matmul(f"{site.name}.{name}", name, "attention", site.keys, d, width, name in biased, by_kv_head)
            yield self._grouped(own)
        for wide, width in self._global_keys(queries, kv_heads * head_dim, kv_heads * v_dim):
            cut = by_head if wide == "q" else by_kv_head
            label = f"{site.name}.{wide}_global"
            yield Matmul(label, wide, "attention", site.keys, d, width, wide in biased, cut, used=0)
        yield from self._gates(site, by_head)
        yield from self._norms(site)
        if self.sinks:
            yield Vector(f"{site.name}.sinks", "sinks", "attention", heads, by_head)
        if self.summaries is not None:
            yield Vector(f"{site.name}.summaries", "norm", "norm", d)
            table = Lookup(f"{site.name}.summary_bias", "positions", "positions", self.summaries, heads)
            yield Subset((table,), once=True, throughout=True)
        if self.value_conv is not None:
            yield from self._value_filters(site, self.value_conv)
        if self.differential:
            yield Vector(f"{site.name}.lambda", "lambda", "attention", 4 * head_dim, tensors=4)
        yield from self._scores(site, v_dim, caches=caches)
        if self.out_norm:
            yield Vector(f"{site.name}.out_norm", "norm", "norm", heads * v_dim)
        yield Matmul(
            f"{site.name}.o",
            "o",
            "attention",
            site.stream,
            heads * v_dim,
            d,
            "o" in biased,
            by_head._replace(axis="in"),
        )

    def _gates(self, site: LayerContext, by_head: Cut) -> Iterator[Entry]:
        """Projections that gate the heads' outputs, where the query projection does not yield the gate."""
        heads, _, head_dim = self.widths(site.d_model)
        gates = Matmul(f"{site.name}.gates", "gates", "attention", site.stream, site.d_model, heads, cut=by_head)
        if self.gate_bias:
            yield gates._replace(name=f"{site.name}.gate", d_out=heads * head_dim)
            yield Vector(f"{site.name}.gate_bias", "gates", "attention", heads, by_head)
        if self.head_gates:
            yield gates

    def _grouped(self, whole: Matmul) -> Matmul:
        """A projection as it stands: one matrix, or one for each group of channels."""
        many = self.groups or 1
        if many == 1:
            return whole
        return whole._replace(d_in=whole.d_in // many, d_out=whole.d_out // many, stored=many, used=many)

    def _value_filters(self, site: LayerContext, kernel: int) -> Iterator[Entry]:
        """One filter a head, by which every channel of its values is convolved, at the positions of the tokens alone."""
        heads, _, head_dim = self.widths(site.d_model)
        filters = Matmul(f"{site.name}.value_conv", "conv", "attention", site.stream, kernel, 1)
        yield filters._replace(stored=heads, used=heads * head_dim)

    def _global_keys(self, q: int, k: int, v: int) -> tuple[tuple[Literal["q", "k", "v"], int], ...]:
        """The projections that tokens which see all others have beside the usual ones, and their widths."""
        return (("q", q), ("k", k), ("v", v)) if self.global_projections else ()

    def _scores(self, site: LayerContext, v_dim: int, *, caches: bool) -> Iterator[Subset]:
        """The scores of each kind of sight, with the cache that they read."""
        heads, kv_heads, head_dim = self.widths(site.d_model)
        by_head, by_kv_head = self._cuts(site.d_model)
        d_v = 2 * head_dim if self.differential else v_dim
        cached = 2 * kv_heads * head_dim if self.v_dim is None else kv_heads * (head_dim + v_dim)
        for slot, (suffix, layers, window) in enumerate(self.sights(site.layers)):
            scores = Scores(
                f"{site.name}.scores{suffix}",
                site.stream,
                site.keys,
                heads,
                head_dim,
                d_v,
                site.causal,
                window,
                self.chunked and window is not None,
                by_head,
                cache=slot,
            )
            cache = Cache(f"{site.name}.cache{suffix}", "kv", site.keys, cached, window, by_kv_head, slot)
            kept = cache._replace(stored=0) if self.borrows_keys else cache
            yield layers._replace(items=(scores, kept) if caches else (scores,))

    def saves(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """Queries, keys and values, the probabilities where they are kept, and what the last projection multiplies.

        Attention step by step makes copies of grouped keys and values for every head, and keeps those; so do torchtune, torchtitan and
        litgpt before they call a fused kernel. One number that
        gates a head comes of a softplus in 32 bits, which keeps its input (Laguna).
        """
        self._refuse_unrecorded()
        heads, _, head_dim = self.widths(site.d_model)
        width = heads * (head_dim if self.v_dim is None else self.v_dim)
        by_head, _ = self._cuts(site.d_model)

        def saved(what: str, numbers: int) -> Saved:
            return Saved(f"{site.name}.{what}", "attention", site.stream, numbers, cut=by_head)

        yield saved("q", heads * head_dim)
        yield from self._keys_kept(site)
        yield from self._norms_kept(site)
        if self.differential:
            yield from self._pairs_kept(site)
        else:
            yield from core_saves(site, heads)
        if self.sinks:
            yield saved("sinks", heads)._replace(keeping=("naive",))
        yield saved("out", width)
        if not (self.out_norm or self.gated or self.head_gates):
            yield saved("out.product", width)._replace(number="product", copied=True, read_by=("o",))
        if self.out_norm:
            yield saved("out_norm.input", width)
            yield saved("out_norm.statistics", 1)._replace(part="norm", number="fp32", cut=None)
        if self.gated:
            yield saved("gate", width)
        if self.head_gates:
            yield saved("gates.input", heads)._replace(number="fp32")
            yield saved("gates", heads)
        if self.gated or self.head_gates:
            yield saved("gated", width)._replace(number="product", read_by=("o",))

    def _refuse_unrecorded(self) -> None:
        if self.global_projections:
            raise unrecorded("attention with projections of its own for tokens that see all others")
        if (self.value_conv, self.summaries, self.groups or 1) != (None, None, 1):
            raise unrecorded(
                "attention with sums of blocks, filters over its values or projections in groups of channels,"
            )

    def _keys_kept(self, site: LayerContext) -> Iterator[Saved | Subset]:
        """Keys and values; borrowed ones are kept where they were made, and once more only where layers are computed again."""
        heads, kv_heads, head_dim = self.widths(site.d_model)
        by_head, by_kv_head = self._cuts(site.d_model)
        for name, width in (("k", head_dim), ("v", head_dim if self.v_dim is None else self.v_dim)):
            kept = Saved(f"{site.name}.{name}", "attention", site.keys, kv_heads * width, cut=by_kv_head)
            copies = kept._replace(name=f"{kept.name}.repeated", width=heads * width, cut=by_head, keeping=("naive",))
            if self.borrows_keys:
                if self.kv_heads is not None:  # with a key for each head there is nothing to repeat
                    yield copies._replace(width=copies.width * minimum(heads // kv_heads - 1, 1))
                for suffix, layers, _ in self.sights(site.layers):
                    lent = kept._replace(name=f"{site.name}.borrowed{suffix}.{name}", keeping=("full",))
                    yield layers._replace(items=(lent,), copies=1)
            elif self.kv_heads is None:
                yield kept._replace(width=heads * width, cut=by_head)
            else:
                yield kept._replace(keeping=("selective", "flash"), repeated=False)
                yield copies
                yield copies._replace(keeping=("selective", "flash"), repeated=True)

    def _norms_kept(self, site: LayerContext) -> Iterator[Saved]:
        """Inputs and statistics of the norms on queries, keys and values. Values that are keys are one input for two."""
        heads, kv_heads, head_dim = self.widths(site.d_model)
        by_head, by_kv_head = self._cuts(site.d_model)
        norms = [("q", site.stream, heads, by_head), ("k", site.keys, kv_heads, by_kv_head)]
        if self.borrows_keys:
            norms.pop()
        for name, stream, many, cut in norms if self.qk_norm is not None else ():
            kept = Saved(f"{site.name}.{name}_norm.input", "norm", stream, many * head_dim, cut=cut)
            only_once = name == "k" and self.values_are_keys and not self.v_norm  # elsewhere they are kept as values
            yield kept._replace(keeping=("naive",)) if only_once else kept
            kept = kept._replace(name=f"{site.name}.{name}_norm.statistics", number="fp32")
            yield kept._replace(width=many) if self.qk_norm == "head" else kept._replace(width=1, cut=None)
        if self.v_norm:
            width = head_dim if self.v_dim is None else self.v_dim
            values = Saved(f"{site.name}.v_norm.input", "norm", site.keys, kv_heads * width, cut=by_kv_head)
            if not self.values_are_keys or self.qk_norm is None:
                yield values
            yield values._replace(name=f"{site.name}.v_norm.statistics", width=kv_heads, number="fp32")

    def _pairs_kept(self, site: LayerContext) -> Iterator[Saved]:
        """Both halves of heads in pairs, and the norm of each pair's difference.

        As the authors' flash form keeps it that they recommend, which calls a kernel for wider values once for each half (Ye
        2024, multihead_flashdiff_1.py): where four calls for narrow values stand in for them, their outputs are
        kept too. Step by step, the differences of probabilities are kept beside these. Nothing is dropped out.
        """
        heads, _, head_dim = self.widths(site.d_model)
        name, pairs, (by_pair, _) = site.name, ceil_div(heads, 2), self._cuts(site.d_model)

        def saved(what: str, part: Part, numbers: int) -> Saved:
            return Saved(f"{name}.{what}", part, site.stream, numbers, cut=by_pair)

        yield from (kept for kept in core_saves(site, heads) if not kept.dropout)
        yield saved("scores.differences", "attention", pairs)._replace(keys=site.keys, keeping=("naive",))
        yield saved("scores.out", "attention", 2 * heads * head_dim)._replace(keeping=("flash",))
        yield saved("difference.norm.input", "norm", heads * head_dim)
        yield saved("difference.norm.statistics", "norm", pairs)._replace(number="fp32")

    def _cuts(self, d_model: int) -> tuple[Cut, Cut]:
        """How tensor parallelism divides what each head has, and each key-value head: heads in pairs stay together."""
        heads, kv_heads, _ = self.widths(d_model)
        if self.differential:
            return Cut(ceil_div(heads, 2)), Cut(ceil_div(kv_heads, 2), otherwise="repeated")
        return Cut(heads), Cut(kv_heads, otherwise="repeated")

    def _own_keys(self, k_width: int, v_width: int) -> Iterator[tuple[Literal["k", "v"], int]]:
        """Names and widths of the projections that make keys and values."""
        if not self.borrows_keys:
            yield "k", k_width
            if not self.values_are_keys:
                yield "v", v_width

    def _norms(self, site: LayerContext) -> Iterator[Entry]:
        """The norms on queries and keys."""
        if self.qk_norm is None:
            return
        heads, kv_heads, head_dim = self.widths(site.d_model)
        of_q, of_k = (head_dim, head_dim) if self.qk_norm == "head" else (heads * head_dim, kv_heads * head_dim)
        tensors = 2 if self.qk_norm_bias else 1
        for name, width in (("q_norm", of_q), ("k_norm", of_k))[: 1 if self.borrows_keys else 2]:
            yield Vector(f"{site.name}.{name}", "norm", "norm", tensors * width, tensors=tensors)


def core_saves(site: LayerContext, heads: int) -> Iterator[Saved]:
    """What attention itself keeps: step by step, the probabilities of every pair, masked or not.

    A fused kernel keeps one number a query and head, the logarithm of the sum (Dao 2022, section 3.1).
    """
    name, by_head = f"{site.name}.scores", Cut(heads)
    pairs = Saved(
        f"{name}.probabilities", "attention", site.stream, heads, keys=site.keys, keeping=("naive",), cut=by_head
    )
    yield pairs
    yield pairs._replace(name=f"{name}.dropout", number="mask", dropout=True)
    yield pairs._replace(name=f"{name}.dropped", dropout=True)
    yield Saved(f"{name}.logsumexp", "attention", site.stream, heads, "fp32", keeping=("flash",), cut=by_head)
