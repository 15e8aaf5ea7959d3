#!/usr/bin/env python
"""Look for the -10 and -35 boxes in what a promoter classifier sees, on the test promoters of E. coli.

Every base of every promoter gets its contribution. Averaged over the promoters, by position and base, with
the median over the positions taken off (the composition, which the classifier knows, too), they make one
logo. Its best window of six positions near each box is compared with the textbook consensus. How often as
high a window comes by chance is told by turning each promoter's contributions around by a random number of
positions, which keeps all but the alignment; how often as many bases agree, by a random word.

Positions are relative to the start of transcription, which is 0 here and at index 60 of the windows.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from genolm.alphabet import BASES, encode_bases
from genolm.corpus.builtin import resolve_source
from genolm.corpus.labeled import read_labeled
from genolm.files import write_json
from genolm.inference.classify import load_classifier
from genolm.interpretation.explain import ExplainSettings, compute_explanation
from genolm.interpretation.figures import build_figure, save_figure
from genolm.interpretation.logo import draw_logo
from genolm.interpretation.motif_matches import match_consensus
from genolm.progress import build_reporter

TSS_INDEX = 60
BOX_BP = 6
# consensus, and where its first base may lie; the textbook's are -12 and -35
BOXES = {"-10": ("TATAAT", -15, -9), "-35": ("TTGACA", -40, -30)}


def build_average(contributions: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the mean contribution by position and base, less its median over the positions: [81, 4]."""
    is_base = codes[..., None] == np.arange(len(BASES))
    means = (contributions[..., None] * is_base).mean(axis=0)
    return means - np.median(means, axis=0)


def sum_windows(average: np.ndarray) -> np.ndarray:
    """Return the summed height of the highest letters of each window: [76]."""
    return np.convolve(average.max(axis=1), np.ones(BOX_BP), mode="valid")


def find_boxes(contributions: np.ndarray, codes: np.ndarray, *, num_turns: int, seed: int) -> dict:
    """Find the best window near each box, and how it compares with the consensus and with chance."""
    average = build_average(contributions, codes)
    sums = sum_windows(average)
    rng = np.random.default_rng(seed)
    places = np.arange(codes.shape[1])
    chance = []
    for _ in range(num_turns):
        turned = (places + rng.integers(0, len(places), size=len(codes))[:, None]) % len(places)
        rows = np.take_along_axis(contributions, turned, axis=1), np.take_along_axis(codes, turned, axis=1)
        chance.append(sum_windows(build_average(*rows)))
    boxes = {}
    for name, (consensus, first, last) in BOXES.items():
        near = slice(TSS_INDEX + first, TSS_INDEX + last + 1)
        start = near.start + int(sums[near].argmax())
        match = match_consensus(average[start : start + BOX_BP], consensus)
        as_high = np.mean([row[near].max() >= sums[start] for row in chance])
        boxes[name] = {
            "start": start - TSS_INDEX,
            "word": "".join(BASES[code] for code in average[start : start + BOX_BP].argmax(axis=1)),
            "consensus": consensus,
            "matches": match.matches,
            "p_matches_of_a_random_word": match.p_value,
            "height": float(sums[start]),
            "rank_of_all_windows": int((sums > sums[start]).sum()) + 1,
            "share_of_turned_promoters_as_high": float(as_high),
        }
    return boxes


def main() -> None:
    """Explain the promoters, find the boxes, write numbers and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/quickstart/model"))
    parser.add_argument("--data", default="builtin:ecoli_promoters", help="labeled windows, -60 to +20")
    parser.add_argument("--method", default="mutation", help="of genolm explain")
    parser.add_argument("--class", dest="class_name", default="promoter")
    parser.add_argument("--max-sequences", type=int, default=1_000)
    parser.add_argument("--num-turns", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/promoter_boxes"))
    options = parser.parse_args()
    test = read_labeled(resolve_source(options.data)).select("test")
    wanted = test.label_names.index(options.class_name)
    promoters = [text for text, label in zip(test.sequences, test.labels, strict=True) if label == wanted]
    promoters = promoters[: options.max_sequences]
    settings = ExplainSettings(method=options.method, score="log_odds", class_name=options.class_name)
    classifier = load_classifier(options.model)
    found = compute_explanation(classifier, promoters, settings=settings, reporter=build_reporter())
    contributions = np.nan_to_num(np.stack(found.contributions))
    codes = np.stack([encode_bases(text) for text in promoters])
    boxes = find_boxes(contributions, codes, num_turns=options.num_turns, seed=options.seed)
    figure = build_figure(codes.shape[1], num_panels=1)
    (panel,) = figure.axes
    draw_logo(panel, build_average(contributions, codes))
    ticks = np.arange(0, codes.shape[1], 10)
    panel.set_xticks(ticks, [str(tick - TSS_INDEX) for tick in ticks])
    panel.set(ylabel="mean contribution", xlabel="position from the start of transcription")
    save_figure(figure, options.output / "average_map")
    report = {
        "model": str(options.model),
        "method": options.method,
        "promoters": len(promoters),
        "boxes": boxes,
    }
    write_json(options.output / "boxes.json", report)
    np.savez_compressed(options.output / "contributions.npz", contributions=contributions, codes=codes)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
