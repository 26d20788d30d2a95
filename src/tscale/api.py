"""The public functions: a question each, by the names and the keywords of the command line.

A model is a name, a path, a mapping such as a YAML file or a config.json holds, or a `ModelSpec`. Numbers are numbers or texts as
people write them: 8, 300e9, "1.5T", "128k", "40%". Everything refused is a `TscaleError` of one line. Made of the requests
by `python -m tests.api_text`: what is changed there is changed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from tscale import counting
from tscale.analysis.answering import answer, answered, is_counted
from tscale.analysis.respelled import Respelled
from tscale.analysis.result import Result
from tscale.sweeping.sums import sums_of

if TYPE_CHECKING:
    from tscale.catalogue.hardware import Hardware
    from tscale.core.ledger import Ledger
    from tscale.models.spec import ModelSpec

    Number = int | float | Fraction | str
    """A number, or a text of one as people write it."""
    File = str | PathLike[str]
    Model = str | PathLike[str] | ModelSpec | Mapping[str, Any]
    """A name, a path, a mapping such as a file holds, or a spec."""
    Gpu = str | PathLike[str] | Hardware | Mapping[str, Any]
    """A name, a path, a mapping such as a file holds, or hardware."""
    Changes = Mapping[str, object] | Sequence[str]
    """Fields to set, as {"layers": 24} or ["layers=24"]."""


def summary(
    model: Model | None = None,
    *,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    gpu: Gpu | None = None,
    gpu_set: Changes = (),
    system: File | None = None,
) -> Result:
    """Show what a model is and costs on one screen.

    Args:
        model: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        gpu: Show fit, speed, hours and dollars on it.
        gpu_set: Change a field of the hardware; repeatable.
        system: Read what is not given from a file that save wrote.

    Returns:
        The answer of `tscale summary`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> summary("llama-3.1-8b").weight_bytes.bf16
        16060522496
    """
    return answer("summary", locals())


def params(
    *models: Model | Ledger,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    system: File | None = None,
) -> Result:
    """Count the parameters of each model, part by part.

    They are compared with what was published.

    Of one `Ledger`, or of a spec on traced ints or on arrays, it is a `Quantity` with its lines, in the same kind
    of number.

    Args:
        models: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        system: Read what is not given from a file that save wrote.

    Returns:
        The answer of `tscale params`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> params("gpt3").total
        174604259328
    """
    given = locals()
    if len(models) == 1:
        alone = isinstance(set, tuple) and not set
        alone = alone and assume is None and strict is None and families is None and system is None
        sums = sums_of(models[0]) if alone else None
        if sums is not None:
            return Result(partial(answered, "params", given), sums)
        if is_counted(models[0]):
            return counting.params(models[0])  # type: ignore[return-value, arg-type]
    return answer("params", given)


def attention(
    model: Model | None = None,
    *,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    context: Number | Sequence[Number] | None = None,
    dtype: str | None = None,
    causal: bool | None = None,
    versus: bool | None = None,
    kernel: Number | None = None,
    neighbourhood: Number | None = None,
    system: File | None = None,
) -> Result:
    """Show what attention costs at each context length.

    The second table has the context lengths at which attention overtakes the rest of the model.

    Args:
        model: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        context: Set the context lengths, such as 512,2k,8k; k is 1,024.
        dtype: Set the number format of cache, scores and weights (default: bf16).
        causal: Count the keys that a query may see, or all of them as frameworks do.
        versus: Compare with recurrent, convolutional and restricted layers.
        kernel: Set the kernel size of the convolution, with versus; the default is 3.
        neighbourhood: Set the keys that restricted attention sees, with versus; the default is 256.
        system: Read what is not given from a file that save wrote.

    Returns:
        The answer of `tscale attention`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> attention("gpt3", context=["2k", "8k"]).exit_code
        0
    """
    return answer("attention", locals())


def flops(
    model: Model | None = None,
    *,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    images: Number | None = None,
    image_size: Number | None = None,
    video_frames: Number | None = None,
    audio_seconds: Number | None = None,
    method: str | None = None,
    reference: Model | None = None,
    reward: Model | None = None,
    value: Model | None = None,
    group: Number | None = None,
    prompts: Number | None = None,
    prompt_tokens: Number | None = None,
    response_tokens: Number | None = None,
    rollout: str | None = None,
    rollout_gpus: Number | None = None,
    rollout_tensor: Number | None = None,
    rollout_batch: Number | None = None,
    rollout_dtype: str | None = None,
    sleep: Number | None = None,
    epochs: Number | None = None,
    skip_old_log_probs: bool | None = None,
    tokens: Number | None = None,
    context: Number | None = None,
    source: Number | None = None,
    target: Number | None = None,
    system: File | None = None,
) -> Result:
    """Count training FLOPs, exactly and by each convention.

    The conventions are those of published papers, as they print them.

    Args:
        model: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin. The default is gpt3.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        images: Set the images in a sequence.
        image_size: Set the size of images and of frames in pixels, such as 768x1024.
        video_frames: Set the frames of a video in a sequence.
        audio_seconds: Set the seconds of audio in a sequence.
        method: Train after pre-training: supervised (sft), on pairs (dpo), or on rollouts with a group per prompt
            (grpo) or a value model (ppo).
        reference: Name the reference model, same, none, or precomputed (DPO); by default the policy before training.
        reward: Name the reward model, same (the policy's size) or rule; by default rule for GRPO, same for PPO.
        value: Name the value model of PPO, or same (the policy's size, default).
        group: Set the responses per prompt; by default 8 with GRPO.
        prompts: Set the prompts of a step; by default those of 512 rollouts.
        prompt_tokens: Set the tokens of a prompt (default: 512).
        response_tokens: Set the mean tokens of a response (default: 1024, or all that context leaves); context is
            prompt and longest response.
        rollout: Generate on the devices that train, or on others (default: colocated).
        rollout_gpus: Set the devices that only generate, with rollout apart.
        rollout_tensor: Set the devices that share each layer in rollouts (tensor parallelism); by default as in
            training.
        rollout_batch: Set the sequences that each rollout engine decodes concurrently; by default all of its own.
        rollout_dtype: Set the format of the weights in rollouts, such as fp8; by default 16 bits.
        sleep: Choose what leaves the device in phases that do not use it: rollout (the engine), weights, optimizer,
            reference, reward, value, all, none (default: rollout).
        epochs: Set the epochs of training on the sequences of a step (default: 1).
        skip_old_log_probs: Compute no log-probabilities of the policy before it is trained: all rollouts of a step are
            one batch, and its ratio is 1.
        tokens: Set the training tokens, such as 300e9 or 1.5T; k is 1,000.
        context: Set the tokens of a sequence, such as 2048 or 2k; k is 1,024.
        source: Set the encoder tokens of a sequence; k is 1,024.
        target: Set the decoder tokens of a sequence; k is 1,024.
        system: Read what is not given from a file that save wrote.

    Returns:
        The answer of `tscale flops`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> flops("gpt3", tokens=300e9).training_flops.exact
        322912029081600000000000
    """
    return answer("flops", locals())


def compare(
    *models: Model,
    context: Number | None = None,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    x: Number | None = None,
    y: Number | None = None,
) -> Result:
    """Compare 2 to 8 models, with ratios to the first.

    set changes all of them.

    Args:
        models: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        context: Set the tokens of a sequence, such as 2048 or 2k; k is 1,024.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        x: Choose the quantity on the x axis of plot (default: year).
        y: Choose the quantity on the y axis of plot (default: params).

    Returns:
        The answer of `tscale compare`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> compare("transformer", "gpt3").exit_code
        0
    """
    return answer("compare", locals())


def memory(
    model: Model | None = None,
    *,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    images: Number | None = None,
    image_size: Number | None = None,
    video_frames: Number | None = None,
    audio_seconds: Number | None = None,
    gpus: Number | None = None,
    precision: str | None = None,
    optimizer: str | None = None,
    micro_batch: Number | None = None,
    recompute: str | None = None,
    attention: str | None = None,
    kernels: str | None = None,
    loss: str | None = None,
    dropout: bool | None = None,
    optimizer_in_backward: bool | None = None,
    offload: str | None = None,
    data: Number | None = None,
    zero: Number | None = None,
    shards: Number | None = None,
    tensor: Number | None = None,
    sequence: bool | None = None,
    pipeline: Number | None = None,
    stages: Number | Sequence[Number] | None = None,
    interleave: Number | None = None,
    schedule: str | None = None,
    context_parallel: Number | None = None,
    expert: Number | None = None,
    expert_tensor: Number | None = None,
    lora_rank: Number | None = None,
    lora_targets: Number | Sequence[Number] | None = None,
    method: str | None = None,
    reference: Model | None = None,
    reward: Model | None = None,
    value: Model | None = None,
    group: Number | None = None,
    prompts: Number | None = None,
    prompt_tokens: Number | None = None,
    response_tokens: Number | None = None,
    rollout: str | None = None,
    rollout_gpus: Number | None = None,
    rollout_tensor: Number | None = None,
    rollout_batch: Number | None = None,
    rollout_dtype: str | None = None,
    sleep: Number | None = None,
    epochs: Number | None = None,
    skip_old_log_probs: bool | None = None,
    gpu: Gpu | None = None,
    gpu_set: Changes = (),
    serve: bool | None = None,
    train: bool | None = None,
    context: Number | None = None,
    batch: Number | None = None,
    memory_share: Number | None = None,
    dtype: str | None = None,
    cache_dtype: str | None = None,
    page: Number | None = None,
    chunk: Number | None = None,
    state_dtype: str | None = None,
    cache_form: str | None = None,
    window_cache: str | None = None,
    split_cache: str | None = None,
    prefix: Number | None = None,
    draft: Model | None = None,
    draft_tokens: Number | None = None,
    padding: str | None = None,
    attention_data: Number | None = None,
    replicas: Number | None = None,
    qlora: bool | None = None,
    system: File | None = None,
) -> Result:
    """Show the memory of serving or training on each device.

    With gpu, it says whether the model fits, and the largest batch and context that would.

    Args:
        model: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        images: Set the images in a sequence.
        image_size: Set the size of images and of frames in pixels, such as 768x1024.
        video_frames: Set the frames of a video in a sequence.
        audio_seconds: Set the seconds of audio in a sequence.
        gpus: Set the number of devices, such as 8 or 1024.
        precision: Set the formats of weights, gradients, master weights and optimizer states (default: bf16).
        optimizer: Set the optimizer (default: adamw).
        micro_batch: Set the sequences of a micro-batch (default: 1).
        recompute: Choose what the backward pass recomputes: none, selective (attention scores), op (all but attention
            and every second product), full (whole layers); full:8 is the first 8 layers of each stage, full:0-3,9 these
            layers (default: none).
        attention: Choose a fused kernel, or unfused attention that saves every score (default: flash).
        kernels: Choose how norms and gates are computed (default: fused).
        loss: Choose how the loss is computed: plain-kept (or eager) as transformers does, plain as torchtitan does, in-
            place as Megatron-LM does, fused-linear (or fused) as Liger does; by default as the common trainer of the
            plan does.
        dropout: Count dropout masks.
        optimizer_in_backward: Step each parameter as soon as it has its gradient.
        offload: Keep weights, states, activations, or several of these in the host's memory.
        data: Set the copies of the model (data parallelism); by default as many as gpus allows.
        zero: Set the ZeRO stage: what data-parallel devices shard; 3 is FSDP (default: 0).
        shards: Set the devices that ZeRO shards over, if not all (hybrid sharding).
        tensor: Set the devices that share each layer (tensor parallelism; default: 1).
        sequence: Use sequence parallelism between the matrices of a layer (with tensor).
        pipeline: Set the stages that share the layers (pipeline parallelism; default: 1).
        stages: Set the layers of each pipeline stage, or of each piece with interleave, such as 31,32,32,31; by default
            they are as even as possible.
        interleave: Set the model chunks of each stage (interleaved 1F1B; default: 1).
        schedule: Set the order in which stages run micro-batches; by default 1f1b, or interleaved with interleave.
        context_parallel: Set the devices that share a sequence (context parallelism; default: 1).
        expert: Set the devices of tensor, context_parallel and data that routed experts are divided over (expert
            parallelism; default: 1).
        expert_tensor: Set the devices that share each routed expert (expert tensor parallelism); by default 1 in
            training, and in serving all that hold it.
        lora_rank: Train adapters of this rank on a frozen model.
        lora_targets: Choose the matrices that have adapters: q,v or attention,mlp or all.
        method: Train after pre-training: supervised (sft), on pairs (dpo), or on rollouts with a group per prompt
            (grpo) or a value model (ppo).
        reference: Name the reference model, same, none, or precomputed (DPO); by default the policy before training.
        reward: Name the reward model, same (the policy's size) or rule; by default rule for GRPO, same for PPO.
        value: Name the value model of PPO, or same (the policy's size, default).
        group: Set the responses per prompt; by default 8 with GRPO.
        prompts: Set the prompts of a step; by default those of 512 rollouts.
        prompt_tokens: Set the tokens of a prompt (default: 512).
        response_tokens: Set the mean tokens of a response (default: 1024, or all that context leaves); context is
            prompt and longest response.
        rollout: Generate on the devices that train, or on others (default: colocated).
        rollout_gpus: Set the devices that only generate, with rollout apart.
        rollout_tensor: Set the devices that share each layer in rollouts (tensor parallelism); by default as in
            training.
        rollout_batch: Set the sequences that each rollout engine decodes concurrently; by default all of its own.
        rollout_dtype: Set the format of the weights in rollouts, such as fp8; by default 16 bits.
        sleep: Choose what leaves the device in phases that do not use it: rollout (the engine), weights, optimizer,
            reference, reward, value, all, none (default: rollout).
        epochs: Set the epochs of training on the sequences of a step (default: 1).
        skip_old_log_probs: Compute no log-probabilities of the policy before it is trained: all rollouts of a step are
            one batch, and its ratio is 1.
        gpu: Name the hardware that it must fit on: h100, a YAML file, or here (the GPU of this machine); see `tscale
            list hardware`.
        gpu_set: Change a field of the hardware; repeatable.
        serve: Show the memory of serving (default).
        train: Show the memory of training.
        context: Set the tokens of a sequence, such as 2048 or 2k; k is 1,024.
        batch: Set the batch size, in sequences; with train, those of a step over all devices.
        memory_share: Set the usable share of the memory, such as 90%, instead of a reserve.
        dtype: Set the format of the weights: fp8, q4_k, int4-g64; by default that of the release, or bf16.
        cache_dtype: Set the format of the KV cache, such as fp8; by default that of the release, or 16 bits.
        page: Page the cache in blocks of N tokens, such as 16.
        chunk: Set the prompt tokens of a step (chunked prefill); by default as vLLM's server does on the hardware.
        state_dtype: Set the format of recurrent states; by default the file's, or 16 bits.
        cache_form: Choose what latent attention caches: its latents, or keys and values of all heads (default: latent).
        window_cache: Choose whether layers with a window cache no more than it, or every position (default: cut).
        split_cache: Choose how devices divide the KV cache while decoding (default: heads).
        prefix: Set the tokens that all sequences begin with, kept once (default: 0).
        draft: Name a draft model (speculative decoding), or a head of the model: mtp, eagle or eagle-3.
        draft_tokens: Set the draft tokens per round; 4 with draft.
        padding: Name the kernel that pads experts in mxfp4 (default: none).
        attention_data: Set the groups that have attention and cache of their own sequences (data-parallel attention;
            default: 1).
        replicas: Set the copies of the whole deployment (default: 1).
        qlora: Train adapters on a model frozen in nf4; rank 64 unless lora_rank is given.
        system: Read what is not given from a file that save wrote.

    Returns:
        The answer of `tscale memory`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> memory("llama-3.1-8b", gpu="h100", batch=16, context="8k").verdict
        'fits'
    """
    return answer("memory", locals())


def train(
    model: Model | None = None,
    *,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    gpu: Gpu | None = None,
    gpu_set: Changes = (),
    gpus: Number | None = None,
    precision: str | None = None,
    optimizer: str | None = None,
    micro_batch: Number | None = None,
    recompute: str | None = None,
    attention: str | None = None,
    kernels: str | None = None,
    loss: str | None = None,
    dropout: bool | None = None,
    optimizer_in_backward: bool | None = None,
    offload: str | None = None,
    data: Number | None = None,
    zero: Number | None = None,
    shards: Number | None = None,
    tensor: Number | None = None,
    sequence: bool | None = None,
    pipeline: Number | None = None,
    stages: Number | Sequence[Number] | None = None,
    interleave: Number | None = None,
    schedule: str | None = None,
    context_parallel: Number | None = None,
    expert: Number | None = None,
    expert_tensor: Number | None = None,
    lora_rank: Number | None = None,
    lora_targets: Number | Sequence[Number] | None = None,
    images: Number | None = None,
    image_size: Number | None = None,
    video_frames: Number | None = None,
    audio_seconds: Number | None = None,
    method: str | None = None,
    reference: Model | None = None,
    reward: Model | None = None,
    value: Model | None = None,
    group: Number | None = None,
    prompts: Number | None = None,
    prompt_tokens: Number | None = None,
    response_tokens: Number | None = None,
    rollout: str | None = None,
    rollout_gpus: Number | None = None,
    rollout_tensor: Number | None = None,
    rollout_batch: Number | None = None,
    rollout_dtype: str | None = None,
    sleep: Number | None = None,
    epochs: Number | None = None,
    skip_old_log_probs: bool | None = None,
    tokens: Number | None = None,
    context: Number | None = None,
    batch: Number | None = None,
    days: Number | None = None,
    mfu: Number | None = None,
    count: str | None = None,
    tokens_per_second: Number | None = None,
    dtype: str | None = None,
    qlora: bool | None = None,
    stack: str | None = None,
    attention_kernel: str | None = None,
    bound: bool | None = None,
    price: Number | None = None,
    goodput: Number | None = None,
    watts: Number | None = None,
    pue: Number | None = None,
    grid: Number | None = None,
    steps: Number | None = None,
    steps_off: Number | None = None,
    system: File | None = None,
) -> Result:
    """Estimate the time, cost and energy of training.

    With days, it estimates how many GPUs finish in time.

    Args:
        model: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        gpu: Name the hardware: h100, a YAML file, or here (the GPU of this machine); `tscale list hardware` has the
            names.
        gpu_set: Change a field of the hardware; repeatable.
        gpus: Set the number of devices, such as 8 or 1024.
        precision: Set the formats of weights, gradients, master weights and optimizer states (default: bf16).
        optimizer: Set the optimizer (default: adamw).
        micro_batch: Set the sequences of a micro-batch (default: 1).
        recompute: Choose what the backward pass recomputes: none, selective (attention scores), op (all but attention
            and every second product), full (whole layers); full:8 is the first 8 layers of each stage, full:0-3,9 these
            layers (default: none).
        attention: Choose a fused kernel, or unfused attention that saves every score (default: flash).
        kernels: Choose how norms and gates are computed (default: fused).
        loss: Choose how the loss is computed: plain-kept (or eager) as transformers does, plain as torchtitan does, in-
            place as Megatron-LM does, fused-linear (or fused) as Liger does; by default as the common trainer of the
            plan does.
        dropout: Count dropout masks.
        optimizer_in_backward: Step each parameter as soon as it has its gradient.
        offload: Keep weights, states, activations, or several of these in the host's memory.
        data: Set the copies of the model (data parallelism); by default as many as gpus allows.
        zero: Set the ZeRO stage: what data-parallel devices shard; 3 is FSDP (default: 0).
        shards: Set the devices that ZeRO shards over, if not all (hybrid sharding).
        tensor: Set the devices that share each layer (tensor parallelism; default: 1).
        sequence: Use sequence parallelism between the matrices of a layer (with tensor).
        pipeline: Set the stages that share the layers (pipeline parallelism; default: 1).
        stages: Set the layers of each pipeline stage, or of each piece with interleave, such as 31,32,32,31; by default
            they are as even as possible.
        interleave: Set the model chunks of each stage (interleaved 1F1B; default: 1).
        schedule: Set the order in which stages run micro-batches; by default 1f1b, or interleaved with interleave.
        context_parallel: Set the devices that share a sequence (context parallelism; default: 1).
        expert: Set the devices of tensor, context_parallel and data that routed experts are divided over (expert
            parallelism; default: 1).
        expert_tensor: Set the devices that share each routed expert (expert tensor parallelism); by default 1 in
            training, and in serving all that hold it.
        lora_rank: Train adapters of this rank on a frozen model.
        lora_targets: Choose the matrices that have adapters: q,v or attention,mlp or all.
        images: Set the images in a sequence.
        image_size: Set the size of images and of frames in pixels, such as 768x1024.
        video_frames: Set the frames of a video in a sequence.
        audio_seconds: Set the seconds of audio in a sequence.
        method: Train after pre-training: supervised (sft), on pairs (dpo), or on rollouts with a group per prompt
            (grpo) or a value model (ppo).
        reference: Name the reference model, same, none, or precomputed (DPO); by default the policy before training.
        reward: Name the reward model, same (the policy's size) or rule; by default rule for GRPO, same for PPO.
        value: Name the value model of PPO, or same (the policy's size, default).
        group: Set the responses per prompt; by default 8 with GRPO.
        prompts: Set the prompts of a step; by default those of 512 rollouts.
        prompt_tokens: Set the tokens of a prompt (default: 512).
        response_tokens: Set the mean tokens of a response (default: 1024, or all that context leaves); context is
            prompt and longest response.
        rollout: Generate on the devices that train, or on others (default: colocated).
        rollout_gpus: Set the devices that only generate, with rollout apart.
        rollout_tensor: Set the devices that share each layer in rollouts (tensor parallelism); by default as in
            training.
        rollout_batch: Set the sequences that each rollout engine decodes concurrently; by default all of its own.
        rollout_dtype: Set the format of the weights in rollouts, such as fp8; by default 16 bits.
        sleep: Choose what leaves the device in phases that do not use it: rollout (the engine), weights, optimizer,
            reference, reward, value, all, none (default: rollout).
        epochs: Set the epochs of training on the sequences of a step (default: 1).
        skip_old_log_probs: Compute no log-probabilities of the policy before it is trained: all rollouts of a step are
            one batch, and its ratio is 1.
        tokens: Set the training tokens, such as 300e9 or 1.5T; k is 1,000.
        context: Set the tokens of a sequence, such as 2048 or 2k; k is 1,024.
        batch: Set the sequences per step (global batch size), to time a parallel plan.
        days: Set how long training may take, or took.
        mfu: Set the model FLOPs utilisation: 0.4 or 40%.
        count: Choose how the FLOPs of MFU are counted: full or causal attention, or 6 FLOPs per parameter and token
            (default: full).
        tokens_per_second: Give the measured throughput of all devices.
        dtype: Set the format of the matrix products; by default that of precision.
        qlora: Train adapters on a model frozen in nf4; rank 64 unless lora_rank is given.
        stack: Choose the training stack that a plan's step is predicted on (default: current).
        attention_kernel: Name the attention kernel of the prediction; by default that which is usual on the chip.
        bound: Give bounds alone, that no run passes, without a prediction.
        price: Set the price of a GPU-hour in US dollars, such as 2.50.
        goodput: Set the share of the time that goes to steps that count, the rest to failures, restarts and
            checkpoints; by default as published runs lost for each device, or as an assumed MFU has it.
        watts: Set the power draw of a device; by default its TDP.
        pue: Set the power usage effectiveness: energy of the data centre over that of its devices (default: 1).
        grid: Set the grams of CO2e per kWh, or a country: 400, france.
        steps: Set the steps of a run with method, for its GPU-hours and dollars.
        steps_off: Let generation run so many steps ahead of training, with rollout apart: 1 overlaps them (default: 0).
        system: Read what is not given from a file that save wrote.

    Returns:
        The answer of `tscale train`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> train("gpt3", gpu="h100", gpus=1024, mfu=0.4).days
        9.2
    """
    return answer("train", locals())


def serve(
    model: Model | None = None,
    *,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    gpu: Gpu | None = None,
    gpu_set: Changes = (),
    images: Number | None = None,
    image_size: Number | None = None,
    video_frames: Number | None = None,
    audio_seconds: Number | None = None,
    gpus: Number | None = None,
    batch: Number | None = None,
    context: Number | None = None,
    output: Number | None = None,
    dtype: str | None = None,
    cache_dtype: str | None = None,
    efficiency: Number | None = None,
    price: Number | None = None,
    prefix: Number | None = None,
    host_bandwidth: Number | None = None,
    draft: Model | None = None,
    draft_tokens: Number | None = None,
    acceptance: Number | None = None,
    split_cache: str | None = None,
    input: Number | None = None,
    concurrency: Number | None = None,
    rate: Number | None = None,
    engine: str | None = None,
    engine_version: str | None = None,
    chunk: Number | None = None,
    measured: Number | None = None,
    calibration: File | None = None,
    bound: bool | None = None,
    tensor: Number | None = None,
    pipeline: Number | None = None,
    stages: Number | Sequence[Number] | None = None,
    expert: Number | None = None,
    expert_tensor: Number | None = None,
    attention_data: Number | None = None,
    replicas: Number | None = None,
    prefill: Number | None = None,
    decode: Number | None = None,
    system: File | None = None,
) -> Result:
    """Predict the speed of serving a model, and its cost.

    Next to each prediction is the lower bound by the roofline of the hardware, and what sets it.

    Args:
        model: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        gpu: Name the hardware: h100, a YAML file, or here (the GPU of this machine); `tscale list hardware` has the
            names.
        gpu_set: Change a field of the hardware; repeatable.
        images: Set the images in a sequence.
        image_size: Set the size of images and of frames in pixels, such as 768x1024.
        video_frames: Set the frames of a video in a sequence.
        audio_seconds: Set the seconds of audio in a sequence.
        gpus: Set the devices that share each layer (tensor parallelism; default: 1).
        batch: Set the batch size: sequences decoded concurrently (default: 1).
        context: Set the tokens of each prompt; 2k is 2048 (default: 2k).
        output: Set the tokens of each answer (default: 256).
        dtype: Set the format of the weights: fp8, q4_k; by default as the file says, or bf16.
        cache_dtype: Set the format of the KV cache: fp8, q8_0; by default as the file says, or bf16.
        efficiency: Set the share of peak and bandwidth that is reached (default: 1).
        price: Set the price of a GPU-hour in US dollars, such as 2.50.
        prefix: Set the tokens of each prompt that are already in the KV cache: 1k, 50% (default: 0).
        host_bandwidth: Read the cached prefix from host memory at so many GB/s per device, such as 55 (KV cache
            offloading).
        draft: Name a draft model (speculative decoding), or a head of the model: mtp, eagle or eagle-3.
        draft_tokens: Set the draft tokens per round, 4 by default; without draft they cost nothing, as n-grams nearly
            do.
        acceptance: Set the probability that a draft token is accepted.
        split_cache: Choose how devices divide the KV cache while decoding (default: heads).
        input: Another name of context: the tokens of each prompt.
        concurrency: Another name of batch: requests that are served concurrently.
        rate: Set the requests per second that arrive, in place of concurrency.
        engine: Choose the engine that is predicted (default: vllm).
        engine_version: Set the engine's version, as measured tables write it.
        chunk: Set the most tokens that a step takes (chunked prefill); by default as the engine's server does.
        measured: Give one measured run of this deployment: concurrency, seconds per output token and to the first
            token, such as 32,0.018,0.4.
        calibration: Read the calibration of your own runs, which calibrate wrote.
        bound: Give bounds alone.
        tensor: Set the devices that share each layer (tensor parallelism; default: 1).
        pipeline: Set the stages that share the layers (pipeline parallelism; default: 1).
        stages: Set the layers of each pipeline stage, or of each piece with interleave, such as 31,32,32,31; by default
            they are as even as possible.
        expert: Set the devices of tensor, context_parallel and data that routed experts are divided over (expert
            parallelism; default: 1).
        expert_tensor: Set the devices that share each routed expert (expert tensor parallelism); by default 1 in
            training, and in serving all that hold it.
        attention_data: Set the groups that have attention and cache of their own sequences (data-parallel attention;
            default: 1).
        replicas: Set the copies of the whole deployment (default: 1).
        prefill: Set the parallelism of a separate prefill pool, such as tensor=4,replicas=2.
        decode: Set the parallelism of the decode pool, with prefill.
        system: Read what is not given from a file that save wrote.

    Returns:
        The answer of `tscale serve`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> serve("llama-3.1-8b", gpu="h100", batch=16).exit_code
        0
    """
    return answer("serve", locals())


def plan(
    model: Model | None = None,
    *,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    images: Number | None = None,
    image_size: Number | None = None,
    video_frames: Number | None = None,
    audio_seconds: Number | None = None,
    method: str | None = None,
    reference: Model | None = None,
    reward: Model | None = None,
    value: Model | None = None,
    group: Number | None = None,
    prompts: Number | None = None,
    prompt_tokens: Number | None = None,
    response_tokens: Number | None = None,
    rollout: str | None = None,
    rollout_gpus: Number | None = None,
    rollout_tensor: Number | None = None,
    rollout_batch: Number | None = None,
    rollout_dtype: str | None = None,
    sleep: Number | None = None,
    epochs: Number | None = None,
    skip_old_log_probs: bool | None = None,
    tokens: Number | None = None,
    context: Number | None = None,
    days: Number | None = None,
    dollars: Number | None = None,
    lora_rank: Number | None = None,
    lora_targets: Number | Sequence[Number] | None = None,
    qlora: bool | None = None,
    stack: str | None = None,
    attention: str | None = None,
    attention_kernel: str | None = None,
    sequence: bool | str | Sequence[bool] | None = None,
    context_parallel: Number | Sequence[Number] | None = None,
    interleave: Number | Sequence[Number] | None = None,
    stages: Number | Sequence[Number] | None = None,
    schedule: str | Sequence[str] | None = None,
    data: Number | Sequence[Number] | None = None,
    zero: Number | Sequence[Number] | None = None,
    shards: Number | Sequence[Number] | None = None,
    micro_batch: Number | Sequence[Number] | None = None,
    recompute: str | Sequence[str] | None = None,
    loss: str | Sequence[str] | None = None,
    precision: str | Sequence[str] | None = None,
    optimizer: str | Sequence[str] | None = None,
    offload: str | Sequence[str] | None = None,
    input: Number | None = None,
    output: Number | None = None,
    prefix: Number | None = None,
    host_bandwidth: Number | None = None,
    rate: Number | None = None,
    users: Number | None = None,
    ttft: Number | None = None,
    ttft_percentile: str | None = None,
    tpot: Number | None = None,
    attention_data: Number | Sequence[Number] | None = None,
    replicas: Number | Sequence[Number] | None = None,
    pools: str | None = None,
    dtype: str | Sequence[str] | None = None,
    cache_dtype: str | Sequence[str] | None = None,
    draft_tokens: Number | Sequence[Number] | None = None,
    acceptance: Number | None = None,
    engine: str | Sequence[str] | None = None,
    engine_version: str | None = None,
    chunk: Number | Sequence[Number] | None = None,
    calibration: File | None = None,
    train: bool | None = None,
    serve: bool | None = None,
    gpu: Gpu | Sequence[Gpu] | None = None,
    compare: File | None = None,
    gpu_set: Changes = (),
    gpus: Number | Sequence[Number] | None = None,
    batch: Number | Sequence[Number] | None = None,
    rank: str | None = None,
    top: Number | None = None,
    price: Number | None = None,
    memory_share: Number | None = None,
    tensor: Number | Sequence[Number] | None = None,
    pipeline: Number | Sequence[Number] | None = None,
    expert: Number | Sequence[Number] | None = None,
    expert_tensor: Number | Sequence[Number] | None = None,
    system: File | None = None,
) -> Result:
    """Find the best layout for training, or for serving.

    An axis takes one value, a list such as 1,2,4, or a range such as 1..8 or 64..4096*2.

    Args:
        model: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        images: Set the images in a sequence.
        image_size: Set the size of images and of frames in pixels, such as 768x1024.
        video_frames: Set the frames of a video in a sequence.
        audio_seconds: Set the seconds of audio in a sequence.
        method: Train after pre-training: supervised (sft), on pairs (dpo), or on rollouts with a group per prompt
            (grpo) or a value model (ppo).
        reference: Name the reference model, same, none, or precomputed (DPO); by default the policy before training.
        reward: Name the reward model, same (the policy's size) or rule; by default rule for GRPO, same for PPO.
        value: Name the value model of PPO, or same (the policy's size, default).
        group: Set the responses per prompt; by default 8 with GRPO.
        prompts: Set the prompts of a step; by default those of 512 rollouts.
        prompt_tokens: Set the tokens of a prompt (default: 512).
        response_tokens: Set the mean tokens of a response (default: 1024, or all that context leaves); context is
            prompt and longest response.
        rollout: Generate on the devices that train, or on others (default: colocated).
        rollout_gpus: Set the devices that only generate, with rollout apart.
        rollout_tensor: Set the devices that share each layer in rollouts (tensor parallelism); by default as in
            training.
        rollout_batch: Set the sequences that each rollout engine decodes concurrently; by default all of its own.
        rollout_dtype: Set the format of the weights in rollouts, such as fp8; by default 16 bits.
        sleep: Choose what leaves the device in phases that do not use it: rollout (the engine), weights, optimizer,
            reference, reward, value, all, none (default: rollout).
        epochs: Set the epochs of training on the sequences of a step (default: 1).
        skip_old_log_probs: Compute no log-probabilities of the policy before it is trained: all rollouts of a step are
            one batch, and its ratio is 1.
        tokens: Set the training tokens, such as 300e9 or 1.5T; k is 1,000.
        context: Set the tokens of a sequence, such as 2048 or 2k; k is 1,024.
        days: Find the fewest devices that train in so many days.
        dollars: Find the most tokens for so many US dollars of GPU-hours.
        lora_rank: Train adapters of this rank on a frozen model.
        lora_targets: Choose the matrices that have adapters: q,v or attention,mlp or all.
        qlora: Train adapters on a model frozen in nf4; rank 64 unless lora_rank is given.
        stack: Choose the training stack that steps are predicted on (default: current).
        attention: Choose a fused kernel, or unfused attention that saves every score (default: flash).
        attention_kernel: Name the attention kernel of the prediction; by default that which is usual on the chip.
        sequence: Vary sequence parallelism: true, false or both; by default both.
        context_parallel: Vary the devices that share a sequence (context parallelism).
        interleave: Vary the model chunks of each stage.
        stages: Set the layers of each pipeline stage, or of each piece with interleave, such as 31,32,32,31; by default
            as even as possible, and some that relieve the first and last stage.
        schedule: Vary the order of a pipeline: 1f1b, interleaved, zero-bubble, dualpipe.
        data: Vary the copies of the model (data parallelism).
        zero: Vary the ZeRO stage, 0 to 3; 3 is FSDP.
        shards: Vary the devices that ZeRO shards over (hybrid sharding).
        micro_batch: Vary the sequences of a micro-batch.
        recompute: Vary what the backward pass recomputes: none, selective, op, full; full:8 is the first 8 layers of
            each stage, full:K as few as fit.
        loss: Vary how the loss is computed; see `tscale train -h`.
        precision: Vary the formats: bf16, fp8, and others of `train`.
        optimizer: Vary the optimizer: adamw, muon, and others of `train`.
        offload: Vary what the host keeps: none, weights, states, activations, or several joined by +.
        input: Set the tokens of each prompt; 2k is 2048 (default: 2k).
        output: Set the tokens of each answer (default: 256).
        prefix: Set the tokens of each prompt that are already in the KV cache: 1k, 50% (default: 0).
        host_bandwidth: Read the cached prefix from host memory at so many GB/s per device, such as 55 (KV cache
            offloading).
        rate: Set the requests per second that arrive at random.
        users: Set the users who each send a request when the last was answered.
        ttft: Set the longest mean time to first token, such as 2s; ttft_percentile is about others.
        ttft_percentile: Hold ttft for this percentile of the requests that arrive at random, rather than on average.
        tpot: Set the longest time per output token, such as 30ms.
        attention_data: Vary the groups that have attention of their own sequences (data-parallel attention).
        replicas: Vary the copies of the whole deployment.
        pools: Choose whether prefill and decode share devices, have pools of their own, or either (default: any).
        dtype: Vary the format of the weights: bf16,fp8; by default as the file says, or bf16.
        cache_dtype: Vary the format of the KV cache: bf16,fp8; by default as the file says, or bf16.
        draft_tokens: Vary the draft tokens per round, which cost nothing: 1..5.
        acceptance: Set the probability that a draft token is accepted.
        engine: Vary the engine: vllm, sglang, trtllm (default: vllm).
        engine_version: Set the engine's version, as measured tables write it.
        chunk: Vary the most tokens that a step takes (chunked prefill): 1024..8192; by default as the engine's server
            does.
        calibration: Read the calibration of your own runs, which calibrate wrote.
        train: Search the layouts of training.
        serve: Search the deployments of serving.
        gpu: Name the hardware, or several: h100,h200,b200.
        compare: Compare the system in this file, which save wrote, with that in the file MODEL.
        gpu_set: Change a field of the hardware; repeatable.
        gpus: Set the number of devices, or several: 64..4096*2.
        batch: Set the sequences of a step; with serve, limit those that a copy decodes concurrently.
        rank: Rank by time, dollars or throughput.
        top: Set how many of the best are listed, at most 100 (default: 10).
        price: Set the price of a GPU-hour in US dollars, such as 2.50.
        memory_share: Set the usable share of the memory, such as 90%, instead of a reserve.
        tensor: Vary the devices that share each layer (tensor parallelism).
        pipeline: Vary the stages that share the layers (pipeline parallelism).
        expert: Vary the devices that routed experts are divided over (expert parallelism).
        expert_tensor: Vary the devices that share each routed expert (expert tensor parallelism).
        system: Read what is not given from a file that save wrote.

    Returns:
        The answer of `tscale plan`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> plan("llama-3.1-8b", train=True, gpu="h100", gpus=64, batch=512).exit_code
        0
    """
    return answer("plan", locals())


def optimal(
    *,
    flops: Number | None = None,
    params: Number | None = None,
    tokens: Number | None = None,
    gpu: Gpu | None = None,
    gpus: Number | None = None,
    days: Number | None = None,
    dollars: Number | None = None,
    price: Number | None = None,
    mfu: Number | None = None,
    unique_tokens: Number | None = None,
    inference_tokens: Number | None = None,
    law: Sequence[str] = (),
    experts: Number | None = None,
    active_share: Number | None = None,
    memory_gb: Number | None = None,
    gpu_set: Changes = (),
) -> Result:
    """Show the compute-optimal parameters and tokens.

    Each scaling law has its own optimum for a budget of FLOPs, GPUs and days, or dollars.

    Args:
        flops: Set the training FLOPs, such as 5.76e23.
        params: Set the parameters, such as 7B.
        tokens: Set the training tokens, such as 300e9 or 1.5T; k is 1,000.
        gpu: Name the hardware of a budget in GPUs and days, or in dollars.
        gpus: Set the number of devices, such as 8 or 1024.
        days: Set how long the GPUs train.
        dollars: Set the US dollars for GPU-hours: 1e6.
        price: Set the price of a GPU-hour in US dollars, such as 2.50.
        mfu: Set the model FLOPs utilisation: 0.4 or 40%.
        unique_tokens: Set the number of unique tokens, such as 100e9: further training tokens repeat them.
        inference_tokens: Set the tokens to be served, such as 1e12, to include the FLOPs of serving.
        law: Choose a scaling law by name or file. Repeat it for several; by default all are used.
        experts: Train a mixture of this many routed experts per layer; any: the number with the least loss.
        active_share: Set the share of the experts that each token uses, such as 1/8; by default the share with the
            least loss.
        memory_gb: Limit the weights and a cache of 16k tokens, in bf16, to this many GB (with experts).
        gpu_set: Change a field of the hardware; repeatable.

    Returns:
        The answer of `tscale optimal`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> len(optimal(flops=5.76e23).rows) > 5
        True
    """
    return answer("optimal", locals())


def loss(
    model: Model | None = None,
    *,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    tokens: Number | None = None,
    unique_tokens: Number | None = None,
    inference_tokens: Number | None = None,
    bits: Number | Sequence[Number] | None = None,
    law: Sequence[str] = (),
    system: File | None = None,
) -> Result:
    """Predict the loss of a model by each scaling law.

    The answer says how far its training is from compute-optimal, and which other runs reach the same loss.

    Args:
        model: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        tokens: Set the training tokens, such as 300e9 or 1.5T; k is 1,000.
        unique_tokens: Set the number of unique tokens, such as 100e9: further training tokens repeat them.
        inference_tokens: Set the tokens to be served, such as 1e12, to include the FLOPs of serving.
        bits: Train in so many bits: 8, or 4,8,16 of weights, activations and KV cache, by a law of precision.
        law: Choose a scaling law by name or file. Repeat it for several; by default all are used.
        system: Read what is not given from a file that save wrote.

    Returns:
        The answer of `tscale loss`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> loss("llama-3.1-8b").exit_code
        0
    """
    return answer("loss", locals())


def hyper(
    model: Model | None = None,
    *,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    tokens: Number | None = None,
    context: Number | None = None,
    law: Sequence[str] = (),
) -> Result:
    """Suggest the learning rate and batch size of a training run.

    Each scaling law of hyper-parameters has its own, for the sizes that it was fitted on; others are marked as extrapolated.

    Args:
        model: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        tokens: Set the training tokens, such as 300e9 or 1.5T; k is 1,000.
        context: Set the tokens of a sequence, such as 2048 or 2k; k is 1,024.
        law: Choose a law by name or file. Repeat it for several; by default all are used.

    Returns:
        The answer of `tscale hyper`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> len(hyper("gpt2", tokens=1e10).rows) > 5
        True
    """
    return answer("hyper", locals())


def design(
    *,
    output: File | None = None,
    force: bool | None = None,
    params: Number | None = None,
    flops: Number | None = None,
    like: str | None = None,
    law: File | None = None,
    multiple: Number | None = None,
    tensor: Number | None = None,
    set: Changes = (),
) -> Result:
    """Design a model of a given size or training budget.

    Its proportions are those of a published model.

    Args:
        output: Write the spec to this file; - prints only the spec.
        force: Overwrite the file if it exists.
        params: Set the number of parameters, such as 7e9.
        flops: Set the training FLOPs, such as 1e22; law gives parameters and tokens.
        like: Take the proportions of this model, or of the member of this family that is nearest in size (default:
            llama).
        law: Choose the scaling law for flops; the default is hoffmann2022-3, or for mixtures of experts
            ludziejewski2025.
        multiple: Make d_model and d_ff multiples of this number (default: 128).
        tensor: Set the devices that share each layer (tensor parallelism; default: 1).
        set: Change a field of the pattern, which the design then follows.

    Returns:
        The answer of `tscale design`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> design(params=7e9).exit_code
        0
    """
    return answer("design", locals())


def fit(
    runs: File | None = None,
    *,
    output: File | None = None,
    force: bool | None = None,
    bootstraps: Number | None = None,
    seed: Number | None = None,
    form: Sequence[str] = (),
    holdout: bool | None = None,
    counts: str | None = None,
) -> Result:
    """Fit a scaling law to your own training runs.

    The answer has bootstrap intervals, and the compute-optimal runs that the law implies.

    Args:
        runs: Give a CSV with the columns params, tokens and loss, or flops for one of the first two; - is standard
            input.
        output: Write the law to this YAML file, which law reads.
        force: Overwrite the file if it exists.
        bootstraps: Set the number of bootstrap samples for the intervals (default: 1000).
        seed: Set the seed of the random samples (default: 0).
        form: Choose the form of the law; by default chinchilla. Repeat it to compare forms by held-out error. moe-joint
            reads a column of experts.
        holdout: Predict each model size from the runs of the other sizes, and report the error.
        counts: Say which parameters the column params counts (default: all).

    Returns:
        The answer of `tscale fit`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        `fit(["no file"])`
    """
    return answer("fit", locals())


def accuracy(
    runs: File | None = None,
    *,
    output: File | None = None,
    force: bool | None = None,
) -> Result:
    """Measure how far predictions are from measured runs.

    The answer has the error by group, the coverage of the intervals, and bounds that were broken.

    Args:
        runs: Give a CSV of measured training steps, serving or memory; - is standard input.
        output: Write the rows with their predictions to this CSV file.
        force: Overwrite the file if it exists.

    Returns:
        The answer of `tscale accuracy`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        `accuracy("runs.csv")`
    """
    return answer("accuracy", locals())


def calibrate(
    runs: File | None = None,
    *,
    output: File | None = None,
    force: bool | None = None,
) -> Result:
    """Calibrate predictions of serving to your own runs.

    The answer has the error of each run before, and after with the run itself left out.

    Args:
        runs: Give a CSV of your measured runs, with the columns that accuracy reads of serving; - is standard input.
        output: Write the calibration to this file, which serve calibration reads.
        force: Overwrite the file if it exists.

    Returns:
        The answer of `tscale calibrate`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        `calibrate("serving.csv")`
    """
    return answer("calibrate", locals())


def check(
    claims: File | None = None,
) -> Result:
    """Check claims about models against the right values.

    The exit code is 3 if a claim does not hold or repeats a misprint, and 1 if one names a model or a quantity that is not known.

    Args:
        claims: Give a YAML file of claims (`tscale schema claims` describes it), or the name of a built-in one.

    Returns:
        The answer of `tscale check`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> check("article").exit_code
        3
    """
    return answer("check", locals())


def verify(
    model: Model | None = None,
    path: File | None = None,
    *,
    set: Changes = (),
    assume: str | None = None,
    strict: bool | None = None,
    families: File | Mapping[str, Any] | None = None,
    system: File | None = None,
) -> Result:
    """Compare a checkpoint's tensors with those of a spec.

    Only headers are read. The exit code is 3 if the tensors differ.

    Args:
        model: Give a built-in name, a YAML file, a config.json, params.json or GGUF file, a folder, org/name on the
            hub, or - for stdin.
        path: Give a safetensors or GGUF file, an index of shards, or a folder of them; the default is MODEL itself.
        set: Change a field of the spec. Repeat it to change several.
        assume: Count a config.json of an unknown family as one of this family; see `tscale list families`.
        strict: Refuse a config.json that has keys its family does not read, rather than name them.
        families: Read further families of config.json from a YAML file, as `tscale schema families` describes it.
        system: Read what is not given from a file that save wrote.

    Returns:
        The answer of `tscale verify`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        `verify("gpt2", "model.safetensors")`
    """
    return answer("verify", locals())


def list(
    what: str = "models",
    *,
    newer_than: Number | None = None,
    older_than: Number | None = None,
    family: str | None = None,
    larger_than: Number | None = None,
    smaller_than: Number | None = None,
) -> Result:
    """List models, hardware, families, formats, laws or claims.

    Filters narrow a list: by year, by how names begin, and models by their parameters.

    Args:
        what: Choose what to list.
        newer_than: List what is of a later year, such as 2024.
        older_than: List what is of an earlier year, such as 2020.
        family: List names that begin with this: qwen, llama-3, rtx.
        larger_than: List models of more parameters, such as 100B.
        smaller_than: List models of fewer parameters, such as 1B.

    Returns:
        The answer of `tscale list`: `to_dict` is its JSON, with units and sources under `figures`.

    Raises:
        TscaleError: for what the command refuses, in its words.

    Example:
        >>> list("claims").claims[0].name
        'article'
    """
    return answer("list", locals())


def hardware(gpu: Gpu, *, gpu_set: Changes = ()) -> Hardware:
    """The accelerator of a name or a file: peaks in FLOP/s, bandwidths in bytes/s, memory in bytes, each with its source.

    Args:
        gpu: a name such as "h100", a YAML file, or a mapping such as one holds.
        gpu_set: fields to change, as {"memory_gb": 96}.

    Raises:
        TscaleError: for what is no hardware, with the nearest name.

    Example:
        >>> hardware("h100").memory_gb
        80
    """
    from tscale.analysis.found import hardware_of
    from tscale.analysis.options import GPU_SET

    with Respelled():
        return hardware_of(fspath(gpu) if isinstance(gpu, PathLike) else gpu, GPU_SET.of(gpu_set, "--gpu-set"))
