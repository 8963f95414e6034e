"""A message body as a small document for a frame that runs nothing and loads nothing. Pure.

The frame's own policy is `sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:`.
"""

from __future__ import annotations

import html as entities

from mailboxes import invisible, sanitize, visible

_HEAD = """<!doctype html>
<html><head><meta charset="utf-8"><title>Message</title><style>
:root{color-scheme:light}
body{margin:16px;background:#fff;color:#000;font:16px/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
img{max-width:100%} a{color:#0000ee;text-decoration:underline}
mark{background:#fff0f0;color:#b00020;font:600 14px/1.4 system-ui,sans-serif;
text-decoration:underline dashed #b00020;text-underline-offset:3px}
</style></head><body>
"""
_FOOT = "\n</body></html>\n"
_TOO_LARGE = "<p><mark>This HTML has more elements than can be shown. Read the plain text.</mark></p>"


def document(html: str) -> str:
    """The sanitised body; what its author hid stands in `mark`, with the reason as its title."""
    try:
        marked = _marked(html)
        return _HEAD + sanitize.clean(marked, marks=True) + _FOOT
    except ValueError:
        return _HEAD + _TOO_LARGE + _FOOT


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
