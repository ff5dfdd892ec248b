"""A web server on this machine for tests: it hands requests to a function, logs them, and breaks on demand."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mlgit.remote.retry import Patience


@dataclass(frozen=True)
class Asked:
    """A request as it came in; `path` is still quoted."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    data: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.data) if self.data else None

    @property
    def parts(self) -> list[str]:
        return [unquote(part) for part in self.path.split("/")[1:]]


@dataclass(frozen=True)
class Reply:
    status: int
    value: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass
class Fault:
    """What the next request with this method and a path that holds `within` meets, once.

    `reply` None resets the connection; `after` lets the request take effect first.
    """

    method: str
    within: str
    reply: Reply | None = None
    after: bool = False


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up early is one of the things tested."""


class Server:
    """Answers with `answer` unless a fault comes first."""

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.violations: list[str] = []
        self.lock = threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def reply(self, asked: Asked) -> Reply | None:
        with self.lock:
            self.asked.append(asked)
            fault = next((one for one in self.faults if one.method == asked.method and one.within in asked.path), None)
            if fault is not None:
                self.faults.remove(fault)
            done = None if fault and not fault.after else self._answer(asked)
            return fault.reply if fault else done

    def _answer(self, asked: Asked) -> Reply:
        try:
            return self.answer(asked)
        except Exception as error:
            self.violations.append(f"{asked.method} {asked.path}: {type(error).__name__}: {error}")
            return Reply(418, {"message": self.violations[-1]})

    def methods(self) -> list[str]:
        return [one.method for one in self.asked]

    def changes(self) -> list[str]:
        return [method for method in self.methods() if method != "GET"]


@contextmanager
def serving(answer: Callable[[Asked], Reply]) -> Iterator[Server]:
    """A running server; at the end, every violation is the test's failure."""
    server = Server(answer)
    thread = threading.Thread(target=server._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server._server.shutdown()
        server._server.server_close()
        thread.join()
    assert not server.violations, "\n".join(server.violations)


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): text for name, text in self.headers.items()}
            reply = server.reply(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, data))
            if reply is None:
                self._reset()
                return
            body = reply.raw
            if body is None:
                body = b"" if reply.value is None else json.dumps(reply.value).encode()
            self.send_response(reply.status)
            for name, text in {"Content-Length": str(len(body)), "Connection": "close", **reply.headers}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def _reset(self) -> None:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.rfile.close()
            self.wfile.close()
            self.connection.close()

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "POST", "PATCH", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._serve)
    return Handler


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def patience(self, attempts: int = 5, deadline: float = 300.0) -> Patience:
        return Patience(attempts, deadline, 1.0, 30.0, self, self.sleep, lambda: 1.0)


def page(items: list[Any], asked: Asked, address: str, key: str = "per_page") -> tuple[list[Any], dict[str, str]]:
    """One page of `items` and the headers that lead on."""
    size, number = int(asked.query.get(key, "30")), int(asked.query.get("page", "1"))
    chosen = items[(number - 1) * size : number * size]
    if number * size >= len(items):
        return chosen, {}
    query = "&".join(f"{name}={text}" for name, text in {**asked.query, "page": str(number + 1)}.items())
    return chosen, {"Link": f'<{address}{asked.path}?{query}>; rel="next", <{address}{asked.path}?page=9>; rel="last"'}
