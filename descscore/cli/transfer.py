"""`descscore evaluate transfer`: zero-shot classification."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from descscore.cli import options
from descscore.cli.console import print_json, print_note, warnings_as_notes
from descscore.cli.groups import Evaluated, with_groups
from descscore.cli.parameters import argument, flag, option
from descscore.cli.tables import (
    interval_text,
    print_failures,
    print_line,
    print_table,
    published_text,
)
from descscore.errors import OptionError
from descscore.strings import counted

if TYPE_CHECKING:
    from descscore.evaluate.transfer import TransferReport


@with_groups
def transfer(
    data: Path | None = argument(
        None,
        "[DATA]",
        "Folder or zip file with one folder of images per class, or a table with "
        "an image and a label per row (.csv, .tsv, .jsonl, .parquet).",
    ),
    under: str = option(
        "", "DIR", "Folder inside DATA that contains the class folders, such as test.", "Input"
    ),
    hub_dataset: str | None = option(
        None,
        "NAME",
        "Dataset on the Hub, such as ethz/food101, or saved on disk, in place of "
        "DATA; needs the extra datasets.",
        "Input",
    ),
    hub_config: str | None = option(None, "NAME", "Configuration of the Hub dataset.", "Input"),
    split: str = option("test", "NAME", "Split of the Hub dataset.", "Input"),
    images: Path | None = options.IMAGES,
    image_column: str = option("image", "NAME", "Column of images.", "Input"),
    label_column: str = option("label", "NAME", "Column of classes.", "Input"),
    templates: Path | None = option(
        None,
        "FILE",
        "Prompts for an ensemble, one per line or in clip_benchmark's JSON, with "
        "{label} or {c} for the class; 'An image of {label}' alone by default.",
        "Prompts",
    ),
    class_names: str | None = option(
        None,
        "FILE",
        "Class names, one per line (or folder, tab, name): a file, or cifar100, food101, imagenet.",
        "Prompts",
    ),
    by_position: bool = flag(
        "--by-position",
        "Match the dataset's classes, or their numbers, to the class names by order.",
        "Prompts",
    ),
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    *,
    source: Evaluated,
) -> None:
    """Classify images zero-shot by class prompts: macro-F1, accuracy and recall."""
    from descscore.datasets.hub_images import read_hub_images
    from descscore.datasets.labelled_images import read_labelled_images
    from descscore.evaluate.class_names import read_class_names, read_templates
    from descscore.evaluate.transfer import PROMPT, evaluate_transfer

    if (data is None) == (hub_dataset is None):
        raise OptionError("give the images as DATA or as --hub-dataset NAME, one of the two")
    named = None if class_names is None else read_class_names(class_names)
    prompts = (PROMPT,) if templates is None else read_templates(templates, class_names)
    if data is not None:
        found = read_labelled_images(
            data, under=under, image_column=image_column, label_column=label_column, images=images
        )
    else:
        found = read_hub_images(
            str(hub_dataset),
            split=split,
            image_column=image_column,
            label_column=label_column,
            config=hub_config,
            token=source.token or None,
            local_files_only=source.local_files_only,
        )
    with warnings_as_notes(shown=not quiet):
        metric = source.metric(quiet=quiet, scale="cosine", on_error="record")
        report = evaluate_transfer(
            metric, found, templates=prompts, class_names=named, by_position=by_position
        )
    if not quiet:
        print_failures(report.failed, "image")
        _say_notes(report)
    if json:
        print_json(asdict(report))
    else:
        _print(report)


def _say_notes(report: TransferReport) -> None:
    if report.beside:
        print_note(
            f"{counted(len(report.beside), 'file')} outside class folders skipped, the first: "
            f"{report.beside[0]}"
        )
    if report.without_images:
        shown = ", ".join(report.without_images[:5])
        more = ", ..." if len(report.without_images) > 5 else ""
        print_note(
            f"{len(report.without_images)} of {report.candidates} classes have no images ({shown}"
            f"{more}); they remain candidates, and the means exclude them"
        )
    if report.ties:
        print_note(
            f"{counted(report.ties, 'image')} with the highest score in several classes; the first "
            "of them is taken"
        )


def _print(report: TransferReport) -> None:
    from descscore.evaluate.paper import NONE, RUNS, TABLE_1

    figures = report.transfer
    print_table(
        report.source,
        ["", "value", "95%"],
        [
            ("macro-F1", f"{figures.macro_f1:.3f}", interval_text(report.macro_f1)),
            ("accuracy", f"{figures.accuracy:.3f}", interval_text(report.accuracy)),
            ("mean recall of classes", f"{figures.recall:.3f}", ""),
            ("images", f"{figures.n:,}", ""),
            ("classes", f"{figures.classes:,}", ""),
        ],
    )
    prompts = report.templates
    print_line(
        f"prompt: {prompts[0]}" if len(prompts) == 1 else f"prompts: {len(prompts)} templates"
    )
    if report.class_names in TABLE_1[NONE]:
        values = "; ".join(
            f"{RUNS[run]} {published_text(row[report.class_names])}" for run, row in TABLE_1.items()
        )
        print_line(
            f"published macro-F1 in %, {report.class_names} (Zur et al. 2024, Table 1, "
            f"± 95% over 5 seeds): {values}"
        )
    print_line(report.signature)
