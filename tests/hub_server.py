"""A Hugging Face Hub on the loopback interface: repositories from folders, faults on request."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest

from tests.hub_uploads import Uploads

DATE = "2024-01-01T00:00:00.000Z"


@dataclass
class Repository:
    """What is stored under one id: for each revision, its files.

    Attributes:
        revisions: the files of each branch, tag, pull request ("refs/pr/1") or earlier commit, by
            path.
        pull_requests: for each number, its author and status.
        token: needed to read a private repository; None for a public one.
        gated: whether everyone is still to be let in.
    """

    revisions: dict[str, dict[str, bytes]]
    pull_requests: dict[int, tuple[str, str]] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False

    def commit(self, revision: str) -> str | None:
        """The commit that a revision, or itself a commit, stands for."""
        for name, files in self.revisions.items():
            content = b"".join(path.encode() + files[path] for path in sorted(files))
            commit = hashlib.sha1(content).hexdigest()
            if revision in (name, commit):
                return commit
        return None

    def files(self, revision: str) -> dict[str, bytes]:
        """The files of a revision or commit."""
        commit = self.commit(revision)
        return next(files for name, files in self.revisions.items() if self.commit(name) == commit)


@dataclass
class Hub:
    """A running server.

    Attributes:
        url: where it listens.
        repositories: by id.
        writers: for each token that may write, to which organisations.
        objects: large files that were uploaded, by their SHA-256.
        requests: method and path of every request so far.
        downloads: path of every file of which content was sent.
        cut: files whose content breaks off in the middle.
        broken: parts of a push that fail with 500: "objects", "commit".
        ignored: files that a commit leaves out, as if a .gitignore named them.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    writers: dict[str, set[str]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    cut: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)

    def name_in(self, path: str) -> str | None:
        """The repository that a path leads into."""
        return next((name for name in self.repositories if f"{path}/".startswith(f"{name}/")), None)

    def create(self, name: str, files: dict[str, bytes], token: str | None) -> None:
        """A new repository, private if a token is given."""
        self.repositories[name] = Repository({"main": files}, token=token)

    def add(self, name: str, folder: Path, **changes: bytes | None) -> Repository:
        """Store a folder as a repository's main branch.

        Args:
            name: its id.
            folder: files to copy.
            **changes: files to add or, with None, to leave out; "__" stands for a dot.
        """
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        files |= {path.replace("__", "."): content for path, content in changes.items()}
        main = {path: content for path, content in files.items() if content is not None}
        self.repositories[name] = Repository({"main": main})
        return self.repositories[name]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def point_client_at(hub: Hub, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Make the real client talk to this Hub, with an empty cache and without a stored token."""
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    for name, value in {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    huggingface_hub.close_session()


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `HF_HUB_OFFLINE=1` does in a new process."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()


class _Handler(Uploads):
    """The requests that only read."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:  # noqa: N802
        self.answer()

    def do_GET(self) -> None:  # noqa: N802
        self.answer()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        is_api = path.startswith("/api/models/")
        wanted = path.removeprefix("/api/models/" if is_api else "/")
        name = self.hub.name_in(wanted)
        repository = self.hub.repositories.get(name or "")
        given = self.token()
        if given and not self.is_known(given):
            self.refuse_token()
        elif repository is None or repository.token not in (None, given):
            # As on the Hub, what one may not see looks like what is not there.
            self.send(404 if given else 401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif repository.gated and not is_api:
            self.send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        else:
            part, _, rest = wanted.removeprefix(f"{name}/").partition("/")
            if wanted == name:
                part, rest = "revision", "main"
            getattr(self, f"{part}_of")(name, repository, rest)

    def revision_of(self, name: str, repository: Repository, revision: str) -> None:
        if commit := self.commit_of(repository, revision):
            siblings = [{"rfilename": path} for path in repository.files(revision)]
            private = repository.token is not None
            self.send_json({"id": name, "sha": commit, "siblings": siblings, "private": private})

    def tree_of(self, name: str, repository: Repository, revision: str) -> None:
        if self.commit_of(repository, revision):
            files = repository.files(revision).items()
            self.send_json(
                [
                    {"type": "file", "path": path, "size": len(content), "oid": _etag(content)}
                    for path, content in files
                ]
            )

    def discussions_of(self, name: str, repository: Repository, rest: str) -> None:
        discussions = [
            {
                "num": number,
                "title": "Adding `safetensors` variant of this model",
                "author": {"name": author},
                "status": status,
                "createdAt": DATE,
                "isPullRequest": True,
                "repo": {"name": name, "type": "model"},
            }
            for number, (author, status) in repository.pull_requests.items()
        ]
        count = len(discussions)
        self.send_json({"discussions": discussions, "count": count, "start": 0})

    def resolve_of(self, name: str, repository: Repository, rest: str) -> None:
        # A commit, a branch or "refs/pr/1", then the file.
        revision = next(
            (known for known in repository.revisions if rest.startswith(f"{known}/")),
            rest.partition("/")[0],
        )
        if not (commit := self.commit_of(repository, revision)):
            return
        path = rest.removeprefix(f"{revision}/")
        content = repository.files(revision).get(path)
        if content is None:
            self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": commit}
        if self.command == "GET":
            self.hub.downloads.append(path)
        self.send(200, content, headers, cut=path in self.hub.cut)

    def commit_of(self, repository: Repository, revision: str) -> str | None:
        commit = repository.commit(revision)
        if commit is None:
            self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        return commit


def _etag(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
