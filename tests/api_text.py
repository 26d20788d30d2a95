"""The text of `src/tscale/api.py`, made of the requests: `python -m tests.api_text` writes it anew.

A function a question, whose keywords are the options; `tests/test_api.py` holds the file to it.
"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import fill

from tscale.analysis.options import CONTEXT
from tscale.analysis.questions import NAMES, question
from tscale.analysis.readers import again, file, offload
from tscale.analysis.request import Option, as_text
from tscale.analysis.system import READ_BY

FILE = Path(__file__).parents[1] / "src" / "tscale" / "api.py"

HEAD = '''"""The public functions: a question each, by the names and the keywords of the command line.

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
'''

TAIL = '''

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
'''

EXAMPLES = {
    "summary": ('summary("llama-3.1-8b").weight_bytes.bf16', "16060522496"),
    "params": ('params("gpt3").total', "174604259328"),
    "attention": ('attention("gpt3", context=["2k", "8k"]).exit_code', "0"),
    "flops": ('flops("gpt3", tokens=300e9).training_flops.exact', "322912029081600000000000"),
    "compare": ('compare("transformer", "gpt3").exit_code', "0"),
    "memory": ('memory("llama-3.1-8b", gpu="h100", batch=16, context="8k").verdict', "'fits'"),
    "train": ('train("gpt3", gpu="h100", gpus=1024, mfu=0.4).days', "9.2"),
    "serve": ('serve("llama-3.1-8b", gpu="h100", batch=16).exit_code', "0"),
    "plan": ('plan("llama-3.1-8b", train=True, gpu="h100", gpus=64, batch=512).exit_code', "0"),
    "optimal": ("len(optimal(flops=5.76e23).rows) > 5", "True"),
    "loss": ('loss("llama-3.1-8b").exit_code', "0"),
    "hyper": ('len(hyper("gpt2", tokens=1e10).rows) > 5', "True"),
    "design": ("design(params=7e9).exit_code", "0"),
    "fit": ('fit(["no file"])', "Traceback"),
    "calibrate": ('calibrate("serving.csv")', "Traceback"),
    "accuracy": ('accuracy("runs.csv")', "Traceback"),
    "check": ('check("article").exit_code', "3"),
    "verify": ('verify("gpt2", "model.safetensors")', "Traceback"),
    "list": ('list("claims").claims[0].name', "'article'"),
}


def hint(name: str, option: Option) -> str:
    """The type of a keyword."""
    match option.kind:
        case "flag":
            return "bool | None"
        case "list":
            return "Changes" if option.metavar == "KEY=VALUE" else "Sequence[str]"
        case "model":
            return "Model | None"
        case "named" if name == "families":
            return "File | Mapping[str, Any] | None"
        case "named":
            many = " | Sequence[Gpu]" if option.many else ""
            return f"Gpu{many} | None" if name == "gpu" else "Model | None"
        case "argument":
            return "str" if option.choices else "File | None"
    if option.many:
        kinds = {"NAMES": "str | Sequence[str] | None", "BOOL": "bool | str | Sequence[bool] | None"}
        return kinds.get(option.metavar, "Number | Sequence[Number] | None")
    if name in ("context", "stages", "lora_targets", "bits") and option.read is not CONTEXT.read:
        return "Number | Sequence[Number] | None"
    if option.read in (again, offload):
        return "str | None"
    if option.read in (as_text, file) or "FORMAT" in option.metavar:
        return "File | None" if "FILE" in option.metavar else "str | None"
    return "Number | None"


def function(name: str) -> str:
    """The text of one function."""
    ask = question(name).ask
    options = ask.options()
    several = any(option.kind == "models" for option in options.values())
    alone = [key for key, option in options.items() if option.kind in ("argument", "model")]
    signature = [f"*models: Model{' | Ledger' if name == 'params' else ''}"] if several else []
    for key in alone:
        default = f'"{ask.__dataclass_fields__[key].default}"' if options[key].choices else "None"
        signature.append(f"{key}: {hint(key, options[key])} = {default}")
    signature += [] if several else ["*"]
    named = [key for key, option in options.items() if key not in alone and option.kind != "models"]
    signature += [
        f"{key}: {hint(key, options[key])} = {'()' if options[key].kind == 'list' else 'None'}" for key in named
    ]
    system = name in READ_BY
    signature += ["system: File | None = None"] if system else []
    signature = [one for one in signature if one != "*" or signature[-1] != "*"]
    told = [
        (
            key,
            options[key].help_with(
                None if options[key].kind in ("argument", "model") else ask.__dataclass_fields__[key].default
            ),
        )
        for key in (*(["models"] if several else []), *alone, *named)
    ]
    told += [("system", "Read what is not given from a file that --save wrote.")] if system else []
    told = [(key, keywords(said)) for key, said in told]
    args = "\n".join(
        fill(f"{key}: {text}", 120, initial_indent=" " * 8, subsequent_indent=" " * 12) for key, text in told
    )
    first, _, more = (ask.__doc__ or "").strip().partition("\n\n")
    asked, value = EXAMPLES[name]
    example = (
        f"    Example:\n        >>> {asked}\n        {value}\n"
        if value != "Traceback"
        else f"    Example:\n        `{asked}`\n"
    )
    said = keywords(f"{first}\n\n    {more.strip()}" if more else first)
    body = f'    return answer("{name}", locals())\n'
    if name == "params":
        said += (
            "\n\n    Of one `Ledger`, or of a spec on traced ints or on arrays, it is a `Quantity` with its lines, in the same kind"
            "\n    of number."
        )
        body = (
            "    given = locals()\n"
            "    if len(models) == 1:\n"
            "        alone = isinstance(set, tuple) and not set\n"
            "        alone = alone and assume is None and strict is None and families is None and system is None\n"
            "        sums = sums_of(models[0]) if alone else None\n"
            "        if sums is not None:\n"
            "            return Result(partial(answered, 'params', given), sums)\n"
            "        if is_counted(models[0]):\n"
            "            return counting.params(models[0])  # type: ignore[return-value, arg-type]\n"
            '    return answer("params", given)\n'
        )
    return (
        f"def {name}(\n    {', '.join(signature)},\n) -> Result:\n"
        f'    """{said}\n\n    Args:\n{args}\n\n    Returns:\n        The answer of `tscale {name}`: `to_dict` is its JSON, with units and sources under `figures`.\n\n'
        f"    Raises:\n        TscaleError: for what the command refuses, in its words.\n\n{example}"
        f'    """\n{body}'
    )


def keywords(text: str) -> str:
    """A text that speaks of keywords in place of options."""
    return re.sub(r"--([a-z][a-z-]*[a-z])", lambda found: found[1].replace("-", "_"), text)


def text() -> str:
    """The whole file, before it is formatted."""
    return HEAD + "\n\n" + "\n\n".join(map(function, NAMES)) + TAIL


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
