"""What a pipeline is made of: the recipe, and one run of it in a folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from genolm.config import build_settings, find_recipe, read_recipe
from genolm.corpus.labeled import ColumnNames
from genolm.corpus.settings import CorpusSettings
from genolm.embeddings.word2vec import Word2VecSettings
from genolm.errors import SettingsError
from genolm.progress import Reporter
from genolm.tokenization.tokens import BpeTokens, Tokens, find_tokens, require_kmers
from genolm.training.adaptation import AdaptSettings
from genolm.training.causal_lm import PretrainCausalSettings
from genolm.training.classifier import FinetuneSettings
from genolm.training.hardware.ranks import Ranks, get_ranks
from genolm.training.masked_lm import PretrainMaskedSettings
from genolm.training.masking.bpe import check_bpe_masking


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a pipeline's result."""

    genomes: tuple[str, ...]  # FASTA files, or builtin: names
    tokenizer: str  # scheme, such as kmer_k3_s1, or folder of a trained tokenizer
    data: str = ""  # labeled sequences: a file, or a builtin: name; none is needed to pretrain a masked LM
    seed: int = 0
    backward: bool = False  # also train networks that read backward, and average both directions
    learning_curve: tuple[float, ...] = ()  # shares of the train split on which the classifiers learn again
    columns: ColumnNames = field(default_factory=ColumnNames)
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    word2vec: Word2VecSettings | None = None  # train vectors on the corpus, and try them as a start
    embeddings: str = ""  # or folder of vectors that are there already
    pretrain: PretrainCausalSettings = field(default_factory=PretrainCausalSettings)
    masked: PretrainMaskedSettings | None = None  # a masked language model of the corpus
    adapt: AdaptSettings = field(default_factory=AdaptSettings)
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    scratch: FinetuneSettings = field(
        default_factory=FinetuneSettings
    )  # the same network from random weights

    def __post_init__(self) -> None:
        """Check what the parts cannot check for themselves."""
        tokens = find_tokens(self.tokenizer)
        if isinstance(tokens, BpeTokens) and self.masked is not None:
            check_bpe_masking(self.masked.mask, tokens.name)
        if self.masked is None or self.word2vec is not None or self.embeddings:
            require_kmers(tokens, what="word2vec" if self.masked else "a recipe without masked:")
        if self.masked is not None and (self.backward or self.learning_curve):
            raise SettingsError(
                found=f"{'backward' if self.backward else 'learning_curve'} with a masked language model",
                expected="it in recipes of causal language models, which ULMFiT has",
                remedy="leave it out, or leave masked: out",
            )
        if self.backward and self.pretrain.model.direction != "forward":
            raise SettingsError(
                found="backward: true and networks of the direction backward",
                expected="networks of the direction forward, to which backward ones are added",
                remedy="leave one of them out",
            )
        if any(not 0 < share <= 1 for share in self.learning_curve):
            raise SettingsError(
                found=f"learning_curve {list(self.learning_curve)}",
                expected="shares of the train split above 0 and up to 1, such as [0.1, 0.3, 1.0]",
                remedy="correct the recipe",
            )
        embedding_size = self.scratch.model.embedding_size
        if self.word2vec is not None and self.word2vec.size != embedding_size:
            raise SettingsError(
                found=f"word2vec.size {self.word2vec.size} and an embedding of {embedding_size}",
                expected="the same size",
                remedy="set word2vec.size to that of scratch.model.embedding_size",
            )
        if self.masked is None and self.scratch.model != self.pretrain.model:
            raise SettingsError(
                found="scratch.model and pretrain.model that differ",
                expected="the same network for the comparison",
                remedy="give both the same size",
            )


@dataclass(frozen=True, kw_only=True)
class RecipeRun:
    """A recipe at work in a folder, on one process or several; each stage has a folder of its own in it."""

    recipe: Recipe
    name: str  # of the recipe, as a person writes it on the command line
    folder: Path
    reporter: Reporter
    ranks: Ranks  # what is no training is the main process's work, and the others wait

    @cached_property
    def scheme(self) -> Tokens:
        """Return the recipe's way to cut sequences; a file is read once."""
        return find_tokens(self.recipe.tokenizer)

    @property
    def corpus(self) -> Path:
        """Return the folder of the genomes' corpus."""
        return self.folder / "corpus"

    @property
    def genome_lm(self) -> Path:
        """Return the folder of stage 1."""
        return self.folder / "genome-lm"

    @property
    def masked_lm(self) -> Path:
        """Return the folder of the masked language model."""
        return self.folder / "masked-lm"

    @property
    def untrained_lm(self) -> Path:
        """Return the folder of the masked language model's network with the weights that it began with."""
        return self.folder / "untrained-lm"

    @property
    def domain_lm(self) -> Path:
        """Return the folder of stage 2."""
        return self.folder / "domain-lm"

    @property
    def vectors(self) -> Path:
        """Return the folder of the word2vec vectors that are trained on the corpus."""
        return self.folder / "word2vec"

    def find_classifier(self, start: str) -> Path:
        """Return the folder of stage 3 from a start, one of START_TITLES in genolm.pipeline.stages."""
        return self.folder / f"classifier-{start}"


def load_recipe(name: str, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe: a shipped name or a YAML file, with overrides such as `pretrain.tokens=1000000`.

    Raises:
        SettingsError: there is no such recipe, or a setting is not usable.
    """
    return build_settings(Recipe, read_recipe(name, overrides=overrides), where=find_recipe(name).name)


def get_run_folder(name: str) -> Path:
    """Return where the run of a recipe lies unless the user says otherwise.

    >>> get_run_folder("recipes/mine.yaml").as_posix()
    'runs/mine'
    """
    return Path("runs") / Path(name).stem


def open_run(
    recipe: Recipe, *, name: str, folder: Path | None = None, reporter: Reporter | None = None
) -> RecipeRun:
    """Return a run of a recipe; its folder is runs/RECIPE unless another one is given. Nothing is written.

    With several processes, all of them must call this: it joins them.
    """
    return RecipeRun(
        recipe=recipe,
        name=name,
        folder=folder or get_run_folder(name),
        reporter=reporter or Reporter(),
        ranks=get_ranks(),
    )
