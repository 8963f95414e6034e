"""HTML made safe: a closed list of elements, attributes and inline styles. Pure.

`clean` is what goes out and what is shown. `normalize` is the same tree with its styles left as they were,
well-formed, for a look at what the author meant to hide. Both outputs are read by `tokens`, which knows
only the exact form that the sanitiser writes.
"""

from __future__ import annotations

import html as entities
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import nh3

from mailboxes import colors, styles

_BLOCK_NAMES = (
    "address article aside blockquote center dd div dl dt figcaption figure footer h1 h2 h3 h4 h5 h6 "
    "header hr li main nav ol p pre section table tbody td tfoot th thead tr ul caption br "
)
BLOCKS = frozenset(_BLOCK_NAMES.split())
_INLINE_NAMES = (
    "a abbr b big cite code del em font i img ins kbd q s samp small span strike strong sub sup tt u "
)
TAGS = BLOCKS | frozenset(_INLINE_NAMES.split())
_VOID = {"br", "hr", "img"}
# what stands inside these is code or a frame of its own, not text of the message
_DROPPED_NAMES = (
    "script style title template noscript iframe object embed svg math textarea select button noembed "
    "noframes xmp audio video canvas applet "
)
_DROPPED_WHOLE = set(_DROPPED_NAMES.split())
_ATTRIBUTES = {
    "*": {"style", "align", "valign", "dir", "bgcolor", "lang"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "font": {"color", "size", "face"},
    "td": {"colspan", "rowspan", "width"},
    "th": {"colspan", "rowspan", "width"},
    "table": {"border", "cellpadding", "cellspacing", "width"},
    "ol": {"start", "type"},
}
_SIMPLE = {
    "align": r"left|right|center|justify", "valign": r"top|middle|bottom|baseline", "dir": "ltr|rtl|auto",
    "lang": r"[A-Za-z0-9-]{1,20}", "width": r"\d{1,4}%?", "height": r"\d{1,4}%?", "border": r"\d{1,2}",
    "cellpadding": r"\d{1,2}", "cellspacing": r"\d{1,2}", "colspan": r"\d{1,2}", "rowspan": r"\d{1,2}",
    "size": r"[+-]?[1-7]", "face": r"[\w ,'\"-]{1,200}", "start": r"\d{1,5}", "type": r"[1aAiI]",
    "href": r"(?is)(?:https?:|mailto:|tel:).{1,4000}", "alt": r"(?s).{0,2000}",
    "title": r"(?s).{0,4000}",
    "src": r"cid:[\w.@+-]{1,200}|data:image/(?:png|gif|jpeg|webp);base64,[A-Za-z0-9+/=\s]*",
}  # fmt: skip
# an element count, and a product of counts, that keep the sanitiser's tree small: unclosed formatting
# elements are repeated in every later block, and a few kilobytes become gigabytes
_MAX_TAGS = 12_000
_MAX_PRODUCT = 1_000_000
_MAX_RESULT = 2_000_000
_FORMATTING = re.compile(r"<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)[\s/]", re.IGNORECASE)
_CONTROLS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_TOKEN = re.compile(r"<(/?)([a-z][a-z0-9]*)((?: [a-z-]+=\"[^\"]*\")*)>|([^<]+)")
_ATTRIBUTE = re.compile(r" ([a-z-]+)=\"([^\"]*)\"")


@dataclass(frozen=True)
class Open:
    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    style: dict[str, str] = field(default_factory=dict)

    @property
    def is_void(self) -> bool:
        return self.tag in _VOID


@dataclass(frozen=True)
class Close:
    tag: str


@dataclass(frozen=True)
class Text:
    text: str


Token = Open | Close | Text


def clean(html: str, *, marks: bool = False) -> str:
    """Raises ValueError for HTML whose tree would be too large. `marks`: also our own `mark` and titles."""
    if marks:
        return _run(html, _kept_attribute, {"mark": {"title"}, "a": {"title"}}, frozenset({"mark"}))
    return _run(html, _kept_attribute, {}, frozenset())


def normalize(html: str) -> str:
    """Well-formed, with inline styles, `hidden` and image addresses as they were. Never shown as it is."""
    return _run(html, lambda tag, name, value: value, {"*": {"hidden"}}, frozenset())


def tokens(html: str) -> Iterator[Token]:
    """Of `clean` or `normalize` output only."""
    for closing, tag, attributes, text in _TOKEN.findall(html):
        if text:
            yield Text(entities.unescape(text))
        elif closing:
            yield Close(tag)
        else:
            pairs = {name: entities.unescape(value) for name, value in _ATTRIBUTE.findall(attributes)}
            yield Open(tag, pairs, dict(styles.declarations(pairs.get("style", ""))))


def to_text(html: str) -> str:
    """The words of an HTML body, blocks on lines of their own."""
    pieces = []
    for token in tokens(clean(html)):
        if isinstance(token, Text):
            pieces.append(re.sub(r"\s+", " ", token.text))
        elif token.tag in ("td", "th"):
            pieces.append(" ")
        elif token.tag in BLOCKS:
            pieces.append("\n")
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in "".join(pieces).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _run(
    html: str,
    attribute: Callable[[str, str, str], str | None],
    extra: dict[str, set[str]],
    extra_tags: frozenset[str],
) -> str:
    _refuse_bombs(html)
    # a fragment loses its body element, and with it the colours that its text stands on
    html = re.sub(r"(?i)<(/?)body(?=[\s>/])", r"<\1div", _CONTROLS.sub("", html))
    allowed = {tag: _ATTRIBUTES.get(tag, set()) | extra.get(tag, set()) for tag in {*_ATTRIBUTES, *extra}}
    result = nh3.clean(
        html,
        tags=set(TAGS | extra_tags),
        clean_content_tags=_DROPPED_WHOLE,
        attributes=allowed,
        attribute_filter=attribute,
        strip_comments=True,
        link_rel=None,
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
    )
    if len(result) > _MAX_RESULT:
        raise ValueError("unfolds to more than can be shown")
    # a reader drops the first line end inside pre, so that a second look would find one less
    return re.sub(r"(<pre(?: [^<>]*)?>)\n+", r"\1", _CONTROLS.sub("", result))


def _kept_attribute(tag: str, name: str, value: str) -> str | None:
    if name == "style":
        return styles.keep(value) or None
    if name in ("color", "bgcolor"):
        found = colors.parse(value)
        return found.hexadecimal if found and found.alpha else None
    return value if re.fullmatch(_SIMPLE.get(name, "(?!)"), value.strip()) else None


def _refuse_bombs(html: str) -> None:
    count = html.count("<")
    if count > _MAX_TAGS or count * len(_FORMATTING.findall(html)) > _MAX_PRODUCT:
        raise ValueError("has more elements than a message needs")
