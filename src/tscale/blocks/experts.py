"""Mixture of experts: many feed-forwards are stored, each token is sent through a few."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from tscale.blocks.feed_forward import inner_saves
from tscale.blocks.fields import LayerContext, LayerSelector, Problem, Size, unrecorded
from tscale.blocks.norm import norm_gate
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Buffer, Cut, Entry, Matmul, Number, Saved, Subset, Vector
from tscale.core.roles import Role


@spec_dataclass
class Experts:
    """Routed experts, of which each token uses top_k, and shared ones that every token uses."""

    label: ClassVar[str] = "experts"

    kind: Literal["experts"]
    experts: Size
    """Routed experts stored in each layer."""
    top_k: Size
    """Routed experts that a token is sent through."""
    d_ff: Size
    """Inner width of one routed expert."""
    gated: bool = True
    """Whether a gate matrix multiplies the inner activations of every expert."""
    bias: bool = False
    """Whether every matrix of every routed expert has a bias."""
    router_bias: bool = False
    """Whether the router has a bias."""
    product_keys: Size | None = None
    """Keys in each of two lists that the router scores, of which every pair is an expert (Doge, He 2024); by default each expert has a
    score of its own."""
    selection_bias: Literal["buffer", "parameter"] | None = None
    """A number for each expert that is added when experts are chosen: kept as a buffer, or as a parameter."""
    idle: Size | None = None
    """Further experts that return what they are given: the router chooses among them too, and they have no weights (LongCat-Flash). All
    of a token's top_k are counted as experts that compute, the most there can be."""
    routes: Size | None = None
    """Rows of a fixed table that says which experts each word is sent to, whatever the router's scores (hash routing)."""
    image_d_ff: Size | None = None
    """Inner width of as many experts for the tokens of images, with a router of their own: stored, and run by no text (ERNIE 4.5 VL)."""
    shared_d_ff: Size | None = None
    """Inner width of the shared experts, summed over all of them."""
    shared_gated: bool | None = None
    """Whether shared experts have a gate matrix, where routed ones are unlike them in this (Doge)."""
    shared_bias: bool = False
    """Whether every matrix of the shared experts has a bias."""
    shared_gate: bool = False
    """Whether the shared experts' output is gated by one number a token."""
    scaled: bool = False
    """Whether the router's input has a gain for each channel, and each expert's output a learned factor (Gemma 4)."""
    norms: bool = False
    """Whether the routed experts' input and output and the shared ones' output are normalised with gains of their own
    (Gemma 4)."""
    latent: Size | None = None
    """Width that tokens are brought to for the routed experts, and from which they are brought back (Nemotron 3)."""
    latent_norms: bool = False
    """Whether tokens are normalised at that width, and what each expert yields, with a gain for each channel (Muse Spark)."""
    router_width: Size | None = None
    """Width of the network that scores experts in place of one matrix: a matrix down to it, a norm and two square ones, each with a bias,
    and one without; in each layer but the first, what the layer before scored with is added by learned factors (Zaya)."""
    norm_gate: Size | None = None
    """Rank of two matrices that gate what the norm before it yields (A.X K2)."""
    out_bias: bool = False
    """Whether a bias is added to the sum of the experts' outputs (JetMoE)."""
    out_norm: bool = False
    """Whether the sum of the experts' outputs is normalised, with a gain for each channel (A.X K1)."""
    groups: Size | None = None
    """Groups of as many experts each, which stand on devices of their own (DeepSeek-AI 2024c, section 2.1.2)."""
    top_groups: Size | None = None
    """Groups that a token's experts are in at the most."""
    on: LayerSelector | None = None
    """Which layers it stands in; by default, those that no other feed-forward claims."""

    def problems(self, d_model: int) -> Iterator[Problem]:
        """What contradicts itself in this block."""
        if self.top_k > self.experts:
            yield (
                ("top_k",),
                f"a token cannot use {self.top_k} of {self.experts} experts: set top_k to at most {self.experts}",
            )
        yield from self._problems_of_groups()
        if self.product_keys is not None and self.product_keys**2 > self.experts:
            pairs = self.product_keys**2
            yield (
                ("product_keys",),
                f"{pairs:,} pairs of keys are more than the {self.experts:,} experts: set fewer keys",
            )
        if (self.shared_bias or self.shared_gated is not None) and self.shared_d_ff is None:
            yield (
                ("shared_d_ff",),
                "there is no shared expert to have a gate or a bias: set shared_d_ff, or drop shared_gated and shared_bias",
            )
        if self.latent_norms and self.latent is None:
            yield ("latent_norms",), "there is no width of their own to normalise at: set latent, or drop it"
        if self.router_width is not None and (self.product_keys is not None or self.router_bias):
            yield (
                ("router_width",),
                "a network scores every expert without a last bias: drop product_keys and router_bias",
            )
        if self.shared_gate and self.shared_d_ff is None:
            yield ("shared_gate",), "there is no shared expert to gate: set shared_d_ff, or drop it"

    def _problems_of_groups(self) -> Iterator[Problem]:
        """Groups and how many of them a token has are said together, and hold its experts."""
        groups, top = self.groups, self.top_groups
        if groups is None and top is None:
            return
        if groups is None or top is None:
            yield ("groups",), "groups and top_groups are said together: set both, or none"
        elif self.experts % groups:
            yield ("groups",), f"{self.experts} experts do not make {groups} groups of as many each: set a divisor"
        elif top > groups:
            yield ("top_groups",), f"a token cannot use {top} of {groups} groups: set top_groups to at most {groups}"
        elif self.top_k > top * (self.experts // groups):
            yield ("top_groups",), f"{top} groups have fewer than the {self.top_k} experts of a token: set more"

    def lower(self, site: LayerContext) -> Iterator[Entry | Subset]:
        """The router; the experts' matrices, stored for all and used for top_k; the shared experts' matrices."""
        d = site.d_model
        name = site.name
        among = None if self.groups is None or self.top_groups is None else (self.groups, self.top_groups)

        def matmul(role: Role, d_in: int, d_out: int, cut: Cut | None = None, *, bias: bool = False) -> Matmul:
            return Matmul(f"{name}.{role.replace('_', '.')}", role, "feed_forward", site.stream, d_in, d_out, bias, cut)

        def expert(matrix: Role, d_in: int, d_out: int, cut: Cut) -> Matmul:
            full = f"{name}.{matrix}"
            return Matmul(
                full,
                matrix,
                "feed_forward",
                site.stream,
                d_in,
                d_out,
                self.bias,
                cut,
                self.experts,
                stored=self.experts,
                used=self.top_k,
                groups=among,
            )

        yield from self._router(site)
        yield from self._selection(site)
        width = d if self.latent is None else self.latent
        if self.latent is not None:
            yield matmul("latent_down", d, width)
            if self.latent_norms:
                yield Vector(f"{name}.latent_norms", "norm", "norm", 2 * width, tensors=2)
        yield expert("up", width, self.d_ff, Cut(self.d_ff))
        if self.gated:
            yield expert("gate", width, self.d_ff, Cut(self.d_ff))
        yield expert("down", self.d_ff, width, Cut(self.d_ff, "in"))
        if self.image_d_ff is not None:
            yield from self._of_images(site, self.image_d_ff)
        if self.latent is not None:
            yield matmul("latent_up", width, d)
        if self.out_bias:
            yield Vector(f"{name}.bias", "bias", "feed_forward", d)
        if self.shared_d_ff is not None:
            columns, biased = Cut(self.shared_d_ff), self.shared_bias
            yield matmul("shared_up", d, self.shared_d_ff, columns, bias=biased)
            if self._shared_gated():
                yield matmul("shared_gate", d, self.shared_d_ff, columns, bias=biased)
            yield matmul("shared_down", self.shared_d_ff, d, Cut(self.shared_d_ff, "in"), bias=biased)
            if self.shared_gate:
                yield matmul("shared_switch", d, 1)
        if self.out_norm:
            yield Vector(f"{name}.out_norm", "norm", "norm", d)
        if self.norms:
            yield Vector(f"{name}.norms", "norm", "norm", 3 * d, tensors=3)

    def _router(self, site: LayerContext) -> Iterator[Entry | Subset]:
        """What scores the experts, and what gates the norm before it."""
        if self.norm_gate is not None:
            yield from norm_gate(site, self.norm_gate, "feed_forward")
        if self.router_width is None:
            name, biased = f"{site.name}.router", self.router_bias
            yield Matmul(name, "router", "feed_forward", site.stream, site.d_model, self._scored(), biased)
        else:
            yield from self._network(site, self.router_width)

    def _network(self, site: LayerContext, width: int) -> Iterator[Entry | Subset]:
        """The network that scores experts, and what it takes of the layer before."""

        def matmul(name: str, d_in: int, d_out: int, *, bias: bool = True) -> Matmul:
            return Matmul(f"{site.name}.router.{name}", "router", "feed_forward", site.stream, d_in, d_out, bias)

        yield matmul("down", site.d_model, width)
        yield Vector(f"{site.name}.router.norm", "norm", "norm", width)
        yield matmul("inner", width, width)._replace(stored=2, used=2)
        yield matmul("scores", width, self._scored(), bias=False)
        before = Vector(f"{site.name}.router.before", "scale", "feed_forward", width, stored=site.layers - 1)
        yield Subset((before,), once=True)

    def _of_images(self, site: LayerContext, d_ff: int) -> Iterator[Entry]:
        """The experts that no token of a text is sent to, and what chooses them."""
        own = Experts(
            kind="experts",
            experts=self.experts,
            top_k=self.top_k,
            d_ff=d_ff,
            gated=self.gated,
            bias=self.bias,
            selection_bias=self.selection_bias,
        )
        for entry in own.lower(site._replace(name=f"{site.name}.images")):
            if isinstance(entry, Matmul):
                yield entry._replace(used=0)
            elif not isinstance(entry, Subset):
                yield entry

    def _shared_gated(self) -> bool:
        return self.gated if self.shared_gated is None else self.shared_gated

    def _scored(self) -> int:
        """Numbers that the router yields for a token."""
        return self._choices() if self.product_keys is None else 2 * self.product_keys

    def _choices(self) -> int:
        """Experts that the router chooses among."""
        return self.experts if self.idle is None else self.experts + self.idle

    def _selection(self, site: LayerContext) -> Iterator[Entry]:
        """What the choice of experts has beside the router: scales, biases, and a table of words that are sent to fixed ones."""
        name = site.name
        if self.scaled:
            yield Vector(f"{name}.scales", "scale", "feed_forward", site.d_model + self.experts)
        if self.selection_bias == "parameter":
            yield Vector(f"{name}.selection_bias", "selection_bias", "feed_forward", self._choices(), trained=False)
        elif self.selection_bias == "buffer":
            yield Buffer(f"{name}.selection_bias", "selection_bias", "feed_forward", self._choices())
        if self.routes is not None:
            yield Buffer(f"{name}.routes", "routes", "feed_forward", self.routes * self.top_k)

    def _refuse_unrecorded(self, site: LayerContext) -> None:
        """Raises `RequestError` for experts of which nobody has recorded what they keep."""
        if self.product_keys is not None:
            raise unrecorded(f"{site.name}, whose experts are pairs of keys,")
        if self.latent_norms or self.router_width is not None or self.norm_gate is not None:
            raise unrecorded(f"{site.name}, with a network for its router or norms of its own,")
        if self.idle is not None:
            raise unrecorded(f"{site.name}, whose router chooses among experts that compute nothing too,")
        if self.image_d_ff is not None:
            raise unrecorded(f"{site.name}, with experts for images next to those for words,")

    def saves(self, site: LayerContext) -> Iterator[Saved]:
        """The router's probabilities, choices and weights; each token's copies for its experts, what they make and return.

        Every device that an expert is cut over has a slice of it, so that all copies of its tokens are gathered there.
        """
        self._refuse_unrecorded(site)
        d, k, name = site.d_model, self.top_k, site.name
        width = d if self.latent is None else self.latent

        def saved(what: str, width: int, number: Number = "activation", *, routed: bool = False) -> Saved:
            return Saved(f"{name}.{what}", "feed_forward", site.stream, width, number, gathered=routed, routed=routed)

        if self.scaled:  # a norm without a gain, whose input the norm before all of these keeps, and then the scales
            yield saved("router.norm.statistics", 1, "fp32")
            yield saved("router.normed", d)
            yield saved("router.input", d)
            yield saved("router.unscaled", k, "fp32")
            yield saved("router.scales", k)
        yield saved("router.probabilities", self.experts, "fp32")
        yield saved("router.weights", k, "fp32")
        yield saved("router.choices", k, "index")
        if self.norms:
            yield saved("norm.statistics", 1, "fp32")  # its input too is that of the norm before
        yield saved("dispatched", k * width, "product", routed=True)._replace(read_by=("up", "gate"))
        yield from inner_saves(site, name, self.d_ff, gated=self.gated, copies=k, routed=True)
        yield saved("returned", k * width, routed=True)
        if self.latent is not None:
            yield saved("latent.up.input", width)
        if self.shared_d_ff is not None:
            yield from inner_saves(site, f"{name}.shared", self.shared_d_ff, gated=self._shared_gated())
            if self.shared_gate:
                yield saved("shared.switch", 1)
                yield saved("shared.out", d)
        for norm in (
            *(("routed.norm", "shared.norm") if self.norms else ()),
            *(("out_norm",) if self.out_norm else ()),
        ):
            yield saved(f"{norm}.input", d)
            yield saved(f"{norm}.statistics", 1, "fp32")
