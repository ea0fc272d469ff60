"""IISAN without a cache: frozen backbones run in every step (to compare; IISAN, section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from iisan_core.backbones.hub import find_source
from iisan_core.backbones.local import local_folder
from iisan_core.cache.manifest import CacheManifest, read_manifest
from iisan_core.config.places import config_read, config_written
from iisan_core.config.schema import RunConfig, refuse_another, validated
from iisan_core.errors import RefusedError
from iisan_core.files import checked, read_object, write_json
from iisan_core.finetuning.train import Outcome, open_setup, setup_events
from iisan_core.runs.moved import same_run
from iisan_core.training.device import choose_device, peak_memory, reset_peak_memory
from iisan_core.training.events import Event
from iisan_core.training.inputs import RunInputs


def what_is_left_uncached(
    config: RunConfig, path: Path, *, open_inputs: Callable[[RunConfig], RunInputs] = RunInputs.open
) -> Iterator[Event]:
    """What happens while `config` is trained without its caches; its figures end in the JSON file `path`.

    Nothing happens where they are there already; a training that was broken off starts anew. Raises `RefusedError` if
    a backbone is another than the cache was made with, or the file holds another configuration's figures.
    """
    config = config.with_absolute_paths()
    if path.exists():
        values = config_read(uncached_figures(path)["config"], record=path, strict=True)
        found = validated(RunConfig, values, where=str(path))
        if not same_run(found, config):
            refuse_another(found, config, where=path, remedy="remove that file")
        return
    device = choose_device(config.training.device)
    reset_peak_memory(device)
    setup = open_setup(config, "uncached", inputs=open_inputs(config))
    for event in setup_events(setup):
        if not isinstance(event, Outcome):
            yield event
            continue
        costs = {"trainable_parameters": setup.trainable_parameters, "peak_memory_bytes": peak_memory(device)}
        written = config_written(config.model_dump(mode="json"), record=path)
        write_json(path, {"config": written, **asdict(event), **costs})


def uncached_figures(path: Path) -> dict[str, Any]:
    """What `what_is_left_uncached` has left at `path`; raises `RefusedError` where it has not come to its end."""
    if not path.is_file():
        raise RefusedError(f"no figures at {path}: the training has not finished; run the study again")
    figures: dict[str, Any] = read_object(checked(path), what="figures of an uncached training")
    return figures


def why_not_uncached(config: RunConfig) -> str:
    """Why `config` cannot be trained without its caches here, in a sentence; empty where it can."""
    return "; ".join(filter(None, (_why_not(read_manifest(folder)) for folder in config.caches.values())))


def _why_not(manifest: CacheManifest) -> str:
    if local_folder(manifest.backbone) is None:
        return f"it runs {manifest.backbone}, which is not on this machine, or not all of it"
    if find_source(manifest.backbone).revision != manifest.revision:
        return f"it runs {manifest.backbone}, which is another here than the one that the cache was made with"
    return ""
