#!/usr/bin/env python
"""Stage 1 on one process or many: a causal language model of the recipe's genomes.

    accelerate launch --config_file scripts/accelerate/one_gpu.yaml scripts/pretrain_causal.py --config R

R is a recipe, and scripts/accelerate/ has files for many GPUs and machines. The options, the folders and the
exit codes are those of `genolm pretrain causal`;
but `accelerate launch` of several processes makes 1 of any code other than 0.
"""

import sys

from genolm.cli import main

if __name__ == "__main__":
    main(["pretrain", "causal", *sys.argv[1:]])
