"""Honest evaluation: the `evaluate` metric, the controls of a classifier, and Markov models of bases."""
