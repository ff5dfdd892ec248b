"""The stage key: one hash of everything that a stage's outputs are a function of.

Equal keys mean equal results, so the key is where a run is looked up in the run cache. Sizes, hosts, times and names
of stages are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from blake3 import blake3

from mlgit.model.lock import canonical
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.model.tree import Content

VERSION: Final = 1


def stage_key(stage: Stage, deps: Mapping[RelPath, Content], params: Mapping[RelPath, Mapping[str, Any]]) -> str:
    """64 hex digits for `stage` run on `deps` with `params`."""
    value = {
        "version": VERSION,
        "cmd": stage.cmd,
        "wdir": stage.wdir,
        "deps": {path: content.oid for path, content in deps.items()},
        "params": params,
        **({"env": stage.env} if stage.env else {}),
        "outs": sorted([out.path, out.cache, out.persist] for out in stage.outs),
    }
    return str(blake3(canonical(value).encode("utf-8", "surrogatepass")).hexdigest())
