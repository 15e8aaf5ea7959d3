"""Layer 2, genomes and labelled sets as data.

`build` turns genomes into Arrow rows and base codes (`rows` writes them, `exclude` finds held-out windows
in them), `bases` reads them back; `labeled` reads labelled sequences (`tables` their files) and `builtin`
names the data that ship with genolm.
"""
