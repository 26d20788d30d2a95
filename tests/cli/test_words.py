"""What people read is in the words of the field: helps, tables, notes and errors."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from tests.helpers import of_each, run
from tscale.analysis.options import LOSS, OPTIMIZER
from tscale.catalogue.models import configs
from tscale.cli import app
from tscale.cli.examples import EXAMPLES

BAD = Path(__file__).parents[1] / "bad"
COMMANDS = list(EXAMPLES)
AVOIDED = re.compile(
    r"\breckon|what it draws|at the best|\bat once\b|\btold\b|\btells\b|\bsettled\b|\bbeside\b|\bwhose\b"
    r"|\b(?:tokens a second|FLOPs a byte|nats a token)\b|sent to other devices|prefill counted in|\bno batch:"
    r"|a million tokens|tensor-parallel sums|\bhand-over|sending hidden|\bkept of a\b|\bdeal[st]?\b|\btogether\b"
    r"|in brackets|times the first|beyond training|\bnot said\b|\bno number$|\bnear it\b|pays after|past any sense"
    r"|\bhand(?:s|ed)? (?:on|over)\b"
    r"|on your word|nothing is said|reaches it at|\bto it$|\bkin\b|that is read\b|call it so|\bwhere absent\b"
)
"""What stopped readers, where the field has a word of its own."""

TABLES = (
    "params gpt3 --explain",
    "params gpt-4",
    "params deepseek-v3 palm-540b xlnet-base gpt3-13b chinchilla-70b",
    "params gpt-oss-20b whisper-tiny albert-base jamba",
    "attention gpt3 --versus",
    "attention t5-small",
    "attention mamba-2.8b",
    "attention gemma-2-9b",
    "flops gpt3 --explain",
    "flops t5-small --tokens 1e9",
    "flops mixtral-8x7b --tokens 1e12",
    "summary deepseek-v3 --gpu h100",
    "memory llama-3.1-8b --gpu h100 --details",
    "memory gpt3 --train --gpu h100 --gpus 64 --tensor 8 --pipeline 8 --details",
    "train llama-3.1-8b --gpu h100 --gpus 64 --batch 512 --tensor 8 --pipeline 2 --details",
    "memory llama-3.1-8b --train --method ppo --gpu h100 --gpus 8 --zero 3 --details",
    "memory llama-3.1-8b --train --method dpo --gpu h100 --details",
    "train llama-3.1-8b --method grpo --gpu h100 --gpus 8 --zero 3 --context 2048 --response-tokens 500 --steps 9 --details",
    "flops llama-3.1-8b --method ppo",
    "serve llama-3.1-8b --gpu h100 --batch 16 --details",
    "serve llama-3.1-8b --gpu h100 --replicas 2 --rate 500 --details",
    "plan llama-3.1-70b --serve --gpu h100,h200 --rate 4 --ttft 2s --tpot 30ms --prefix 50% --details",
    "plan llama-3.1-70b --serve --gpu h200 --gpus 8 --ttft 2s --tpot 100us",
    "compare transformer gpt3 gpt-4",
    "optimal --flops 5.76e23",
    "loss gpt3 --explain",
    "loss gpt2 --tokens 1e10 --unique-tokens 1e9 --inference-tokens 1e12",
    "loss gpt2 --tokens 1e12 --law hoffmann2022-3",
    "loss mamba-2.8b --tokens 1e11",
    "design --params 7e9",
    "design --flops 1e22 --law kaplan2020 --tensor 8",
    "design --params 5e4 --multiple 512",
    "list",
    "list hardware",
    "list formats",
    "list laws",
    "list claims",
    "schema",
    "schema families",
    "schema hardware",
    "schema laws",
    "schema claims",
)


def avoided(text: str) -> list[str]:
    """The lines with a word to avoid, each with the word; names of files are their makers'."""
    plain = re.sub(r"\S+\.(?:yaml|json|csv)\b", "FILE", text)
    return [f"{found[0]}: {line}" for line in plain.splitlines() if (found := AVOIDED.search(line))]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_a_help_is_in_the_fields_words(command: str) -> None:
    assert avoided(run(*command.split(), "-h").out) == []


@pytest.mark.parametrize("line", TABLES)
def test_a_table_is_in_the_fields_words(line: str) -> None:
    done = run(*shlex.split(line), columns=400)
    assert done.out
    assert avoided(done.out) == []


@of_each(sorted(path.name for path in BAD.glob("*.txt")))
def test_an_error_is_in_the_fields_words(name: str) -> None:
    text = (BAD / name).read_text(encoding="utf-8")
    if name.startswith("command-line-"):
        blocks = re.findall(r"^\$ tscale \S+.*\n((?:tscale: .*\n)+)", text, re.MULTILINE)
        text = "".join(blocks)
    assert avoided(text) == []


def test_a_word_to_avoid_is_found() -> None:
    assert avoided("layers beside it\nplain words\n") == ["beside: layers beside it"]


# ---------------------------------------------------------------------------------------------------------------------
# Help
# ---------------------------------------------------------------------------------------------------------------------


def test_no_summary_of_a_command_is_cut_at_80_columns() -> None:
    done = run("-h", columns=80)
    assert "..." not in done.out.partition("Commands:")[2]
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize("command", EXAMPLES)
def test_a_help_begins_with_a_sentence_and_ends_with_two_examples(command: str) -> None:
    lines = [line.strip() for line in run(command, "-h", columns=80).out.splitlines() if line.strip()]
    assert re.fullmatch(r"[A-Z].*\.", lines[1])
    assert lines[-3:] == ["Examples:", *EXAMPLES[command]]


@pytest.mark.parametrize("command", COMMANDS)
def test_arguments_and_options_are_helped_by_whole_sentences(command: str) -> None:
    for parameter in get_command(app).commands[command].params:  # type: ignore[attr-defined]
        assert re.fullmatch(r"(?:[A-Z][a-z]+ .*\.|Show this message and exit\.)", parameter.help or ""), parameter.name


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_runs(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On files as a user would have them; those of a checkpoint that is not there end in an error about it alone."""
    monkeypatch.chdir(tmp_path)
    spec = run("show", "gpt2").out
    for name in ("mine.yaml", "other.yaml"):
        if f"-o {name}" not in line:
            Path(name).write_text(spec, encoding="utf-8")
    Path("claims.yaml").write_text(run("show", "article").out, encoding="utf-8")
    config = '{"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 2, "vocab_size": 100, "n_positions": 32}'
    Path("checkpoint").mkdir()
    for folder in (Path(), Path("checkpoint")):
        (folder / "config.json").write_text(config, encoding="utf-8")
    rows = [
        f"{n}e6,{d}e8,{1.7 + 400 / (n * 1e6) ** 0.34 + 410 / (d * 1e8) ** 0.28}"
        for n in (50, 100, 200, 400, 800)
        for d in (5, 10, 20, 40)
    ]
    Path("runs.csv").write_text("\n".join(["params,tokens,loss", *rows]) + "\n", encoding="utf-8")
    steps = (configs() / "measured" / "vtrain.csv").read_text(encoding="utf-8").splitlines()
    Path("steps.csv").write_text("\n".join(steps[:9]) + "\n", encoding="utf-8")
    serving = (configs() / "measured" / "serving.csv").read_text(encoding="utf-8").splitlines()
    Path("serving.csv").write_text("\n".join(serving[:9]) + "\n", encoding="utf-8")
    Path("nvidia-smi").write_text("#!/bin/sh\necho NVIDIA H100 80GB HBM3, 81559\n", encoding="utf-8")
    Path("nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run(*shlex.split(line)[1:])
    if line.startswith("tscale verify"):
        assert "cannot be read: No such file" in done.err or "the folder holds no safetensors file" in done.err
    else:
        assert done.code in (0, 3), done.err
        assert done.err == ""


@pytest.mark.parametrize(
    "line, meant",
    [
        ("show h10", 'no model, hardware, law or claims "h10": did you mean h100?'),
        ("show artcle", 'no model, hardware, law or claims "artcle": did you mean article?'),
        ("show kaplan", 'no model, hardware, law or claims "kaplan": did you mean kaplan2020?'),
        (
            "show xyzzy",
            'no model, hardware, law or claims "xyzzy": `tscale list` names the models, `tscale list hardware`, laws and '
            "claims the rest",
        ),
        ("loss gpt3 --law chinchilla", 'no law "chinchilla": did you mean hoffmann2022-3?'),
        ("loss gpt3 --law Kaplan", 'no law "Kaplan": did you mean kaplan2020?'),
        (
            "list hardwares",
            "Invalid value for '[models|hardware|families|formats|laws|claims]': 'hardwares' is not one of 'models', 'hardware', 'families', "
            "'formats', 'laws', 'claims': did you mean hardware? See `tscale list -h`",
        ),
        ("hardware h100", "No such command 'hardware': did you mean list hardware? See `tscale -h`"),
        ("gpus", "No such command 'gpus': did you mean list hardware? See `tscale -h`"),
        ("nothing", "No such command 'nothing': see `tscale -h`"),
        (
            "memory gpt2 --train --optimizer adam",
            "Invalid value for '--optimizer': 'adam' is not one of 'adamw', 'adamw-fp32', 'paged-adamw', 'adam-8bit', "
            "'paged-adam-8bit', 'adafactor', 'sgd', 'lion', 'muon': did you mean adamw? See `tscale memory -h`",
        ),
        (
            "attention gpt3 --dtype bfloat16",
            "Invalid value for '--dtype': 'bfloat16' is not one of 'fp32', 'bf16', 'fp16', 'fp8', 'int8', 'int4': did you "
            "mean bf16? See `tscale attention -h`",
        ),
    ],
)
def test_a_near_name_or_another_name_is_suggested(line: str, meant: str) -> None:
    done = run(*shlex.split(line))
    assert (done.code, done.err) == (2, f"tscale: {meant}\n")


def test_the_loss_that_liger_computes_is_suggested() -> None:
    assert "did you mean fused-linear?" in run("memory", "gpt2", "--train", "--loss", "liger").err


@pytest.mark.parametrize("command", ["memory", "train", "serve", "plan"])
def test_the_first_screen_of_a_help_has_what_is_asked_most(command: str) -> None:
    """How a config.json of an unknown family is read comes after what everyone asks."""
    lines = run(command, "--help", columns=80).out.splitlines()
    assert any(line.startswith("  --gpu NAME") for line in lines[:24])
    reading = lines[lines.index("Reading a model's file:") :]
    for name in ("assume", "strict", "families"):
        assert any(line.startswith(f"  --{name}") for line in reading)


@pytest.mark.parametrize("words", [(), ("models", "--family", "llama")], ids=" ".join)
def test_a_list_of_models_keeps_what_fits_and_drops_other_names_first(words: tuple[str, ...]) -> None:
    said = run("list", *words, columns=80).out
    heading = said.splitlines()[1].split()
    assert {"name", "year", "parameters", "active"} <= set(heading)
    assert "also known as" in said.partition("Left out at this width: ")[2]
    assert max(map(len, said.splitlines())) <= 80


def test_help_says_what_k_means() -> None:
    """Of tokens a thousand, of a context 1,024, as in model cards."""
    text = " ".join(run("flops", "-h").out.split())
    assert "Set the training tokens, such as 300e9 or 1.5T; k is 1,000." in text
    assert "Set the tokens of a sequence, such as 2048 or 2k; k is 1,024." in text


@pytest.mark.parametrize("command", ["memory", "train"])
def test_choices_that_are_too_many_for_a_line_of_help_are_in_its_text(command: str) -> None:
    out = run(command, "-h").out
    assert "--loss NAME " in out
    assert max(map(len, out.splitlines())) <= 80
    text = "".join(out.split())
    for option in (LOSS, OPTIMIZER):
        assert "Oneof" + ",".join(option.choices) + "." in text


def test_files_that_are_shipped_are_in_the_words_of_the_field() -> None:
    for file in (configs() / "calibrations").glob("*.yaml"):
        text = " ".join(file.read_text(encoding="utf-8").split())
        assert not re.search(r"\bhand(?:-over|(?:s|ed)? (?:on|over)\b)", text), file.name
