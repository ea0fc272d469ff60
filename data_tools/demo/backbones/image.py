"""The demo's image backbone: a ViT of six layers, trained by masked image modelling on the demo's pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

from data_tools.demo.backbones.folder import adopt_encoder, write_card, write_model
from data_tools.demo.backbones.masked_patches import MaskedPatchModel, cut_patches, start_from_components
from data_tools.demo.backbones.size import DEMO_SIZE, EncoderSize
from data_tools.demo.backbones.training import OnStep, refuse_unusable, seeded, train
from data_tools.demo.pictures import SIDE
from iisan_core.errors import RefusedError
from iisan_core.files import new_folder

STEPS = 500
BATCH_SIZE = 64
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
    refuse_unusable(len(image_paths), what="pictures", steps=steps)
    with new_folder(Path(folder)) as temporary, seeded(seed):
        processor = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
        pixels = _read_pixels(image_paths, processor=processor)  # [N, 3, SIDE, SIDE]
        model, loss = _train_encoder(pixels, size=size, steps=steps, on_step=on_step)
        processor.save_pretrained(temporary)
        write_model(model, temporary)
        write_card(
            model,
            temporary,
            title="Demo image backbone",
            data=f"the {len(image_paths):,} pictures of the demo catalogue",
            objective=f"paint the patches of a picture of which {VISIBLE_PATCHES} of 64 are seen (mean squared error)",
            steps=steps,
            batch_size=BATCH_SIZE,
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
        batch_size=BATCH_SIZE,
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
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except OSError as error:
        raise RefusedError(f"cannot read the picture {path}: {error}; replace or remove it") from None
