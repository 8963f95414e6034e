"""Inline styles: the closed list of what stays, and what a style does to the text under it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailboxes import colors

_MAX_PX = 200.0
_PX = {"px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 37.8, "mm": 3.78, "rem": 16.0, "q": 0.945}
_KEYWORD_PX = {
    "xx-small": 9.0, "x-small": 10.0, "small": 13.0, "medium": 16.0,
    "large": 18.0, "x-large": 24.0, "xx-large": 32.0, "xxx-large": 48.0,
}  # fmt: skip
_LENGTH = re.compile(r"([+-]?(?:\d{1,9}\.?\d{0,6}|\.\d{1,6})(?:e[+-]?\d{1,2})?)\s*([a-z%]*)")
_SPACING = re.compile(r"(?:margin|padding)(?:-(?:top|right|bottom|left))?")
_BORDER = re.compile(r"border(?:-(?:top|right|bottom|left))?(?:-(?:width|style|color|radius))?")
_WORDS = {
    "font-weight": r"normal|bold|bolder|lighter|[1-9]00",
    "font-style": r"normal|italic|oblique",
    "font-family": r"[\w ,'\"-]{1,200}",
    "text-align": r"left|right|center|justify|start|end",
    "vertical-align": r"baseline|top|middle|bottom|sub|super",
    "text-decoration": r"none|underline|line-through",
    "line-height": r"normal|[1-3](?:\.\d{1,3})?|(?:[89]\d|[1-3]\d\d)%|(?:[89]|[1-9]\d)(?:\.\d{1,3})?p[xt]",
}


def declarations(style: str) -> Iterator[tuple[str, str]]:
    """Pairs in lower case, later ones last. What could be read in two ways is left out."""
    style = re.sub(r"/\*.*?(?:\*/|$)", " ", style, flags=re.DOTALL)
    for one in re.findall(r"(?:[^;\"'()]|\"[^\"]*\"|'[^']*'|\([^()]*(?:\([^()]*\)[^()]*)*\))+", style):
        name, colon, value = one.partition(":")
        value = re.sub(r"\s*!\s*important\s*$", "", value.strip().lower())
        if colon and "\\" not in one and value:
            yield name.strip().lower(), value


def keep(style: str) -> str:
    """The closed list: colour, background, font, alignment, spacing; each value one that is known here."""
    kept = (pair for name, value in declarations(style) if (pair := _kept(name, value)))
    return ";".join(f"{name}:{value}" for name, value in kept)


def pixels(value: str, parent: float = 16.0) -> float | None:
    """A font size or length; None for what isn't one."""
    value = value.strip()
    if value in _KEYWORD_PX:
        return _KEYWORD_PX[value]
    if value in ("smaller", "larger"):
        return parent * (0.83 if value == "smaller" else 1.2)
    match = _LENGTH.fullmatch(value)
    if not match:
        return None
    number, unit = float(match[1]), match[2]
    if not unit:
        return number if number == 0 else None
    relative = {"em": parent, "%": parent / 100, "ex": parent / 2, "ch": parent / 2, "vw": 10.0, "vh": 8.0}
    scale = _PX.get(unit) or relative.get(unit)
    return None if scale is None else number * scale


def font_size(pairs: dict[str, str], parent: float) -> float | None:
    """From `font-size`, or from the size inside a `font` shorthand."""
    if (size := pixels(pairs.get("font-size", ""), parent)) is not None:
        return size
    for word in re.split(r"[\s/]+", pairs.get("font", "")):
        if word[:1].isdigit() and not re.fullmatch(r"[1-9]00", word):
            return pixels(word, parent)
    return None


def _kept(name: str, value: str) -> tuple[str, str] | None:
    if name in ("color", "background", "background-color"):
        return _kept_color(name, value)
    if name == "font-size":
        size = pixels(value)
        return (name, value) if size is not None and 0 <= size <= _MAX_PX else None
    if _SPACING.fullmatch(name):
        return (name, value) if _is_spacing(value) else None
    if _BORDER.fullmatch(name):
        return (name, value) if _is_border(value) else None
    if name in _WORDS and re.fullmatch(_WORDS[name], value):
        return name, value
    return None


def _kept_color(name: str, value: str) -> tuple[str, str] | None:
    """Written anew, so that every reader of it sees the colour that was measured here."""
    found = colors.parse(value) if name == "color" else colors.first(value)
    if not found:
        return None
    name = "color" if name == "color" else "background-color"
    if found.alpha == 1:
        return name, found.hexadecimal
    red, green, blue = (round(one) for one in found[:3])
    return name, f"rgba({red},{green},{blue},{found.alpha:.3g})"


def _is_spacing(value: str) -> bool:
    words = value.split()
    sizes = [0.0 if word == "auto" else pixels(word) for word in words]
    return 1 <= len(words) <= 4 and all(size is not None and 0 <= size <= _MAX_PX for size in sizes)


def _is_border(value: str) -> bool:
    def fits(word: str) -> bool:
        size = pixels(word)
        known = r"none|solid|dashed|dotted|double|collapse|separate|thin|medium|thick|hidden"
        return (size is not None and 0 <= size <= 20) or bool(re.fullmatch(known, word) or colors.parse(word))

    words = re.sub(r"\s*,\s*", ",", value).split()
    return 1 <= len(words) <= 4 and all(map(fits, words))
