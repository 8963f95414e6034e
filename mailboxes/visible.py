"""What of an HTML body a recipient can see: every run of text with the reason why it can't be seen. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mailboxes import sanitize, styles
from mailboxes.colors import BLACK, LINK, WHITE, Color, contrast, parse
from mailboxes.colors import first as first_color

# WCAG asks for 4.5; pale grey on white has 1.6, #eee on white 1.16
_INVISIBLE = 1.25
_TINY_PX = 6.0
_FAR_PX = 500.0
_FONT_PX = {"1": 10.0, "2": 13.0, "3": 16.0, "4": 18.0, "5": 24.0, "6": 32.0, "7": 48.0}
_SCALE = {"small": 0.833, "sub": 0.833, "sup": 0.833, "big": 1.2, "h1": 2.0, "h2": 1.5, "h3": 1.17}
_OFFSETS = ("left", "top", "right", "bottom", "text-indent", "margin", "margin-left", "margin-top")


@dataclass(frozen=True)
class _Style:
    color: Color = BLACK
    background: Color = WHITE
    size: float = 16.0
    opacity: float = 1.0
    hidden: str = ""
    visibility: str = "visible"

    @property
    def reason(self) -> str:
        """Empty, or the end of a sentence that begins with "are"."""
        if self.hidden:
            return self.hidden
        if self.visibility != "visible":
            return f"under visibility:{self.visibility}"
        if self.opacity < 0.1:
            return "under opacity:0"
        if self.size < _TINY_PX:
            return f"in {self.size:.2g} px type"
        seen = self.color.over(self.background)
        return f"{seen} on {self.background}" if contrast(seen, self.background) < _INVISIBLE else ""


@dataclass(frozen=True)
class Run:
    """A token of the tree, with the reason why its text can't be seen and the link it stands in."""

    token: sanitize.Token
    reason: str = ""
    href: str = ""


@dataclass(frozen=True)
class _Frame:
    style: _Style
    href: str = ""


def runs(html: str) -> Iterator[Run]:
    """Of `sanitize.clean` or `sanitize.normalize` output."""
    stack = [_Frame(_Style())]
    for token in sanitize.tokens(html):
        if isinstance(token, sanitize.Open):
            frame = _enter(stack[-1], token)
            if not token.is_void:
                stack.append(frame)
            yield Run(token, frame.style.reason, frame.href)
        elif isinstance(token, sanitize.Close):
            yield Run(token)
            if len(stack) > 1:
                stack.pop()
        else:
            yield Run(token, stack[-1].style.reason, stack[-1].href)


def text_of(found: Iterable[Run]) -> str:
    """The words as they stand, blocks apart, inline elements joined."""
    return "".join(_text(run) for run in found)


def hidden(found: Iterable[Run]) -> dict[str, str]:
    """The unseen text by its reason."""
    by_reason: dict[str, list[str]] = {}
    for run in found:
        if run.reason and isinstance(run.token, sanitize.Text):
            by_reason.setdefault(run.reason, []).append(run.token.text)
    joined = {reason: " ".join(" ".join(texts).split()) for reason, texts in by_reason.items()}
    return {reason: text for reason, text in joined.items() if text}


def _text(run: Run) -> str:
    token = run.token
    if isinstance(token, sanitize.Text):
        return token.text
    if isinstance(token, sanitize.Open) and token.tag == "img":
        return f" {token.attributes.get('alt', '')} "
    return " " if token.tag in sanitize.BLOCKS else ""


def _enter(parent: _Frame, token: sanitize.Open) -> _Frame:
    attributes, style = token.attributes, token.style
    inherited = parent.style
    # a link has a colour of its own and does not inherit one
    is_link = token.tag == "a" and "href" in attributes
    color = parse(style.get("color", "")) or parse(attributes.get("color", "") if token.tag == "font" else "")
    entered = replace(
        inherited,
        color=color or (LINK if is_link else inherited.color),
        background=_background(token, inherited.background),
        size=_size(token, inherited.size),
        opacity=inherited.opacity * _opacity(style),
        visibility=style.get("visibility", inherited.visibility),
        hidden=inherited.hidden or _hiding(token),
    )
    return _Frame(entered, attributes.get("href", "") or parent.href)


def _background(token: sanitize.Open, below: Color) -> Color:
    written = token.style.get("background-color") or token.style.get("background", "")
    color = first_color(written) if written else None
    color = color or parse(token.attributes.get("bgcolor", ""))
    return color.over(below) if color else below


def _size(token: sanitize.Open, inherited: float) -> float:
    if (size := styles.font_size(token.style, inherited)) is not None:
        return size
    if token.tag == "font" and "size" in token.attributes:
        return _FONT_PX.get(token.attributes["size"].strip("+"), 10.0)
    return inherited * _SCALE.get(token.tag, 1.0)


def _opacity(style: dict[str, str]) -> float:
    value = style.get("opacity", "1")
    try:
        return float(value[:-1]) / 100 if value.endswith("%") else float(value[:20])
    except ValueError:
        return 1.0


def _hiding(token: sanitize.Open) -> str:
    style = token.style
    if "hidden" in token.attributes:
        return "in an element marked hidden"
    if style.get("display") == "none" or style.get("mso-hide") == "all":
        return "under display:none"
    offsets = " ".join(style.get(name, "") for name in _OFFSETS).split()
    if any((styles.pixels(word) or 0) < -_FAR_PX for word in offsets):
        return "moved off the page"
    if re.search(r"scale\(\s*0|translate\w*\([^)]*-\d{4}|rect\(\s*0|inset\(\s*(?:50|100)%", _shape(style)):
        return "clipped away"
    return _collapsed(style)


def _shape(style: dict[str, str]) -> str:
    return " ".join(style.get(name, "") for name in ("transform", "clip", "clip-path"))[:1000]


def _collapsed(style: dict[str, str]) -> str:
    """A box without height or width that shows nothing beyond itself."""
    if style.get("overflow", style.get("overflow-y")) not in ("hidden", "clip"):
        return ""
    for name in ("height", "max-height", "width", "max-width"):
        size = styles.pixels(style.get(name, ""))
        if size is not None and size <= 1:
            return "in a box without room for them"
    return ""
