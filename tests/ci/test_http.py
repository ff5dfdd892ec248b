"""The JSON client: what it tries again, what it never does twice, and where a token never goes."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Asked, Clock, Fault, Reply, Server, serving

from mlgit.errors import AuthError, MlgitError, RemoteError, UnsafeError
from mlgit.remote.http import Client, ForbiddenError, StatusError, path

TOKEN = "tok_0123456789abcdef"


def echo(asked: Asked) -> Reply:
    return Reply(200, {"method": asked.method, "path": asked.path, "value": asked.value, "query": asked.query})


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(echo) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(server: Server, clock: Clock, **options: Any) -> Client:
    options = {"patience": clock.patience(), "hint": "give a token", "now": clock, **options}
    return Client(f"{server.address}/api", {"X-Test": "1"}, {"Authorization": f"Bearer {TOKEN}"}, **options)


def refusal(call: Any) -> MlgitError:
    with pytest.raises(MlgitError) as caught:
        call()
    assert TOKEN not in f"{caught.value} {caught.value.hint} {caught.value!r}"
    assert caught.value.__cause__ is None
    return caught.value


def test_json_goes_and_comes(server: Server, clock: Clock) -> None:
    value = {"é": ["\ud800", 1, None]}
    answer = client(server, clock).send("PUT", path("a b", "c/d", 7), value, query=[("x", "1&2")])
    assert answer.value == {"method": "PUT", "path": "/api/a%20b/c%2Fd/7", "value": value, "query": {"x": "1&2"}}
    (asked,) = server.asked
    assert asked.headers["authorization"] == f"Bearer {TOKEN}" and asked.headers["x-test"] == "1"
    assert asked.headers["user-agent"] == "mlgit" and asked.headers["content-type"].startswith("application/json")


def test_no_content_is_none(server: Server, clock: Clock) -> None:
    server.faults.append(Fault("DELETE", "/x", Reply(204)))
    assert client(server, clock).send("DELETE", "/x").value is None


@pytest.mark.parametrize(
    ("reply", "slept"),
    [
        (Reply(429, {}, {"Retry-After": "7"}), 7.0),
        (Reply(403, {"message": "slow down"}, {"Retry-After": "9"}), 9.0),
        (Reply(403, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1000040"}), 40.0),
        (Reply(403, {"message": "You have exceeded a secondary rate limit."}), 60.0),
        (Reply(429, {}, {"Retry-After": "Mon, 12 Jan 1970 13:47:10 GMT"}), 30.0),
        (Reply(429, {}, {"Retry-After": "soon"}), 60.0),
        (Reply(502, raw=b"<html>"), 1.0),
        (Reply(503, {}, {"Retry-After": "3"}), 3.0),
        (Reply(504), 1.0),
        (Reply(200, raw=b'{"cut off'), 1.0),
        (Reply(200, raw=b"[" * 100_000), 1.0),
        (None, 1.0),
    ],
)
def test_a_busy_host_is_asked_again(server: Server, clock: Clock, reply: Reply | None, slept: float) -> None:
    server.faults.append(Fault("GET", "/x", reply))
    assert client(server, clock).get("/x").status == 200
    assert clock.slept == [slept] and len(server.asked) == 2


def test_a_host_that_asks_for_too_long_is_left(server: Server, clock: Clock) -> None:
    server.faults.append(Fault("GET", "/x", Reply(429, {}, {"Retry-After": "86400"})))
    assert "asks to wait 86400 s" in refusal(lambda: client(server, clock).get("/x")).message
    assert not clock.slept


def test_attempts_are_bounded(server: Server, clock: Clock) -> None:
    server.faults += [Fault("GET", "/x", Reply(502)) for _ in range(9)]
    assert refusal(lambda: client(server, clock).get("/x")).code == 15
    assert len(server.asked) == 5


def test_one_budget_for_all_requests(server: Server, clock: Clock) -> None:
    made = client(server, clock, patience=clock.patience(deadline=100.0))
    server.faults.append(Fault("GET", "/x", Reply(429, {}, {"Retry-After": "80"})))
    made.get("/x")
    server.faults.append(Fault("GET", "/x", Reply(429, {}, {"Retry-After": "80"})))
    refusal(lambda: made.get("/x"))
    assert clock.slept == [80.0]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(401, {"message": f"Bad credentials {TOKEN}"}), AuthError),
        (Reply(403, {"message": "Resource not accessible"}), ForbiddenError),
        (Reply(404, {"message": "Not Found"}), StatusError),
        (Reply(422, {"message": f"Bearer {TOKEN}\x1b[31m\n::error::"}), StatusError),
        (Reply(400, {"error": {"message": "no"}}), StatusError),
        (Reply(409, raw=b"\xff"), StatusError),
    ],
)
def test_a_no_is_a_no_at_once(server: Server, clock: Clock, reply: Reply, kind: type[MlgitError]) -> None:
    server.faults.append(Fault("GET", "/x", reply))
    error = refusal(lambda: client(server, clock).get("/x"))
    assert type(error) is kind and len(server.asked) == 1 and error.message.isprintable()


def test_an_answer_too_large_is_not_read(server: Server, clock: Clock) -> None:
    server.faults.append(Fault("GET", "/x", Reply(200, ["x" * 70_000])))
    assert "more than 65536 bytes" in refusal(lambda: client(server, clock, most=65_536).get("/x")).message
    assert len(server.asked) == 1


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("reply", [None, Reply(500), Reply(502), Reply(200, raw=b"{")])
def test_what_must_not_happen_twice_is_looked_for_first(
    server: Server, clock: Clock, reply: Reply | None, after: bool
) -> None:
    made: list[Any] = []

    def answer(asked: Asked) -> Reply:
        made.append(asked.value)
        return Reply(201, {"id": len(made)})

    server.answer = answer
    server.faults.append(Fault("POST", "/x", reply, after=after))
    sent = client(server, clock).send("POST", "/x", "once", happened=lambda: {"id": 1} if made else None)
    assert made == ["once"] and sent.value == {"id": 1}


def test_what_was_refused_needs_no_look(server: Server, clock: Clock) -> None:
    server.faults.append(Fault("POST", "/x", Reply(429, {}, {"Retry-After": "1"})))

    def happened() -> Any:
        raise AssertionError("looked")

    client(server, clock).send("POST", "/x", 1, happened=happened)
    assert server.methods() == ["POST", "POST"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_here_is_followed(server: Server, clock: Clock, status: int) -> None:
    server.faults.append(Fault("GET", "/x", Reply(status, {}, {"Location": "/api/y?z=1"})))
    assert client(server, clock).get("/x").value["path"] == "/api/y"


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirected_post_is_the_same_post(server: Server, clock: Clock, status: int) -> None:
    server.faults.append(Fault("POST", "/x", Reply(status, {}, {"Location": "/api/y"})))
    assert client(server, clock).send("POST", "/x", "v").value["value"] == "v"


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_post_never_becomes_a_get(server: Server, clock: Clock, status: int) -> None:
    server.faults.append(Fault("POST", "/x", Reply(status, {}, {"Location": "/api/y"})))
    assert "moved to" in refusal(lambda: client(server, clock).send("POST", "/x", "v")).message
    assert len(server.asked) == 1


def test_redirects_end(server: Server, clock: Clock) -> None:
    server.answer = lambda _: Reply(302, {}, {"Location": "/api/x"})
    assert "without end" in refusal(lambda: client(server, clock).get("/x")).message


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:{other}/x", "https://127.0.0.1:{port}/x", "//example.org/x", ""]
)
def test_a_token_never_goes_to_another_host(server: Server, clock: Clock, location: str) -> None:
    with serving(echo) as other:
        place = location.format(other=other.port, port=server.port)
        server.faults.append(Fault("GET", "/x", Reply(302, {}, {"Location": place})))
        refusal(lambda: client(server, clock).get("/x"))
        assert not other.asked


def test_pages_are_followed_by_link(server: Server, clock: Clock) -> None:
    def answer(asked: Asked) -> Reply:
        number = int(asked.query.get("page", "1"))
        link = f'<https://elsewhere.example/api/list?size=2&page={number + 1}>; rel="next"'
        return Reply(
            200, [number, asked.query.get("size")], {"Link": f'<{link}x>; rel="prev", {link}'} if number < 3 else {}
        )

    server.answer = answer
    assert list(client(server, clock).pages("/list", [("size", "2")])) == [1, "2", 2, "2", 3, "2"]
    assert {asked.path for asked in server.asked} == {"/api/list"}


def test_pages_are_followed_by_key(server: Server, clock: Clock) -> None:
    def answer(asked: Asked) -> Reply:
        number = int(asked.query.get("page", "1"))
        return Reply(
            200, {"values": [number], **({"next": f"https://x.example/?page={number + 1}"} if number < 3 else {})}
        )

    server.answer = answer
    assert list(client(server, clock).pages("/list")) == [1, 2, 3]


def test_a_list_without_end_is_given_up(server: Server, clock: Clock) -> None:
    server.answer = lambda _: Reply(200, [], {"Link": '<http://x/?page=2>; rel="next"'})
    assert "more than" in refusal(lambda: list(client(server, clock).pages("/list"))).message


@pytest.mark.parametrize(
    "address",
    [
        "http://api.example.org",
        "http://10.0.0.1",
        "http://127.0.0.1.example.org",
        "ftp://localhost",
        "file:///etc/passwd",
        "https://user:secret@api.example.org",
        "https://",
        "https://api.example.org/?x=1",
        "",
    ],
)
def test_a_token_goes_over_https_only(address: str) -> None:
    with pytest.raises(UnsafeError) as caught:
        Client(address, {}, {"Authorization": f"Bearer {TOKEN}"}, hint="")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "a\nHost: evil", "a\r", "é"])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(AuthError) as caught:
        Client("https://api.example.org", {}, {"PRIVATE-TOKEN": token}, hint="give one")
    assert "evil" not in str(caught.value)


def test_a_closed_port_is_a_remote_that_failed(clock: Clock) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Client(f"http://127.0.0.1:{port}", {}, {"PRIVATE-TOKEN": TOKEN}, hint="", patience=clock.patience())
    assert isinstance(refusal(lambda: made.get("/x")), RemoteError) and len(clock.slept) == 4


def test_an_answer_that_drips_is_left(server: Server) -> None:
    class Ticking(Clock):
        def __call__(self) -> float:
            self.now += 20.0
            return self.now

    clock = Ticking()
    server.answer = lambda _: Reply(200, ["x" * 1_000_000])
    assert "took too long" in refusal(lambda: client(server, clock).get("/x")).message


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_trusts_gets_no_token(tmp_path: Path, clock: Clock) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    refused: list[Exception] = []

    def accept(listener: socket.socket) -> None:
        with pytest.raises(ssl.SSLError) as caught:
            context.wrap_socket(listener.accept()[0], server_side=True)
        refused.append(caught.value)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        client = Client(address, {}, {"PRIVATE-TOKEN": TOKEN}, hint="", patience=clock.patience())
        error = refusal(lambda: client.get("/x"))
        thread.join()
    assert "not trusted" in error.message and "SSL_CERT_FILE" in str(error.hint) and refused and not clock.slept


def test_nothing_shows_the_token(server: Server, clock: Clock) -> None:
    assert TOKEN not in repr(client(server, clock))


@pytest.mark.parametrize("part", ["", ".", ".."])
def test_a_part_that_servers_resolve_away_is_refused(part: str) -> None:
    with pytest.raises(UnsafeError):
        path("repos", part)
