"""AWD-LSTM language model and sequence classifier for DNA tokens (Merity et al. 2017, arXiv 1708.02182;
Howard and Ruder 2018, arXiv 1801.06146), as transformers models in one file that a published folder carries.

Shapes: B batch, T tokens, D embedding width (also that of the last hidden state), F features of any layer,
V vocabulary, N = B * T, S successors (4 ** stride), C classes, P = 3 * D pooled features.

The hidden state is passed in and returned, never kept in the module. Padding stands on the right, where a
one-directional network cannot see it, so an output never depends on the other sequences of a batch.

A network of the direction "backward" reads each sequence from its last token to its first (not the other
strand). What it takes and gives stands in the order of the sequence all the same: it turns the tokens itself.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import ModelOutput

LstmState = tuple[tuple[Tensor, Tensor], ...]
IGNORED_LABEL = -100


class AwdLstmConfig(PretrainedConfig):
    """Settings of an AWD-LSTM. Dropouts are probabilities.

    Args:
        vocab_size: number of tokens, the special ones included.
        embedding_size: width of the embedding and of the last LSTM layer, which share the decoder's matrix.
        lstm_size: width of the LSTM layers before the last.
        num_layers: number of LSTM layers.
        embedding_dropout: whole tokens of the vocabulary vanish for one step.
        input_dropout: features of the embedded input vanish, the same ones for all tokens of a sequence.
        hidden_dropout: the same between LSTM layers.
        weight_dropout: single hidden-to-hidden weights vanish for one step (DropConnect).
        output_dropout: features of the last layer vanish before the decoder.
        classifier_size: width of the inner layer of the classifier's head.
        classifier_dropout: dropout before the head.
        classifier_parts: a classifier pools so many parts of a sequence, of equal length, each by itself, so
            that its head knows where something is; with 1 it pools the whole.
        classifier_norm: "layer", or "batch" as in fastai; a prediction is independent of its batch with both.
        classifier_activation: of that inner layer, as in `transformers.activations.ACT2FN`.
        bptt_tokens: a classifier reads what is longer than `max_bptt_tokens` by windows of so many tokens.
        max_bptt_tokens: a classifier learns from at most so many tokens of a sequence, those that it reads
            last; what it read before them counts in state and pools, without a gradient.
        activation_regularization: weight of the L2 penalty on the last layer (AR), in training.
        temporal_activation_regularization: weight of the L2 penalty on its changes (TAR), in training; of a
            classifier both are means over the sequences, so that they do not depend on padding.
        kmer_k: bases of a k-mer token.
        kmer_stride: bases between the starts of neighboring tokens.
        successor_softmax: score only the 4 ** stride tokens that can follow; otherwise the whole vocabulary.
        num_special_tokens: ids below this are no k-mers.
        direction: "forward", or "backward": sequences are read from their last token to their first.
    """

    model_type = "awd_lstm"
    attribute_map = {"hidden_size": "embedding_size", "num_hidden_layers": "num_layers"}  # noqa: RUF012

    def __init__(
        self,
        vocab_size: int = 69,
        embedding_size: int = 400,
        lstm_size: int = 1152,
        num_layers: int = 3,
        embedding_dropout: float = 0.02,
        input_dropout: float = 0.25,
        hidden_dropout: float = 0.15,
        weight_dropout: float = 0.2,
        output_dropout: float = 0.1,
        classifier_size: int = 50,
        classifier_dropout: float = 0.4,
        classifier_norm: str = "layer",
        classifier_parts: int = 1,
        classifier_activation: str = "relu",
        bptt_tokens: int = 70,
        max_bptt_tokens: int = 1400,
        activation_regularization: float = 2.0,
        temporal_activation_regularization: float = 1.0,
        kmer_k: int = 3,
        kmer_stride: int = 1,
        successor_softmax: bool = True,
        num_special_tokens: int = 5,
        direction: str = "forward",
        pad_token_id: int = 0,
        cls_token_id: int = 2,
        sep_token_id: int = 3,
        tie_word_embeddings: bool = True,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.lstm_size = lstm_size
        self.num_layers = num_layers
        self.embedding_dropout = embedding_dropout
        self.input_dropout = input_dropout
        self.hidden_dropout = hidden_dropout
        self.weight_dropout = weight_dropout
        self.output_dropout = output_dropout
        self.classifier_size = classifier_size
        self.classifier_dropout = classifier_dropout
        self.classifier_norm = classifier_norm
        self.classifier_parts = classifier_parts
        self.classifier_activation = classifier_activation
        self.bptt_tokens = bptt_tokens
        self.max_bptt_tokens = max_bptt_tokens
        self.activation_regularization = activation_regularization
        self.temporal_activation_regularization = temporal_activation_regularization
        self.kmer_k = kmer_k
        self.kmer_stride = kmer_stride
        self.successor_softmax = successor_softmax
        self.num_special_tokens = num_special_tokens
        self.direction = direction
        self.cls_token_id = cls_token_id
        self.sep_token_id = sep_token_id
        super().__init__(pad_token_id=pad_token_id, tie_word_embeddings=tie_word_embeddings, **kwargs)


@dataclass
class AwdLstmModelOutput(ModelOutput):
    """Hidden states of the last layer, [B, T, D], and each layer's state (h, c) after the last token.

    `hidden_states`, where asked for: of the embedding and of each layer, [B, T, F].
    """

    last_hidden_state: Tensor | None = None
    state: LstmState | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class AwdLstmCausalLMOutput(ModelOutput):
    """Loss in nats per scored token; `num_scored` of them; logits [B, T, V] when no labels were given."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    num_scored: Tensor | None = None
    state: LstmState | None = None


def variational_dropout(x_BTF: Tensor, probability: float, training: bool) -> Tensor:
    """Drop the same features at every token of a sequence (Gal and Ghahramani 2016)."""
    if not training or probability == 0.0:
        return x_BTF
    mask_B1F = x_BTF.new_empty(x_BTF.shape[0], 1, x_BTF.shape[2]).bernoulli_(1 - probability)
    return x_BTF * (mask_B1F / (1 - probability))


def drop_weights(weight: Tensor, probability: float, training: bool) -> Tensor:
    """Drop single weights (DropConnect). The mask comes from random bytes: on a CPU 4 times as fast as
    F.dropout; so the probability is rounded to the next 1/256."""
    dropped_of_256 = round(probability * 256)
    if not training or dropped_of_256 == 0:
        return weight
    random_bytes = torch.randint(0, 256, weight.shape, dtype=torch.uint8, device=weight.device)
    return weight * ((random_bytes >= dropped_of_256).to(weight.dtype) * (256 / (256 - dropped_of_256)))


def count_real_tokens(values_BT: Tensor, attention_mask: Tensor | None, *, pad_token_id: int) -> Tensor:
    """Return how many tokens of each row of `input_ids` [B, T], or of embeddings, are no padding: [B]."""
    if attention_mask is not None:
        return attention_mask.sum(dim=1)
    if values_BT.ndim == 3:
        return torch.full(values_BT.shape[:1], values_BT.shape[1], device=values_BT.device)
    return (values_BT != pad_token_id).sum(dim=1)


def reverse_tokens(values: Tensor, lengths_B: Tensor) -> Tensor:
    """Turn the first `lengths_B` entries of each row, [B, T] or [B, T, F], around; the padding stays."""
    position_T = torch.arange(values.shape[1], device=values.device)
    turned_BT = lengths_B[:, None] - 1 - position_T
    index_BT = torch.where(turned_BT >= 0, turned_BT, position_T)
    if values.ndim == 2:
        return values.gather(1, index_BT)
    return values.gather(1, index_BT[..., None].expand_as(values))


class AwdLstmPreTrainedModel(PreTrainedModel):
    """What the three AWD-LSTM models share."""

    config_class = AwdLstmConfig
    base_model_prefix = "awd_lstm"
    accepts_loss_kwargs = False  # the loss is a mean, so Trainer must divide it when it accumulates
    supports_gradient_checkpointing = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            init.uniform_(module.weight, -0.1, 0.1)
        elif isinstance(module, nn.LSTM):
            bound = module.hidden_size**-0.5
            for parameter in module.parameters():
                init.uniform_(parameter, -bound, bound)
        elif isinstance(module, nn.LayerNorm | nn.BatchNorm1d):
            init.ones_(module.weight)
            init.zeros_(module.bias)
            if isinstance(module, nn.BatchNorm1d):
                init.zeros_(module.running_mean)
                init.ones_(module.running_var)
                init.zeros_(module.num_batches_tracked)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            init.uniform_(module.weight, -bound, bound)
            init.zeros_(module.bias)


class AwdLstmModel(AwdLstmPreTrainedModel):
    """Embedding and a stack of LSTM layers with embedding, input, hidden and weight dropout."""

    def __init__(self, config: AwdLstmConfig):
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        widths = (
            [config.embedding_size] + [config.lstm_size] * (config.num_layers - 1) + [config.embedding_size]
        )
        self.lstm_layers = nn.ModuleList(
            nn.LSTM(width_in, width_out, batch_first=True) for width_in, width_out in pairwise(widths)
        )
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.embedding = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        state: LstmState | None = None,
        inputs_embeds: Tensor | None = None,
        in_reading_order: bool = False,
        output_hidden_states: bool = False,
        **kwargs,
    ) -> AwdLstmModelOutput:
        """Run the network over `input_ids` [B, T], or over `inputs_embeds` [B, T, D], from `state` on.

        `attention_mask` says a backward network where the padding on the right begins; without it the ids do.
        With padding, the returned state is that after the padding, so it should not be carried on. The state
        of a backward network is of what stands behind the tokens, and the one returned of them, too.

        `in_reading_order`: the tokens are turned already where the network reads backward, as its heads do.
        """
        config = self.config
        hidden_BTF = self._embed(input_ids) if inputs_embeds is None else inputs_embeds
        is_turned = config.direction == "backward" and not in_reading_order
        if is_turned:
            values = input_ids if inputs_embeds is None else inputs_embeds
            lengths_B = count_real_tokens(values, attention_mask, pad_token_id=config.pad_token_id)
            hidden_BTF = reverse_tokens(hidden_BTF, lengths_B)
        hidden_BTF = variational_dropout(hidden_BTF, config.input_dropout, self.training)
        of_layers = [hidden_BTF] if output_hidden_states else []
        new_state = []
        for index, lstm in enumerate(self.lstm_layers):
            if index > 0:
                hidden_BTF = variational_dropout(hidden_BTF, config.hidden_dropout, self.training)
            layer_state = None if state is None else state[index]
            if self.gradient_checkpointing and self.training:
                hidden_BTF, layer_state = self._gradient_checkpointing_func(
                    self._run_lstm, lstm, hidden_BTF, layer_state
                )
            else:
                hidden_BTF, layer_state = self._run_lstm(lstm, hidden_BTF, layer_state)
            if output_hidden_states:
                of_layers.append(hidden_BTF)
            new_state.append(layer_state)
        if is_turned:
            hidden_BTF = reverse_tokens(hidden_BTF, lengths_B)
            of_layers = [reverse_tokens(each_BTF, lengths_B) for each_BTF in of_layers]
        return AwdLstmModelOutput(
            last_hidden_state=hidden_BTF,
            state=tuple(new_state),
            hidden_states=tuple(of_layers) if output_hidden_states else None,
        )

    def build_state(self, num_rows: int) -> LstmState:
        """Return the state before anything is read: zeros."""
        config, weight = self.config, self.embedding.weight
        widths = [config.lstm_size] * (config.num_layers - 1) + [config.embedding_size]
        zeros = [weight.new_zeros(1, num_rows, width) for width in widths]
        return tuple((layer, layer) for layer in zeros)

    def _embed(self, input_ids_BT: Tensor) -> Tensor:
        keep = 1 - self.config.embedding_dropout
        if not self.training or keep == 1:
            return self.embedding(input_ids_BT)  # called as a module, so that hooks such as captum's see it
        weight_VD = self.embedding.weight
        weight_VD = weight_VD * (weight_VD.new_empty(weight_VD.shape[0], 1).bernoulli_(keep) / keep)
        return F.embedding(input_ids_BT, weight_VD)

    def _run_lstm(
        self, lstm: nn.LSTM, x_BTF: Tensor, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Call the fused kernel with dropped weights; the parameters keep the plain names of nn.LSTM."""
        if state is None:
            zeros = x_BTF.new_zeros(1, x_BTF.shape[0], lstm.hidden_size)
            state = (zeros, zeros)
        weight_hh = drop_weights(lstm.weight_hh_l0, self.config.weight_dropout, self.training)
        weights = [lstm.weight_ih_l0, weight_hh, lstm.bias_ih_l0, lstm.bias_hh_l0]
        hidden, last_h, last_c = torch._VF.lstm(
            x_BTF, state, weights, True, 1, 0.0, self.training, False, True
        )
        return hidden, (last_h, last_c)


class AwdLstmForCausalLM(AwdLstmPreTrainedModel):
    """Predicts the next token, or read backward the one before; its decoder shares the embedding's matrix."""

    _tied_weights_keys = {"decoder.weight": "awd_lstm.embedding.weight"}  # noqa: RUF012

    def __init__(self, config: AwdLstmConfig):
        super().__init__(config)
        self.awd_lstm = AwdLstmModel(config)
        self.decoder = nn.Linear(config.embedding_size, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.decoder

    def set_output_embeddings(self, value: nn.Linear) -> None:
        self.decoder = value

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from the input to the output, each once (the tied matrix with the embedding)."""
        lstm_groups = [list(lstm.parameters()) for lstm in self.awd_lstm.lstm_layers]
        decoder = [self.decoder.bias] if self.config.tie_word_embeddings else list(self.decoder.parameters())
        return [[self.awd_lstm.embedding.weight], *lstm_groups, decoder]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        state: LstmState | None = None,
        **kwargs,
    ) -> AwdLstmCausalLMOutput:
        """Score the next tokens.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T]; labels of padding are not scored.
            labels: [B, T], the input ids again; shifted here, as transformers does.
            state: of the stream so far.
            kwargs: may hold `shift_labels` [B, T] instead of labels: what is read after `input_ids[:, t]`.

        A label of -100 is not scored, nor with the successor softmax one that cannot follow by overlap.
        """
        # Not an argument of its own: Trainer takes every argument with "label" in its name for a column.
        shift_labels = kwargs.get("shift_labels")
        is_backward = self.config.direction == "backward"
        if is_backward:
            pad = self.config.pad_token_id
            lengths_B = count_real_tokens(input_ids, attention_mask, pad_token_id=pad)
            input_ids = reverse_tokens(input_ids, lengths_B)
            labels = None if labels is None else reverse_tokens(labels, lengths_B)
            shift_labels = None if shift_labels is None else reverse_tokens(shift_labels, lengths_B)
        output = self.awd_lstm(input_ids, state=state, in_reading_order=True)
        hidden_BTD = output.last_hidden_state
        dropped_BTD = variational_dropout(hidden_BTD, self.config.output_dropout, self.training)
        if labels is not None and shift_labels is None:
            if attention_mask is not None:
                labels = labels.masked_fill(attention_mask == 0, IGNORED_LABEL)
            shift_labels = F.pad(labels[:, 1:], (0, 1), value=IGNORED_LABEL)
        if shift_labels is None:
            logits_BTV = self._compute_logits(dropped_BTD, input_ids)
            logits_BTV = reverse_tokens(logits_BTV, lengths_B) if is_backward else logits_BTV
            return AwdLstmCausalLMOutput(logits=logits_BTV, state=output.state)
        if self.config.successor_softmax:
            loss, num_scored = self._compute_successor_loss(dropped_BTD, input_ids, shift_labels)
        else:
            num_scored = (shift_labels != IGNORED_LABEL).sum()
            logits_NV = self.decoder(dropped_BTD).flatten(0, 1).float()
            nats = F.cross_entropy(
                logits_NV, shift_labels.flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
            )
            loss = nats / num_scored.clamp(min=1)
        if self.training:
            loss = loss + self._compute_activation_penalty(hidden_BTD, dropped_BTD)
        return AwdLstmCausalLMOutput(loss=loss, num_scored=num_scored, state=output.state)

    def _compute_activation_penalty(self, hidden_BTD: Tensor, dropped_BTD: Tensor) -> Tensor | float:
        """AR and TAR (Merity et al. 2017, section 4.6)."""
        penalty: Tensor | float = 0.0
        if self.config.activation_regularization > 0:
            penalty = self.config.activation_regularization * dropped_BTD.float().pow(2).mean()
        if self.config.temporal_activation_regularization > 0 and hidden_BTD.shape[1] > 1:
            change = hidden_BTD[:, 1:].float() - hidden_BTD[:, :-1].float()
            penalty = penalty + self.config.temporal_activation_regularization * change.pow(2).mean()
        return penalty

    def _find_shared(self, ids: Tensor, *, of_next: bool) -> Tensor:
        """Return the code of the bases that a k-mer shares with its successor, or with the one read before.

        Read forward they are the end of a k-mer and the begin of the next one; backward it is the other way.
        """
        codes = ids - self.config.num_special_tokens
        if of_next == (self.config.direction == "backward"):
            return codes % 4 ** (self.config.kmer_k - self.config.kmer_stride)
        return codes // 4**self.config.kmer_stride

    def _compute_successor_loss(
        self, hidden_BTD: Tensor, input_ids_BT: Tensor, next_ids_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy over the 4 ** stride tokens that can follow each k-mer.

        A k-mer shares k - stride bases with its successors. Their code is the number of the block of S rows
        of the decoder that are the successors: neighbors forward, and far apart backward.
        """
        num_successors = 4**self.config.kmer_stride
        num_blocks = 4 ** (self.config.kmer_k - self.config.kmer_stride)
        first_kmer = self.config.num_special_tokens
        block_BT = self._find_shared(input_ids_BT, of_next=False)
        scored_BT = (input_ids_BT >= first_kmer) & (next_ids_BT >= first_kmer)
        scored_BT = scored_BT & (self._find_shared(next_ids_BT, of_next=True) == block_BT)
        blocks_BT = block_BT.masked_fill(~scored_BT, 0)
        weight, bias = self.decoder.weight[first_kmer:], self.decoder.bias[first_kmer:]
        place_BT = next_ids_BT - first_kmer
        if self.config.direction == "backward":
            weight = weight.unflatten(0, (num_successors, num_blocks)).transpose(0, 1)
            bias = bias.unflatten(0, (num_successors, num_blocks)).transpose(0, 1)
            place_BT = place_BT // num_blocks
        else:
            place_BT = place_BT % num_successors
        weight = weight.reshape(num_blocks, num_successors * hidden_BTD.shape[-1])
        bias = bias.reshape(num_blocks, num_successors)
        weight_NSD = F.embedding(blocks_BT.flatten(), weight).unflatten(-1, (num_successors, -1))
        logits_NS = torch.einsum("nsd,nd->ns", weight_NSD, hidden_BTD.flatten(0, 1)).float()
        logits_NS = logits_NS + F.embedding(blocks_BT.flatten(), bias)
        labels_N = place_BT.masked_fill(~scored_BT, IGNORED_LABEL).flatten()
        nats = F.cross_entropy(logits_NS, labels_N, ignore_index=IGNORED_LABEL, reduction="sum")
        num_scored = scored_BT.sum()
        return nats / num_scored.clamp(min=1), num_scored

    def _compute_logits(self, hidden_BTD: Tensor, input_ids_BT: Tensor) -> Tensor:
        logits_BTV = self.decoder(hidden_BTD)
        if not self.config.successor_softmax:
            return logits_BTV
        first_kmer = self.config.num_special_tokens
        block_BT = self._find_shared(input_ids_BT, of_next=False)
        token_V = torch.arange(self.config.vocab_size, device=input_ids_BT.device)
        block_V = self._find_shared(token_V, of_next=True)
        can_follow_BTV = (token_V >= first_kmer) & (block_V == block_BT[..., None])
        can_follow_BTV = can_follow_BTV | (input_ids_BT < first_kmer)[..., None]
        return logits_BTV.masked_fill(~can_follow_BTV, float("-inf"))


class HeadBatchNorm(nn.BatchNorm1d):
    """Batch normalization that also takes a batch of one in training, by the figures of those before it."""

    def forward(self, x_BF: Tensor) -> Tensor:
        if self.training and len(x_BF) == 1:
            return F.batch_norm(
                x_BF, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x_BF)


class ClassifierHead(nn.Module):
    """Two layers. With layer normalization it learns the same from any batches; batch normalization is as
    fastai has it, in front of both layers, with dropout 0.1 after the second."""

    def __init__(self, config: AwdLstmConfig):
        super().__init__()
        has_batch_norm = config.classifier_norm == "batch"
        num_features = 3 * config.embedding_size * config.classifier_parts
        self.norm = (HeadBatchNorm if has_batch_norm else nn.LayerNorm)(num_features)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.inner = nn.Linear(num_features, config.classifier_size)
        self.activation = ACT2FN[config.classifier_activation]
        self.inner_norm = (
            nn.Sequential(HeadBatchNorm(config.classifier_size), nn.Dropout(0.1))
            if has_batch_norm
            else nn.Identity()
        )
        self.out = nn.Linear(config.classifier_size, config.num_labels)

    def forward(self, pooled_BP: Tensor) -> Tensor:
        hidden_BF = self.activation(self.inner(self.dropout(self.norm(pooled_BP))))
        return self.out(self.inner_norm(hidden_BF))


class AwdLstmForSequenceClassification(AwdLstmPreTrainedModel):
    """Classifier (or regressor, with one label) on the concatenated last, maximum and mean hidden state.

    The last one is that of the token read last. With `classifier_parts` each part of a sequence has its own.
    """

    def __init__(self, config: AwdLstmConfig):
        super().__init__(config)
        self.awd_lstm = AwdLstmModel(config)
        self.head = ClassifierHead(config)
        self.post_init()

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from the input to the output: embedding, each LSTM layer, head."""
        lstm_groups = [list(lstm.parameters()) for lstm in self.awd_lstm.lstm_layers]
        return [[self.awd_lstm.embedding.weight], *lstm_groups, list(self.head.parameters())]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Classify `input_ids` [B, T]; logits are [B, C].

        The pools see only tokens that stand for bases: neither padding nor [CLS] nor [SEP].
        """
        config = self.config
        real_BT = (input_ids != config.cls_token_id) & (input_ids != config.sep_token_id)
        real_BT = real_BT & (
            input_ids != config.pad_token_id if attention_mask is None else attention_mask.bool()
        )
        lengths_B = count_real_tokens(input_ids, attention_mask, pad_token_id=config.pad_token_id)
        if config.direction == "backward":
            input_ids, real_BT = reverse_tokens(input_ids, lengths_B), reverse_tokens(real_BT, lengths_B)
        if input_ids.shape[1] <= config.max_bptt_tokens:
            hidden_BTD = self.awd_lstm(input_ids, in_reading_order=True).last_hidden_state.float()
            pooled_BP = pool_parts(hidden_BTD, real_BT, config.classifier_parts)
        elif config.classifier_parts > 1:
            raise ValueError(
                f"classifier_parts needs at most {config.max_bptt_tokens} tokens (max_bptt_tokens)"
            )
        else:
            pooled_BP, hidden_BTD, real_BT = self._pool_by_windows(input_ids, real_BT, lengths_B)
        logits_BC = self.head(pooled_BP).float()
        loss = None if labels is None else self._compute_loss(logits_BC, labels)
        if loss is not None and self.training:
            loss = loss + self._compute_activation_penalty(hidden_BTD, real_BT)
        return SequenceClassifierOutput(loss=loss, logits=logits_BC)

    def _compute_activation_penalty(self, hidden_BTD: Tensor, real_BT: Tensor) -> Tensor | float:
        """AR and TAR of each sequence, averaged; as fastai has them in its text classifier, too."""
        penalty: Tensor | float = 0.0
        if self.config.activation_regularization > 0:
            square_B = mean_over_real(hidden_BTD.pow(2).mean(dim=-1), real_BT)
            penalty = self.config.activation_regularization * square_B.mean()
        if self.config.temporal_activation_regularization > 0:
            change_BTD = hidden_BTD[:, 1:] - hidden_BTD[:, :-1]
            square_B = mean_over_real(change_BTD.pow(2).mean(dim=-1), real_BT[:, 1:] & real_BT[:, :-1])
            penalty = penalty + self.config.temporal_activation_regularization * square_B.mean()
        return penalty

    def _pool_by_windows(
        self, input_ids_BT: Tensor, real_BT: Tensor, lengths_B: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read long sequences with bounded memory: by windows, then each row's last tokens with a gradient.

        Returns the pools [B, 3 * D], and of those last tokens the states [B, L, D] and which are real [B, L].

        What a row skips is a whole number of windows, so that it does not depend on the other rows; a row
        that has skipped enough waits with its state for the others.
        """
        limit = self.config.max_bptt_tokens
        window = min(self.config.bptt_tokens, limit)
        skipped_B = (lengths_B - limit + window - 1).clamp(min=0) // window * window
        zeros_BD = self.awd_lstm.embedding.weight.new_zeros(len(input_ids_BT), self.config.embedding_size)
        pools = Pools(zeros_BD, zeros_BD - float("inf"), zeros_BD, zeros_BD[:, :1])
        state = self.awd_lstm.build_state(len(input_ids_BT))
        with torch.no_grad():
            for start in range(0, input_ids_BT.shape[1] - limit, window):
                reads_B = skipped_B > start
                part = slice(start, start + window)
                output = self.awd_lstm(input_ids_BT[:, part], state=state, in_reading_order=True)
                state = tuple(
                    (torch.where(reads_B[:, None], new_h, h), torch.where(reads_B[:, None], new_c, c))
                    for (new_h, new_c), (h, c) in zip(output.state, state, strict=True)
                )
                found = collect_pools(output.last_hidden_state.float(), real_BT[:, part] & reads_B[:, None])
                pools = merge_pools(pools, found)
        position_BT = skipped_B[:, None] + torch.arange(limit, device=skipped_B.device)
        inside_BT = position_BT < lengths_B[:, None]
        position_BT = position_BT.clamp(max=input_ids_BT.shape[1] - 1)
        ids_BT = input_ids_BT.gather(1, position_BT)
        hidden_BTD = self.awd_lstm(ids_BT, state=state, in_reading_order=True).last_hidden_state.float()
        last_real_BT = real_BT.gather(1, position_BT) & inside_BT
        pooled_BP = join_pools(merge_pools(pools, collect_pools(hidden_BTD, last_real_BT)))
        return pooled_BP, hidden_BTD, last_real_BT

    def _compute_loss(self, logits_BC: Tensor, labels: Tensor) -> Tensor:
        if self.config.num_labels == 1:
            return F.mse_loss(logits_BC.squeeze(-1), labels.float().view(-1))
        if self.config.problem_type == "multi_label_classification":
            return F.binary_cross_entropy_with_logits(logits_BC, labels.float())
        return F.cross_entropy(logits_BC, labels.view(-1))


def mean_over_real(values_BT: Tensor, real_BT: Tensor) -> Tensor:
    """Average over the real positions of each row, [B]; 0 where there is none."""
    return (values_BT * real_BT).sum(dim=1) / real_BT.sum(dim=1).clamp(min=1)


class Pools(NamedTuple):
    """Last, greatest and summed states of the real positions so far, [B, D], and their number, [B, 1]."""

    last_BD: Tensor
    max_BD: Tensor
    sum_BD: Tensor
    count_B1: Tensor


def pool_parts(hidden_BTD: Tensor, real_BT: Tensor, num_parts: int) -> Tensor:
    """Pool each part of the real positions, which are divided evenly: [B, num_parts * 3 * D]."""
    if num_parts == 1:
        return pool_last_max_mean(hidden_BTD, real_BT)
    number_BT = real_BT.cumsum(dim=1) - 1
    part_BT = number_BT * num_parts // real_BT.sum(dim=1, keepdim=True).clamp(min=1)
    pools = [pool_last_max_mean(hidden_BTD, real_BT & (part_BT == part)) for part in range(num_parts)]
    return torch.cat(pools, dim=-1)


def pool_last_max_mean(hidden_BTD: Tensor, real_BT: Tensor) -> Tensor:
    """Concatenate the last, the maximum and the mean state over real positions: [B, 3 * D].

    A sequence without any real position gives zeros.
    """
    return join_pools(collect_pools(hidden_BTD, real_BT))


def collect_pools(hidden_BTD: Tensor, real_BT: Tensor) -> Pools:
    """Pool the states of the real positions; without one, the last is any and the maximum -inf."""
    real_BT1 = real_BT[..., None]
    position_T = torch.arange(real_BT.shape[1], device=real_BT.device)
    last_B = (position_T * real_BT).argmax(dim=1)
    last_BD = hidden_BTD[torch.arange(hidden_BTD.shape[0], device=hidden_BTD.device), last_B]
    max_BD = hidden_BTD.masked_fill(~real_BT1, float("-inf")).amax(dim=1)
    return Pools(last_BD, max_BD, (hidden_BTD * real_BT1).sum(dim=1), real_BT1.sum(dim=1))


def merge_pools(first: Pools, second: Pools) -> Pools:
    """Pool over the positions of both, of which the second ones were read later."""
    return Pools(
        torch.where(second.count_B1 > 0, second.last_BD, first.last_BD),
        torch.maximum(first.max_BD, second.max_BD),
        first.sum_BD + second.sum_BD,
        first.count_B1 + second.count_B1,
    )


def join_pools(pools: Pools) -> Tensor:
    """Concatenate last, maximum and mean: [B, 3 * D]; zeros where there was no real position."""
    mean_BD = pools.sum_BD / pools.count_B1.clamp(min=1)
    pooled = torch.cat([pools.last_BD, pools.max_BD, mean_BD], dim=-1)
    return torch.where(pools.count_B1 > 0, pooled, torch.zeros_like(pooled))
