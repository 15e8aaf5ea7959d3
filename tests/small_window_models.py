"""Small models with random weights for variants and scans, saved as model folders."""

from pathlib import Path

import torch

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification
from genolm.tokenization.scheme import KmerScheme
from genolm.training.persistence.run_folder import save_model_folder

SCHEME = KmerScheme(k=2, stride=1)
SIZE = {"vocab_size": 21, "embedding_size": 6, "lstm_size": 8, "num_layers": 2, "kmer_k": 2}


def save_classifier(folder: Path, *, scheme: KmerScheme = SCHEME, **settings: object) -> Path:
    """Two classes, `no` and `yes`, unless said otherwise."""
    torch.manual_seed(0)
    names = {} if "num_labels" in settings else {"id2label": {0: "no", 1: "yes"}}
    size = SIZE | {"vocab_size": scheme.vocab_size, "kmer_k": scheme.k, "kmer_stride": scheme.stride}
    model = AwdLstmForSequenceClassification(AwdLstmConfig(**size, **names, **settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that the bases matter
    save_model_folder(folder, model=model, scheme=scheme)
    return folder


def save_causal(folder: Path, **settings: object) -> Path:
    torch.manual_seed(0)
    model = AwdLstmForCausalLM(AwdLstmConfig(**SIZE, **settings))
    save_model_folder(folder, model=model, scheme=SCHEME)
    return folder
