"""Counts encoders and encoder-decoders as `record.py` does, with the forward FLOPs of 70 positions.

`python tests/oracle/record_encoders.py [FAMILY ...] > tests/oracle/variations_encoders.jsonl` needs `transformers`
5.23.0 and `torch` 2.13.0. Both streams of an encoder-decoder have the length, but for Whisper, whose encoder reads as many
frames as its table of sines has rows. `flops` is null where the class cannot run on the meta device.
"""

# mypy: ignore-errors
# transformers and torch are installed only where this is run
from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import record
import torch
import transformers
from record import built, variations
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSpeechSeq2Seq,
)
from transformers.initialization import no_init_weights

LENGTH = 70
FAMILIES = {
    AutoModelForMaskedLM: "albert deberta deberta-v2 modernbert camembert xlm-roberta-xl rembert ernie data2vec-text "
    "ibert mpnet roformer megatron-bert roberta-prelayernorm eurobert nomic_bert esm gte big_bird longformer",
    AutoModelForCausalLM: "xlnet",
    AutoModelForSeq2SeqLM: "fsmt mvp plbart blenderbot-small switch_transformers nllb-moe",
    AutoModelForSpeechSeq2Seq: "whisper",
    AutoModel: "clip_text_model siglip_text_model siglip2_text_model",
}
BOTH = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
record.BASE |= {
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "switch_transformers": {"num_layers": 4, "num_decoder_layers": 4},
    "nllb-moe": {"num_experts": 8},
    "deberta": BOTH,
    "deberta-v2": BOTH | {"position_buckets": 16, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
}
FULL, SLIDES = "full_attention", "sliding_attention"
record.LISTS |= {
    "pos_att_type": (["c2p"], ["p2c"], [], "c2p|p2c"),
    "layer_types": ([FULL] * 4, [SLIDES] * 4, [SLIDES, FULL] * 2),
}
EXTRA = {
    "esm": [
        {"position_embedding_type": "rotary"},
        {"emb_layer_norm_before": True},
        {"emb_layer_norm_before": False, "position_embedding_type": "rotary", "num_attention_heads": 6},
    ],
    "albert": [
        {"num_hidden_layers": 6, "num_hidden_groups": 3, "inner_group_num": 2},
        {"num_hidden_layers": 2, "num_hidden_groups": 4},
        {"embedding_size": 4096},
    ],
    "deberta": [
        {"relative_attention": False, "position_biased_input": True},
        {"max_relative_positions": 32},
        {"max_relative_positions": 1024},
        {"pos_att_type": ["c2p"], "type_vocab_size": 2},
        {"talking_head": True},
        {"embedding_size": 128},
    ],
    "deberta-v2": [
        {"relative_attention": False, "position_biased_input": True},
        {"position_buckets": -1, "max_relative_positions": 64},
        {"position_buckets": 32, "max_relative_positions": 64},
        {"conv_kernel_size": 3},
        {"conv_kernel_size": 5, "conv_groups": 2},
        {"share_att_key": False},
        {"share_att_key": False, "pos_att_type": ["p2c"]},
        {"share_att_key": False, "pos_att_type": ["c2p"], "norm_rel_ebd": "none"},
        {"norm_rel_ebd": "none"},
        {"attention_head_size": 32},
        {"embedding_size": 128},
    ],
    "switch_transformers": [
        {"num_layers": 12, "num_decoder_layers": 12},
        {"num_layers": 8, "num_decoder_layers": 4, "num_sparse_encoder_layers": 4, "num_sparse_decoder_layers": 2},
        {"num_sparse_encoder_layers": 4, "num_sparse_decoder_layers": 4},
        {"num_sparse_encoder_layers": 0, "num_sparse_decoder_layers": 0},
        {"num_experts": 64, "router_bias": True},
    ],
    "nllb-moe": [
        {"encoder_sparse_step": 2, "decoder_sparse_step": 2},
        {"encoder_sparse_step": 1, "decoder_sparse_step": 1},
        {"encoder_sparse_step": 0, "decoder_sparse_step": 0},
        {"encoder_layers": 8, "decoder_layers": 4},
    ],
    "modernbert": [{"global_attn_every_n_layers": 2}, {"num_hidden_layers": 1}],
    "fsmt": [{"tie_word_embeddings": True, "src_vocab_size": 1000, "tgt_vocab_size": 1000}],
    "ernie": [{"use_task_id": True, "task_type_vocab_size": 5}],
    "xlnet": [{"d_model": 512, "n_head": 8, "untie_r": False}],
    "whisper": [{"encoder_layers": 2, "decoder_layers": 3, "encoder_ffn_dim": 64, "num_mel_bins": 128}],
}
"""Changes of several keys together, and by keys that the class reads and does not save."""


ON_CPU = frozenset(
    ["deberta", "deberta-v2", "xlnet", "megatron-bert", "rembert", "roformer", "ibert", "plbart", "blenderbot-small"]
)
"""Classes that look at their numbers, and so run only where there are any."""


def main() -> None:
    """Writes one line for each change that the class accepts."""
    logging.disable(logging.WARNING)
    for usual, families in FAMILIES.items():
        for family in families.split():
            if not sys.argv[1:] or family in sys.argv[1:]:
                for changed, config in every(family, usual):
                    try:
                        write(changed, config)
                    except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
                        print(f"{family} {changed}: {error!r}"[:150], file=sys.stderr)


def every(family: str, usual: type) -> Iterator[tuple[str, dict]]:
    """The variations of one field each, and those of `EXTRA`."""
    found = list(variations(family, usual))
    yield from found
    _, base = next(pair for pair in found if pair[0] not in ("nothing", "nothing, saved", "architectures"))
    plain = {"model_type": family, "architectures": base["architectures"], **record.BASE.get(family, {})}
    shallow = {key: 4 for key in record.DEPTHS if key in base}
    for changes in EXTRA.get(family, ()):
        yield " and ".join(changes), shallow | plain | changes


def write(changed: str, config: dict) -> None:
    """One configuration, counted."""
    config = json.loads(json.dumps(config, default=str))
    model = built(config).eval()
    parameters = list(model.parameters())
    line = {
        "changed": changed,
        "config": config,
        "total": sum(p.numel() for p in parameters),
        "frozen": sum(p.numel() for p in parameters if not p.requires_grad),
        "flops": flops(runnable(config, model)),
    }
    print(json.dumps(line), flush=True)


def runnable(config: dict, model: torch.nn.Module) -> torch.nn.Module:
    """The model itself, or the same with memory behind it where the class asks for that.

    Its attention is then written out in products: the counter does not know the fused kernel of a processor.
    """
    if config["model_type"] not in ON_CPU:
        return model
    (name,) = config["architectures"]
    with no_init_weights():
        own = CONFIG_MAPPING[config["model_type"]].from_dict(config)
        own._attn_implementation = "eager"
        return getattr(transformers, name)(own).eval()


def flops(model: torch.nn.Module) -> int | None:
    """Forward FLOPs of one sequence; None where the class cannot run on the meta device."""
    settings = model.requires_grad_(False).config  # the counter asks inputs that have gradients for their history
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad(), model.device:
            tokens = torch.zeros(1, LENGTH, dtype=torch.long)
            if settings.model_type == "whisper":
                frames = 2 * settings.max_source_positions
                model(input_features=torch.zeros(1, settings.num_mel_bins, frames), decoder_input_ids=tokens)
            elif settings.is_encoder_decoder:
                model(input_ids=tokens, decoder_input_ids=tokens)
            else:
                model(input_ids=tokens)
    except Exception as error:  # noqa: BLE001  # whatever it raises, there is nothing to compare with
        print(f"{settings.model_type}: {error!r}"[:150], file=sys.stderr)
        return None
    return counter.get_total_flops()


if __name__ == "__main__":
    main()
