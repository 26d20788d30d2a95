"""Bytes of weights in each format, beside files and packages that keep them so."""

from __future__ import annotations

from itertools import product

import pytest

from tests.helpers import disclosed, of_each
from tscale.catalogue.models import built_in
from tscale.core.costs.params import buffers, params
from tscale.core.costs.weights import kept_in, weight_bytes
from tscale.core.dtypes import DTYPES
from tscale.core.ledger import Ledger, Lookup, Matmul, Vector
from tscale.core.parallelism import Parallelism
from tscale.core.sharding import shard, tensor_degrees
from tscale.core.tracing import TracedInt
from tscale.models.lower import lower
from tscale.models.naming import traced
from tscale.models.spec import ModelSpec


def ledger_of(name: str) -> Ledger:
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    return lower(spec)


@of_each(disclosed(), quick=True)
def test_without_quantisation_each_number_takes_its_bits(name: str) -> None:
    ledger = ledger_of(name)
    stored = params(ledger).total + buffers(ledger).total
    assert weight_bytes(ledger, DTYPES["bf16"]).total == 2 * stored
    assert weight_bytes(ledger, DTYPES["fp32"]).total == 4 * stored


@pytest.mark.parametrize(
    ("name", "gib", "size"), [("gpt-oss-20b", 12.8, 13_761_264_768), ("gpt-oss-120b", 60.8, 65_248_815_744)]
)
def test_published_checkpoints_in_mxfp4(name: str, gib: float, size: int) -> None:
    """OpenAI 2025, Table 1: experts in MXFP4 (4.25 bits), the rest in bf16; bytes are the index files' `total_size`."""
    total = weight_bytes(ledger_of(name), DTYPES["mxfp4"]).total
    assert (round(total / 2**30, 1), total) == (gib, size)


@pytest.mark.parametrize(
    ("name", "mib"),
    [("pythia-1.4b", 1435.23), ("llama-2-7b", 6828.64)],
)
def test_files_in_q8_0_are_as_large_as_llama_cpp_loads_them(name: str, mib: float) -> None:
    """The model buffers that its continuous integration prints (ggml-org/ci), of all tensors."""
    assert round(weight_bytes(ledger_of(name), DTYPES["q8_0"]).total / 2**20, 2) == mib


@pytest.mark.parametrize(
    ("name", "gib", "bits"),
    [("gemma-2b", 2.48, 8.50), ("pythia-1.4b", 1.40, 8.51), ("pythia-2.8b", 2.75, 8.51), ("llama-3.1-8b", 7.95, 8.50)],
)
def test_bits_of_a_weight_are_as_llama_cpp_prints_them(name: str, gib: float, bits: float) -> None:
    """`model size = 1.40 GiB (8.51 BPW)`: norms and biases in fp32 are in it."""
    ledger = ledger_of(name)
    total = weight_bytes(ledger, DTYPES["q8_0"]).total
    assert (round(total / 2**30, 2), round(8 * total / params(ledger).total, 2)) == (gib, bits)


def test_fp8_of_deepseek_v3_is_about_a_byte_a_parameter() -> None:
    """Embedding, head, routers and norms stay in bf16: 2 * 129,280 * 7,168 numbers and a few more have two bytes."""
    ledger = ledger_of("deepseek-v3")
    stored = params(ledger).total + buffers(ledger).total
    in_two = 2 * 129_280 * 7_168 + 58 * 7_168 * 256
    above = weight_bytes(ledger, DTYPES["fp8"]).total - stored - in_two
    assert 0 < above < in_two / 1000


def test_what_is_quantised_and_what_is_not() -> None:
    """A matrix of each kind by hand: bitsandbytes, GGUF and an expert format each leave other things alone."""
    ledger = Ledger.of(
        "x",
        (
            Lookup("embedding.tokens", "embedding", "embedding", 100, 512),
            Lookup("positions", "positions", "positions", 10, 512),
            Matmul("attention.q", "q", "attention", "target", 512, 256, bias=True, stored=2, used=2),
            Matmul("experts.router", "router", "feed_forward", "target", 512, 8, stored=2, used=2),
            Matmul("experts.up", "up", "feed_forward", "target", 512, 128, experts=8, stored=16, used=4),
            Vector("norm", "norm", "norm", 512, stored=5),
            Matmul("head", "head", "head", "target", 512, 100),
        ),
    )
    embedding, positions, q, bias, router, up, norm, head = (
        100 * 512, 10 * 512, 2 * 512 * 256, 2 * 256, 2 * 512 * 8, 16 * 512 * 128, 5 * 512, 512 * 100
    )  # fmt: skip
    assert weight_bytes(ledger, DTYPES["q8_0"]).total == (
        (embedding + q + up + head) // 32 * 34 + 4 * (positions + bias + router + norm)
    )
    assert weight_bytes(ledger, DTYPES["int8"]).total == (
        q + 4 * 2 * 256 + up + 4 * 16 * 128 + 2 * (embedding + positions + bias + router + norm + head)
    )
    assert weight_bytes(ledger, DTYPES["mxfp4"]).total == (
        up // 32 * 17 + 2 * (embedding + positions + q + bias + router + norm + head)
    )


@pytest.mark.parametrize(
    ("row", "kept"),
    [(512, "q4_k"), (480, "q5_0"), (500, "fp16")],
)
def test_rows_that_do_not_divide_are_kept_in_what_llama_cpp_falls_back_to(row: int, kept: str) -> None:
    """Of tensor_type_fallback in its quantiser: blocks of 256, then of 32, then F16."""
    ledger = Ledger.of("x", (Matmul("attention.q", "q", "attention", "target", row, 64),))
    assert [one.format.name for one in kept_in(ledger, DTYPES["q4_k"])] == [kept]


@of_each(product(["llama-3.1-8b", "deepseek-v3", "gpt2", "bamba-9b", "t5-small", "bert-base"], DTYPES))
def test_any_model_is_kept_in_any_format_and_remembers_how(case: tuple[str, str]) -> None:
    name, format = case
    spec = built_in(name)
    assert isinstance(spec, ModelSpec)
    plain = weight_bytes(lower(spec), DTYPES[format])
    told = weight_bytes(lower(traced(spec)), DTYPES[format])
    assert [tuple(line) for line in plain.lines] == [tuple(line) for line in told.lines]
    assert all(isinstance(line.value, TracedInt) for line in told.lines if line.value)
    assert plain.total <= weight_bytes(lower(spec), DTYPES["fp32"]).total


@pytest.mark.parametrize("format", ["bf16", "q4_k", "nf4", "int8"])
@pytest.mark.parametrize("name", ["llama-3.1-8b", "mixtral-8x7b", "qwen2.5-7b"])
def test_shares_hold_at_least_the_whole(name: str, format: str) -> None:
    """What is cut adds up; what is not, or is repeated, comes on top; and a cut leaves each matrix in its format."""
    ledger = ledger_of(name)
    whole = {line.name: line.value for line in weight_bytes(ledger, DTYPES[format]).lines}
    for devices in tensor_degrees(ledger):
        share = weight_bytes(shard(ledger, Parallelism(tensor=devices)), DTYPES[format], ledger).lines
        assert all(devices * line.value >= whole[line.name] for line in share)
        assert all(line.value <= whole[line.name] for line in share)
