"""Load a backbone by alias, hub id or folder, as users of transformers expect, and quietly."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoTokenizer,
    BitsAndBytesConfig,
    ViTImageProcessorPil,
)

from iisan_core.backbones.audio import AudioBackbone
from iisan_core.backbones.base import Backbone, Source
from iisan_core.backbones.declared import Declared, declared_by
from iisan_core.backbones.hub import NO_PROGRAMS, find_source, pinned, silenced
from iisan_core.backbones.joint import JointBackbone, joint_model_of
from iisan_core.backbones.joint_processor import load_joint_processor
from iisan_core.backbones.local import local_folder
from iisan_core.backbones.registry import find_entry
from iisan_core.backbones.text import TextBackbone
from iisan_core.backbones.video import VideoBackbone
from iisan_core.backbones.vision import ImageBackbone
from iisan_core.config.schema import Modality, Precision
from iisan_core.errors import IisanError, RefusedError, first_sentence

Arithmetic: TypeAlias = Literal["auto", "float32", "bfloat16"]

Quantization: TypeAlias = Literal["4bit", "8bit"]

LARGE = 1_000_000_000
"""Parameters beyond which `auto` halves the numbers: such models are trained in bfloat16, and float32 would double
their memory for nothing."""

FORMATS: dict[Quantization, str] = {"4bit": "nf4", "8bit": "int8"}
"""What quantized weights are called in a cache's revision: their states are not those of the whole weights."""

DeviceMap: TypeAlias = str | dict[str, int | str]

AFTER_HIDDEN_STATES = {"pooler", "head", "lm_head", "classifier"}
"""Modules that read hidden states and are often left out of checkpoints."""

TRUST = "trust_remote_code (in the shell: --trust-remote-code)"

TOWERS: dict[Modality, tuple[str, ...]] = {
    "text": ("text_model", "language_model"),
    "image": ("vision_model", "vision_tower", "visual", "image_model"),
    "video": ("vision_model", "vision_tower", "visual", "image_model"),
    "audio": (),
    "joint": (),
}
"""Where joint models keep the encoder of a modality."""

READS: dict[Modality, tuple[str, ...]] = {
    "text": ("input_ids",),
    "image": ("pixel_values",),
    "video": ("pixel_values",),
    "audio": ("input_values", "input_features"),
    "joint": ("input_ids", "pixel_values"),
}
"""The inputs that make a model one of that modality."""

BACKBONES: dict[Modality, Callable[..., Backbone]] = {
    "text": TextBackbone,
    "image": ImageBackbone,
    "video": VideoBackbone,
    "audio": AudioBackbone,
    "joint": JointBackbone,
}


def load_backbone(
    name: str | Path,
    modality: Modality,
    *,
    compute_dtype: Arithmetic = "auto",
    device: str = "cpu",
    device_map: DeviceMap | None = None,
    quantization: Quantization | None = None,
    trust_remote_code: bool = False,
    token: str | bool | None = None,
    revision: str | None = None,
) -> Backbone:
    """Load a frozen backbone by alias (`minilm`; see `backbone_catalogue`), hub id or local folder.

    It is in eval mode, its weights ask for no gradients, and its tokenizer, processor or feature extractor comes with
    it (method, section 1). `n_layers` and `widths` say what it offers.

    Args:
        name: alias, hub id, or local folder as `save_pretrained` writes it.
        modality: what it shall read; of a model of several towers that one is taken; `joint` is picture and text in
            one pass of a vision-language model.
        compute_dtype: `auto` is float32, or bfloat16 for models of more than a billion parameters.
        device: where it computes.
        device_map: spreads a model that is larger than the device, as in transformers: `auto`, `balanced`, …; then
            `device` is not used.
        quantization: `4bit` or `8bit` weights by bitsandbytes.
        trust_remote_code: run the program that some repositories bring; off unless asked for.
        token: for gated and private models; unset: that of `hf auth login` or HF_TOKEN.
        revision: branch, tag or commit on the hub; unset: the newest.

    Raises:
        RefusedError: in one line if there is no such model, saying where it was sought and how to get it; if it has no
            such modality, lacks weights, or needs a program or a package that is not allowed or installed.

    Example:
        >>> backbone = load_backbone(backbone.name, "text")
        >>> len(backbone.widths) == backbone.n_layers + 1
        True
    """
    _check_trust(str(name), trusted=trust_remote_code)
    with silenced():
        source = find_source(str(name), revision=revision, token=token)
        hub = {**pinned(source), "trust_remote_code": trust_remote_code, "token": token}
        options = _Options(compute_dtype, device, device_map, quantization, hub)
        try:
            return _load(source, modality, options)
        except IisanError:
            raise
        except Exception as error:  # readers of weights raise what they like, for pickled ones an unpickling error
            reason = why_not_loaded(source.location, error)
            kind = f"{'an' if modality[0] in 'aeiou' else 'a'} {modality}"
            raise RefusedError(f"{source.name} cannot be loaded as {kind} backbone: {reason}") from error


@dataclass(frozen=True)
class _Options:
    compute_dtype: Arithmetic
    device: str
    device_map: DeviceMap | None
    quantization: Quantization | None
    hub: dict[str, Any]
    """What every `from_pretrained` is told."""


def _load(source: Source, modality: Modality, options: _Options) -> Backbone:
    config = AutoConfig.from_pretrained(source.location, **options.hub)
    dtype = chosen_dtype(options.compute_dtype, parameters=_parameters(config, source, options.hub))
    whole, missing = _whole_model(config, source, modality, dtype, options)
    model = tower_of(whole, modality, source.name)
    used = {id(weight) for weight in [*model.parameters(), *model.buffers()]}
    lacking = {name for name, weight in _weights(whole) if name in missing and id(weight) in used}
    _check_weights(source.name, lacking, own_program=hasattr(config, "auto_map"))
    if options.quantization:
        source = replace(source, revision=f"{source.revision}+{FORMATS[options.quantization]}")
    reader = _reader(source, modality, config, options.hub)
    backbone = BACKBONES[modality](model, source, compute_dtype=dtype, **reader)
    if isinstance(reader.get("processor"), PlainSteps):
        backbone.reading = backbone.reading or "pictures prepared by plain steps"
    entry = find_entry(source.name)
    if entry is not None:
        tower = entry.tower("image" if modality == "video" else modality)
        declared = reader.get("declared", Declared())
        backbone.default_pooling = declared.pooling or tower.pooling
        backbone.prompt = declared.prompt or tower.prompt or backbone.prompt
    return backbone


def _whole_model(
    config: Any, source: Source, modality: Modality, dtype: Precision, options: _Options
) -> tuple[Any, set[str]]:
    """The model, and the names of its weights that the files lack."""
    placing: dict[str, Any] = {"device_map": options.device_map} if options.device_map else {}
    if options.quantization:
        placing = {"device_map": {"": options.device}} | placing | quantized(options.quantization, dtype)
    model, report = auto_class(modality).from_pretrained(
        source.location,
        config=config,
        dtype=getattr(torch, dtype),
        output_loading_info=True,
        **placing,
        **options.hub,
    )
    return model if placing else model.to(options.device), report["missing_keys"]


def _reader(source: Source, modality: Modality, config: Any, hub: dict[str, Any]) -> dict[str, Any]:
    """What turns inputs into tensors, by the name of the backbone's argument."""
    if modality == "text":
        tokenizer = AutoTokenizer.from_pretrained(source.location, **hub)
        return {"tokenizer": tokenizer, "declared": declared_by(source.location, **hub)}
    if modality == "audio":
        return {"extractor": AutoFeatureExtractor.from_pretrained(source.location, **hub)}
    entry = find_entry(source.name)
    if entry is not None and entry.processor:  # of another repository, which nobody was asked to trust
        return {"processor": picture_processor(entry.processor, **NO_PROGRAMS, token=hub["token"])}
    pictures = picture_processor(source.location, **hub)
    if modality == "joint":
        return {"processor": load_joint_processor(config, source.location, pictures, **hub)}
    return {"processor": pictures}


def auto_class(modality: Modality) -> Any:
    """What builds a model that reads `modality`."""
    return AutoModelForImageTextToText if modality == "joint" else AutoModel


PLAIN_STEPS = {"size", "resample", "crop_size", "rescale_factor", "image_mean", "image_std", "do_resize"}
PLAIN_STEPS |= {"do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"}
"""What a plain processor does to a picture: bring it to a size, cut it, scale and shift its numbers."""


class PlainSteps(ViTImageProcessorPil):
    """Stands in for a processor of plain steps that knows torchvision only; states differ by the rounding of pixels."""


def picture_processor(place: str, **hub: Any) -> Any:
    """The image processor at `place`, with Pillow; one that has no such form is built from the steps that it names.

    Raises `ImportError` where it needs torchvision for more than plain steps.
    """
    try:
        return AutoImageProcessor.from_pretrained(place, backend="pil", **hub)
    except ImportError:
        settings, _ = ViTImageProcessorPil.get_image_processor_dict(place, **hub)
        steps = {name: value for name, value in settings.items() if value is not None and value is not False}
        further = [name for name in steps if name.startswith("do_") and name not in PLAIN_STEPS]
        if further:
            raise
        own = {name: settings[name] for name in PLAIN_STEPS if name in settings}
        return PlainSteps(**own)


def is_joint(config: Any) -> bool:
    """Whether a configuration is of a model with a text and a vision tower."""
    return hasattr(config, "text_config") and (hasattr(config, "vision_config") or hasattr(config, "image_config"))


def tower_of(model: Any, modality: Modality, name: str) -> Any:
    """The encoder of `modality` within `model`, which the user calls `name`; raises `RefusedError` if it has none."""
    if modality == "joint":
        return joint_model_of(model, name)
    whole, within = model, is_joint(model.config)
    if within:
        towers = [getattr(model, tower) for tower in TOWERS[modality] if hasattr(model, tower)]
        if not towers:
            raise RefusedError(f"{name} is a joint model without a {modality} tower that is known here")
        model = towers[0]
    # A folder of the encoder alone may say that it is no encoder-decoder model, and is loaded as one all the same.
    both = hasattr(model, "encoder") and hasattr(model, "decoder")
    if getattr(model.config, "is_encoder_decoder", False) or both:
        model = model.get_encoder()
    reads = getattr(model, "main_input_name", None) or whole.main_input_name
    # Towers of joint models often name their input after the whole model's.
    takes = signature(model.forward).parameters if within else ()
    if reads not in READS[modality] and not any(name in takes for name in (*READS[modality], "grid_thw")):
        wanted = " or ".join(READS[modality])
        raise RefusedError(f"{name} is no {modality} backbone: it reads {reads}, not {wanted}")
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False  # keys and values of a decoder are of no use after the pass
    return model


def chosen_dtype(arithmetic: Arithmetic, *, parameters: int) -> Precision:
    """`auto`: float32 up to a billion parameters, bfloat16 beyond. The machine does not enter, so caches agree."""
    if arithmetic != "auto":
        return arithmetic
    return "bfloat16" if parameters > LARGE else "float32"


def quantized(quantization: Quantization, compute_dtype: Precision) -> dict[str, Any]:
    """Arguments of `from_pretrained` for weights in 4 (NormalFloat, twice quantized) or 8 bits by bitsandbytes.

    Raises `RefusedError` where bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise RefusedError(
            f"{quantization} weights need bitsandbytes, which is not installed: "
            'pip install "iisan-workbench[quantized]"'
        )
    if quantization == "8bit":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, compute_dtype),
    )
    return {"quantization_config": config}


def _parameters(config: Any, source: Source, hub: dict[str, Any]) -> int:
    """Of the whole model, from the registry or from its configuration, before any weight is loaded."""
    entry = find_entry(source.name)
    if entry is not None:
        return entry.parameters
    with torch.device("meta"):
        model = AutoModel.from_config(config, trust_remote_code=hub["trust_remote_code"])
    return sum(p.numel() for p in model.parameters())


def _weights(model: Any) -> Iterator[tuple[str, Any]]:
    """Parameters and buffers with every name that they have."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _check_weights(name: str, missing: set[str], *, own_program: bool) -> None:
    """Refuse a model of which the library had to draw weights at random, unless no hidden state depends on them."""
    made_up = sorted(key for key in missing if AFTER_HIDDEN_STATES.isdisjoint(key.split(".")))
    if made_up:
        hint = f"; it brings its own program, which runs with {TRUST}" if own_program else ""
        raise RefusedError(
            f"{name}: {len(made_up)} of its weights are missing, the first is {made_up[0]}; the files are damaged or "
            f"belong to another architecture than config.json says{hint}"
        )


def _check_trust(name: str, *, trusted: bool) -> None:
    entry = find_entry(name)
    if entry is not None and entry.remote_code and not trusted:
        raise RefusedError(
            f"{name} is computed by a program in its repository {entry.hub_id}; read it, and if you trust it, allow it "
            f"with {TRUST}"
        )


def why_not_loaded(location: str, error: Exception) -> str:
    """What a library's error means, for a backbone at the folder or hub id `location`."""
    if "trust_remote_code" in str(error):
        return f"it is computed by a program in its own repository; read it, and if you trust it, allow it with {TRUST}"
    if not Path(location).is_dir() and local_folder(location) is None:  # its configuration alone is here
        return f"not all of its files are here; download them with `hf download {location}` ({first_sentence(error)})"
    return first_sentence(error)
