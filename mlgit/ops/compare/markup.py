"""Text and pictures as HTML that shows exactly them; what the interactive page and the report page have in common.

Names, values and pictures come from whoever wrote the repository. None of them may open an element, end an attribute,
turn the direction of the text around it, or make the browser ask for anything.
"""

from __future__ import annotations

import base64
import html
import re
from typing import Final

from mlgit.ops.compare.files import IMAGES
from mlgit.ops.compare.plots import Picture

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """`text` with characters that cannot be encoded, seen or put into XML shown as escapes."""
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def safe(text: str) -> str:
    """`text` for HTML and its attributes."""
    return html.escape(visible(text))


def image(picture: Picture) -> str:
    """A picture as an element that holds its bytes."""
    kind = IMAGES["." + picture.file.rpartition(".")[2].lower()]
    data = base64.b64encode(picture.data).decode()
    return f'<img src="data:{kind};base64,{data}" alt="{safe(f"{picture.file} in {picture.rev}")}">'


def shortened(text: str, limit: int = 300) -> str:
    """`text` cut with `…` after `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def scrolled(label: str, content: str) -> str:
    """A table that scrolls sideways by itself, also by keyboard, and never widens the page.

    Args:
        label: what the table holds, as text.
        content: its rows, as HTML.
    """
    name = safe(shortened(label))
    return f'<div class="wide" tabindex="0" role="region" aria-label="{name}"><table>\n{content}\n</table></div>\n'
