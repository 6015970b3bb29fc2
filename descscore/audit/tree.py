"""The elements of a parsed page: the roles that they have, and the words that they show."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html.entities import html5
from typing import Any

from descscore.extras import imports_of
from descscore.strings import is_blank, names

with imports_of("audit"):
    import lxml.etree as etree
    from lxml.etree import _Element as Element


AX_NAME = "data-descscore-name"
"""The attribute with the name that a browser gives an element."""
AX_IGNORED = "data-descscore-ignored"
"""The attribute that tells whether a browser leaves an element out of its accessibility tree."""
HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
NO_ROLE = frozenset({"none", "presentation"})
IMAGE_ROLES = frozenset({"img", "image", "graphics-document", "graphics-symbol"})
LINK_ROLES = frozenset({"link", "doc-backlink", "doc-biblioref", "doc-glossref", "doc-noteref"})
BUTTON_ROLES = frozenset({"button"})
# WAI-ARIA 1.2: roles for which "name required" is true, or which stand for an image.
NAMED_ROLES = (
    IMAGE_ROLES
    | LINK_ROLES
    | names(
        "button checkbox combobox heading listbox menuitem menuitemcheckbox menuitemradio meter "
        "option progressbar radio searchbox slider spinbutton switch tab textbox treeitem "
        "doc-cover"
    )
)
_OTHER_ROLES = names(
    "alert alertdialog application article banner blockquote caption cell code columnheader "
    "complementary contentinfo definition deletion dialog directory document emphasis feed figure "
    "form generic grid gridcell group insertion list listitem log main marquee menu menubar meter "
    "navigation note paragraph radiogroup region row rowgroup rowheader scrollbar search "
    "separator status strong subscript superscript table tablist tabpanel term time timer toolbar "
    "tooltip tree treegrid graphics-object"
)
_KNOWN_ROLES = NO_ROLE | NAMED_ROLES | _OTHER_ROLES
_INLINE = names(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s "
    "samp small span strong sub sup svg time tspan tt u var wbr"
)
_SILENT = frozenset({"script", "style", "template", "noscript", "head", "desc", "metadata"})
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]*);")
_XLINK = "{http://www.w3.org/1999/xlink}href"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def xml_parser(**options: Any) -> etree.XMLParser:
    """A parser that reads no other files; the options are lxml's."""
    return etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, **options)


def parse(text: str, *, xml: bool = False) -> Element | None:
    """The tree of a page, however malformed; None if there is no element in it."""
    if xml:
        # Those of HTML, which XHTML takes from a DTD that is not loaded.
        text = _ENTITY.sub(lambda found: html5.get(f"{found[1]};", found[0]), text)
    content = text.replace("\0", "\ufffd").encode("utf-8", "replace")
    if xml:
        parser = xml_parser(encoding="utf-8", recover=True, huge_tree=True)
    else:
        parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, no_network=True)
    try:
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        return None


def local(element: Element) -> str:
    """The name of an element without its namespace; empty for a comment."""
    tag = element.tag
    return _local(tag) if isinstance(tag, str) else ""


@lru_cache(maxsize=1024)
def _local(tag: str) -> str:
    return tag.rpartition("}")[2].rpartition(":")[2].lower()


def role(element: Element) -> str:
    """The explicit role of an element: the first token that is one, or empty."""
    given = element.get("role")
    if not given:
        return ""
    tokens = given.lower().split()
    return next((token for token in tokens if token in _KNOWN_ROLES), "")


def is_link(element: Element) -> bool:
    """It is a link for assistive technology."""
    given = role(element)
    return given in LINK_ROLES or (not given and local(element) == "a" and bool(href(element)))


def is_button(element: Element) -> bool:
    """It is a button with content for assistive technology."""
    given = role(element)
    return given in BUTTON_ROLES or (not given and local(element) == "button")


def href(element: Element) -> str | None:
    """The address of a link, an area or an svg image."""
    found = element.get("href")
    return found if found is not None else element.get("xlink:href", element.get(_XLINK))


def language(element: Element) -> str:
    """The declared language of an element."""
    for each in (element, *element.iterancestors()):
        declared = each.get("lang") or each.get(_XML_LANG) or each.get("xml:lang")
        if declared:
            return declared
    return ""


def in_svg(element: Element) -> bool:
    """It is inside of an svg element."""
    return any(local(each) == "svg" for each in element.iterancestors())


def is_block(element: Element) -> bool:
    """Words before and after it are apart."""
    return local(element) not in _INLINE


def is_silent(element: Element) -> bool:
    """It shows no words."""
    return local(element) in _SILENT


def collapse(text: str | None) -> str:
    """Text with single blanks; empty if it shows nothing."""
    return "" if is_blank(text or "") else " ".join((text or "").split())


_PUNCTUATION = re.compile(r"[^\w\s]|_")


@lru_cache(maxsize=1024)  # many images of a page can stand beside one long text
def normalise(text: str) -> str:
    """Text as it is compared: without case, punctuation and surplus blanks."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_PUNCTUATION.sub(" ", folded).split()) or " ".join(folded.split())
