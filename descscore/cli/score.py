"""`descscore score`: score a table of pairs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from descscore.cli import options
from descscore.cli.console import print_json, warnings_as_notes
from descscore.cli.groups import PairsTable, Source, with_groups
from descscore.cli.parameters import argument, flag, option
from descscore.cli.tables import failed_fact, print_summary
from descscore.cli.whole_tables import exit_if_failed, report_interruption
from descscore.errors import OptionError

if TYPE_CHECKING:
    from descscore.metric import DescriptionScore
    from descscore.tables.summary import Summary


@with_groups
def score(
    *,
    pairs: list[str] = argument(
        ...,
        "FILE...",
        "Table with one pair per row (.csv, .tsv, .jsonl, .parquet), COCO results "
        "or CLIPScore candidates (.json), or WebDataset (.tar); several with "
        "--shards.",
    ),
    out: str = option(
        ...,
        "-o --output FILE",
        "Output file (.csv, .tsv, .jsonl, .parquet); with --shards, a folder.",
        "Output",
        show_default=False,
    ),
    columns: PairsTable,
    references: list[str] | None = option(
        None,
        "NAME",
        "Column of reference texts (repeatable), or COCO annotations (.json): adds RefCLIPScore.",
        "Input",
    ),
    context: str | None = option(
        None, "NAME", "Column with the text around the image: adds a contextual score.", "Input"
    ),
    resume: bool = flag("--resume", "Continue an interrupted run, or start one.", "Output"),
    overwrite: bool = options.OVERWRITE,
    column_prefix: str = option(
        "",
        "TEXT",
        "Prefix for the names of the added columns: score, truncated and so on.",
        "Output",
        show_default=False,
    ),
    shards: bool = flag(
        "--shards", "Write parts into the folder -o, for tables beyond one machine.", "Shards"
    ),
    shard: str | None = option(
        None, "I/N", "Score only one worker's share of the shards; repeat to resume.", "Shards"
    ),
    join: Path | None = option(
        None, "FILE", "Join the parts in the folder -o into one file.", "Shards"
    ),
    shard_rows: int | None = option(None, "N", "Rows per shard.", "Shards", min=1),
    engine: Literal["local", "ray"] = option(
        "local", "local|ray", "Score shards in this process or on a Ray cluster.", "Shards"
    ),
    workers: int = option(2, "N", "Number of Ray workers.", "Shards", min=1),
    ray_address: str | None = option(
        None,
        "ADDRESS",
        "Address of a running cluster; by default, Ray starts on this machine.",
        "Shards",
    ),
    json: bool = options.JSON,
    quiet: bool = options.QUIET_SUMMARY,
    source: Source,
    scale: Literal["clipscore", "clip100", "cosine"] | None = option(
        None,
        "clipscore|clip100|cosine",
        "2.5 max(cos, 0) (the default), 100 max(cos, 0), or cos.",
        "Score",
    ),
    prefix: str | None = option(
        None, "TEXT", "Text put before every text; none by default.", "Score"
    ),
    clipscore_compatible: bool = flag(
        "--clipscore-compatible",
        "Same as --scale clipscore --prefix 'A photo depicts ', as published.",
        "Score",
    ),
    long_text: Literal["truncate", "sentences", "error"] = option(
        "truncate",
        "truncate|sentences|error",
        "Truncate texts beyond the window, average their sentences, or fail.",
        "Score",
    ),
    purpose_effect: bool = flag(
        "--purpose-effect", "Add how much of the score is due to purpose.", "Score"
    ),
    purpose: str | None = options.PURPOSE_READER,
    purpose_weight: float | None = options.PURPOSE_WEIGHT,
    device: str = options.DEVICE,
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = option(
        "auto",
        "auto|float32|bfloat16|float16|int8",
        "Precision of the encoders; auto is float16 on CUDA, else float32.",
        "Speed",
    ),
    batch_size: int = options.BATCH_SIZE,
    num_workers: int | None = option(
        None, "N", "Threads that decode images; by default one per core, at most 8.", "Speed", min=0
    ),
    jpeg_draft: bool = flag(
        "--jpeg-draft",
        "Let the decoder shrink large JPEG photos: faster, slightly other scores.",
        "Speed",
    ),
) -> None:
    """Score each row's text against its image.

    All columns are kept; score, truncated and error are added, and purpose, the probability that
    the text is a description, if the checkpoint or --purpose reads it. The output appears once all
    rows are scored, and --resume continues after an interruption. Exit code: 0 all rows scored, 1
    some failed, 2 wrong usage or nothing scored.
    """
    from descscore.cli.progress import TableProgress
    from descscore.tables.scoring import ROWS_IN_CHUNK, ScoreOptions, score_table
    from descscore.tables.selection import with_folder
    from descscore.tables.shards import find_tables, run_shards

    if clipscore_compatible and (scale not in {None, "clipscore"} or prefix is not None):
        raise OptionError("--clipscore-compatible sets scale and prefix; omit --scale and --prefix")

    def load_metric() -> DescriptionScore:
        from descscore.metric_options import CLIPSCORE_PREFIX

        return source.load(
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            num_workers=num_workers,
            jpeg_draft=jpeg_draft,
            scale=scale or "clipscore",
            prefix=CLIPSCORE_PREFIX if clipscore_compatible else prefix or "",
            long_text=long_text,
            readouts=("purpose", "purpose_effect") if purpose_effect else ("purpose",),
            purpose=purpose,
            purpose_weight=purpose_weight,
            on_error="record",
        )

    how = ScoreOptions(
        **vars(columns),
        references=references or (),
        context=context,
        column_prefix=column_prefix,
    )
    chunk = max(ROWS_IN_CHUNK, 4 * batch_size)
    sharded = shards or shard is not None or join is not None or engine == "ray"
    if sharded and (resume or overwrite):
        raise OptionError(
            "shards are resumed by repeating the command; omit --resume and --overwrite"
        )
    cluster = None
    if engine == "ray":
        from descscore.integrations.ray import RayCluster

        cluster = RayCluster(workers=workers, address=ray_address)
    tables = find_tables(pairs)
    if len(tables) > 1 and not sharded:
        raise OptionError(
            f"{len(tables)} tables are given; score several with --shards -o DIR, and join them "
            "with --join FILE"
        )
    with (
        warnings_as_notes(shown=not quiet),
        TableProgress(shown=not quiet) as progress,
        report_interruption(progress, option="" if sharded else " with --resume"),
    ):
        if sharded:
            summary = run_shards(
                load_metric,
                pairs,
                out,
                how,
                shard=shard,
                join=join,
                join_only=join is not None and not (shards or shard or engine == "ray"),
                chunk=chunk,
                shard_rows=shard_rows,
                engine=cluster,
                progress=progress,
            )
        else:
            summary = score_table(
                load_metric,
                tables[0],
                out,
                how=how,
                resume=resume,
                overwrite=overwrite,
                chunk=chunk,
                progress=progress,
            )
    if json:
        print_json({"output": out, **asdict(summary)})
    elif summary.scored and not quiet:
        _print_summary(summary)
    error = summary.first_error and with_folder(
        summary.first_error, columns.images or tables[0].parent
    )
    exit_if_failed(summary.n, summary.failed, error, done="scored")


def _print_summary(summary: Summary) -> None:
    facts = [("rows", f"{summary.n:,}")]
    if summary.mean is not None:
        facts.append(("mean", f"{summary.mean:.4f}"))
    if summary.std is not None:
        facts.append(("deviation", f"{summary.std:.4f}"))
        facts.append(("range", f"{summary.min:.4f} to {summary.max:.4f}"))
    if summary.mean_ref_score is not None:
        facts.append(("mean RefCLIPScore", f"{summary.mean_ref_score:.4f}"))
    if summary.mean_purpose is not None:
        facts.append(("mean purpose", f"{summary.mean_purpose:.4f}"))
    facts.append(("truncated", f"{summary.truncated:,}"))
    facts.append(failed_fact(summary.failed, summary.first_error))
    print_summary(facts, summary.signature)
