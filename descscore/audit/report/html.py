"""Findings as one accessible HTML file that needs no script, no network and no colour vision."""

from __future__ import annotations

import io
from base64 import b64encode
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from descscore.audit.addresses import image_bytes
from descscore.audit.report.terminal import summary_of
from descscore.printable import printable
from descscore.templates import templates

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Environment

    from descscore.audit.elements import ImageElement
    from descscore.audit.findings import AuditResult

MOST_IMAGES = 500
"""Findings whose images are part of the file; it would be too large for a browser with more."""

_LONGEST_SIDE = 320
_LARGEST_SVG = 200_000

_Picture = dict[str, Any]
"""Address of an image's data, width and height; the width of an svg is None."""


def to_html(result: AuditResult, *, root: Path | None = None) -> str:
    """A page with all findings, page by page, and the images that they are about.

    Args:
        result: of an audit.
        root: the folder that image addresses beginning with "/" start from.
    """
    pictures: dict[str, _Picture | None] = {}
    number = 0
    pages: list[dict[str, Any]] = []
    for place, page in enumerate(result.pages, 1):
        if not (page.findings or page.notes):
            continue
        views: list[dict[str, Any]] = []
        for finding in page.findings:
            number += 1
            element = finding.element
            key = f"{element.place.file}\0{element.image}"
            if key not in pictures and len(pictures) < MOST_IMAGES:
                pictures[key] = _picture(image_bytes(element, root))
            views.append(
                {
                    "id": f"finding-{number}",
                    "finding": finding,
                    "where": _where(element),
                    "picture": pictures.get(key),
                    "picture_name": _picture_name(element),
                }
            )
        name = printable(page.file)
        pages.append({"id": f"page-{place}", "file": name, "views": views, "notes": page.notes})
    counts = Counter(finding.rule.id for finding in result.findings)
    rules = {finding.rule.id: finding.rule for finding in result.findings}
    return (
        _templates()
        .get_template("audit.html.jinja")
        .render(
            result=result,
            summary=[line.plain for line in summary_of(result)],
            pages=pages,
            rules=[(rules[name], count) for name, count in counts.most_common()],
            listed=[element for page in result.pages for element in page.listed],
            violations=result.count("violation"),
            reviews=result.count("review"),
        )
    )


@cache
def _templates() -> Environment:
    environment = templates("descscore.audit.report")
    environment.filters["printable"] = printable
    return environment


def _where(element: ImageElement) -> str:
    place = element.place
    return place.part or f"line {place.line:,}, column {place.column:,}"


def _picture_name(element: ImageElement) -> str:
    """The alt of a picture in the report: which image it is, since its own alt is in question."""
    name = element.image.partition("?")[0].rpartition("/")[2]
    return f"The image {printable(name)}" if 0 < len(name) < 100 else "The image"


def _picture(content: bytes | None) -> _Picture | None:
    """A small version of an image as data; None if it cannot be shown."""
    if content is None:
        return None
    if b"<svg" in content[:2000] and len(content) < _LARGEST_SVG:
        address = f"data:image/svg+xml;base64,{b64encode(content).decode('ascii')}"
        return {"address": address, "width": None}
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (_LONGEST_SIDE, _LONGEST_SIDE))
            image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
            kept = image.convert("RGBA" if image.has_transparency_data else "RGB")
            file = io.BytesIO()
            form = "PNG" if kept.mode == "RGBA" else "JPEG"
            kept.save(file, form, quality=80)
            width, height = kept.size
    except Exception:  # whatever a decoder makes of a broken image, the report goes on
        return None
    data = b64encode(file.getvalue()).decode("ascii")
    address = f"data:image/{form.lower()};base64,{data}"
    return {"address": address, "width": width, "height": height}
