"""Models that write a text about pictures, of two kinds: those that simply caption, and those that chat.

An item's pictures are its own, or frames of its video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer, ProcessorMixin

from data_tools.captions.progress import MAX_NEW_TOKENS, Origin
from data_tools.images import UnreadableImageError, extension_of
from data_tools.text import clean_text
from iisan_core.backbones.hub import find_source, pinned, silenced
from iisan_core.backbones.video import read_frames
from iisan_core.data.dataset import Dataset
from iisan_core.data.pictures import UNREADABLE, read_picture
from iisan_core.errors import IisanError, RefusedError, first_sentence

DEFAULT_PROMPT = "Describe the main object in this picture in one sentence."
"""What chat models are asked where nothing else is said."""
Pictures = Sequence[Image.Image]
"""What is to be described: one picture, or some frames of a video in their order."""


class Captioner(Protocol):
    """Writes a text for each of several items."""

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the texts: model, revision, prompt, length. JSON values only."""

    def caption(self, items: Sequence[Pictures]) -> list[str]:
        """One cleaned text per item, empty where the model says nothing."""


@dataclass(frozen=True)
class PlainCaptioner:
    """BLIP, GIT, ViT-GPT2 and their like: a picture in, a sentence out; several frames give several sentences."""

    model: Any
    processor: Any
    """Takes pictures, and a prompt where the model knows any."""
    tokenizer: Any
    settings: dict[str, Any]

    def caption(self, items: Sequence[Pictures]) -> list[str]:
        """One text per item; equal sentences of different frames are said once."""
        sentences = iter(self._sentences(list(chain.from_iterable(items))))
        return [" ".join(dict.fromkeys(filter(None, (next(sentences) for _ in item)))) for item in items]

    @torch.inference_mode()
    def _sentences(self, pictures: list[Image.Image]) -> list[str]:
        prompt = self.settings["prompt"]
        prompted = {"text": [prompt] * len(pictures)} if prompt else {}
        inputs = self.processor(images=pictures, return_tensors="pt", **prompted).to(self.model.device)
        tokens = _generated(self.model, inputs, self.settings)
        return [clean_text(text) for text in self.tokenizer.batch_decode(tokens, skip_special_tokens=True)]


@dataclass(frozen=True)
class ChatCaptioner:
    """LLaVA, SmolVLM, Qwen-VL and their like: pictures and a request in, an answer out."""

    model: Any
    processor: Any
    settings: dict[str, Any]

    @torch.inference_mode()
    def caption(self, items: Sequence[Pictures]) -> list[str]:
        """One text per item, about all of its pictures together."""
        inputs = self.processor.apply_chat_template(
            [[self._request(pictures)] for pictures in items],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        ).to(self.model.device)
        tokens = _generated(self.model, inputs, self.settings)
        answers = tokens[:, inputs["input_ids"].shape[1] :]  # without the request
        return [clean_text(text) for text in self.processor.batch_decode(answers, skip_special_tokens=True)]

    def _request(self, pictures: Pictures) -> dict[str, Any]:
        shown: list[dict[str, Any]] = [{"type": "image", "image": picture} for picture in pictures]
        return {"role": "user", "content": [*shown, {"type": "text", "text": self.settings["prompt"]}]}


def load_captioner(
    name: str | Path,
    *,
    prompt: str = "",
    max_new_tokens: int = MAX_NEW_TOKENS,
    device: torch.device | str = "cpu",
    revision: str | None = None,
) -> Captioner:
    """Load an image-to-text or image-text-to-text model by hub id or folder.

    A model whose processor has a chat template is asked `prompt`, or `DEFAULT_PROMPT`. Any other begins its text with
    `prompt` where it knows that (BLIP, GIT). Texts are the most likely ones, nothing is sampled.

    Raises `RefusedError` if there is no such model, it does not write about pictures, or it takes no prompt.
    """
    with silenced():
        source = find_source(str(name), revision=revision)
        options = pinned(source)
        try:
            processor, tokenizer = _readers(source.location, options)
            on_cpu = torch.device(device).type == "cpu"
            model = AutoModelForImageTextToText.from_pretrained(
                source.location, dtype=torch.float32 if on_cpu else "auto", **options
            )
        except IisanError:
            raise
        except Exception as error:  # readers of weights and processors raise what they like
            raise RefusedError(
                f"{name} cannot be loaded as a model that writes about pictures: {_reason(error)}; choose an "
                "image-to-text or image-text-to-text model of the transformers format"
            ) from error
    model = model.to(device).eval()
    settings = {"model": str(name), "revision": source.revision, "prompt": prompt, "max_new_tokens": max_new_tokens}
    if getattr(processor, "chat_template", None):
        processor.tokenizer.padding_side = "left"  # answers follow their request without a gap
        return ChatCaptioner(model, processor, settings | {"prompt": prompt or DEFAULT_PROMPT})
    if prompt and not isinstance(processor, ProcessorMixin):
        raise RefusedError(f"{name} takes no prompt: it knows pictures only; leave --prompt out or choose a chat model")
    return PlainCaptioner(model, processor, tokenizer, settings)


def _reason(error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return "it is computed by a program of its own, and captions run none"
    return first_sentence(error)


def _readers(location: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """What reads pictures, and prompts where the model takes any; and what turns tokens into text."""
    processor = AutoProcessor.from_pretrained(location, **options)
    if isinstance(processor, ProcessorMixin):
        return processor, processor.tokenizer
    images = AutoImageProcessor.from_pretrained(location, backend="pil", **options)
    return images, AutoTokenizer.from_pretrained(location, **options)


def _generated(model: Any, inputs: Any, settings: dict[str, Any]) -> torch.Tensor:
    return model.generate(**inputs, max_new_tokens=settings["max_new_tokens"], do_sample=False, num_beams=1)


def files_of(dataset: Dataset, origin: Origin) -> dict[str, Path]:
    """Item id → its picture, or its video: a file, or a folder of frames; of the items that have one.

    Raises `RefusedError` if the catalogue has no such column.
    """
    paths = zip(dataset.items["item_id"], dataset.file_paths(origin), strict=True)
    return {item_id: path for item_id, path in paths if path is not None}


def open_pictures(path: Path, *, origin: Origin, frames: int) -> list[Image.Image]:
    """The picture, or up to `frames` frames spread evenly over a video; RGB.

    Raises `UnreadableImageError` if a file is absent, damaged or a decompression bomb.
    """
    try:
        if origin == "video":
            return read_frames(path, frames)
        extension_of(path.read_bytes())
        return [read_picture(path)]
    except UnreadableImageError:
        raise
    except UNREADABLE as error:
        raise UnreadableImageError(f"{path.name}: {getattr(error, 'strerror', None) or error}") from None
