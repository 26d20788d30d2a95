"""The options that questions share, each spelled, read and explained once."""

from __future__ import annotations

from typing import Final

from tscale.analysis import completion, readers
from tscale.analysis.request import Option

READING: Final = "Reading a model's file"
SERVING: Final = "Serving"
TRAINING: Final = "Training"
PARALLELISM: Final = "Parallelism"
COST: Final = "Cost and energy"
PREDICTION: Final = "Prediction"

# ---------------------------------------------------------------------------------------------------------------------
# The model and the hardware
# ---------------------------------------------------------------------------------------------------------------------

MODEL_HELP: Final = "Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the hub, or - for stdin."
MODEL: Final = Option(MODEL_HELP, "MODEL", kind="model", complete=completion.model_names)
MODELS: Final = Option(MODEL_HELP, "MODEL...", kind="models", complete=completion.model_names)
SET: Final = Option(
    "Change a field of the spec. Repeat it to change several.",
    "KEY=VALUE",
    kind="list",
    complete=completion.spec_fields,
)
ASSUME: Final = Option(
    "Count a config.json of an unknown family as one of this family; see `tscale list families`.",
    "FAMILY",
    heading=READING,
)
FAMILIES: Final = Option(
    "Read further families of config.json from a YAML file, as `tscale schema families` describes it.",
    "FILE",
    kind="named",
    heading=READING,
)
STRICT: Final = Option(
    "Refuse a config.json that has keys its family does not read, rather than name them.",
    kind="flag",
    heading=READING,
)
GPU: Final = Option(
    "Name the hardware: h100, a YAML file, or here (the GPU of this machine); `tscale list hardware` has the names.",
    "NAME",
    kind="named",
    complete=completion.hardware_names,
)
GPU_SET: Final = Option(
    "Change a field of the hardware; repeatable.", "KEY=VALUE", kind="list", complete=completion.hardware_fields
)
MEMORY_SHARE: Final = Option(
    "Set the usable share of the memory, such as 90%, instead of a reserve.", "SHARE", readers.share("the memory")
)
GPUS: Final = Option("Set the number of devices, such as 8 or 1024.", "N", readers.devices)

# ---------------------------------------------------------------------------------------------------------------------
# The workload
# ---------------------------------------------------------------------------------------------------------------------

TOKENS: Final = Option("Set the training tokens, such as 300e9 or 1.5T; k is 1,000.", "N", readers.tokens)
CONTEXT: Final = Option("Set the tokens of a sequence, such as 2048 or 2k; k is 1,024.", "N", readers.context)
UNIQUE: Final = Option(
    "Set the number of unique tokens, such as 100e9: further training tokens repeat them.", "N", readers.tokens
)
SERVED: Final = Option(
    "Set the tokens to be served, such as 1e12, to include the FLOPs of serving.",
    "N",
    readers.tokens,
    none_at_zero=True,
)
BITS: Final = Option(
    "Train in so many bits: 8, or 4,8,16 of weights, activations and KV cache, by a law of precision.",
    "BITS",
    readers.bits,
)
LAWS: Final = Option(
    "Choose a scaling law by name or file. Repeat it for several; by default all are used.",
    "NAME|FILE",
    kind="list",
    complete=completion.law_names,
)

# ---------------------------------------------------------------------------------------------------------------------
# How training is spread over devices
# ---------------------------------------------------------------------------------------------------------------------

DATA: Final = Option(
    "Set the copies of the model (data parallelism); by default as many as --gpus allows.",
    "N",
    readers.degree,
    heading=PARALLELISM,
)
TENSOR: Final = Option(
    "Set the devices that share each layer (tensor parallelism).", "N", readers.degree, heading=PARALLELISM
)
SEQUENCE: Final = Option(
    "Use sequence parallelism between the matrices of a layer (with --tensor).", heading=PARALLELISM, kind="flag"
)
CONTEXT_PARALLEL: Final = Option(
    "Set the devices that share a sequence (context parallelism).", "N", readers.degree, heading=PARALLELISM
)
PIPELINE: Final = Option(
    "Set the stages that share the layers (pipeline parallelism).", "N", readers.degree, heading=PARALLELISM
)
INTERLEAVE: Final = Option(
    "Set the model chunks of each stage (interleaved 1F1B).", "N", readers.degree, heading=PARALLELISM
)
EXPERT: Final = Option(
    "Set the devices of --tensor, --context-parallel and --data that routed experts are divided over (expert parallelism).",
    "N",
    readers.degree,
    heading=PARALLELISM,
)
ZERO: Final = Option(
    "Set the ZeRO stage: what data-parallel devices shard; 3 is FSDP.", "0-3", readers.zero_stage, heading=PARALLELISM
)
SHARDS: Final = Option(
    "Set the devices that ZeRO shards over, if not all (hybrid sharding).", "N", readers.degree, heading=PARALLELISM
)

STAGES: Final = Option(
    "Set the layers of each pipeline stage, or of each piece with --interleave, such as 31,32,32,31; by default they are as even "
    "as possible.",
    "N,N,...",
    readers.stages,
    heading=PARALLELISM,
)
EXPERT_TENSOR: Final = Option(
    "Set the devices that share each routed expert (expert tensor parallelism); by default 1 in training, and in serving all that "
    "hold it.",
    "N",
    readers.degree,
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
    readers.degree,
    heading=PARALLELISM,
)
REPLICAS: Final = Option("Set the copies of the whole deployment.", "N", readers.degree, heading=PARALLELISM)

# ---------------------------------------------------------------------------------------------------------------------
# What serving keeps
# ---------------------------------------------------------------------------------------------------------------------

DTYPE: Final = Option(
    "Set the format of the weights: fp8, q4_k, int4-g64; by default that of the release, or bf16.",
    "FORMAT",
    readers.weights_format,
    heading=SERVING,
    complete=completion.format_names,
)
CACHE_DTYPE: Final = Option(
    "Set the format of the KV cache, such as fp8; by default that of the release, or 16 bits.",
    "FORMAT",
    readers.cache_format,
    heading=SERVING,
    complete=completion.cache_format_names,
)
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
    "Name a draft model (speculative decoding), or a head of the model: mtp, eagle or eagle-3.",
    "MODEL",
    kind="named",
    heading=SERVING,
    complete=completion.model_names,
)
DRAFT_TOKENS: Final = Option("Set the draft tokens per round; 4 with --draft.", "N", readers.degree, heading=SERVING)
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
    choices=("bf16", "bf16-fp32-gradients", "fp32-master", "pure-bf16", "fp16", "fp8", "fp8-bf16-gradients", "fp32"),
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
MICRO_BATCH: Final = Option("Set the sequences of a micro-batch.", "N", readers.batch, heading=TRAINING)
STEP_BATCH: Final = Option(
    "Set the sequences per step (global batch size), to time a parallel plan.", "N", readers.degree, heading=TRAINING
)
RECOMPUTE: Final = Option(
    "Choose what the backward pass recomputes: none, selective (attention scores), op (all but attention and every second "
    "product), full (whole layers); full:8 is the first 8 layers of each stage, full:0-3,9 these layers.",
    "POLICY",
    readers.again,
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
    readers.offload,
    heading=TRAINING,
)
LORA_TARGETS: Final = Option(
    "Choose the matrices that have adapters: q,v or attention,mlp or all.",
    "NAMES",
    readers.lora_targets,
    heading=TRAINING,
    complete=completion.target_names,
)
ATTENTION: Final = Option(
    "Choose a fused kernel, or unfused attention that saves every score.", choices=("flash", "naive"), heading=TRAINING
)
STACK: Final = Option(
    "Choose the training stack that a plan's step is predicted on.",
    choices=("current", "megatron-bridge-26.06", "megatron-deepspeed", "megatron-lm"),
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
        "compiled",
        "chunked",
        "chunked-recomputed",
        "chunked-compiled",
        "chunked-kept",
        "fused-linear",
        "fused",
    ),
    heading=TRAINING,
)
DROPOUT: Final = Option("Count dropout masks.", heading=TRAINING, kind="flag")
LORA_RANK: Final = Option("Train adapters of this rank on a frozen model.", "N", readers.size, heading=TRAINING)
QLORA: Final = Option(
    "Train adapters on a model frozen in nf4; rank 64 unless --lora-rank is given.", heading=TRAINING, kind="flag"
)

# ---------------------------------------------------------------------------------------------------------------------
# What it costs
# ---------------------------------------------------------------------------------------------------------------------

PRICE: Final = Option(
    "Set the price of a GPU-hour in US dollars, such as 2.50.", "USD", readers.number(10**6, "2.50"), heading=COST
)
MFU: Final = Option("Set the model FLOPs utilisation: 0.4 or 40%.", "SHARE", readers.share())
DAYS: Final = Option("Set how long training may take, or took.", "N", readers.number(10**6, "30"))
