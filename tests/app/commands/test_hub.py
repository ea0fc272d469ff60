"""`iisan push` and `pull` against a folder and against a hub on localhost; a Space that starts without any network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from gradio_client import Client

from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train
from iisan_core.serving.recommender import Recommender
from iisan_core.serving.shared_folder import Sharing, share
from tests.hub_stub import TOKEN, Stub, hub

SECONDS = 180


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pushed") / "mine"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    deque(train(shop.config(), path, command="iisan train"), maxlen=0)
    torch.set_num_threads(threads)
    return path


@pytest.fixture
def stub() -> Iterator[Stub]:
    with hub() as answering:
        yield answering


def iisan(
    stub: Stub, home: Path, *arguments: Any, token: str = TOKEN, offline: str = "0"
) -> subprocess.CompletedProcess:
    """A call in a process of its own, whose hub is the stub."""
    program = arguments if arguments[0] == "-c" else ("-c", "from app.cli import main; main()", *arguments)
    environment = os.environ | {"HF_ENDPOINT": stub.address, "HF_HOME": str(home), "HF_HUB_OFFLINE": offline}
    environment |= {"HF_TOKEN": token, "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*"}
    called = [sys.executable, *map(str, program)]
    return subprocess.run(called, capture_output=True, text=True, check=False, env=environment, timeout=SECONDS)


@pytest.mark.network
@pytest.mark.long
def test_a_run_goes_to_the_hub_and_comes_back_as_it_was(run, stub, tmp_path):
    pushed = iisan(stub, tmp_path / "home", "push", run, "me/shop", "--licence", "mit")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.strip() == f"{stub.address}/me/shop"
    assert stub.private == {"model me/shop": True}
    there = stub.repositories["model me/shop"]
    assert {"README.md", "runs/mine/items.safetensors", "datasets/shop/items.parquet"} <= set(there)
    assert not any("interactions" in name or name.endswith((".pt", ".bin", ".pkl", ".py")) for name in there)

    pulled = iisan(stub, tmp_path / "home", "pull", "me/shop", "--out", tmp_path / "pulled", "--json")
    assert pulled.returncode == 0, pulled.stderr
    place = Path(json.loads(pulled.stdout)["run"])
    assert place == tmp_path / "pulled" / "runs" / "mine"
    ours, theirs = Recommender.load(run), Recommender.load(place)
    history = [ours.item_ids[0]]
    assert theirs.recommend(histories=[history], k=5) == ours.recommend(histories=[history], k=5)

    seen = "".join([pushed.stdout, pushed.stderr, pulled.stdout, pulled.stderr])
    assert TOKEN not in seen
    written = [path for path in (tmp_path / "pulled").rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in content for content in [*there.values(), *(p.read_bytes() for p in written)])
    assert all(authorization in ("", f"Bearer {TOKEN}") for *_, authorization in stub.asked)
    assert not any(TOKEN in path for _, path, _ in stub.asked)


@pytest.mark.network
@pytest.mark.long
def test_python_loads_from_the_hub_and_later_without_it(run, stub, tmp_path):
    assert iisan(stub, tmp_path / "home", "push", run, "me/shop", "--licence", "mit", "--public").returncode == 0
    assert stub.private == {"model me/shop": False}
    program = "from iisan_core import Recommender; print(Recommender.from_pretrained('me/shop').item_ids[:2])"
    first = iisan(stub, tmp_path / "home", "-c", program)
    assert first.stdout.strip() == str(Recommender.load(run).item_ids[:2]), first.stderr
    asked = len(stub.asked)
    second = iisan(stub, tmp_path / "home", "-c", program, offline="1")
    assert second.stdout == first.stdout, second.stderr
    assert len(stub.asked) == asked, "nothing was asked"


@pytest.mark.network
@pytest.mark.long
@pytest.mark.parametrize("name", ["runs/mine/best/model.pkl", "../evil.json", "space.py", "/etc/evil.json"])
def test_what_no_shared_run_has_is_not_even_fetched(run, stub, tmp_path, name):
    share(RunFolder.open(run), tmp_path / "shared", Sharing("mit"))
    stub.put("model me/shop", tmp_path / "shared")
    stub.repositories["model me/shop"][name] = b"evil"
    pulled = iisan(stub, tmp_path / "home", "pull", "me/shop", "--out", tmp_path / "pulled")
    assert pulled.returncode == 2
    assert "which no shared run has" in pulled.stderr
    assert not any("/resolve/" in path for _, path, _ in stub.asked)
    assert not (tmp_path / "pulled").exists()


@pytest.mark.network
@pytest.mark.long
def test_what_the_hub_says_no_to_is_a_sentence(run, stub, tmp_path):
    refused = iisan(stub, tmp_path / "home", "pull", "me/absent", "--out", tmp_path / "pulled")
    assert refused.returncode == 2 and "the hub has no me/absent that you may see" in refused.stderr
    stub.repositories["model me/shop"] = {"README.md": b"#"}
    refused = iisan(stub, tmp_path / "home", "pull", "me/shop", "--revision", "v9", "--out", tmp_path / "pulled")
    assert refused.returncode == 2 and "me/shop has no revision 'v9'" in refused.stderr
    stranger = iisan(stub, tmp_path / "home", "push", run, "me/shop", "--licence", "mit", token="hf_another")
    assert stranger.returncode in (1, 2) and "me/shop" in stranger.stderr
    assert "Traceback" not in stranger.stderr and "hf_another" not in stranger.stderr
    gone = iisan(Stub(address="http://127.0.0.1:9"), tmp_path / "home", "pull", "me/shop", "--out", tmp_path / "pulled")
    assert gone.returncode in (1, 2) and "Traceback" not in gone.stderr


def test_the_shell_asks_for_the_licence_and_writes_a_folder(shell, run, tmp_path):
    refused = shell("push", run, "me/shop", "--to", tmp_path / "there")
    assert refused.code == 2 and "under which licence? give --licence" in refused.err
    outcome = shell("push", run, "me/shop", "--licence", "mit", "--to", tmp_path / "there")
    assert outcome.code == 0 and outcome.err.endswith("without the interactions\n")
    assert not (tmp_path / "there/datasets/shop/interactions.parquet").exists()
    outcome = shell("push", run, "me/shop", "--license", "mit", "--with-interactions", "--to", tmp_path / "more")
    assert outcome.code == 0
    assert (tmp_path / "more/datasets/shop/interactions.parquet").is_file()
    assert shell("push", run, "no-name", "--licence", "mit").code == 2


@pytest.mark.network
@pytest.mark.long
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_space_starts_from_its_own_files_and_answers(shell, run, tmp_path):
    folder = tmp_path / "space"
    outcome = shell("push", run, "me/shop", "--licence", "mit", "--space", "--with-pictures", "--to", folder)
    assert outcome.code == 0, outcome.err
    card = (folder / "README.md").read_text()
    assert "app_file: space.py" in card and "- me/shop" in card
    assert any(line.startswith("torch") for line in (folder / "requirements.txt").read_text().splitlines())
    port = _free_port()
    (tmp_path / "elsewhere").mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GRADIO_SERVER_PORT": str(port)}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, folder / "space.py"], cwd=tmp_path / "elsewhere", env=environment, stderr=subprocess.PIPE
    )
    try:
        client = Client(
            _address(port, process), verbose=False, download_files=tmp_path / "files", analytics_enabled=False
        )
        history = Recommender.load(run).item_ids[:3]
        answer = client.predict(history, 4, api_name="/recommend")
        client.close()
    finally:
        process.kill()
        process.communicate()
    (expected,) = Recommender.load(run).recommend(histories=[history], k=4)
    assert [item["item_id"] for item in answer["recommended"]] == [item.item_id for item in expected]


def test_a_space_imports_its_own_copy_of_this_package(shell, run, tmp_path):
    folder = tmp_path / "space"
    assert shell("push", run, "me/shop", "--licence", "mit", "--space", "--to", folder).code == 0
    program = "import app.demo, iisan_core.serving.recommender as r; print(app.demo.__file__, r.__file__)"
    said = subprocess.run([sys.executable, "-c", program], cwd=folder, env={"PATH": "", "HOME": str(tmp_path)},
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert said.stdout.split() == [str(folder / "app/demo.py"), str(folder / "iisan_core/serving/recommender.py")]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _address(port: int, process: subprocess.Popen) -> str:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()[1]
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.2)
        else:
            return f"http://127.0.0.1:{port}/"
    raise AssertionError("it did not begin to listen")
