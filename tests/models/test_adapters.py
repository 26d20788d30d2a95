"""adapter_config.json as MODEL, against the parameters that peft trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import run
from tests.importer.recorded import Line, recorded, spec_of
from tscale.core.costs.params import params
from tscale.core.costs.states import adapters
from tscale.errors import SpecError, TscaleError
from tscale.models import adapter_modules
from tscale.models.lower import lower
from tscale.models.resolve import resolve
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LINES = recorded("adapters.jsonl")


def folder_of(line: Line, tmp_path: Path, **changes: Any) -> Path:
    """A folder of adapters, and the model that they are for next to it."""
    base, folder = tmp_path / "base", tmp_path / "adapters"
    base.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    (base / "config.json").write_text(json.dumps(line["config"]))
    adapter = line["adapter"] | {"base_model_name_or_path": "../base"} | changes
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    return folder


def answer(*arguments: str) -> dict[str, Any]:
    done = run(*arguments, "--format", "json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


@pytest.mark.parametrize("number", range(len(LINES)))
def test_adapters_train_as_many_parameters_as_peft_says(number: int, tmp_path: Path) -> None:
    line = LINES[number]
    folder = folder_of(line, tmp_path)
    said = answer("params", str(folder))["params"]
    assert said["adapters"] == line["trained"]
    assert said["total"] == answer("params", str(tmp_path / "base"))["params"]["total"]


FAMILIES = [(line, target) for line in recorded("adapter_modules.jsonl") for target in line["trained"]]


@pytest.mark.slow
def test_adapters_of_each_family_are_those_of_peft_or_refused(tmp_path: Path) -> None:
    """Small models of 122 families, with all linear modules, with single ones and with a pattern: what is counted is what peft trains."""
    right, wrong = 0, {}
    for line, target in FAMILIES:
        as_it_is = target == "all-linear" or target.startswith(".")  # a pattern
        adapter = LINES[0]["adapter"] | {"r": 4, "target_modules": target if as_it_is else [target]}
        folder = folder_of({"config": line["config"], "adapter": adapter}, tmp_path)
        try:
            spec = resolve(str(folder))
        except TscaleError:
            continue
        assert spec.adapter is not None
        counted = params(spec.adapter.on(lower(spec))).total
        right += counted == line["trained"][target]
        if counted != line["trained"][target]:
            wrong[line["config"]["model_type"], target] = (counted, line["trained"][target])
    assert wrong == {}
    assert right >= 326


def test_what_training_takes_of_joined_matrices_and_of_several_ranks_is_refused(tmp_path: Path) -> None:
    """Of one matrix for queries, keys and values there is one adapter: 8 numbers between its two matrices, not 24."""
    joined = folder_of(next(line for line in LINES if line["adapter"]["target_modules"] == ["c_attn"]), tmp_path)
    assert "train" in run("params", str(joined)).out
    done = run("memory", str(joined), "--train")
    assert (done.code, done.out) == (2, "")
    assert "adapters with one matrix for several, as qkv is" in done.err
    ranks = folder_of(LINES[0], tmp_path, rank_pattern={"q_proj": 16})
    assert "in adapters of rank 8 on q, v, 16 on q" in run("params", str(ranks)).out
    assert "adapters with several ranks" in run("memory", str(ranks), "--train").err
    spec = resolve(str(ranks))
    assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


def test_adapters_in_some_layers_are_said_with_these_and_their_training_is_refused(tmp_path: Path) -> None:
    """q and v of layers 0 and 2 of three, 256 and 64 wide behind 256: 2 x 8 (256 + 256 + 256 + 64) numbers."""
    folder = folder_of(LINES[0], tmp_path, layers_to_transform=[0, 2], rank_pattern={"k_proj": 4})
    done = run("params", str(folder))
    assert "trains 13,312 in adapters of rank 8 on q in layers 0, 2, rank 8 on v in layers 0, 2," in done.out
    assert (
        'no module that has an adapter is called "k_proj": peft passes it over'
        in run("params", str(folder), "--details").out
    )
    assert "adapters in some layers alone" in run("memory", str(folder), "--train").err
    spec = resolve(str(folder))
    assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec
    with pytest.raises(TscaleError, match="none of 3, counted from 0"):
        validated(parse_document(to_yaml(spec).replace("- 2\n", "- 7\n"), "x.yaml"))


def test_memory_of_training_is_that_of_the_file_s_adapters(tmp_path: Path) -> None:
    """The same answer as with --lora-rank and --lora-targets on the model itself; they still say otherwise."""
    folder = folder_of(LINES[0], tmp_path)
    own = answer("memory", str(folder), "--train")
    given = answer("memory", str(tmp_path / "base"), "--train", "--lora-rank", "8", "--lora-targets", "q,v")
    assert (own["lora_rank"], own["lora_targets"]) == (8, ["q", "v"])  # q alone, which no latents make
    assert own["per_device_bytes"] == given["per_device_bytes"]
    other = answer("memory", str(folder), "--train", "--lora-rank", "16", "--lora-targets", "mlp")
    assert other["per_device_bytes"] == answer("memory", str(tmp_path / "base"), "--train", "--lora-rank", "16", "--lora-targets", "mlp")["per_device_bytes"]  # fmt: skip


@pytest.mark.slow
def test_a_built_in_model_may_be_the_base(tmp_path: Path) -> None:
    """LoRA of rank 8 on q and v of Llama 2 7B: 4,194,304, as peft prints it."""
    folder = folder_of(LINES[0], tmp_path, base_model_name_or_path="llama2-7b")
    assert answer("params", str(folder))["params"]["adapters"] == 2 * 32 * 8 * (4096 + 4096)
    spec = resolve(str(folder))
    assert spec.adapter is not None
    assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec
    headline = run("params", str(folder)).out.splitlines()[0]
    assert "and trains 4,194,304 in adapters of rank 8 on q, v" in headline


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(model(?=\.).*\.(q_proj|v_proj))$",
        r"model(?!\.visual)\.(?!.*mlp).*(q|v)_proj",
        r"(?!.*(lm_head|visual|mlp)).*\.[qv]_proj",
    ],
)
def test_a_pattern_may_look_ahead(pattern: str, tmp_path: Path) -> None:
    """As fine-tuning tools write them for models with towers: the same matrices as by their names."""
    expected = answer("params", str(folder_of(LINES[0], tmp_path, target_modules=["q_proj", "v_proj"])))
    found = answer("params", str(folder_of(LINES[0], tmp_path, target_modules=pattern)))
    assert found["params"]["adapters"] == expected["params"]["adapters"] > 0


def test_a_base_may_be_named_from_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As peft resolves it, which asks for no folder next to the adapters."""
    monkeypatch.chdir(tmp_path)
    named = folder_of(LINES[0], tmp_path, target_modules=".*(q|v)_proj", base_model_name_or_path="base")
    assert answer("params", str(named))["params"]["adapters"] == LINES[0]["trained"]


def test_magnitudes_and_whole_modules_are_said_and_their_training_is_refused(tmp_path: Path) -> None:
    """DoRA on q and v of Llama 2 7B adds a length for each of 4,096 outputs; an lm_head 32,000 rows as wide."""
    llama = {"base_model_name_or_path": "llama2-7b"}
    folder = folder_of(LINES[0], tmp_path, **llama, use_dora=True, modules_to_save=["lm_head"])
    low_rank = 2 * 32 * 8 * (4096 + 4096)
    assert answer("params", str(folder))["params"]["adapters"] == low_rank + 2 * 32 * 4096 + 32000 * 4096
    assert "adapters of rank 8 on q, v with magnitudes (DoRA) and a copy of the head" in run("params", str(folder)).out
    of_run = ("train", str(folder), "--tokens", "1e9", "--gpu", "h100", "--gpus", "8", "--mfu", "0.4")
    for asked in (("memory", str(folder), "--train"), of_run):
        done = run(*asked)
        assert (done.code, done.out) == (2, "")
        assert "does not know what training takes of adapters with magnitudes (DoRA)" in done.err
    assert "without its adapters of rank 8 on q, v: `tscale params` counts them" in run("summary", str(folder)).out
    plain = ("--set", "adapter.magnitudes=false", "--set", "adapter.whole=[]")
    assert answer("memory", str(folder), "--train", *plain)["lora_rank"] == 8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "IA3"}, 'peft_type "IA3" is not known yet: only LORA is'),
        ({"use_dora": 1}, "use_dora must be true or false, not 1"),
        ({"modules_to_save": ["score"]}, 'modules_to_save: "score" is not known yet: only lm_head and embed_tokens are'),
        ({"modules_to_save": "lm_head"}, 'modules_to_save must be a list of names, such as lm_head, not "lm_head"'),
        ({"r": 0}, "r must be a whole number from 1 to 10^12, not 0"),
        ({"r": 10**4000}, "r must be a whole number from 1 to 10^12, not a number of over 40 digits"),
        ({"layers_to_transform": "0"}, 'layers_to_transform must be numbers of layers from 0, not "0"'),
        ({"layers_to_transform": [3]}, "target_modules names no modules of this model that layers_to_transform leaves: model.layers.{}.self_attn.q_proj is one"),
        ({"layers_pattern": "layers"}, "layers_pattern says nothing without layers_to_transform"),
        ({"layers_pattern": "h", "layers_to_transform": [0]}, "that layers_to_transform and layers_pattern leave: "),
        ({"target_modules": ".*q_proj", "layers_to_transform": [0]}, "layers_to_transform is read next to a list of names alone: write the layers into the pattern"),
        ({"exclude_modules": ["q_proj", "v_proj"]}, "target_modules names no modules of this model that exclude_modules leaves"),
        ({"rank_pattern": {"x[": 1}}, 'rank_pattern: the pattern "x[" is not read: it may have up to 300 characters'),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern: a rank is a whole number from 1, not 0"),
        ({"rank_pattern": {"q_proj": 999}}, "rank: a rank of 999 is no low one: the model is 256 wide"),
        ({"r": 1000}, "rank: a rank of 1,000 is no low one: the model is 256 wide"),
        ({"target_modules": ".*q_prj"}, 'target_modules ".*q_prj" matches no module of this model, such as model.layers.0.self_attn.q_proj: it has'),
        ({"target_modules": "(?<!vision).*q_proj"}, 'target_modules: the pattern "(?<!vision).*q_proj" is not read: it may have'),
        ({"target_modules": ["q_prj"]}, "target_modules names no modules of this model: it has q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj: did you mean q_proj?"),
        ({"target_modules": ".*q_proj", "base_model_name_or_path": "llama2-7b"}, 'not ".*q_proj": a pattern is read on a dense decoder whose folder'),
        ({"target_modules": {"q_proj": 1}}, "target_modules must be a list of names, such as q_proj, not a mapping"),
        ({"target_modules": ["layers.9.self_attn.q_proj"]}, "target_modules names no modules of this model of such a path: model.layers.{}.self_attn.q_proj is one"),
        ({"target_modules": ["query_key_value"]}, "target_modules names no modules of this model: it has q_proj, k_proj"),
        ({"base_model_name_or_path": None}, "no base_model_name_or_path: it names the model that the adapters are for"),
        ({"base_model_name_or_path": "."}, 'base_model_name_or_path "." is a folder of adapters, not of a model'),
        ({"base_model_name_or_path": "no-such"}, 'base_model_name_or_path "no-such": '),
    ],
)  # fmt: skip
def test_what_is_not_known_of_adapters_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(TscaleError) as caught:
        resolve(str(folder_of(LINES[0], tmp_path, **changes)))
    assert said in str(caught.value)


NEXT = {
    "model_type": "qwen3_next", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 96, "shared_expert_intermediate_size": 96, "vocab_size": 512,
}  # fmt: skip
LLAVA = {
    "model_type": "llava",
    "text_config": LINES[0]["config"],
    "vision_config": {"model_type": "clip_vision_model"},
}


@pytest.mark.parametrize(
    ("base", "target", "said"),
    [
        (NEXT, "out_proj", '"out_proj" is also a module of the layers of base that are no attention'),
        (LINES[0]["config"], "fc1", "target_modules names no modules of this model: it has q_proj, k_proj"),
        ({"model_type": "phi3"}, "gate_proj", "it has o_proj, qkv_proj, gate_up_proj, down_proj"),
        (NEXT, "up_proj", "adapters on such models are known of attention alone"),
        (LLAVA, "q_proj", "modules in the towers of base may be called so too, which peft adapts as well"),
    ],
)
def test_targets_that_are_other_modules_or_none_are_refused(
    base: dict[str, Any], target: str, said: str, tmp_path: Path
) -> None:
    """peft adapts every module of a name: out_proj of delta nets (104,448 parameters of a small Qwen3-Next, for 18,432 of its attention)."""
    with pytest.raises(TscaleError) as caught:
        resolve(str(folder_of({"config": base, "adapter": LINES[0]["adapter"]}, tmp_path, target_modules=[target])))
    assert said in str(caught.value)


def test_adapters_on_all_matrices_of_a_vision_model_leave_its_convolutions_out() -> None:
    """peft 0.21.2, all-linear of rank 8 on this LLaVA: 30,720 in its CLIP, 7,168 in the projector, 90,624 in the Llama."""
    sizes = {"hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 2, "num_attention_heads": 4}
    clip = {"model_type": "clip_vision_model", "image_size": 56, "patch_size": 14, **sizes}
    spec = spec_of({"model_type": "llava", "text_config": LINES[0]["config"], "vision_config": clip})
    assert params(adapters(lower(spec).whole, 8)).total == 30_720 + 7_168 + 90_624


def test_adapters_of_nothing_that_the_model_has_are_refused(tmp_path: Path) -> None:
    """Of a Mamba, which has no queries, as many as 0 parameters would be trained."""
    folder = folder_of(LINES[0], tmp_path, base_model_name_or_path="mamba-2.8b", target_modules=["q_proj"])
    with pytest.raises(TscaleError, match=r"Mamba 2\.8B has no q to adapt"):
        resolve(str(folder))


def test_patterns_with_a_rank_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all modules of all layers together: each alone takes few steps, and a deep model with many patterns held a command up."""
    modules = adapter_modules.modules_of("llama")
    config = {"target_modules": "all-linear", "rank_pattern": {f"{'.?' * 20}{number}Z": 4 for number in range(20)}}
    assert len(adapter_modules.chosen(modules, config, 8, 2, "here").places) == 7
    monkeypatch.setattr(adapter_modules, "_MOST_STEPS_OF_RANKS", 10_000)
    with pytest.raises(SpecError, match="take too many steps to match"):
        adapter_modules.chosen(modules, config, 8, 2, "here")
