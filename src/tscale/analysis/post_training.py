"""Training after pre-training: the options that `memory --train`, `train`, `plan --train` and `flops` share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, cast

from tscale.analysis import readers
from tscale.analysis.completion import model_names
from tscale.analysis.found import spec_of
from tscale.analysis.request import Option, Request, asked, spelled
from tscale.blocks.spec_dataclass import spec_dataclass
from tscale.core.methods import METHODS, ONLINE, SLEEPERS, Method, Sleeper
from tscale.errors import RequestError, nearest, shown
from tscale.models.resolve import disclosed

if TYPE_CHECKING:
    from tscale.core.dtypes import Dtype
    from tscale.estimates.memory_train.ask import Ask as Training
    from tscale.estimates.post_training.models import Ask as Answered
    from tscale.models.spec import ModelSpec

HEADING: Final = "After pre-training"
ROLLOUTS: Final = 512
"""Rollouts of a step where nothing is said: NeMo-RL's default of 32 prompts of 16 responses."""
GROUP: Final = 8
"""Responses to a prompt where nothing is said: TRL's default."""
PROMPT: Final = 512
RESPONSE: Final = 1024
_WORDS: Final = {"reference": ("same", "none", "precomputed"), "reward": ("rule", "same"), "value": ("same",)}
"""What stands in the place of a model's name."""


def asleep(text: str, what: str) -> frozenset[Sleeper]:
    """What leaves a device in phases that do not use it: names separated by commas, all, or none."""
    if text.strip() in ("all", "none"):
        return frozenset(SLEEPERS if text.strip() == "all" else ())
    found = [part.strip() for part in text.split(",")]
    for part in found:
        if part in ("all", "none"):
            raise RequestError(f"{what} {part} stands alone: drop the others, or name what sleeps")
        if part not in SLEEPERS:
            raise RequestError(
                f"{what} takes all, none, or several of {', '.join(SLEEPERS)}, not {shown(part)}: {nearest(part, SLEEPERS)}"
            )
    return frozenset(cast("list[Sleeper]", found))


def _named(help_text: str) -> Option:
    return Option(help_text, "MODEL", kind="named", heading=HEADING, complete=model_names)


METHOD: Final = Option(
    "Train after pre-training: supervised (sft), on pairs (dpo), or on rollouts with a group per prompt (grpo) or a value model (ppo).",
    choices=METHODS,
    heading=HEADING,
)


@spec_dataclass
class PostTraining(Request):
    """The method, the models beside the policy, the rollouts of a step, and what leaves devices between phases."""

    method: Method | None = asked(METHOD)
    reference: str | ModelSpec | Mapping[str, Any] | None = asked(
        _named("Name the reference model, same, none, or precomputed (DPO); by default the policy before training.")
    )
    reward: str | ModelSpec | Mapping[str, Any] | None = asked(
        _named("Name the reward model, same (the policy's size) or rule; by default rule for GRPO, same for PPO.")
    )
    value: str | ModelSpec | Mapping[str, Any] | None = asked(
        _named("Name the value model of PPO, or same (the policy's size, default).")
    )
    group: int | None = asked(
        Option("Set the responses per prompt; by default 8 with GRPO.", "G", readers.degree, heading=HEADING)
    )
    prompts: int | None = asked(
        Option("Set the prompts of a step; by default those of 512 rollouts.", "P", readers.degree, heading=HEADING)
    )
    prompt_tokens: int = asked(Option("Set the tokens of a prompt.", "N", readers.context, heading=HEADING), PROMPT)
    response_tokens: int | None = asked(
        Option(
            "Set the mean tokens of a response (default: 1024, or all that --context leaves); --context is prompt and longest response.",
            "N",
            readers.context,
            heading=HEADING,
        )
    )
    rollout: str = asked(
        Option("Generate on the devices that train, or on others.", choices=("colocated", "apart"), heading=HEADING),
        "colocated",
    )
    rollout_gpus: int | None = asked(
        Option("Set the devices that only generate, with --rollout apart.", "N", readers.devices, heading=HEADING)
    )
    rollout_tensor: int | None = asked(
        Option(
            "Set the devices that share each layer in rollouts (tensor parallelism); by default as in training.",
            "N",
            readers.degree,
            heading=HEADING,
        )
    )
    rollout_batch: int | None = asked(
        Option(
            "Set the sequences that each rollout engine decodes concurrently; by default all of its own.",
            "N",
            readers.degree,
            heading=HEADING,
        )
    )
    rollout_dtype: Dtype | None = asked(
        Option(
            "Set the format of the weights in rollouts, such as fp8; by default 16 bits.",
            "FORMAT",
            readers.weights_format,
            heading=HEADING,
        )
    )
    sleep: frozenset[Sleeper] = asked(
        Option(
            "Choose what leaves the device in phases that do not use it: rollout (the engine), weights, optimizer, reference, reward, "
            "value, all, none.",
            "WHAT,...",
            asleep,
            heading=HEADING,
            shown="rollout",
        ),
        frozenset({"rollout"}),
    )
    epochs: int = asked(
        Option("Set the epochs of training on the sequences of a step.", "N", readers.degree, heading=HEADING), 1
    )
    skip_old_log_probs: bool = asked(
        Option(
            "Compute no log-probabilities of the policy before it is trained: all rollouts of a step are one batch, and its ratio is 1.",
            heading=HEADING,
            kind="flag",
        ),
        False,
    )

    def check_method(self, *, others: Iterable[str] = ()) -> None:
        """Raises `RequestError` for options that the method does not read; `others`: those that no method does."""
        own = _own(self)
        if self.method is None:
            if own:
                raise RequestError(f"{spelled(own[0])} is of training after pre-training: add --method, or drop it")
            return
        for name in own:
            if name not in _READ[self.method]:
                raise RequestError(
                    f"{spelled(name)} is not of --method {self.method}: drop it{_instead(self.method, name)}"
                )
        for name in others:
            if name in self.given and self.given[name] is not False:
                raise RequestError(f"{spelled(name)} is not read with --method: drop it")
        if self.rollout == "apart" and self.rollout_gpus is None:
            raise RequestError("--rollout apart needs --rollout-gpus, the devices that only generate")
        if self.rollout == "colocated" and self.rollout_gpus is not None:
            raise RequestError("--rollout-gpus are devices that only generate: add --rollout apart, or drop it")
        if self.reference == "precomputed" and self.method != "dpo":
            raise RequestError(
                f"--reference precomputed is of pairs that are given (DPO): {self.method} scores what it generates in each step"
            )

    def post_training(self, policy: ModelSpec, training: Training, context: int | None, batch: int | None) -> Answered:
        """What is asked of a step. Raises `RequestError` for lengths and batches that contradict one another."""
        from tscale.estimates.post_training.models import Ask as Answered

        assert self.method is not None
        response, longest = self._lengths(context)
        group, prompts = self._rollouts()
        self._check_skipped(group * prompts if batch is None else batch, group * prompts)
        return Answered(
            method=self.method,
            training=training,
            reference=self._model("reference", policy, "none" if self.method == "sft" else "same"),
            shares_reference=self.reference in (None, "same")
            and training.how.rank is not None
            and self.method != "sft",
            precomputed=self.reference == "precomputed",
            reward=self._model("reward", policy, "same" if self.method == "ppo" else "rule"),
            value=self._model("value", policy, "same") if self.method == "ppo" else None,
            group=group,
            prompts=prompts,
            batch=batch,
            prompt=self.prompt_tokens,
            response=response,
            longest=longest,
            apart=self.rollout_gpus,
            rollout_tensor=self.rollout_tensor,
            rollout_batch=self.rollout_batch,
            rollout_dtype=self.rollout_dtype,
            asleep=self.sleep,
            epochs=self.epochs,
            skips_old=self.skip_old_log_probs,
        )

    def _check_skipped(self, batch: int, rollouts: int) -> None:
        """Raises `RequestError` for a policy that is trained more than once on the rollouts of a step, whose ratio is then not 1."""
        if self.skip_old_log_probs and (batch < rollouts or self.epochs > 1):
            again = f", {self.epochs:,} times" if self.epochs > 1 else ""
            given = " and ".join(spelled(name) for name in ("batch", "epochs") if name in self.given)
            raise RequestError(
                f"--skip-old-log-probs is of one update a step, not of {rollouts:,} rollouts in batches of {batch:,}{again}: "
                f"drop it, or {given}"
            )

    def _lengths(self, context: int | None) -> tuple[int, int | None]:
        """The mean tokens of a response, and of the longest sequence; None of SFT, whose sequences have no responses apart."""
        if self.method == "sft":
            return 0, context
        if context is not None and context <= self.prompt_tokens:
            raise RequestError(
                f"--context {context:,} leaves nothing for a response to a prompt of {self.prompt_tokens:,} tokens: give more, or less of "
                "--prompt-tokens"
            )
        if self.response_tokens is None:
            response = RESPONSE if context is None else context - self.prompt_tokens
        else:
            response = self.response_tokens
        longest = self.prompt_tokens + response if context is None else context
        if self.prompt_tokens + response > longest:
            raise RequestError(
                f"prompts of {self.prompt_tokens:,} tokens and responses of {response:,} on average are longer than --context {longest:,}"
            )
        return response, longest

    def longest(self, context: int | None) -> int | None:
        """The tokens of the longest sequence. Raises `RequestError` for lengths that contradict one another."""
        return self._lengths(context)[1]

    def _rollouts(self) -> tuple[int, int]:
        """Responses to a prompt, and prompts of a step; of methods without rollouts one and none."""
        if self.method not in ONLINE:
            return 1, 0
        group = self.group or (GROUP if self.method == "grpo" else 1)
        return group, self.prompts or max(ROLLOUTS // group, 1)

    def _model(self, name: str, policy: ModelSpec, default: str) -> ModelSpec | None:
        """A model beside the policy: by its name, the policy's own, or none. Raises `TscaleError`."""
        given = getattr(self, name)
        given = default if given is None else given
        if not isinstance(given, str) or given not in _WORDS[name]:
            spec = disclosed(spec_of(given))
            if spec.kind != "decoder":
                raise RequestError(
                    f"{spec.label} is an {spec.kind}: a model that scores reads responses as decoders do"
                )
            return spec
        return policy if given == "same" else None


NAMES: Final = tuple(one.name for one in fields(PostTraining) if "option" in one.metadata)
_OF_ROLLOUTS: Final = frozenset(name for name in NAMES if name.startswith("rollout")) | {
    "group", "prompts", "reward", "epochs", "skip_old_log_probs",
}  # fmt: skip
_OF_PAIRS: Final = frozenset({"reference", "prompt_tokens", "response_tokens", "sleep"})
_READ: Final[dict[Method, frozenset[str]]] = {
    "sft": frozenset(),
    "dpo": _OF_PAIRS,
    "grpo": _OF_PAIRS | _OF_ROLLOUTS,
    "ppo": _OF_PAIRS | _OF_ROLLOUTS | {"value"},
}


def method_words(request: Request) -> str:
    """The options of a method as they were given, to be pasted into another command line."""
    given = ((name, request.given[name]) for name in ("method", *_own(request)) if name != "rollout_tensor")
    from shlex import join

    return join([word for name, value in given for word in (spelled(name), str(value))])


def _own(request: Request) -> list[str]:
    """Options of this kind that were given, but for the method."""
    return [name for name in NAMES if name != "method" and name in request.given]


def _instead(method: Method, name: str) -> str:
    if name == "value":
        return ", or use ppo"
    return ", or use grpo or ppo" if method in ("sft", "dpo") and name in _OF_ROLLOUTS else ""
