"""A tiny random model of every type in the registry, in the ordinary folder format, with a tokenizer or processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    BitImageProcessorPil,
    CLIPImageProcessorPil,
    ConvNextImageProcessorPil,
    DeiTImageProcessorPil,
    MobileNetV1ImageProcessorPil,
    MobileNetV2ImageProcessorPil,
    PreTrainedTokenizerFast,
    SiglipImageProcessorPil,
    ViTImageProcessorPil,
)

WORDS = ["red", "green", "blue", "mug", "lamp", "scarf", "wool", "steel", "big", "small"]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY = {word: number for number, word in enumerate(SPECIALS + WORDS)}
TOKENS = {"vocab_size": len(VOCABULARY), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
SIDE = 32
"""Pixels."""

SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
ENCODER = SHAPE | TOKENS | {"max_position_embeddings": 48, "initializer_range": 0.5}
DECODER = SHAPE | TOKENS | {"num_key_value_heads": 1, "head_dim": 8, "initializer_range": 0.3}
VISION = SHAPE | {"image_size": SIDE, "patch_size": 8, "initializer_range": 0.3}
STAGES = {"hidden_sizes": [4, 6, 8, 10], "depths": [1, 1, 2, 1], "layer_scale_init_value": 1.0}
TEXT_TOWER = ENCODER | {"hidden_size": 12, "max_position_embeddings": 20}

CONFIGS: dict[str, dict[str, Any]] = {
    "bert": ENCODER,
    "roberta": ENCODER,
    "xlm-roberta": ENCODER,
    "deberta-v2": ENCODER
    | {"type_vocab_size": 0, "relative_attention": True, "position_buckets": 8, "max_relative_positions": -1}
    | {"position_biased_input": False, "pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm"}
    | {"share_att_key": True},
    "modernbert": ENCODER | {"cls_token_id": 2, "sep_token_id": 3, "local_attention": 4},
    "llama": DECODER,
    "qwen3": DECODER,
    "mistral": DECODER | {"sliding_window": 4},
    "gemma": DECODER,
    "gemma2": DECODER | {"sliding_window": 4},
    "gemma3_text": DECODER | {"sliding_window": 4},
    "vit": VISION,
    "deit": VISION,
    "dinov2": VISION | {"mlp_ratio": 2},
    "dinov3_vit": VISION | {"num_register_tokens": 2},
    "swin": {"image_size": SIDE, "patch_size": 4, "embed_dim": 8, "depths": [1, 1, 2], "num_heads": [1, 2, 2]}
    | {"window_size": 2, "initializer_range": 0.3},
    "convnext": STAGES,
    "convnextv2": STAGES,
    "mobilenet_v1": {"depth_multiplier": 0.25, "image_size": SIDE},
    "mobilenet_v2": {"depth_multiplier": 0.25, "image_size": SIDE},
    "resnet": {"embedding_size": 4, "hidden_sizes": [4, 6, 8, 10], "depths": [1, 1, 2, 1]},
    "clip": {"text_config": TEXT_TOWER, "vision_config": VISION, "projection_dim": 8},
    "siglip": {"text_config": TEXT_TOWER | {"projection_size": 12}, "vision_config": VISION},
}
"""Model type → a configuration of a few thousand parameters, weights wide enough for layers to differ."""

CONVOLUTIONAL = ("convnext", "convnextv2", "mobilenet_v1", "mobilenet_v2", "resnet")
DECODERS = ("llama", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text")
TEXT_TYPES = ("bert", "roberta", "xlm-roberta", "deberta-v2", "modernbert", *DECODERS, "clip", "siglip")
IMAGE_TYPES = (
    "vit", "deit", "dinov2", "dinov3_vit", "swin", "convnext", "convnextv2", "mobilenet_v1", "mobilenet_v2", "resnet",
    "clip", "siglip",
)  # fmt: skip

_SQUARE = {"size": {"height": SIDE, "width": SIDE}}
_CROPPED = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
PROCESSORS: dict[str, tuple[type, dict[str, Any]]] = {
    "vit": (ViTImageProcessorPil, _SQUARE),
    "deit": (DeiTImageProcessorPil, _SQUARE | {"crop_size": {"height": SIDE, "width": SIDE}}),
    "dinov2": (BitImageProcessorPil, _CROPPED),
    "dinov3_vit": (ViTImageProcessorPil, _SQUARE),
    "swin": (ViTImageProcessorPil, _SQUARE),
    "convnext": (ConvNextImageProcessorPil, {"size": {"shortest_edge": SIDE}}),
    "convnextv2": (ConvNextImageProcessorPil, {"size": {"shortest_edge": SIDE}}),
    "mobilenet_v1": (MobileNetV1ImageProcessorPil, _CROPPED),
    "mobilenet_v2": (MobileNetV2ImageProcessorPil, _CROPPED),
    "resnet": (ConvNextImageProcessorPil, {"size": {"shortest_edge": SIDE}}),
    "clip": (CLIPImageProcessorPil, _CROPPED),
    "siglip": (SiglipImageProcessorPil, _SQUARE),
}


def tiny_tokenizer(*, padding_side: str = "right", full: bool = True) -> PreTrainedTokenizerFast:
    """Ten words between a start and an end token; as SigLIP's, without a mask of its own where not `full`."""
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(word, VOCABULARY[word]) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = ["input_ids", "attention_mask"] if full else ["input_ids"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        padding_side=padding_side,
        model_input_names=names,
    )


def save_tiny_model(model_type: str, folder: Path, *, seed: int = 0) -> Path:
    """Write a random model of `model_type` with all that it takes to load it; returns the folder."""
    torch.manual_seed(seed)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **CONFIGS[model_type]))
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and model_type in CONVOLUTIONAL:
            nn.init.kaiming_normal_(module.weight)  # with the usual 0.02, nothing of the picture comes through
    model.save_pretrained(folder)
    if model_type in TEXT_TYPES:
        side = "left" if model_type in DECODERS else "right"
        tiny_tokenizer(padding_side=side, full=model_type != "siglip").save_pretrained(folder)
    if model_type in PROCESSORS:
        kind, options = PROCESSORS[model_type]
        kind(**options).save_pretrained(folder)
    return folder


EVA_PROGRAM = '''
"""A vision transformer of the EVA-02 kind: class token, rotary positions, SwiGLU, no biases in keys."""
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class EvaConfig(PretrainedConfig):
    model_type = "eva-of-a-repository"

    def __init__(self, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8, **rest):
        self.hidden_size, self.num_hidden_layers = hidden_size, num_hidden_layers
        self.num_attention_heads, self.image_size, self.patch_size = num_attention_heads, image_size, patch_size
        super().__init__(**rest)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        D = config.hidden_size
        self.heads = config.num_attention_heads
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.q, self.k, self.v = nn.Linear(D, D), nn.Linear(D, D, bias=False), nn.Linear(D, D)
        self.out, self.w1, self.w2, self.w3 = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, hidden_states):
        B, T, D = hidden_states.shape
        x = self.norm1(hidden_states)
        q, k, v = (f(x).view(B, T, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        x = F.scaled_dot_product_attention(rotated(q), rotated(k), v).transpose(1, 2).reshape(B, T, D)
        hidden_states = hidden_states + self.out(x)
        x = self.norm2(hidden_states)
        return hidden_states + self.w3(F.silu(self.w1(x)) * self.w2(x))


def rotated(x):
    T, D = x.shape[-2:]
    angle = torch.arange(T, device=x.device)[:, None] / 10 ** torch.arange(D // 2, device=x.device)
    a, b = x.chunk(2, dim=-1)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    turned = torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    return torch.cat([x[..., :1, :], turned[..., 1:, :]], dim=-2)  # the class token has no place


class EvaModel(PreTrainedModel):
    config_class = EvaConfig
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.patches = nn.Conv2d(3, config.hidden_size, config.patch_size, config.patch_size)
        self.cls_token = nn.Parameter(torch.randn(1, 1, config.hidden_size))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=0.3)

    def forward(self, pixel_values, output_hidden_states=None, return_dict=None):
        x = self.patches(pixel_values).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        every = [x]
        for block in self.blocks:
            x = block(x)
            every.append(x)
        return BaseModelOutput(last_hidden_state=x, hidden_states=tuple(every) if output_hidden_states else None)
'''


def save_eva(name: str, folder: Path) -> Path:
    """A model with a program of its own, as EVA-CLIP's repositories bring one; returns the folder."""
    folder.mkdir(parents=True)
    (folder / "modeling_eva.py").write_text(EVA_PROGRAM)
    of = {"AutoConfig": "modeling_eva.EvaConfig", "AutoModel": "modeling_eva.EvaModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "eva-of-a-repository", "auto_map": of}))
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = AutoModel.from_config(config, trust_remote_code=True)
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    ViTImageProcessorPil(**_SQUARE).save_pretrained(folder)
    return folder
