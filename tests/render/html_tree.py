"""HTML read strictly: whatever is opened is closed, in its place, and nothing is said twice of an element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr", "hr", "link", "img", "input", "source", "base", "col", "embed", "area", "track"}
INLINE = {"a", "b", "code", "span", "wbr"}
IN_SVG = {"path", "rect", "g", "text", "title", "defs", "pattern"}


@dataclass
class Element:
    """An element with its attributes and what stands in it: elements and texts."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    content: list[Element | str] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        return [each for each in self.content if isinstance(each, Element)]

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        """Whatever a reader sees of it."""
        return "".join(each if isinstance(each, str) else each.text for each in self.content)

    @property
    def blocks(self) -> str:
        """The same, with cells, lines and paragraphs apart."""
        inside = "".join(each if isinstance(each, str) else each.blocks for each in self.content)
        return inside if self.tag in INLINE else f" {inside} "

    def all(self, tag: str = "", name: str = "") -> Iterator[Element]:
        """The elements below it with a tag and a class, in the order in which they stand."""
        for each in self.children:
            if (not tag or each.tag == tag) and (not name or name in each.classes):
                yield each
            yield from each.all(tag, name)

    def one(self, tag: str = "", name: str = "") -> Element:
        (found,) = self.all(tag, name)
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].content.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in IN_SVG, f"<{tag}/> is no HTML"
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes {self.open[-1].tag}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].content.append(data)

    def handle_decl(self, decl: str) -> None:
        assert decl == "DOCTYPE html"


def parse(text: str) -> Element:
    """The elements of a page or of a fragment, in one without a name."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.open) == 1, f"never closed: {[element.tag for element in reader.open[1:]]}"
    return reader.open[0]
