"""The demo's image backbone: a ViT of six layers, trained by masked image modelling on the demo's pictures.

This is done in the manner of masked autoencoders (He et al., 2021), at the size of the demo: the encoder sees some of
the patches; a decoder of one layer paints the rest. Axis letters: `B` pictures, `P` patches, `V` visible patches,
`D` width, `C` numbers in a patch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

from data_tools.demo.backbones.training import (
    DEMO_SIZE,
    EncoderSize,
    OnStep,
    adopt_encoder,
    new_backbone,
    train,
    write_model,
)
from data_tools.demo.pictures import SIDE
from iisan_core.data.pictures import UNREADABLE, read_picture
from iisan_core.errors import RefusedError

STEPS = 500
LEARNING_RATE = 5e-3
PATCH_SIZE = 8
VISIBLE_PATCHES = 26


def build_image_backbone(
    image_paths: list[Path],
    folder: Path,
    *,
    size: EncoderSize = DEMO_SIZE,
    seed: int = 0,
    steps: int = STEPS,
    on_step: OnStep | None = None,
) -> Path:
    """Train on the pictures alone and write a folder that `AutoModel` and `AutoImageProcessor` load.

    The weights follow from the pictures, their order, `size`, `seed` and `steps`, on one machine at one thread count.
    Returns `folder`. Raises `RefusedError` without pictures, without steps, on a file that is no picture, and
    if `folder` is taken.
    """
    with new_backbone(Path(folder), rows=len(image_paths), what="pictures", steps=steps, seed=seed) as temporary:
        processor = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
        pixels = _read_pixels(image_paths, processor=processor)  # [N, 3, SIDE, SIDE]
        model, loss = _train_encoder(pixels, size=size, steps=steps, on_step=on_step)
        processor.save_pretrained(temporary)
        write_model(
            model,
            temporary,
            title="Demo image backbone",
            data=f"the {len(image_paths):,} pictures of the demo catalogue",
            objective=f"paint the patches of a picture of which {VISIBLE_PATCHES} of 64 are seen (mean squared error)",
            steps=steps,
            seed=seed,
            loss=loss,
        )
    return Path(folder)


def _train_encoder(pixels: Tensor, *, size: EncoderSize, steps: int, on_step: OnStep | None) -> tuple[ViTModel, float]:
    config = _configuration(size=size)
    trainee = MaskedPatchModel(config, visible=VISIBLE_PATCHES)
    patches = cut_patches(pixels, patch_size=PATCH_SIZE)  # [N, P, C]
    start_from_components(trainee.encoder, patches)
    targets = (patches - patches.mean()) / patches.std().clamp_min(1e-6)
    loss = train(
        trainee,
        lambda rows: trainee(pixels[rows], targets[rows]),
        rows=len(pixels),
        steps=steps,
        learning_rate=LEARNING_RATE,
        on_step=on_step,
    )
    model = ViTModel(config)
    adopt_encoder(model, trainee.encoder.state_dict())
    return model, loss


def _configuration(*, size: EncoderSize) -> ViTConfig:
    return ViTConfig(
        **size.settings,
        initializer_range=0.08,
        image_size=SIDE,
        patch_size=PATCH_SIZE,
        encoder_stride=PATCH_SIZE,
    )


def _read_pixels(paths: list[Path], *, processor: ViTImageProcessorPil) -> Tensor:
    pictures = [_read_picture(path) for path in paths]
    values = processor(pictures, return_tensors="np")["pixel_values"]
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _read_picture(path: Path) -> Image.Image:
    try:
        return read_picture(path)
    except UNREADABLE as error:
        raise RefusedError(f"cannot read the picture {path}: {error}; replace or remove it") from None


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
