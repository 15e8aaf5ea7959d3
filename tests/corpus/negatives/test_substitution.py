"""DeePromoter's negatives: 12 of 20 parts replaced, 8 kept in their places."""

import numpy as np
import pytest
from made_up_dna import make_dna

from genolm.alphabet import encode_bases
from genolm.corpus.negatives.substitution import substitute_parts
from genolm.errors import DataError, SettingsError

UNKNOWN = np.full(100, 4, dtype=np.uint8)  # a replaced base is known, so it shows


def test_eight_of_twenty_parts_are_kept_whole():
    for codes in substitute_parts([UNKNOWN] * 50, seed=0):
        kept = (codes == 4).reshape(20, 5)
        assert kept.all(axis=1).sum() == 8
        assert kept.any(axis=1).sum() == 8


def test_all_parts_and_all_bases_are_equally_likely():
    codes = np.stack(substitute_parts([UNKNOWN] * 2_000, seed=1))
    share_kept = (codes == 4).mean(axis=0)
    assert share_kept == pytest.approx(np.full(100, 0.4), abs=0.06)  # 5.5 standard deviations
    assert np.bincount(codes[codes < 4]) / 120_000 == pytest.approx(np.full(4, 0.25), abs=0.01)


def test_lengths_that_cannot_be_divided_evenly():
    codes = substitute_parts([np.full(81, 4, dtype=np.uint8)], seed=2)[0]
    assert len(codes) == 81
    assert (codes == 4).sum() in (32, 33)  # 8 parts of 4, of which one may have 5


def test_what_is_kept_is_the_positive_itself():
    positive = encode_bases(make_dna(200, seed=5))
    negative = substitute_parts([positive], seed=3)[0]
    same = (negative == positive).reshape(20, 10).all(axis=1)
    assert same.sum() == 8


def test_a_sequence_does_not_depend_on_its_company():
    positives = [encode_bases(make_dna(60, seed=n)) for n in range(5)]
    together = substitute_parts(positives, seed=7)
    assert (substitute_parts(positives[3:4], seed=7, first_index=3)[0] == together[3]).all()
    assert (substitute_parts(positives[:1], seed=8)[0] != together[0]).any()


def test_other_parts_can_be_asked_for():
    codes = substitute_parts([UNKNOWN], seed=0, num_parts=4, num_kept=1)[0]
    assert (codes == 4).sum() == 25


@pytest.mark.parametrize(("num_parts", "num_kept"), [(4, 4), (4, 5), (0, 0), (4, -1)])
def test_parts_that_do_not_go_together_are_refused(num_parts, num_kept):
    with pytest.raises(SettingsError, match=f"found {num_kept} of {num_parts} parts to keep"):
        substitute_parts([UNKNOWN], seed=0, num_parts=num_parts, num_kept=num_kept)


def test_a_positive_that_is_too_short_is_refused():
    with pytest.raises(DataError, match="a positive of 19 bp; expected at least 20 bp"):
        substitute_parts([UNKNOWN, UNKNOWN[:19]], seed=0)
