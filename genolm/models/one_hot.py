"""A classifier behind one-hot DNA, as attribution libraries such as tangermeme and captum take it.

Shapes: B batch, L bases, T tokens, F features of an embedding, C classes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from genolm.alphabet import BASES
from genolm.models.modeling_sequence_nets import SequenceNetForSequenceClassification
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, SEP_ID, UNK_ID
from genolm.tokenization.tokens import Tokens, require_kmers

ONE_HOT_BASES = "ACGT"  # the order of the channels, as in tangermeme and most nets for DNA


class OneHotClassifier(nn.Module):
    """A classifier of genolm that takes one-hot DNA and returns logits.

    A network of `genolm.models.sequence_nets` on single bases computes on the one-hot itself, so it has
    gradients: saliency, integrated gradients and mutagenesis all work. (DeepLIFT does not: its rules need a
    module for each nonlinearity, and these networks call functions.) Every other classifier gets the tokens
    of the bases that the one-hot spells: it can be asked for predictions, as mutagenesis does, and not for
    gradients.

        tangermeme.saturation_mutagenesis.saturation_mutagenesis(OneHotClassifier(model, scheme), X, target=1)

    Raises:
        SettingsError: the tokens are BPE.
    """

    channels: Tensor

    def __init__(self, model: PreTrainedModel, scheme: Tokens) -> None:
        """Take a classifier for whole sequences, and how it cuts them."""
        super().__init__()
        self.model = model
        self.training = model.training  # libraries restore this mode, and with it the dropout of the model
        self.scheme = require_kmers(scheme, what="one-hot DNA")
        self.register_buffer(
            "channels", torch.tensor([ONE_HOT_BASES.index(base) for base in BASES]), persistent=False
        )

    @property
    def has_gradients(self) -> bool:
        """Whether the logits can be derived by the one-hot."""
        return self.scheme.k == 1 and isinstance(self.model, SequenceNetForSequenceClassification)

    def forward(self, one_hot_B4L: Tensor) -> Tensor:
        """Return the logits [B, C] of one-hot DNA [B, 4, L], channels A, C, G, T.

        A column of zeros is an unknown base, as the letter N.
        """
        bases_BL4 = one_hot_B4L[:, self.channels].transpose(1, 2)
        is_unknown_BL = one_hot_B4L.sum(dim=1) == 0
        if self.has_gradients:
            return self._classify_vectors(bases_BL4, is_unknown_BL)
        input_ids_BT = self._build_input_ids(bases_BL4.argmax(dim=2), is_unknown_BL)
        output: Any = self.model(input_ids=input_ids_BT, attention_mask=torch.ones_like(input_ids_BT))
        logits_BC: Tensor = output.logits
        return logits_BC

    def _classify_vectors(self, bases_BL4: Tensor, is_unknown_BL: Tensor) -> Tensor:
        """Do what the network does with token ids, from the embedded bases on."""
        network: Any = self.model
        table_VF: Tensor = network.encoder.embedding.weight
        vectors_BLF = bases_BL4.to(table_VF.dtype) @ table_VF[NUM_SPECIAL_TOKENS:]
        vectors_BLF = torch.where(is_unknown_BL[..., None], table_VF[UNK_ID], vectors_BLF)
        lengths_B = torch.full((len(vectors_BLF),), vectors_BLF.shape[1], device=vectors_BLF.device)
        for layer in network.encoder.layers:
            vectors_BLF, lengths_B = layer(vectors_BLF, lengths_B)
        logits_BC: Tensor = network.head(network.pool(vectors_BLF, lengths_B)).float()
        return logits_BC

    def _build_input_ids(self, codes_BL: Tensor, is_unknown_BL: Tensor) -> Tensor:
        """Return [CLS] k-mers [SEP], the ids that the tokenizer gives, int64 [B, T]."""
        k, stride = self.scheme.k, self.scheme.stride
        powers = 4 ** torch.arange(k - 1, -1, -1, device=codes_BL.device)
        ids_BT = (codes_BL.unfold(1, k, stride) * powers).sum(dim=2) + NUM_SPECIAL_TOKENS
        ids_BT = ids_BT.masked_fill(is_unknown_BL.unfold(1, k, stride).any(dim=2), UNK_ID)
        ends = [ids_BT.new_full((len(ids_BT), 1), token) for token in (CLS_ID, SEP_ID)]
        return torch.cat([ends[0], ids_BT, ends[1]], dim=1)
