"""Audio backbones: any encoder of sounds that the auto classes load, such as Wav2Vec2, HuBERT, Whisper and AST."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iisan_core.backbones.base import Backbone, Batch, ComputeDtype, LoadedBatch, Source, chunks
from iisan_core.errors import RefusedError

DEFAULT_SECONDS = 30
SAMPLES = "samples_mask"
"""Among a batch's tensors: which samples are real, [B, samples]; the `attention_mask` there is over the tokens."""
PICTURED = "input_features"
"""What models are given that read a spectrogram of fixed length."""


class AudioBackbone(Backbone):
    """Feature extractor and model. Sounds are mixed to one channel and brought to the model's sampling rate.

    Padding is pooled nowhere. Models that would hear it (those whose feature extractor gives no mask) get sounds of
    equal length only, one by one if need be; those that read a spectrogram of fixed length were trained with it.
    """

    modality = "audio"
    poolings: tuple[str, ...] = ("mean",)

    def __init__(
        self, model: nn.Module, source: Source, *, extractor: Any, compute_dtype: ComputeDtype = "float32"
    ) -> None:
        _soundfile()
        self._extractor = extractor
        self.rate: int = extractor.sampling_rate
        """Samples per second."""
        self._masked = bool(getattr(extractor, "return_attention_mask", False))
        if any(name.endswith("cls_token") for name, _ in model.named_parameters()):
            self.poolings = ("cls", "mean")
        super().__init__(model, source, compute_dtype=compute_dtype)

    def batches(self, inputs: Sequence[Path], *, batch_size: int, size: int | None) -> Iterator[Batch]:
        """Plan batches of sounds, shortest first, each cut to `size` seconds (None: 30)."""
        seconds = size or DEFAULT_SECONDS
        lengths = [self._length(path, seconds) for path in inputs]
        by_length = sorted(range(len(inputs)), key=lambda position: lengths[position])
        # Where padding is masked or always there, any sounds go together; else those of one length.
        together = 0 if self._masked or self._fixed else 1
        for _, group in groupby(by_length, key=lambda position: together * lengths[position]):
            for positions in chunks(list(group), batch_size):
                yield Batch(positions, partial(self._load, positions, [inputs[p] for p in positions], seconds))

    def example(self) -> dict[str, Tensor]:
        """Half a second of silence."""
        return self._tensors([torch.zeros(self.rate // 2)])

    @property
    def _fixed(self) -> bool:
        """Whether inputs are brought to one length, whatever theirs is."""
        return "spectrogram" in str(type(self._extractor)).lower() or hasattr(self._extractor, "n_samples")

    def _length(self, path: Path, seconds: int) -> int:
        """Samples that will be read; 0 where the file cannot be."""
        try:
            info = _soundfile().info(path)
        except (OSError, RuntimeError):
            return 0
        return int(min(info.frames / info.samplerate, seconds) * self.rate)

    def _load(self, positions: list[int], paths: list[Path], seconds: int) -> LoadedBatch:
        sounds: dict[int, Tensor] = {}
        problems: dict[int, str] = {}
        for position, path in zip(positions, paths, strict=True):
            try:
                sounds[position] = read_sound(path, rate=self.rate, seconds=seconds)
            except (OSError, ValueError, RuntimeError) as error:
                problems[position] = f"unreadable sound: {error}"
        tensors = self._tensors(list(sounds.values())) if sounds else {}
        return LoadedBatch(list(sounds), tensors, problems)

    def _tensors(self, sounds: list[Tensor]) -> dict[str, Tensor]:
        raw = [sound.numpy() for sound in sounds]
        options = {} if self._fixed else {"padding": True}
        made = self._extractor(raw, sampling_rate=self.rate, return_tensors="pt", **options)
        tensors = {name: made[name] for name in (PICTURED, "input_values") if name in made}
        if self._masked and "attention_mask" in made:
            tensors[SAMPLES] = made["attention_mask"]
        real = torch.tensor([len(sound) for sound in sounds])
        return tensors | self._token_mask(real)

    def _token_mask(self, lengths: Tensor) -> dict[str, Tensor]:
        """Which tokens come from the sounds, `lengths` samples each, and not from padding; nothing where all count."""
        model: Any = self._model
        if hasattr(model, "_get_feat_extract_output_lengths"):
            tokens = model._get_feat_extract_output_lengths(lengths)
        elif hasattr(self._extractor, "hop_length") and hasattr(model.config, "max_source_positions"):
            step = self._extractor.hop_length * self._extractor.nb_max_frames // model.config.max_source_positions
            tokens = lengths.div(step, rounding_mode="floor").clamp(min=1)
            return {"attention_mask": (torch.arange(model.config.max_source_positions) < tokens[:, None]).long()}
        else:
            return {}
        return {"attention_mask": (torch.arange(int(tokens.max())) < tokens[:, None]).long()}

    def _forward(self, tensors: dict[str, Tensor], *, output_hidden_states: bool = False) -> Any:
        dtype = getattr(torch, self.compute_dtype)
        given = {name: tensors[name].to(dtype) for name in (PICTURED, "input_values") if name in tensors}
        if SAMPLES in tensors:
            given["attention_mask"] = tensors[SAMPLES]
        return self._model(**given, output_hidden_states=output_hidden_states, return_dict=True)


def read_sound(path: Path, *, rate: int, seconds: int) -> Tensor:
    """The first `seconds` of a sound file, its channels averaged, at `rate` samples per second: float32 [samples].

    Raises `OSError` or `RuntimeError` if it is no sound file that is known here, `ValueError` if it is empty.
    """
    with _soundfile().SoundFile(path) as file:
        samples = file.read(frames=seconds * file.samplerate, dtype="float32", always_2d=True).mean(axis=1)
        found: int = file.samplerate
    if found != rate:
        samples = _soxr().resample(samples, found, rate)
    if len(samples) == 0:
        raise ValueError("it is empty")
    return torch.from_numpy(samples)


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError:
        raise _missing() from None
    return soundfile


def _soxr() -> Any:
    try:
        import soxr
    except ImportError:
        raise _missing() from None
    return soxr


def _missing() -> RefusedError:
    return RefusedError(
        'sounds are read by soundfile and soxr, which are not installed: pip install "iisan-workbench[audio]"'
    )
