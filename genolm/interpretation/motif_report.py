"""What `genolm explain --motifs` writes: motifs as MEME text and figure, their places, and NPZ arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, UNKNOWN_CODE, decode_bases, encode_bases
from genolm.corpus.negatives.shuffle import shuffle_dinucleotides
from genolm.files import atomic_path, write_text
from genolm.interpretation.explain import Explanation
from genolm.interpretation.figures import build_figure, save_figure
from genolm.interpretation.logo import draw_logo
from genolm.interpretation.motif_matches import format_meme, match_database
from genolm.interpretation.seqlets import Motif, build_motifs, find_seqlets
from genolm.interpretation.word_enrichment import find_enriched_words, keep_words
from genolm.models.kernels import build_consensus, compute_information

_ORDER = [BASES.index(base) for base in "ACGT"]


def write_motifs(
    sequences: Sequence[str],
    found: Explanation,
    folder: Path,
    *,
    database: Path | None = None,
    is_attention: bool = False,
    motif_bp: int = 6,
    seed: int = 0,
) -> list[str]:
    """Build motifs of an explanation and write them.

    Files: motifs.meme, motifs.png and .svg, motif_sites.tsv, and modisco.npz and sequences.npz, which
    `modisco motifs -a modisco.npz -s sequences.npz` reads if all sequences have one length.

    Args:
        sequences: upper-case DNA.
        found: contributions of these sequences.
        folder: to write.
        database: MEME file of known motifs.
        is_attention: keep the words of high-attention regions alone that are enriched against dinucleotide
            shuffles of the sequences, as DNABERT-viz does; they are written as enriched_words.tsv.
        motif_bp: width of the motifs.
        seed: of the shuffles.

    Returns:
        A line for each motif.

    Raises:
        SettingsError, DataError: the database cannot be used.
    """
    contributions: Sequence[npt.NDArray[np.floating]] = found.contributions
    if is_attention:
        contributions = _keep_enriched(sequences, contributions, folder, motif_bp=motif_bp, seed=seed)
    seqlets = find_seqlets(contributions)
    min_sites = max(2, min(10, len(sequences) // 10))
    motifs = build_motifs(sequences, contributions, seqlets, motif_bp=motif_bp, min_sites=min_sites)
    _write_arrays(sequences, found, folder)
    if not motifs:
        return [f"no motif in {len(sequences)} sequences: too few stretches stand out and agree"]
    names = [f"motif_{number}_{build_consensus(each.frequencies)}" for number, each in enumerate(motifs, 1)]
    matrices = [each.frequencies for each in motifs]
    write_text(folder / "motifs.meme", format_meme(matrices, names, [each.num_sites for each in motifs]))
    _write_sites(motifs, names, sequences, folder / "motif_sites.tsv")
    _plot(motifs, names, folder / "motifs")
    lines = [f"{name}: {each.num_sites} sites" for name, each in zip(names, motifs, strict=True)]
    if database is not None:
        matches = match_database(matrices, database)
        lines = [
            f"{line}; most like {match.name} (p = {match.p_value:.2g}, E = {match.e_value:.2g})"
            for line, match in zip(lines, matches, strict=True)
        ]
    return lines


def _keep_enriched(
    sequences: Sequence[str],
    attention: Sequence[npt.NDArray[np.floating]],
    folder: Path,
    *,
    motif_bp: int,
    seed: int,
) -> list[npt.NDArray[np.floating]]:
    codes = [encode_bases(sequence) for sequence in sequences]
    background = [decode_bases(each) for each in shuffle_dinucleotides(codes, seed=seed)]
    words = find_enriched_words(sequences, attention, background, word_bp=motif_bp)
    rows = [("word", "sequences", "shuffled_sequences", "p_value", "q_value")]
    rows += [
        (
            each.word,
            str(each.num_foreground),
            str(each.num_background),
            f"{each.p_value:.3g}",
            f"{each.q_value:.3g}",
        )
        for each in words
    ]
    write_text(folder / "enriched_words.tsv", "".join("\t".join(row) + "\n" for row in rows))
    chosen = [each.word for each in words]
    return [keep_words(sequence, row, chosen) for sequence, row in zip(sequences, attention, strict=True)]


def _write_sites(motifs: Sequence[Motif], names: Sequence[str], sequences: Sequence[str], path: Path) -> None:
    lines = ["motif\tsequence_1based\tstart_1based\tsite\n"]
    for name, motif in zip(names, motifs, strict=True):
        width = len(motif.frequencies)
        for owner, start in zip(motif.owners.tolist(), motif.starts.tolist(), strict=True):
            site = sequences[owner][max(start, 0) : start + width]
            lines.append(f"{name}\t{owner + 1}\t{start + 1}\t{site}\n")
    write_text(path, "".join(lines))


def _plot(motifs: Sequence[Motif], names: Sequence[str], path: Path) -> None:
    figure = build_figure(max(len(each.frequencies) for each in motifs), num_panels=len(motifs))
    for panel, motif, name in zip(figure.axes, motifs, names, strict=True):
        draw_logo(panel, motif.frequencies * compute_information(motif.frequencies)[:, None])
        panel.set(ylim=(0, 2), ylabel="bits")
        panel.set_title(f"{name}, {motif.num_sites} sites", fontsize="small")
        panel.set_xticks(range(len(motif.frequencies)), range(1, len(motif.frequencies) + 1))
    save_figure(figure, path)


def _write_arrays(sequences: Sequence[str], found: Explanation, folder: Path) -> None:
    """Write one-hot sequences and what all bases contribute: float32 [n, 4, length_bp] in the order A C G T.

    Of a mutation map that is each base's effect minus the mean of the four (hypothetical contributions, as
    TF-MoDISco calls them), else the contribution at the base that stands there. Shorter sequences are filled
    up with zeros.
    """
    longest = max(map(len, sequences))
    one_hot = np.zeros((len(sequences), longest, len(BASES) + 1), dtype=np.float32)
    values = np.zeros((len(sequences), longest, len(BASES)), dtype=np.float32)
    for number, sequence in enumerate(sequences):
        codes = encode_bases(sequence)
        one_hot[number, np.arange(len(codes)), codes] = 1
        if found.effects is None:
            row = one_hot[number, : len(codes), :UNKNOWN_CODE] * found.contributions[number][:, None]
        else:
            row = found.effects[number] - found.effects[number].mean(axis=1, keepdims=True)
        values[number, : len(codes)] = np.nan_to_num(row)
    for name, array in (("sequences.npz", one_hot[..., :UNKNOWN_CODE]), ("modisco.npz", values)):
        with atomic_path(folder / name) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, np.ascontiguousarray(array[..., _ORDER].transpose(0, 2, 1)))
