"""What the tokens of a masked language model say of single bases."""

from torch import Tensor

from genolm.tokenization.scheme import NUM_SPECIAL_TOKENS, KmerScheme


def compute_base_chances(
    logits: Tensor, rows: Tensor, starts_bp: Tensor, *, scheme: KmerScheme, shape: tuple[int, ...]
) -> Tensor:
    """Return the chance of each base at each place that the tokens see, float32 [rows, bp, 4]; 0 elsewhere.

    Each token gives a chance to every k-mer; summed over the k-mers that have a certain base at its place,
    and averaged over the tokens that see the place, that is the model's chance of the base.

    Args:
        logits: float32 [tokens, vocabulary].
        rows: int64 [tokens], the row of each token.
        starts_bp: int64 [tokens], where in its row each token begins.
        scheme: of the tokens.
        shape: rows, and bases of a row.
    """
    num_rows, width = shape
    chances = logits[:, NUM_SPECIAL_TOKENS:].softmax(dim=-1)
    total = logits.new_zeros(num_rows * width, 4)
    count = logits.new_zeros(num_rows * width, 1)
    for offset in range(scheme.k):
        of_base = chances.view(len(chances), 4**offset, 4, 4 ** (scheme.k - 1 - offset)).sum(dim=(1, 3))
        place = rows * width + starts_bp + offset
        total.index_add_(0, place, of_base)
        count.index_add_(0, place, logits.new_ones(len(place), 1))
    return (total / count.clamp(min=1)).view(num_rows, width, 4)
