"""Text of an answer as HTML: whatever it holds is text; code, addresses and citations are marked up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from html import escape
from typing import Final

from tscale.core.sources import SOURCES, Source

_CODE: Final = re.compile("(`[^`]+`)")
_ADDRESS: Final = r"https?://[^\s<>\"'`]+"
_ENDS: Final = ".,;:!?"
_HYPHENED: Final = re.compile(r"(?<![\w/.-])\w[\w.]{0,15}-[\w.-]{0,15}\w(?![\w/-])")
_BREAKS: Final = re.compile(r"([·/+])(?=\S)|([._])(?=[^\W\d])")


def escaped(text: str) -> str:
    """Text that no reader of HTML takes for markup, in content and in attributes alike; control characters are shown as �."""
    return escape("".join(each if each.isprintable() or each == "\n" else "�" for each in text))


def inline(text: str, *, whole: bool = False) -> str:
    """A sentence: code between backticks, links where it has addresses, and where it cites a known publication.

    `whole`: no line breaks inside a name with a hyphen, such as GPT-3, as a headline would have it.
    """
    parts = _CODE.split(text)
    return "".join(
        f"<code>{escaped(part[1:-1])}</code>" if at % 2 else _linked(part, whole=whole) for at, part in enumerate(parts)
    )


def plain(text: str) -> str:
    """The same sentence where nothing is marked up, such as in a page's title."""
    return escaped(_CODE.sub(lambda found: found[0][1:-1], text))


def breakable(text: str) -> str:
    """A formula, a name or a path, which may be broken behind its signs."""
    return _BREAKS.sub(r"\g<0><wbr>", escaped(text))


def link(address: str, text: str, title: str = "") -> str:
    """A link, without a word to where it leads of where it was followed."""
    said = f' title="{escaped(title)}"' if title else ""
    return f'<a href="{escaped(address)}" rel="noreferrer"{said}>{escaped(text)}</a>'


def source_link(citation: str) -> str:
    """`brown2020 Table D.1` as a link that reads `Brown 2020, Table D.1`; text that begins with no known key as a sentence."""
    key, _, place = citation.partition(" ")
    if key not in SOURCES:
        return inline(citation)
    source = SOURCES[key]
    return link(source.link, source.short, source.title) + (f", {escaped(place)}" if place else "")


def cited_in(texts: Iterable[str]) -> Iterator[Source]:
    """The known publications that some texts cite as people do: Brown 2020."""
    pattern, by_short = _citations()
    for text in texts:
        for found in pattern.findall(text):
            if found in by_short:
                yield by_short[found]


def _linked(text: str, *, whole: bool) -> str:
    pattern, by_short = _citations()
    parts = []
    for at, part in enumerate(pattern.split(text)):
        if at % 2 == 0:
            words = escaped(part)
            parts.append(_HYPHENED.sub(r'<span class="ts-whole">\g<0></span>', words) if whole else words)
        elif part in by_short:
            parts.append(link(by_short[part].link, part, by_short[part].title))
        else:
            address = _without_end(part)
            parts.append(link(address, address) + escaped(part[len(address) :]))
    return "".join(parts)


def _without_end(address: str) -> str:
    """An address without the signs that end the sentence that it stands in."""
    shorter = address.rstrip(_ENDS)
    if shorter.endswith(")") and shorter.count("(") < shorter.count(")"):
        return _without_end(shorter[:-1])
    return shorter


@cache
def _citations() -> tuple[re.Pattern[str], dict[str, Source]]:
    """What finds an address or a citation, and the publication of each citation."""
    by_short = {source.short: source for source in SOURCES.values()}
    shorts = "|".join(re.escape(short) for short in sorted(by_short, key=len, reverse=True))
    return re.compile(rf"({_ADDRESS}|\b(?:{shorts})\b)"), by_short
