"""The hub's API on localhost, as much of it as giving and taking a repository needs. It keeps everything in memory."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "hf_aTokenThatNobodyMayEverSee"


@dataclass
class Stub:
    """What lies on it, and who asked how."""

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """`model user/name` → file → content."""
    private: dict[str, bool] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path, Authorization."""

    def put(self, key: str, folder: Path) -> None:
        """Have a repository hold what a folder does."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        self.repositories[key] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def sha(self, key: str) -> str:
        """The commit of a repository: the hash of what lies in it."""
        told = sorted((name, hashlib.sha256(content).hexdigest()) for name, content in self.repositories[key].items())
        return hashlib.sha1(json.dumps(told).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does."""

    stub: Stub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self._note()
        if found := re.fullmatch(r"/api/models/([^/]+/[^/?]+)(?:/revision/([^/?]+))?(?:\?.*)?", self.path):
            self._info(f"model {found[1]}", found[2])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            self._file(f"model {found[1]}", found[3])
        else:
            self._json({"error": "not here"}, status=404)

    def do_POST(self) -> None:
        self._note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"error": "who are you"}, status=401)
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            key = f"{asked.get('type', 'model')} {asked.get('organization', 'me')}/{asked['name']}"
            self.stub.repositories.setdefault(key, {})
            self.stub.private[key] = asked.get("visibility", asked.get("private")) in ("private", True)
            place = key.split()[1] if key.startswith("model") else "spaces/" + key.split()[1]
            self._json({"url": f"{self.stub.address}/{place}", "name": key.split()[1]})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            kinds = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None} for f in files]
            self._json({"files": kinds})
        elif found := re.match(r"/api/(model|space)s/([^/]+/[^/]+)/commit/", self.path):
            self._commit(f"{found[1]} {found[2]}", body)
        else:
            self._json({"error": "not here"}, status=404)

    def _note(self) -> None:
        self.stub.asked.append((self.command, self.path, self.headers.get("Authorization", "")))

    def _commit(self, key: str, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.stub.repositories[key][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        oid = self.stub.sha(key)
        self._json(
            {"commitOid": oid, "commitUrl": f"{self.stub.address}/{key.split()[1]}/commit/{oid}", "success": True}
        )

    def _info(self, key: str, revision: str | None) -> None:
        if key not in self.stub.repositories:
            self._json({"error": "Repository not found"}, status=404, **{"X-Error-Code": "RepoNotFound"})
            return
        sha = self.stub.sha(key)
        if revision not in (None, "main", sha):
            self._json({"error": "Invalid rev id"}, status=404, **{"X-Error-Code": "RevisionNotFound"})
            return
        files = [{"rfilename": name, "size": len(raw)} for name, raw in self.stub.repositories[key].items()]
        self._json({"id": key.split()[1], "modelId": key.split()[1], "sha": sha, "siblings": files, "tags": [],
                    "private": False, "downloads": 0, "likes": 0})  # fmt: skip

    def _file(self, key: str, name: str) -> None:
        content = self.stub.repositories.get(key, {}).get(name)
        if content is None:
            self._json({"error": "Entry not found"}, status=404, **{"X-Error-Code": "EntryNotFound"})
            return
        tag = hashlib.sha1(content).hexdigest()
        self._send(200, content, "application/octet-stream", {"ETag": f'"{tag}"', "X-Repo-Commit": self.stub.sha(key)})

    def _json(self, value: Any, *, status: int = 200, **headers: str) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", headers)

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextlib.contextmanager
def hub() -> Iterator[Stub]:
    """The stub, while it answers."""
    stub = Stub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"stub": stub}))
    server.daemon_threads = True
    stub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
