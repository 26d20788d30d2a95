"""Files of weights as MODEL: GGUF files that llama.cpp's converter wrote, Ollama's folders, safetensors."""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import run
from tests.importer.recorded import Line, recorded, spec_of
from tscale.checkpoint.gguf import Header, read_header
from tscale.core.costs.forward import forward_flops
from tscale.core.costs.params import params
from tscale.core.costs.weights import weight_bytes
from tscale.core.workload import SequenceLengths
from tscale.errors import SpecError
from tscale.models.gguf_release import with_release
from tscale.models.header_spec import gguf_spec, spec_of_header
from tscale.models.lower import lower
from tscale.models.release import released
from tscale.models.validation import validated
from tscale.models.writing import to_yaml
from tscale.models.yaml_file import parse_document

LINES = recorded("gguf.jsonl")
NOT_YET = {"apertus"}
"""Its activation's numbers stand in keys, not in tensors."""
KNOWN = [line for line in LINES if line["family"] not in NOT_YET]
LLAMA = next(line for line in LINES if line["family"] == "llama")


def written(line: Line, file: Path) -> Path:
    """The file that was recorded, zeros in the place of its data."""
    file.write_bytes(zlib.decompress(base64.b64decode(line["header"])))
    os.truncate(file, line["bytes"])
    return file


@pytest.mark.parametrize("family", sorted({line["family"] for line in KNOWN}))
def test_a_header_tells_the_model_that_was_converted(family: str, tmp_path: Path) -> None:
    """Parameters and FLOPs of transformers' model, and every byte of the file's tensors."""
    for line in (line for line in KNOWN if line["family"] == family):
        file = written(line, tmp_path / "model.gguf")
        spec = gguf_spec(file)
        ledger = lower(spec)
        assert params(ledger).total == line["total"]
        formats = released(spec)
        assert formats is not None
        assert weight_bytes(ledger, formats).total == sum(tensor.size for tensor in read_header(file).tensors)
        if family != "bert":  # its config.json names a pooler, which the converter leaves out
            there = lower(spec_of(line["config"]))
            assert forward_flops(ledger, SequenceLengths(300)).total == forward_flops(there, SequenceLengths(300)).total
        assert validated(parse_document(to_yaml(spec), "x.yaml")) == spec


def test_types_that_differ_by_layer_are_read_to_the_last_byte(tmp_path: Path) -> None:
    """As in a mixture: some layers' values and downs in six bits, all else of layers in four and a half."""
    file = written(LLAMA, tmp_path / "model.gguf")
    block = {"Q4_K": (256, 144), "Q6_K": (256, 210)}

    def of(name: str, dtype: str) -> str:
        if dtype != "F16":
            return dtype
        return "Q6_K" if re.search(r"blk\.[02]\.attn_v|output\.weight|token_embd", name) else "Q4_K"

    tensors = []
    for tensor in read_header(file).tensors:
        dtype = of(tensor.name, tensor.dtype)
        numbers, size = block.get(dtype, (1, 4))
        if tensor.shape[-1] % numbers:
            dtype, numbers, size = "F16", 1, 2
        tensors.append(tensor._replace(dtype=dtype, size=tensor.numbers // numbers * size))
    spec = with_release(gguf_spec(file), tuple(tensors))
    assert spec.weights is not None
    assert spec.weights.format == "q4_k"
    assert any(rule.parts == ("attention.v",) and rule.layers == (0, 2) for rule in spec.weights.rules)
    formats = released(spec)
    assert formats is not None
    assert weight_bytes(lower(spec), formats).total == sum(tensor.size for tensor in tensors)


def changed(raw: bytes, key: str, value: int) -> bytes:
    """A header with another number under a key."""
    at = raw.index(key.encode()) + len(key) + 4
    return raw[:at] + struct.pack("<I", value) + raw[at + 4 :]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (
            "llama.block_count",
            r"its keys lead to other tensors than it has: 2 of attention.q \[256, 256\] are not there",
        ),
        ("llama.embedding_length", r"tensor \"token_embd.weight\" \[512, 256\] is not one of them"),
    ],
)
def test_keys_that_contradict_the_tensors_are_refused(key: str, said: str, tmp_path: Path) -> None:
    file = written(LLAMA, tmp_path / "model.gguf")
    file.write_bytes(changed(file.read_bytes(), key, 5 if "block" in key else 250))
    with pytest.raises(SpecError, match=said):
        gguf_spec(file)


@pytest.mark.parametrize("family", ["deepseek_v2", "mamba"])
def test_a_header_of_any_numbers_is_read_or_refused_in_one_line(family: str, tmp_path: Path) -> None:
    """Each number of the keys and of the tensors' dimensions set to others, one at a time."""
    line = next(line for line in LINES if line["family"] == family)
    file = written(line, tmp_path / "model.gguf")
    header = read_header(file)
    keys = [key for key, value in header.values.items() if type(value) is int and not key.startswith("general")]
    cases = [
        Header(header.values | {key: value}, header.tensors, header.size) for key in keys for value in (0, 1, 7, 2**40)
    ]
    cases += [Header({k: v for k, v in header.values.items() if k != key}, header.tensors, header.size) for key in keys]
    for shape in ((), (1,), (0, 0), (3, 5, 7)):
        of = [t._replace(shape=shape) for t in header.tensors]
        cases += [
            Header(header.values, (*header.tensors[:n], of[n], *header.tensors[n + 1 :]), header.size) for n in range(8)
        ]
    found = [_told(case) for case in cases]
    texts = [text for text in found if isinstance(text, str)]
    assert texts
    assert not any("\n" in text for text in texts)
    assert {total for total in found if isinstance(total, int)} <= {line["total"]}


def _told(header: Header) -> str | int:
    """The parameters that a header comes to, or why it is refused."""
    try:
        return int(params(lower(spec_of_header(header, "x", "x.gguf"))).total)
    except SpecError as error:
        return str(error)


def test_an_architecture_that_is_not_known_is_named(tmp_path: Path) -> None:
    line = next(line for line in LINES if line["family"] == "apertus")
    with pytest.raises(SpecError, match=r'general\.architecture "apertus" is not known yet: '):
        gguf_spec(written(line, tmp_path / "model.gguf"))


def _total(model: Path) -> int:
    done = run("params", str(model), "--format", "json")
    assert done.code == 0, done.err
    return int(json.loads(done.out)["params"]["total"])


def test_a_gguf_file_is_found_in_its_folder_and_in_ollama_s(tmp_path: Path) -> None:
    digest = "a" * 64
    blobs, manifest = tmp_path / "blobs", tmp_path / "manifests/registry.ollama.ai/library/llama3/latest"
    blobs.mkdir()
    manifest.parent.mkdir(parents=True)
    blob = written(LLAMA, blobs / f"sha256-{digest}")
    layers = [{"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{of * 64}", "size": 1}
              for kind, of in (("model", "a"), ("template", "b"))]  # fmt: skip
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    assert _total(blob) == _total(manifest) == _total(tmp_path) == LLAMA["total"]
    folder = tmp_path / "one"
    folder.mkdir()
    written(LLAMA, folder / "any.gguf")
    assert _total(folder) == LLAMA["total"]
    (folder / "Modelfile").write_text("# made by hand\nFROM ./any.gguf\nPARAMETER temperature 1\n")
    assert _total(folder) == _total(folder / "Modelfile") == LLAMA["total"]
    (folder / "Modelfile").write_text("FROM llama3\n")
    assert "FROM llama3, which is no file here: name the GGUF file" in run("params", str(folder)).err
    written(LLAMA, tmp_path / "x.gguf")
    assert "the folder holds 2 models, such as" in run("params", str(tmp_path)).err
    blob.unlink()
    assert "names weights that are not in Ollama's folder" in run("params", str(manifest)).err


def _safetensors(file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A file as the format's documents describe it, zeros in the place of its data."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        size = 2
        for dimension in shape:
            size *= dimension
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw)
    os.truncate(file, 8 + len(raw) + end)


def test_safetensors_are_read_by_the_config_next_to_them_and_tell_what_is_missing_without(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    _safetensors(file, {"model.embed_tokens.weight": (512, 256), "model.layers.2.self_attn.q_proj.weight": (256, 256)})
    refused = run("params", str(file))
    assert refused.code == 1
    assert refused.err.endswith(
        "its header tells 2 tensors of 196,608 numbers, 3 layers, a vocabulary of 512, a width of 256, but not how many "
        "heads there are, nor the family: put the model's config.json next to it\n"
    )
    (tmp_path / "config.json").write_text(json.dumps(LLAMA["config"]))
    assert _total(file) == LLAMA["total"]


def test_a_pipeline_names_its_parts(tmp_path: Path) -> None:
    (tmp_path / "text_encoder").mkdir()
    (tmp_path / "text_encoder/config.json").write_text(json.dumps({"model_type": "clip_text_model"}))
    parts = {"_class_name": "StableDiffusionPipeline", "text_encoder": ["transformers", "CLIPTextModel"],
             "unet": ["diffusers", "UNet2DConditionModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
             "scheduler": ["diffusers", "PNDMScheduler"], "safety_checker": [None, None]}  # fmt: skip
    (tmp_path / "model_index.json").write_text(json.dumps(parts))
    refused = run("params", str(tmp_path))
    assert refused.code == 1
    assert "is a pipeline of several models: name the folder of one that reads text: " in refused.err
    assert refused.err.endswith(
        "text_encoder (CLIPTextModel); no config.json of unet: download it, because it gives the shape\n"
    )
    assert _total(tmp_path / "text_encoder") > 0
