"""The least of an S3-compatible server: objects in memory; GET with ranges, HEAD, PUT, DELETE, list and multipart.

Signatures are verified as S3 does, and trouble can be ordered: answers 503, and bodies that break off.
"""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.ledger import sigv4

KEY, SECRET = "test-key", "test-secret"


@dataclass
class S3:
    """One server with the buckets in ``buckets``."""

    port: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    buckets: set[str] = field(default_factory=lambda: {"bucket", "b"})
    busy: int = 0
    """So many requests are answered 503 before the next one is carried out."""
    torn: int = 0
    """So many bodies of GET end in their middle."""
    parts: threading.Event = field(default_factory=threading.Event)
    """Set when a part of an upload has come."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
        }  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = await request.body()
        self.seen.append(f"{request.method} {request.url.path}?{request.url.query}")
        response = self._checked(request, body)
        if self.torn and request.method == "GET" and len(response.body) > 1 and "list-type" not in request.query_params:
            self.torn -= 1
            response.body = response.body[: len(response.body) // 2]  # the headers promise all of it
        await response(scope, receive, send)

    def _checked(self, request: Request, body: bytes) -> Response:
        path = request.scope["raw_path"].decode().partition("?")[0]
        headers = {name.lower(): value for name, value in request.headers.items()}
        wrong = sigv4.problem(SECRET, KEY, request.method, path, request.url.query, headers, body)
        if wrong:
            return _error(wrong, 403)
        if path.split("/")[1] not in self.buckets:
            return _error("NoSuchBucket", 404)
        if self.busy:
            self.busy -= 1
            return _error("SlowDown", 503)
        return self._answer(request, body)

    def _answer(self, request: Request, body: bytes) -> Response:
        path, query = request.url.path.lstrip("/"), request.query_params
        match request.method:
            case "POST" if "uploads" in query:
                self.uploads[path] = {}
                return Response(f"<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>{escape(path)}</Key>"
                                "<UploadId>1</UploadId></InitiateMultipartUploadResult>")  # fmt: skip
            case "PUT" if "partNumber" in query:
                self.uploads[path][int(query["partNumber"])] = body
                self.parts.set()
                return Response(headers={"ETag": _etag(body)})
            case "POST" if "uploadId" in query:
                parts = self.uploads.pop(path)
                self.objects[path] = b"".join(parts[number] for number in sorted(parts))
                return Response(f"<CompleteMultipartUploadResult><Location>x</Location><Bucket>b</Bucket><Key>{path}"
                                "</Key><ETag>x</ETag></CompleteMultipartUploadResult>")  # fmt: skip
            case "PUT":
                self.objects[path] = body
                return Response(headers={"ETag": _etag(body)})
            case "DELETE":
                self.objects.pop(path, None)
                return Response(status_code=204)
            case "GET" if "list-type" in query:
                return self._list(path, query.get("prefix", ""))
            case "POST" if "delete" in query:
                return self._delete_many(path, body.decode())
        return self._get(request, path)

    def _delete_many(self, bucket: str, body: str) -> Response:
        keys = [part.partition("</Key>")[0] for part in body.split("<Key>")[1:]]
        for key in keys:
            self.objects.pop(f"{bucket.rstrip('/')}/{key}", None)
        deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return Response(f"<DeleteResult>{deleted}</DeleteResult>", media_type="application/xml")

    def _list(self, bucket: str, prefix: str) -> Response:
        start = f"{bucket.rstrip('/')}/"
        keys = [key.removeprefix(start) for key in sorted(self.objects) if key.startswith(start + prefix)]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>x</ETag><Size>{len(self.objects[start + key])}</Size></Contents>"
            for key in keys
        )
        return Response(f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>",
                        media_type="application/xml")  # fmt: skip

    def _get(self, request: Request, path: str) -> Response:
        content = self.objects.get(path)
        if content is None:
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404)
        headers = {"ETag": _etag(content), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        span = request.headers.get("range", "")
        if request.method == "HEAD":
            return Response(headers=headers | {"Content-Length": str(len(content))})
        if not span:
            return Response(content, headers=headers)
        first, _, last = span.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1]
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        return Response(part, 206, headers)


def _error(code: str, status: int) -> Response:
    return Response(f"<Error><Code>{code}</Code></Error>", status, media_type="application/xml")


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


@contextmanager
def serving() -> Iterator[S3]:
    """The server in a thread of its own, on a free port."""
    s3 = S3()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        s3.port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(s3, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield s3
        finally:
            server.should_exit = True
            thread.join()
