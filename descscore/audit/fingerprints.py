"""Fingerprints: the same for the same finding of a later run, wherever lines have moved to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from descscore.audit.baseline import page_of
from descscore.audit.tree import normalise

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from descscore.audit.elements import ImageElement
    from descscore.audit.findings import Finding


def add_fingerprints(
    findings: list[Finding], content: Callable[[ImageElement], str], base: Path
) -> list[Finding]:
    """Findings of a page with their fingerprints.

    A fingerprint is a digest of the rule, the page, the image's content (its address where the
    content is not at hand), the name without case and punctuation, and how many of the same came
    before.

    Args:
        findings: of one page, in its order.
        content: a digest of an image; empty if it cannot be read.
        base: the folder of the project, which pages are relative to.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    digests: dict[int, str] = {}
    done: list[Finding] = []
    for finding in findings:
        element = finding.element
        if id(element) not in digests:
            digests[id(element)] = content(element) or urlsplit(element.src).path or element.tag
        key = (
            finding.rule.id,
            page_of(element.place.file, base),
            digests[id(element)],
            normalise(element.name or element.alt or ""),
        )
        parts = "\0".join([*key, str(seen[key])])
        seen[key] += 1
        fingerprint = sha256(parts.encode("utf-8", "replace")).hexdigest()[:32]
        done.append(replace(finding, fingerprint=fingerprint))
    return done
