"""A Hugging Face Hub on the loopback interface: repositories from folders, faults on request."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

DATE = "2024-01-01T00:00:00.000Z"


@dataclass
class Repository:
    """What is stored under one id: for each revision, its files.

    Attributes:
        revisions: the files of each branch, tag or pull request ("refs/pr/1"), by path.
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
        requests: method and path of every request so far.
        downloads: path of every file of which content was sent.
        cut: files whose content breaks off in the middle.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    cut: set[str] = field(default_factory=set)

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
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def log_message(self, *_: object) -> None:
            pass

        def answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            is_api = path.startswith("/api/models/")
            wanted = path.removeprefix("/api/models/" if is_api else "/")
            name = next((name for name in hub.repositories if wanted.startswith(f"{name}/")), None)
            repository = hub.repositories.get(name or "")
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            known = {repository.token for repository in hub.repositories.values()}
            if given and given not in known:
                message = "Invalid credentials in Authorization header"
                self.send(401, b"{}", {"X-Error-Message": message})
            elif repository is None or repository.token not in (None, given):
                # As on the Hub, what one may not see looks like what is not there.
                self.send(404 if given else 401, b"{}", {"X-Error-Code": "RepoNotFound"})
            elif repository.gated and not is_api:
                self.send(403, b"{}", {"X-Error-Code": "GatedRepo"})
            else:
                part, _, rest = wanted.removeprefix(f"{name}/").partition("/")
                getattr(self, f"{part}_of")(name, repository, rest)

        def revision_of(self, name: str, repository: Repository, revision: str) -> None:
            if commit := self.commit_of(repository, revision):
                siblings = [{"rfilename": path} for path in repository.files(revision)]
                self.send_json({"id": name, "sha": commit, "siblings": siblings})

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
                hub.downloads.append(path)
            self.send(200, content, headers, cut=path in hub.cut)

        def commit_of(self, repository: Repository, revision: str) -> str | None:
            commit = repository.commit(revision)
            if commit is None:
                self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return commit

        def send_json(self, content: object) -> None:
            self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

        def send(
            self, status: int, content: bytes, headers: dict[str, str], *, cut: bool = False
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = cut

    return Handler


def _etag(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
