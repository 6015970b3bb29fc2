"""Time and memory of an audit by rules alone: 1,000 pages of 100 KB, on one core.

`python tests/benchmarks/audit.py [PAGES]` prints seconds, pages per second and the growth of the
peak of memory between a tenth of the pages and all of them.
"""

# ruff: noqa: T201 - its results go to stdout

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from descscore.audit.run import audit

SIZE = 100_000


def page(number: int) -> str:
    """A page like those of news sites: navigation, articles with figures, lists with icons."""
    parts = [f"<!doctype html><html lang=en><head><title>Page {number}</title></head><body>"]
    size, place = len(parts[0]), 0
    while size < SIZE:
        part = (
            f'<article class="card card-{place % 7}" data-id="{place}"><h2><a href="/a/{place}">'
            f"Headline {number} {place}</a></h2><figure><img src='/i/{place}.jpg' width=640 "
            f'height=480 alt="A street with {place} houses seen from the side">'
            f"<figcaption>Photo {place} of the series</figcaption></figure>"
            f"<p>{'Words that make a paragraph of some length. ' * 12}</p>"
            f'<ul><li><a href="/b/{place}"><svg viewBox="0 0 10 10"><path d="M0 0h10"/></svg>'
            f'Share</a></li><li><a href="/c/{place}"><img src=c.svg alt=""> Save</a></li></ul>'
            f'<div role="img" aria-label="{place} stars"></div>'
            + ("<img src=missing.png>" if place % 20 == 0 else "")
            + "</article>"
        )
        parts.append(part)
        size += len(part)
        place += 1
    return "".join([*parts, "</body></html>"])


def main() -> None:
    """Make the pages, audit a tenth of them, then all."""
    pages = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(pages):
            (folder / f"{number:05}.html").write_text(page(number))
        files = sorted(folder.iterdir())
        audit(files[: pages // 10])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, processor = time.perf_counter(), time.process_time()
        result = audit(files)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{pages:,} pages, {result.images:,} images, {len(result.findings):,} findings: "
        f"{processor:.1f} s of processor, {wall:.1f} s in all; "
        f"peak {after / 1024:.0f} MiB, {(after - before) / 1024:.0f} MiB more than for a tenth"
    )


if __name__ == "__main__":
    main()
