"""What a committed configuration may say: it comes from whoever wrote the commit, so it is held to stricter rules.

It holds no credential, does not point the cache out of the repository, and gives a remote only options that are known
to be harmless. Some file systems have others that run a program, such as SSH's `proxy_command`, or send a token to any
host. This machine's own file is not checked here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Final, NoReturn

from mlgit.errors import UnsafeError
from mlgit.model.fields import Fields, describe
from mlgit.model.relpath import check_name
from mlgit.model.secret import is_secret, redact

FOLDER: Final = ".mlgit"
LOCAL: Final = f"{FOLDER}/config.local.yaml"
_HARMLESS: Final = frozenset(
    [
        "account_name",
        "anon",
        "container",
        "default_block_size",
        "endpoint_url",
        "max_concurrency",
        "profile",
        "project",
        "region",
        "region_name",
        "requester_pays",
        "s3_additional_kwargs",
        "timeout",
        "url",
        "use_https",
        "use_ssl",
        "user",
        "username",
        "version_aware",
        "workgroup",
        "client_kwargs",
        "config_kwargs",
    ]
)
_HARMLESS_BELOW: Final[Mapping[str, frozenset[str]]] = {
    "client_kwargs": frozenset({"endpoint_url", "region_name"}),
    "config_kwargs": frozenset({"signature_version", "s3"}),
    "s3": frozenset({"addressing_style"}),
    "s3_additional_kwargs": frozenset({"ACL", "ServerSideEncryption", "SSEKMSKeyId", "StorageClass"}),
}


def check_committed_remote(options: Fields) -> None:
    """Hold a remote's keys against the rules.

    Raises:
        UnsafeError: a credential, or an option that only this machine's file may set.
    """
    url = options.text("url", "")
    if redact(url) != url:
        _refuse(options, "url", "a committed URL must not hold a credential")
    _check_harmless(options, _HARMLESS)
    if "endpoint_url" in options.block and not url.startswith(("s3://", "s3a://")):
        # S3 signs its requests; other services would hand a bearer token to whatever host stands here.
        _refuse(options, "endpoint_url", "a committed configuration may name an endpoint for S3 only")


def check_committed_folder(folder: str, cache: Fields) -> None:
    """Hold the cache's folder against the rules.

    Raises:
        UnsafeError: it is outside the repository or in `.git`.
    """
    path = posixpath.normpath(posixpath.join(FOLDER, folder.replace("\\", "/")))
    if path.startswith(("/", "..")) or ":" in path or path == ".":
        _refuse(cache, "dir", "a committed configuration cannot put the cache outside the repository")
    parts = path.split("/")
    for part in parts[1:] if parts[0] == FOLDER else parts:
        check_name(part, cache.at("dir"))


def _check_harmless(options: Fields, known: frozenset[str]) -> None:
    for name, value in options.block.items():
        if is_secret(name) and name not in known:
            _refuse(options, name, "a credential must not be committed", "or give it by an environment variable")
        if name not in known:
            _refuse(options, name, "this option may be set for this machine only")
        if isinstance(value, str) and redact(value) != value:
            _refuse(options, name, "a credential must not be committed", "or give it by an environment variable")
        if name in _HARMLESS_BELOW:
            below = options.mapping(name)
            _check_harmless(Fields(below, options.at(name), below), _HARMLESS_BELOW[name])
        elif isinstance(value, (dict, list)):
            options.fail(name, f"expected one value, found {describe(value)}")


def _refuse(fields: Fields, key: str, problem: str, more: str = "") -> NoReturn:
    raise UnsafeError(
        f"{fields.at(key)}: {problem}", hint=f"keep it in {LOCAL}: use --local{', ' + more if more else ''}"
    )
