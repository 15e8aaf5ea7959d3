#!/usr/bin/env python
"""Pretraining on one process or many: a masked language model of the recipe's genomes.

    accelerate launch --config_file scripts/accelerate/one_gpu.yaml scripts/pretrain_masked.py --config R

R is a recipe, and scripts/accelerate/ has files for many GPUs and machines. The options, the folders and the
exit codes are those of `genolm pretrain masked`;
but `accelerate launch` of several processes makes 1 of any code other than 0.
"""

import sys

from genolm.cli import main

if __name__ == "__main__":
    main(["pretrain", "masked", *sys.argv[1:]])
