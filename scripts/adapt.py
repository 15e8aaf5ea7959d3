#!/usr/bin/env python
"""Stage 2 on one process or many: a language model goes on training on the target sequences.

    accelerate launch --config_file scripts/accelerate/one_gpu.yaml scripts/adapt.py --config R

R is a recipe, and scripts/accelerate/ has files for many GPUs and machines. The options, the folders and the
exit codes are those of `genolm adapt`;
but `accelerate launch` of several processes makes 1 of any code other than 0.
"""

import sys

from genolm.cli import main

if __name__ == "__main__":
    main(["adapt", *sys.argv[1:]])
