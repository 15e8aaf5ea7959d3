"""From a genome to a published, honestly evaluated genomic language model in Hugging Face format.

As a library (each name is imported when it is first used, so `import genolm` itself is light):

    tokenizer = genolm.load_tokenizer("kmer_k6_s1")         # for transformers; or a model folder
    ids = genolm.encode(sequences, "kmer_k6_s1")            # the same ids at the speed of numpy
    model = genolm.load_model("runs/mine/model")            # classifier or language model; or a shipped name
    vectors = genolm.embed(model, sequences)                # float32 [n, size]
    found = genolm.classify(model, sequences)               # found.probabilities, found.label_names
    scores = genolm.score("runs/mine/genome-lm", sequences) # scores.bits_per_base
    changes = genolm.delta_score(model, references, alternatives)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genolm.errors import GenolmError
    from genolm.inference.classification import Classification, classify
    from genolm.inference.classify import Classifier
    from genolm.inference.embed import embed
    from genolm.inference.loading import LanguageModel, encode, load_model, load_tokenizer
    from genolm.inference.score import delta_score, score
    from genolm.inference.scores import Scores
    from genolm.models.builtin import find_model, list_models
    from genolm.models.one_hot import OneHotClassifier

__version__ = "0.1.0"

__all__ = [
    "Classification",
    "Classifier",
    "GenolmError",
    "LanguageModel",
    "OneHotClassifier",
    "Scores",
    "__version__",
    "classify",
    "delta_score",
    "embed",
    "encode",
    "find_model",
    "list_models",
    "load_model",
    "load_tokenizer",
    "score",
]

_MODULE_OF = {
    "Classification": "genolm.inference.classification",
    "Classifier": "genolm.inference.classify",
    "GenolmError": "genolm.errors",
    "LanguageModel": "genolm.inference.loading",
    "OneHotClassifier": "genolm.models.one_hot",
    "Scores": "genolm.inference.scores",
    "classify": "genolm.inference.classification",
    "delta_score": "genolm.inference.score",
    "embed": "genolm.inference.embed",
    "encode": "genolm.inference.loading",
    "find_model": "genolm.models.builtin",
    "list_models": "genolm.models.builtin",
    "load_model": "genolm.inference.loading",
    "load_tokenizer": "genolm.inference.loading",
    "score": "genolm.inference.score",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, too, before they are imported."""
    return sorted({*globals(), *__all__})
