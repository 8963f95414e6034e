"""A message body as a small document for a frame that runs nothing and loads nothing. Pure.

The frame's own policy is `sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:`.
"""

from __future__ import annotations

import html as entities
import re

from mailboxes import invisible, sanitize, visible

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Message</title><style>
:root{color-scheme:%s}
html{background:light-dark(#fff,#1d1c19);color:light-dark(#1c1b19,#eceae4)}
body{margin:18px 20px 22px;max-width:72ch;overflow-wrap:anywhere;
font:15px/1.6 Inter,ui-sans-serif,system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
p{margin:0 0 12px} img{max-width:100%%} table{border-spacing:12px 2px;margin-left:-12px}
blockquote{margin:0 0 12px;padding-left:12px;border-left:3px solid light-dark(#e6e3dc,#34312b)}
a{color:light-dark(#1f5fbf,#86b4f6);text-decoration:underline}
mark{background:light-dark(#fdeae8,#431c19);color:light-dark(#b3261e,#ff9088);font:inherit;
text-decoration:underline dashed;text-underline-offset:4px}
</style></head><body>
"""
# mail that sets colours was written for white paper; other mail may follow the reader's own scheme
_ON_PAPER, _EITHER = "light", "light dark"
_COLOURED = re.compile(r"(?i)<[^>]*\b(?:background|bgcolor|color)\b")
# … and what the hidden part sets is overruled by its mark
_MARKED = re.compile(r"<[^<>]*>(?=\s*<mark)")
_FOOT = "\n</body></html>\n"
_TOO_LARGE = "<p><mark>This HTML has more elements than can be shown. Read the plain text.</mark></p>"


def document(html: str) -> str:
    """The sanitised body; what its author hid stands in `mark`, with the reason as its title."""
    try:
        body = sanitize.clean(_marked(html), marks=True)
    except ValueError:
        body = _TOO_LARGE
    is_coloured = _COLOURED.search(_MARKED.sub("", body))
    return _HEAD % (_ON_PAPER if is_coloured else _EITHER) + body + _FOOT


def plain(text: str) -> str:
    """Text with the names of its invisible characters in their places."""
    return invisible.reveal(text)


def _marked(html: str) -> str:
    pieces = []
    for run in visible.runs(sanitize.normalize(html)):
        token = run.token
        if isinstance(token, sanitize.Text):
            pieces.append(_text(token.text, run.reason))
        elif isinstance(token, sanitize.Close):
            pieces.append(f"</{token.tag}>")
        else:
            pieces.append(_open(token))
    return "".join(pieces)


def _text(text: str, reason: str) -> str:
    if reason and text.strip():
        return _mark(reason, invisible.reveal(text))
    return "".join(
        _mark("invisible characters", piece) if is_name else entities.escape(piece)
        for piece, is_name in invisible.split(text)
    )


def _mark(title: str, text: str) -> str:
    return f'<mark title="{entities.escape(title)}">{entities.escape(text)}</mark>'


def _open(token: sanitize.Open) -> str:
    """A link shows its target on hover and leads nowhere: the frame is for reading."""
    attributes = dict(token.attributes)
    attributes.pop("hidden", None)
    attributes.pop("title", None)
    if "href" in attributes:
        attributes["title"] = attributes.pop("href")
    pairs = "".join(f' {name}="{entities.escape(value)}"' for name, value in attributes.items())
    return f"<{token.tag}{pairs}>"
