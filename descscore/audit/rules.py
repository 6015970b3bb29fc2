"""The rules: what `rules.toml` says of each, and the function that finds what breaks it."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING

from descscore.audit import checks
from descscore.audit.name_checks import has_markup, has_prefix
from descscore.audit.rule import Rule

if TYPE_CHECKING:
    from descscore.audit.elements import Kind
    from descscore.audit.rule import Check

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
    "image-file": checks.not_found,
}
_PAGE_CHECKS = {"alt-duplicate": checks.duplicates}

RULES = {
    name: Rule(
        id=name,
        check=_CHECKS.get(name),
        check_page=_PAGE_CHECKS.get(name),
        **values | {"techniques": tuple(values.get("techniques", ()))},
    )
    for name, values in tomllib.loads(
        files("descscore.audit").joinpath("rules.toml").read_text(encoding="utf-8")
    ).items()
}
"""All rules by id, in the order of reports."""
