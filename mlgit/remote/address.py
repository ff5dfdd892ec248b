"""Remote addresses: which protocols are allowed, what a folder's path is relative to, and the backend behind each.

An address may come from a commit that somebody else wrote. So only protocols listed here are opened: fsspec knows
others that run programs, unpack archives or reach other places, and chains of them with `::`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

from mlgit.errors import InvalidError, UnsafeError
from mlgit.model.committed import FOLDER
from mlgit.model.secret import redact
from mlgit.store.backend import Backend

Publish = Literal["put", "rename", "never"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """What has to be known of a protocol.

    Attributes:
        install: what `pip install` needs for it; empty if nothing.
        publish: how a complete file appears at once: by the upload itself, by a rename after it, or it is read-only.
        flat: whether one request lists everything below a prefix.
        module: where its class comes from, if not from fsspec's own choice.
        login: how its credentials are given, for a hint.
    """

    install: str
    publish: Publish
    flat: bool = False
    module: str = ""
    login: str = "give the credentials with `mlgit remote modify --local`"


_S3: Final = Scheme("mlgit[s3]", "put", True, login="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
_GS: Final = Scheme(
    "mlgit[gs]", "put", True, login="gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS"
)
_AZURE: Final = Scheme(
    "mlgit[azure]", "put", True, login="az login, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"
)
# fsspec's own SFTP class accepts any host key that it has not seen; sshfs checks known_hosts.
_SSH: Final = Scheme(
    "mlgit[ssh]", "rename", module="sshfs:SSHFileSystem", login="check `ssh HOST`: agent, key and known_hosts"
)
_HTTP: Final = Scheme("fsspec[http]", "never")

SCHEMES: Final[Mapping[str, Scheme]] = {
    "s3": _S3,
    "s3a": _S3,
    "gs": _GS,
    "gcs": _GS,
    "az": _AZURE,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "oss": Scheme("ossfs", "put", True),
    "ssh": _SSH,
    "sftp": _SSH,
    "http": _HTTP,
    "https": _HTTP,
    "hdfs": Scheme("pyarrow", "rename", login="kinit"),
    "webhdfs": Scheme("requests", "rename", login="kinit"),
    "ftp": Scheme("", "rename"),
    "smb": Scheme("smbprotocol", "rename"),
    "memory": Scheme("", "rename"),
}
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCP: Final = re.compile(r"[\w.-]+@[\w.-]+:")


def open_backend(url: str, options: Mapping[str, Any], root: Path) -> Backend:
    """The backend at `url`; nothing is contacted yet.

    Args:
        url: a URL of a protocol in `SCHEMES`, `file:///folder`, or a folder; as in DVC, a relative folder is seen from
            the folder of the configuration file, `.mlgit`.
        options: passed on to the protocol's fsspec file system.
        root: the repository's root.

    Raises:
        UnsafeError: the protocol is not on the list, or several are chained.
        InvalidError: no address at all.
        RemoteError: the package for the protocol is not installed.
    """
    scheme = check_url(url)
    if scheme is None:
        from mlgit.store.local import LocalBackend

        return LocalBackend(_folder(url, root))
    from mlgit.remote.filesystem import FsspecBackend

    return FsspecBackend(url, options)


def stored_url(text: str, cwd: Path, root: Path) -> str:
    """What the configuration should say for the address `text` typed in the folder `cwd`.

    A relative folder is rewritten as seen from `.mlgit`; everything else stays.

    Raises:
        UnsafeError, InvalidError: as `open_backend`.
    """
    if check_url(text) is not None or _URL.match(text) or Path(text).is_absolute():
        return text
    return Path(os.path.relpath(cwd / text, root / FOLDER)).as_posix()


def check_url(url: str) -> str | None:
    """The protocol of `url`, in lower case; None for a folder.

    Raises:
        UnsafeError, InvalidError: as `open_backend`.
    """
    shown = redact(url)
    if not url.strip() or re.search(r"[\x00-\x1f\x7f]", url):
        raise InvalidError(f"not a remote's address: {shown!r}", hint="give a folder or a URL such as s3://bucket/path")
    if "::" in url:
        raise UnsafeError(f"chained address refused: {shown}", hint="give the one place where the store is")
    match = _URL.match(url)
    if match is None:
        _check_folder(url, shown)
        return None
    name = match[1].lower()
    if name in ("file", "local"):
        if urlsplit(url).netloc not in ("", "localhost") or not urlsplit(url).path:
            raise InvalidError(f"not a folder: {shown}", hint="write file:///absolute/path, or the path alone")
        return None
    if name not in SCHEMES:
        raise UnsafeError(f"protocol {name!r} refused: {shown}", hint=f"one of: file, {', '.join(sorted(SCHEMES))}")
    _check_place(url, name, shown)
    return name


def _check_folder(url: str, shown: str) -> None:
    if _SCP.match(url):
        raise InvalidError(f"not a folder: {shown}", hint="write ssh://user@host/path")
    if url.startswith("~"):
        raise InvalidError(f"'~' is not expanded here: {shown}", hint="write the whole path")


def _check_place(url: str, name: str, shown: str) -> None:
    place = urlsplit(url)
    if place.netloc.rpartition("@")[2].startswith("-"):
        raise UnsafeError(f"host refused: {shown}", hint="a host does not begin with '-'")
    if place.query or place.fragment:
        raise InvalidError(
            f"an address has no '?' or '#': {shown}",
            hint="give options with `mlgit remote modify`, secret ones --local",
        )
    if ".." in place.path.split("/"):
        raise InvalidError(f"an address has no '..': {shown}", hint="write the path it leads to")
    if not place.netloc and name not in ("memory", "hdfs"):
        raise InvalidError(f"no host or bucket: {shown}", hint=f"write {name}://HOST-OR-BUCKET/PATH")


def _folder(url: str, root: Path) -> Path:
    path = unquote(urlsplit(url).path) if _URL.match(url) else url
    # normpath, not resolve: a symbolic link on the way to a remote is the user's own business.
    return Path(os.path.normpath(root / FOLDER / path))
