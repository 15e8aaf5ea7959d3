"""Layer 2, genomes and labelled sets as data.

`build` turns genomes into Arrow rows and base codes: `settings` says how, `parts` is one worker's share,
`pieces` decides the rows, `exclusion` cuts out what is held out (`occurrences` and `shared_kmers` find it),
`rows` writes. `bases` reads a corpus back, `overview` shows it, `export` makes it Parquet. `windows`,
`dnabert_windows` and `window_epochs` draw windows by index; `stream` gives batches of them from a corpus,
from Parquet or from the hub (`row_stream`).

`labeled` reads labelled sequences (`tables` their files), `promoter_windows` and `promoter_table` make them,
and `builtin` names the data that ship with genolm. `audit` says what is wrong with them, `splitting` keeps
similar ones on one side, `negatives` makes counterparts; `kmer_matrix` tells which record holds which k-mer.
"""
