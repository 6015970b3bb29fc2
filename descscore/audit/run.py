"""An audit: documents in, findings out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from descscore.audit.addresses import digest, exists, image_bytes
from descscore.audit.documents import describe_error, find_documents, read_document
from descscore.audit.findings import AuditResult, Finding, PageResult
from descscore.audit.fingerprints import add_fingerprints
from descscore.audit.rule import Facts
from descscore.audit.rules import RULES
from descscore.audit.settings import Settings
from descscore.audit.tree import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from descscore.audit.elements import ImageElement
    from descscore.audit.rule import Rule

PRESENCE = {
    "img": "image-alt",
    "markdown": "image-alt",
    "rst": "image-alt",
    "office": "image-alt",
    "input": "input-image-alt",
    "area": "area-alt",
    "role-img": "role-img-alt",
    "svg": "svg-img-alt",
    "object": "object-alt",
}
"""The rule that asks for a name, by the kind of an image."""


def audit(
    paths: Sequence[Path],
    settings: Settings | None = None,
    *,
    passes: bool = False,
    progress: Callable[[str], None] = lambda name: None,
) -> AuditResult:
    """Audit the documents of files and folders.

    Args:
        paths: files and folders.
        settings: what the project decides.
        passes: keep the images that have names as well.
        progress: is told each document.

    Raises:
        OptionError: a path leads nowhere, or to a file that is no document.
    """
    settings = settings or Settings()
    sources = (
        (path.as_posix(), partial(read_document, path))
        for path in find_documents(paths, settings.ignore)
    )
    return audit_sources(sources, settings, passes=passes, progress=progress)


def audit_sources(
    sources: Iterable[tuple[str, Callable[[], Iterable[ImageElement]]]],
    settings: Settings,
    *,
    passes: bool = False,
    progress: Callable[[str], None] = lambda name: None,
    judge: Callable[[list[ImageElement]], Iterable[tuple[Rule, ImageElement, str]]] | None = None,
) -> AuditResult:
    """Audit documents, wherever their images come from.

    Args:
        sources: the name of each document, and what reads its images.
        settings: what the project decides.
        passes: keep the images that have names as well.
        progress: is told each document.
        judge: the rules that are no functions of the markup; by default none.
    """
    auditor = Auditor(settings, passes=passes, judge=judge)
    result = AuditResult()
    for name, read in sources:
        progress(name)
        result.pages.append(auditor.audit_page(name, read))
    return result


class Auditor:
    """Judges the images of one document after another."""

    def __init__(
        self,
        settings: Settings,
        *,
        passes: bool = False,
        judge: Callable[[list[ImageElement]], Iterable[tuple[Rule, ImageElement, str]]]
        | None = None,
    ) -> None:
        self.rules = [
            rule
            for rule in RULES.values()
            if rule.id not in settings.disable and (rule.on or rule.id in settings.enable)
        ]
        self.passes = passes
        self.judge = judge
        self.root = settings.root
        self.facts = Facts(
            vague_words=frozenset(map(normalise, settings.vague_words)),
            max_length=settings.max_length,
            content=lambda element: digest(image_bytes(element, settings.root)),
            exists=lambda element: exists(element, settings.root),
        )

    def audit_page(self, name: str, read: Callable[[], Iterable[ImageElement]]) -> PageResult:
        """What is found in a document; an error ends it, and nothing else."""
        page = PageResult(file=name)
        elements: list[ImageElement] = []
        try:
            elements.extend(read())
        except Exception as error:
            page.error = describe_error(error)
        page.listed = [element for element in elements if element.kind == "background"]
        judged = [element for element in elements if element.kind != "background"]
        page.images = len(judged)
        found = list(self._findings(judged))
        if self.passes:
            failed = {id(finding.element) for finding in found if finding.severity == "violation"}
            page.passes = [
                (RULES[PRESENCE[element.kind]], element)
                for element in judged
                if id(element) not in failed and not element.hidden and element.required
            ]
        order = {id(element): place for place, element in enumerate(judged)}
        found.sort(key=lambda finding: order[id(finding.element)])
        page.findings = add_fingerprints(found, self.facts.content)
        return page

    def _findings(self, elements: list[ImageElement]) -> Iterator[Finding]:
        for rule in self.rules:
            if rule.check is not None:
                for element in elements:
                    if message := rule.check(element, self.facts):
                        yield _finding(rule, element, message)
            elif rule.check_page is not None:
                for element, message in rule.check_page(elements, self.facts):
                    yield _finding(rule, element, message)
        if self.judge is not None:
            on = {rule.id for rule in self.rules}
            for rule, element, message in self.judge(elements):
                if rule.id in on:
                    yield _finding(rule, element, message)


def _finding(rule: Rule, element: ImageElement, message: str) -> Finding:
    finding = Finding(rule=rule, element=element, message=message, severity=rule.severity)
    if rule.severity == "violation" and element.unsure:
        return replace(finding, severity="review", message=f"{message}; {element.unsure}")
    return finding
