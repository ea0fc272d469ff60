"""Tiny random encoders of sounds: those that mask padding, that would hear it, and that were trained with it."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    HubertConfig,
    HubertModel,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
WAVES = {"conv_dim": (8, 8), "conv_stride": (20, 16), "conv_kernel": (20, 16), "num_conv_pos_embeddings": 8,
         "num_conv_pos_embedding_groups": 2}  # fmt: skip


def masked() -> tuple[PreTrainedModel, object]:
    model = Wav2Vec2Model(Wav2Vec2Config(feat_extract_norm="layer", do_stable_layer_norm=True, **SHAPE, **WAVES))
    return model, Wav2Vec2FeatureExtractor(return_attention_mask=True)


def unmasked() -> tuple[PreTrainedModel, object]:
    return HubertModel(HubertConfig(**SHAPE, **WAVES)), Wav2Vec2FeatureExtractor(return_attention_mask=False)


def whisper() -> tuple[PreTrainedModel, object]:
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
    config = WhisperConfig(
        d_model=16, encoder_layers=2, decoder_layers=1, num_mel_bins=20, max_source_positions=100, vocab_size=20,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, **heads,
    )  # fmt: skip
    return WhisperModel(config), WhisperFeatureExtractor(feature_size=20, chunk_length=2)


def ast() -> tuple[PreTrainedModel, object]:
    config = ASTConfig(max_length=100, num_mel_bins=32, frequency_stride=16, time_stride=16, **SHAPE)
    return ASTModel(config), ASTFeatureExtractor(num_mel_bins=32, max_length=100)


FAMILIES = {"wav2vec2": masked, "hubert": unmasked, "whisper": whisper, "ast": ast}


def save_tiny_encoder(family: str, folder: Path) -> Path:
    """Write a random encoder with its feature extractor; returns the folder."""
    torch.manual_seed(0)
    model, extractor = FAMILIES[family]()
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)  # type: ignore[attr-defined]
    return folder
