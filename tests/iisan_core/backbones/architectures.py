"""A tiny random model of nearly every architecture that transformers knows, shrunk from its default configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from .tiny_models import VOCABULARY

MODEL_TYPES = tuple(sorted(MODEL_MAPPING_NAMES))

SIZES = [
    (r"(^|_)vocab_size$|^num_embeddings$", 40),
    (r"^d_head$", 8),
    (r"^index_topk$", 64),  # fewer than there are tokens would choose between equals
    (r"(^|_)(hidden_)?(layers|layer|blocks|depth)$|^n_layer$|^layers_block_size$", 2),
    (r"num_key_value_heads|^multi_query_num|kv_heads", 2),
    (r"heads?$", 2),
    (r"head_dim|^d_kv$|^attention_head_size$|^qk_rope", 8),
    (r"intermediate_size$|ffn_dim$|^d_ff$|^d_inner$|^n_inner$|mlp_dim$|^ffn_hidden|^ff_dim|feed_forward_size$", 24),
    (
        r"^(hidden_size|d_model|n_embd|dim|embed_dim|embedding_size|emb_dim|hidden_dim|model_dim|d_embed|width|proj_dim"
        r"|encoder_hidden_size|projection_dim|input_dim|hidden_channels|projector_hidden_size|out_hidden_size"
        r"|vision_hidden_size|text_hidden_size|embed_size|embed_proj_dim|word_embed_proj_dim|attention_hidden_size"
        r"|lru_width|decoder_hidden_size)$",
        16,
    ),
    (r"max_position_embeddings$|^n_positions$|max_(source|target)_positions|^max_seq_len|^n_ctx$|^context_length", 64),
    (r"^(image|img|pretrain_image)_size$", 32),
    (r"patch_size$", 8),
    (r"lora_rank$|_rank$", 8),
    (r"experts$|^moe_num_experts", 4),
    (r"n_groups?$|topk_group$", 1),
    (r"experts_per_tok|top_k$|moe_k|topk$", 2),
    (r"state_size$|d_state$|conv_kernel_size_", 8),
]
"""What an integer of a configuration becomes at most, by its name; the first that fits counts."""

LISTS = {"mrope_section": [2, 1, 1], "num_heads": [2, 2, 2, 2], "depths": [1, 1, 1, 1]}
"""What lists become, one entry a stage."""

LEFT_OUT = ("layer_types", "mlp_layer_types", "attn_type", "id2label", "label2id", "transformers_version",
            "out_features", "out_indices", "stage_names", "architectures", "per_layer_config")  # fmt: skip
"""Lists of as many entries as the full model has layers, and what follows from them."""

LARGEST = 3 * 10**7
"""Parameters; what cannot be shrunk below is left out."""

SQUARE = {"height": 32, "width": 32}
PATCHES = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2}
PROCESSORS: list[tuple[tuple[str, ...], str, dict[str, Any]]] = [
    (
        ("qwen", "glm", "paddle", "hunyuan"),
        "Qwen2VLImageProcessorPil",
        PATCHES | {"size": {"shortest_edge": 256, "longest_edge": 4096}},
    ),
    (
        ("idefics3", "smolvlm"),
        "Idefics3ImageProcessorPil",
        {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 32}},
    ),
    (("siglip2", "lfm2"), "Siglip2ImageProcessorPil", {"patch_size": 8, "max_num_patches": 30}),
    (
        ("pixtral", "mistral3"),
        "PixtralImageProcessorPil",
        {"size": {"longest_edge": 32}, "patch_size": {"height": 8, "width": 8}},
    ),
    (
        ("llava_next",),
        "LlavaNextImageProcessorPil",
        {"size": {"shortest_edge": 32}, "crop_size": SQUARE, "image_grid_pinpoints": [[32, 64], [64, 32]]},
    ),
    (("mllama",), "MllamaImageProcessorPil", {"size": SQUARE, "max_image_tiles": 4}),
    (("",), "ViTImageProcessorPil", {"size": SQUARE}),
]
"""How model types begin → the processor of their pictures, and its settings."""


def tiny_config(model_type: str) -> Any:
    """The default configuration with every size cut down."""
    config = AutoConfig.for_model(model_type)
    values = _shrunk(config.to_dict())
    _tokens(values)
    del values["model_type"]
    return type(config)(**values)


def _shrunk(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        sections = {"mrope_section": LISTS["mrope_section"]} if name == "rope_parameters" else {}
        return {key: _shrunk(inner, key) for key, inner in value.items() if key not in LEFT_OUT} | sections
    if name in LISTS and isinstance(value, list):
        return LISTS[name][: len(value)]
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return next((min(value, size) for pattern, size in SIZES if re.search(pattern, name)), value)


def _tokens(values: dict[str, Any]) -> None:
    """Special tokens of the tiny vocabulary, in sub-configurations as well."""
    for name, token in (("pad_token_id", 0), ("bos_token_id", 2), ("eos_token_id", 3)):
        given = values.get(name)
        if (isinstance(given, int) and given > 39) or (name == "pad_token_id" and name in values):
            values[name] = token
    for inner in values.values():
        if isinstance(inner, dict):
            _tokens(inner)


def tiny_model(model_type: str) -> Any:
    """A model with wide random weights, so that layers differ; raises whatever its class does not like."""
    config = tiny_config(model_type)
    with torch.device("meta"):
        size = sum(weight.numel() for weight in AutoModel.from_config(config).parameters())
    if size > LARGEST:
        raise ValueError(f"{size:,} parameters are left after shrinking")
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2 and weight.is_floating_point():
                # Convolutions one after the other would grow states without end.
                spread = (2 / weight[0].numel()) ** 0.5 if weight.dim() >= 4 else 0.3
                weight.normal_(0, spread, generator=random)
    return model


def tokenizer_of(*, side: str, padded: bool) -> PreTrainedTokenizerFast:
    """Ten words between a start and an end token; without a token for padding where not `padded`."""
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(word, VOCABULARY[word]) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    own = {"pad_token": "[PAD]"} if padded else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[SEP]", padding_side=side, **own
    )


def save_architecture(model: Any, model_type: str, folder: Path, *, side: str = "right", padded: bool = True) -> Path:
    """Write a model with a tokenizer and a picture processor; returns the folder."""
    model.save_pretrained(folder)
    tokenizer_of(side=side, padded=padded).save_pretrained(folder)
    name, settings = next((n, s) for beginnings, n, s in PROCESSORS if model_type.startswith(beginnings))
    getattr(transformers, name)(**settings).save_pretrained(folder)
    return folder
