"""The program that draws: it reads Vega-Lite specifications, a line of JSON each, and answers each with a line.

Templates come from whoever wrote the repository, and Vega lets them compute: for ever, or until memory runs out, which
ends the process. So `rendering.py` runs this file as a process of its own, which holds nothing that could be lost. It
imports nothing of mlgit, and is run by its path and isolated (`python -I`), so that no file of the repository is found
in place of a module.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from typing import Any, Final

MEMORY: Final = 3 << 29
"""Bytes of data that it may hold, with the half a GiB that V8 takes at its start. Reservations do not count."""
_MAX_ANSWER: Final = 64 << 20


def main() -> None:
    """Answer requests until there are no more; the argument is the folder in which the renderer is installed."""
    sys.path.append(sys.argv[1])
    _limit()
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever the renderer prints is no answer
    for line in sys.stdin:
        request = json.loads(line)
        _end_after(request["seconds"] + 5)  # whoever asked ends it sooner, unless that process has been killed
        answer = json.dumps(_answer(**request))
        _end_after(0)
        answers.write(answer + "\n")
        answers.flush()


def _answer(spec: str, kind: str, version: str, seconds: int) -> dict[str, Any]:
    """The picture in base64, or what is wrong."""
    try:
        import vl_convert

        if kind == "svg":
            data = vl_convert.vegalite_to_svg(spec, vl_version=version, allowed_base_urls=[]).encode()
        else:
            data = vl_convert.vegalite_to_png(spec, vl_version=version, scale=2, allowed_base_urls=[])
    except (ImportError, ValueError) as error:
        return {"error": str(error)}
    if len(data) > _MAX_ANSWER:
        return {"error": f"the picture would have more than {_MAX_ANSWER >> 20} MiB"}
    return {"picture": base64.b64encode(data).decode()}


def _limit() -> None:
    """Bound memory, and leave no core dump behind; Windows has no such limits."""
    try:
        import resource
    except ImportError:
        return
    for kind, bytes_ in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        most = bytes_ if hard == resource.RLIM_INFINITY else min(hard, bytes_)
        resource.setrlimit(kind, (most, most))


def _end_after(seconds: int) -> None:
    """Let the system end this process then, whatever it is at; 0 takes that back."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


if __name__ == "__main__":
    main()
