"""Keys of a `config.json` that change no count, whatever they say and whoever reads them."""

from __future__ import annotations

import re
from typing import Final

_HARMLESS: Final = """
    architectures model_type _name_or_path name_or_path pretrained_model_name_or_path base_model transformers_version auto_map torch_dtype dtype tokenizer_class tokenizer_name tokenizer_type
    task_specific_params finetuning_task problem_type id2label label2id num_labels _num_labels prefix license
    quantization_config compression_config quantization quant_config sparsity_config neuron sentence_transformers is_llama_config transformers.js_config unsloth_fixed unsloth_version

    use_cache cache_implementation return_dict return_dict_in_generate output_attentions output_hidden_states
    output_scores output_past torchscript use_bfloat16 gradient_checkpointing chunk_size_feed_forward tf_legacy_loss
    _attn_implementation attn_implementation pretraining_tp slow_but_exact attention_softmax_in_fp32
    scale_attention_softmax_in_fp32 reorder_and_upcast_attn masked_softmax_fusion bias_dropout_fusion skip_bias_add
    skip_bias_add_qkv inference_runner max_batch_size max_sequence_length pad_key_length pre_allocate_kv_cache
    validate_runner_input verbose save_step use_flash_attn device_map hf_device_map batch_size loss_type is_causal

    max_length min_length max_new_tokens do_sample num_beams num_beam_groups num_return_sequences early_stopping
    temperature top_k top_p typical_p repetition_penalty length_penalty diversity_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size bad_words_ids remove_invalid_values exponential_decay_length_penalty
    force_bos_token_to_be_generated predict_special_tokens

    hidden_act hidden_activation activation activation_function afn dense_act_fn dropout_rate scale_embedding
    scale_attn_weights scale_attn_by_inverse_layer_idx logit_scale logits_scaling embedding_multiplier
    residual_multiplier attention_multiplier query_pre_attn_scalar attn_logit_softcapping final_logit_softcapping
    clip_qkv norm_eps norm_epsilon layer_norm_epsilon layer_norm_eps rms_norm_eps embedding_fraction
    apply_residual_connection_post_layernorm

    partial_rotary_factor original_max_position_embeddings offset_alibi learned_pos_emb n_ctx n_positions seq_length
    output_router_logits router_aux_loss_coef aux_loss_coef aux_loss_alpha seq_aux router_jitter_noise input_jitter_noise
    norm_topk_prob routed_scaling_factor router_scaling_factor n_group topk_group topk_method scoring_func ep_size
    moe_norm_min swiglu_limit swiglu_alpha attn_temperature_tuning attn_scale floor_scale initial_context_length
    enable_moe_fp32_combine embedding_initializer_range scale_emb scale_depth dim_model_base

    relative_attention_max_distance scale_decoder_outputs scalable_attention extra_pos_embeddings directionality tie_weights_
"""
HARMLESS: Final = frozenset(_HARMLESS.split())
"""Keys that change no count in any family that is read here: what the file is, how the model is run, how it writes,
what it does elementwise, and how it reckons positions that own nothing."""

HARMLESS_LIKE: Final = re.compile(
    r"(.*_)?(dropout|layerdrop|pdrop|dropout_prob|token_id|token_ids)"
    r"|_?(attn|experts)_implementation(_.*)?"
    r"|(rope|rotary|init|initializer|summary|pooler|forced|suppress|begin_suppress)_.*|rotary"
)


def is_harmless(key: str) -> bool:
    """Whether a key changes no count in any family."""
    return key in HARMLESS or HARMLESS_LIKE.fullmatch(key) is not None
