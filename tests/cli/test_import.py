"""`tscale import`: a config.json as a YAML spec that counts alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import answer, run
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import params
from tscale.models.lower import lower, run_of
from tscale.models.resolve import read_config, read_spec
from tscale.models.spec import ModelSpec

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "oracle" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
]
LLAMA = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}


def _file(folder: Path, config: dict[str, Any]) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_is_written_is_valid_and_counts_alike(case: dict[str, Any], tmp_path: Path) -> None:
    """Or the import is refused as counting the file itself is, and nothing is written."""
    config, written = _file(tmp_path, case["config"]), tmp_path / "model.yaml"
    done = run("import", str(config), "-o", str(written))
    if done.code:
        assert run("params", str(config)).err == done.err
        assert not written.exists()
        return
    assert run("validate", str(written)).code == 0
    read, original = read_spec(str(written)), read_config(str(config))
    assert isinstance(read, ModelSpec)
    assert isinstance(original, ModelSpec)
    assert params(lower(read)).total == case["params"]["total"]
    for length in case["flops"]:
        flops = [forward_flops(lower(spec), run_of(spec, int(length)), "full").total for spec in (read, original)]
        assert flops[0] == flops[1]


def test_without_a_file_it_goes_to_standard_output(tmp_path: Path) -> None:
    _file(tmp_path, LLAMA)
    done = run("import", str(tmp_path))
    (tmp_path / "spec.yaml").write_text(done.out, encoding="utf-8")
    assert done.code == 0
    assert run("import", "-", stdin=json.dumps(LLAMA)).code == 0
    assert answer("params", str(tmp_path / "spec.yaml"))["params"] == answer("params", str(tmp_path))["params"]


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    config, kept = _file(tmp_path, LLAMA), tmp_path / "kept.yaml"
    kept.write_text("mine", encoding="utf-8")
    done = run("import", str(config), "-o", str(kept))
    assert done == (1, "", f"tscale: {kept}: exists already, and is left as it is: choose another name\n")
    assert kept.read_text(encoding="utf-8") == "mine"


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, written = _file(tmp_path, LLAMA), tmp_path / "model.yaml"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    done = run("import", str(config), "-o", str(written))
    assert done == (1, "", f"tscale: {written}: cannot be written: No space left on device\n")
    assert list(tmp_path.iterdir()) == [config]


def test_what_is_no_config_is_refused(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("name: x\n", encoding="utf-8")
    assert run("import", str(spec)) == (
        1,
        "",
        f"tscale: {spec}: is not a config.json: import reads config.json files, and a YAML spec needs no import\n",
    )
    assert run("import", str(tmp_path / "none.json")).err.endswith(
        "none.json: cannot be read: No such file or directory\n"
    )
    assert "the folder holds no config.json" in run("import", str(tmp_path)).err
    assert "nowhere" in run("import", str(_file(tmp_path, LLAMA)), "-o", str(tmp_path / "nowhere" / "x.yaml")).err


FOO: dict[str, object] = {
    "architectures": ["FooForCausalLM"],
    "model_type": "foo",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "num_hidden_layers": 22,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
"""TinyLlama 1.1B under a name that nobody knows."""


def test_an_unknown_family_counts_like_a_known_one_on_the_users_word(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(FOO | {"foo_width": 3}))
    refused = run("params", str(file))
    assert refused.code == 1
    assert "--assume FAMILY" in refused.err
    counted = run("params", str(file), "--assume", "llama")
    assert "1,100,048,384" in counted.out
    assert "counted like llama" in counted.out
    assert "foo_width" in counted.out
    beside = run("compare", "gpt2", str(file), "--assume", "llama")
    assert "counted like llama" in " ".join(beside.out.split())


def test_the_head_of_an_assumed_family_is_the_one_that_is_named_alike(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(FOO | {"architectures": ["FooModel"]}))
    assert answer("params", str(file), "--assume", "llama")["params"]["total"] == 1_100_048_384 - 32000 * 2048
    file.write_text(json.dumps(FOO | {"architectures": ["FooForTokenClassification"]}))
    refused = run("params", str(file), "--assume", "llama")
    assert (refused.code, "is named like" in refused.err) == (1, True)


def test_an_assumption_lists_what_it_takes_from_defaults_and_marks_every_figure(tmp_path: Path) -> None:
    """In the first lines, in JSON, and in the YAML that `import` writes of it."""
    file, spec = tmp_path / "config.json", tmp_path / "foo.yaml"
    file.write_text(
        json.dumps(
            {key: value for key, value in FOO.items() if key not in ("intermediate_size", "num_key_value_heads")}
        )
    )
    assert run("import", str(file), "--assume", "llama", "--output", str(spec)).code == 0
    for args in ((str(file), "--assume", "llama"), (str(spec),)):
        lines = run("params", *args).out.splitlines()
        assert lines[1] == (
            'Counted like llama, as requested (--assume): tscale does not know model_type "foo". All figures are assumed.'
        )
        assert lines[2] == (
            "Not in the file, taken from the defaults of llama: attention_bias false, num_key_value_heads (derived), "
            "head_dim (derived), intermediate_size 11008, mlp_bias false."
        )
        data = answer("params", *args)
        assert {told["known"] for told in data["figures"].values()} == {"assumed"}
        assert data["notes"][0] == lines[1]


ASKED = (
    ("flops", "--tokens", "1e12"),
    ("attention",),
    ("memory",),
    ("memory", "--train"),
    ("serve", "--gpu", "h100"),
    ("train", "--tokens", "1e12", "--gpu", "h100", "--gpus", "64"),
    ("loss", "--tokens", "1e12"),
)


@pytest.mark.parametrize("command", ASKED, ids=lambda command: "-".join(command[:2]))
def test_no_command_calls_a_figure_exact_that_rests_on_an_assumption(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(FOO))
    shown = run(command[0], str(file), *command[1:], "--assume", "llama")
    assert "\nCounted like llama, as requested (--assume)" in "\n".join(shown.out.splitlines()[:3])
    assert "†" in shown.out
    figures = answer(command[0], str(file), *command[1:], "--assume", "llama")["figures"].values()
    assert {told["known"] for told in figures} <= {"assumed", "cited", "missing"}


def test_beside_an_assumed_model_the_others_are_as_exact_as_before(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(FOO))
    figures = answer("compare", "gpt2", str(file), "--assume", "llama")["figures"]
    values = {path: told["known"] for path, told in figures.items() if ".values[" in path}
    assert {known for path, known in values.items() if path.endswith("[1]")} <= {"assumed", "missing"}
    assert "exact" in {known for path, known in values.items() if path.endswith("[0]")}


@pytest.mark.parametrize(
    ("config", "missing", "may_be"),
    [
        (
            {"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 1024},
            "num_hidden_layers (perhaps its n_layers), hidden_size (perhaps its dim), num_attention_heads (perhaps its "
            "n_heads), num_key_value_heads (perhaps its n_kv_heads)",
            "rename the keys that hold them",
        ),
        (
            {
                "hidden_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "vocab_size": 99,
                "ffn_hidden_size": 96,
            },
            "intermediate_size (perhaps its ffn_hidden_size)",
            "rename the keys that hold them",
        ),
        (
            {},
            "num_hidden_layers, hidden_size, num_attention_heads, vocab_size",
            "add them to the file",
        ),
        (
            FOO | {"vocab_size": None, "n_vocab": 32000} | {"hidden_size": 2048},
            "",
            "vocab_size must be a whole number, not null",
        ),
    ],
)
def test_sizes_that_decide_everything_are_never_assumed(
    tmp_path: Path, config: dict[str, object], missing: str, may_be: str
) -> None:
    """Llama 3.1's params.json as a llama came to 7.53e9 parameters, and an empty file to 6.7e9."""
    file = tmp_path / "params.json"
    file.write_text(json.dumps(config))
    refused = run("params", str(file), "--assume", "llama")
    assert (refused.code, len(refused.err.splitlines())) == (1, 1)
    assert f"--assume llama needs {missing}, and the file has no such key: {may_be}\n" in refused.err or not missing
    assert may_be in refused.err


def test_json_on_standard_input_is_a_config() -> None:
    said = json.dumps({"dim": 64, "n_layers": 2}).encode()
    refused = run("params", "-", "--assume", "llama", stdin=said)
    assert (refused.code, "and the file has no such key: rename" in refused.err) == (1, True)
    assert 'standard input: no "model_type"' in run("params", "-", stdin=said).err


def test_a_spec_in_json_on_standard_input_is_a_spec() -> None:
    spec = {
        "name": "x", "layers": 2, "d_model": 64, "vocabulary": 100, "attention": {"heads": 4}, "tied": True,
        "feed_forward": {"d_ff": 256}, "positions": {"kind": "rotary"}, "norm": {"kind": "rmsnorm"},
    }  # fmt: skip
    assert run("validate", "-", stdin=json.dumps(spec).encode()).code == 0


def test_the_text_model_of_a_file_of_an_unknown_family_is_read_where_its_sizes_are(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside.json", tmp_path / "outside.json"
    outside.write_text(json.dumps(FOO))
    inside.write_text(json.dumps({"model_type": "foo", "text_config": FOO, "vision_config": {"depth": 3}}))
    nested, plain = (answer("params", str(file), "--assume", "llama") for file in (inside, outside))
    assert nested["params"]["total"] == plain["params"]["total"]
    assert "vision_config" in " ".join(nested["notes"])


@pytest.mark.parametrize(
    ("config", "family", "says"),
    [
        (FOO, "lama", "did you mean llama?"),
        (FOO | {"model_type": "qwen2"}, "llama", 'says model_type "qwen2", which is known: drop --assume'),
        (FOO | {"hidden_size": None}, "llama", "hidden_size must be a whole number, not null"),
        (FOO | {"num_attention_heads": 33}, "llama", "heads"),
    ],
)
def test_an_assumption_that_makes_no_sense_is_refused(
    tmp_path: Path, config: dict[str, object], family: str, says: str
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    refused = run("params", str(file), "--assume", family)
    assert refused.code in (1, 2)
    assert says in refused.err
    assert len(refused.err.splitlines()) == 1


def test_an_assumption_about_what_is_no_config_is_refused(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(run("show", "gpt2").out)
    for model in ("gpt2", str(spec)):
        refused = run("params", model, "--assume", "llama")
        assert (refused.code, "--assume is about a config.json" in refused.err) == (2, True)
