"""Agreeing to a remote is agreeing to where its data goes: another endpoint is another place."""

from __future__ import annotations

from pathlib import Path

from mlgit.model import config
from mlgit.work.trust import Trust

SHARED = "remotes: {s: {url: 's3://bucket/p'%s}}"


def _remote(shared: str, own: str = "{}") -> config.RemoteConfig:
    layers = config.decode(SHARED % shared, config.SHARED), config.decode(own, config.LOCAL)
    return config.merge(*layers).pick("s")


def test_a_commit_that_changes_the_endpoint_changes_the_place(tmp_path: Path) -> None:
    trust = Trust(tmp_path / "trusted")
    trust.add(_remote("").place)
    assert trust.has(_remote(", region: eu").place)
    assert not trust.has(_remote(", endpoint_url: 'https://elsewhere.example'").place)
    assert not trust.has(_remote(", client_kwargs: {endpoint_url: 'https://elsewhere.example'}").place)


def test_a_remote_is_ones_own_only_if_no_commit_says_where_it_is() -> None:
    url = "remotes: {s: {url: 's3://mine/p'}}"
    assert _remote("", url).own
    assert _remote(", region: eu", url).own
    assert not _remote(", endpoint_url: 'https://elsewhere.example'", url).own
    assert _remote(
        ", endpoint_url: 'https://a.example'", "remotes: {s: {url: x, endpoint_url: 'https://b.example'}}"
    ).own
    assert not _remote("", "remotes: {s: {secret: x}}").own


def test_a_place_holds_no_credentials() -> None:
    own = "remotes: {s: {client_kwargs: {endpoint_url: 'https://a.example', aws_secret_access_key: hidden}}}"
    assert "hidden" not in _remote("", own).place
    assert "https://a.example" in _remote("", own).place
