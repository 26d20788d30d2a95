"""Families are data: what a row may say, how a user ships one, and what is refused when it is compiled."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tscale
from tests.helpers import run
from tscale.blocks import Attention, Experts, FeedForward
from tscale.catalogue import index
from tscale.errors import RequestError, SpecError, SpecErrors
from tscale.importer import hooks
from tscale.importer.config_keys import Config
from tscale.importer.families import FAMILIES, NESTED, ROWS, more_families
from tscale.importer.family_data import hook, rule
from tscale.importer.family_problems import known_hooks
from tscale.importer.family_schema import rows_of
from tscale.importer.keys_read import keys_of_call
from tscale.importer.reader import imported
from tscale.importer.rules import RULES
from tscale.models.spec import ModelSpec
from tscale.models.yaml_file import parse_document

README = Path(tscale.__file__).parent / "README.md"
EXAMPLE = re.findall(r"  ```yaml\n(.*?)  ```", README.read_text(encoding="utf-8"), re.DOTALL)[0]
SIZES = {
    "vocab_size": 1000,
    "hidden_size": 64,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
}


def spec_of(config: dict[str, Any], row: Mapping[str, Any]) -> ModelSpec:
    with more_families(row):
        return imported(config, name="x", where="config.json")


def wrong(row: dict[str, Any]) -> str:
    with pytest.raises((SpecError, SpecErrors)) as caught:
        rows_of({"name": "mine", **row})
    return str(caught.value)


# ---- what is shipped ----


def test_each_row_says_where_it_was_read_and_stands_in_the_file_of_its_name() -> None:
    for name, row in index.everything("families"):
        assert row["name"] == name
        assert row["source"]
        assert "text" in row or row["group"]


def test_a_family_that_reads_more_than_text_holds_families_that_are_known() -> None:
    assert {text for nested in NESTED.values() for text in nested.texts} <= set(FAMILIES)


def test_every_hook_and_every_rule_is_named_by_a_row() -> None:
    """Nothing is kept that no row needs."""
    text = index.file_of("families").read_text(encoding="utf-8")
    assert set(re.findall(r'"hook": "([\w.]+)"', text)) == set(known_hooks())
    assert set(re.findall(r'"rule": "(\w+)"', text)) == {name for rules in RULES.values() for name in rules}


def test_start_up_reads_one_row_and_neither_yaml_nor_pydantic(tmp_path: Path) -> None:
    """A config.json of Llama imports no hook, and no rule but those that every family may need."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}), encoding="utf-8")
    code = (
        "import sys; from tscale.models.resolve import resolve; resolve(sys.argv[1]); "
        "print(*sorted(name for name in sys.modules if name.startswith('tscale.importer.hooks.')"
        " or name in ('pydantic', 'tscale.importer.family_schema', 'tscale.importer.rules.windows')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# ---- what a rule reads ----


@pytest.mark.parametrize(
    ("function", "given", "keys"),
    [
        (rule("window", "windows"), {"length": "w", "listed": "kinds"}, {"w", "kinds", ".layers"}),
        (rule("window", "windows"), {"period": 4, "global_at": "last"}, {"sliding_window", ".layers"}),
        (rule("window", "windows"), {"period": "every", "repeated_by": "twin"}, {"sliding_window", "every", "twin", ".layers"}),
        (rule("layers", "product"), {"of": ["a", "b"]}, {"a", "b"}),
        (rule("head_dim", "fills_width"), {}, {"head_dim", ".heads", ".d_model"}),
        (hook("dbrx.kv_heads"), {}, {"attn_config"}),
        (hook("minimax.m3"), {}, {"num_attention_heads", "num_key_value_heads", "head_dim", "layer_types", "index_n_heads",
                                  "index_head_dim", "index_block_size", "index_topk_blocks", "sparse_attention_config", ".layers"}),
        (hook("mamba.jamba_experts"), {}, {"intermediate_size", "num_experts", "num_experts_per_tok", "expert_layer_period",
                                           "expert_layer_offset", ".layers"}),
        (hook("kimi.linear"), {}, {"linear_num_heads", "linear_head_dim", "linear_conv_kernel_dim", "linear_attn_config",
                                   "layer_types", "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",
                                   "qk_head_dim", "v_head_dim", "attention_bias", ".layers", ".heads", ".d_model"}),
    ],
)  # fmt: skip
def test_the_keys_that_a_function_reads_are_told_from_its_source(function: Any, given: Any, keys: set[str]) -> None:
    """By literals, by parameters, by loops over literals and tables, and through whatever it calls."""
    assert {key for key, _ in keys_of_call(function, given)} == keys


@pytest.mark.slow
def test_taking_any_key_that_a_hook_reads_out_of_its_row_is_refused() -> None:
    """What is told from the source is what is asked for: no hook asks for a key that its row does not list."""
    asked = set[tuple[str, str]]()  # of a hook of several rows, each key once
    for name, row in index.everything("families"):
        for column, value in row.items():
            if not (isinstance(value, dict) and "hook" in value):
                continue
            for key, _ in keys_of_call(hook(value["hook"]), {}):
                if key in row["reads"] and key not in row.get("fixed", {}) and (value["hook"], key) not in asked:
                    asked.add((value["hook"], key))
                    less = {one: default for one, default in row["reads"].items() if one != key}
                    told = {one: there for one, there in row.items() if one != "also"}
                    assert f'"{key}", which is not among the keys' in wrong({**told, "reads": less}), (name, column)


def test_a_table_that_a_hook_walks_is_read() -> None:
    keys = {key for key, _ in keys_of_call(hook("glm.glm5_next"), {})}
    assert {"linear_num_heads", "linear_head_dim", "linear_conv_kernel_dim"} <= keys


@pytest.mark.parametrize("value", ["mamba.jamba_experts", "none", {"hook": "mamba.jamba_experts"}])
def test_a_key_of_a_file_may_be_called_hook(value: object) -> None:
    row = dict(index.everything("families"))["mistral"]
    (one,) = rows_of({**row, "name": "mine", "fixed": {**row.get("fixed", {}), "hook": value}})
    assert one["fixed"]["hook"] == value


def test_a_key_with_a_dot_that_is_no_size_is_a_key() -> None:
    """As YAML writes infinity."""
    row = dict(index.everything("families"))["mistral"]
    assert '".inf", which is not among the keys' in wrong({**row, "window": {"rule": "windows", "length": ".inf"}})


def test_a_key_that_a_row_leaves_out_is_missed_when_it_is_read() -> None:
    config = Config({"model_type": "mistral"}, "mistral", FAMILIES["mistral"], "config.json")
    with pytest.raises(
        SpecError, match='a rule of mistral reads "sinks", which is not among the keys of reads: add it'
    ):
        config.value("sinks")


def test_hooks_stand_in_their_folder_alone() -> None:
    assert {name.partition(".")[0] for name in known_hooks()} == {
        path.stem for path in Path(next(iter(hooks.__path__))).glob("*.py") if path.stem != "__init__"
    }


# ---- families of a user ----


def test_the_example_of_the_docs_counts_as_its_parts_do() -> None:
    """Mixtral's layers, of which the first two are dense: an expert has 3 * 64 * 32 parameters, the router 64 * 8."""
    config = SIZES | {"model_type": "mine", "moe_width": 32, "num_local_experts": 8, "num_experts_per_tok": 2}
    row = parse_document(EXAMPLE, "README.md").data
    assert isinstance(row, dict)
    spec = spec_of(config, row)
    dense, experts = spec.feed_forwards
    assert isinstance(dense, FeedForward)
    assert isinstance(experts, Experts)
    attention = 2 * 64 * 64 + 2 * 64 * 32
    parts = [2 * 1000 * 64, 6 * (attention + 2 * 64) + 64, 2 * 3 * 64 * 96, 4 * (64 * 8 + 8 * 3 * 64 * 32)]
    assert tscale.params(tscale.lower(spec)).total == sum(parts)


@pytest.mark.parametrize("command", ["params", "memory", "flops", "compare", "import", "show"])
def test_commands_that_take_a_model_know_them(command: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(EXAMPLE, encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps(SIZES | {"model_type": "mine"}), encoding="utf-8")
    asked = [command, str(tmp_path)] + (["gpt2"] if command == "compare" else [])
    asked += ["--tokens", "1e9"] if command == "flops" else []
    assert run(*asked).code == 1
    done = run(*asked, "--families", str(tmp_path / "mine.yaml"))
    assert (done.code, done.err) == (0, "")


def test_python_takes_a_path_or_a_mapping(tmp_path: Path) -> None:
    file, config = tmp_path / "mine.yaml", tmp_path / "config.json"
    file.write_text("name: mine\nlike: llama\n", encoding="utf-8")
    config.write_text(json.dumps(SIZES | {"model_type": "mine"}), encoding="utf-8")
    row = {"name": "mine", "like": "llama"}
    found = [tscale.load(config, families=given) for given in (file, str(file), row)]
    assert found[0] == found[1] == found[2]
    assert tscale.memory(str(config), families=row).to_dict() == tscale.memory(found[0]).to_dict()
    with pytest.raises(SpecError, match="mine"):
        tscale.load(config)


def test_they_are_known_no_longer_than_they_are_asked_about() -> None:
    with more_families({"name": "mine", "like": "llama"}):
        assert "mine" in FAMILIES
        assert "mine" in list(FAMILIES)
        assert len(FAMILIES) == len(list(FAMILIES))
    assert "mine" not in FAMILIES


def test_a_row_of_a_user_goes_before_one_that_is_shipped() -> None:
    spec = spec_of(SIZES | {"model_type": "llama"}, {"name": "llama", "like": "llama", "biases": {"qkv": True}})
    assert isinstance(spec.attention, Attention)
    assert spec.attention.bias == ("q", "k", "v")


def test_a_row_may_be_like_one_before_it_and_take_columns_away() -> None:
    rows = rows_of(
        {
            "families": [
                {"name": "one", "like": "mistral", "reads": {"sliding_window": 7}},
                {"name": "two", "like": "one", "window": None, "nullable": ["num_key_value_heads"]},
            ]
        }
    )
    assert [row["reads"]["sliding_window"] for row in rows] == [7, 7]
    assert "window" in rows[0]
    assert "window" not in rows[1]
    assert rows[1]["reads"]["hidden_size"] == FAMILIES["mistral"].reads["hidden_size"]


def test_a_row_of_a_family_that_reads_more_than_text_may_be_a_user_s() -> None:
    row = {"name": "sees", "classes": ["SeesModel"], "text": ["llama"], "tied": False, "reads": "images"}
    spec = spec_of({"model_type": "sees", "text_config": SIZES, "vision_config": {"depth": 2}}, row)
    assert spec.layers == 6
    assert any("vision tower" in note for note in spec.notes)


def test_a_row_may_be_made_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """As other programs add one: a `Family` whose columns are functions."""
    mine = replace(FAMILIES["llama"], name="mine", layers=lambda config: 2 * config.size("num_hidden_layers"))
    monkeypatch.setitem(ROWS, "mine", mine)
    assert imported(SIZES | {"model_type": "mine"}, name="x", where="config.json").layers == 12


@pytest.mark.parametrize("given", ["", " ", 3, ["name"]])
def test_what_is_no_file_is_refused(given: object) -> None:
    with pytest.raises(RequestError), more_families(given):
        pass


# ---- what is refused ----


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"like": "llama", "window": {"rule": "windows"}}, 'window.length is by default "sliding_window", which is not among'),
        ({"like": "llama", "window": {"rule": "windows", "length": "w"}}, 'window.length is "w", which is not among'),
        ({"like": "llama", "notes": {"rule": "prediction_layers", "key": "more"}}, 'notes.key is "more", which is not'),
        ({"like": "llama", "head_bias": "lm_head_bias"}, 'head_bias is "lm_head_bias", which is not among'),
        ({"like": "llama", "keys": {"heads": "n_head"}}, 'keys.heads is "n_head", which is not among'),
        ({"like": "llama", "attention": {"rule": "latent"}}, 'attention (latent) reads "'),
        ({"like": "llama", "norm": {"hook": "gpt.last_biased"}}, "norm: the hook gpt.last_biased is for another column"),
        ({"like": "llama", "nullable": ["depth"]}, 'nullable has "depth", which is not among'),
    ],
)  # fmt: skip
def test_a_rule_that_reads_a_key_which_its_row_does_not_list_is_refused(row: dict[str, Any], message: str) -> None:
    assert message in wrong(row)


@pytest.mark.slow
def test_the_schema_has_every_rule_with_its_parameters() -> None:
    schema = json.loads(run("schema", "families").out)
    for column, rules in RULES.items():
        for name in rules:
            described = schema["$defs"][f"{column}_{name}"]
            assert described["properties"]["rule"] == {"const": name, "title": "Rule", "type": "string"}
            assert described["description"]
    family = schema["$defs"]["Family"]
    assert family["required"] == ["name"]
    assert all(column.get("description") for name, column in family["properties"].items() if "bias" not in name)


def test_a_key_that_an_own_family_does_not_know_is_to_be_listed_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nlike: llama\n", encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "mine", "width_of_gate": 5}', encoding="utf-8")
    done = run("params", str(tmp_path / "config.json"), "--families", str(tmp_path / "mine.yaml"))
    assert done.code == 1
    assert "list it in the family's file, under `harmless` if it changes no count, or under `reads`" in done.err


def test_families_are_listed_by_how_their_names_begin() -> None:
    listed = json.loads(run("list", "families", "--family", "mixtral", "--format", "json").out)["families"]
    assert listed == [
        {
            "name": "mixtral",
            "kind": "experts",
            "classes": ["MixtralForCausalLM", "MixtralModel"],
            "also": [],
            "source": listed[0]["source"],
        }
    ]
    assert run("list", "families", "--family", "mixtrel").err.strip().endswith("did you mean mixtral?")
