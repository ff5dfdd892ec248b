"""An event as a message for Slack's incoming webhooks, and for what speaks their format.

Limits are Slack's own: 3,000 characters in a section, 150 in a header, 50 blocks in a message. Names and values stand
in plain text, where asterisks and colons mean nothing; `&`, `<` and `>` are escaped as Slack asks, and `@` cannot
mention.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, urlsplit

from mlgit.ops.notify.event import Event

MAX_SECTION: Final = 3000
MAX_HEADER: Final = 150
MAX_BLOCKS: Final = 50
_MAX_LINK: Final = 2000
_ENTITY: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@\u200b"}


def to_slack(event: Event) -> dict[str, Any]:
    """The message: a header, the sides, a section for each few rows, the notes, the link."""
    sections = [*([event.sides] if event.sides else []), *_joined(event.rows)]
    if event.omitted:
        sections.append(f"and {event.omitted:,} more")
    sections += event.notes
    head = {"type": "header", "text": _plain(event.headline, MAX_HEADER)}
    blocks = [head, *({"type": "section", "text": _plain(text, MAX_SECTION)} for text in sections)]
    link = _link(event.link)
    if link:
        shown = {"type": "mrkdwn", "verbatim": True, "text": f"<{link}|Open the run>"}
        blocks = [*blocks[: MAX_BLOCKS - 1], {"type": "section", "text": shown}]
    text = escape(event.headline, MAX_SECTION)
    return {"text": text, "mrkdwn": False, "unfurl_links": False, "blocks": blocks[:MAX_BLOCKS]}


def escape(text: str, limit: int) -> str:
    """`text` as Slack shows it, of at most `limit` characters; no escape is cut in two."""
    parts: list[str] = []
    left = limit
    for at, character in enumerate(text):
        part = _ENTITY.get(character, character)
        if len(part) > left - (at + 1 < len(text)):
            return "".join(parts) + "…"
        parts.append(part)
        left -= len(part)
    return "".join(parts)


def _plain(text: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "emoji": False, "text": escape(text, limit)}


def _joined(rows: Iterable[str]) -> list[str]:
    """Rows on lines of their own, as many in one section as are sure to fit when escaped."""
    sections: list[str] = []
    for row in rows:
        longer = f"{sections[-1]}\n{row}" if sections else row
        if sections and len(escape(longer, 2 * MAX_SECTION)) <= MAX_SECTION:
            sections[-1] = longer
        else:
            sections.append(row)
    return sections


def _link(link: str | None) -> str:
    """The address with everything quoted that could end the link; empty if it is none of the web."""
    quoted = quote(link or "", safe=":/?#[]@!$&'()*+,;=%~")
    try:
        parts = urlsplit(quoted)
    except ValueError:
        return ""
    good = parts.scheme in ("http", "https") and parts.netloc and len(quoted) <= _MAX_LINK
    return quoted.replace("&", "&amp;") if good else ""
