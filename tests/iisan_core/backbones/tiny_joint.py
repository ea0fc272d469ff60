"""Tiny random vision-language models, saved as their makers save theirs: config, weights, tokenizer, processor."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

from iisan_core.backbones.joint_processor import without_videos

PAD, UNKNOWN, BEGIN, END = range(4)
MARKS = ["<image>", "<video>", "<img>", "</img>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
WORDS = ["[PAD]", "[UNK]", "[BOS]", "[EOS]", *MARKS]
WORDS += ["red", "green", "blue", "mug", "lamp", "scarf", "wool", "steel", "big", "small", "a", "Summarize", "this"]
WORDS += ["item", "in", "one", "word:", ":", "USER", "BOT"]
TOKEN = {word: number for number, word in enumerate(WORDS)}
IMAGE = TOKEN["<image>"]
SIDE = 32
SQUARE = {"height": SIDE, "width": SIDE}
SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
ENDS = {"vocab_size": len(WORDS) + 2000, "pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END}
TEXT = SHAPE | ENDS | {"num_key_value_heads": 1, "head_dim": 8, "initializer_range": 0.3}
VISION = SHAPE | {"num_hidden_layers": 2, "image_size": SIDE, "patch_size": 8, "initializer_range": 0.3}
TEMPLATE = (
    "{% for m in messages %}USER : {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}MARK {% else %}{{ c['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}BOT :{% endif %}"
)

CONFIGS: dict[str, dict[str, Any]] = {
    "llava": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": VISION | {"model_type": "clip_vision_model"},
        "image_token_index": IMAGE,
        "image_seq_length": 16,
    },
    "qwen2_vl": {
        "text_config": TEXT
        | {"max_position_embeddings": 256, "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]}},
        "vision_config": {"depth": 2, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "patch_size": 8}
        | {"spatial_merge_size": 2, "mlp_ratio": 2, "initializer_range": 0.3},
        "image_token_id": IMAGE,
        "video_token_id": TOKEN["<video>"],
        "vision_start_token_id": TOKEN["<img>"],
        "vision_end_token_id": TOKEN["</img>"],
    },
    "qwen3_vl": {
        "text_config": TEXT
        | {"max_position_embeddings": 256, "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]}},
        "vision_config": {"depth": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24, "patch_size": 8}
        | {"spatial_merge_size": 2, "out_hidden_size": 16, "num_position_embeddings": 64}
        | {"deepstack_visual_indexes": [0], "initializer_range": 0.3},
        "image_token_id": IMAGE,
        "video_token_id": TOKEN["<video>"],
        "vision_start_token_id": TOKEN["<img>"],
        "vision_end_token_id": TOKEN["</img>"],
    },
    "smolvlm": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": VISION,
        "image_token_id": IMAGE,
        "scale_factor": 2,
        "pad_token_id": PAD,
    },
    "idefics3": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": VISION,
        "image_token_id": IMAGE,
        "scale_factor": 2,
        "pad_token_id": PAD,
    },
    "paligemma": {
        "text_config": TEXT | {"model_type": "gemma2", "sliding_window": 64},
        "vision_config": VISION | {"model_type": "siglip_vision_model", "projection_dim": 16},
        "projection_dim": 16,
        "image_token_index": IMAGE,
    },
    "gemma3": {
        "text_config": TEXT | {"model_type": "gemma3_text", "sliding_window": 64},
        "vision_config": VISION | {"model_type": "siglip_vision_model"},
        "mm_tokens_per_image": 4,
        "image_token_index": IMAGE,
        "boi_token_index": TOKEN["<img>"],
        "eoi_token_index": TOKEN["</img>"],
    },
    "internvl": {
        "text_config": TEXT | {"model_type": "qwen2"},
        "vision_config": VISION | {"model_type": "internvl_vision", "image_size": [SIDE] * 2, "patch_size": [8, 8]},
        "image_token_id": IMAGE,
        "image_seq_length": 4,
        "downsample_ratio": 0.5,
    },
}
"""Model type → a configuration of a few thousand parameters."""

_PATCHES = {"patch_size": 8, "merge_size": 2, "size": {"shortest_edge": 256, "longest_edge": 4096}}
_TILES = {"size": {"longest_edge": SIDE}, "max_image_size": {"longest_edge": SIDE}}
PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llava": ("CLIPImageProcessorPil", {"size": {"shortest_edge": SIDE}, "crop_size": SQUARE}),
    "qwen2_vl": ("Qwen2VLImageProcessorPil", _PATCHES | {"temporal_patch_size": 2}),
    "qwen3_vl": ("Qwen2VLImageProcessorPil", _PATCHES | {"temporal_patch_size": 2}),
    "smolvlm": ("SmolVLMImageProcessorPil", _TILES),
    "idefics3": ("Idefics3ImageProcessorPil", _TILES),
    "paligemma": ("SiglipImageProcessorPil", {"size": SQUARE, "image_seq_length": 16}),
    "gemma3": ("Gemma3ImageProcessorPil", {"size": SQUARE, "image_seq_length": 4}),
    "internvl": ("GotOcr2ImageProcessorPil", {"size": SQUARE}),
}
"""Model type → the processor of its pictures, and its settings."""

PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "llava": (
        "LlavaProcessor",
        {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
    ),
    "qwen2_vl": ("Qwen2VLProcessor", {}),
    "qwen3_vl": ("Qwen3VLProcessor", {}),
    "smolvlm": ("SmolVLMProcessor", {"image_seq_len": 4}),
    "idefics3": ("Idefics3Processor", {"image_seq_len": 4}),
    "paligemma": ("PaliGemmaProcessor", {}),
    "gemma3": ("Gemma3Processor", {"image_seq_length": 4}),
    "internvl": ("InternVLProcessor", {"image_seq_length": 4}),
}
"""Model type → its processor, and its settings; all but PaliGemma are spoken to."""

SHOWN_AS = {"gemma3": "<img>", "qwen2_vl": "<img><image></img>", "qwen3_vl": "<img><image></img>"}
"""What stands for a picture in the chat template, where it is another than `<image>`."""

JOINT_TYPES = tuple(CONFIGS)


def tokenizer() -> PreTrainedTokenizerFast:
    """Words by spaces, and the marks of pictures under the names that processors ask for."""
    words = Tokenizer(models.WordLevel(TOKEN, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        bos_token="[BOS]",
        eos_token="[EOS]",
        extra_special_tokens={
            "image_token": "<image>",
            "video_token": "<video>",
            "boi_token": "<img>",
            "eoi_token": "</img>",
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<image>",
        },
    )
    made.add_special_tokens({"additional_special_tokens": MARKS})
    return made


def processor_of(model_type: str) -> Any:
    """The processor, made of its parts."""
    kind, options = PROCESSORS[model_type]
    pictures, settings = PICTURES[model_type]
    made = without_videos(getattr(transformers, kind))
    parts: dict[str, Any] = {"image_processor": getattr(transformers, pictures)(**settings), "tokenizer": tokenizer()}
    if "video_processor" in inspect.signature(made.__init__).parameters:
        parts["video_processor"] = None
    template = TEMPLATE.replace("MARK", SHOWN_AS.get(model_type, "<image>"))
    return made(**parts, **options, **({} if model_type == "paligemma" else {"chat_template": template}))


def plainly(model_type: str, text: str | None, picture: Image.Image | None) -> dict[str, Any]:
    """What the model's own processor makes of a prompt that is written out: picture, text, the usual instruction."""
    mark = SHOWN_AS.get(model_type, "<image>") if picture else ""
    words = f"{mark} {text or ''} Summarize this item in one word:"
    asked = words if model_type == "paligemma" else f"USER : {words} BOT :"
    processor = processor_of(model_type)
    if picture is None:
        return dict(processor.tokenizer(asked, return_tensors="pt"))
    tiles = {"smolvlm": "do_image_splitting", "idefics3": "do_image_splitting", "internvl": "crop_to_patches"}
    options = {"images_kwargs": {tiles[model_type]: False}} if model_type in tiles else {}
    made = dict(processor(images=[picture], text=[asked], return_tensors="pt", **options))
    return {name: value for name, value in made.items() if name != "labels"}


def save_tiny_joint(model_type: str, folder: Path, *, seed: int = 0) -> Path:
    """Write a random model of `model_type` with all that it takes to load it; returns the folder."""
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(model_type, **CONFIGS[model_type]))
    model.save_pretrained(folder)
    whole = processor_of(model_type)
    whole.tokenizer.save_pretrained(folder)
    whole.image_processor.save_pretrained(folder)
    options = PROCESSORS[model_type][1] | {"processor_class": PROCESSORS[model_type][0]}
    (folder / "processor_config.json").write_text(json.dumps(options))
    if whole.chat_template:
        (folder / "chat_template.jinja").write_text(whole.chat_template)
    return folder
