"""What the Hub on the loopback interface takes: new repositories, branches, files and commits."""

from __future__ import annotations

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from tests.hub_server import Hub, Repository


class Uploads(BaseHTTPRequestHandler):
    """The requests that change something."""

    hub: Hub

    def do_POST(self) -> None:
        self.receive()

    def do_PUT(self) -> None:
        self.receive()

    def receive(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        body = self.body()
        part, _, rest = path.removeprefix("/api/").strip("/").partition("/")
        if part == "objects":
            self.store_object(rest, body)
        elif not self.is_known(self.token()):
            self.refuse_token()
        elif part == "validate-yaml":
            self.send_json({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        else:
            wanted = path.removeprefix("/api/models/").removeprefix("/").replace(".git/", "/")
            name = self.hub.name_in(wanted)
            part, _, rest = wanted.removeprefix(f"{name}/").partition("/")
            if self.may_write(name or ""):
                repository = self.hub.repositories[name or ""]
                getattr(self, f"receive_{part}")(name, repository, rest, body)

    def create(self, wanted: dict[str, str]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if not self.may_write(name):
            return
        found = name in self.hub.repositories
        if not found:
            private = wanted.get("visibility") == "private" or wanted.get("private")
            first = {".gitattributes": b"*.safetensors filter=lfs\n"}
            token = self.token() if private else None
            self.hub.create(name, first, token)
        self.send_json(
            {"url": f"{self.hub.url}/{name}", "name": name}, status=409 if found else 200
        )

    def receive_branch(self, name: str, repository: Repository, branch: str, _: bytes) -> None:
        found = branch in repository.revisions
        if not found:
            repository.revisions[branch] = repository.revisions["main"]
        self.send_json({}, status=409 if found else 200)

    def receive_preupload(
        self, name: str, repository: Repository, revision: str, body: bytes
    ) -> None:
        answer = []
        for file in json.loads(body)["files"]:
            path = file["path"]
            mode = "lfs" if path.endswith(".safetensors") else "regular"
            ignored = path in self.hub.ignored
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": ignored})
        self.send_json({"files": answer})

    def receive_info(self, name: str, repository: Repository, rest: str, body: bytes) -> None:
        """Where to put large files: `info/lfs/objects/batch`."""
        objects = [
            {**item, "actions": {"upload": {"href": f"{self.hub.url}/objects/{item['oid']}"}}}
            for item in json.loads(body)["objects"]
        ]
        self.send_json({"transfer": "basic", "objects": objects})

    def store_object(self, oid: str, body: bytes) -> None:
        if "objects" in self.hub.broken or hashlib.sha256(body).hexdigest() != oid:
            self.send(500, b"", {})
        else:
            self.hub.objects[oid] = body
            self.send(200, b"", {})

    def receive_commit(self, name: str, repository: Repository, branch: str, body: bytes) -> None:
        if "commit" in self.hub.broken:
            self.send(500, b"", {})
            return
        before = repository.files(branch)
        files = dict(before)
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        repository.revisions[repository.commit(branch) or ""] = before
        repository.revisions[branch] = files
        commit = repository.commit(branch)
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self.send_json({"success": True, "commitOid": commit, "commitUrl": url})

    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def is_known(self, token: str) -> bool:
        readers = {repository.token for repository in self.hub.repositories.values()}
        return token in {*readers, *self.hub.writers} - {None}

    def may_write(self, name: str) -> bool:
        may = name.partition("/")[0] in self.hub.writers.get(self.token(), ())
        if not may:
            self.send(403, b"{}", {"X-Error-Message": "You don't have the rights to do this"})
        return may

    def refuse_token(self) -> None:
        self.send(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send_json(self, content: object, *, status: int = 200) -> None:
        self.send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

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
