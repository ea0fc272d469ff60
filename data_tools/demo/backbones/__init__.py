"""Two small foundation models that the project trains itself, so that the demo needs no download.

They are real transformers models in ordinary model folders. Each is self-supervised on one modality of the
demo catalogue: masked words of the titles, masked patches of the pictures. Neither sees the other modality
(that would discard what only one of them shows), an item's attributes, or any interaction.
"""

from data_tools.demo.backbones.image import build_image_backbone
from data_tools.demo.backbones.text import build_text_backbone

__all__ = ["build_image_backbone", "build_text_backbone"]
