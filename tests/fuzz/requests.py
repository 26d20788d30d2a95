"""What must hold of requests as people combine them, with something absurd among their options: of training after
pre-training, of plans, of sweeps, of systems as files, and of what describes a model beside its config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.fuzz.properties import Property
from tests.fuzz.running import elsewhere, lawful, ran
from tests.fuzz.wrong import as_json, as_yaml, mutated, scratched, word
from tscale.analysis.questions import question
from tscale.analysis.request import Option
from tscale.analysis.system import READ_BY

# ---------------------------------------------------------------------------------------------------------------------
# Properties
# ---------------------------------------------------------------------------------------------------------------------


def any_request(line: list[str]) -> None:
    """A question that makes sense but for an option or two is answered or refused, and writes nothing."""
    with elsewhere() as folder:
        lawful(tuple(line), ran(*line))
        assert not list(folder.iterdir())


def any_sweep(line: list[str], file: str | None) -> None:
    """A sweep is answered or refused; what it writes is whole: told of as written, or not there."""
    with elsewhere() as folder:
        target = [] if file is None else ["-o", file]
        done = ran(*line, *target)
        lawful((*line, *target), done)
        written = [path.name for path in folder.iterdir()]
        assert (written == [file]) == (file is not None and done.code == 0), (written, done)
        if file is not None and done.code == 0:
            again = ran(*line, *target)
            assert "rows already" in again.out or "exists already" in again.err, again


def any_system(text: bytes, command: tuple[str, ...]) -> None:
    """A file that says it is a system is asked about or refused, by every question alike, and is read back as it was saved."""
    with elsewhere() as folder:
        done = ran(*command, "--system", "-", "--save", "saved.yaml", stdin=text)
        lawful(command, done)
        assert [path.name for path in folder.iterdir()] == ["saved.yaml"] * (done.code in (0, 3) and bool(done.out))
        if (folder / "saved.yaml").exists():
            again = ran(*command, "--system", "saved.yaml")
            lawful(command, again)
            assert again.code == done.code, (done, again)


def any_description(name: str, text: bytes) -> None:
    """What describes a model, by its file's name, is counted or refused."""
    with elsewhere():
        Path(name).write_bytes(text)
        for command in (("params", "."), ("memory", ".", "--train", "--context", "1k"), ("import", ".")):
            done = ran(*command)
            lawful(command, done)
            assert done.code in (0, 1) or (done.code == 2 and ("--" in done.err or "encoder" in done.err)), done


# ---------------------------------------------------------------------------------------------------------------------
# Inputs
# ---------------------------------------------------------------------------------------------------------------------

_MODELS: Final = ["llama-3.1-8b", "gpt2", "gpt3", "t5-small", "bert-base", "mamba-2.8b", "deepseek-v3", "gpt-4"]
_SMALL: Final = ["1", "2", "4", "8", "64", "512"]
_ABSURD: Final = [
    "0",
    "-1",
    "3",
    "7",
    "1e6",
    "1e9",
    "1e12",
    "1e30",
    "nan",
    "inf",
    "2.5",
    "1e-9",
    "",
    "x",
    "1,2",
    "1..4",
    "٣",
]
_LIKELY: Final[dict[str, list[str]]] = {
    "gpu": ["h100", "a100", "mi300x", "b200", "here"],
    "gpus": ["1", "8", "64", "720", "1024"],
    "context": ["1k", "2k", "512", "1"],
    "tokens": ["1e9", "300e9"],
    "set": ["layers=2", "vocabulary=1", "d_model=64", "layers=1e12", "tied=true"],
    "gpu_set": ["memory_gb=1", "bandwidth_gb_per_s=1e-9", "memory_gb=1e9"],
    "dtype": ["bf16", "fp8", "fp8-pure", "q4_k", "int4-g64", "fp8-128x128", "nf4-pure"],
    "cache_dtype": ["bf16", "fp8", "q8_0"],
    "rollout_dtype": ["bf16", "fp8", "fp8-pure", "q4_k"],
    "reference": ["same", "none", "precomputed", "gpt2", "bert-base", "gpt-4"],
    "reward": ["same", "rule", "gpt2", "t5-small", "llama-3.1-70b"],
    "value": ["same", "gpt2", "bert-base", "mamba-2.8b"],
    "draft": ["gpt2", "llama-3.2-1b"],
    "sleep": ["all", "none", "rollout,weights", "value", "optimizer,rollout"],
    "offload": ["weights", "states", "weights,states,activations", "none", "weights+states"],
    "stages": ["16,16", "1,31", "8,8,8,8", "6,6", "1,1,1,1", ",".join(["1"] * 600)],
    "recompute": ["none", "full", "selective", "op", "full:8", "full:0-3,9", "none,full"],
    "lora_targets": ["q,v", "all", "attention,mlp"],
    "memory_share": ["90%", "0.5", "100%"],
    "ttft": ["2s", "1ms", "1e9s"],
    "tpot": ["30ms", "1ns"],
    "price": ["2", "1e9"],
    "engine": ["vllm", "sglang", "trtllm"],
    "precision": ["bf16", "fp8", "fp32"],
    "optimizer": ["adamw", "muon", "adafactor"],
    "loss": ["plain", "fused", "chunked"],
    "schedule": ["1f1b", "interleaved", "zero-bubble", "dualpipe"],
    "sequence": ["true", "false"],
    "image_size": ["224", "768x1024", "1x1"],
}
"""What people give; of other options with numbers, small ones."""
_LEFT_OUT: Final = frozenset(
    {"system", "save", "plot", "output", "output_file", "calibration", "host_bandwidth", "model", "models"}
)
"""Those that write or read a file, and the model, which is given."""


def _options(name: str) -> dict[str, Option]:
    return {key: one for key, one in question(name).ask.options().items() if key not in _LEFT_OUT}


_OPTIONS: Final = {name: _options(name) for name in READ_BY}


@st.composite
def _given(draw: DrawFn, name: str, keys: list[str]) -> list[str]:
    """Some options of a question with values: likely ones, but for one in eight."""
    line = []
    for key in keys:
        option = _OPTIONS[name][key]
        line.append(f"--{key.replace('_', '-')}")
        if option.kind != "flag":
            likely = list(option.choices or _LIKELY.get(key, _SMALL))
            strange = draw(st.integers(0, 7)) == 0
            line[-1] += "=" + draw(st.one_of(st.sampled_from(_ABSURD), word) if strange else st.sampled_from(likely))
    return line


_BASES: Final[dict[str, list[list[str]]]] = {
    "memory": [["--train", "--context=1k"], ["--gpu=h100", "--context=1k"], ["--train", "--gpus=8"]],
    "train": [["--gpu=h100", "--gpus=8"], ["--gpu=h100", "--gpus=64", "--batch=64"]],
    "flops": [[], ["--context=1k"]],
    "plan": [["--train", "--gpu=h100", "--gpus=8", "--batch=64"], ["--serve", "--gpu=h100", "--gpus=8", "--rate=1"]],
    "serve": [["--gpu=h100", "--context=1k"]],
    "params": [[]],
    "attention": [[]],
    "summary": [[]],
    "loss": [["--tokens=1e9"]],
    "verify": [[]],
}
_METHODS: Final = ("memory", "train", "flops", "plan")


@st.composite
def _request(draw: DrawFn) -> list[str]:
    """A question about a model with options; half of those that can be are of steps after pre-training."""
    name = draw(st.sampled_from([*_METHODS, *_METHODS, "serve", "params", "attention"]))
    after = name in _METHODS and draw(st.booleans())
    known = _OPTIONS[name]
    own = [key for key, one in known.items() if one.heading == "After pre-training" and key != "method"]
    rest = [key for key in known if key not in own and key not in ("method", "train", "serve")]
    keys = draw(st.lists(st.sampled_from(own if after and draw(st.booleans()) else rest), max_size=5, unique=True))
    line = [name, draw(st.sampled_from(_MODELS)), *draw(st.sampled_from(_BASES[name])), *draw(_given(name, keys))]
    if after:
        line.append(f"--method={draw(st.sampled_from(['sft', 'dpo', 'grpo', 'ppo']))}")
    shown = draw(st.sampled_from([[], [], ["--explain"], ["--format", "csv"], ["--format", "json"]]))
    return [*line, *shown]


_RANGES: Final = [
    "1..4",
    "1..64",
    "8..64*2",
    "1,2,4",
    "1..1e9",
    "16..96+8",
    "1..8*0.5",
    "4..1",
    "1..2+0",
    "1..3+0.5",
    "1..1000",
]


@st.composite
def _sweep(draw: DrawFn) -> list[str]:
    """A question over a few axes of a few values, or of absurdly many."""
    name = draw(st.sampled_from(["memory", "train", "serve", "flops", "params", "attention"]))
    known = _OPTIONS[name]
    rows, axes = 1, []
    for key in draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=3, unique=True)):
        likely = list(known[key].choices or _LIKELY.get(key, _SMALL))
        text = st.one_of(
            st.sampled_from(_RANGES),
            st.lists(st.sampled_from(likely), min_size=1, max_size=3, unique=True).map(",".join),
            st.lists(st.one_of(st.sampled_from(_ABSURD), word), min_size=1, max_size=3).map(",".join),
        )
        value = draw(text)
        axis = (
            key if known[key].metavar != "KEY=VALUE" else f"{key}.{draw(st.sampled_from(['layers', 'x', 'd_model']))}"
        )
        axes += ["--vary", f"{axis}={value}"]
        rows *= 1000 if ".." in value else 3
    base = draw(st.sampled_from(_BASES[name]))
    line = ["sweep", name, draw(st.sampled_from(_MODELS)), *base, *draw(_given(name, draw(_few(name)))), *axes]
    return [*line, *draw(st.sampled_from([[], ["--columns", "x"], ["--format", "json"]]))]


def _few(name: str) -> SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(_OPTIONS[name])), max_size=2, unique=True)


_SYSTEMS: Final[list[Any]] = [
    {"model": "llama-3.1-8b", "gpu": "h100", "gpus": 8, "batch": 64, "zero": 3},
    {
        "model": "llama-3.1-8b",
        "gpu": "h100",
        "gpus": 8,
        "method": "grpo",
        "group": 8,
        "sleep": "all",
        "rollout_tensor": 2,
    },
    {"model": "llama-3.1-8b", "gpu": "h100", "gpus": 16, "tensor": 2, "pipeline": 2, "stages": "16,16", "batch": 64},
    {
        "model": "gpt2",
        "gpu": "h100",
        "set": ["layers=2"],
        "gpu_set": ["memory_gb=100"],
        "context": "1k",
        "dtype": "fp8",
    },
    {"model": {"name": "x"}, "gpu": {"name": "y"}, "context": 1024, "recompute": ["none", "full"], "train": True},
]
_ADAPTER: Final[Any] = {
    "peft_type": "LORA",
    "r": 8,
    "target_modules": ["q_proj", "v_proj"],
    "modules_to_save": ["lm_head", "embed_tokens"],
    "use_dora": True,
    "base_model_name_or_path": "llama-3.1-8b",
    "bias": "none",
    "rank_pattern": {},
}
_META: Final[Any] = {
    "dim": 4096,
    "n_layers": 32,
    "n_heads": 32,
    "n_kv_heads": 8,
    "vocab_size": 128256,
    "multiple_of": 1024,
    "ffn_dim_multiplier": 1.3,
    "norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "use_scaled_rope": True,
}
_MISTRAL: Final[Any] = {
    "dim": 4096,
    "n_layers": 32,
    "head_dim": 128,
    "hidden_dim": 14336,
    "n_heads": 32,
    "n_kv_heads": 8,
    "norm_eps": 1e-5,
    "vocab_size": 32000,
    "moe": {"num_experts_per_tok": 2, "num_experts": 8},
}
_PARTS: Final[Any] = {
    "_class_name": "FluxPipeline",
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "vae": ["diffusers", "AutoencoderKL"],
    "safety_checker": [None, None],
}
_DESCRIPTIONS: Final = {
    "adapter_config.json": [_ADAPTER],
    "params.json": [_META, _MISTRAL],
    "model_index.json": [_PARTS],
}


def _described(name: str) -> SearchStrategy[tuple[str, bytes]]:
    bases = st.sampled_from(_DESCRIPTIONS[name])
    texts = st.one_of(mutated(bases).map(as_json), scratched(bases.map(as_json)))
    return st.tuples(st.just(name), texts)


_system_text: Final = st.one_of(
    mutated(st.sampled_from(_SYSTEMS)).map(as_yaml),
    mutated(st.sampled_from(_SYSTEMS)).map(lambda data: json.dumps(data).encode()),
    scratched(st.sampled_from(_SYSTEMS).map(as_yaml)),
)
_of_a_system: Final = st.sampled_from(
    [
        ("train",),
        ("train", "--gpus", "8"),
        ("memory",),
        ("memory", "--train"),
        ("flops",),
        ("serve",),
        ("params",),
        ("plan", "--train"),
        ("plan", "--train", "--batch", "64"),
        ("plan", "--serve", "--rate", "1"),
        ("attention",),
        ("summary",),
    ]
)

REQUESTS: Final = {
    "any_request": Property(any_request, (_request(),), 25),
    "any_sweep": Property(any_sweep, (_sweep(), st.sampled_from([None, None, "rows.csv", "rows.parquet"])), 20),
    "any_system": Property(any_system, (_system_text, _of_a_system), 40),
    "any_description": Property(
        lambda one: any_description(*one), (st.sampled_from(list(_DESCRIPTIONS)).flatmap(_described),), 30
    ),
}
"""The properties of requests, as `PROPERTIES` has those of specs and command lines."""
