"""The rules: what `rules.toml` says of each, and a small function that finds what breaks it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from descscore.audit import checks
from descscore.audit.name_checks import has_markup, has_prefix

if TYPE_CHECKING:
    from descscore.audit.checks import Check, Facts
    from descscore.audit.elements import ImageElement, Kind

ACT = "https://www.w3.org/WAI/standards-guidelines/act/rules/{}/"
TECHNIQUE = "https://www.w3.org/WAI/WCAG22/Techniques/{}/{}"
_FOLDERS = {"A": "aria", "C": "css", "F": "failures", "G": "general", "H": "html"}


Severity = Literal["violation", "review"]
PageCheck = Callable[[list["ImageElement"], "Facts"], Iterable[tuple["ImageElement", str]]]
"""The images of a page with which something is wrong, and what."""


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
        check: of all images of a page; None if the model finds it.
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
    check: PageCheck | None = None

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


NAMED: dict[str, tuple[Kind, ...]] = {
    "image-alt": ("img", "markdown", "rst", "office"),
    "input-image-alt": ("input",),
    "area-alt": ("area",),
    "role-img-alt": ("role-img",),
    "svg-img-alt": ("svg",),
    "object-alt": ("object",),
}
"""The rules that ask for a name, and the kinds of images that they ask it of."""

_WORDED = {
    "alt-filename": "is a file name",
    "alt-placeholder": "is a placeholder",
    "alt-vague": "says nothing about the image",
    "alt-credit": "is a credit",
    "alt-keywords": "is a list of keywords",
}
_CHECKS: dict[str, Check] = {
    **{rule: checks.missing(*kinds) for rule, kinds in NAMED.items()},
    **{rule: checks.worded(rule, problem) for rule, problem in _WORDED.items()},
    "link-name": checks.nameless("link"),
    "button-name": checks.nameless("button"),
    "alt-markup": checks.named(
        lambda name, _: has_markup(name), "contains markup that is read aloud"
    ),
    "image-redundant-alt": checks.redundant,
    "alt-equals-caption": checks.equals_caption,
    "presentation-role-conflict": checks.conflict,
    "figure-decorative": checks.captioned,
    "markdown-empty-alt": checks.empty_in_markdown,
    "alt-length": checks.named(lambda name, facts: len(name) > facts.max_length, "is long"),
    "alt-punctuation": checks.named(checks.unfinished, "does not end with a full stop"),
    "alt-prefix": checks.named(
        lambda name, _: has_prefix(name), "begins by saying that it is an image"
    ),
}


def _of_each(check: Check) -> PageCheck:
    return lambda elements, facts: (
        (element, message) for element in elements if (message := check(element, facts))
    )


_PAGE_CHECKS: dict[str, PageCheck] = {
    **{rule: _of_each(check) for rule, check in _CHECKS.items()},
    "alt-duplicate": checks.duplicates,
}
RULES = {
    name: Rule(
        id=name,
        check=_PAGE_CHECKS.get(name),
        **values | {"techniques": tuple(values.get("techniques", ()))},
    )
    for name, values in tomllib.loads(
        files("descscore.audit").joinpath("rules.toml").read_text(encoding="utf-8")
    ).items()
}
"""All rules by id, in the order of reports."""
