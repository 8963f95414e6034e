"""Markdown to HTML, where it says more than the plain text already does."""

from __future__ import annotations

from collections.abc import Iterable

from markdown_it import MarkdownIt
from markdown_it.token import Token

from mailboxes import sanitize

# Raw HTML in markdown stays text. Line breaks hold, as in the plain part. Setext headings and indented
# code are off, because "--" above a signature and an indented line are not meant so in a letter.
_PARSER = (
    MarkdownIt("commonmark", {"html": False, "breaks": True})
    .enable(["table", "strikethrough"])
    .disable(["lheading", "code"])
)
_PLAIN = {"paragraph_open", "paragraph_close", "inline", "text", "softbreak"}


def to_html(text: str) -> str:
    """ "" when the text has no markup, or so much that only the text itself can be shown."""
    tokens = _PARSER.parse(text)
    if all(token.type in _PLAIN for token in _flat(tokens)):
        return ""
    html = str(_PARSER.renderer.render(tokens, _PARSER.options, {}))
    try:
        sanitize.clean(html)
    except ValueError:
        return ""
    return html


def _flat(tokens: Iterable[Token]) -> Iterable[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()
