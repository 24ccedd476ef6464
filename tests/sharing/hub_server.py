"""A Hub of models on this machine: the part of the Hugging Face Hub's interface that push and pull need."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_ofthetests"

Files = dict[str, bytes]


def sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def blob_id(contents: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest()


def is_large(name: str) -> bool:
    """Whether a file is kept outside of Git, as safetensors and pictures are."""
    return name.endswith((".safetensors", ".gif"))


class Hub:
    """Repositories, each a history of commits on branches, and what was asked for."""

    def __init__(self) -> None:
        self.branches: dict[str, dict[str, str]] = {}
        """The newest commit of each branch, by repository."""
        self.commits: dict[str, Files] = {}
        self.private: set[str] = set()
        self.large: dict[str, bytes] = {}
        self.breaks_once: set[str] = set()
        """Checksums of files whose transfer breaks off in the middle, once."""
        self.is_silly = False
        """Whether it answers with web pages, as a network that asks for a login does."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and headers of each."""
        self.url = ""

    def commit(self, repository: str, files: Files, branch: str = "main") -> str:
        """Add a commit with these files alone; return its name."""
        for name, contents in files.items():
            if is_large(name):
                self.large.setdefault(sha256(contents), contents)
        name = hashlib.sha1(f"{repository} {branch} {len(self.commits)}".encode()).hexdigest()
        self.commits[name] = dict(files)
        self.branches.setdefault(repository, {})[branch] = name
        return name

    def files(self, repository: str, branch: str = "main") -> Files:
        return self.commits[self.branches[repository][branch]]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve a hub on loopback for the duration of the block."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Refused(Exception):
    """An answer other than 200."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        self.path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.hub.is_silly:
            return self._send(200, b"<html>log in</html>", {"Content-Type": "text/html"})
        routes: tuple[tuple[str, Callable[..., Any]], ...] = (
            (r"/api/repos/create", self._create),
            (r"/api/validate-yaml", lambda _: {}),
            (r"/api/models/([^/]+/[^/]+)/preupload/(.+)", self._preupload),
            (r"/api/models/([^/]+/[^/]+)/commit/(.+)", self._commit),
            (r"/api/models/([^/]+/[^/]+)/branch/(.+)", self._branch),
            (r"/api/models/([^/]+/[^/]+)/tree/(.+)", self._tree),
            (r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self._info),
            (r"/([^/]+/[^/]+).git/info/lfs/objects/batch", self._batch),
            (r"/store/(\w+)", self._store),
            (r"/cdn/(\w+)", self._serve_large),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._resolve),
        )
        for pattern, answer in routes:
            if match := re.fullmatch(pattern, self.path):
                try:
                    found: Any = answer(body, *match.groups())
                except _Refused as refused:
                    status, code, *address = refused.args
                    return self._send(status, json.dumps({"url": "".join(address)}).encode(), {"X-Error-Code": code})
                if found is not None:
                    self._send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})
                return None
        return self._send(404, b"", {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _require_token(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _Refused(401, "")

    def _require(self, repository: str, revision: str | None) -> str:
        """Return the commit that is meant."""
        if repository in self.hub.private:
            self._require_token()
        if repository not in self.hub.branches:
            raise _Refused(404, "RepoNotFound")
        branches, revision = self.hub.branches[repository], revision or "main"
        if revision not in branches and revision not in self.hub.commits:
            raise _Refused(404, "RevisionNotFound")
        return branches.get(revision, revision)

    def _create(self, body: bytes) -> Any:
        self._require_token()
        asked = json.loads(body)
        repository = f"{asked['organization']}/{asked['name']}"
        if repository in self.hub.branches:
            raise _Refused(409, "", f"{self.hub.url}/{repository}")
        self.hub.commit(repository, {".gitattributes": b"*.safetensors filter=lfs\n"})
        if asked.get("visibility") == "private":
            self.hub.private.add(repository)
        return {"url": f"{self.hub.url}/{repository}"}

    def _branch(self, _: bytes, repository: str, branch: str) -> Any:
        self._require_token()
        branches = self.hub.branches[repository]
        if branch in branches:
            raise _Refused(409, "")
        branches[branch] = branches["main"]
        return {}

    def _info(self, _: bytes, repository: str, revision: str | None) -> Any:
        sha = self._require(repository, revision)
        siblings = [{"rfilename": name} for name in self.hub.commits[sha]]
        return {"id": repository, "sha": sha, "siblings": siblings}

    def _tree(self, _: bytes, repository: str, revision: str) -> Any:
        return [
            {"type": "file", "path": name, "size": len(contents), "oid": blob_id(contents)}
            | ({"lfs": {"oid": sha256(contents), "size": len(contents), "pointerSize": 130}} if is_large(name) else {})
            for name, contents in self.hub.commits[self._require(repository, revision)].items()
        ]

    def _preupload(self, body: bytes, *_: str) -> Any:
        self._require_token()
        names = [file["path"] for file in json.loads(body)["files"]]
        modes = [{"path": name, "uploadMode": "lfs" if is_large(name) else "regular"} for name in names]
        return {"files": [mode | {"shouldIgnore": False} for mode in modes]}

    def _batch(self, body: bytes, _: str) -> Any:
        self._require_token()
        objects = [
            file | {"actions": {"upload": {"href": f"{self.hub.url}/store/{file['oid']}"}}}
            for file in json.loads(body)["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _store(self, body: bytes, checksum: str) -> Any:
        assert sha256(body) == checksum
        self.hub.large[checksum] = body
        return {}

    def _commit(self, body: bytes, repository: str, branch: str) -> Any:
        self._require_token()
        files = dict(self.hub.files(repository, branch))
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        sha = self.hub.commit(repository, files, branch)
        return {"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{repository}/commit/{sha}"}

    def _resolve(self, _: bytes, repository: str, revision: str, name: str) -> None:
        sha = self._require(repository, revision)
        contents = self.hub.commits[sha].get(name)
        if contents is None:
            raise _Refused(404, "EntryNotFound")
        headers = {"X-Repo-Commit": sha}
        if not is_large(name):
            return self._send(200, contents, headers | {"ETag": f'"{blob_id(contents)}"'})
        elsewhere = self.hub.url.replace("127.0.0.1", "localhost")
        linked = {"X-Linked-Etag": f'"{sha256(contents)}"', "X-Linked-Size": str(len(contents))}
        return self._send(302, b"", headers | linked | {"Location": f"{elsewhere}/cdn/{sha256(contents)}"})

    def _serve_large(self, _: bytes, checksum: str) -> None:
        contents = self.hub.large[checksum]
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(asked[1]) if asked else 0
        headers = {"Content-Range": f"bytes {first}-{len(contents) - 1}/{len(contents)}"} if asked else {}
        if checksum in self.hub.breaks_once:
            self.hub.breaks_once.remove(checksum)
            headers["Content-Length"] = str(len(contents))
            self.close_connection = True
            return self._send(200, contents[: len(contents) // 2], headers)
        return self._send(206 if asked else 200, contents[first:], headers)
