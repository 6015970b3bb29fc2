"""Findings that are known: kept in a file, so that only new ones make an audit fail.

An entry is a fingerprint, never a count: a finding that is solved gives no room to a new one. It is
the same for the same finding of a later run, wherever lines have moved to.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.audit.addresses import ARCHIVE, path_in
from descscore.audit.tree import normalise
from descscore.errors import OptionError
from descscore.strict_json import dump_indented
from descscore.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from descscore.audit.elements import ImageElement
    from descscore.audit.findings import AuditResult, Finding

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A finding that is known.

    Attributes:
        fingerprint: of the finding.
        rule: id, for whoever reads the file.
        page: where it was found, as in its fingerprint.
        name: of the image, for whoever reads the file.
    """

    fingerprint: str
    rule: str
    page: str
    name: str = ""


def page_of(file: str, base: Path) -> str:
    """A document as fingerprints call it: relative to the folder of the project."""
    if "://" in file:
        return file
    path, archive, member = file.partition(ARCHIVE)
    try:
        path = os.path.relpath(path, base)
    except ValueError:  # another drive
        path = str(Path(path).absolute())
    return Path(path).as_posix() + archive + member


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
            digests[id(element)] = content(element) or path_in(element.src) or element.tag
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


def read_baseline(path: Path) -> list[Entry]:
    """The entries of a file; none if it does not exist yet.

    Raises:
        OptionError: it is no baseline.
    """
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise OptionError(
                f"{path} is a baseline of version {content['version']}, and this one reads "
                f"{VERSION}; make it again"
            )
        return [Entry(**entry) for entry in content["findings"]]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(f"{path} is not a baseline: {error}; make it again") from error


def apply_baseline(result: AuditResult, entries: list[Entry], base: Path) -> None:
    """Take known findings out of a result, and note entries that were not found again.

    An entry is stale if its page was audited, or does not exist any more.

    Args:
        result: of an audit; it is changed.
        entries: of the baseline.
        base: the folder that pages in fingerprints are relative to.
    """
    known = {entry.fingerprint for entry in entries}
    found = {finding.fingerprint for finding in result.findings}
    for page in result.pages:
        kept = [each for each in page.findings if each.fingerprint not in known]
        result.known += len(page.findings) - len(kept)
        page.findings = kept
    seen = _whole_pages(result, base)
    result.stale = [
        entry.fingerprint
        for entry in entries
        if entry.fingerprint not in found and _is_over(entry, seen, base)
    ]


def write_baseline(path: Path, result: AuditResult, base: Path) -> int:
    """Make all findings of a result known, and forget entries of its pages that were not found.

    Args:
        path: of the baseline; entries of pages that were not audited are kept.
        result: of an audit, before any baseline is applied.
        base: the folder that pages in fingerprints are relative to.

    Returns:
        How many entries there are.

    Raises:
        OptionError: the file is no baseline.
        WriteError: the system cannot write it.
    """
    seen = _whole_pages(result, base)
    kept = [entry for entry in read_baseline(path) if not _is_over(entry, seen, base)]
    entries = {entry.fingerprint: entry for entry in kept}
    for finding in result.findings:
        element = finding.element
        entries[finding.fingerprint] = Entry(
            fingerprint=finding.fingerprint,
            rule=finding.rule.id,
            page=page_of(element.place.file, base),
            name=element.name or element.alt or "",
        )
    ordered = sorted(
        entries.values(), key=lambda entry: (entry.page, entry.rule, entry.fingerprint)
    )
    content = {"version": VERSION, "findings": [vars(entry) for entry in ordered]}
    write_whole(path, dump_indented(content, indent=1))
    return len(entries)


def _whole_pages(result: AuditResult, base: Path) -> set[str]:
    """Pages that were read to their end, whose missing findings are really gone."""
    return {page_of(page.file, base) for page in result.pages if not page.error}


def _is_over(entry: Entry, seen: set[str], base: Path) -> bool:
    document = entry.page.partition(ARCHIVE)[0]
    return document in seen or not ("://" in document or (base / document).exists())
