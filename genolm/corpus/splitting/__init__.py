"""Splits that do not leak: records that belong together form a group, and a group stays on one side.

`similar_pairs` finds records that share k-mers, `groups` turns pairs, genome blocks or a column into groups
(`mmseqs` where that program shall do it), `assignment` gives whole groups to splits or folds, and
`table` reads what is to be split, `split_table` writes it with its new columns and sums it up.
"""
