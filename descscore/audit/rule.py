"""What a rule is: its id, its advice, and a small function that finds what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from descscore.audit.elements import ImageElement
    from descscore.audit.findings import Severity

ACT = "https://www.w3.org/WAI/standards-guidelines/act/rules/{}/"
TECHNIQUE = "https://www.w3.org/WAI/WCAG22/Techniques/{}/{}"
_FOLDERS = {"A": "aria", "C": "css", "F": "failures", "G": "general", "H": "html"}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What rules know beside an image.

    Attributes:
        vague_words: normalised names that say nothing on this site.
        max_length: of a name, in characters.
        content: what an image file holds, as a digest; empty if it cannot be read.
        exists: whether the address of an image leads to a file; None if that is unknown.
    """

    vague_words: frozenset[str] = frozenset()
    max_length: int = 300
    content: Callable[[ImageElement], str] = lambda element: ""
    exists: Callable[[ImageElement], bool | None] = lambda element: None


Check = Callable[["ImageElement", "Facts"], "str | None"]
"""What is wrong with an image; None if nothing is."""
PageCheck = Callable[[list["ImageElement"], Facts], Iterable[tuple["ImageElement", str]]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule.

    Attributes:
        id: its name in reports, settings and baselines.
        severity: "violation" if WCAG is not met, "review" if a person must look.
        help: what is wanted, as one sentence.
        advice: what to do where it is not kept.
        criterion: of WCAG 2.2.
        techniques: of WCAG 2.2, failures among them.
        act: id of the ACT rule; empty if there is none.
        impact: as axe-core tells it.
        on: without settings.
        source: what finds it: the markup, or the model.
        check: of one image.
        check_page: of all images of a page.
    """

    id: str
    severity: Severity
    help: str
    advice: str
    criterion: str = "1.1.1"
    techniques: tuple[str, ...] = ()
    act: str = ""
    impact: Literal["minor", "moderate", "serious", "critical"] = "moderate"
    on: bool = True
    source: Literal["markup", "model"] = "markup"
    check: Check | None = None
    check_page: PageCheck | None = None

    @property
    def urls(self) -> list[str]:
        """Pages about it: the ACT rule, then techniques."""
        act = [ACT.format(self.act)] if self.act else []
        return act + [TECHNIQUE.format(_FOLDERS[name[0]], name) for name in self.techniques]

    @property
    def tags(self) -> list[str]:
        """As axe-core writes them."""
        return [f"wcag{self.criterion.replace('.', '')}", *self.techniques] + (
            [f"ACT-{self.act}"] if self.act else []
        )
