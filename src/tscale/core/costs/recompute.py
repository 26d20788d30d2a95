"""Which layers are computed again for their backward pass, and what is kept of them where that is said product by product.

torchtitan's selective policy saves the outputs of attention and of every second matrix product of a layer, the first, the third and so
on, and computes all else again from them (`_save_list`, parallelize_llama.py of torchtitan 9dec370): of a Llama layer
4·h·hd + 2·kv·hd + 2·ff + 4·h bytes a token beside its input, and 2·d more where nothing compiles it, since the output of its last
product, which no gradient asks for, is then kept too.
"""

from __future__ import annotations

from collections.abc import Iterator

from tscale.core.costs.activations import Attention, keeping
from tscale.core.ledger import ALWAYS, Block, Group, Ledger, Matmul, Saved, Scores, Stack, SubLayer
from tscale.core.recompute import Recompute
from tscale.core.roles import ADAPTERS


def computed_again(ledger: Ledger) -> Iterator[Matmul]:
    """The matrices of a model whose products the "op" policy computes again, as all its layers have them: every second one.

    Adapters on them do not count: what lies between their two matrices is saved.
    """
    place = _products_before(ledger)
    for group in ledger.groups:
        copies = group.layers if group.copies is None else group.copies
        for entry in group.entries if not isinstance(group.where, str) else ():
            if isinstance(entry, Matmul) and entry.role not in ADAPTERS:
                place[entry.block] += 1
                if not place[entry.block] % 2:
                    yield entry._replace(stored=copies * entry.stored, used=group.layers * entry.used)


def saved_under(ledger: Ledger, policy: Recompute, attention: Attention, *, compiled: bool) -> Iterator[Saved]:
    """What a part of a model saves under a policy, whatever the way of keeping that is asked for afterwards.

    `compiled`: whether the output of a layer's last product is let go, as torch.compile does.
    """
    if policy == "op":
        yield from _outputs(ledger, compiled=compiled)
    # of a tower it computes nothing again
    how = keeping(attention, "none" if policy == "op" else policy)
    for group in ledger.groups if policy != "op" else (one for one in ledger.groups if one.stack == "tower"):
        for saved in group.saved:
            if how in saved.keeping:
                yield _of_group(saved, group)


def _of_group(saved: Saved, group: Group) -> Saved:
    return saved._replace(used=group.layers * saved.used, keeping=ALWAYS)


def _outputs(ledger: Ledger, *, compiled: bool) -> Iterator[Saved]:
    """Layers' inputs, the outputs of attention and of every second product; all that stands outside of layers."""
    place = _products_before(ledger)
    for group in ledger.groups:
        outside = isinstance(group.where, str)
        for saved in group.saved if group.stack != "tower" else ():
            if outside or "full" in saved.keeping:
                yield _of_group(saved, group)
        for entry in group.entries if not outside else ():
            if isinstance(entry, Scores):
                yield from (_of_group(saved, group) for saved in _attention_outputs(entry))
            elif isinstance(entry, Matmul):
                place[entry.block] += 1
                if place[entry.block] % 2 and not (compiled and entry.role in ("down", "shared_down")):
                    yield _of_group(_product_output(entry), group)


def _products_before(ledger: Ledger) -> dict[Block, int]:
    """The products of a layer that come before those of each block; of several blocks that take turns, the first counts."""
    own: dict[Block, int] = {}
    for group in ledger.groups:
        for entry in group.entries if not isinstance(group.where, str) else ():
            if isinstance(entry, Matmul) and entry.role not in ADAPTERS:
                own[entry.block] = own.get(entry.block, 0) + 1
    before: dict[Block, int] = {}
    firsts: dict[tuple[Stack, SubLayer], int] = {}
    for block, products in own.items():
        place = (block.stack, block.sub_layer)
        before[block] = sum(count for other, count in firsts.items() if other[0] == block.stack and other != place)
        firsts.setdefault(place, products)
    return before


def _attention_outputs(entry: Scores) -> Iterator[Saved]:
    """What a fused kernel gives out: a sum of values for each head, and the logarithm of the sum of its weights."""
    out = Saved(f"{entry.name}.out", "attention", entry.stream, entry.heads * entry.d_v, cut=entry.cut, used=entry.used)
    yield out
    yield out._replace(name=f"{entry.name}.logsumexp", width=entry.heads, number="fp32")


def _product_output(entry: Matmul) -> Saved:
    """The output of a product. Where its rows are cut, every device has a sum of its own of each position."""
    cut = entry.cut if entry.cut is not None and entry.cut.axis == "out" else None
    summed = entry.cut is not None and cut is None
    output = Saved(f"{entry.name}.output", entry.part, entry.stream, entry.d_out, cut=cut, gathered=summed)
    return output._replace(used=entry.used)
