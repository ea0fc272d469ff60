"""Audio backbones: any encoder of sounds that the auto classes load, such as Wav2Vec2, HuBERT, Whisper and AST."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iisan_core.backbones.base import Backbone, Batch, LoadedBatch, Source, chunks, of_extra, readable
from iisan_core.config.schema import Precision

DEFAULT_SECONDS = 30

MISSING = 'sounds are read by soundfile and soxr, which are not installed: pip install "iisan-workbench[audio]"'

WAVE, PICTURED = "input_values", "input_features"
"""What models are given: samples, or a spectrogram (under either name)."""

SHORTEST = 0.025
"""Seconds: the window of the spectrograms that these models read, and the reach of their first layers."""

HEARD = "input_mask"
"""Among a batch's tensors: which samples, or columns of the spectrogram, are real; `attention_mask` is over tokens."""


class AudioBackbone(Backbone):
    """Feature extractor and model. Sounds are mixed to one channel and brought to the model's sampling rate.

    Padding is pooled nowhere. Models that would hear it (those whose feature extractor gives no mask) get sounds of
    equal length only, one by one if need be; those that read a spectrogram of fixed length were trained with it.
    """

    modality = "audio"
    poolings: tuple[str, ...] = ("mean",)

    def __init__(
        self, model: nn.Module, source: Source, *, extractor: Any, compute_dtype: Precision = "float32"
    ) -> None:
        of_extra("soundfile", MISSING)
        self._extractor = extractor
        self.rate: int = extractor.sampling_rate
        """Samples per second."""
        self._masked, self._fixed = masks_padding(extractor), has_fixed_length(extractor)
        super().__init__(model, source, compute_dtype=compute_dtype)

    def batches(
        self, inputs: Sequence[Path], *, batch_size: int, size: int | None, prompt: str = ""
    ) -> Iterator[Batch]:
        """Plan batches of sounds, shortest first, each cut to `size` seconds (None: 30)."""
        seconds = size or DEFAULT_SECONDS
        lengths = [samples_of(path, rate=self.rate, seconds=seconds) for path in inputs]
        at_once = 1 if self.one_by_one else batch_size
        for positions in batches_of(lengths, batch_size=at_once, mixed=self._masked or self._fixed):
            yield Batch(positions, partial(self._load, positions, [inputs[p] for p in positions], seconds))

    def example(self) -> dict[str, Tensor]:
        """Half a second of silence."""
        return self._tensors([torch.zeros(self.rate // 2)])

    def other_example(self) -> dict[str, Tensor]:
        """Half a second of noise."""
        return self._tensors([torch.randn(self.rate // 2, generator=torch.Generator().manual_seed(0))])

    def _load(self, positions: list[int], paths: list[Path], seconds: int) -> LoadedBatch:
        def read(path: Path) -> Tensor:
            sound = read_sound(path, rate=self.rate, seconds=seconds)
            self._check_length(len(sound))
            return sound

        problems: dict[int, str] = {}
        given = zip(positions, paths, strict=True)
        sounds = dict(readable(given, read, problems, what="sound", errors=(OSError, ValueError, RuntimeError)))
        tensors = self._tensors(list(sounds.values())) if sounds else {}
        return LoadedBatch(list(sounds), tensors, problems)

    def _check_length(self, samples: int) -> None:
        """Raise `ValueError` for a sound of which the model could make no token."""
        model: Any = self.model
        lengths = getattr(model, "_get_feat_extract_output_lengths", None)
        if samples < SHORTEST * self.rate or (lengths and not self._fixed and int(lengths(torch.tensor(samples))) < 1):
            raise ValueError(f"it has {samples:,} samples, too few for the model")

    def _tensors(self, sounds: list[Tensor]) -> dict[str, Tensor]:
        raw = [sound.numpy() for sound in sounds]
        options = {} if self._fixed else {"padding": True}
        made = self._extractor(raw, sampling_rate=self.rate, return_tensors="pt", **options)
        tensors = {name: made[name] for name in (PICTURED, WAVE) if name in made}
        if self._masked and "attention_mask" in made:
            tensors[HEARD] = made["attention_mask"]
        mask = self._token_mask(torch.tensor([len(sound) for sound in sounds]), tensors)
        return tensors if mask is None else tensors | {"attention_mask": mask}

    def _token_mask(self, lengths: Tensor, tensors: dict[str, Tensor]) -> Tensor | None:
        """Which tokens come from the sounds, `lengths` samples each, and not from padding; None where all count."""
        model: Any = self.model
        positions = getattr(model.config, "max_source_positions", None)
        if WAVE in tensors and hasattr(model, "_get_feat_extract_output_lengths"):
            tokens = model._get_feat_extract_output_lengths(lengths)
            return (torch.arange(int(tokens.max())) < tokens[:, None]).long()
        if self._fixed and positions and hasattr(self._extractor, "n_samples"):
            tokens = (lengths * positions / self._extractor.n_samples).ceil()
            return (torch.arange(positions) < tokens[:, None]).long()
        return tensors.get(HEARD)

    def _forward(self, tensors: dict[str, Tensor], *, output_hidden_states: bool = False) -> Any:
        dtype = getattr(torch, self.compute_dtype)
        given = {name: tensors[name].to(dtype) for name in (PICTURED, WAVE) if name in tensors}
        if HEARD in tensors:
            given["attention_mask"] = tensors[HEARD]
        return self.model(**given, output_hidden_states=output_hidden_states, return_dict=True)


def masks_padding(extractor: Any) -> bool:
    """Whether a feature extractor tells the model where padding is."""
    return bool(getattr(extractor, "return_attention_mask", False))


def has_fixed_length(extractor: Any) -> bool:
    """Whether a feature extractor brings all sounds to one length."""
    short, long = (silence(extractor, samples=seconds * extractor.sampling_rate) for seconds in (1, 2))
    return all(short[name].shape == long[name].shape for name in (PICTURED, WAVE) if name in short)


def silence(extractor: Any, *, samples: int) -> dict[str, Tensor]:
    """All that a feature extractor makes of so many samples of silence."""
    made = extractor(torch.zeros(samples).numpy(), sampling_rate=extractor.sampling_rate, return_tensors="pt")
    return dict(made)


def samples_of(path: Path, *, rate: int, seconds: int) -> int:
    """How many samples of a file will be read, told by its head; 0 where it cannot be read."""
    try:
        info = of_extra("soundfile", MISSING).info(path)
    except (OSError, RuntimeError):
        return 0
    return int(min(info.frames / info.samplerate, seconds) * rate)


def batches_of(lengths: Sequence[int], *, batch_size: int, mixed: bool) -> Iterator[list[int]]:
    """Positions of sounds in batches, shortest first; of unequal length in one batch only where `mixed`."""
    by_length = sorted(range(len(lengths)), key=lengths.__getitem__)
    for _, group in groupby(by_length, key=lambda position: 0 if mixed else lengths[position]):
        yield from chunks(list(group), batch_size)


def read_sound(path: Path, *, rate: int, seconds: int) -> Tensor:
    """The first `seconds` of a sound file, its channels averaged, at `rate` samples per second: float32 [samples].

    Raises `OSError` or `RuntimeError` if it is no sound file that is known here, `ValueError` if it is empty.
    """
    with of_extra("soundfile", MISSING).SoundFile(path) as file:
        samples = file.read(frames=seconds * file.samplerate, dtype="float32", always_2d=True).mean(axis=1)
        found: int = file.samplerate
    if found != rate:
        samples = of_extra("soxr", MISSING).resample(samples, found, rate)
    if len(samples) == 0:
        raise ValueError("it is empty")
    return torch.from_numpy(samples)
