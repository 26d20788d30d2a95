"""Training FLOPs by the published conventions, each written as its paper writes it.

They are laws of their own beside the exact count (`tscale.core.costs.training`), applied as printed to whatever
model is asked about; the report names where a model departs from what the paper had in mind.
"""

from __future__ import annotations


def six_nd(params: int, tokens: int) -> int:
    """C = 6·N·D: 2 FLOPs a parameter and token forward, 4 backward.

    With all parameters it gives GPT-3's Table D.1; with the non-embedding ones it is the C of Kaplan 2020 (section 2.1).
    """
    return 6 * params * tokens


def chinchilla(
    tokens: int, context: int, layers: int, d_model: int, d_ff: int, heads: int, head_dim: int, vocabulary: int
) -> int:
    """Appendix F of Hoffmann 2022: matrix multiplications and softmax, the embedding as a product with one-hot rows.

    The paper's sum is for a sequence; this is that sum divided by its length, times tokens, times 3 for the backward
    pass. Its Table A4 leaves embeddings and logits out of this very sum, against its own text.
    """
    t, d, a = context, d_model, heads * head_dim
    embeddings = 2 * vocabulary * d
    attention = 2 * 3 * d * a + 2 * t * a + 3 * heads * t + 2 * t * a + 2 * a * d
    dense_block = 2 * (d * d_ff + d * d_ff)
    logits = 2 * d * vocabulary
    return 3 * tokens * (embeddings + layers * (attention + dense_block) + logits)


def palm(params: int, tokens: int, context: int, layers: int, heads: int, head_dim: int) -> int:
    """Appendix B of Chowdhery 2022: 6·N + 12·L·H·Q·T FLOPs a token, N all parameters, attention in full."""
    return tokens * (6 * params + 12 * layers * heads * head_dim * context)


def megatron(tokens: int, context: int, layers: int, d_model: int, vocabulary: int) -> int:
    """Narayanan 2021 without recomputation: 72·B·s·l·h²·(1 + s/(6·h) + V/(12·l·h)), B·s tokens."""
    s, layer, h, v = context, layers, d_model, vocabulary
    return tokens * (72 * layer * h**2 + 12 * layer * h * s + 6 * h * v)


def megatron_recompute(tokens: int, context: int, layers: int, d_model: int, vocabulary: int) -> int:
    """Equation 3 of Narayanan 2021: 96·B·s·l·h²·(1 + s/(6·h) + V/(16·l·h)), every layer's forward pass done twice."""
    s, layer, h, v = context, layers, d_model, vocabulary
    return tokens * (96 * layer * h**2 + 16 * layer * h * s + 6 * h * v)
