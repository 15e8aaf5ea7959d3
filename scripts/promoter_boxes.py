#!/usr/bin/env python
"""Find the -10 and -35 boxes in what a promoter classifier sees, on the test promoters of E. coli.

Every base of every promoter gets its contribution, by a mutation map of the log-odds. What the promoters
share is found by genolm.interpretation.boxes, which knows neither a consensus nor a place; the first box is
then compared with TATAAT, the second with TTGACA. How often as many bases agree by chance is told twice: by a
random word, and by the same search with contributions that belong to other promoters and are turned around by
a random number of positions, so that neither bases nor places fit.

Positions are relative to the start of transcription, which is 0 here and at index 60 of the windows.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, Codes, encode_bases
from genolm.corpus.builtin import resolve_source
from genolm.corpus.labeled import read_labeled
from genolm.files import write_json, write_text
from genolm.inference.classify import load_classifier
from genolm.interpretation.boxes import Box, Contributions, find_boxes
from genolm.interpretation.explain import ExplainSettings, compute_explanation
from genolm.interpretation.figures import build_figure, save_figure
from genolm.interpretation.logo import draw_logo
from genolm.interpretation.motif_matches import format_meme, match_consensus
from genolm.progress import build_reporter

TSS_INDEX = 60
CONSENSUS = {"-10": "TATAAT", "-35": "TTGACA"}  # in the order of what they weigh


def find_usual(values: npt.NDArray[np.int64]) -> int:
    """Return the most frequent value."""
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])


def turn_contributions(contributions: Contributions, *, seed: int) -> Contributions:
    """Give each promoter the contributions of another one, turned around by a random number of positions."""
    rng = np.random.default_rng(seed)
    places = np.arange(contributions.shape[1])
    turned = (places + rng.integers(0, len(places), size=len(contributions))[:, None]) % len(places)
    return np.take_along_axis(contributions[rng.permutation(len(contributions))], turned, axis=1)


def count_matches(boxes: Sequence[Box]) -> list[int]:
    """Return in how many bases each box agrees with its consensus."""
    return [
        match_consensus(box.log_odds, word).matches
        for box, word in zip(boxes, CONSENSUS.values(), strict=True)
    ]


def describe_boxes(
    boxes: Sequence[Box], contributions: Contributions, chance: npt.NDArray[np.int64]
) -> dict[str, dict[str, object]]:
    """Say of each box where it lies, how it reads, and how it compares with its consensus.

    `chance` holds the matches of the same search on turned contributions, [turns, boxes].
    """
    found = {}
    for number, (box, (name, word)) in enumerate(zip(boxes, CONSENSUS.items(), strict=True)):
        has = box.starts >= 0
        start = find_usual(box.starts[has])
        sums = contributions[:, start : start + len(word)].sum(axis=1)
        match = match_consensus(box.log_odds, word)
        found[name] = {
            "usual_start": start - TSS_INDEX,
            "share_within_2_bp": float((abs(box.starts[has] - start) <= 2).mean()),
            "usual_distance_from_first_box": find_usual(box.starts[has] - boxes[0].starts[has]),
            "sites": box.num_sites,
            "word": box.word,
            "most_frequent_bases": "".join(BASES[code] for code in box.frequencies.argmax(axis=1)),
            "highest_contributions": "".join(BASES[code] for code in box.contributions.argmax(axis=1)),
            "consensus": word,
            "matches": match.matches,
            "p_matches_of_a_random_word": match.p_value,
            "share_of_turned_with_as_many_matches": float((chance[:, number] >= match.matches).mean()),
            "mean_contribution_at_usual_start": float(sums.mean()),
            "z_of_this_mean": float(sums.mean() / (sums.std(ddof=1) / np.sqrt(len(sums)))),
            "frequencies_ATCG": box.frequencies.round(3).tolist(),
        }
    return found


def plot_boxes(boxes: Sequence[Box], contributions: Contributions, codes: Codes, path: Path) -> None:
    """Draw the average map, and below it the aligned boxes at their usual places."""
    is_base = codes[..., None] == np.arange(len(BASES))
    bits = np.zeros((codes.shape[1], len(BASES)))
    for box in boxes:
        start = find_usual(box.starts[box.starts >= 0])
        # what each base adds to the relative entropy from the bases of all promoters
        bits[start : start + len(box.log_odds)] = box.frequencies * box.log_odds
    figure = build_figure(codes.shape[1], num_panels=2)
    draw_logo(figure.axes[0], (contributions[..., None] * is_base).mean(axis=0))
    draw_logo(figure.axes[1], bits)
    figure.axes[0].set(ylabel="mean contribution\n(log-odds, nats)")
    figure.axes[1].set(ylabel="aligned boxes\n(bits)", xlabel="position from the start of transcription")
    ticks = np.arange(0, codes.shape[1], 10)
    for panel in figure.axes:
        panel.set_xticks(ticks, [str(tick - TSS_INDEX) for tick in ticks])
    save_figure(figure, path)


def main() -> None:
    """Explain the promoters, find the boxes, write numbers, matrices and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/quickstart_gc_matched/model"))
    parser.add_argument(
        "--data", default="builtin:ecoli_promoters_gc_matched", help="labeled windows, -60 to +20"
    )
    parser.add_argument("--class", dest="class_name", default="promoter")
    parser.add_argument("--max-sequences", type=int, default=1_000)
    parser.add_argument("--num-turns", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("runs/promoter_boxes"))
    options = parser.parse_args()
    test = read_labeled(resolve_source(options.data)).select("test")
    wanted = test.label_names.index(options.class_name)
    promoters = [text for text, label in zip(test.sequences, test.labels, strict=True) if label == wanted]
    promoters = promoters[: options.max_sequences]
    settings = ExplainSettings(score="log_odds", class_name=options.class_name)
    explained = compute_explanation(
        load_classifier(options.model), promoters, settings=settings, reporter=build_reporter()
    )
    contributions = np.nan_to_num(np.stack(explained.contributions))
    codes = np.stack([encode_bases(text) for text in promoters])
    boxes = find_boxes(contributions, codes)
    chance = [
        count_matches(find_boxes(turn_contributions(contributions, seed=seed), codes))
        for seed in range(options.num_turns)
    ]
    report = {
        "model": str(options.model),
        "promoters": len(promoters),
        "boxes": describe_boxes(boxes, contributions, np.array(chance)),
    }
    options.output.mkdir(parents=True, exist_ok=True)
    write_json(options.output / "boxes.json", report)
    matrices = [box.frequencies for box in boxes]
    meme = format_meme(matrices, [f"box{name}" for name in CONSENSUS], [box.num_sites for box in boxes])
    write_text(options.output / "boxes.meme", meme)
    plot_boxes(boxes, contributions, codes, options.output / "average_map")
    np.savez_compressed(options.output / "contributions.npz", contributions=contributions, codes=codes)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
