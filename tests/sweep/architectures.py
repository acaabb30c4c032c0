"""Every causal-LM architecture of transformers, as small as its configuration allows."""

from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

ARCHITECTURES: list[str] = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)

REPRESENTATIVE = (
    "bert",  # a bidirectional model, which must be configured as a decoder
    "falcon_mamba",  # recurrent: reads padding
    "gemma2",  # soft-capped logits, sliding window
    "gpt2",
    "gpt_neox",
    "llama",
    "mamba2",
    "mixtral",  # a router
    "olmo_hybrid",  # linear and full attention
    "opt",  # a decoder inside a decoder
    "phi",  # a bias in the head
    "recurrent_gemma",
)
"""Those of the default test run."""

SMALL: dict[str, Any] = {
    "d_ff": 64,
    "d_model": 32,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 64,
    "decoder_layers": 2,
    "depth": 2,
    "dim": 32,
    "embedding_size": 32,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "encoder_layers": 2,
    "ffn_dim": 64,
    "head_dim": 8,
    "hidden_size": 32,
    "intermediate_size": 64,
    "kv_lora_rank": 16,
    "max_position_embeddings": 64,
    "max_seq_len": 64,
    "moe_intermediate_size": 32,
    "moe_num_experts": 4,
    "n_embd": 32,
    "n_group": 1,
    "n_head": 4,
    "n_heads": 4,
    "n_layer": 2,
    "n_layers": 2,
    "n_positions": 64,
    "n_routed_experts": 4,
    "num_attention_heads": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "num_layers": 2,
    "num_local_experts": 4,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "shared_expert_intermediate_size": 32,
    "topk_group": 1,
    "v_head_dim": 8,
    "word_embed_proj_dim": 32,
}
"""Used by whichever configuration has the setting."""

_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16}
_DECODER = {"is_decoder": True}

OWN: dict[str, dict[str, Any]] = {
    "bamba": {**_MAMBA, "attn_layer_indices": [1]},
    "bert": _DECODER,
    "bert-generation": _DECODER,
    "big_bird": {**_DECODER, "attention_type": "original_full"},
    "camembert": _DECODER,
    "data2vec-text": _DECODER,
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "dots1": {"n_shared_experts": 1},
    "dots3_note_text": {"num_key_value_heads": 4, "index_n_heads": 4, "index_head_dim": 8},
    "electra": _DECODER,
    "ernie": _DECODER,
    "codegen": {"rotary_dim": 4},
    "falcon_h1": {**_MAMBA, "mamba_d_ssm": 64},
    "gemma3n_text": {
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 400,
        "num_kv_shared_layers": 0,
        "laurel_rank": 4,
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    "gemma4_text": {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 400},
    "gptj": {"rotary_dim": 4},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}},
    },
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "recurrent_gemma": {"num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 16},
    "xlm": {"causal": True},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 16},
    "granitemoehybrid": {**_MAMBA, "layer_types": ["mamba", "attention"]},
    "kimi_linear": {"linear_num_heads": 4, "linear_head_dim": 8, "num_experts_per_token": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1, "chunk_size": 16},
    "megatron-bert": _DECODER,
    "reformer": {
        **_DECODER,
        "attn_layers": ["local", "local"],
        "local_attn_chunk_length": 16,
        "axial_pos_embds": False,
        "attention_head_size": 8,
        "feed_forward_size": 64,
        "hidden_dropout_prob": 0.0,
        "local_attention_probs_dropout_prob": 0.0,
    },
    "rembert": {**_DECODER, "input_embedding_size": 32, "output_embedding_size": 32},
    "roberta": _DECODER,
    "roberta-prelayernorm": _DECODER,
    "roc_bert": {
        **_DECODER,
        "pronunciation_vocab_size": 10,
        "pronunciation_embed_dim": 8,
        "shape_vocab_size": 10,
        "shape_embed_dim": 8,
    },
    "roformer": _DECODER,
    "xlm-roberta": _DECODER,
    "xlm-roberta-xl": _DECODER,
    "xlnet": {"attn_type": "uni"},
    "xlstm": {"hidden_size": 128, "num_heads": 2},
    "xmod": {**_DECODER, "default_language": "en_XX"},
    "nemotron_h": {"mamba_num_heads": 4, "mamba_head_dim": 16, "ssm_state_size": 8, "chunk_size": 16, "n_groups": 1},
    "qwen4_exp_text": {
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 8,
        "indexer_compress_ratio": 2,
        "ngram_vocab_size_base": 64,
        "split_ngram_parts": 2,
    },
    "zamba": {
        "num_hidden_layers": 4,
        "layer_types": ["mamba", "hybrid", "mamba", "hybrid"],
        "mamba_d_state": 8,
        "n_mamba_heads": 2,
        "mamba_dt_rank": 4,
    },
    "zamba2": {
        "num_hidden_layers": 4,
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "mamba_d_state": 8,
        "n_mamba_heads": 4,
        "mamba_ngroups": 1,
        "num_mem_blocks": 1,
        "chunk_size": 16,
    },
    "zaya": {"num_experts_per_tok": 1},
}
"""What an architecture needs beyond or instead of `SMALL`."""


_PARTS = "its parts (of images, sound or bytes) do not fit each other when all are small"
_DRAFT = "a draft model, which runs on another model's cache"
UNSUPPORTED: dict[str, str] = {
    "blt": _PARTS,
    "cpmant": "not causal: a prompt sees all of itself",
    "dots3_note": _PARTS,
    "emu3": "AutoModelForCausalLM cannot load what its text model saves",
    "gemma3n": "needs timm for its images; its text model, gemma3n_text, is in the table",
    "gemma4_assistant": _DRAFT,
    "gemma4_unified_assistant": _DRAFT,
    "mllama": "AutoModelForCausalLM cannot load what its text model saves",
    "musicgen": "writes sound, not text",
    "musicgen_melody": "writes sound, not text",
    "prophetnet": "predicts several tokens at once, with a loss of its own that cannot be reproduced",
    "xlm": "transformers leaves out as many tokens at the end of a block as ends of documents are in it",
    "xlnet": "transformers samples each of its tokens from a placeholder, not from the token before it",
}
"""Architectures that `phf` or transformers refuses, and why."""


def small_settings(model_type: str) -> dict[str, Any]:
    """`model.config_kwargs` of a small model of this architecture."""
    return {**_shrunk(CONFIG_MAPPING[model_type]()), **OWN.get(model_type, {})}


def _shrunk(defaults: Any) -> dict[str, Any]:
    own = defaults.to_dict()
    settings = {key: value for key, value in SMALL.items() if key in own or key in defaults.attribute_map}
    # of two names of one setting, the configuration's own
    settings = {key: value for key, value in settings.items() if defaults.attribute_map.get(key) not in settings}
    if "kv_lora_rank" in settings:  # latent attention: keys and values of every head are of one latent vector
        settings["num_key_value_heads"] = settings["num_attention_heads"]
    for key in ("layer_types", "mlp_layer_types"):
        kinds = list(dict.fromkeys(getattr(defaults, key, None) or []))
        if len(kinds) > 1 and key in own:  # one layer of each kind
            settings |= {key: kinds, "num_hidden_layers": len(kinds)}
    for key in defaults.sub_configs:
        part = getattr(defaults, key, None)
        if hasattr(part, "to_dict"):
            settings[key] = {"model_type": part.model_type, **_shrunk(part), **OWN.get(part.model_type, {})}
    return settings
