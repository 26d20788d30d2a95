"""What the columns of a table of measured memory mean: a model, how it is trained, and what its trainer prints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Final, NamedTuple

from tscale.calibration.names import model_of
from tscale.core.costs.states import Offload, find_offload, find_targets, training_states
from tscale.core.costs.training_setup import Training
from tscale.core.dtypes import DTYPES, Dtype, bytes_of, find_format
from tscale.core.ledger import Block, Matmul, NormKernel, Scores
from tscale.core.loss_kernels import find_kernel
from tscale.core.parallelism import Parallelism
from tscale.core.precision import OPTIMIZERS, PRECISIONS, Optimizer, Precision
from tscale.core.recompute import find_again
from tscale.core.workload import SequenceLengths
from tscale.errors import RequestError, nearest, shown
from tscale.models.lower import lower
from tscale.models.spec import ModelSpec
from tscale.models.weights_spec import Release, WeightRule

_RANKS: Final = {"lora": 8, "qlora": 64}
"""Ranks where none is said: peft's, and that of Dettmers 2023."""
_TARGETS: Final = {"lora": "q,v", "qlora": "all"}
"""Matrices that have adapters where nothing else is said: those of Hu 2021 (section 4.2, and peft's for Llama), all of Dettmers 2023."""
_FEW_BITS: Final = ("nf4", "nf4-single")
_KERNELS: Final[dict[str, NormKernel]] = {"": "fused", "fused": "fused", "eager": "eager", "composite": "composite"}


class Habits(NamedTuple):
    """What a source says of all of its runs, where a row does not.

    `prints_active`: whether its peaks are of live memory. `compiled_loss`: whether its loss in chunks is compiled with the model.
    `plain_bf16`: whether its bf16 has no master copy. `one_pass`: whether a step is one micro-batch. `untied`: whether its heads are
    matrices of their own where a model's is tied. `inputs_kept`: whether its products in few bits keep their inputs.
    `drops`: whether its adapters have dropout. `heads_packed`: whether heads are in few bits as well. `own_norms`: whether norms that
    nothing compiles are steps of its own. `repeats_keys`: whether it copies grouped keys and values for every head. `joined`: whether
    queries, keys and values are parts of one array. `loss_kept`: whether its loss in 16 bits is of logits in fp32, in pieces.
    `whole_gradients`: whether devices add up gradients of all that ZeRO divides before they scatter them. `graph_kept`: whether the
    inputs of products in few bits are there until the next micro-batch has its loss. `capped_scores`: bytes that it keeps of each score of a
    model that bends them before the softmax, which no fused kernel that it calls can.
    """

    prints_active: bool = False
    compiled_loss: bool = False
    plain_bf16: bool = False
    one_pass: bool = False
    optimizer: str = "adamw"
    untied: bool = False
    inputs_kept: bool = False
    drops: bool = False
    heads_packed: bool = False
    own_norms: bool = False
    repeats_keys: bool = False
    joined: bool = False
    loss_kept: bool = False
    whole_gradients: bool = False
    graph_kept: bool = False
    capped_scores: int = 0


_CAPPED: Final = ("gemma-2-2b", "gemma-2-9b", "gemma-2-27b")
"""Models whose scores are bent to 50 at the most (attn_logit_softcapping of their config.json), of those that litgpt runs."""
_LITGPT: Final = Habits(
    untied=True, inputs_kept=True, drops=True, heads_packed=True, own_norms=True, repeats_keys=True, joined=True,
    loss_kept=True, whole_gradients=True, graph_kept=True, capped_scores=8,
)  # fmt: skip
_HABITS: Final = {
    "torchtune": Habits(
        prints_active=True, compiled_loss=True, plain_bf16=True, one_pass=True, own_norms=True, repeats_keys=True
    ),
    "torchtitan": Habits(repeats_keys=True),
    "unsloth": Habits(optimizer="adam-8bit", repeats_keys=True),
    "litgpt tutorials/resource-tables": _LITGPT._replace(graph_kept=False),
    "litgpt": _LITGPT,
}
"""torchtune's README (0.3 to 0.6) has its runs compiled, without gradient accumulation, and `log_peak_memory_stats` prints what is active; unsloth's of January 2025
trains with adamw_8bit. litgpt's GPT (litgpt/model.py) has an lm_head of its own; its recipes have lora_dropout of 0.05 or
0.1 (finetune/lora.py, config_hub/finetune), and it needed bitsandbytes 0.41 or 0.42 (pyproject.toml), whose MatMul4Bit keeps its input
(`ctx.tensors = (A, B)`, until bitsandbytes#1270), beyond its backward pass: as long as something refers to the loss, which in litgpt's loop is
until the next one is there. In 2023 the longest sequence came first (litgpt#184 to #950), with nothing before it. lightning's
BitsandbytesPrecision converts all of its linear layers, the head too, and its `convert_output` brings logits to fp32. RMSNorm of torchtune (modules/rms_norm.py) and of
litgpt (litgpt/rmsnorm.py, once model.py) is in steps that torch.compile alone fuses. All three expand keys and values to every head (`k.expand` of torchtune's
modules/attention.py and litgpt's model.py, `repeat_kv` of torchtitan's models of 2024 and 2025). litgpt's FSDP accumulates under
`no_sync`, where each device has whole gradients, those of what is frozen among them, since a block is one flat parameter. With softcapping it takes attention in steps (`scaled_dot_product_attention`
of litgpt/model.py), which keep of a score its tanh, its softmax in fp32 and that in 16 bits."""


def _habits(source: str) -> Habits:
    return next((habits for name, habits in _HABITS.items() if name in source.lower()), Habits())


class Row:
    """A row of texts; what is absent is empty."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def __getitem__(self, column: str) -> str:
        return (self._texts.get(column) or "").strip()

    def number(self, column: str) -> Fraction:
        """A number above 0. Raises `RequestError` for any other text."""
        text = self[column].replace(",", "")
        if not re.fullmatch(r"\d{1,15}(\.\d{1,15})?", text) or not Fraction(text):
            raise RequestError(f"{column} is a number above 0, not {shown(self[column])}")
        return Fraction(text)

    def value(self) -> float:
        """What was measured, in the unit of the row."""
        return float(self.number("value"))

    def size(self, column: str) -> int | None:
        """A whole number above 0; None where nothing is said."""
        if not self[column]:
            return None
        number = self.number(column)
        if number.denominator != 1:
            raise RequestError(f"{column} is a whole number, not {shown(self[column])}")
        return int(number)

    def flag(self, column: str) -> bool:
        """Whether a column says yes."""
        text = self[column].lower()
        if text not in ("", "0", "no", "false", "1", "yes", "true"):
            raise RequestError(f"{column} is yes, no or empty, not {shown(text)}")
        return text in ("1", "yes", "true")


class Asked(NamedTuple):
    """What a row asks about. `prints_active`: whether its trainer prints what is live, and not what is reserved. `beside`: further bytes.

    `graph_kept`: whether the inputs of products in few bits are there until the next micro-batch has its loss.
    """

    spec: ModelSpec
    training: Training
    prints_active: bool
    beside: int
    graph_kept: bool


def training_of(row: Row) -> Asked:
    """How the run of a row trained its model. Raises `TscaleError` for a row that says what is not counted."""
    habits = _habits(row["source"])
    spec = model_of(row["model"])
    if habits.untied:
        spec = replace(spec, tied=False)
    method, rank, targets = _method(row["method"])
    if not method and row["precision"] in _FEW_BITS:
        raise RequestError("a model in nf4 is trained by adapters: method says which, such as qlora r16")
    precision = _recipe(row, adapters=bool(method), plain=habits.plain_bf16)
    plan = _plan(row, precision)
    plan.check()
    again, micro_batch = find_again(row["recompute"] or "none"), row.size("micro_batch") or 1
    training = Training(
        precision,
        _optimizer(row["optimizer"] or habits.optimizer),
        plan,
        SequenceLengths(target=0),
        micro_batch,
        recompute=again.policy,
        rank=rank,
        base=_base(row, method),
        loss=_loss(row, habits),
        kernels=_kernels(row["kernels"], own=habits.own_norms),
        again=again if again.of_some else None,
        optimizer_in_backward=row.flag("optimizer_in_backward"),
        offload=_offload(row["offload"]),
        lora_targets=find_targets(targets) if targets else None,
        batch=micro_batch * plan.data if habits.one_pass else None,
        inputs_kept=habits.inputs_kept and method == "qlora",
        adapter_dropout=habits.drops and bool(method),
        repeats_keys=habits.repeats_keys
        and row["loss"] != "plain-kept",  # transformers with FlashAttention 2 has no copies
    )
    beside = _beside(spec, training, habits, row.size("context") or 0)
    graph_kept = habits.graph_kept and method == "qlora"
    return Asked(spec, training, habits.prints_active, beside, graph_kept)


def _beside(spec: ModelSpec, training: Training, habits: Habits, context: int) -> int:
    """Bytes that a source keeps of a micro-batch, and of the model, beside what is counted of others."""
    tokens, beside = context * training.micro_batch, 0
    if habits.heads_packed and training.base is not None:
        beside += _packed_head(spec, training.base, tokens)
    if habits.joined and training.recompute == "none":
        beside += tokens * _joined_bytes(spec, training)
    if spec.name in _CAPPED and training.recompute == "none":
        of_layers = sum(int(one.used) * int(one.heads) for one in lower(spec).entries if isinstance(one, Scores))
        beside += habits.capped_scores * of_layers * tokens * context
    if habits.whole_gradients and training.plan.shards_weights:
        beside += _whole_gradients(spec, training)
    return beside


def _joined_bytes(spec: ModelSpec, training: Training) -> int:
    """Bytes a token of what litgpt keeps of queries, keys and values that are one array, beside the usual.

    With a key for each head, values are a view of it, so that all of it stays (`CausalSelfAttention.forward`); others are copied. Where
    some of them alone have adapters, what these give is kept as it is put in its place (`index_copy` of `zero_pad`, litgpt/lora.py).
    """
    widths = dict[Block, dict[str, int]]()
    for entry in lower(spec).entries:
        if isinstance(entry, Matmul) and entry.role in ("q", "k", "v"):
            widths.setdefault(entry.block, {})[entry.role] = int(entry.used * entry.d_out)
    kept = 0
    for own in widths.values():
        if own["q"] == own.get("k"):
            kept += own["q"] + own["k"]
        adapted = [
            width for role, width in own.items() if training.lora_targets is None or role in training.lora_targets
        ]
        if training.rank is not None and len(adapted) < len(own):
            kept += sum(adapted)
    return 2 * kept


def _whole_gradients(spec: ModelSpec, training: Training) -> int:
    """Bytes of gradients that each device adds up whole, beside its shard of those that are trained."""
    plan = training.plan
    states = training_states(lower(spec), training.precision, training.optimizer, plan._replace(zero=0))
    whole = int(states.gradients.total)
    return whole - whole // plan.sharing if training.rank is None else whole


def _base(row: Row, method: str) -> Dtype | None:
    """The format of a frozen model in few bits."""
    return DTYPES[row["precision"] if row["precision"] in _FEW_BITS else "nf4"] if method == "qlora" else None


def _packed_head(spec: ModelSpec, base: Dtype, tokens: int) -> int:
    """Bytes that a head in few bits takes beyond one in 16, where the logits of so many tokens come to 10 bytes each at the loss.

    Its product is no part of that moment: before and after, 6 bytes a logit are there (those of the output, of this micro-batch or of
    the one before, and new ones in 16 bits or their gradients), and the head unpacked to the fp16 that lightning made it from, and to bf16.
    """
    numbers, logits = int(spec.vocabulary) * int(spec.d_model), tokens * int(spec.vocabulary)
    return bytes_of(numbers, base.bits) - 2 * numbers + max(0, (2 + 2) * numbers - (10 - 6) * logits)


def _method(text: str) -> tuple[str, int | None, str]:
    """`lora`, `qlora` or nothing, the rank of adapters, and the matrices that have one: `lora r16 on q,k,v`."""
    match = re.fullmatch(r"(?:(q?lora)(?: ?r(?:=|ank )?(\d+))?(?: on (\S+))?|full.*|)", text.lower())
    if match is None:
        raise RequestError(f"method is lora, qlora r32, lora r16 on q,k,v, full or empty, not {shown(text)}")
    if match[1] is None:
        return "", None, ""
    return match[1], int(match[2] or _RANKS[match[1]]), match[3] or _TARGETS[match[1]]


def _recipe(row: Row, *, adapters: bool, plain: bool) -> Precision:
    """The precision recipe. torchtune's bf16 has no master copy; nf4 is what adapters stand on, themselves in mixed precision."""
    name, narrow = row["precision"].lower() or "bf16", row["products"].lower()
    if name in _FEW_BITS:
        name = "bf16"
    if name == "bf16" and plain:
        name = "pure-bf16"
    if narrow == "fp8" and name.startswith("bf16") and not adapters:
        name = "fp8"
    if name not in PRECISIONS:
        raise RequestError(f"precision {shown(name)} is not a recipe: {nearest(name, PRECISIONS)}")
    return PRECISIONS[name]


def _plan(row: Row, precision: Precision) -> Parallelism:
    """The degrees. Where nothing is said of data, it is what is left of the devices; sequence parallelism goes with torchtitan's."""
    tensor, pipeline, context = (row.size(column) or 1 for column in ("tensor", "pipeline", "context_parallel"))
    gpus, data, one = row.size("gpus"), row.size("data"), tensor * pipeline * context
    if gpus is not None and (gpus % one or (data is not None and data * one != gpus)):
        raise RequestError(f"{gpus} GPUs are not made up of the degrees that the row says")
    zero = row["zero"] or "0"
    if zero not in ("0", "1", "2", "3"):
        raise RequestError(f"zero is a stage from 0 to 3, not {shown(zero)}")
    sequence = tensor > 1 and (precision.gathered or row["loss"] == "parallel" or "sequence" in row["note"].lower())
    return Parallelism(
        tensor=tensor,
        sequence=sequence,
        pipeline=pipeline,
        interleave=row.size("interleave") or 1,
        data=data or (1 if gpus is None else gpus // one),
        zero=int(zero),
        context=context,
    )


def _optimizer(text: str) -> Optimizer:
    """The optimizer, by its own name or by bitsandbytes': AdamW8bit, PagedAdamW8bit, paged_adamw_8bit."""
    name = text.lower().replace("_", "-").replace(" ", "-")
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    if "adam" in name and "8" in name:
        return OPTIMIZERS["paged-adam-8bit" if "paged" in name else "adam-8bit"]
    if "adam" in name:
        return OPTIMIZERS["paged-adamw" if "paged" in name else "adamw-fp32" if "32" in name else "adamw"]
    raise RequestError(f"optimizer {shown(text)} is not counted: {nearest(name, OPTIMIZERS)}")


def _loss(row: Row, habits: Habits) -> str | None:
    """The kernel of the loss; torchtune compiles that of each chunk together with the model."""
    name = find_kernel(row["loss"]).name if row["loss"] else None
    if name == "bf16" and habits.loss_kept:
        return "chunked-kept"
    return (
        "chunked-compiled"
        if name == "chunked" and habits.compiled_loss and _kernels(row["kernels"], own=False) == "fused"
        else name
    )


def _kernels(text: str, *, own: bool) -> NormKernel:
    """How norms are computed; one of a source's own is not torch's composition."""
    if text not in _KERNELS:
        raise RequestError(f"kernels are fused, eager or composite, not {shown(text)}")
    return "eager" if own and _KERNELS[text] == "composite" else _KERNELS[text]


def _offload(text: str) -> frozenset[Offload]:
    """What the host keeps, its names apart by commas, blanks or any other mark."""
    return find_offload(",".join(re.findall(r"[a-z]+", text.lower()))) if text else frozenset()


def served_model(row: Row) -> tuple[ModelSpec, Dtype | None]:
    """The model of a row that is served, and the format that its weights are asked in; None for those of its release.

    A note that some modules or layers are in bf16 is read as a release that says so.
    """
    spec, name = model_of(row["model"]), row["precision"].lower()
    if not name:
        return spec, None
    if spec.weights is not None and name in {spec.weights.format, *(rule.format for rule in spec.weights.rules)}:
        return spec, None
    rules = tuple(_apart(row["note"]))
    if rules and name in DTYPES:
        return replace(spec, weights=Release(format=name, rules=rules)), None
    return spec, find_format(name, what="precision")


def _apart(note: str) -> list[WeightRule]:
    """What a note says is kept in bf16: `attention and layers 0 and 125 in bf16`."""
    match = re.search(r"(.*) in bf16\b", note)
    if match is None:
        return []
    layers = re.search(r"layers? ([\d, and]+)", match[1])
    rules = [WeightRule(format="bf16", parts=(part,)) for part in ("attention",) if part in match[1]]
    if layers is not None:
        own = tuple(int(number) for number in re.findall(r"\d+", layers[1]))
        rules.append(WeightRule(format="bf16", parts=("attention", "feed_forward"), layers=own))
    return rules
