"""HTTP connections that end when their time is up, however slowly the other side drips.

A socket's timeout is for one wait. A host that sends a byte now and then never meets it while it is at the status line
or the headers, and `http.client` reads those by itself; so the connection is shut down from outside.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any


class Cutoff:
    """What is open for one client, whose requests go one after the other."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def handlers(self, context: ssl.SSLContext) -> tuple[urllib.request.BaseHandler, ...]:
        """Handlers for an opener, whose connections `within` can end."""
        return _Plain(self._kept), _Secure(self._kept, context)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Shut down what the body has opened if it takes longer than `seconds`; it then reads that nothing follows."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._sockets.clear()

    def _kept(self, kind: type[http.client.HTTPConnection]) -> Callable[..., http.client.HTTPConnection]:
        keep = self._sockets.append

        class Connection(kind):  # type: ignore[misc, valid-type]
            def connect(self) -> None:
                super().connect()
                keep(self.sock)

        return Connection

    def _end(self) -> None:
        for one in list(self._sockets):
            with contextlib.suppress(OSError):  # it has ended by itself
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # below TLS, which another thread is reading


_Keeping = Callable[[type[http.client.HTTPConnection]], Any]


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, kept: _Keeping) -> None:
        super().__init__()
        self._kept = kept

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._kept(http.client.HTTPConnection), req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, kept: _Keeping, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._kept, self._trusted = kept, context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._kept(http.client.HTTPSConnection), req, context=self._trusted)
