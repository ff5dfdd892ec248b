"""Notifications against a real web server, a real mail server and real commands, all on this machine."""

import json
import socket
import socketserver
import subprocess
import sys
import threading
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlgit.errors import AuthError, InvalidError, RemoteError, UnsafeError, UsageError
from mlgit.model import config
from mlgit.model.notify import decode_target, decode_targets
from mlgit.model.report import Mark, Report, Row, Table, Verdict
from mlgit.ops.notify.event import MAX_ROWS, Event, as_value
from mlgit.ops.notify.mail import to_mail
from mlgit.ops.notify.send import body, notify, send
from mlgit.ops.notify.slack import escape, to_slack

LOCAL = ".mlgit/config.local.yaml"
SHARED = ".mlgit/config.yaml"
SECRET = "T0SECRET"
HOSTILE = "<!channel> @here & </b>\x1b[31m\u202e\r\nBcc: all@example.org\r\n\r\n*bold* `x` :bomb: $(touch pwned)"


def report(rows=1, text="accuracy", notes=("no baseline",)):
    failing = [Row((text, 0.9 + at, 0.8), Mark.FAIL, "0.1 too low", "mlgit.yaml:3") for at in range(rows)]
    fine = Row(("recall", 1, 1), Mark.PASS)
    table = Table("gate", "Gate", ("metric", "base", "head"), (fine, *failing))
    return Report("gate", "Gate", (table,), Verdict.FAIL, "main", "topic", notes)


def event(kind="gate", link="https://ci.example.org/1", project="team/model", **options):
    return Event(kind, report(**options), project, "2030-01-02T03:04:05+00:00", link)


def target(**entry):
    return decode_target({key.rstrip("_"): value for key, value in entry.items()}, f"{LOCAL}: notify.1")


# -- the event ---------------------------------------------------------------------------------------------------------


def test_the_event():
    assert as_value(event()) == {
        "version": 1,
        "kind": "gate",
        "verdict": "fail",
        "title": "team/model: Gate failed",
        "project": "team/model",
        "base": "main",
        "head": "topic",
        "link": "https://ci.example.org/1",
        "report": {
            "kind": "gate",
            "title": "Gate",
            "counts": {"fail": 1, "pass": 1},
            "rows": [
                {
                    "table": "gate",
                    "mark": "fail",
                    "text": "metric: accuracy; base: 0.9; head: 0.8",
                    "note": "0.1 too low",
                    "where": "mlgit.yaml:3",
                }
            ],
            "omitted": 0,
            "notes": ["no baseline"],
        },
        "time": "2030-01-02T03:04:05+00:00",
    }


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_words(verdict):
    assert Event("gate", Report("gate", "Gate", (), verdict), "p", "").headline.startswith("p: Gate ")


def test_the_event_is_bounded_and_holds_no_credential():
    huge = event(rows=500, text="x" * 10_000, notes=("y" * 10_000, "see https://me:hunter22@host/x") * 50)
    text = json.dumps(as_value(huge))
    assert len(text) < 40_000
    assert as_value(huge)["report"]["omitted"] == 500 - MAX_ROWS
    assert "hunter22" not in text


# -- formats -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"rows": 500, "text": "<&>@" * 2000, "notes": ("&" * 9000,) * 60}])
def test_a_message_for_slack_keeps_its_limits(options):
    message = to_slack(event(project="&" * 500, **options))
    blocks = message["blocks"]
    assert len(blocks) <= 50
    assert blocks[0]["type"] == "header"
    assert len(blocks[0]["text"]["text"]) <= 150
    assert all(0 < len(block["text"]["text"]) <= 3000 for block in blocks)
    assert len(message["text"]) <= 3000
    assert blocks[-1]["text"]["text"] == "<https://ci.example.org/1|Open the run>"


def test_a_message_for_slack_mentions_nobody():
    message = to_slack(event(text=HOSTILE, project=HOSTILE, notes=(HOSTILE,), link="https://h/<!here>|x y"))
    *plain, link = message["blocks"]
    assert {block["text"]["type"] for block in plain} == {"plain_text"}
    assert link["text"]["text"] == "<https://h/%3C!here%3E%7Cx%20y|Open the run>"
    text = json.dumps([message["text"], plain], ensure_ascii=False)
    assert "<" not in text
    assert ">" not in text
    assert "@here" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("link", [None, "", "javascript:alert(1)", "https://", "http://[", "https://h/" + "x" * 3000])
def test_only_addresses_of_the_web_become_links(link):
    assert "Open the run" not in json.dumps(to_slack(event(link=link)))


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [("a&b", 9, "a&amp;b"), ("ab", 2, "ab"), ("abc", 2, "a…"), ("a&", 4, "a…"), ("a&", 6, "a&amp;"), ("", 3, "")],
)
def test_no_escape_is_cut_in_two(text, limit, shown):
    assert escape(text, limit) == shown


def test_mail_has_one_line_a_header():
    there = target(command="true", format="email", to=["a@example.org", "b@example.org"], from_="ci@example.org")
    data = to_mail(event(text=HOSTILE, project=HOSTILE, notes=(HOSTILE,)), there).as_bytes()
    found = message_from_bytes(data, policy=policy.default)
    assert found.defects == []
    assert "\nBcc" not in data.decode("ascii").split("\r\n\r\n")[0]
    assert found["Bcc"] is None
    assert found["To"] == "a@example.org, b@example.org"
    assert found["From"] == "ci@example.org"
    assert found["Subject"].startswith("[mlgit] <!channel> @here & </b>")
    assert found["Date"].datetime.year == 2030
    assert "0.1 too low" in found.get_content()
    assert max(map(len, data.split(b"\r\n"))) <= 998


# -- targets -----------------------------------------------------------------------------------------------------------


def test_a_committed_target_is_refused():
    with pytest.raises(UnsafeError) as caught:
        config.decode(f"core: {{}}\nnotify:\n- url: https://h.example/{SECRET}\n", SHARED)
    assert caught.value.message.startswith(f"{SHARED}:2: notify:")
    assert SECRET not in caught.value.message
    assert LOCAL in caught.value.hint


def test_a_target_survives_other_changes_and_is_not_shown():
    layer = config.decode(f"notify:\n- {{on: gate, url: 'https://h.example/{SECRET}', format: slack}}\n", LOCAL)
    changed = config.assign(layer, "core.autostage", "true")
    assert config.decode(config.encode(changed), LOCAL) == changed
    assert config.merge(config.decode("", SHARED), changed).notify == layer.notify
    assert config.flatten(layer) == {
        "notify.1.place": "https://h.example/***",
        "notify.1.on": ["gate"],
        "notify.1.format": "slack",
    }
    assert SECRET not in repr(layer) + repr(layer.notify) + repr(config.merge(layer))
    with pytest.raises(UsageError):
        config.assign(layer, "notify.1.url", "https://x.example")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"url": f"https://h.example/{SECRET}", "command": "true"},
        {"url": f"ftp://h.example/{SECRET}"},
        {"url": f"https://{SECRET}@h.example/"},
        {"url": f"https://h.example/{SECRET}\r\nX: y"},
        {"url": f"https://h.example:99999/{SECRET}"},
        {"url": f"https:///{SECRET}"},
        {"url": f"https://h.example/ü{SECRET}"},
        {"url": f"https://h.example:port/{SECRET}"},
        {"url": f"https://[/{SECRET}"},
        {"url": f"https://h.example/{SECRET}", "format": "email", "to": "a@b.example"},
        {"url": f"https://h.example/{SECRET}", "to": "a@b.example"},
        {"url": f"https://h.example/{SECRET}", "on": ["gates"]},
        {"url": f"https://h.example/{SECRET}", "on": []},
        {"url": f"https://h.example/{SECRET}", "urls": "x"},
        {"url": f"smtp://h.example/{SECRET}", "to": "a@b.example", "from": "a@b.example"},
        {"url": "smtp://h.example", "to": "a@b.example"},
        {"url": "smtp://h.example", "from": "a@b.example"},
        {"url": "smtp://h.example", "from": "a@b.example", "to": "a@b.example\r\nBcc: c@d.example"},
        {"url": "smtp://h.example", "from": "A <a@b.example>", "to": "a@b.example"},
        {"command": ""},
        {"command": []},
        {"command": ["x", 1]},
        "https://h.example",
    ],
)
def test_a_malformed_target_is_refused_without_telling_it(entry):
    with pytest.raises(InvalidError) as caught:
        decode_targets([entry], f"{LOCAL}: notify")
    assert "notify.1" in caught.value.message
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


# -- requests ----------------------------------------------------------------------------------------------------------


class Hook(BaseHTTPRequestHandler):
    """Keeps what it is sent, and answers what it is told to."""

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, self.headers["Content-Type"], json.loads(data)))
        status, text = self.server.answers.pop(0) if self.server.answers else (200, b"ok")
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def hook():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.heard, server.answers = [], []
        server.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}?sig={SECRET}2&empty="
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def tell(there, tmp_path, what=None, environment=None):
    send(there, what or event(), environment=environment or {}, folder=tmp_path)


def test_a_request(hook, tmp_path):
    tell(target(url=hook.url), tmp_path)
    tell(target(url=hook.url, format="slack"), tmp_path)
    (path, kind, first), (_, _, second) = hook.heard
    assert path == f"/services/{SECRET}?sig={SECRET}2&empty="
    assert kind.startswith("application/json")
    assert first == as_value(event())
    assert second == to_slack(event())


def test_a_busy_receiver_is_told_again(hook, tmp_path):
    hook.answers += [(503, b"later")]
    tell(target(url=hook.url), tmp_path)
    assert len(hook.heard) == 2


@pytest.mark.parametrize(
    ("status", "kind"), [(400, RemoteError), (404, RemoteError), (410, RemoteError), (403, AuthError), (401, AuthError)]
)
def test_a_refusal_tells_no_address(hook, tmp_path, status, kind):
    hook.answers += [(status, json.dumps({"message": f"no {SECRET}"}).encode())]
    with pytest.raises(kind) as caught:
        tell(target(url=hook.url), tmp_path)
    assert f"127.0.0.1:{hook.server_port}/***" in caught.value.message
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"
    assert len(hook.heard) == 1


def test_nobody_there_tells_no_address(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}"
        with pytest.raises(RemoteError) as caught:
            tell(target(url=url), tmp_path)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"
    assert "127.0.0.1" in caught.value.message


def test_no_plain_http_to_elsewhere(tmp_path):
    with pytest.raises(UnsafeError) as caught:
        tell(target(url=f"http://h.example/{SECRET}"), tmp_path)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


def test_only_those_who_want_to_know_are_told(hook, tmp_path):
    both = [target(url=hook.url, on="drift"), target(url=hook.url, on=["gate", "drift"]), target(command="exit 3")]
    failures = notify(both, event(), environment={"PATH": "/usr/bin:/bin"}, folder=tmp_path)
    assert len(hook.heard) == 1
    assert [error.message for error in failures] == ["a shell command: exit code 3"]


# -- commands ----------------------------------------------------------------------------------------------------------

KEEP = "import os, sys; open('told', 'wb').write(sys.stdin.buffer.read()); open('kind', 'w').write(os.environ['{}'])"


def test_a_command_gets_the_event_on_stdin(tmp_path):
    what = event(project=HOSTILE, text=HOSTILE)
    there = target(command=[sys.executable, "-c", KEEP.format("MLGIT_EVENT_TITLE")])
    tell(there, tmp_path, what)
    assert json.loads((tmp_path / "told").read_bytes()) == as_value(what)
    assert (tmp_path / "kind").read_text() == as_value(what)["title"]
    assert not (tmp_path / "pwned").exists()


def test_a_line_for_the_shell(tmp_path):
    tell(target(command='cat > told; echo "$MLGIT_EVENT_KIND $MLGIT_EVENT_VERDICT" > kind'), tmp_path)
    assert (tmp_path / "kind").read_text() == "gate fail\n"
    assert (tmp_path / "told").read_bytes() == body(target(command="x"), event())


@pytest.mark.parametrize("command", [["no-such-program", SECRET], f"exit 3 # {SECRET}", f"kill -9 $$ # {SECRET}"])
def test_a_command_that_fails(command, tmp_path):
    with pytest.raises(RemoteError) as caught:
        tell(target(command=command), tmp_path)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


def test_a_command_that_does_not_listen_is_told(tmp_path):
    tell(target(command="exec <&-; exit 0"), tmp_path, event(rows=400, notes=("x" * 900,) * 10))


def test_a_command_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("mlgit.ops.notify.send.TIMEOUT", 0.2)
    with pytest.raises(RemoteError, match="took more than"):
        tell(target(command="sleep 600 & wait"), tmp_path)


# -- mail --------------------------------------------------------------------------------------------------------------


class Mailbox(socketserver.StreamRequestHandler):
    """As much of a mail server as it takes to be sent a message (RFC 5321)."""

    def handle(self):
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                self.say("250-here\r\n250 AUTH PLAIN")
            elif verb == "AUTH":
                self.server.heard.append(line)
                self.say("535 no" if self.server.refuses == "AUTH" else "235 welcome")
            elif verb in ("MAIL", "RCPT", "RSET"):
                self.server.heard.append(line)
                self.say(f"550 no {SECRET}" if self.server.refuses == verb else "250 fine")
            elif verb == "DATA":
                self.say("354 go on")
                self.server.mail = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.say("250 taken")
            else:
                self.say("221 bye")
                return

    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def mailbox():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.heard, server.mail, server.refuses = [], b"", ""
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def by_mail(server, user=""):
    url = f"smtp://{user}127.0.0.1:{server.server_address[1]}"
    return target(url=url, to=["a@example.org", "b@example.org"], from_="ci@example.org")


def test_mail_is_sent(mailbox, tmp_path):
    tell(by_mail(mailbox), tmp_path)
    assert [line.split(" ")[1].split(":")[1] for line in mailbox.heard] == [
        "<ci@example.org>",
        "<a@example.org>",
        "<b@example.org>",
    ]
    found = message_from_bytes(mailbox.mail, policy=policy.default)
    assert found["Subject"] == "[mlgit] team/model: Gate failed"
    assert "https://ci.example.org/1" in found.get_content()


def test_a_password_for_mail(mailbox, tmp_path):
    tell(by_mail(mailbox, f"me:{SECRET}%40@"), tmp_path)
    assert mailbox.heard[0].startswith("AUTH PLAIN")
    mailbox.refuses = "AUTH"
    with pytest.raises(AuthError) as caught:
        tell(by_mail(mailbox, f"me:{SECRET}@"), tmp_path)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
def test_mail_that_is_refused(mailbox, tmp_path, verb):
    mailbox.refuses = verb
    with pytest.raises(RemoteError) as caught:
        tell(by_mail(mailbox), tmp_path)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


def test_a_mail_server_that_is_not_there(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"smtp://me:{SECRET}@127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RemoteError) as caught:
            tell(target(url=url, to="a@example.org", from_="b@example.org"), tmp_path)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


# -- the command line --------------------------------------------------------------------------------------------------


def configured(repo, *entries):
    (repo.root / LOCAL).write_text(json.dumps({"notify": list(entries)}))
    return repo.root


def test_notify_test(repo, mlgit, hook):
    root = configured(repo, {"url": hook.url}, {"on": "drift", "url": hook.url})
    assert SECRET not in mlgit("notify", "test", cwd=root).err
    assert [heard["kind"] for _, _, heard in hook.heard] == ["gate"]
    mlgit("notify", "test", "drift", cwd=root)
    assert len(hook.heard) == 3
    shown = mlgit("notify", "test", "--dry-run", cwd=root)
    assert "This is a test" in shown.out
    assert SECRET not in shown.out + shown.err
    assert len(hook.heard) == 3
    mlgit("notify", "test", "release", cwd=root, code=2)
    configured(repo)
    mlgit("notify", "test", cwd=root, code=2)


def test_notify_test_tells_what_fails(repo, mlgit, hook):
    hook.answers += [(404, b"no_service")]
    done = mlgit("notify", "test", cwd=configured(repo, {"url": hook.url}, {"command": "true"}), code=15)
    assert "answers 404" in done.err
    assert "told a shell command" in done.err
    assert SECRET not in done.out + done.err


def test_a_pipeline_that_fails_is_told(repo, mlgit, hook):
    root = configured(repo, {"on": "pipeline", "url": hook.url})
    (root / "mlgit.yaml").write_text("stages:\n  train:\n    cmd: exit 3\n")
    mlgit("repro", cwd=root, code=17)
    ((_, _, told),) = hook.heard
    assert (told["kind"], told["verdict"], told["project"]) == ("pipeline", "fail", "project")
    assert "train" in told["report"]["notes"][0]


def test_a_gate_that_fails_is_told(repo, mlgit, hook, monkeypatch):
    root = configured(repo, {"on": "gate", "url": hook.url})
    (root / "mlgit.yaml").write_text(
        "metrics: [m.json]\ngates:\n- {metric: 'm.json:a', direction: higher, max_drop_abs: 0.01}\n"
    )
    for value in (0.9, 0.5):
        (root / "m.json").write_text(json.dumps({"a": value}))
        subprocess.run("git add -A && git commit -q -m step", shell=True, cwd=root, check=True)
    done = mlgit("ci", "--base", "HEAD~1", "--html", "report.html", cwd=root, code=1)
    ((_, _, told),) = hook.heard
    assert (told["kind"], told["verdict"]) == ("gate", "fail")
    assert "m.json:a" in told["report"]["rows"][0]["text"]
    assert "failed" in (root / "report.html").read_text()
    assert SECRET not in done.out + done.err


def test_telling_nobody_changes_no_exit_code(repo, mlgit, hook):
    hook.answers += [(500, b"")] * 9
    root = configured(repo, {"url": f"http://h.example/{SECRET}"}, {"command": f"exit 9 # {SECRET}"})
    (root / "mlgit.yaml").write_text("stages:\n  train:\n    cmd: exit 3\n")
    done = mlgit("repro", cwd=root, code=17)
    assert done.err.count("warning: nobody was told") == 2
    assert SECRET not in done.out + done.err


def test_a_target_from_variables(repo, mlgit, hook, monkeypatch):
    monkeypatch.setenv("MLGIT_NOTIFY_URL", hook.url)
    monkeypatch.setenv("MLGIT_NOTIFY_FORMAT", "slack")
    (repo.root / "mlgit.yaml").write_text(
        'stages:\n  train:\n    cmd: test -z "$MLGIT_NOTIFY_URL" && touch clean; exit 3\n'
    )
    done = mlgit("repro", cwd=repo.root, code=17)
    assert (repo.root / "clean").exists()
    assert SECRET not in done.out + done.err
    assert hook.heard[0][2]["blocks"][0]["type"] == "header"
    monkeypatch.setenv("MLGIT_NOTIFY_FORMAT", "pigeon")
    done = mlgit("repro", cwd=repo.root, code=17)
    assert "warning: nobody was told" in done.err
    assert SECRET not in done.out + done.err


def test_a_committed_target_stops_every_command(repo, mlgit, hook):
    (repo.root / SHARED).write_text(f"notify: [{{url: '{hook.url}'}}]\n")
    for command in (("status",), ("notify", "test"), ("repro",)):
        done = mlgit(*command, cwd=repo.root, code=14)
        assert LOCAL in done.err
        assert SECRET not in done.err
    assert hook.heard == []
