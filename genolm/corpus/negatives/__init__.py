"""Negatives for given positives, so that what a model learns is not only how the two were chosen.

`shuffle` and `substitution` make sequences out of the positives; `annotation` reads genes, `room` says where
on a genome negatives may lie, and `windows` draws them there. `build` puts the methods under one roof and
`negative_table` reads positives and writes both labels as one table.
"""
