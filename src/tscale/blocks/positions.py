"""How a model knows where a token stands: most ways own nothing, some a table; those by distance are in `relative`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tscale.blocks.attention import Widths
from tscale.blocks.fields import LayerContext, Size
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.ledger import Entry, Lookup, Subset, Vector


@spec_dataclass
class Learned:
    """A learned vector for each position, added to the embedding; an encoder-decoder has a table for each stack."""

    kind: Literal["learned"] = "learned"
    rows: Size | None = None
    """Rows of the table; by default the model's context."""
    encoder_rows: Size | None = None
    """Rows of the encoder's table in an encoder-decoder, where they are not as many (LED)."""

    def lower(self, site: LayerContext, widths: Widths | None, context: int | None) -> Iterator[Entry | Subset]:
        """The table."""
        rows = context if self.rows is None else self.rows
        if self.encoder_rows is not None and not site.causal:
            rows = self.encoder_rows
        assert rows is not None, "the spec's own check asks for rows or a context"
        yield Subset(
            (Lookup(f"{site.name}embedding.positions", "positions", "positions", rows, site.d_model),), once=True
        )


@spec_dataclass
class Computed:
    """Positions that are computed and own nothing.

    Sinusoids added to the embedding, queries and keys rotated (RoPE), a penalty on scores that grows with distance
    (ALiBi), or none at all.
    """

    kind: Literal["sinusoidal", "rotary", "alibi", "none"]
    rows: Size | None = None
    """Rows of a table of sinusoids that each stack keeps with its parameters and never trains (Marian, Pegasus);
    where queries and keys are rotated, of a head's width (RoFormer)."""
    frequencies: Size | None = None
    """Learned numbers that scale the frequencies of rotation, shared by all layers (Mistral Large 4)."""

    def lower(self, site: LayerContext, widths: Widths | None, context: int | None) -> Iterator[Entry | Subset]:
        """No weights and no matrix multiplications, but for a table that is stored."""
        if self.rows is not None:
            width = widths.head_dim if self.kind == "rotary" and widths is not None else site.d_model
            sines = Lookup(f"{site.name}embedding.sines", "positions", "positions", self.rows, width, trained=False)
            yield Subset((sines,), once=True)
        if self.frequencies is not None:
            yield Subset(
                (Vector(f"{site.name}embedding.frequencies", "scale", "positions", self.frequencies),), once=True
            )
