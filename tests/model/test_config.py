"""The configuration: strict decoding, layers, dotted keys, and what a commit must not contain."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError, MlgitError, UnsafeError, UsageError
from mlgit.model import config
from mlgit.model.config import LOCAL, SHARED, Layer, RemoteConfig
from mlgit.model.secret import is_secret, redact

WHOLE = """\
core:
  hash: sha256
  remote: origin
  autostage: true
cache:
  dir: store
  links: [hardlink, copy]
remotes:
  origin:
    url: s3://bucket/path
    endpoint_url: https://minio.example:9000
    client_kwargs: {region_name: eu-central-1}
  folder: {url: ../../remote}
"""


def test_a_whole_file_decodes() -> None:
    merged = config.merge(config.decode(WHOLE, SHARED))
    assert (merged.hash, merged.remote, merged.autostage) == ("sha256", "origin", True)
    assert merged.links == ("hardlink", "copy")
    assert merged.remotes["origin"].options["client_kwargs"] == {"region_name": "eu-central-1"}
    assert merged.cache_path(Path("/r")) == Path("/r/.mlgit/store")


def test_nothing_configured_gives_the_defaults() -> None:
    assert config.merge() == config.Config()
    assert config.merge(config.decode("", SHARED), config.decode(b"# nothing\n", LOCAL)) == config.Config()


def test_this_machine_goes_over_the_shared_file_key_by_key() -> None:
    local = config.decode("core: {autostage: false}\nremotes: {origin: {secret: hunter22}}", LOCAL)
    merged = config.merge(config.decode(WHOLE, SHARED), local)
    assert merged.autostage is False
    assert merged.remotes["origin"].url == "s3://bucket/path"
    assert merged.remotes["origin"].options["secret"] == "hunter22"


def test_encoding_has_a_fixed_order_and_comes_back() -> None:
    layer = config.decode(
        "remotes: {b: {url: x, profile: p}, a: {anon: true, url: y}}\ncore: {autostage: true}", SHARED
    )
    text = config.encode(layer)
    assert text.splitlines()[0] == "core:"
    assert text.index("a:") < text.index("b:")
    assert text.index("url: y") < text.index("anon: true")
    assert config.decode(text, SHARED).values == layer.values
    assert config.encode(config.decode("", SHARED)) == ""


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
SCALARS = st.booleans() | st.integers(0, 10**12) | st.text(max_size=30)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "core": st.fixed_dictionaries({}, optional={"autostage": st.booleans()}),
            "cache": st.fixed_dictionaries(
                {}, optional={"links": st.permutations(config.LINKS).map(lambda links: links[:2])}
            ),
            "remotes": st.dictionaries(NAMES, st.dictionaries(NAMES.filter(lambda n: n != "url"), SCALARS), max_size=3),
        },
    )
)
def test_what_is_encoded_decodes_to_the_same(values: dict) -> None:
    filled = {section: content for section, content in values.items() if content}
    layer = Layer(LOCAL, filled)
    assert config.decode(config.encode(layer), LOCAL) == layer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("core: {autostge: true}", ["config.yaml:1", "core.autostge", "unknown key"]),
        ("core:\n  autostage: 1", ["config.yaml:2", "core.autostage", "true or false"]),
        ("core: {hash: md5}", ["core.hash", "md5"]),
        ("core: {remote: 'a b'}", ["core.remote"]),
        ("cache: {links: [copy, copy]}", ["cache.links"]),
        ("cache: {links: [teleport]}", ["links", "teleport"]),
        ("cache: {links: []}", ["cache.links"]),
        ("remotes: {'../x': {url: y}}", ["remotes", "'../x'"]),
        ("remotes: {a: {url: ''}}", ["remotes.a.url"]),
        ('remotes: {a: {url: "x\\ny"}}', ["remotes.a.url"]),
        ("remotes: {a: s3://b}", ["remotes.a", "mapping"]),
        ("remotes: [a]", ["remotes", "mapping"]),
        ("[]", ["mapping"]),
        ("core: {remote: a, remote: b}", ["duplicate"]),
        ("remotes: {a: {url: s3://b, profile: [x]}}", ["remotes.a.profile"]),
    ],
)
def test_a_malformed_file_is_refused_with_its_place(text: str, words: list[str]) -> None:
    with pytest.raises(InvalidError) as caught:
        config.decode(text, SHARED)
    for word in words:
        assert word in caught.value.message


def test_a_misspelt_key_is_answered_with_the_right_one() -> None:
    with pytest.raises(InvalidError) as caught:
        config.decode("core: {autostge: true}", SHARED)
    assert caught.value.hint == "did you mean 'autostage'?"


@pytest.mark.parametrize(
    "options",
    [
        "secret: hunter22",
        "key: AKIA123456",
        "token: abc",
        "password: abc",
        "sas_token: abc",
        "connection_string: 'AccountKey=abc'",
        "client_kwargs: {aws_secret_access_key: abc}",
        "proxy_command: touch pwned",
        "known_hosts: null",
        "config_kwargs: {s3: {x: 1}}",
        "user: 'password=hunter22'",
    ],
)
def test_a_commit_holds_no_credential_and_no_dangerous_option(options: str) -> None:
    text = f"remotes: {{a: {{url: 's3://bucket', {options}}}}}"
    with pytest.raises(UnsafeError) as caught:
        config.decode(text, SHARED)
    assert "--local" in str(caught.value.hint)
    assert "hunter22" not in caught.value.message
    config.decode(text, LOCAL)


@pytest.mark.parametrize("url", ["https://me:hunter22@host/x", "ssh://me:hunter22@host/x", "az://c/x?sig=hunter22"])
def test_a_committed_url_holds_no_credential(url: str) -> None:
    with pytest.raises(UnsafeError) as caught:
        config.decode(f"remotes: {{a: {{url: '{url}'}}}}", SHARED)
    assert "hunter22" not in str(caught.value)
    config.decode(f"remotes: {{a: {{url: '{url}'}}}}", LOCAL)


def test_a_committed_endpoint_is_for_s3_only() -> None:
    with pytest.raises(UnsafeError):
        config.decode("remotes: {a: {url: 'gs://b', endpoint_url: 'https://evil.example'}}", SHARED)


@pytest.mark.parametrize("folder", ["/tmp/x", "../../x", "..", "../.git/hooks", "C:\\x", "..\\..\\x", "../.GIT/x"])
def test_a_committed_cache_stays_in_the_repository(folder: str) -> None:
    with pytest.raises(UnsafeError):
        config.decode(f"cache: {{dir: '{folder}'}}", SHARED)


def test_this_machine_may_keep_its_cache_anywhere() -> None:
    merged = config.merge(config.decode("cache: {dir: /big/cache}", LOCAL))
    assert merged.cache_path(Path("/r")) == Path("/big/cache")


def test_the_hash_belongs_to_the_repository() -> None:
    with pytest.raises(InvalidError):
        config.decode("core: {hash: sha256}", LOCAL)


def test_printing_hides_credentials() -> None:
    layer = config.decode("remotes: {a: {url: 'ssh://u:hunter22@h', opts: {password: sesame99}}}", LOCAL)
    shown = repr(layer) + repr(config.merge(layer)) + str(config.merge(layer).remotes["a"]) + str(config.flatten(layer))
    assert "hunter22" not in shown
    assert "sesame99" not in shown
    assert RemoteConfig("a", "s3://b").options == {}


def test_setting_reads_the_text_as_the_key_wants_it() -> None:
    layer = config.decode("", SHARED)
    for key, text in [
        ("core.autostage", "true"),
        ("core.remote", "007"),
        ("cache.links", "reflink,copy"),
        ("remotes.a.url", "s3://b"),
        ("remotes.a.anon", "true"),
    ]:
        layer = config.assign(layer, key, text)
    assert layer.values == {
        "core": {"remote": "007", "autostage": True},
        "cache": {"links": ["reflink", "copy"]},
        "remotes": {"a": {"url": "s3://b", "anon": True}},
    }
    assert config.lookup("core.autostage", layer) is True
    assert config.lookup("remotes.a.url", layer) == "s3://b"
    assert config.lookup("core.hash", layer) == "blake3"
    assert config.lookup("remotes.b.url", layer) is None


def test_the_last_layer_answers_first() -> None:
    shared, local = config.decode("core: {remote: a}", SHARED), config.decode("core: {remote: b}", LOCAL)
    assert config.lookup("core.remote", shared, local) == "b"


@pytest.mark.parametrize("key", ["core.autostge", "core", "autostage", "remotes", "remotes.", "core.autostage.x", ""])
def test_an_unknown_key_is_a_usage_error(key: str) -> None:
    layer = config.decode("", SHARED)
    for action in (lambda: config.assign(layer, key, "1"), lambda: config.lookup(key, layer)):
        with pytest.raises(UsageError):
            action()


@pytest.mark.parametrize(("key", "text"), [("core.hash", "md6"), ("core.autostage", "yes"), ("core.hash", "md5")])
def test_a_wrong_value_is_refused(key: str, text: str) -> None:
    with pytest.raises(InvalidError):
        config.assign(config.decode("", SHARED), key, text)


def test_a_credential_can_be_set_for_this_machine_only() -> None:
    with pytest.raises(UnsafeError):
        config.assign(config.decode("", SHARED), "remotes.a.secret", "hunter22")
    assert config.assign(config.decode("", LOCAL), "remotes.a.secret", "hunter22").values["remotes"]


def test_unsetting() -> None:
    layer = config.decode(WHOLE, SHARED)
    assert "autostage" not in config.unset(layer, "core.autostage").values["core"]
    assert list(config.unset(layer, "remotes.origin").values["remotes"]) == ["folder"]
    assert layer.values["core"]["autostage"] is True
    with pytest.raises(UsageError):
        config.unset(layer, "remotes.nobody")


def test_picking_a_remote() -> None:
    merged = config.merge(config.decode(WHOLE, SHARED))
    assert merged.pick().name == "origin"
    assert merged.pick("folder").url == "../../remote"
    assert config.merge(config.decode("remotes: {only: {url: x}}", SHARED)).pick().name == "only"
    for layers, name in [((), None), (("remotes: {a: {url: x}, b: {url: y}}",), None), ((WHOLE,), "nobody")]:
        with pytest.raises(UsageError):
            config.merge(*[config.decode(text, SHARED) for text in layers]).pick(name)


def test_options_without_a_url_are_refused() -> None:
    with pytest.raises(InvalidError, match=r"remotes\.a"):
        config.merge(config.decode("", SHARED), config.decode("remotes: {a: {profile: x}}", LOCAL))


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    try:
        config.decode(data, SHARED)
    except MlgitError as error:
        assert error.code in (10, 14)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter22@host/a",
        "https://hunter22@host/a",
        "ssh://u:hunter/22@h/p hunter22".replace(" hunter22", ""),
        "GET /x?sv=1&sig=hunter22&x=1",
        "x-amz-security-token: hunter22",
        "AccountKey=hunter22;EndpointSuffix=x",
        "{'secret': 'hunter22'}",
        "Authorization: Bearer hunter22hunter22",
        "X-Amz-Signature=hunter22",
    ],
)
def test_redaction(text: str) -> None:
    assert "hunter" not in redact(text)


def test_redaction_leaves_plain_text_alone() -> None:
    for text in ("s3://bucket/a", "ssh://me@host/x", "abfs://c@account.dfs.core.windows.net/x", "reading index/ab12"):
        assert redact(text) == text
    assert redact("why s3cr3t here", ["s3cr3t"]) == "why *** here"


def test_names_of_secrets() -> None:
    for name in ("key", "secret", "token", "password", "sas_token", "account_key", "connection_string", "SecretKey"):
        assert is_secret(name)
    for name in ("url", "profile", "endpoint_url", "region", "keyboard"):
        assert not is_secret(name)


def test_a_cache_for_a_group() -> None:
    layer = config.decode("core:\n  shared: group\n", config.SHARED)
    assert config.merge(layer).shared
    assert not config.merge().shared
    assert (
        config.encode(config.assign(config.Layer(config.SHARED), "core.shared", "group")) == "core:\n  shared: group\n"
    )
    with pytest.raises(InvalidError, match="everybody"):
        config.assign(layer, "core.shared", "everybody")
