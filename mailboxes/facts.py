"""What a reviewer should know about a message before deciding. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailboxes import invisible, links, markdown, sanitize, visible

Severity = links.Severity
_EVIDENCE = 2000
_HIDING_RULE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0|mso-hide|transparent", re.I
)
_ACTIVE = re.compile(r"<(script|iframe|object|embed|form|svg|math|meta|link|base|video|audio|applet)\b", re.I)
_INVISIBLE: dict[str, tuple[Severity, str, str]] = {
    "override": ("high", "text direction", "reverses the direction of text"),
    "bidi": ("warn", "text direction", "changes the direction of text"),
    "tags": ("high", "hidden text", "is an invisible tag character, which spells out text"),
    "selectors": ("high", "hidden text", "is a chained variation selector, which can carry hidden data"),
    "zero_width": ("warn", "invisible characters", "takes no room on the page"),
    "hyphen": ("warn", "soft hyphens", "is a soft hyphen that breaks words up unseen"),
}


@dataclass(frozen=True)
class Fact:
    """`label` fits a chip, `sentence` a notice; `evidence` is text from the message, never markup."""

    code: str
    severity: Severity
    label: str
    sentence: str
    evidence: str = ""


def of_message(
    *, subject: str, names: str, text: str, source: str, html: str, recipients: Sequence[str] = ()
) -> tuple[Fact, ...]:
    """`source`: the HTML as given; `html`: what is left of it after `sanitize.clean`."""
    shown = list(visible.runs(html))
    everything = "\n".join((subject, names, text, visible.text_of(shown)))
    found = [
        *_hidden(shown, text),
        *(_revealed(source, shown) if source != html else ()),
        *_dropped(source),
        *_differences(shown, text),
        *_invisible(everything),
        *_links(shown, text),
        *_recipients(recipients),
    ]
    order = {"high": 0, "warn": 1, "info": 2}
    return tuple(sorted(dict.fromkeys(found), key=lambda fact: order[fact.severity]))


def _hidden(shown: list[visible.Run], text: str) -> Iterator[Fact]:
    known = _normalized(text)
    for reason, content in visible.hidden(shown).items():
        absent = "" if _normalized(content) in known else " and absent from the plain text"
        sentence = f"{_characters(content)} {reason}{absent}."
        yield Fact("hidden_text", "high", "hidden text", sentence, content[:_EVIDENCE])


def _revealed(source: str, shown: list[visible.Run]) -> Iterator[Fact]:
    """The author's style hid it, and the sanitiser took that style away."""
    still = set(visible.hidden(shown).values())
    for reason, content in visible.hidden(visible.runs(sanitize.normalize(source))).items():
        if content not in still:
            end = "in the draft; that style was removed, so recipients see the text"
            sentence = f"{_characters(content)} {reason} {end}."
            yield Fact("hidden_text_removed_style", "high", "hidden text", sentence, content[:_EVIDENCE])


def _dropped(source: str) -> Iterator[Fact]:
    sheets = " ".join(re.findall(r"(?is)<style\b[^>]{0,500}>(.{0,20000}?)</style", source)[:20])
    if sheets.strip():
        severity: Severity = "warn" if _HIDING_RULE.search(sheets) else "info"
        yield Fact("style_sheet", severity, "style sheet", "A style sheet was removed.", sheets[:_EVIDENCE])
    active = sorted({name.lower() for name in _ACTIVE.findall(source)})
    if active:
        yield Fact("active_content", "warn", "active content", f"Removed from the HTML: {', '.join(active)}.")
    remote = [address for address in _image_addresses(source) if not address.startswith(("cid:", "data:"))]
    if remote:
        end = "on other servers removed; recipients see the description instead"
        sentence = f"{_count(len(remote), 'image')} {end}."
        yield Fact("remote_images", "info", "remote images", sentence, "\n".join(remote)[:_EVIDENCE])


def _image_addresses(source: str) -> list[str]:
    opened = (one for one in sanitize.tokens(sanitize.normalize(source)) if isinstance(one, sanitize.Open))
    addresses = (one.attributes.get("src", "").strip() for one in opened if one.tag == "img")
    return [address for address in addresses if address]


def _differences(shown: list[visible.Run], text: str) -> Iterator[Fact]:
    """Words, counted: the same word once more is a difference too."""
    if not shown:
        return
    in_html = _words(visible.text_of(shown))
    # markdown is its own plain text: its marks can split a word, and its links hide their targets
    rendered = _words(sanitize.to_text(markdown.to_html(text)))
    plain = _words(text)
    extra = in_html - (plain | rendered)
    if extra:
        sentence = f"The HTML says {_count(extra.total(), 'word')} that the plain text does not."
        yield Fact("html_says_more", "warn", "HTML differs", sentence, _sample(extra))
    missing = (rendered & plain if rendered else plain) - in_html
    if missing:
        sentence = f"The plain text says {_count(missing.total(), 'word')} that the HTML does not."
        yield Fact("text_says_more", "warn", "HTML differs", sentence, _sample(missing))


def _invisible(text: str) -> Iterator[Fact]:
    for kind, number in sorted(invisible.count(text).items()):
        severity, label, does = _INVISIBLE[kind]
        if kind == "zero_width" and number > 10:
            severity = "high"
        evidence = invisible.hidden_words(text) if kind == "tags" else _surroundings(text, kind)
        sentence = f"{number} character{'s' if number > 1 else ''}, each of which {does}."
        if number == 1:
            sentence = f"1 character {does}."
        yield Fact(f"invisible_{kind}", severity, label, sentence, evidence[:_EVIDENCE])


def _surroundings(text: str, kind: str) -> str:
    spans = [(start, end) for start, end, found in invisible.find(text) if found == kind][:10]
    return "\n".join(invisible.reveal(" ".join(text[max(0, a - 30) : b + 30].split())) for a, b in spans)


def _links(shown: list[visible.Run], text: str) -> Iterator[Fact]:
    said: dict[tuple[int, str], str] = {}
    number = 0
    for run in shown:
        if isinstance(run.token, sanitize.Open) and run.token.tag == "a":
            number += 1
        if run.href and isinstance(run.token, sanitize.Text):
            said[number, run.href] = said.get((number, run.href), "") + run.token.text
    for (_, href), words in said.items():
        yield from _mismatch(href, words)
    for href in dict.fromkeys([*(href for _, href in said), *links.in_text(text)]):
        for code, severity, end in links.oddities(href):
            yield Fact(code, severity, "link", f"A link {end}.", href[:_EVIDENCE])


def _recipients(recipients: Sequence[str]) -> Iterator[Fact]:
    """A domain outside ASCII is shown as its letters, because they are what it was chosen for."""
    for domain in dict.fromkeys(one.rpartition("@")[2] for one in recipients):
        for code, severity, end in links.oddities(f"https://{domain}"):
            yield Fact(f"recipient_{code[5:]}", severity, "recipient", f"A recipient's domain {end}.", domain)


def _mismatch(href: str, words: str) -> Iterator[Fact]:
    words = invisible.STRIPPED.sub("", words)
    claimed, target = links.claimed_host(words), links.host_of(href)
    if claimed and links.disagree(claimed, target):
        sentence = f"A link says {claimed} and goes to {target or 'no readable host'}."
        yield Fact("link_mismatch", "high", "link target", sentence, f"{words.strip()}\n{href}"[:_EVIDENCE])


def _sample(words: Counter[str]) -> str:
    return " ".join(words.elements())[:_EVIDENCE]


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[^\W_]+", _plain(text)))


def _normalized(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", _plain(text)))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", invisible.STRIPPED.sub("", text)).casefold()


def _characters(content: str) -> str:
    return "1 character is" if len(content) == 1 else f"{len(content)} characters are"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
