"""MODEL as a repository of the hub: the real client against a server on loopback, and nothing further away."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.helpers import Answer, run, use_hub
from tscale.hub import is_repository

pytest.importorskip("huggingface_hub")

CHECKPOINTS = Path(__file__).parent / "checkpoint" / "checkpoints"


class Hub(NamedTuple):
    """A server of the folders in `root`, and what it was asked for."""

    endpoint: str
    root: Path
    asked: list[tuple[str, str]]


class _Handler(BaseHTTPRequestHandler):
    """Sends files, or the part of one that is asked for, as the hub does."""

    def __init__(self, hub: Hub, *args: Any) -> None:
        self.hub = hub
        with suppress(ConnectionError):  # the client hangs up when it has what it wants
            super().__init__(*args)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if "/resolve/" not in self.path:  # what the client asks for itself, as lists of programs that it may be run by
            self._refuse(404, "")
            return
        organisation, name, _, _, file = self.path.lstrip("/").split("/", 4)
        self.hub.asked.append((file, self.headers.get("range", "")))
        folder = self.hub.root / organisation / name
        if organisation == "gated":
            self._refuse(403, "GatedRepo")
        elif organisation == "broken":
            self._refuse(500, "")
        elif not folder.is_dir():
            self._refuse(401, "RepoNotFound")
        elif not (folder / file).is_file():
            self._refuse(404, "EntryNotFound")
        else:
            self._send((folder / file).read_bytes())

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, whole: bytes) -> None:
        start, stop = map(int, self.headers["range"].removeprefix("bytes=").split("-"))
        part = whole[start : stop + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Which this process asks from an empty folder; one of its own, which takes it from the environment, does too."""
    asked: list[tuple[str, str]] = []
    root = tmp_path / "served"
    shutil.copytree(CHECKPOINTS, root / "tiny")
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    served = Hub(f"http://127.0.0.1:{server.server_port}", root, asked)
    server.RequestHandlerClass = partial(_Handler, served)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    use_hub(served.endpoint, monkeypatch)
    monkeypatch.chdir(tmp_path)
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def _tscale(endpoint: str, folder: Path, *args: str, **more: str) -> Answer:
    """The program in a process of its own, with a hub of its own and an empty home."""
    env = {key: value for key, value in os.environ.items() if "proxy" not in key.lower() and not key.startswith("HF_")}
    env |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "HOME": str(folder / "home"), **more}
    done = subprocess.run(
        [sys.executable, "-m", "tscale", *args],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
def test_parameters_of_a_repository_take_its_config_and_nothing_else(hub: Hub, tmp_path: Path) -> None:
    done = _tscale(hub.endpoint, tmp_path, "params", "tiny/llama-untied", "--format", "json")
    assert (done.code, done.err) == (0, "")
    here = json.loads(run("params", str(CHECKPOINTS / "llama-untied"), "--format", "json").out)
    assert json.loads(done.out) == here
    assert [file for file, _ in hub.asked] == ["config.json"]


def _moved(hub: Hub, name: str, files: dict[str, Any]) -> None:
    (hub.root / "tiny" / name).mkdir()
    for file, data in files.items():
        (hub.root / "tiny" / name / file).write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.slow
def test_a_repository_of_meta_s_files_is_read_by_its_params_json(hub: Hub) -> None:
    """Llama 3.1 8B as Meta published it: 8,030,261,248 parameters."""
    meta = {"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "ffn_dim_multiplier": 1.3,
            "multiple_of": 1024, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": True}  # fmt: skip
    _moved(hub, "meta", {"params.json": meta})
    done = run("params", "tiny/meta", "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["params"]["total"] == 8_030_261_248
    assert [file for file, _ in hub.asked] == ["config.json", "params.json"]


@pytest.mark.slow
def test_a_repository_of_adapters_is_read_with_the_one_that_they_are_for(hub: Hub) -> None:
    adapter = {
        "peft_type": "LORA",
        "r": 2,
        "target_modules": ["q_proj"],
        "base_model_name_or_path": "tiny/llama-untied",
    }
    _moved(hub, "adapters", {"adapter_config.json": adapter})
    done = run("params", "tiny/adapters", "--format", "json")
    assert (done.code, done.err) == (0, "")
    base = json.loads(run("params", str(CHECKPOINTS / "llama-untied"), "--format", "json").out)
    assert json.loads(done.out)["params"]["total"] == base["params"]["total"]
    assert json.loads(done.out)["params"]["adapters"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("tiny/adapters", "tiny/adapters/adapter_config.json: holds adapters, not a model"),
        ("tiny/others", "tiny/others/adapter_config.json: holds adapters, not a model"),
        ("/dev/zero", "is a file here, and these adapters are of the hub"),
        ("-", "is a file here, and these adapters are of the hub"),
    ],
)
def test_adapters_of_the_hub_lead_to_no_circle_and_to_no_file_here(hub: Hub, base: str, said: str) -> None:
    adapter = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
    _moved(hub, "adapters", {"adapter_config.json": {**adapter, "base_model_name_or_path": base}})
    _moved(hub, "others", {"adapter_config.json": {**adapter, "base_model_name_or_path": "tiny/adapters"}})
    done = run("params", "tiny/adapters")
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert len(hub.asked) <= 6


@pytest.mark.slow
def test_a_repository_of_a_pipeline_says_its_parts(hub: Hub) -> None:
    parts = {"_class_name": "FluxPipeline", "text_encoder": ["transformers", "CLIPTextModel"],
             "tokenizer": ["transformers", "CLIPTokenizer"], "transformer": ["diffusers", "FluxTransformer2DModel"]}  # fmt: skip
    _moved(hub, "pipeline", {"model_index.json": parts})
    message = (
        "tiny/pipeline/model_index.json: is a pipeline of several models: text_encoder (CLIPTextModel), transformer "
        "(FluxTransformer2DModel): download one, and name its folder"
    )
    assert run("params", "tiny/pipeline") == (1, "", f"tscale: {message}\n")


@pytest.mark.slow
def test_import_writes_the_spec_of_a_repository(hub: Hub) -> None:
    done = run("import", "tiny/gpt2")
    assert done == run("import", str(CHECKPOINTS / "gpt2"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "llama-sharded"])
def test_verify_reads_headers_alone(hub: Hub, name: str) -> None:
    done = run("verify", f"tiny/{name}", "--format", "json")
    assert (done.code, done.err) == (0, "")
    here = json.loads(run("verify", str(CHECKPOINTS / name), "--format", "json").out)
    there = json.loads(done.out)
    assert there | {"path": ""} == here | {"path": ""}
    assert all(range_.startswith("bytes=0-") for _, range_ in hub.asked)


@pytest.mark.slow
def test_of_a_large_file_no_more_is_fetched_than_its_header(hub: Hub) -> None:
    """A header longer than the first part is fetched in two; the data behind it never."""
    tensors = {
        f"tensor.{n}": {"dtype": "U8", "shape": [100], "data_offsets": [100 * n, 100 * n + 100]} for n in range(4000)
    }
    raw = json.dumps(tensors).encode()
    path = hub.root / "tiny" / "gpt2" / "model.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(400_000))
    done = run("verify", "tiny/gpt2", "--format", "json")
    assert (done.code, json.loads(done.out)["tensors"]["found"]) == (3, 4000)
    ranges = [range_ for file, range_ in hub.asked if file == "model.safetensors"]
    assert ranges == ["bytes=0-131071", f"bytes=131072-{8 + len(raw) - 1}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "repository, message",
    [
        ("none/such", "none/such/config.json: the hub has no such repository, or a private one: `hf auth login` for those"),
        ("gated/model", "gated/model/config.json: is gated: accept its terms on the hub, then `hf auth login`"),
        ("broken/model", "broken/model/config.json: the hub answers with status 500"),
        ("tiny/empty", "tiny/empty/config.json: the repository holds no such file"),
        ("tiny/large", "tiny/large/config.json: is larger than 16384 KiB: a config.json takes two or three"),
        ("tiny/list", "tiny/list/config.json: a config.json is an object, not a list"),
    ],
)  # fmt: skip
def test_a_repository_that_does_not_answer_is_one_clear_line(hub: Hub, repository: str, message: str) -> None:
    for name, text in (("empty", None), ("large", " " * (16 * 2**20 + 1)), ("list", "[]")):
        (hub.root / "tiny" / name).mkdir()
        if text is not None:
            (hub.root / "tiny" / name / "config.json").write_text(text, encoding="utf-8")
    assert run("params", repository) == (1, "", f"tscale: {message}\n")


@pytest.mark.slow
def test_a_repository_without_weights_is_one_clear_line(hub: Hub) -> None:
    (hub.root / "tiny" / "gpt2" / "model.safetensors").unlink()
    message = "tiny/gpt2: the repository has neither model.safetensors nor model.safetensors.index.json"
    assert run("verify", "tiny/gpt2") == (1, "", f"tscale: {message}\n")


@pytest.mark.slow
def test_an_unreachable_hub_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        done = _tscale(endpoint, tmp_path, "params", "meta-llama/Llama-3.1-8B")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"tscale: meta-llama/Llama-3.1-8B/config.json: the hub cannot be reached ({endpoint}): ")
    assert done.err.count("\n") == 1


@pytest.mark.slow
def test_offline_mode_is_honoured(hub: Hub, tmp_path: Path) -> None:
    done = _tscale(hub.endpoint, tmp_path, "params", "tiny/gpt2", HF_HUB_OFFLINE="1")
    assert done.code == 1
    assert "offline mode is enabled" in done.err
    assert done.err.count("\n") == 1
    assert hub.asked == []


def test_without_the_extra_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscale.hub.find_spec", lambda _: None)
    message = (
        "tscale: org/name: no such file here: `pip install '.[hub]'` in the folder of tscale's source lets it be read from "
        "the Hugging Face hub\n"
    )
    assert run("params", "org/name") == (1, "", message)
    assert run("verify", "gpt2", "org/name") == (1, "", message)


@pytest.mark.parametrize(
    "name, means_one",
    [
        ("meta-llama/Llama-3.1-8B", True),
        ("Qwen/Qwen2.5-7B", True),
        ("gpt2", False),
        ("org/name/more", False),
        ("./model", False),
        ("../model", False),
        ("/model", False),
        ("folder/spec.yaml", False),
        ("folder/config.json", False),
        ("org/name\n", False),
    ],
)
def test_what_means_a_repository(name: str, means_one: bool) -> None:
    assert is_repository(name) == means_one


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CHECKPOINTS / "gpt2", tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    assert run("params", "org/name").code == 0
