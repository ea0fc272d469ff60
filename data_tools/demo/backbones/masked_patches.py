"""Masked image modelling in the manner of masked autoencoders (He et al., 2021), at the size of the demo.

The encoder sees some of the patches; a decoder of one layer paints the rest. Axis letters: `B` pictures,
`P` patches, `V` visible patches, `D` width, `C` numbers in a patch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel


class MaskedPatchModel(nn.Module):
    """A ViT encoder with the small decoder that teaches it; only the encoder is kept afterwards."""

    def __init__(self, config: ViTConfig, *, visible: int) -> None:
        super().__init__()
        self.visible = visible
        self.encoder = ViTModel(config, add_pooling_layer=False)
        positions = position_waves(config.image_size // config.patch_size, width=config.hidden_size)  # [P, D]
        self.encoder.embeddings.position_embeddings.data[0, 1:] = positions
        self.decoder = ViTModel(_one_layer(config), add_pooling_layer=False).layers
        self.mask_token = nn.Parameter(torch.zeros(config.hidden_size))
        self.decoder_positions = nn.Parameter(positions.clone())
        self.decoder_norm = nn.LayerNorm(config.hidden_size)
        self.to_decoder = nn.Linear(config.hidden_size, config.hidden_size)
        self.to_pixels = nn.Linear(config.hidden_size, config.num_channels * config.patch_size**2)

    def forward(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error of the hidden patches; `pixels` `[B, 3, height, width]`, `targets` `[B, P, C]`."""
        order = torch.rand(targets.shape[:2]).argsort(dim=1)  # [B, P]
        seen = order[:, : self.visible, None].expand(-1, -1, self.mask_token.numel())  # [B, V, D]
        painted = self._paint(self._encode(pixels, seen), seen)  # [B, P, C]
        error = (painted - targets).square().mean(dim=-1)  # [B, P]
        return error.gather(1, order[:, self.visible :]).mean()

    def _encode(self, pixels: Tensor, seen: Tensor) -> Tensor:
        tokens = self.encoder.embeddings(pixels)  # [B, 1+P, D]
        tokens = torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, seen)], dim=1)  # [B, 1+V, D]
        for layer in self.encoder.layers:
            tokens = layer(tokens)
        return self.to_decoder(self.encoder.layernorm(tokens))

    def _paint(self, tokens: Tensor, seen: Tensor) -> Tensor:
        canvas = self.mask_token.expand(len(tokens), *self.decoder_positions.shape)  # [B, P, D]
        canvas = canvas.scatter(1, seen, tokens[:, 1:]) + self.decoder_positions
        canvas = torch.cat([tokens[:, :1], canvas], dim=1)
        for layer in self.decoder:
            canvas = layer(canvas)
        return self.to_pixels(self.decoder_norm(canvas[:, 1:]))


def cut_patches(pixels: Tensor, *, patch_size: int) -> Tensor:
    """Cut pictures `[N, 3, height, width]` into patches `[N, P, C]`, row by row."""
    patches = nn.functional.unfold(pixels, patch_size, stride=patch_size)  # [N, C, P]
    return patches.transpose(1, 2)


def start_from_components(encoder: ViTModel, patches: Tensor) -> None:
    """Set the patch projection to the whitened principal components of `patches` `[N, P, C]`.

    Most of what varies in raw patches is their mean colour; whitened, edges and patterns weigh as much from the
    first step, which saves most of the training.
    """
    rows = patches.flatten(0, 1)  # [N·P, C]
    projection = encoder.embeddings.patch_embeddings.projection
    width = projection.out_channels
    variances, components = torch.linalg.eigh(torch.cov(rows.T))  # ascending
    scale = 0.5 / (variances[-width:].clamp_min(0) + 1e-3).sqrt()
    matrix = (components[:, -width:] * scale).T  # [D, C]
    with torch.no_grad():
        projection.weight.copy_(matrix.reshape(projection.weight.shape))
        projection.bias.copy_(-matrix @ rows.mean(dim=0))


def position_waves(side: int, *, width: int) -> Tensor:
    """Sines and cosines of column and row on a square grid, half as high as usual: `[side², width]`."""
    frequencies = 10_000.0 ** (-torch.arange(width // 4) / (width // 4))
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [place.reshape(-1, 1) * frequencies for place in (column, row)]
    return 0.5 * torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)


def _one_layer(config: ViTConfig) -> ViTConfig:
    return ViTConfig(**{**config.to_dict(), "num_hidden_layers": 1})
