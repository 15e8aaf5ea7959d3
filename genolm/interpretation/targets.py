"""The one number of a classifier that an explanation is about, as a function of the logits."""

from typing import Literal, NamedTuple, get_args

from torch import Tensor

from genolm.errors import SettingsError
from genolm.inference.classify import Classifier
from genolm.models.scoring import Task

ScoreKind = Literal["probability", "log_odds"]


class Target(NamedTuple):
    """A class and what is said of it: its probability, its log-odds, or the value of a regression."""

    index: int  # type: ignore[assignment]  # not the method of a tuple
    name: str
    kind: ScoreKind
    task: Task

    @property
    def unit(self) -> str:
        """What the score is, for axes and tables."""
        if self.task == "regression":
            return self.name
        return f"p({self.name})" if self.kind == "probability" else f"log-odds of {self.name} (nats)"


def choose_target(
    classifier: Classifier, *, class_name: str | None = None, score: ScoreKind = "probability"
) -> Target:
    """Choose what is explained.

    Args:
        classifier: of whole sequences.
        class_name: one of the classifier's; by default the second of two, or the only value of a regression.
        score: probability, or log-odds in nats, which do not flatten where the model is sure. A regression
            has its value in either case.

    Raises:
        SettingsError: the classifier labels bases; there is no such class or score; or there are several
            classes and none is named.
    """
    names, task = classifier.label_names, classifier.task
    if task == "token_classification":
        raise SettingsError(
            found="a model that labels single bases",
            expected="a classifier or a regression of whole sequences",
            remedy="name the folder of such a model; genolm predict shows the labels of bases",
        )
    if score not in get_args(ScoreKind):
        raise SettingsError(
            found=f"the score {score!r}", expected=" or ".join(get_args(ScoreKind)), remedy="use one of these"
        )
    if class_name is None and len(names) > 2:
        raise SettingsError(
            found=f"{len(names)} classes and none named",
            expected=f"one of {', '.join(names)}",
            remedy="name the class to explain with --class",
        )
    if class_name is not None and class_name not in names:
        raise SettingsError(
            found=f"the class {class_name!r}",
            expected=f"one of {', '.join(names)}",
            remedy="correct the name",
        )
    index = len(names) - 1 if class_name is None else names.index(class_name)
    return Target(index, names[index], score, task)


def compute_target(logits: Tensor, target: Target) -> Tensor:
    """Compute the score of each row: [rows], of the type of the logits [rows, classes]; differentiable.

    >>> import torch
    >>> compute_target(torch.tensor([[0.0, 2.0]]), Target(1, "x", "log_odds", "classification")).tolist()
    [2.0]
    """
    chosen = logits[:, target.index]
    if target.task == "regression":
        return chosen
    if target.task == "multi_label":
        return chosen.sigmoid() if target.kind == "probability" else chosen
    if target.kind == "probability":
        return logits.softmax(dim=1)[:, target.index]
    others = [index for index in range(logits.shape[1]) if index != target.index]
    return chosen - logits[:, others].logsumexp(dim=1)
