"""Which runs the calibrations of training steps are fitted to, with which constants, and what they do not explain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple


class Recipe(NamedTuple):
    """A calibration to be fitted: which rows, which constants, which are held at a value, and how robustly."""

    name: str
    title: str
    stacks: tuple[str, ...]
    file: str
    where: str
    takes: Callable[[Mapping[str, str]], bool]
    apart: Callable[[Mapping[str, str]], str]
    """The group of a row that stands apart from the others."""
    model: Callable[[Mapping[str, str]], str] | None
    """Where rows are few, the model that is left out for the error and the intervals; None for a part of the layouts."""
    free: tuple[str, ...]
    held: Mapping[str, float]
    loss: Literal["soft_l1", "cauchy"]
    scale: float
    unexplained: tuple[str, ...]
    sources: tuple[str, ...]
    kinds: tuple[str, ...]
    """What its runs are divided into, as `training_case.kind_of` calls them: intervals are as wide as each scatters."""


NODE: Final = Recipe(
    "training-megatron-node",
    "GPT models of 1,024 and 2,048 wide on 2 to 8 A100 of a node, Megatron-DeepSpeed of 2022",
    ("megatron-deepspeed", "megatron-lm"),
    "configs/measured/vtrain.csv",
    "gpus up to 8",
    lambda row: int(row["gpus"]) <= 8,
    lambda row: f"{row['layers']} layers of {row['d_model']}",
    None,
    (
        "products", "traffic", "sums", "whole_head", "host_layer", "host_tensor", "host_wide", "host_softmax", "host_head",
        "step", "optimizer_bytes",
    ),
    {"recomputed": 0.0, "loss_bytes": 52.0},
    "soft_l1",
    0.03,
    (
        "Its table says full recomputation; with it, products would run at 95% to 100% of the peak. Its times are those of a "
        "run that computes nothing again, at 76%: what is computed again is not counted here.",
        "The time of the host for a layer differs by width, tensor parallelism and micro-batch together, from 2.7 to 3.7 ms, "
        "and is as long within each: 2-way at 1,024 and micro-batch 4 and 4-way at 2,048 and micro-batch 1 and 2 are 10% to "
        "25% faster than predicted.",
    ),
    ("VIA-Research/vTrain, data/ground_truth_single.csv (MIT License), MICRO 2024",),
    (
        "tensor 1, micro-batch 1", "tensor 1, micro-batch 2", "tensor 1, micro-batch 3 and more",
        "tensor 2, micro-batch 1", "tensor 2, micro-batch 2", "tensor 2, micro-batch 3 and more",
        "tensor 3 and more, micro-batch 1", "tensor 3 and more, micro-batch 2 and more",
    ),
)  # fmt: skip

CLUSTER: Final = Recipe(
    "training-megatron-cluster",
    "GPT models of 3,072 to 12,288 wide on 64 to 512 A100, Megatron-DeepSpeed of 2022",
    ("megatron-deepspeed", "megatron-lm"),
    "configs/measured/vtrain.csv",
    "gpus from 64",
    lambda row: int(row["gpus"]) > 8,
    lambda row: row["d_model"],
    None,
    ("products", "traffic", "nics"),
    {"recomputed": 1.0, "loss_bytes": 52.0},
    "cauchy",
    0.02,
    (
        "Twelve of 74 runs are more than 13% off: nine of the 24 pipelines with 2-way and 4-way tensor parallelism, all at 8,192, which took 1.16 to "
        "1.62 times as long as predicted, and three runs at 3,072 without a pipeline (4-way with micro-batches of 2, 8-way with those of 2 and 64: 1.26 to 1.78). "
        "Beside them others did not: at 12,288 the same degrees are within 3%, at 8,192, 4-way in 8 stages, "
        "micro-batches of 6 took less than those of 3 and 4, and at 3,072 8-way took longer a micro-batch of 2 than 16-way over two nodes. In pipelines it is 40 to "
        "240 ms a micro-batch, 10 times what all its "
        "point-to-point transfers take on a NIC, and does not grow with them: most likely the network of those days. Runs of one width, tensor and "
        "pipeline parallelism that differ in the micro-batch are as far apart: a free number for each such layout, of its other runs, is "
        "wrong by 18% at the 90th percentile (65 runs, 3% in the median); without the 2-way and 4-way pipelines runs left out are at 1.8% and 11.3%, "
        "and the 90th percentile of 74 such runs is between 12% and 26% (bootstrap, 95%). None of these makes both the median and the 90th percentile of runs left out less: "
        "activations sent whole by each rank, or gathered again by those of a tensor group, NICs shared by the streams of a node's tensor groups, "
        "stages that send and receive in turn, as DeepSpeed's engine has it, the time of its host a micro-batch, gradients in 32 bits, rings that enter a node "
        "once a rank, the table's gradients between the first and the last stage, sums behind the products of weights' gradients.",
        "At 3,072, 8-way with micro-batches of 4 to 16 took 7% to 11% less than predicted: its sums are predicted to cost more over 4-way than they did.",
        "Narayanan 2021's Table 1, of another cluster: its models up to 39B are predicted 1% too fast to 7% too slow, those from 76B on "
        "3% to 5% too fast. Gradients of 2-way and 4-way tensor parallelism took no longer there than others': twice as long, 3.6B and 7.5B would be "
        "8% and 21% too slow. Why they do in vTrain's runs is by source (step_sent), but how much longer was chosen with these runs in view: twice; "
        "with 1.5 times, or no longer, runs left out would be at 2.2% and 19.5%, or 2.5% and 20.3%. The share of the NICs is one of 1,600 Gb/s a node, as that cluster had. vTrain's runs had 800 Gb/s (each "
        "file of its config/validation/multi says so), of which they reached twice the share; but nodes with twice the NICs moved no "
        "more: by twice the share the five large ones would be predicted 6% to 10% too fast, and eight copies of 530B 0.5 s slower "
        "than one, where the MFU of Korthikanti 2022 (54.2% on 2,240 GPUs, 56.0% on 280) says 1.3 s, and this share 1.1 s.",
    ),
    ("VIA-Research/vTrain, data/ground_truth_multi.csv (MIT License), MICRO 2024",),
    ("tensor 1, or 8 and more", "tensor 2 to 4"),
)

CURRENT: Final = Recipe(
    "training-current",
    "published layouts of llm-foundry, torchtitan, NeMo and Megatron-Bridge on A100 to GB300",
    ("current",),
    "configs/measured/published_layouts.csv",
    "all",
    lambda _: True,
    lambda row: row["source"].split(" ")[0],
    lambda row: row["model"],
    ("products", "products_8bit", "traffic", "host_expert"),
    {"nics": 0.8, "loss_bytes": 12.0, "dispatches": 1.0},
    "cauchy",
    0.1,
    (
        "The time of the host counts where no CUDA graph holds the layers of a mixture: 3 ms a layer, as an eager layer takes it in the "
        "runs of one node, and more for each expert that the device has, twice where two micro-batches are queued in turns. What is "
        "asked of tscale is taken to be without graphs, as 68 of 103 published runs of mixtures without the fused kernels are (55 one by one, 13 in turns); "
        "Qwen3-30B-A3B on 16 H100 in two stages, one sequence at a time, is predicted to take 1.1 times as long so as in graphs, and 1.9 times in turns.",
        "Sending tokens to their experts and back is all in the open but in turns: a share that is hidden, fitted, came to none.",
        "gpt-oss-120b takes 0.9 to 1.0 times as long as predicted on H100, 1.0 on GB300 and, with experts over eight nodes, on B200, 1.0 to 1.1 on "
        "GB200, but with experts within a node 1.2 on B200 and 1.0 to 1.2 on B300, and 1.4 on B300 over nodes. Within a node a device has 14 "
        "billion parameters, whose gradients and weights go over the NICs: were none of it hidden behind computing, which its recipes ask "
        "for, these would take 1.0 times as long as predicted on B200, and 1.0 to 1.1 on B300.",
        "DeepSeek-V3 takes 0.91 to 1.04 times as long as predicted on Blackwell, but 1.09 with two micro-batches in turns on B200, and 1.15 on 512 "
        "B200 of a cloud, with the module that predicts a second token (mtp_num_layers is 1) where its page does not say that it is without: a layer, "
        "and the head once more, in the last stage, which has fewer layers for it.",
        "Qwen3-30B-A3B takes 1.1 to 1.2 times as long as predicted on 8 GB200 and on 16 H100 in one stage.",
        "In pipelines of Automodel DeepSeek-V3 takes 1.1 times as long as predicted on 256 H100 and 1.3 on 1,024 (by the page in 8 pieces a "
        "device; its recipe of v0.2.0 says four layers a piece, which are 4), Kimi K2 1.2. Their benchmarks send each token to one or two "
        "neighbours and wait for what is sent; nothing fuses the kernels of their latents, which is not counted.",
        "What is gathered and scattered of shards is all in the open here. Of Llama 3 70B in Automodel on 64 H100, which gathers weights ahead, "
        "much of it was hidden (0.8, fitted to nothing); a share that is hidden, fitted, came to none.",
        "MPT-70B on 64 A100 of 40 GB, two sequences at a time, takes 1.2 times as long as predicted; on 32 of 80 GB, as many at a time "
        "took 0.93 (llm-foundry's page, not fitted), so that it is the memory that was short.",
        "Llama 3.1 405B on GB300 takes 0.88 to 0.98 times as long as predicted in fp8 that is scaled by whole tensors, 0.97 to 1.01 in MXFP8; on GB200 "
        "0.97 to 1.06 and 1.02 to 1.05. In one layout a step in MXFP8 took 1.02 to 1.07 times as long as by whole tensors on Blackwell, where 1.03 to 1.04 "
        "is predicted (8B and 405B, 25.09 and 25.11; nothing is fitted to them), and DeepSeek-V3's blocks of 128 1.02 on H100, as predicted.",
        "What makes inputs of products fp8 is in the rate of the products. Counted by itself from Transformer Engine's kernels, 3 to 6 bytes a number by "
        "whole tensors and 4 by blocks for each input and each gradient of an output, with the rates of kernels alone, layouts left out "
        "were at 4.2% to 4.5% and 11.8% to 13.2%, where they were at 4.2% and 11.8% without, and Bridge 26.06 at up to 2.1% and 6.9%, for 1.8% and 3.8%: "
        "norms and gates write much of it themselves.",
        "DeepSeek-V3's own step of 15,360 sequences took 19.9 s (arXiv 2505.09343, Table 4), where 18.0 s is predicted by blocks of 128 and 17.2 s as fp8 is "
        "usual on Hopper. Its profile has 129 ms for four layers forward and backward (deepseek-ai/profile-data), 132 ms here: products are predicted "
        "faster than its kernels of 2024 were, and elementwise work slower. What is left is in filling the pipeline, 2.1 s there and 0.6 s here.",
        "cuDNN's attention, measured by itself (NVIDIA/cudnn-frontend, benchmark/sdpa_benchmark_training, cuDNN 9.19 to 9.22, causal, forward and "
        "backward), reaches 0.51 of the 16-bit peak on H200, 0.49 on GB200 and 0.55 on GB300 at 4,096 tokens and heads of 128, and 0.57, 0.57 and "
        "0.63 at 8,192; of gpt-oss-120b's windows of 128 it reaches 0.07 on GB200, which is 1% of a step. With 0.53 and 0.59 on Blackwell and Blackwell "
        "Ultra in place of 0.45 and 0.65, layouts left out would be at 3.8% and 12.0% in place of 4.1% and 11.6%, and runs that nothing is "
        "fitted to further off on average.",
        "torchtitan's H100 are limited to 500 W, which is not counted: its runs in sequences of 8,192 "
        "take 1.0 to 1.1 times as long as predicted, with asynchronous tensor-parallel sums 1.1 to 1.2, and longer ones in up to two parts 1.2.",
        "On GB200 each release of the engines whose products were timed reaches less or more, 0.74 to 0.89 of an H100's in 16 bits but for one: its "
        "machines differ more than those of other chips.",
        "On Blackwell large models by NeMo 25.02 to 25.07 (tests/measured/published_dgxc.csv, fitted to nothing) take longer than predicted, in bf16 as in "
        "fp8: Llama 3.1 405B 1.1 to 1.3 times as long on GB200 and 1.2 on B200, Nemotron-4 340B 1.1 to 1.3 on GB200 and 1.0 to 1.1 on B200, Llama 3 70B "
        "1.1, GPT-3 1.0 to 1.1. By the same software they take 0.9 to 1.1 on H100, and Megatron-Bridge after it was 6% (405B) to 18% (8B) faster "
        "in the same layouts: software of the chips' first year is slower. One recipe of Nemotron-4 340B took 2.19 s in bf16 and 1.48 s in fp8 on GB200 by 25.05, "
        "2.01 s and 1.28 s by 25.07.01, and 2.06 s and 1.68 s by 25.09 (NVIDIA-NeMo/Speech issue 14911), where 1.86 s and 1.22 s are predicted: releases months apart "
        "differ by as much as these are off. No run that is fitted to is by any of them, so that nothing says what each reaches.",
        "Products on Blackwell are counted without waves: with those of 148 and 152 multiprocessors, layouts left out would be at 4.1% and 11.6% (5.4% on "
        "average in place of 5.3%), and most runs that nothing is fitted to 0.2% to 0.7% nearer.",
        "Gradients are summed and sent in 16 bits where recipes have it, as those of NeMo and Megatron-Bridge; with 32 bits everywhere, layouts "
        "left out would be at 5.1% and 11.3% in place of 4.1% and 11.6%, and at 5.8% on average in place of 5.3%.",
        "Tensor-parallel sums take as long as alone: fitted, they would take 1.3 times as long, and layouts left out be at 4.0% and 11.5%, but at 5.4% on average; "
        "of the runs that nothing is fitted to, those of NeMo would be 0.6% nearer, adapters 0.6% further off.",
        "Recipes of NeMo and Megatron-Bridge gather weights that are in fp8 by whole tensors in 8 bits (fp8_param_gather), and 25.11's do not gather ahead in MXFP8 "
        "(overlap_param_gather is False), which is not counted: with the former, layouts left out would be at 4.0% and 11.6%, but at 5.4% on average, and runs "
        "by NeMo 0.3% further off.",
        "A part of the time that grows with devices, fitted to them, came to 0.2% for twice as many, and layouts left out were further off.",
        "torchtitan's 8B over 4 and 8 devices of context parallelism takes 1.7 to 1.8 times as long as predicted. What PyTorch's ring attention merges in "
        "fp32 and waits for (torch/distributed/tensor/experimental/_attention.py) comes to 6% of it, counted by hand; each device computes as many pairs as "
        "any other (enable_load_balance). 405B on the same page is no slower over 4 and 8 devices than its times over 1 and 2 say.",
    ),
    (
        "mosaicml/llm-foundry, pytorch/torchtitan, NVIDIA/NeMo, NVIDIA-NeMo/Megatron-Bridge and Automodel: each row's source",
    ),
    ("adapters", "experts", "dense"),
)

LATEST: Final = Recipe(
    "training-bridge-26.06",
    "published layouts of mixtures by Megatron-Bridge 26.06 to 26.08, with fused kernels of experts, on B300, GB200 and GB300",
    ("megatron-bridge-26.06",),
    "configs/measured/published_26_06.csv",
    "all",
    lambda _: True,
    lambda row: row["gpu"],
    lambda row: row["model"],
    ("traffic", "dispatches"),
    {"host_routed": 0.0, "host_expert": 0.0},
    "cauchy",
    0.1,
    (
        "Its recipes capture whole steps in CUDA graphs: kernels of experts cost the host nothing.",
        "What these releases measured without the new kernels is as before: 405B, Kimi K2, DeepSeek-V3 on B300 and Qwen3-30B-A3B on H100 "
        "take 0.88 to 1.14 times as long as predicted by the constants of software before it, gpt-oss-120b on B300 1.03 times.",
    ),
    (
        "NVIDIA-NeMo/Megatron-Bridge docs/performance-summary.md and docs/performance-summary-archive.md: each row's release",
    ),
    ("experts",),
)


FROM_NODE: Final = ("host_layer", "host_tensor", "host_wide", "host_softmax", "host_head", "step", "optimizer_bytes")
"""Constants of the host and the optimizer that larger models on more nodes say nothing of."""


COVERED: Final[Mapping[str, Mapping[str, Any]]] = {
    NODE.name: {"chips": ["a100-sxm-80gb"], "precisions": ["fp16", "bf16"], "d_model": [1024, 2048]},
    CLUSTER.name: {"chips": ["a100-sxm-80gb"], "precisions": ["fp16", "bf16"], "d_model": [3072, 25600]},
    CURRENT.name: {
        "chips": ["a100-sxm-80gb", "a100-sxm-40gb", "h100-sxm", "b200", "gb200", "gb300"],
        "precisions": ["bf16", "fp16", "fp8", "fp8-tensor", "mxfp8"],
        "d_model": [2048, 18432],
        "context": 2,
        "sources": [
            "NVIDIA-NeMo/Automodel",
            "NVIDIA-NeMo/Megatron-Bridge",
            "NVIDIA/NeMo",
            "mosaicml/llm-foundry",
            "pytorch/torchtitan",
        ],
    },
    LATEST.name: {
        "chips": ["b300", "gb200", "gb300"],
        "precisions": ["fp8", "mxfp8"],
        "d_model": [2048, 7168],
        "context": 2,
    },
}
