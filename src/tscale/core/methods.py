"""The methods of training after pre-training, by name, and what may leave a device between their phases."""

from typing import Final, Literal

Method = Literal["sft", "dpo", "grpo", "ppo"]
Sleeper = Literal["rollout", "weights", "optimizer", "reference", "reward", "value"]

METHODS: Final[tuple[Method, ...]] = ("sft", "dpo", "grpo", "ppo")
ONLINE: Final = frozenset({"grpo", "ppo"})
"""Methods that generate what they train on."""
SLEEPERS: Final[tuple[Sleeper, ...]] = ("rollout", "weights", "optimizer", "reference", "reward", "value")
"""What may leave a device: the engine of rollouts with its cache, the policy's weights and optimizer states, and other models."""
