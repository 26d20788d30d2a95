"""Records headers of GGUF files as llama.cpp's own converter writes them, of small models that transformers saved.

`python tests/oracle/record_gguf.py LLAMA_CPP > tests/oracle/gguf.jsonl` needs `transformers` 5.24.0, `torch` 2.13.0, and the folder of
llama.cpp as it comes with the sources of llama-cpp-python 0.3.36. It knows nothing of tscale. Each line holds the configuration, what
transformers counts of its class, the bytes of the file, and its header, compressed; the data behind it is left out. Words of
the vocabulary are made up.
"""

# mypy: ignore-errors
# torch, transformers and llama.cpp are installed only where this is run
from __future__ import annotations

import base64
import json
import logging
import sys
import tempfile
import zlib
from pathlib import Path

import torch
import transformers

sys.path[:0] = [sys.argv[1], f"{sys.argv[1]}/gguf-py"] if len(sys.argv) > 1 else []
import gguf  # noqa: E402
from conversion import get_model_class  # noqa: E402
from conversion.base import ModelBase, TextModel  # noqa: E402

WORDS = 512
SMALL = {
    "vocab_size": WORDS, "hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2,
    "intermediate_size": 448, "max_position_embeddings": 1024, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "initializer_range": 0.0,
}  # fmt: skip
EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 96}
GPT = {
    "vocab_size": WORDS,
    "n_embd": 256,
    "n_layer": 3,
    "n_head": 8,
    "n_positions": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LATENT = {"q_lora_rank": 96, "kv_lora_rank": 64, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 48}
DEEPSEEK = {
    **LATENT,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 96,
    "first_k_dense_replace": 1,
}

MODELS = {
    "llama": [{}, {"tie_word_embeddings": True}, {"head_dim": 48}, {"attention_bias": True}, {"num_key_value_heads": 8}],
    "mistral": [{}, {"sliding_window": None, "head_dim": 48}],
    "mixtral": [EXPERTS],
    "qwen2": [{}, {"tie_word_embeddings": True}],
    "qwen2_moe": [{**EXPERTS, "shared_expert_intermediate_size": 192}],
    "qwen3": [{"head_dim": 48}, {"head_dim": 32, "tie_word_embeddings": True}],
    "qwen3_moe": [{**EXPERTS, "head_dim": 48}],
    "gemma": [{"head_dim": 48}],
    "gemma2": [{"head_dim": 48, "num_hidden_layers": 4}],
    "gemma3_text": [{"head_dim": 48, "num_hidden_layers": 7}],
    "phi3": [{"pad_token_id": 0}],
    "phi": [{"num_key_value_heads": 8}],
    "gpt2": [GPT, {**GPT, "n_inner": 512}],
    "gpt_neox": [{}, {"use_parallel_residual": False}],
    "falcon": [{"num_kv_heads": 2, "new_decoder_architecture": True}, {"num_kv_heads": 1}],
    "starcoder2": [{}],
    "stablelm": [{}, {"use_qkv_bias": True}],
    "cohere": [{}],
    "cohere2": [{"num_hidden_layers": 4}],
    "olmo": [{}],
    "olmo2": [{}],
    "olmoe": [EXPERTS],
    "granite": [{}],
    "granitemoe": [EXPERTS],
    "nemotron": [{}],
    "smollm3": [{"num_hidden_layers": 4}],
    "glm4": [{"head_dim": 32}],
    "exaone4": [{"num_hidden_layers": 4}],
    "ernie4_5": [{"head_dim": 48}],
    "seed_oss": [{"head_dim": 48}],
    "hunyuan_v1_dense": [{"head_dim": 48}],
    "arcee": [{}],
    "apertus": [{}],
    "bloom": [{"vocab_size": WORDS, "n_layer": 3, "hidden_size": 256, "n_head": 8}],
    "gpt_oss": [{**EXPERTS, "head_dim": 32, "num_hidden_layers": 4}],
    "deepseek_v2": [{**DEEPSEEK, "num_key_value_heads": 8}],
    "deepseek_v3": [{**DEEPSEEK, "num_key_value_heads": 8, "n_group": 1, "topk_group": 1}],
    "mamba": [{"vocab_size": WORDS, "hidden_size": 256, "num_hidden_layers": 3, "expand": 2, "intermediate_size": 512}],
    "mamba2": [{"vocab_size": WORDS, "hidden_size": 256, "num_hidden_layers": 3, "num_heads": 8, "head_dim": 64, "n_groups": 2}],
    "bert": [{"num_key_value_heads": None}],
}  # fmt: skip

FLOATS, EIGHT = gguf.LlamaFileType.MOSTLY_F16, gguf.LlamaFileType.MOSTLY_Q8_0
QUANTIZED = {
    "llama": [({}, EIGHT), ({}, gguf.LlamaFileType.MOSTLY_BF16), ({}, gguf.LlamaFileType.ALL_F32)],
    "qwen3_moe": [({**EXPERTS, "head_dim": 48}, EIGHT)],
    "gemma2": [({"head_dim": 48, "num_hidden_layers": 4}, EIGHT)],
}

load_hparams = ModelBase.load_hparams


def main() -> None:
    """Prints a line a file."""
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    TextModel.set_vocab = _made_up
    for family, changes in MODELS.items():
        for change, kept in [*((change, FLOATS) for change in changes), *QUANTIZED.get(family, ())]:
            try:
                print(json.dumps(recorded(family, change, kept)), flush=True)
            except Exception as error:  # noqa: BLE001 (it is looked at by whoever runs this)
                print(family, change, type(error).__name__, str(error)[:300], file=sys.stderr)


def _made_up(self: TextModel) -> None:
    """Words of no language, as many as the model has."""
    words = self.hparams.get("vocab_size", WORDS)
    self.gguf_writer.add_tokenizer_model("none")
    self.gguf_writer.add_token_list([f"w{number}" for number in range(words)])


def recorded(family: str, change: dict, kept: gguf.LlamaFileType) -> dict:
    """What is told of one small model."""
    shared = SMALL if not {"n_embd", "n_layer", "n_layers", "expand"} & change.keys() else {}
    own = transformers.CONFIG_MAPPING[family]()
    values = {key: value for key, value in (shared | change).items() if key in change or hasattr(own, key)}
    config = transformers.CONFIG_MAPPING[family](**{key: value for key, value in values.items() if value is not None})
    auto = transformers.AutoModel if family == "bert" else transformers.AutoModelForCausalLM
    model = auto.from_config(config, **({"add_pooling_layer": False} if family == "bert" else {})).to(torch.float16)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with_words(Path(folder))
        file = converted(Path(folder), kept)
        size, head = file.stat().st_size, header(file)
    total = sum(parameter.numel() for parameter in model.parameters())
    return {
        "family": family, "changed": change, "kept": kept.name, "config": json.loads(config.to_json_string(use_diff=True)), "total": total,
        "bytes": size, "header": base64.b64encode(zlib.compress(head, 9)).decode(),
    }  # fmt: skip


def with_words(folder: Path) -> None:
    """Adds the words of the vocabulary, which a converter counts."""
    words = {f"w{number}": number for number in range(WORDS)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": words}, "added_tokens": []}))


OLD = {"n_ctx": 512, "rotary_pct": 0.25}
"""Keys that older releases wrote and the converter asks for."""


def converted(folder: Path, kept: gguf.LlamaFileType) -> Path:
    """The file that llama.cpp's converter makes of a folder."""
    hparams = OLD | load_hparams(folder, False)
    ModelBase.load_hparams = lambda *_, **__: hparams
    cls = get_model_class(hparams["architectures"][0])
    target = folder / "model.gguf"
    for owner in cls.__mro__:
        if "set_vocab" in vars(owner):
            owner.set_vocab = _made_up
    with torch.inference_mode():
        cls(folder, kept, target, model_name="small").write()
    return target


def header(file: Path) -> bytes:
    """The bytes before the data."""
    reader = gguf.GGUFReader(file)
    return file.read_bytes()[: reader.data_offset]


if __name__ == "__main__":
    main()
