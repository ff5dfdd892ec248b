"""Addresses: what is opened, what is refused, and what a relative folder means."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlgit.errors import InvalidError, MlgitError, RemoteError, UnsafeError
from mlgit.remote import open_backend, stored_url
from mlgit.remote.address import SCHEMES, check_url


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("/data/store", "/data/store"),
        ("../../store", "/work/store"),
        ("store", "/work/repo/.mlgit/store"),
        ("file:///data/store", "/data/store"),
        ("file:///data/my%20store", "/data/my store"),
        ("/data/my%20store", "/data/my%20store"),
    ],
)
def test_folders(url: str, folder: str) -> None:
    assert open_backend(url, {}, Path("/work/repo")).local == Path(folder)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("../store", "../../../store"),
        ("/data/store", "/data/store"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("file:///data", "file:///data"),
        ("here", "../sub/here"),
    ],
)
def test_a_typed_folder_is_stored_as_seen_from_the_configuration(typed: str, stored: str) -> None:
    root = Path("/work/repo")
    if typed == "../store":
        assert stored_url(typed, root / "sub", root) == "../store"
        assert stored_url(typed, root, root) == "../../store"
    else:
        assert stored_url(typed, root / "sub", root) == stored
        if check_url(typed) is None:
            assert open_backend(stored, {}, root).local is not None


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch pwned'",
        "simplecache::s3://bucket/x",
        "zip://x.zip::s3://bucket/x",
        "git://repo",
        "github://org:repo@main/",
        "reference://x",
        "dir://x",
        "cached://x",
        "generic://x",
        "unknown://x",
        "s3::x",
        "ssh://-oProxyCommand=x/y",
    ],
)
def test_an_unsafe_address_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeError) as caught:
        open_backend(url, {}, tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        "s3://",
        "s3:///x",
        "s3://b/../other",
        "me@host:path",
        "~/store",
        "file://host/x",
        "file://",
        "https://h/x?sig=1",
        "a\nb",
    ],
)
def test_no_address_at_all(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        open_backend(url, {}, tmp_path)
    assert caught.value.hint


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    """Runs in a process of its own in which no client library can be imported."""
    program = """
import sys
for name in ("s3fs", "gcsfs", "adlfs", "sshfs", "ossfs"):
    sys.modules[name] = None
from pathlib import Path
from mlgit.errors import RemoteError
from mlgit.remote import open_backend
extras = {"s3://b": "mlgit[s3]", "gs://b": "mlgit[gs]", "az://b/c": "mlgit[azure]", "ssh://h/x": "mlgit[ssh]"}
for url, words in extras.items():
    try:
        open_backend(url, {}, Path("."))
    except RemoteError as error:
        assert f"pip install '{words}'" == error.hint, error.hint
    else:
        raise AssertionError(url)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_folder_needs_no_fsspec(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from mlgit.remote import open_backend\n"
        "backend = open_backend(sys.argv[1], {}, Path('.')); backend.put_bytes('a/b', b'x')\n"
        "assert 'fsspec' not in sys.modules and 'asyncio' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path / "r")], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("protocol", sorted(SCHEMES))
def test_every_protocol_opens_or_says_what_to_install(protocol: str, tmp_path: Path) -> None:
    try:
        backend = open_backend(f"{protocol}://me:hunter22@host/x", {}, tmp_path)
    except MlgitError as error:
        assert isinstance(error, RemoteError)
        assert "pip install" in str(error.hint)
    else:
        assert "hunter22" not in backend.url
