"""The options that questions share, each spelled, read and explained once."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Final, TypeVar

from tscale.analysis.completion import hardware_fields, hardware_names, law_names, model_names, spec_fields
from tscale.analysis.request import Option
from tscale.core.tracing import MOST_CONTEXT, MOST_FLOPS, MOST_TOKENS, parse_count, parse_fraction
from tscale.errors import RequestError, shown

if TYPE_CHECKING:
    from tscale.core.costs.recompute import Again
    from tscale.core.costs.states import Offload
    from tscale.core.roles import Role

SERVING: Final = "Serving"
TRAINING: Final = "Training"
PARALLELISM: Final = "Parallelism"
COST: Final = "Cost and energy"
PREDICTION: Final = "Prediction"

Value = TypeVar("Value")
Reader = Callable[[str, str], Value]
"""What makes a value of a text and of the name of its option; raises `RequestError`."""

MOST_CONTEXTS: Final = 100
MOST_PARAMETERS: Final = 10**18
MOST_BATCH: Final = 10**6
MOST_STAGES: Final = 1024


# ---------------------------------------------------------------------------------------------------------------------
# How texts are read
# ---------------------------------------------------------------------------------------------------------------------


def context(text: str, what: str) -> int:
    """A length in tokens: 2048, 128k; k is 1024, as in model cards."""
    return parse_count(text, what=what, most=MOST_CONTEXT, kilo=1024)


def contexts(text: str, what: str) -> list[int]:
    """Lengths in tokens: 512,2k,8k."""
    parts = [part for part in text.split(",") if part.strip()]
    if not parts or len(parts) > MOST_CONTEXTS:
        raise RequestError(f"{what} takes 1 to {MOST_CONTEXTS} lengths separated by commas, such as 512,2k,8k")
    return [context(part, what) for part in parts]


def tokens(text: str, what: str) -> int:
    """A number of tokens: 300e9, 1.5T; k is 1000."""
    return parse_count(text, what=what, most=MOST_TOKENS)


def flops(text: str, what: str) -> int:
    """A number of FLOPs: 5.76e23."""
    return parse_count(text, what=what, most=MOST_FLOPS)


def parameters(text: str, what: str) -> int:
    """A number of parameters: 7e9, 7B."""
    return parse_count(text, what=what, most=MOST_PARAMETERS)


def devices(text: str, what: str) -> int:
    """A number of devices: 8, 1024, 16k (16,000)."""
    return parse_count(text, what=what, most=10**9)


def degree(text: str, what: str) -> int:
    """How many devices share something in one way, or how many things there are of one kind: 1, 8."""
    return parse_count(text, what=what, most=10**6)


def batch(text: str, what: str) -> int:
    """A number of sequences: 1, 2048."""
    return parse_count(text, what=what, most=MOST_BATCH)


def year(text: str, what: str) -> int:
    """A year: 2025."""
    if not (text.strip().isascii() and text.strip().isdigit() and len(text.strip()) == len("2025")):
        raise RequestError(f"{what} takes a year, such as 2024, not {shown(text)}")
    return int(text)


def size(text: str, what: str) -> int:
    """A width or a count: 3, 256, 1k (1024)."""
    return parse_count(text, what=what, most=10**12, kilo=1024)


def file(text: str, what: str) -> str:
    """The name of a file, which is not nothing, as a variable of a shell may be."""
    if not text.strip():
        raise RequestError(f"{what} needs the name of a file")
    return text


def zero_stage(text: str, what: str) -> int:
    """A stage of ZeRO: 0, 1, 2 or 3."""
    if text.strip() not in {"0", "1", "2", "3"}:
        raise RequestError(f"{what} is a stage of ZeRO, 0, 1, 2 or 3, not {text.strip()[:40]}")
    return int(text)


def again(text: str, what: str) -> Again:
    """What the backward pass computes again, and in which layers."""
    from tscale.core.costs.recompute import find_again

    del what
    return find_again(text)


def offload(text: str, what: str) -> frozenset[Offload]:
    """What the host keeps."""
    from tscale.core.costs.states import find_offload

    del what
    return find_offload(text)


def lora_targets(text: str, what: str) -> frozenset[Role] | None:
    """The matrices that have adapters; None for all of them."""
    from tscale.core.costs.states import find_targets

    del what
    return find_targets(text)


def stages(text: str, what: str) -> tuple[int, ...]:
    """The layers of each stage: 16,32."""
    parts = text.split(",")
    if len(parts) > MOST_STAGES:
        raise RequestError(f"{what} names {len(parts):,} stages: at most {MOST_STAGES:,}")
    return tuple(parse_count(part, what=what, most=10**6) for part in parts)


def number(most: int, such_as: str = "2.5") -> Reader[Fraction]:
    """Reads a number above 0, whole or not."""
    return lambda text, what: parse_fraction(text, what=what, most=most, such_as=such_as)


def share(of: str = "the peak") -> Reader[Fraction]:
    """Reads a share of 1, 0.4 or 40%; `of` what it is one, for whoever writes more than all of it."""
    return lambda text, what: share_of(text, what, of)


def share_of(text: str, what: str, of: str) -> Fraction:
    """A share of 1: 0.4 or 40%."""
    text = text.strip()
    value = parse_fraction(text.removesuffix("%"), what=what, most=10**6, such_as="0.4 or 40%")
    value = value / 100 if text.endswith("%") else value
    if value > 1:
        meant = f": write {text}% if per cent is meant" if not text.endswith("%") and 2 <= value <= 100 else ""
        raise RequestError(f"{what} is a share of {of}, at most 1, not {text[:40]}{meant}")
    return value


# ---------------------------------------------------------------------------------------------------------------------
# The model and the hardware
# ---------------------------------------------------------------------------------------------------------------------

MODEL_HELP: Final = "Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the hub, or - for stdin."
MODEL: Final = Option(MODEL_HELP, "MODEL", kind="model", complete=model_names)
MODELS: Final = Option(MODEL_HELP, "MODEL...", kind="models", complete=model_names)
SET: Final = Option(
    "Change a field of the spec. Repeat it to change several.", "KEY=VALUE", kind="list", complete=spec_fields
)
ASSUME: Final = Option(
    "Count a config.json of an unknown family as one of this family; see `tscale list families`.", "FAMILY"
)
FAMILIES: Final = Option(
    "Read further families of config.json from a YAML file, as `tscale schema families` describes it.",
    "FILE",
    kind="named",
)
STRICT: Final = Option(
    "Refuse a config.json that has keys its family does not read, rather than name them.", kind="flag"
)
GPU: Final = Option(
    "Name the hardware: h100, a YAML file, or here (the GPU of this machine); `tscale list hardware` has the names.",
    "NAME",
    kind="named",
    complete=hardware_names,
)
GPU_SET: Final = Option(
    "Change a field of the hardware; repeatable.", "KEY=VALUE", kind="list", complete=hardware_fields
)
GPUS: Final = Option("Set the number of devices, such as 8 or 1024.", "N", devices)

# ---------------------------------------------------------------------------------------------------------------------
# The workload
# ---------------------------------------------------------------------------------------------------------------------

TOKENS: Final = Option("Set the training tokens, such as 300e9 or 1.5T; k is 1,000.", "N", tokens)
CONTEXT: Final = Option("Set the tokens of a sequence, such as 2048 or 2k; k is 1,024.", "N", context)
UNIQUE: Final = Option(
    "Set the number of unique tokens, such as 100e9: further training tokens repeat them.", "N", tokens
)
SERVED: Final = Option("Set the tokens to be served, such as 1e12, to include the FLOPs of serving.", "N", tokens)
LAWS: Final = Option(
    "Choose a scaling law by name or file. Repeat it for several; by default all are used.",
    "NAME|FILE",
    kind="list",
    complete=law_names,
)

# ---------------------------------------------------------------------------------------------------------------------
# How training is spread over devices
# ---------------------------------------------------------------------------------------------------------------------

DATA: Final = Option(
    "Set the copies of the model (data parallelism); by default as many as --gpus allows.",
    "N",
    degree,
    heading=PARALLELISM,
)
TENSOR: Final = Option("Set the devices that share each layer (tensor parallelism).", "N", degree, heading=PARALLELISM)
SEQUENCE: Final = Option(
    "Use sequence parallelism between the matrices of a layer (with --tensor).", heading=PARALLELISM, kind="flag"
)
CONTEXT_PARALLEL: Final = Option(
    "Set the devices that share a sequence (context parallelism).", "N", degree, heading=PARALLELISM
)
PIPELINE: Final = Option(
    "Set the stages that share the layers (pipeline parallelism).", "N", degree, heading=PARALLELISM
)
INTERLEAVE: Final = Option("Set the model chunks of each stage (interleaved 1F1B).", "N", degree, heading=PARALLELISM)
EXPERT: Final = Option(
    "Set the devices of --tensor, --context-parallel and --data that routed experts are divided over (expert parallelism).",
    "N",
    degree,
    heading=PARALLELISM,
)
ZERO: Final = Option(
    "Set the ZeRO stage: what data-parallel devices shard; 3 is FSDP.", "0-3", zero_stage, heading=PARALLELISM
)
SHARDS: Final = Option(
    "Set the devices that ZeRO shards over, if not all (hybrid sharding).", "N", degree, heading=PARALLELISM
)

STAGES: Final = Option(
    "Set the layers of each pipeline stage, or of each piece with --interleave, such as 31,32,32,31; by default they are as even "
    "as possible.",
    "N,N,...",
    stages,
    heading=PARALLELISM,
)
EXPERT_TENSOR: Final = Option(
    "Set the devices that share each routed expert (expert tensor parallelism); by default 1 in training, and in serving all that "
    "hold it.",
    "N",
    degree,
    heading=PARALLELISM,
)
SCHEDULE: Final = Option(
    "Set the order in which stages run micro-batches; by default 1f1b, or interleaved with --interleave.",
    choices=("1f1b", "interleaved", "zero-bubble", "dualpipe"),
    heading=PARALLELISM,
)
ATTENTION_DATA: Final = Option(
    "Set the groups that have attention and cache of their own sequences (data-parallel attention).",
    "N",
    degree,
    heading=PARALLELISM,
)
REPLICAS: Final = Option("Set the copies of the whole deployment.", "N", degree, heading=PARALLELISM)

# ---------------------------------------------------------------------------------------------------------------------
# What serving keeps
# ---------------------------------------------------------------------------------------------------------------------

STATE_DTYPE: Final = Option(
    "Set the format of recurrent states; by default the file's, or 16 bits.",
    choices=("fp32", "bf16", "fp16"),
    heading=SERVING,
)
CACHE_FORM: Final = Option(
    "Choose what latent attention caches: its latents, or keys and values of all heads.",
    choices=("latent", "full"),
    heading=SERVING,
)
WINDOW_CACHE: Final = Option(
    "Choose whether layers with a window cache no more than it, or every position.",
    choices=("cut", "whole"),
    heading=SERVING,
)
SPLIT_CACHE: Final = Option(
    "Choose how devices divide the KV cache while decoding.", choices=("heads", "sequences"), heading=SERVING
)
DRAFT: Final = Option(
    "Name a draft model (speculative decoding).", "MODEL", kind="named", heading=SERVING, complete=model_names
)
DRAFT_TOKENS: Final = Option("Set the draft tokens per round; 4 with --draft.", "N", degree, heading=SERVING)
PADDING: Final = Option(
    "Name the kernel that pads experts in mxfp4.",
    choices=("none", "marlin", "triton", "trtllm", "cutlass"),
    heading=SERVING,
)

# ---------------------------------------------------------------------------------------------------------------------
# How a step of training is computed
# ---------------------------------------------------------------------------------------------------------------------

PRECISION: Final = Option(
    "Set the formats of weights, gradients, master weights and optimizer states.",
    choices=("bf16", "bf16-fp32-gradients", "fp32-master", "pure-bf16", "fp16", "fp8", "fp32"),
    heading=TRAINING,
)
OPTIMIZER: Final = Option(
    "Set the optimizer.",
    choices=(
        "adamw",
        "adamw-fp32",
        "paged-adamw",
        "adam-8bit",
        "paged-adam-8bit",
        "adafactor",
        "sgd",
        "lion",
        "muon",
    ),
    heading=TRAINING,
)
MICRO_BATCH: Final = Option("Set the sequences of a micro-batch.", "N", batch, heading=TRAINING)
STEP_BATCH: Final = Option(
    "Set the sequences per step (global batch size), to time a parallel plan.", "N", degree, heading=TRAINING
)
RECOMPUTE: Final = Option(
    "Choose what the backward pass recomputes: none, selective (attention scores), op (all but attention and every second "
    "product), full (whole layers); full:8 is the first 8 layers of each stage, full:0-3,9 these layers.",
    "POLICY",
    again,
    heading=TRAINING,
    shown="none",
)
KERNELS: Final = Option(
    "Choose how norms and gates are computed.", choices=("fused", "eager", "composite"), heading=TRAINING
)
OPTIMIZER_IN_BACKWARD: Final = Option(
    "Step each parameter as soon as it has its gradient.", heading=TRAINING, kind="flag"
)
OFFLOAD: Final = Option(
    "Keep weights, states, activations, or several of these in the host's memory.",
    "WHAT,...",
    offload,
    heading=TRAINING,
)
LORA_TARGETS: Final = Option(
    "Choose the matrices that have adapters: q,v or attention,mlp or all.",
    "NAMES",
    lora_targets,
    heading=TRAINING,
)
ATTENTION: Final = Option(
    "Choose a fused kernel, or unfused attention that saves every score.", choices=("flash", "naive"), heading=TRAINING
)
STACK: Final = Option(
    "Choose the training stack that a plan's step is predicted on.",
    choices=("current", "megatron-deepspeed"),
    heading=TRAINING,
)
ATTENTION_KERNEL: Final = Option(
    "Name the attention kernel of the prediction; by default that which is usual on the chip.",
    choices=("unfused", "flash-1", "flash-2", "cudnn"),
    heading=TRAINING,
)
LOSS: Final = Option(
    "Choose how the loss is computed: plain-kept (or eager) as transformers does, plain as torchtitan does, in-place as "
    "Megatron-LM does, fused-linear (or fused) as Liger does; by default as the common trainer of the plan does.",
    choices=(
        "plain",
        "plain-kept",
        "eager",
        "hf-old",
        "bf16",
        "parallel",
        "in-place",
        "one-kernel",
        "chunked",
        "chunked-recomputed",
        "chunked-compiled",
        "fused-linear",
        "fused",
    ),
    heading=TRAINING,
)
DROPOUT: Final = Option("Count dropout masks.", heading=TRAINING, kind="flag")
LORA_RANK: Final = Option("Train adapters of this rank on a frozen model.", "N", size, heading=TRAINING)
QLORA: Final = Option(
    "Train adapters on a model frozen in nf4; rank 64 unless --lora-rank is given.", heading=TRAINING, kind="flag"
)

# ---------------------------------------------------------------------------------------------------------------------
# What it costs
# ---------------------------------------------------------------------------------------------------------------------

PRICE: Final = Option(
    "Set the price of a GPU-hour in US dollars, such as 2.50.", "USD", number(10**6, "2.50"), heading=COST
)
MFU: Final = Option("Set the model FLOPs utilisation: 0.4 or 40%.", "SHARE", share())
DAYS: Final = Option("Set how long training may take, or took.", "N", number(10**6, "30"))
