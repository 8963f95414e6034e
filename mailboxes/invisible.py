"""Characters that recipients can't see, or that change how others are read. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_SHORT = {
    0xAD: "SOFT HYPHEN", 0x200B: "ZERO WIDTH SPACE", 0x200C: "ZWNJ", 0x200D: "ZWJ",
    0x200E: "LRM", 0x200F: "RLM",
    0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO", 0x2060: "WORD JOINER",
    0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xFEFF: "ZERO WIDTH NO-BREAK SPACE",
}  # fmt: skip
_OVERRIDE = "\u202d\u202e"
_BIDI = "\u202a-\u202e\u2066-\u2069"
_ZERO_WIDTH = (
    "\u200b-\u200f\u061c\u2060-\u2064\u206a-\u206f\ufeff\u180e\u034f\u115f\u1160\u3164\uffa0\u17b4\u17b5"
)
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_TAGS = "\U000e0000-\U000e007f"
_ANY = re.compile(
    f"[{_BIDI}{_ZERO_WIDTH}{_TAGS}\u00ad\u2028\u2029]|[{_SELECTORS}]{{2,}}|(?<=[A-Za-z ])[{_SELECTORS}]"
)
_FLAG = re.compile(f"\U0001f3f4[{_TAGS}]{{2,8}}")
# Joiners are ordinary inside emoji and between letters of these scripts
_JOINED = re.compile("[\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\u1800-\u18af\ufb50-\ufeff]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
STRIPPED = re.compile(f"[{_BIDI}{_ZERO_WIDTH}{_TAGS}{_SELECTORS}\u00ad]")


def find(text: str) -> list[tuple[int, int, str]]:
    """Start, end and kind of every suspicious run: bidi, override, tags, selectors, zero_width, hyphen."""
    flags = [match.span() for match in _FLAG.finditer(text)]
    rtl = bool(_RIGHT_TO_LEFT.search(text))
    found = []
    for match in _ANY.finditer(text):
        start, end = match.span()
        kind = _kind(match[0][0])
        if kind == "tags" and any(a <= start < b for a, b in flags[:100]):
            continue
        if kind == "zero_width" and _is_ordinary(text, start, rtl):
            continue
        found.append((start, end, kind))
    hyphens = sum(kind == "hyphen" for _, _, kind in found)
    # a soft hyphen now and then is typography; many are a way to break words up for a filter
    bulk = hyphens > 20 or re.search("(?:\\w\u00ad){3}", text)
    return [one for one in found if one[2] != "hyphen" or bulk]


def count(text: str) -> Counter[str]:
    counted: Counter[str] = Counter()
    for start, end, kind in find(text):
        counted[kind] += end - start
    return counted


def hidden_words(text: str) -> str:
    """What is spelled in tag characters."""
    tags = (text[start] for start, _, kind in find(text) if kind == "tags")
    return "".join(chr(ord(tag) - 0xE0000) for tag in tags if "\U000e0020" <= tag < "\U000e007f")


def split(text: str) -> list[tuple[str, bool]]:
    """The text in pieces: (as written, False), or (the names of invisible characters, True)."""
    pieces: list[tuple[str, bool]] = []
    position = 0
    for start, end, _ in find(text):
        if start > position:
            pieces.append((text[position:start], False))
        name = "".join(map(name_of, text[start:end]))
        if pieces and pieces[-1][1]:
            name = pieces.pop()[0] + name
        pieces.append((name, True))
        position = end
    return [*pieces, (text[position:], False)] if position < len(text) else pieces


def reveal(text: str) -> str:
    return "".join(piece for piece, _ in split(text))


def name_of(character: str) -> str:
    code = ord(character)
    if 0xE0020 <= code < 0xE007F:
        return f"\u27e6TAG {chr(code - 0xE0000)}\u27e7"
    return f"\u27e6{_SHORT.get(code) or f'U+{code:04X}'}\u27e7"


def _kind(character: str) -> str:
    if character == "\u00ad":
        return "hyphen"
    if character in _OVERRIDE:
        return "override"
    if re.match(f"[{_BIDI}]", character):
        return "bidi"
    if re.match(f"[{_TAGS}]", character):
        return "tags"
    return "selectors" if re.match(f"[{_SELECTORS}]", character) else "zero_width"


def _is_ordinary(text: str, index: int, rtl: bool) -> bool:
    character = text[index]
    if character in "\u200e\u200f\u061c":
        return rtl
    before, after = text[index - 1 : index], text[index + 1 : index + 2]
    if character == "\u200d":
        return (_is_emoji(before) and _is_emoji(after)) or bool(_JOINED.match(before))
    return character == "\u200c" and bool(_JOINED.match(before) and _JOINED.match(after))


def _is_emoji(character: str) -> bool:
    return character == "\ufe0f" or (bool(character) and unicodedata.category(character) in ("So", "Sk"))
