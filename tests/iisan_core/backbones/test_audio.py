"""Sounds by encoders of every make: those that mask padding, that would hear it, and that were trained with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from iisan_core.backbones.audio import read_sound
from iisan_core.backbones.base import Backbone
from iisan_core.backbones.loading import load_backbone
from iisan_core.errors import RefusedError

from .tiny_sounds import FAMILIES, save_tiny_encoder

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values"),
]

RATE = 16_000


@pytest.fixture(scope="module", params=FAMILIES)
def audio(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = save_tiny_encoder(str(request.param), tmp_path_factory.mktemp("backbones") / str(request.param))
    return load_backbone(folder, "audio")


Sounds = Callable[..., list[Path]]


@pytest.fixture
def sounds(tmp_path: Path) -> Sounds:
    """Noise of so many samples, and not the same noise."""

    def make(*lengths: int, rate: int = RATE) -> list[Path]:
        paths = []
        for n, length in enumerate(lengths):
            paths.append(tmp_path / f"{rate}-{n}-{length}.wav")
            soundfile.write(paths[-1], np.random.default_rng(n).normal(0, 0.1, length), rate, subtype="FLOAT")
        return paths

    return make


def encoded(backbone: Backbone, paths: list[Path], *, batch_size: int = 8) -> torch.Tensor:
    rows = {}
    for batch in backbone.batches(paths, batch_size=batch_size, size=None):
        loaded = batch.load()
        assert loaded.problems == {}
        states = backbone.encode(loaded.tensors, layers=range(backbone.n_layers + 1), pooling="mean")
        rows |= dict(zip(loaded.positions, states, strict=True))
    return torch.stack([rows[position] for position in range(len(paths))])


def test_layers_and_widths(audio: Backbone, sounds: Sounds) -> None:
    assert (audio.modality, audio.n_layers, audio.widths) == ("audio", 2, [16, 16, 16])
    states = encoded(audio, sounds(9000, 4000))
    assert states.shape == (2, sum(audio.widths))
    assert not torch.allclose(states[0], states[1], atol=1e-4)
    assert audio.poolings == (("cls", "mean", "mean-all") if "ast" in audio.name else ("mean",))


def test_a_batch_is_its_sounds_one_by_one(audio: Backbone, sounds: Sounds) -> None:
    paths = sounds(12_000, 5000, 9000, 5000)
    alone = torch.cat([encoded(audio, [path]) for path in paths])
    torch.testing.assert_close(encoded(audio, paths), alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoded(audio, paths[::-1]), alone.flip(0), rtol=1e-4, atol=1e-5)


def test_layers_are_the_library_s_own_over_real_tokens(audio: Backbone, sounds: Sounds) -> None:
    (path,) = sounds(8000)
    wave = read_sound(path, rate=RATE, seconds=30).numpy()
    extractor = audio._extractor  # type: ignore[attr-defined]
    given = extractor(wave, sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode():
        layers = audio.model(given[audio.model.main_input_name], output_hidden_states=True).hidden_states
    real = 25 if "whisper" in audio.name else None  # half a second of two, in 100 tokens
    first = 2 if "ast" in audio.name else 0  # its class and distillation tokens
    expected = torch.cat([layer[0, first:real].mean(dim=0) for layer in layers])
    torch.testing.assert_close(encoded(audio, [path])[0], expected, rtol=1e-4, atol=1e-5)


def test_sounds_of_any_rate_and_channels(sounds: Sounds, tmp_path: Path) -> None:
    (path,) = sounds(8000, rate=8000)
    assert abs(len(read_sound(path, rate=RATE, seconds=30)) - RATE) <= 1
    assert len(read_sound(sounds(3 * RATE)[0], rate=RATE, seconds=2)) == 2 * RATE
    soundfile.write(tmp_path / "stereo.wav", np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1), RATE)
    mono = read_sound(tmp_path / "stereo.wav", rate=RATE, seconds=1)
    torch.testing.assert_close(mono, torch.full((100,), (0.5 - 0.25) / 2), atol=1e-4, rtol=0)


def test_what_is_no_sound_is_reported_by_item(audio: Backbone, sounds: Sounds, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    paths = [tmp_path / "broken.wav", *sounds(4000, 0, 300), tmp_path / "absent.wav"]
    problems: dict[int, str] = {}
    positions: list[int] = []
    for batch in audio.batches(paths, batch_size=8, size=None):
        loaded = batch.load()
        problems |= loaded.problems
        positions += loaded.positions
    assert positions == [1]
    assert sorted(problems) == [0, 2, 3, 4]
    assert "it is empty" in problems[2] and "it has 300 samples, too few" in problems[3]
    assert all(problem.startswith("unreadable sound: ") for problem in problems.values())


def test_without_its_packages_a_line_says_how_to_get_them(audio: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(RefusedError, match=r'pip install "iisan-workbench\[audio\]"'):
        load_backbone(audio.name, "audio")
