"""`genolm scan`: a classifier over a genome."""

from pathlib import Path
from typing import Annotated

import typer

from genolm.cli.console import open_model_reporter


def scan(
    genome: Annotated[Path, typer.Argument(help="FASTA, plain or gzipped.")],
    model: Annotated[Path, typer.Option(help="Classifier or regression of whole sequences: folder or name.")],
    output: Annotated[Path, typer.Option(help="Folder to write; the same command again goes on in it.")],
    stride_bp: Annotated[int, typer.Option(help="Bases from one window to the next.")] = 1,
    window_bp: Annotated[
        int | None, typer.Option(help="Bases of a window.  [default: as the model was trained, if known]")
    ] = None,
    anchor_bp: Annotated[
        int | None,
        typer.Option(
            help="Base of a window, from 0 in reading direction, where the tracks have its value; 60 for "
            "promoter windows from -60 to +20.  [default: the middle]"
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Probability from which on there is a peak.  [default: chosen on validation, or 0.5]"
        ),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Class.  [default: the second of two]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows at a time.")] = 1024,
    precision: Annotated[str, typer.Option(help="auto (bf16 where it is fast), no, bf16 or fp16.")] = "auto",
    bigwig: Annotated[bool, typer.Option(help="Write bigWig files too.")] = True,
) -> None:
    """Classify all windows of a genome on both strands: bedGraph, bigWig and a BED of peaks.

    Windows with a base other than A, C, G and T are skipped. Peaks are overlapping windows from the threshold
    on, merged; the score is 1000 times the highest probability, the name tells its place, counted from 1.
    """
    from genolm.errors import SettingsError
    from genolm.interpretation.chosen_model import find_window_bp
    from genolm.interpretation.scan.run import scan_genome
    from genolm.interpretation.scan.settings import ScanSettings
    from genolm.models.builtin import find_model

    if precision not in ("auto", "no", "bf16", "fp16"):
        raise SettingsError(
            found=f"--precision {precision}", expected="auto, no, bf16 or fp16", remedy="correct it"
        )
    model = find_model(model)
    settings = ScanSettings(
        window_bp=find_window_bp(model, window_bp),
        stride_bp=stride_bp,
        anchor_bp=anchor_bp,
        threshold=threshold,
        class_name=class_name,
        batch_size=batch_size,
        precision=precision,  # type: ignore[arg-type]
    )
    found = scan_genome(
        genome, model, output, settings=settings, with_bigwig=bigwig, reporter=open_model_reporter()
    )
    source = {"given": "given", "validation": "chosen on validation", "default": "the default"}
    chosen = found["settings"]
    lowest = f"{chosen['threshold']:g} ({source[chosen['threshold_from']]})"
    peaks = ", ".join(f"{number:,} on the {name} strand" for name, number in found["peaks"].items())
    print(
        f"{found['windows']:,} windows a strand, {found['skipped_windows']:,} skipped for unknown bases; "
        f"peaks from {lowest} on: {peaks}"
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scan")(scan)
