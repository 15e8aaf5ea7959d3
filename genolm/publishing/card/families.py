"""What is true of every model of a family: its name, how it differs from its paper, and whom to cite."""

from dataclasses import dataclass

ULMFIT_DIFFERENCES = (
    "Successor softmax (`successor_softmax: true`): of overlapping k-mers only those that can follow are "
    "scored, so the loss is one of new bases. The paper scores the whole vocabulary.",
    "The head normalizes each example by itself (layer norm) unless the settings say batch; fastai's head "
    "uses statistics of the batch.",
    "Tokens are k-mers of DNA instead of words; sizes, rates and steps are those of the settings above, not "
    "those of the paper. Gradual unfreezing and discriminative rates are the paper's.",
)
MASKED_DIFFERENCES = (
    "Where the settings say `style: base_spans`, whole bases are hidden: every token that sees a hidden base "
    "is masked, and one choice (mask, replace, keep) is made for all of them. DNABERT chooses per token and "
    "masks k tokens in a row, so that neighbors give bases away; its way is `style: dnabert`.",
    "Quality is told in bits per hidden base, not as the accuracy of overlapping tokens.",
    "The size, the corpus and the number of steps are those of the tables above, not those of a paper.",
)
CLASSICAL_DIFFERENCES = (
    "The network follows its paper in kind, not in every width: the table above has its sizes, and the "
    "paper's training data and figures are not reproduced.",
)

_ULMFIT_CITATION = """@inproceedings{howard2018ulmfit,
  title = {Universal Language Model Fine-tuning for Text Classification},
  author = {Howard, Jeremy and Ruder, Sebastian},
  booktitle = {Proceedings of the 56th Annual Meeting of the Association for Computational Linguistics},
  year = {2018}
}
@inproceedings{merity2018awdlstm,
  title = {Regularizing and Optimizing {LSTM} Language Models},
  author = {Merity, Stephen and Keskar, Nitish Shirish and Socher, Richard},
  booktitle = {International Conference on Learning Representations},
  year = {2018}
}"""
_DNABERT_CITATION = """@article{ji2021dnabert,
  title = "{DNABERT}: pre-trained Bidirectional Encoder Representations from Transformers model for
           {DNA}-language in genome",
  author = {Ji, Yanrong and Zhou, Zhihan and Liu, Han and Davuluri, Ramana V.},
  journal = {Bioinformatics},
  year = {2021}
}"""
_MODERNBERT_CITATION = """@article{warner2024modernbert,
  title = {Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder for Fast, Memory Efficient, and
           Long Context Finetuning and Inference},
  author = {Warner, Benjamin and others},
  journal = {arXiv preprint arXiv:2412.13663},
  year = {2024}
}"""


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """Static text of a family."""

    name: str
    tags: tuple[str, ...]
    differences: tuple[str, ...]
    citation: str
    """BibTeX"""


FAMILIES = {
    "awd_lstm": ModelFamily(
        name="AWD-LSTM",
        tags=("awd-lstm", "ulmfit"),
        differences=ULMFIT_DIFFERENCES,
        citation=_ULMFIT_CITATION,
    ),
    "bert": ModelFamily(
        name="BERT",
        tags=("bert", "dnabert"),
        differences=MASKED_DIFFERENCES,
        citation=_DNABERT_CITATION,
    ),
    "modernbert": ModelFamily(
        name="ModernBERT",
        tags=("modernbert",),
        differences=(
            *MASKED_DIFFERENCES,
            "The architecture is ModernBERT's, which DNABERT did not have.",
        ),
        citation=f"{_DNABERT_CITATION}\n{_MODERNBERT_CITATION}",
    ),
    "genolm-sequence-net": ModelFamily(
        name="convolutional or recurrent network",
        tags=("sequence-net",),
        differences=CLASSICAL_DIFFERENCES,
        citation="",
    ),
}
OTHER_FAMILY = ModelFamily(name="transformers model", tags=(), differences=(), citation="")


def get_family(model_type: str) -> ModelFamily:
    """Return the family of a model type as config.json names it, or one that claims nothing."""
    return FAMILIES.get(model_type, OTHER_FAMILY)
