"""Two runs of a small shop that real (tiny) backbones have seen, and their service, asked without a network."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

from app.api.routes import make_app
from app.api.service import Service
from iisan_core.runs.train import train
from iisan_core.serving.recommender import Recommender

LOCAL = "http://127.0.0.1"


@dataclass(frozen=True)
class Runs:
    """Folders of two runs of one dataset."""

    first: Path
    second: Path


@pytest.fixture(scope="session")
def runs(shop, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("served")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, seed in (("first", 0), ("second", 1)):
        deque(train(shop.config(training={"seed": seed}), folder / name, command="iisan train"), maxlen=0)
    torch.set_num_threads(threads)
    return Runs(folder / "first", folder / "second")


@pytest.fixture(scope="session")
def recommender(runs: Runs) -> Recommender:
    return Recommender.load(runs.first)


@pytest.fixture
def service(runs: Runs) -> Iterator[Service]:
    """A service of both, fresh for every test."""
    made = Service.of_folders([runs.first, runs.second])
    yield made
    made.close()


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(make_app(service), base_url=LOCAL, raise_server_exceptions=False) as asked:
        yield asked


@pytest.fixture(scope="session")
def lasting_client(runs: Runs) -> Iterator[TestClient]:
    """One service for many questions that leave nothing behind."""
    made = Service.of_folders([runs.first, runs.second])
    with TestClient(make_app(made), base_url=LOCAL, raise_server_exceptions=False) as asked:
        yield asked
    made.close()
