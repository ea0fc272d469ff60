"""What a vision-language model is given of an item: its picture, its text and an instruction, as one prompt."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import transformers
from PIL import Image
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoTokenizer, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from iisan_core.errors import RefusedError, first_sentence

WHOLE = {"do_image_splitting": False, "crop_to_patches": False, "do_pan_and_scan": False}
"""Settings of image processors that cut a picture into tiles; an item's picture is read whole."""

LONGEST_SIDE = 512
"""Pixels: pictures that a processor would leave as large as they are become no larger than this before."""


@dataclass(frozen=True)
class JointProcessor:
    """A processor of pictures and texts, asked for one item at a time."""

    processor: Any

    @property
    def tokenizer(self) -> Any:
        """What cuts texts into tokens."""
        return self.processor.tokenizer

    @property
    def chats(self) -> bool:
        """Whether the model's makers say how it is spoken to; it is spoken to so."""
        return bool(getattr(self.processor, "chat_template", None))

    @cached_property
    def whole(self) -> dict[str, bool]:
        """The settings that keep its image processor from cutting pictures into tiles."""
        images = self.processor.image_processor
        defaults = getattr(self.processor, "images_kwargs", None) or {}
        return {name: off for name, off in WHOLE.items() if hasattr(images, name) or name in defaults}

    @cached_property
    def keeps_shape(self) -> bool:
        """Whether a wide and a high picture come to the model in unequal shapes."""
        wide, high = (self._given("", Image.new("RGB", shape), "") for shape in ((96, 48), (48, 96)))
        same = wide.keys() == high.keys() and all(wide[name].shape == high[name].shape for name in wide)
        return not same or any(bool((wide[n] != high[n]).any()) for n in wide if not wide[n].is_floating_point())

    def cut(self, text: str, *, tokens: int) -> str:
        """The text's first tokens; words that mean a picture or the like to the model are taken out."""
        for word in self._marks:
            text = text.replace(word, " ")
        if not self.tokenizer.is_fast:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            return text if len(ids) <= tokens else str(self.tokenizer.decode(ids[:tokens]))
        ends = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return text if len(ends) <= tokens else text[: ends[tokens - 1][1]]

    def length(self, text: str) -> int:
        """Tokens of a text alone."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def tensors(self, text: str, picture: Image.Image | None, instruction: str) -> dict[str, Tensor]:
        """What the model is given of one item, each `[1, …]` or a list of one picture's patches."""
        if picture is not None and self.keeps_shape:
            picture = picture.copy()
            picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        return self._given(text, picture, instruction)

    def _given(self, text: str, picture: Image.Image | None, instruction: str) -> dict[str, Tensor]:
        words = "\n".join(filter(None, (text, instruction)))
        made = self._chat(words, picture) if self.chats else self._plain(words, picture)
        return {name: value for name, value in made.items() if isinstance(value, Tensor)}

    def _chat(self, words: str, picture: Image.Image | None) -> Any:
        shown: list[dict[str, Any]] = [] if picture is None else [{"type": "image", "image": picture}]
        content = [*shown, *([{"type": "text", "text": words}] if words else [])]
        return ProcessorMixin.apply_chat_template(  # forms of some processors' own are about videos
            self.processor,
            [[{"role": "user", "content": content}]],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"images_kwargs": self.whole} if self.whole and shown else {},
        )

    def _plain(self, words: str, picture: Image.Image | None) -> Any:
        if picture is None:
            return self.tokenizer([words], return_tensors="pt")
        mark = getattr(self.processor, "image_token", None) or ""
        options = {"images_kwargs": self.whole} if self.whole else {}
        return self.processor(images=[picture], text=[mark + words], return_tensors="pt", **options)

    @cached_property
    def _marks(self) -> list[str]:
        own = (getattr(self.processor, f"{what}_token", None) for what in ("image", "video", "audio"))
        marks = {*filter(None, own), *self.tokenizer.all_special_tokens} - {self.tokenizer.unk_token}
        return sorted(marks, key=len, reverse=True)


def load_joint_processor(config: Any, location: str, image_processor: Any, **hub: Any) -> JointProcessor:
    """The processor at `location`, with an image processor of Pillow's and without what reads videos.

    Raises `RefusedError` where the library knows none for such a model, or it needs a package.
    """
    settings, _ = ProcessorMixin.get_processor_dict(location, **hub)
    name = settings.get("processor_class") or PROCESSOR_MAPPING_NAMES.get(config.model_type)
    kind = getattr(transformers, name, None) if name else None
    if kind is None:
        raise RefusedError(
            f"there is no processor of pictures and texts for {config.model_type} models; choose another, such as "
            "SmolVLM, Qwen3-VL or Gemma 3"
        )
    tokenizer = AutoTokenizer.from_pretrained(location, **hub)
    parts: dict[str, Callable[[], Any]] = {"image_processor": lambda: image_processor, "tokenizer": lambda: tokenizer}
    parts["video_processor"] = lambda: None
    parts["feature_extractor"] = lambda: AutoFeatureExtractor.from_pretrained(location, **hub)
    own = inspect.signature(kind.__init__).parameters
    args = [parts[part]() for part in own if part in parts]
    settings.setdefault("chat_template", getattr(tokenizer, "chat_template", None))
    try:
        return JointProcessor(without_videos(kind).from_args_and_dict(args, settings))
    except ImportError as error:
        raise RefusedError(f'{first_sentence(error)}; pip install "iisan-workbench[joint]"') from error


def without_videos(kind: type) -> Any:
    """A class of processors that takes None for what it would read videos with, which needs torchvision."""

    def accept(self: Any, argument_name: str, argument: Any) -> None:
        """Take any part."""

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": accept})
