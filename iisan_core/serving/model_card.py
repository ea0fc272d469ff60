"""A run's model card: what it is, of which data and backbones, how good, at what cost, how to use it, on what terms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iisan_core.cache.manifest import MANIFEST, CacheManifest, read_manifest
from iisan_core.config.schema import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.runs.evaluate import evaluate
from iisan_core.runs.run_folder import RunFolder

SHOWN = ("HR@10", "NDCG@10", "MRR@10")
LIBRARY = "iisan-workbench"


@dataclass(frozen=True)
class Card:
    """What a card is written from."""

    name: str
    """How others name the run: `user/name` on the hub."""
    run: RunFolder
    config: RunConfig
    licence: str
    log: bool = False
    """Whether the interactions come along."""


def model_card(card: Card) -> str:
    """The card as Markdown, with what the hub reads at its beginning; names no place of this machine."""
    results = card.run.results()
    figures, protocol = _figures(card.run, results)
    sections = [
        _head(card, results, figures),
        f"# {card.name}\n\nSequential recommendation with [{LIBRARY}](https://arxiv.org/abs/2404.02059): "
        f"{card.config.recommender}, by frozen foundation models whose hidden states small side networks adapt.",
        "## Use\n\n" + _use(card),
        "## Data\n\n" + _data(card, results),
        "## Backbones\n\n" + _backbones(card.config),
        "## Quality\n\n" + _table(figures) + f"\n\nProtocol: {protocol}. × 100; intervals by bootstrap over users.",
        "## Cost\n\n" + _cost(results),
        "## Limits\n\nIt recommends items of its catalogue, and new ones that its backbones can read. What people were "
        "shown and chose in the log stands behind every figure; another shop, time or country may differ.",
        f"## Licence\n\n`{card.licence}`, as whoever shared it says. Titles, pictures and backbones have their own.",
    ]
    return "\n\n".join(sections) + "\n"


def _figures(run: RunFolder, results: dict[str, Any]) -> tuple[dict[str, str], str]:
    """Metric → value with its interval where the users' ranks are there; and the protocol."""
    try:
        row = evaluate(run, ks=(10,), intervals=True).to_dicts()[0]
    except RefusedError:  # a folder that was shared has no ranks
        quality = results["quality"]["test"]
        return {name: f"{quality[name]:.2f}" for name in SHOWN if name in quality}, str(results["protocol"].get("name"))
    shown = {name: f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})" for name in SHOWN}
    return shown, str(row["protocol"])


def _head(card: Card, results: dict[str, Any], figures: dict[str, str]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    dataset = str(results["data"]["dataset"])
    measured = [
        EvalResult("recommendation", dataset, dataset, name, float(shown.split()[0])) for name, shown in figures.items()
    ]
    head = ModelCardData(
        license=card.licence,
        library_name=LIBRARY,
        tags=["recommendation", "sequential-recommendation", "iisan"],
        model_name=card.name,
        eval_results=measured,
    )
    return f"---\n{head.to_yaml().strip()}\n---"


def _use(card: Card) -> str:
    user = '\nrecommender.recommend(users=["a user of the log"], k=10)' if card.log else ""
    return (
        "```python\nfrom iisan_core import Recommender\n\n"
        f'recommender = Recommender.from_pretrained("{card.name}")\n'
        "first, second = recommender.item_ids[:2]\n"
        f"recommender.recommend(histories=[[first, second]], k=10){user}\n"
        "recommender.similar_items(first, k=10)\nrecommender.explain(second, history=[first])\n```\n\n"
        f"In the shell: `iisan pull {card.name}`, then `iisan serve` or `iisan gradio` with the folder that it names."
    )


def _data(card: Card, results: dict[str, Any]) -> str:
    data = results["data"]
    counts = {name: data[name] for name in ("users", "items", "interactions") if isinstance(data.get(name), int)}
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    log = "The interactions are in this repository." if card.log else "The interactions are not in this repository."
    return f"`{data['dataset']}`: {told}. {log} How often each item was trained on is, and so are titles and texts."


def _backbones(config: RunConfig) -> str:
    manifests = {name: read_manifest(path) for name, path in config.caches.items() if (path / MANIFEST).is_file()}
    rows = [_backbone(name, manifest) for name, manifest in manifests.items()]
    if not rows:
        return "None that is known here: items have learned vectors of their own, or states that are gone."
    head = "| modality | backbone | revision | layers | pooling |\n| --- | --- | --- | --- | --- |"
    return "\n".join([head, *rows])


def _backbone(name: str, manifest: CacheManifest) -> str:
    called = Path(manifest.backbone).name if Path(manifest.backbone).is_absolute() else manifest.backbone
    layers = ", ".join(map(str, manifest.layers))
    return f"| {name} | `{called}` | `{manifest.revision[:12]}` | {layers} | {manifest.pooling} |"


def _table(figures: dict[str, str]) -> str:
    rows = "\n".join(f"| {name} | {shown} |" for name, shown in figures.items())
    return f"| metric | test |\n| --- | --- |\n{rows}"


def _cost(results: dict[str, Any]) -> str:
    cost = results["efficiency"]
    told = [f"{cost['trainable_parameters']:,} trainable parameters"]
    if cost.get("seconds_per_epoch"):
        told += [
            f"{cost['seconds_per_epoch']:.1f} seconds an epoch",
            f"best epoch {cost['best_epoch']} of {cost['epochs']}",
        ]
    told += [f"{cost['peak_memory_bytes'] / 1e9:.2f} GB at most ({cost['peak_memory_of']})", str(cost["device"])]
    return "; ".join(told) + f"; {cost['precision']}; seed {results['seed']}."
