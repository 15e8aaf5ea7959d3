"""Counter-based chance: every random choice is a function of a seed and of where the run stands.

So nothing has to be replayed, or saved, to continue a run: order is a function of (seed, epoch), dropout of
(seed, step).
"""

import numpy as np


def build_generator(seed: int, *counters: int) -> np.random.Generator:
    """Return a numpy generator that depends on the seed and the counters alone.

    >>> int(build_generator(0, 3).integers(100)) == int(build_generator(0, 3).integers(100))
    True
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *counters])))


def mix_seed(seed: int, *counters: int) -> int:
    """Return a seed of 63 bits for `torch.manual_seed`, well spread over neighboring counters.

    >>> mix_seed(0, 1) != mix_seed(0, 2)
    True
    """
    return int(np.random.SeedSequence([seed, *counters]).generate_state(1, np.uint64)[0] >> 1)


def compute_order(num_examples: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the order in which an epoch visits its examples: a permutation, int64 [num_examples]."""
    return build_generator(seed, epoch).permutation(num_examples)
