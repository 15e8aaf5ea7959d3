"""Finished runs with random weights, of every kind of model; nothing is trained."""

from pathlib import Path

import pytest
import torch
from small_runs import save_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run for each kind of model, by name."""
    root = tmp_path_factory.mktemp("runs")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for kind in ("classifier", "causal", "masked", "network"):
            save_run(root / kind, kind)
    return root
