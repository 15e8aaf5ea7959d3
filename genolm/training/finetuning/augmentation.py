"""Training sequences read anew in each epoch: by chance on the other strand, or from another base on."""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from genolm.errors import SettingsError
from genolm.models.strands import turn_sequences
from genolm.tokenization.encoder import TokenIds, encode_sequences
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokens import Tokens
from genolm.training.chance import build_generator
from genolm.training.finetuning.settings import FinetuneSettings

# Sets these choices apart from the order of the examples, which hangs on (seed, epoch) alone.
_COUNTER = 0x57A2D


class Augmentation:
    """How each example is read in each epoch, a function of (seed, epoch, example)."""

    def __init__(
        self, sequences: Sequence[str], scheme: Tokens, *, strand: bool, phase: bool, seed: int
    ) -> None:
        """Take the sequences.

        Args:
            sequences: upper-case DNA, in the order of the examples.
            scheme: how they are cut.
            strand: half of the times read the reverse complement.
            phase: leave out the first 0 to stride - 1 bases of what is read.
            seed: of the choices.

        Raises:
            SettingsError: the scheme has one phase only.
        """
        stride = scheme.stride if isinstance(scheme, KmerScheme) else 1
        if phase and stride == 1:
            raise SettingsError(
                found=f"phase_augmentation with the tokenizer {scheme.name}",
                expected="k-mers with a stride above 1, since only these have several phases",
                remedy="leave phase_augmentation out, or use a tokenizer such as kmer_k5_s2",
            )
        self.sequences, self.scheme, self.seed = sequences, scheme, seed
        self.strand, self.num_phases = strand, stride if phase else 1

    def read(self, chosen: npt.NDArray[Any], epoch: int) -> list[TokenIds]:
        """Return the token ids of some examples as an epoch reads them."""
        texts = [self.sequences[index] for index in chosen]
        generator = build_generator(self.seed, _COUNTER, epoch)
        if self.strand:
            is_turned = generator.random(len(self.sequences))[chosen] < 0.5
            turned = turn_sequences(texts)
            texts = [turned[row] if is_turned[row] else text for row, text in enumerate(texts)]
        if self.num_phases > 1:
            phase_bp = generator.integers(self.num_phases, size=len(self.sequences))[chosen]
            room_bp = [len(text) - self.scheme.min_length_bp for text in texts]
            texts = [
                text[min(phase, room) :] for text, phase, room in zip(texts, phase_bp, room_bp, strict=True)
            ]
        return encode_sequences(texts, self.scheme)


def build_augmentation(
    sequences: Sequence[str], scheme: Tokens, *, settings: FinetuneSettings, seed: int
) -> Augmentation | None:
    """Return the augmentation that the settings ask for; None if it is none.

    Raises:
        SettingsError: the scheme has one phase only, and other ones are asked for.
    """
    strand, phase = settings.strand_augmentation, settings.phase_augmentation
    if not strand and not phase:
        return None
    return Augmentation(sequences, scheme, strand=strand, phase=phase, seed=seed)
