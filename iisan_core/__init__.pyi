from .backbones.loading import load_backbone
from .cache.extract import extract
from .cache.manifest import CacheSettings
from .cache.store import HiddenStateCache
from .config.presets import load_preset
from .config.schema import RunConfig, load_config
from .data.dataset import Dataset
from .data.split import Split, split
from .errors import IisanError, RefusedError
from .experiments.leaderboard import leaderboard
from .model.recommender import RecommenderModel
from .model.saving import load_model
from .runs.evaluate import evaluate
from .runs.finish import finish
from .runs.run_folder import RunFolder
from .runs.train import ensure_trained, resume, train
from .runs.workspace import Workspace
from .serving.bulk import BulkRequest
from .serving.recommender import Recommender
from .training.fit import fit

__all__ = [
    "BulkRequest",
    "CacheSettings",
    "Dataset",
    "HiddenStateCache",
    "IisanError",
    "Recommender",
    "RecommenderModel",
    "RefusedError",
    "RunConfig",
    "RunFolder",
    "Split",
    "Workspace",
    "ensure_trained",
    "evaluate",
    "extract",
    "finish",
    "fit",
    "leaderboard",
    "load_backbone",
    "load_config",
    "load_model",
    "load_preset",
    "resume",
    "split",
    "train",
]
