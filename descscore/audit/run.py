"""An audit: documents in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.audit.addresses import digest, image_bytes, image_url
from descscore.audit.baseline import add_fingerprints
from descscore.audit.checks import Facts
from descscore.audit.documents import HTML, describe_error, find_documents, read_document, read_text
from descscore.audit.findings import AuditResult, Finding, PageResult
from descscore.audit.rules import NAMED, RULES
from descscore.audit.settings import Settings
from descscore.audit.tree import normalise
from descscore.errors import DocumentError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from descscore import DescriptionScore
    from descscore.audit.elements import ImageElement
    from descscore.audit.fetch import Fetcher, Response
    from descscore.audit.model import ModelJudge
    from descscore.audit.render import Renderer
    from descscore.audit.rules import Rule

PRESENCE = {kind: rule for rule, kinds in NAMED.items() for kind in kinds}
"""The rule that asks for a name, by the kind of an image."""

NO_MODEL = "Image and text are not compared, which takes a full-size checkpoint"
"""What a report says where no model judges."""

_TYPES = {
    "text/html": ".html",
    "application/xhtml+xml": ".xhtml",
    "text/markdown": ".md",
    "text/x-rst": ".rst",
}


def audit(
    paths: Sequence[str | Path],
    settings: Settings | None = None,
    *,
    metric: DescriptionScore | None = None,
    fetcher: Fetcher | None = None,
    renderer: Renderer | None = None,
    passes: bool = False,
) -> AuditResult:
    """Audit documents.

    Args:
        paths: files and folders; with a fetcher, URLs of pages and sitemaps.
        settings: the project's settings.
        metric: `DescriptionScore(..., on_error="record")` that compares images and names; without
            one, the model's rules are off.
        fetcher: fetches the given pages, and images for the metric, from the web.
        renderer: a browser that loads pages before they are read.
        passes: also keep the images that have names.

    Raises:
        OptionError: a path does not exist, is not a document, or is a URL without a
            fetcher.
    """
    settings = settings or Settings()

    def image_of(element: ImageElement) -> bytes | None:
        if fetcher is not None and metric is not None and (url := image_url(element)):
            try:
                return fetcher.fetch(url).content
            except DocumentError:
                return None
        return image_bytes(element, settings.root)

    judge = None
    if metric is not None:
        from descscore.audit.model import ModelJudge

        judge = ModelJudge(metric, image_of)
    auditor = Auditor(settings, passes=passes, judge=judge)
    result = AuditResult(
        model=metric.signature if metric else "", model_note="" if metric else NO_MODEL
    )
    urls = [str(path) for path in paths if "://" in str(path)]
    for url in urls:
        if fetcher is None:
            raise OptionError(f"{url} is on the web; allow pages to be fetched, or name a file")
        result.pages += _from_web(auditor, url, fetcher, renderer)
    local = [Path(path) for path in paths if str(path) not in urls]
    for path in find_documents(local, settings.ignore):
        is_html = path.suffix.lower() in HTML
        read = renderer.read_file if renderer is not None and is_html else read_document
        result.pages.append(auditor.audit_page(path.as_posix(), partial(read, path)))
    return result


class Auditor:
    """Judges the images of one document after another.

    Args:
        settings: what the project decides.
        passes: keep the images that have names as well.
        judge: the rules of a model; by default none.
    """

    def __init__(
        self, settings: Settings, *, passes: bool = False, judge: ModelJudge | None = None
    ) -> None:
        self.rules = [
            rule
            for rule in RULES.values()
            if rule.id not in settings.disable and (rule.on or rule.id in settings.enable)
        ]
        self.passes = passes
        self.judge = judge
        self.base = settings.base
        self.facts = Facts(
            vague_words=frozenset(map(normalise, settings.vague_words)),
            max_length=settings.max_length,
            content=lambda element: digest(image_bytes(element, settings.root)),
        )

    def audit_page(self, name: str, read: Callable[[], Iterable[ImageElement]]) -> PageResult:
        """What is found in a document; an error ends it, and nothing else."""
        page = PageResult(file=name)
        elements: list[ImageElement] = []
        try:
            elements.extend(read())
        except OptionError:
            raise
        except Exception as error:
            page.error = describe_error(error)
        page.listed = [element for element in elements if element.kind == "background"]
        judged = [element for element in elements if element.kind != "background"]
        page.images = len(judged)
        found = list(self._findings(judged))
        page.unread = list(dict.fromkeys(self.judge.unread)) if self.judge else []
        if self.passes:
            failed = {id(finding.element) for finding in found if finding.severity == "violation"}
            page.passes = [
                (RULES[PRESENCE[element.kind]], element)
                for element in judged
                if id(element) not in failed and not element.hidden and element.required
            ]
        order = {id(element): place for place, element in enumerate(judged)}
        found.sort(key=lambda finding: order[id(finding.element)])
        page.findings = add_fingerprints(found, self.facts.content, self.base)
        return page

    def _findings(self, elements: list[ImageElement]) -> Iterator[Finding]:
        for rule in self.rules:
            for element, message in rule.check(elements, self.facts) if rule.check else ():
                yield _finding(rule, element, message)
        on = {rule.id: rule for rule in self.rules}
        for name, element, message in self.judge(elements) if self.judge else ():
            if name in on:
                yield _finding(on[name], element, message)


def _finding(rule: Rule, element: ImageElement, message: str) -> Finding:
    severity = rule.severity
    if severity == "violation" and element.unsure:
        severity, message = "review", f"{message}; {element.unsure}"
    return Finding(rule=rule, element=element, message=message, severity=severity)


def _from_web(
    auditor: Auditor, url: str, fetcher: Fetcher, renderer: Renderer | None
) -> Iterator[PageResult]:
    from descscore.audit.fetch import pages_of

    try:
        for page, response in pages_of(url, fetcher):
            if renderer is not None:
                yield auditor.audit_page(page, partial(renderer.read_url, page, fetcher))
            else:
                yield auditor.audit_page(page, partial(_read_page, page, response, fetcher))
    except DocumentError as error:
        yield PageResult(file=url, error=str(error))


def _read_page(url: str, response: Response | None, fetcher: Fetcher) -> Iterator[ImageElement]:
    response = response or fetcher.fetch(url)
    if response.kind not in _TYPES:
        raise DocumentError(f"is not a page but {response.kind}")
    return read_text(
        response.content, response.url, _TYPES[response.kind], charset=response.charset
    )
