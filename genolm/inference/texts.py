"""What the functions of the library take for sequences: checked, and written as the models read them."""

from collections.abc import Sequence

from genolm.errors import DataError, SettingsError
from genolm.genome.letters import check_nucleotides
from genolm.tokenization.tokens import Tokens


def clean_sequences(sequences: Sequence[str], scheme: Tokens) -> list[str]:
    """Return sequences in upper case, without white space, U as T.

    Args:
        sequences: DNA or RNA; N and other IUPAC codes are unknown bases.
        scheme: how they will be cut, which says how short one may be.

    Raises:
        SettingsError: one text in place of a list.
        DataError: a letter is no nucleotide code, or a sequence is too short to give a token.
    """
    if isinstance(sequences, str):
        raise SettingsError(
            found="one text in place of sequences",
            expected="a list of texts",
            remedy="put it in brackets: [sequence]",
        )
    cleaned = []
    for number, sequence in enumerate(sequences, start=1):
        text = "".join(sequence.split())
        check_nucleotides(text, where=f"sequence {number}")
        if len(text) < scheme.min_length_bp:
            raise DataError(
                found=f"sequence {number} of {len(text)} bp",
                expected=f"at least {scheme.min_length_bp} bp, one token of {scheme.name}",
                remedy="leave it out",
            )
        cleaned.append(text.upper().replace("U", "T"))
    return cleaned
