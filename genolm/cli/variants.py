"""`genolm variants`: what a model says of every variant of a VCF file or a table."""

from pathlib import Path
from typing import Annotated

import typer

from genolm.cli.console import open_model_reporter


def variants(
    variants: Annotated[
        Path,
        typer.Argument(
            help="VCF, plain or bgzip, or CSV or TSV: contig, position (from 1), ref, alt ('-' for none)."
        ),
    ],
    genome: Annotated[Path, typer.Option(help="FASTA of the assembly, plain or gzipped.")],
    model: Annotated[Path, typer.Option(help="Classifier, regression or language model: folder or name.")],
    output: Annotated[
        Path,
        typer.Option(help=".vcf.gz, .vcf or .tsv; of a VCF both are written, of a table the .tsv alone."),
    ],
    window_bp: Annotated[
        int | None, typer.Option(help="Bases of a window.  [default: as the model was trained, if known]")
    ] = None,
    offset_bp: Annotated[
        int | None,
        typer.Option(
            help="Base of the window, from 0 on the plus strand, where the variant stands.  [default: middle]"
        ),
    ] = None,
    strand: Annotated[str, typer.Option(help="both (the mean), plus or minus.")] = "both",
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Class.  [default: the second of two]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows at a time.")] = 64,
) -> None:
    """Compare what a model says of both alleles of each variant, in a window of the genome around it.

    A classifier gives the difference of probabilities, that times the larger one, and the difference of
    log-odds; a regression the difference of values; a language model the log-likelihood ratio in nats. What
    cannot be scored is counted with the reason; more than 1 % of REF alleles that disagree stop it.
    """
    from genolm.interpretation.chosen_model import find_window_bp
    from genolm.interpretation.variants.run import annotate_variants
    from genolm.interpretation.variants.settings import VariantSettings
    from genolm.models.builtin import find_model

    model = find_model(model)
    settings = VariantSettings(
        window_bp=find_window_bp(model, window_bp),
        offset_bp=offset_bp,
        strand=strand,  # type: ignore[arg-type]
        class_name=class_name,
        batch_size=batch_size,
    )
    found = annotate_variants(
        variants, genome, model, output, settings=settings, reporter=open_model_reporter()
    )
    print(
        f"{found.num_scored:,} of {found.num_alleles:,} alternative alleles scored: "
        f"{', '.join(str(path) for path in found.paths)}"
    )
    for reason, count in found.skipped.items():
        print(f"  skipped: {count:,} {reason}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("variants")(variants)
