#!/usr/bin/env python
"""Stage 3 on one process or many: a classifier, by default on the adapted language model.

    accelerate launch --config_file scripts/accelerate/one_gpu.yaml scripts/finetune.py --config R

R is a recipe, and scripts/accelerate/ has files for many GPUs and machines. The options, the folders and the
exit codes are those of `genolm finetune`;
but `accelerate launch` of several processes makes 1 of any code other than 0.
"""

import sys

from genolm.cli import main

if __name__ == "__main__":
    main(["finetune", *sys.argv[1:]])
