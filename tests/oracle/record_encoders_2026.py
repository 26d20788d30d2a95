"""Counts further encoders and encoder-decoders as `record_encoders.py` does.

`python tests/oracle/record_encoders_2026.py [FAMILY ...] > tests/oracle/variations_encoders_2026.jsonl` needs `transformers`
5.24.0 and `torch` 2.13.0 or later. Every class of the family's module that classifies or answers is counted on the defaults too.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator

import record
import record_encoders
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

FAMILIES = {
    AutoModelForMaskedLM: "layoutlm tapas flaubert xlm jina_embeddings_v3 yoso",
    AutoModelForSeq2SeqLM: "led bigbird_pegasus",
    AutoModelForCausalLM: "qwen2_5_omni_text qwen3_omni_moe_text",
}
record.UNLISTED |= {
    "qwen2_5_omni_text": "Qwen2_5OmniThinkerTextModel",
    "qwen3_omni_moe_text": "Qwen3OmniMoeThinkerTextModel",
}
INSIDE = frozenset(["qwen2_5_omni_text", "qwen3_omni_moe_text"])
"""Text models of wholes, whose modules' other classes are of these."""
EXTRA = {
    "tapas": [{"type_vocab_sizes": [3, 10, 10]}],
    "flaubert": [{"n_langs": 4}, {"n_langs": 4, "use_lang_emb": False}, {"pre_norm": True, "n_langs": 2}],
    "xlm": [{"n_langs": 15}, {"n_langs": 15, "use_lang_emb": False}],
    "yoso": [{"conv_window": 33}, {"use_expectation": False}],
    "qwen3_omni_moe_text": [{"decoder_sparse_step": 2}, {"mlp_only_layers": [0, 2]}, {"head_dim": 48}],
    "led": [
        {"encoder_layers": 2, "decoder_layers": 3, "attention_window": [64, 64]},
        {"encoder_layers": 2, "decoder_layers": 2, "attention_window": [64, 128]},
        {"encoder_attention_heads": 8, "encoder_ffn_dim": 64},
    ],
    "bigbird_pegasus": [
        {"attention_type": "original_full"},
        {"attention_type": "original_full", "use_bias": True, "encoder_attention_heads": 8},
        {"attention_type": "original_full", "encoder_layers": 2, "decoder_layers": 3, "encoder_ffn_dim": 64},
    ],
}
record_encoders.ON_CPU |= {"layoutlm", "tapas", "flaubert", "xlm", "yoso", "bigbird_pegasus"}
CLASSIFIES = ("Classification", "QuestionAnswering", "QuestionAnsweringSimple", "MultipleChoice", "CausalLM")
SMALL = {"vocab_size": 1000, "hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256}
TWO = {"vocab_size": 1000, "d_model": 128, "encoder_ffn_dim": 256, "decoder_ffn_dim": 192,
       "encoder_attention_heads": 8, "decoder_attention_heads": 4}  # fmt: skip
GROUPED = SMALL | {"num_key_value_heads": 2}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
XLM = {"vocab_size": 1000, "emb_dim": 128, "n_heads": 4}
record.BASE |= {
    "layoutlm": SMALL,
    "tapas": SMALL,
    "yoso": SMALL,
    "jina_embeddings_v3": SMALL,
    "qwen2_5_omni_text": GROUPED,
    "qwen3_omni_moe_text": GROUPED | EXPERTS,
    "flaubert": XLM,
    "xlm": XLM,
    "bigbird_pegasus": TWO | {"attention_type": "original_full"},
    "led": TWO | {"attention_window": 64},
}
"""Small models, because most of these classes run only where there is memory behind them."""


def main() -> None:
    """Writes one line for each change that the class accepts."""
    logging.disable(logging.WARNING)
    record_encoders.EXTRA |= EXTRA
    for usual, families in FAMILIES.items():
        for family in families.split():
            if not sys.argv[1:] or family in sys.argv[1:]:
                for changed, config in (
                    *record_encoders.every(family, usual),
                    *(() if family in INSIDE else heads(family)),
                ):
                    try:
                        record_encoders.write(changed, config)
                    except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
                        print(f"{family} {changed}: {error!r}"[:150], file=sys.stderr)


def heads(family: str) -> Iterator[tuple[str, dict]]:
    """The other heads that the module of a family has."""
    module = importlib.import_module(CONFIG_MAPPING[family].__module__.replace(".configuration_", ".modeling_"))
    for name in module.__all__:
        if name.endswith(CLASSIFIES):
            yield f"head {name}", {"model_type": family, **record.BASE.get(family, {}), "architectures": [name]}


if __name__ == "__main__":
    main()
