"""Convolutional and recurrent networks for DNA, as transformers models in one file that a published folder
carries: DeepBind (Alipanahi et al. 2015), nets like Basset (Kelley et al. 2016) and DanQ (Quang and Xie
2016), a residual net of dilated convolutions (He et al. 2016, as in SpliceAI, Jaganathan et al. 2019), and
plain RNN, GRU and LSTM. Each is a chain of layers between an embedding of the tokens and a pool with a head.

Shapes: B batch, T tokens, F features of any layer, S parts of a sequence, C outputs.

Of the tokens only those that stand for bases count. They are moved to the front and followed by zeros, and
each layer gets the number of them, lengths_B: so [CLS], [SEP] and padding on either side change nothing, and
since no layer has batch statistics, neither do the other sequences of a batch.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput

# What a size is where it is not given: the architecture's own, or else that of all.
DEFAULTS: dict[str, dict[str, Any]] = {
    "deepbind": {"num_kernels": 16, "kernel_width": 12, "hidden_dropout": 0.0, "classifier_dropout": 0.0},
    "basset": {
        "num_kernels": 64,
        "kernel_width": 19,
        "pool_width": 2,
        "num_layers": 3,
        "num_parts": 8,
        "head_size": 256,
    },
    "danq": {
        "num_kernels": 128,
        "kernel_width": 20,
        "pool_width": 4,
        "hidden_size": 64,
        "bidirectional": True,
        "head_size": 128,
        "classifier_dropout": 0.5,
    },
    "residual": {"num_kernels": 32, "kernel_width": 11, "num_layers": 4, "num_parts": 8},
    "rnn": {"hidden_size": 128, "pooling": "last"},
    "gru": {"hidden_size": 128, "pooling": "last"},
    "lstm": {"hidden_size": 128, "pooling": "last"},
}
COMMON_DEFAULTS: dict[str, Any] = {
    "num_kernels": 0,
    "kernel_width": 0,
    "pool_width": 1,
    "hidden_size": 0,
    "num_layers": 1,
    "bidirectional": False,
    "pooling": "max",
    "num_parts": 1,
    "head_size": 0,
    "hidden_dropout": 0.1,
    "classifier_dropout": 0.3,
}
CELLS: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
BASSET_SHARES = (1, 11 / 19, 7 / 19)  # the kernels of its layers are 19, 11 and 7 bases wide
NUM_BASES = 4


class SequenceNetConfig(PretrainedConfig):
    """Settings of a network; from `num_kernels` to `classifier_dropout` each architecture has defaults.

    Args:
        architecture: deepbind, basset, danq, residual, rnn, gru or lstm.
        embedding: "one_hot", fixed, for tokens of one base; or "learned", for k-mers of any length.
        embedding_size: width of a learned embedding; a one-hot has 4.
        vocab_size: number of tokens, the special ones included; the k-mers come last.
        num_kernels: convolution kernels of a layer.
        kernel_width: tokens that a kernel of the first layer spans.
        pool_width: tokens of which a convolution layer of basset and danq keeps the largest value.
        hidden_size: width of a recurrent layer's state, in each direction.
        num_layers: layers of convolutions (basset), residual blocks, or recurrent layers (rnn, gru, lstm).
        bidirectional: recurrent layers read both ways.
        pooling: last, max, mean or attention: how the features of the positions become those of a sequence.
        num_parts: equal parts of a sequence that max and mean are taken over, each by itself: a head then
            knows roughly where something is. 1 is the whole sequence.
        head_size: width of a layer between the pool and the output; 0 is none.
        hidden_dropout: probability, behind each layer of the encoder but the last of a recurrent chain.
        classifier_dropout: probability, on the pooled features and on the inner layer of the head.
        kmer_k: bases of a token.
        kmer_stride: bases between the starts of neighboring tokens.
    """

    model_type = "genolm-sequence-net"

    def __init__(
        self,
        architecture: str = "deepbind",
        embedding: str = "one_hot",
        embedding_size: int = 32,
        vocab_size: int = 9,
        kmer_k: int = 1,
        kmer_stride: int = 1,
        pad_token_id: int = 0,
        cls_token_id: int = 2,
        sep_token_id: int = 3,
        **kwargs: Any,
    ):
        self.architecture = architecture
        self.embedding = embedding
        self.embedding_size = NUM_BASES if embedding == "one_hot" else embedding_size
        self.vocab_size = vocab_size
        for name, default in {**COMMON_DEFAULTS, **DEFAULTS[architecture]}.items():
            value = kwargs.pop(name, None)
            setattr(self, name, default if value is None else value)
        self.kmer_k = kmer_k
        self.kmer_stride = kmer_stride
        self.cls_token_id = cls_token_id
        self.sep_token_id = sep_token_id
        settings: dict[str, Any] = {"pad_token_id": pad_token_id, **kwargs}
        super().__init__(**settings)


def mask_positions(hidden_BTF: Tensor, lengths_B: Tensor) -> Tensor:
    """Put zeros behind the end of each sequence."""
    position_T = torch.arange(hidden_BTF.shape[1], device=hidden_BTF.device)
    return hidden_BTF.masked_fill((position_T >= lengths_B[:, None])[..., None], 0.0)


class OneHot(nn.Module):
    """A fixed embedding of single bases: the 4 bases one-hot, [UNK] and [MASK] a quarter of each base.

    The table is a saved buffer, not a parameter, so that no optimizer can change it.
    """

    weight: Tensor

    def __init__(self, vocab_size: int):
        super().__init__()
        self.register_buffer("weight", torch.empty(vocab_size, NUM_BASES))

    def build_table(self) -> Tensor:
        """Return the table, [V, 4]; the bases are the last four tokens, in their order."""
        table = torch.full_like(self.weight, 1 / NUM_BASES)
        table[-NUM_BASES:] = torch.eye(NUM_BASES, dtype=table.dtype, device=table.device)
        return table

    def forward(self, input_ids_BT: Tensor) -> Tensor:
        return F.embedding(input_ids_BT, self.weight)


class Convolution(nn.Module):
    """One value for each position and kernel: a kernel's window has the position in its middle."""

    def __init__(self, width_in: int, num_kernels: int, kernel_width: int, *, dilation: int = 1):
        super().__init__()
        self.conv = nn.Conv1d(width_in, num_kernels, kernel_width, dilation=dilation)
        span = (kernel_width - 1) * dilation
        self.margins = (span // 2, span - span // 2)  # zeros before and behind, so that T stays

    def forward(self, hidden_BTF: Tensor, lengths_B: Tensor) -> Tensor:
        convolved_BFT = self.conv(F.pad(hidden_BTF.transpose(1, 2), self.margins))
        return mask_positions(convolved_BFT.transpose(1, 2), lengths_B)


class ConvolutionLayer(nn.Module):
    """Convolution, ReLU, the largest of every `pool_width` positions, dropout."""

    def __init__(
        self, width_in: int, num_kernels: int, kernel_width: int, *, pool_width: int, dropout: float
    ):
        super().__init__()
        self.kernels = Convolution(width_in, num_kernels, kernel_width)
        self.pool_width = pool_width
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        hidden_BTF = F.relu(self.kernels(hidden_BTF, lengths_B))
        if self.pool_width > 1:  # the zeros behind the end are never larger than what a ReLU gives
            pooled_BFT = F.max_pool1d(hidden_BTF.transpose(1, 2), self.pool_width, ceil_mode=True)
            hidden_BTF = pooled_BFT.transpose(1, 2)
            lengths_B = torch.div(lengths_B + self.pool_width - 1, self.pool_width, rounding_mode="floor")
        return self.dropout(hidden_BTF), lengths_B


class ResidualStem(nn.Module):
    """The first convolution of a residual net; its values go on as they are."""

    def __init__(self, width_in: int, num_kernels: int, kernel_width: int):
        super().__init__()
        self.kernels = Convolution(width_in, num_kernels, kernel_width)

    def forward(self, hidden_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        return self.kernels(hidden_BTF, lengths_B), lengths_B


class ResidualBlock(nn.Module):
    """Twice normalization, ReLU and a dilated convolution, added to the input (He et al. 2016, figure 4e).

    Each position is normalized over its own features, not over the batch as there.
    """

    def __init__(self, width: int, kernel_width: int, *, dilation: int, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.convolutions = nn.ModuleList(
            Convolution(width, width, kernel_width, dilation=dilation) for _ in range(2)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        change_BTF = hidden_BTF
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            change_BTF = mask_positions(F.relu(norm(change_BTF)), lengths_B)
            change_BTF = convolution(change_BTF, lengths_B)
        return hidden_BTF + self.dropout(change_BTF), lengths_B


class FinalNorm(nn.Module):
    """Normalization and ReLU behind the last residual block."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        return mask_positions(F.relu(self.norm(hidden_BTF)), lengths_B), lengths_B


def reverse_sequences(hidden_BTF: Tensor, lengths_B: Tensor) -> Tensor:
    """Turn each sequence around within its length; what stands behind the end stays there."""
    position_T = torch.arange(hidden_BTF.shape[1], device=hidden_BTF.device)
    mirrored_BT = lengths_B[:, None] - 1 - position_T
    source_BT = torch.where(mirrored_BT >= 0, mirrored_BT, position_T)
    return hidden_BTF.gather(1, source_BT[..., None].expand_as(hidden_BTF))


class RecurrentLayer(nn.Module):
    """An RNN, GRU or LSTM layer; if it reads both ways, the features of the way back stand last."""

    def __init__(self, cell: str, width_in: int, hidden_size: int, *, bidirectional: bool, dropout: float):
        super().__init__()
        self.ahead = CELLS[cell](width_in, hidden_size, batch_first=True)
        self.back = CELLS[cell](width_in, hidden_size, batch_first=True) if bidirectional else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        states_BTF = self.ahead(hidden_BTF)[0]
        if self.back is not None:
            back_BTF = self.back(reverse_sequences(hidden_BTF, lengths_B))[0]
            states_BTF = torch.cat([states_BTF, reverse_sequences(back_BTF, lengths_B)], dim=-1)
        return self.dropout(mask_positions(states_BTF, lengths_B)), lengths_B


def build_layers(config: SequenceNetConfig) -> list[nn.Module]:
    """Return the layers of an architecture, from the input to the output, without embedding and head."""
    if config.architecture == "residual":
        return _build_residual_layers(config)
    if config.architecture in CELLS:
        return _build_recurrent_layers(config, config.architecture, config.embedding_size)
    if config.architecture == "danq":
        convolutions = _build_convolution_layers(config, num_layers=1)
        return [*convolutions, *_build_recurrent_layers(config, "lstm", config.num_kernels)]
    return _build_convolution_layers(config, num_layers=config.num_layers)


def _build_convolution_layers(config: SequenceNetConfig, *, num_layers: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    width_in = config.embedding_size
    for index in range(num_layers):
        share = BASSET_SHARES[min(index, len(BASSET_SHARES) - 1)]
        layers.append(
            ConvolutionLayer(
                width_in,
                config.num_kernels,
                max(round(config.kernel_width * share), 1),
                pool_width=config.pool_width,
                dropout=config.hidden_dropout,
            )
        )
        width_in = config.num_kernels
    return layers


def _build_residual_layers(config: SequenceNetConfig) -> list[nn.Module]:
    width, span = config.num_kernels, config.kernel_width
    blocks = [
        ResidualBlock(width, span, dilation=2**index, dropout=config.hidden_dropout)
        for index in range(config.num_layers)
    ]
    return [ResidualStem(config.embedding_size, width, span), *blocks, FinalNorm(width)]


def _build_recurrent_layers(config: SequenceNetConfig, cell: str, width_in: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index in range(config.num_layers):
        is_last = index == config.num_layers - 1
        layers.append(
            RecurrentLayer(
                cell,
                width_in,
                config.hidden_size,
                bidirectional=config.bidirectional,
                dropout=0.0 if is_last else config.hidden_dropout,
            )
        )
        width_in = config.hidden_size * (1 + config.bidirectional)
    return layers


def compute_width(config: SequenceNetConfig) -> int:
    """Return the features that the last layer gives for each position."""
    if config.architecture in ("danq", *CELLS):
        return config.hidden_size * (1 + config.bidirectional)
    return config.num_kernels


class SequenceNetEncoder(nn.Module):
    """Embedding and layers."""

    def __init__(self, config: SequenceNetConfig):
        super().__init__()
        self.config = config
        is_one_hot = config.embedding == "one_hot"
        self.embedding: nn.Module = (
            OneHot(config.vocab_size)
            if is_one_hot
            else nn.Embedding(config.vocab_size, config.embedding_size)
        )
        self.layers = nn.ModuleList(build_layers(config))

    def embed(self, input_ids_BT: Tensor, attention_mask_BT: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the vectors of the bases, moved to the front, zeros behind them, [B, T, F]; lengths [B]."""
        config = self.config
        is_base_BT = input_ids_BT != config.pad_token_id
        if attention_mask_BT is not None:
            is_base_BT = is_base_BT & attention_mask_BT.bool()
        is_base_BT = (
            is_base_BT & (input_ids_BT != config.cls_token_id) & (input_ids_BT != config.sep_token_id)
        )
        order_BT = (~is_base_BT).to(torch.uint8).argsort(dim=1, stable=True)
        embedded_BTF = self.embedding(input_ids_BT)
        sorted_BTF = embedded_BTF.gather(1, order_BT[..., None].expand_as(embedded_BTF))
        lengths_B = is_base_BT.sum(dim=1)
        return mask_positions(sorted_BTF, lengths_B), lengths_B

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor | None) -> tuple[Tensor, Tensor]:
        hidden_BTF, lengths_B = self.embed(input_ids_BT, attention_mask_BT)
        for layer in self.layers:
            hidden_BTF, lengths_B = layer(hidden_BTF, lengths_B)
        return hidden_BTF, lengths_B


def pool_parts(hidden_BTF: Tensor, lengths_B: Tensor, *, num_parts: int, reduce: str) -> Tensor:
    """Take the maximum or the mean over each of `num_parts` equal parts of each sequence: [B, S * F].

    `reduce` is amax or mean. A part without a position, as in a sequence shorter than S, gives zeros.
    """
    batch, _, width = hidden_BTF.shape
    values_BTF = hidden_BTF.float()  # a mean of many numbers in bf16 would be rounded too often
    position_T = torch.arange(hidden_BTF.shape[1], device=hidden_BTF.device)
    part_BT = torch.div(position_T * num_parts, lengths_B.clamp(min=1)[:, None], rounding_mode="floor")
    part_BT = part_BT.masked_fill(position_T >= lengths_B[:, None], num_parts)  # a last part, thrown away
    zeros = values_BTF.new_zeros(batch, num_parts + 1, width)
    index_BTF = part_BT[..., None].expand_as(hidden_BTF)
    pooled_BSF = zeros.scatter_reduce(1, index_BTF, values_BTF, reduce=reduce, include_self=False)
    return pooled_BSF[:, :num_parts].flatten(1).to(hidden_BTF.dtype)


def pool_last(hidden_BTF: Tensor, lengths_B: Tensor, *, back_size: int) -> Tensor:
    """Return the state where reading ended: [B, F]; that of the last `back_size` features is at the start."""
    last_B11 = (lengths_B - 1).clamp(min=0)[:, None, None]
    last_BF = hidden_BTF.gather(1, last_B11.expand(-1, 1, hidden_BTF.shape[2])).squeeze(1)
    if back_size == 0:
        return last_BF
    return torch.cat([last_BF[:, :-back_size], hidden_BTF[:, 0, -back_size:]], dim=-1)


class Pool(nn.Module):
    """The features of the positions, [B, T, F], as those of the sequence; zeros if it has no positions."""

    def __init__(self, config: SequenceNetConfig):
        super().__init__()
        width = compute_width(config)
        self.pooling, self.num_parts = config.pooling, config.num_parts
        self.back_size = config.hidden_size if config.bidirectional else 0
        self.attention = nn.Linear(width, 1, bias=False) if config.pooling == "attention" else None

    def forward(self, hidden_BTF: Tensor, lengths_B: Tensor) -> Tensor:
        if self.attention is not None:
            position_T = torch.arange(hidden_BTF.shape[1], device=hidden_BTF.device)
            scores_BT = self.attention(hidden_BTF).squeeze(-1)
            scores_BT = scores_BT.masked_fill(
                position_T >= lengths_B[:, None], torch.finfo(scores_BT.dtype).min
            )
            return (scores_BT.softmax(dim=1)[..., None] * hidden_BTF).sum(dim=1)
        if self.pooling == "last":
            return pool_last(hidden_BTF, lengths_B, back_size=self.back_size)
        reduce = "amax" if self.pooling == "max" else "mean"
        return pool_parts(hidden_BTF, lengths_B, num_parts=self.num_parts, reduce=reduce)


class SequenceNetHead(nn.Module):
    """Dropout and the output layer, with a layer of ReLUs before them if `head_size` is not 0."""

    def __init__(self, config: SequenceNetConfig):
        super().__init__()
        num_parts = config.num_parts if config.pooling in ("max", "mean") else 1
        width = num_parts * compute_width(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.inner = nn.Linear(width, config.head_size) if config.head_size else None
        num_labels: Any = config.num_labels
        self.out = nn.Linear(config.head_size or width, num_labels)

    def forward(self, pooled_BF: Tensor) -> Tensor:
        hidden_BF = self.dropout(pooled_BF)
        if self.inner is not None:
            hidden_BF = self.dropout(F.relu(self.inner(hidden_BF)))
        return self.out(hidden_BF)


class SequenceNetPreTrainedModel(PreTrainedModel):
    """How the weights start."""

    config_class = SequenceNetConfig
    base_model_prefix = "encoder"
    accepts_loss_kwargs = False  # the loss is a mean, so Trainer must divide it when it accumulates

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, OneHot):
            init.copy_(module.weight, module.build_table())
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=NUM_BASES**-0.5)  # the mean square of a one-hot
        elif isinstance(module, nn.Conv1d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.RNNBase):
            _init_recurrent(module)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.zeros_(module.bias)


def _init_recurrent(module: nn.RNNBase) -> None:
    """Orthogonal transitions, and a forget gate of an LSTM that starts open (Jozefowicz et al. 2015)."""
    for name, parameter in module.named_parameters():
        if name.startswith("weight_hh"):
            init.orthogonal_(parameter)
        elif name.startswith("weight_ih"):
            init.xavier_uniform_(parameter)
        else:
            start = torch.zeros_like(parameter)
            if isinstance(module, nn.LSTM) and name.startswith("bias_ih"):
                start[module.hidden_size : 2 * module.hidden_size] = 1.0
            init.copy_(parameter, start)


class SequenceNetForSequenceClassification(SequenceNetPreTrainedModel):
    """Classifier, multi-label classifier, or regressor (squared loss), by `config.problem_type`."""

    def __init__(self, config: SequenceNetConfig):
        super().__init__(config)
        self.encoder = SequenceNetEncoder(config)
        self.pool = Pool(config)
        self.head = SequenceNetHead(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.encoder.embedding = value

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from the input to the output: a learned embedding, each layer, pool and head."""
        groups = [list(part.parameters()) for part in (self.encoder.embedding, *self.encoder.layers)]
        head = [*self.pool.parameters(), *self.head.parameters()]
        return [group for group in [*groups, head] if group]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Classify `input_ids` [B, T]; logits are [B, C].

        `labels` are classes int64 [B], numbers [B] or [B, C] of a regression, or 0 and 1 [B, C].
        """
        hidden_BTF, lengths_B = self.encoder(input_ids, attention_mask)
        logits_BC = self.head(self.pool(hidden_BTF, lengths_B)).float()
        loss = None if labels is None else self._compute_loss(logits_BC, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits_BC)

    def _compute_loss(self, logits_BC: Tensor, labels: Tensor) -> Tensor:
        if self.config.num_labels == 1 or self.config.problem_type == "regression":
            return F.mse_loss(logits_BC, labels.float().view_as(logits_BC))
        if self.config.problem_type == "multi_label_classification":
            return F.binary_cross_entropy_with_logits(logits_BC, labels.float())
        return F.cross_entropy(logits_BC, labels.view(-1))

    def compute_kernel_activations(
        self, input_ids: Tensor, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what the kernels of the first layer give, before the ReLU, and the number of positions.

        Returns:
            [B, L, F] for the windows that start at each base token and lie wholly within [B, T] without
            special tokens; what stands behind the last such window means nothing. And the tokens, [B].
        """
        hidden_BTF, lengths_B = self.encoder.embed(input_ids, attention_mask)
        first: Any = self.encoder.layers[0]
        return first.kernels.conv(hidden_BTF.transpose(1, 2)).transpose(1, 2), lengths_B
