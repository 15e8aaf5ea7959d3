"""Labeled data from lists, for the tests of the audit."""

import numpy as np
import pytest

from genolm.corpus.labeled import LabeledData


@pytest.fixture
def make_data():
    def make(sequences, labels, splits=None, *, names=None):
        n = len(sequences)
        return LabeledData(
            sequences=list(sequences),
            labels=np.array(labels, dtype=np.int64),
            label_names=tuple(names or map(str, range(max(labels) + 1))),
            splits=tuple(splits or [""] * n),
            ids=tuple(f"r{number}" for number in range(n)),
        )

    return make
