"""Counts every class that stands on a known body: classifiers, question answering, encoders alone, on the meta device.

`python tests/oracle/record_classes.py > tests/oracle/classes.jsonl` needs `transformers` 5.24.0 and `torch` 2.13.0; it knows nothing
of tscale. Each line holds a family's configuration, saved as the class saves it, the class that it names, three labels, and
the parameters of that class, tied ones once. Classes that `heads.jsonl` and the variations hold are left out, and classes of
several streams (distillation, dialogue) whose files are none of a single model.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).parent
LABELS = {str(number): f"LABEL_{number}" for number in range(3)}
ENDINGS = (
    "Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForQuestionAnsweringSimple",
    "ForMultipleChoice", "ForNextSentencePrediction", "ForCausalLM", "LMHeadModel", "ForMaskedLM", "ForPreTraining",
    "ForConditionalGeneration", "EncoderModel", "DoubleHeadsModel",
)  # fmt: skip
WRITTEN = ("is_encoder_decoder", "is_decoder")
"""What some classes set in their file."""


def main() -> None:
    """Prints a line a family and class."""
    transformers.logging.set_verbosity_error()
    known, seen = set(), set()
    for line in map(json.loads, (HERE / "heads.jsonl").read_text(encoding="utf-8").splitlines()):
        known.add(line["config"]["architectures"][0])
    lines = [
        json.loads(text)
        for file in sorted(HERE.glob("variations*.jsonl"))
        for text in file.read_text(encoding="utf-8").splitlines()
    ]
    for line in lines:
        if line["changed"] in ("nothing", "architectures"):
            known.update(line["config"].get("architectures") or [line.get("class")])
    for line in lines:
        family = line["config"].get("model_type")
        if line["changed"] != "nothing" or family in seen:
            continue
        seen.add(family)
        for name in classes_of(family):
            if name in known:
                continue
            labels = dict(list(LABELS.items())[:2]) if "QuestionAnswering" in name else LABELS
            config = line["config"] | {"architectures": [name], "id2label": labels}
            try:
                model = built(config)
                total = sum(parameter.numel() for parameter in model.parameters())
                said = {key: value for key in WRITTEN if (value := getattr(model.config, key, None)) is not None}
                print(json.dumps({"config": config | said, "total": total}), flush=True)
            except Exception as error:  # noqa: BLE001 (it is looked at by whoever runs this)
                print(family, name, type(error).__name__, str(error)[:160], file=sys.stderr)


def classes_of(family: str) -> list[str]:
    """The classes of a family's module that are built of its configuration."""
    config = transformers.CONFIG_MAPPING[family]
    try:
        module = importlib.import_module(config.__module__.replace("configuration_", "modeling_"))
    except ModuleNotFoundError:  # it is built by another family's classes
        return []
    return sorted(
        name
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__ and getattr(cls, "config_class", None) is config and name.endswith(ENDINGS)
        and hasattr(transformers, name) and "retrained" not in name.lower()
    )  # fmt: skip


def built(config: dict) -> torch.nn.Module:
    """The class that a configuration names."""
    cls = getattr(transformers, config["architectures"][0])
    values = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    values["id2label"] = {int(number): label for number, label in config["id2label"].items()}
    with torch.device("meta"):
        return cls(transformers.CONFIG_MAPPING[config["model_type"]](**values))


if __name__ == "__main__":
    main()
