"""Two command lines of each command, which end its help; the tests run them."""

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, str]]] = {
    "summary": ("tscale summary gpt3", "tscale summary llama-3.1-8b --gpu h100"),
    "params": ("tscale params gpt3", "tscale params gpt3 --set layers=48 --explain"),
    "attention": ("tscale attention gpt3 --context 2k,48k,128k", "tscale attention gpt3 --versus --context 8k"),
    "flops": ("tscale flops gpt3 --tokens 300e9", "tscale flops llama-3.1-8b --tokens 15T --context 8k"),
    "compare": ("tscale compare transformer gpt3", "tscale compare gpt2 gpt3 llama-3.1-8b --context 2k"),
    "memory": (
        "tscale memory llama-3.1-8b --gpu h100 --context 8k --batch 16",
        "tscale memory llama-3.1-8b --train --gpu h100 --gpus 8 --zero 3",
    ),
    "train": (
        "tscale train gpt3 --gpu h100 --gpus 1024",
        "tscale train gpt3 --gpu h100 --days 30 --mfu 40%",
    ),
    "serve": (
        "tscale serve llama-3.1-8b --gpu h100 --batch 16",
        "tscale serve llama-3.1-70b --gpu h100 --gpus 4 --context 8k",
    ),
    "plan": (
        "tscale plan llama-3.1-8b --train --gpu h100 --gpus 64 --batch 512",
        "tscale plan llama-3.1-70b --serve --gpu h200 --rate 4 --ttft 2s --tpot 30ms",
    ),
    "optimal": ("tscale optimal --flops 5.76e23", "tscale optimal --gpu h100 --dollars 1e6"),
    "loss": ("tscale loss llama-3.1-8b", "tscale loss gpt2 --tokens 1e10 --law hoffmann2022-3"),
    "hyper": ("tscale hyper llama-3.1-8b", "tscale hyper gpt2 --tokens 1e10 --law li2025"),
    "design": ("tscale design --params 7e9", "tscale design --flops 1e22 --like llama -o mine.yaml"),
    "fit": ("tscale fit runs.csv", "tscale fit runs.csv -o law.yaml --plot fit.svg"),
    "calibrate": ("tscale calibrate serving.csv", "tscale calibrate serving.csv -o mine.csv"),
    "accuracy": ("tscale accuracy steps.csv", "tscale accuracy steps.csv -o predicted.csv --plot errors.svg"),
    "check": ("tscale check article", "tscale check claims.yaml --format json"),
    "verify": ("tscale verify gpt2 model.safetensors", "tscale verify mine.yaml checkpoint/"),
    "list": ("tscale list", "tscale list hardware --format csv"),
    "sweep": (
        "tscale sweep params gpt3 --vary set.layers=16..96+8",
        "tscale sweep train gpt3 --gpu h100 --vary gpus=8..1024*2",
    ),
    "show": ("tscale show gpt3", "tscale show h100 --format json"),
    "detect": ("tscale detect", "tscale memory llama-3.1-8b --gpu here"),
    "validate": ("tscale validate mine.yaml", "tscale validate mine.yaml other.yaml"),
    "new": ("tscale new my-model", "tscale new my-claims --claims"),
    "import": ("tscale import config.json", "tscale import checkpoint/ -o mine.yaml"),
    "schema": ("tscale schema", "tscale schema result memory"),
}


def examples(command: str) -> str:
    """The last lines of a command's help, which keep their breaks."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in EXAMPLES[command])))
