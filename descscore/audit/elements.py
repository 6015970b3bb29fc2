"""What an audit knows about an image in a document, whatever the document's format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from descscore.strings import shortened

Kind = Literal[
    "img", "input", "area", "role-img", "svg", "object", "background", "markdown", "rst", "office"
]
"""What an image is in its document; it decides which rule asks for a name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an image stands.

    Attributes:
        file: path as given, a URL, or `book.epub!/chapter.xhtml` inside of an archive.
        line: of the start of the element, from 1; None where a format has no lines.
        column: in characters, from 1.
        part: what a format has instead of lines, such as "slide 3".
    """

    file: str
    line: int | None = None
    column: int | None = None
    part: str = ""

    def __str__(self) -> str:
        """`file:line:column`, as editors and CI logs link it."""
        if self.line is None:
            return f"{self.file} ({self.part})" if self.part else self.file
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """A link or a button around an image.

    Attributes:
        kind: what it is for assistive technology.
        name: its accessible name, the names of its images included.
        image_only: it shows nothing but images.
        first: the image is the first one in it.
        target: address of a link.
        download: a link that saves its target.
    """

    kind: Literal["link", "button"]
    name: str = ""
    image_only: bool = False
    first: bool = True
    target: str = ""
    download: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageElement:
    """One image of a document.

    Attributes:
        place: its location.
        html: its start tag, or its name in another format; shortened.
        kind: the kind of image, which decides the rule for its name.
        tag: the element's name in its document.
        src: address of the image as in the document.
        alt: the alt attribute or the format's equivalent; None if there is none.
        name: the accessible name, whitespace collapsed.
        name_from: source of the name: "alt", "aria-label", "title" ...
        decorative: how it is marked as decorative: "alt", "role", "flag"; empty if it is not.
        conflict: why browsers ignore that mark; empty if they do not.
        hidden: why assistive technology ignores it; empty if it does not.
        unsure: why markup alone cannot decide; empty if it can.
        required: whether it needs a name unless it is decorative or hidden.
        lang: language of the element, as declared.
        control: the innermost link or button around it.
        beside: texts of the cell, paragraph or item around it, from the inside out, without its own
            name.
        caption: its visible caption.
        heading: text of a heading directly before it.
        context: text of the paragraph around or before it.
        image: path, URL, data URL or archive member that the address leads to; empty if unknown.
    """

    place: Place
    html: str
    kind: Kind
    tag: str
    src: str = ""
    alt: str | None = None
    name: str = ""
    name_from: str = ""
    decorative: str = ""
    conflict: str = ""
    hidden: str = ""
    unsure: str = ""
    required: bool = True
    lang: str = ""
    control: Control | None = None
    beside: tuple[str, ...] = ()
    caption: str = ""
    heading: str = ""
    context: str = ""
    image: str = ""

    @property
    def quoted(self) -> str:
        """The name as messages quote it, shortened: an element can lend its text to many images."""
        return f"“{shortened(self.name)}”"

    @property
    def exposed(self) -> bool:
        """Assistive technology meets it as an image."""
        return not self.hidden and (not self.decorative or bool(self.conflict))
