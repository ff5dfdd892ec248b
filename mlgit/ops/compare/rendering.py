"""Vega-Lite specifications to PNG and SVG, by `vl-convert-python` (`mlgit[plots]`), which is loaded when needed.

It draws without a browser and without a network: what a specification wants to load is refused.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, Literal

from mlgit.errors import InvalidError, UsageError

Format = Literal["png", "svg"]

VEGA_LITE: Final = "5.21"


def renderer() -> Any:
    """The module that draws.

    Raises:
        UsageError: `mlgit[plots]` is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise UsageError(
            "drawing plots needs vl-convert-python, which is not installed", hint="pip install 'mlgit[plots]'"
        ) from error
    return vl_convert


def render_image(name: str, spec: dict[str, Any], kind: Format) -> bytes:
    """One specification as PNG or SVG.

    Args:
        name: what an error calls it.

    Raises:
        UsageError: `mlgit[plots]` is not installed.
        InvalidError: the specification cannot be drawn.
    """
    draw = renderer()
    text = json.dumps(finite(spec), allow_nan=False)
    try:
        if kind == "svg":
            return str(draw.vegalite_to_svg(text, vl_version=VEGA_LITE, allowed_base_urls=[])).encode()
        return bytes(draw.vegalite_to_png(text, vl_version=VEGA_LITE, scale=2, allowed_base_urls=[]))
    except ValueError as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "unknown reason"
        raise InvalidError(f"plot {name!r} cannot be drawn: {reason}", hint="check its template") from error


def finite(value: Any) -> Any:
    """`value` with what JSON cannot hold, NaN and infinities, as null: a gap in a line."""
    if isinstance(value, dict):
        return {key: finite(below) for key, below in value.items()}
    if isinstance(value, list):
        return [finite(below) for below in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
