"""Whether assistive technology meets an element: what markup says, and what it leaves open."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from descscore.audit.tree import collapse, is_button, local, role
from descscore.strings import names

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_DISPLAY_NONE = re.compile(r"(?:^|[;\s])display\s*:\s*none\b", re.IGNORECASE)
_VISIBILITY = re.compile(r"(?:^|[;\s])visibility\s*:\s*(hidden|collapse|visible)\b", re.IGNORECASE)
_BACKGROUND = re.compile(
    r"background(?:-image)?\s*:[^;]*?url\(\s*(?:\"([^\"]*)\"|'([^']*)'|([^)\s]*))", re.IGNORECASE
)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CONDITION = re.compile(r"@(?!layer)")
_RULE = re.compile(r"([^{};]*)([{};])")
_COMPOUND = re.compile(r"(?:[a-zA-Z][\w-]*|\*)?(?:[.#][\w-]+)*")
_NOT_RENDERED = {
    "template": "it is in a template",
    "noscript": "it is in noscript",
    **dict.fromkeys(
        names("defs symbol clippath mask pattern marker"), "it is a definition of an svg"
    ),
    "video": "it is for browsers that play no video",
    "audio": "it is for browsers that play no audio",
}


@dataclass(frozen=True, slots=True)
class State:
    """Whether an element is met, and why not or why that is open.

    Attributes:
        hidden: why it and all that it holds are not met; empty if they are.
        part: it belongs to an element whose children are presentational, which hides it as well.
        unsure: why markup alone cannot tell.
        invisible: it is not met, but what it holds can be made visible again.
    """

    hidden: str = ""
    part: str = ""
    unsure: str = ""
    invisible: bool = False

    @property
    def reason(self) -> str:
        """Why the element is not met; empty if it is."""
        return self.hidden or self.part or ("it is invisible" if self.invisible else "")


@dataclass
class Sheet:
    """What the page's own style sheets hide and paint, as far as their selectors are simple.

    A selector is the set of the names that an element must have: "img", "#id", ".class".
    """

    hiding: list[frozenset[str]] = field(default_factory=list)
    painting: list[tuple[frozenset[str], str]] = field(default_factory=list)

    def read(self, css: str) -> None:
        """Add the rules of a style element that hold on any screen."""
        opened: list[str] = []
        declarations = ""
        for found in _RULE.finditer(_COMMENT.sub(" ", css)):
            before, sign = found[1].strip(), found[2]
            if sign == "{":
                opened.append(before)
                declarations = ""
                continue
            declarations += f"{before};"
            if sign == "}" and opened:
                prelude = opened.pop()
                if not any(_CONDITION.match(each) for each in (prelude, *opened)):
                    self._add(prelude, declarations)
                declarations = ""

    def _add(self, prelude: str, declarations: str) -> None:
        style = read_style(declarations)
        hides, address = style.hidden or style.invisible, background(declarations)
        for text in prelude.split(",") if hides or address else ():
            if not text.strip() or _COMPOUND.fullmatch(text.strip()) is None:
                continue
            tag, *others = re.split(r"(?=[.#])", text.strip())
            selector = frozenset({tag.lower(), *others} - {"", "*"})
            if hides:
                self.hiding.append(selector)
            elif others:
                self.painting.append((selector, address))

    def paints(self, element: Element) -> str:
        """The address of the image that a style sheet puts behind an element."""
        if not self.painting:
            return ""
        named = _names_of(element)
        return next((url for selector, url in self.painting if selector <= named), "")

    def hides(self, element: Element) -> bool:
        """Whether a style sheet may hide an element."""
        if not self.hiding:
            return False
        named = _names_of(element)
        return any(selector <= named for selector in self.hiding)


def _names_of(element: Element) -> set[str]:
    """By which selectors know an element."""
    classes = (element.get("class") or "").split()
    return {local(element), f"#{element.get('id')}", *(f".{name}" for name in classes)}


def read_style(style: str) -> State:
    """What the declarations of an element say of it."""
    if _DISPLAY_NONE.search(style):
        return State(hidden="its style is display: none")
    visibility = _VISIBILITY.findall(style)
    return State(invisible=bool(visibility) and visibility[-1].lower() != "visible")


def background(style: str) -> str:
    """The address of an image in the declarations of an element."""
    found = _BACKGROUND.search(style)
    return next(filter(None, found.groups()), "") if found else ""


class Page:
    """A tree with what is looked up in it more than once.

    Attributes:
        root: the element that holds all others.
        sheet: its own style sheets.
    """

    def __init__(self, root: Element) -> None:
        self.root = root
        self.sheet = Sheet()
        for style in root.iter("{*}style"):
            self.sheet.read("".join(map(str, style.itertext())))
        self._states: dict[Element, State] = {}

    def state(self, element: Element) -> State:
        """Whether assistive technology meets an element, by its ancestors and itself."""
        new: list[Element] = []
        each: Element | None = element
        while each is not None and each not in self._states:
            new.append(each)
            each = each.getparent()
        for unknown in reversed(new):
            parent = unknown.getparent()
            above = State() if parent is None else _inside(parent, self._states[parent])
            self._states[unknown] = self._own(unknown, above)
        return self._states[element]

    def _own(self, element: Element, above: State) -> State:
        if above.hidden:
            return above
        get = element.get
        name = local(element)
        invisible = above.invisible
        hidden = _NOT_RENDERED.get(name, "")
        if get("aria-hidden", "").strip().lower() == "true":
            hidden = "aria-hidden is true"
        elif get("hidden") is not None and get("hidden", "").lower() != "until-found":
            hidden = "it has the attribute hidden"
        elif get("inert") is not None:
            hidden = "it is inert"
        elif name == "dialog" and get("open") is None:
            hidden = "it is in a dialog that is closed at first"
        if style := get("style"):
            own = read_style(style)
            hidden = hidden or own.hidden
            if _VISIBILITY.search(style):
                invisible = own.invisible
        hides = "a style sheet may hide it" if self.sheet.hides(element) else ""
        return State(hidden, above.part, above.unsure or hides, invisible)

    @cached_property
    def ids(self) -> dict[str, Element]:
        """The first element of each id."""
        found: dict[str, Element] = {}
        for element in self.root.iter():
            if isinstance(element.tag, str) and (name := element.get("id")):
                found.setdefault(name, element)
        return found

    @cached_property
    def labels(self) -> dict[str, Element]:
        """Labels by the id that they are for."""
        return {
            name: element for element in self.root.iter("{*}label") if (name := element.get("for"))
        }

    @cached_property
    def texts_of_labels(self) -> dict[tuple[Element, ...], str]:
        """Texts of elements that label others, as far as they were asked for."""
        return {}

    @cached_property
    def links_beside(self) -> dict[Element, tuple[Element | None, ...]]:
        """For each link with an address, the one before and the one after it."""
        links: list[Element | None] = [a for a in self.root.iter("{*}a") if a.get("href")]
        around = zip([None, *links], links, [*links[1:], None], strict=False)
        return {link: (before, after) for before, link, after in around if link is not None}


def _inside(parent: Element, state: State) -> State:
    """What the children of an element take over from it."""
    if state.hidden:
        return state
    if role(parent) in ("img", "image"):
        return replace(state, part="it is part of an element with role img")
    if is_button(parent) and collapse(parent.get("aria-label")):
        return replace(state, part="it is part of a button with a name of its own")
    if local(parent) == "object" and parent.get("data"):
        return replace(state, hidden="it is shown only where the object is not")
    return state
