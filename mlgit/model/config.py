"""The configuration: `.mlgit/config.yaml`, which everybody shares, and `.mlgit/config.local.yaml` of this machine.

Each file decodes to a `Layer`, strictly; `merge` puts this machine's over the shared one and fills in the defaults.
The shared file comes from whoever wrote the commit, so it is also held against the rules of `committed.py`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from mlgit.errors import InvalidError, UnsafeError, UsageError
from mlgit.model.committed import FOLDER, LOCAL, check_committed_folder, check_committed_remote
from mlgit.model.fields import Fields
from mlgit.model.notify import Target, decode_targets
from mlgit.model.oid import ALGORITHMS
from mlgit.model.secret import mask, redact
from mlgit.model.text import dump_yaml, load_yaml

SHARED: Final = f"{FOLDER}/config.yaml"
LINKS: Final = ("reflink", "hardlink", "symlink", "copy")
_CORE: Final = ("hash", "remote", "autostage", "shared")
_CACHE: Final = ("dir", "links")
_DEFAULTS: Final[Mapping[str, Any]] = {
    "core.hash": "blake3",
    "core.remote": None,
    "core.autostage": False,
    "core.shared": None,
    "cache.dir": None,
    "cache.links": ["reflink", "copy"],
}
_WHERE: Final = ("account_name", "container", "endpoint_url", "project")
_REMOTE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, repr=False)
class RemoteConfig:
    """One remote.

    Attributes:
        url: a URL, or a folder; a relative one is seen from the `.mlgit` folder.
        options: as its fsspec file system takes them; may hold credentials, so printing a `RemoteConfig` hides those.
        own: whether this machine's own configuration says where it is, and no commit has a part in that.
    """

    name: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    own: bool = False

    @property
    def place(self) -> str:
        """Where data goes: the url, and the options that send the same url to another host or account."""
        return " ".join([self.url, *(f"{key}={value!r}" for key, value in _where(self.options).items())])

    def __repr__(self) -> str:
        return f"RemoteConfig({self.name!r}, {redact(self.url)!r}, {mask(self.options)!r})"


@dataclass(frozen=True, slots=True)
class Config:
    """What holds after merging, defaults filled in.

    Attributes:
        hash: algorithm of new object ids.
        remote: name of the default remote, if there is one.
        autostage: whether `git add` follows whatever mlgit writes.
        shared: whether the group of the cache's folder may write to it.
        cache_dir: as written, None for the usual place; see `cache_path`.
        links: ways to put a file into the working tree, best first.
        notify: whom to tell of failures; this machine's own choice, never a commit's.
    """

    hash: str = "blake3"
    remote: str | None = None
    autostage: bool = False
    shared: bool = False
    cache_dir: str | None = None
    links: tuple[str, ...] = ("reflink", "copy")
    remotes: Mapping[str, RemoteConfig] = field(default_factory=dict)
    notify: tuple[Target, ...] = ()

    def pick(self, name: str | None = None) -> RemoteConfig:
        """The remote called `name`, or the default one; the only one there is serves as the default.

        Raises:
            UsageError: there is no such remote, or none to choose by default.
        """
        chosen = name or self.remote or (next(iter(self.remotes)) if len(self.remotes) == 1 else None)
        known = ", ".join(sorted(self.remotes))
        if not self.remotes:
            raise UsageError("no remote is configured", hint="mlgit remote add -d NAME URL")
        if chosen is None:
            raise UsageError(f"no default remote; there are: {known}", hint="mlgit remote default NAME, or -r NAME")
        if chosen not in self.remotes:
            raise UsageError(f"no remote is called {chosen!r}", hint=f"there are: {known}")
        return self.remotes[chosen]

    def cache_path(self, root: Path) -> Path:
        """The cache's folder in the repository at `root`."""
        return root / FOLDER / (self.cache_dir or "cache")


@dataclass(frozen=True, slots=True, repr=False)
class Layer:
    """One file's content, validated: section → key → value as written. Printing it hides credentials."""

    where: str
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notify: tuple[Target, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether it is committed, and so held to stricter rules."""
        return not self.where.endswith(posixpath.basename(LOCAL))

    def __repr__(self) -> str:
        return f"Layer({self.where!r}, {mask(self.values)!r})"


def decode(data: bytes | str, where: str) -> Layer:
    """Parse a configuration file; `where` is its path, which tells the shared one from this machine's.

    Raises:
        InvalidError: malformed, a key unknown or of the wrong type.
        UnsafeError: the shared file holds a credential, or something that only this machine's file may set.
    """
    values = load_yaml(data, where)
    return _checked({} if values is None else values, where)


def encode(layer: Layer) -> str:
    """The file's text, keys in fixed order, empty sections left out."""
    core, cache = layer.values.get("core", {}), layer.values.get("cache", {})
    remotes = layer.values.get("remotes", {})
    text: dict[str, Any] = {
        "core": {key: core[key] for key in _CORE if key in core},
        "cache": {key: cache[key] for key in _CACHE if key in cache},
        "remotes": {name: dict(sorted(remotes[name].items(), key=_url_first)) for name in sorted(remotes)},
    }
    text["notify"] = [dict(target.written) for target in layer.notify]
    filled = {section: content for section, content in text.items() if content}
    return dump_yaml(filled) if filled else ""


def merge(*layers: Layer) -> Config:
    """The configuration that `layers` give together, each over the ones before it, key by key.

    Raises:
        InvalidError: a remote has no url in any of them.
    """
    values: dict[str, Any] = {"core": {}, "cache": {}}
    remotes: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for section, content in values.items():
            content.update(layer.values.get(section, {}))
        for name, options in layer.values.get("remotes", {}).items():
            remotes.setdefault(name, {}).update(options)
    for name, options in remotes.items():
        if "url" not in options:
            raise InvalidError(
                f"{layers[-1].where}: remotes.{name}: has options but no url in any configuration file",
                hint=f"mlgit remote add {name} URL, or mlgit remote remove {name}",
            )
    core, cache = values["core"], values["cache"]
    own = [layer.values.get("remotes", {}) for layer in layers if not layer.shared]
    return Config(
        hash=core.get("hash", _DEFAULTS["core.hash"]),
        remote=core.get("remote"),
        autostage=core.get("autostage", _DEFAULTS["core.autostage"]),
        shared=core.get("shared") == "group",
        cache_dir=cache.get("dir"),
        links=tuple(cache.get("links", _DEFAULTS["cache.links"])),
        remotes={
            name: _remote(name, options, own=_is_own(options, [layer.get(name, {}) for layer in own]))
            for name, options in sorted(remotes.items())
        },
        notify=tuple(target for layer in layers if not layer.shared for target in layer.notify),
    )


def _is_own(options: Mapping[str, Any], own: list[Mapping[str, Any]]) -> bool:
    return all(any(key in layer for layer in own) for key in ("url", *_where(options)))


def _where(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that tell where data goes; of `client_kwargs`, which may hold credentials, the endpoint alone."""
    found = {key: options[key] for key in _WHERE if key in options}
    below = options.get("client_kwargs")
    if isinstance(below, Mapping) and "endpoint_url" in below:
        found["client_kwargs"] = below["endpoint_url"]
    return found


def lookup(key: str, *layers: Layer) -> Any:
    """The value of the dotted `key` in the last of `layers` that has it, else its default, else None.

    Raises:
        UsageError: no such key exists.
    """
    section, names = _split(key)
    for layer in reversed(layers):
        value: Any = layer.values.get(section, {})
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            return value
    return _DEFAULTS.get(key)


def assign(layer: Layer, key: str, text: str) -> Layer:
    """`layer` with the dotted `key` set to what `text` means there: `true`, `4`, `reflink,copy`, ….

    Raises:
        UsageError: no such key exists.
        InvalidError, UnsafeError: as `decode`.
    """
    section, names = _split(key)
    if section == "remotes" and len(names) < 2:
        raise UsageError(f"{key} is a section", hint=f"set a key in it, such as remotes.{names[0]}.url")
    where = f"{layer.where}: {key}"
    value = text.strip().split(",") if key == "cache.links" else _scalar(text, key, where)
    return _put(layer, section, names, lambda holder, name: holder.update({name: value}))


def unset(layer: Layer, key: str) -> Layer:
    """`layer` without the dotted `key`; `remotes.NAME` takes the whole remote away.

    Raises:
        UsageError: no such key exists, or it is not set in this file.
    """
    section, names = _split(key)

    def drop(holder: dict[str, Any], name: str) -> None:
        if name not in holder:
            raise UsageError(f"{key} is not set in {layer.where}", hint="see what is set with `mlgit config --list`")
        del holder[name]

    return _put(layer, section, names, drop)


def flatten(layer: Layer) -> dict[str, Any]:
    """Dotted key → value for everything that `layer` sets, credentials hidden, for showing."""
    shown = {
        f"notify.{number}.{key}": value
        for number, target in enumerate(layer.notify, 1)
        for key, value in (("place", target.place), ("on", list(target.on)), ("format", target.format))
    }
    return {**dict(_flat(mask(layer.values), "")), **shown}


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _remote(name: str, options: Mapping[str, Any], *, own: bool) -> RemoteConfig:
    return RemoteConfig(name, options["url"], {key: value for key, value in options.items() if key != "url"}, own)


def _url_first(item: tuple[str, Any]) -> tuple[bool, str]:
    return item[0] != "url", item[0]


def _split(key: str) -> tuple[str, list[str]]:
    """Section and names of a dotted key that may exist."""
    section, *names = key.split(".")
    if section == "remotes" and names and all(names):
        return section, names
    if section == "notify":
        raise UsageError(f"{key} is part of a list", hint=f"edit {LOCAL}; `mlgit config --list` shows what is in it")
    if key not in _DEFAULTS:
        # `Fields` words the refusal, with the nearest key.
        try:
            Fields({key: None}, "configuration", [*_DEFAULTS, "remotes.NAME.url"])
        except InvalidError as error:
            raise UsageError(error.message, hint=error.hint) from None
    return section, names


def _scalar(text: str, key: str, where: str) -> Any:
    """What `text` means as the value of `key`; text stays text where the key holds text."""
    if key in ("core.hash", "core.remote", "core.shared", "cache.dir") or key.endswith(".url"):
        return text
    value = load_yaml(text, where)
    if value is None:
        raise UsageError(f"{where}: empty value", hint=f"mlgit config --unset {key}")
    return value


def _put(layer: Layer, section: str, names: list[str], edit: Callable[[dict[str, Any], str], None]) -> Layer:
    """The layer with `edit` done, once every rule has been held against it."""
    return replace(_checked(_edited(layer, section, names, edit), layer.where), notify=layer.notify)


def _edited(
    layer: Layer, section: str, names: list[str], edit: Callable[[dict[str, Any], str], None]
) -> dict[str, dict[str, Any]]:
    """A copy of the layer's values, with `edit` done to the mapping that holds the last of `names`."""
    values = {name: _copied(content) for name, content in layer.values.items()}
    holder = values.setdefault(section, {})
    for name in names[:-1]:
        holder = holder.setdefault(name, {})
        if not isinstance(holder, dict):
            raise UsageError(f"{section}.{'.'.join(names)}: {name!r} is no section", hint="see `mlgit config --list`")
    edit(holder, names[-1])
    return values


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _checked(values: Mapping[str, Any], where: str) -> Layer:
    """The layer that `values` make, once every rule has been held against them."""
    layer = Layer(where)
    top = Fields(values, where, ("core", "cache", "remotes", "notify"))
    if layer.shared and "notify" in top.block:
        message = f"{top.at('notify')}: a commit must not say where mlgit sends anything"
        raise UnsafeError(message, hint=f"put it in {LOCAL}")
    notify = decode_targets(top.items("notify", []), _inside(top, "notify"))
    core = _check_core(Fields(top.mapping("core", {}), _inside(top, "core"), _CORE), layer.shared)
    cache = _check_cache(Fields(top.mapping("cache", {}), _inside(top, "cache"), _CACHE), layer.shared)
    section = top.mapping("remotes", {})
    names = Fields(section, _inside(top, "remotes"), section)
    remotes = {name: _check_remote(name, names, layer.shared) for name in section}
    content = {"core": core, "cache": cache, "remotes": remotes}
    return Layer(where, {name: part for name, part in content.items() if part}, notify)


def _inside(fields: Fields, key: str) -> str:
    return fields.at(key) if key in fields.block else f"{fields.where}: {key}"


def _check_core(core: Fields, shared: bool) -> dict[str, Any]:
    if not shared and "hash" in core.block:
        core.fail("hash", "the hash algorithm belongs to the repository", f"set it in {SHARED}")
    remote = core.text("remote", None)
    if remote is not None:
        _check_remote_name(remote, core, "remote")
    found = {
        "hash": core.choice("hash", ALGORITHMS, None),
        "remote": remote,
        "autostage": core.flag("autostage", None),
        "shared": core.choice("shared", ("group",), None),
    }
    return {key: value for key, value in found.items() if value is not None}


def _check_cache(cache: Fields, shared: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    folder = cache.text("dir", None)
    if folder is not None:
        if not folder or "\0" in folder:
            cache.fail("dir", f"not a folder: {folder!r}")
        if shared:
            check_committed_folder(folder, cache)
        found["dir"] = folder
    links = cache.block.get("links")
    if links is not None:
        found["links"] = _check_links([links] if isinstance(links, str) else cache.items("links"), cache)
    return found


def _check_links(links: list[Any], cache: Fields) -> list[str]:
    if not links or len(set(map(str, links))) != len(links):
        cache.fail("links", "expected different ways to link, best first", f"some of: {', '.join(LINKS)}")
    for link in links:
        if link not in LINKS:
            cache.fail("links", f"unknown value {link!r}", f"one of: {', '.join(LINKS)}")
    return links


def _check_remote(name: str, remotes: Fields, shared: bool) -> dict[str, Any]:
    _check_remote_name(name, remotes, name)
    content = remotes.mapping(name)
    options = Fields(content, remotes.at(name), content)
    url = options.text("url", None)
    if url is not None and (not url.strip() or re.search(r"[\x00-\x1f\x7f]", url)):
        options.fail("url", f"not a URL or a folder: {redact(url)!r}")
    if shared:
        check_committed_remote(options)
    return _copied(content)


def _check_remote_name(name: str, fields: Fields, key: str) -> None:
    if _REMOTE_NAME.fullmatch(name) is None:
        fields.fail(key, f"not a remote's name: {name!r}", "use letters, digits, '-' and '_'")
