"""Stands before fake-gcs-server, which takes the question how much has arrived for the end of it.

Cloud Storage answers `Content-Range: bytes */SIZE` with 308 and the range that it has:
https://cloud.google.com/storage/docs/performing-resumable-uploads#status-check
"""

from __future__ import annotations

import http.client
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

_HOP = ("connection", "transfer-encoding", "content-length", "host", "keep-alive")


class Proxy(ThreadingHTTPServer):
    """Passes everything on but that question."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        # Session -> the last byte that has arrived.
        self.arrived: dict[str, int] = {}


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version: ClassVar[str] = "HTTP/1.1"

    def _pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        span = self.headers.get("Content-Range", "")
        if span.startswith("bytes */") and self.path in self.server.arrived:
            self._answer(308, {"Range": f"bytes=0-{self.server.arrived[self.path]}"}, b"")
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        upstream.request(self.command, self.path, content, kept)
        answer = upstream.getresponse()
        body = answer.read()
        upstream.close()
        if answer.status == 308 and (found := re.match(r"bytes \d+-(\d+)/", span)):
            self.server.arrived[self.path] = int(found[1])
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        if "Location" in headers:
            to = urlsplit(headers["Location"])
            headers["Location"] = f"{self.server.url}{to.path}?{to.query}"
        self._answer(answer.status, headers, body)

    do_GET = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
