"""Processes of their own that start fast: forked from a server that has imported the heavy modules once."""

import multiprocessing

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "genolm.cli",
        "genolm.pipeline.run",
        "genolm.pipeline.single_stage",
        "genolm.training.causal_lm",
        "genolm.training.adaptation",
        "genolm.training.classifier",
        "genolm.training.masked_lm",
        "genolm.corpus.build",
        "genolm.corpus.labeled",
        "datasets",
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
        "sklearn.linear_model",
        "sklearn.metrics",
        "torch.distributed.algorithms.ddp_comm_hooks",
        "torch._dynamo",  # which the optimizer imports at its first step
    ]
)
