"""Masked language models: plain transformers models, the same loss from masked positions alone."""

import copy
import json
import platform
import re
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch.nn.parallel import DistributedDataParallel
from transformers import BertConfig, BertForMaskedLM, BertModel, ModernBertForMaskedLM

from genolm.errors import RunFolderError, SettingsError
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, cpu_kernels
from genolm.models.bert import (
    BertSettings,
    SummedCrossEntropy,
    build_masked_lm,
    load_masked_lm,
    use_masked_only_head,
)
from genolm.models.cpu_kernels import (
    PRODUCT_ATTENTION,
    choose_cpu_kernels,
    compute_product_attention,
    keep_freed_memory,
)
from genolm.tokenization.scheme import BpeScheme, KmerScheme
from genolm.tokenization.tokenizer_json import save_tokenizer

SCHEME = KmerScheme(k=3, stride=1)
ARCHITECTURES = ["bert", "modernbert"]

# Runs where genolm cannot be imported: what a stranger does with the folder.
USE_WITHOUT_GENOLM = """
import json, sys
sys.modules["genolm"] = None
import torch
import torch.nn.functional as F
from transformers import AutoModelForMaskedLM, pipeline
folders, ids = json.loads(sys.stdin.read())
for folder in folders:
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(ids)).logits
    found = pipeline("fill-mask", model=folder)("[MASK]ACGT")
    print(json.dumps([type(model).__name__, logits.tolist(), found]))
"""


def build(architecture: str = "bert", **changes) -> BertForMaskedLM | ModernBertForMaskedLM:
    settings = BertSettings(architecture=architecture, size="debug", **changes)
    return build_masked_lm(SCHEME, settings, seed=0)


def make_batch(tokens: int = 20) -> dict[str, torch.Tensor]:
    """Three sequences, the second with padding; about a fifth of the tokens has a label."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, SCHEME.vocab_size, (3, tokens), generator=generator)
    labels = torch.where(torch.rand(3, tokens, generator=generator) < 0.2, ids, -100)
    mask = torch.ones(3, tokens, dtype=torch.long)
    mask[1, tokens // 2 :] = 0
    labels[1, tokens // 2 :] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def pair(architecture: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return the plain model and one with the masked-only head, with the same weights."""
    plain = build(architecture).train()
    ours = copy.deepcopy(plain)
    use_masked_only_head(ours)
    return plain, ours


def largest_difference(one: torch.nn.Module, other: torch.nn.Module) -> float:
    grads = [(a.grad, b.grad) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    assert all(a.abs().sum() > 0 for a, _ in grads)
    return max((a - b).abs().max().item() for a, b in grads)


# --- building


@pytest.mark.parametrize(
    ("size", "layers", "width", "heads"),
    [
        ("debug", 2, 32, 2),
        ("mini", 5, 128, 4),
        ("tiny", 4, 256, 4),
        ("small", 6, 512, 8),
        ("base", 12, 768, 12),
    ],
)
def test_sizes(size, layers, width, heads):
    with torch.device("meta"):
        model = build_masked_lm(KmerScheme(k=6, stride=1), BertSettings(size=size), seed=0)
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size) == (layers, width)
    assert (config.num_attention_heads, config.intermediate_size) == (heads, 4 * width)


def test_base_has_the_shapes_of_dnabert_6():
    with torch.device("meta"):
        model = build_masked_lm(KmerScheme(k=6, stride=1), BertSettings(), seed=0)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes["bert.embeddings.word_embeddings.weight"] == (4101, 768)
    assert shapes["bert.embeddings.position_embeddings.weight"] == (512, 768)
    assert shapes["bert.embeddings.token_type_embeddings.weight"] == (2, 768)
    assert shapes["bert.encoder.layer.11.intermediate.dense.weight"] == (3072, 768)
    tied = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")  # some versions untie on meta
    counts = [parameter.numel() for name, parameter in model.named_parameters() if name not in tied]
    assert sum(counts) == 89_196_549


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("scheme", [SCHEME, KmerScheme(k=1, stride=1), BpeScheme(vocab_size=300)])
def test_vocabulary_and_special_ids_are_the_schemes(architecture, scheme):
    settings = BertSettings(architecture=architecture, size="debug", max_tokens=40, hidden_dropout=0.1)
    config = build_masked_lm(scheme, settings, seed=0).config
    assert (config.vocab_size, config.max_position_embeddings) == (scheme.vocab_size, 40)
    ids = (config.pad_token_id, config.cls_token_id, config.sep_token_id, config.mask_token_id)
    assert ids == (0, 2, 3, 4)
    if architecture == "bert":
        assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.1, 0.0)
    else:
        assert (config.mlp_dropout, config.embedding_dropout, config.attention_dropout) == (0.1, 0.1, 0.0)


def test_modernbert_layers_have_nearly_the_weights_of_berts():
    counts = [
        sum(parameter.numel() for parameter in build_on_meta(architecture).base_model.parameters())
        for architecture in ARCHITECTURES
    ]
    assert counts[1] / counts[0] == pytest.approx(1, abs=0.05)


def build_on_meta(architecture: str) -> torch.nn.Module:
    with torch.device("meta"):
        return build_masked_lm(
            SCHEME, BertSettings(architecture=architecture, size="small", max_tokens=64), seed=0
        )


def test_weights_are_a_function_of_the_seed_and_the_global_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (
        build_masked_lm(SCHEME, BertSettings(size="debug"), seed=s).bert.embeddings.word_embeddings.weight
        for s in (1, 1, 2)
    )
    assert torch.rand(1) == expected
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    "changes",
    [{"architecture": "gpt"}, {"size": "huge"}, {"max_tokens": 2}, {"hidden_dropout": 1.0}],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(SettingsError, match="correct the model settings"):
        BertSettings(**changes)


# --- the head on masked positions


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_loss_and_gradients_are_those_of_the_plain_class(architecture, checkpointing):
    plain, ours = pair(architecture)
    if checkpointing:
        newer = getattr(ours, "activation_checkpointing_enable", None)  # the other name ends with v6
        (newer or ours.gradient_checkpointing_enable)()
    batch = make_batch()
    expected, found = plain(**batch), ours(**batch, return_logits=True)
    assert found.loss.item() == pytest.approx(expected.loss.item(), abs=1e-6)
    torch.testing.assert_close(found.logits, expected.logits[batch["labels"] != -100], atol=1e-6, rtol=0)
    expected.loss.backward()
    found.loss.backward()
    assert largest_difference(plain, ours) < 1e-6


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("num_labels", "num_rows"), [(0, 0), (1, 128), (128, 128), (129, 256)])
def test_the_head_sees_few_different_numbers_of_rows(architecture, num_labels, num_rows):
    plain, ours = pair(architecture)
    labels = torch.full((4, 50), -100)
    labels.view(-1)[:num_labels] = 7
    batch = {"input_ids": torch.full((4, 50), 9), "labels": labels}
    seen = []
    head = ours.get_output_embeddings()
    head.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    found = ours(**batch, return_logits=True)
    assert (seen, len(found.logits)) == ([num_rows], num_labels)
    if num_labels:
        assert found.loss.item() == pytest.approx(plain(**batch).loss.item(), abs=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_positions_given_beforehand_change_nothing(architecture):
    _, ours = pair(architecture)
    batch = make_batch()
    positions = (batch["labels"].flatten() != -100).nonzero().squeeze(1)
    assert torch.equal(ours(**batch, label_positions=positions).loss, ours(**batch).loss)
    assert ours(**batch).logits is None


def test_weights_make_it_a_weighted_mean():
    plain, ours = pair("bert")
    batch = make_batch()
    weights = torch.rand(batch["labels"].shape, generator=torch.Generator().manual_seed(2))
    logits = plain(**batch).logits
    total = sum(
        weights[b, t] * -logits[b, t].log_softmax(-1)[batch["labels"][b, t]]
        for b, t in (batch["labels"] != -100).nonzero().tolist()
    )
    expected = total / weights[batch["labels"] != -100].sum()
    torch.testing.assert_close(ours(**batch, label_weights=weights).loss, expected, atol=1e-6, rtol=0)
    same = ours(**batch, label_weights=torch.full_like(weights, 0.25)).loss
    torch.testing.assert_close(same, ours(**batch).loss, atol=1e-6, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("case", ["no labels", "weights of 0"])
def test_nothing_to_learn_is_a_loss_and_gradients_of_zero(architecture, case):
    _, ours = pair(architecture)
    batch = make_batch()
    if case == "no labels":
        batch["labels"].fill_(-100)
    else:
        batch["label_weights"] = torch.zeros(batch["labels"].shape)
    loss = ours(**batch).loss
    loss.backward()
    assert loss.item() == 0.0
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in ours.parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_labels_the_model_gives_what_it_always_gave(architecture):
    plain, ours = pair(architecture)
    batch = make_batch()
    del batch["labels"]
    assert torch.equal(ours(**batch).logits, plain(**batch).logits)


def test_it_works_under_ddp_and_accelerates_autocast(tmp_path):
    plain, ours = pair("bert")
    batch = make_batch()
    torch.distributed.init_process_group("gloo", store=torch.distributed.FileStore(str(tmp_path / "s"), 1),
                                         rank=0, world_size=1)  # fmt: skip
    try:
        wrapped = DistributedDataParallel(ours)
        wrapped(**batch).loss.backward()
    finally:
        torch.distributed.destroy_process_group()
    plain(**batch).loss.backward()
    assert largest_difference(plain, ours) < 1e-6

    expected = ours(**batch).loss.item()
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    prepared = accelerator.prepare_model(ours)
    output = prepared(**batch, return_logits=True)
    assert output.logits.dtype == torch.float32
    assert output.loss.item() == pytest.approx(expected, abs=0.02)
    assert output.loss.item() != expected  # bf16 it was
    restored = accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
    assert restored(**batch).loss.item() == expected


def test_the_gradient_in_place_of_the_logits_is_that_of_cross_entropy():
    logits = torch.randn(600, 37, generator=torch.Generator().manual_seed(0), dtype=torch.float32)  # 3 pieces
    labels = torch.arange(600) % 37
    weights = (torch.arange(600) % 5).float()  # some are 0
    gradients, losses = [], []
    for is_ours in (False, True):
        leaf = logits.clone().requires_grad_()
        scores = leaf * 3  # no leaf, as that of a head
        if is_ours:
            loss = SummedCrossEntropy.apply(scores, labels, weights)
        else:
            loss = (F.cross_entropy(scores, labels, reduction="none") * weights).sum()
        (loss / 7).backward()
        gradients.append(leaf.grad)
        losses.append(loss.detach())
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)


def test_a_second_backward_of_the_loss_is_an_error_and_not_another_gradient():
    scores = torch.randn(3, 5, requires_grad=True) * 1
    loss = SummedCrossEntropy.apply(scores, torch.arange(3), torch.ones(3))
    (loss / 2).backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# --- what is saved


def save_trained(architecture: str, folder: Path) -> torch.nn.Module:
    model = build(architecture)
    names = set(model.state_dict())
    use_masked_only_head(model)
    with choose_cpu_kernels(model, "bf16", num_tokens=20):
        model.train()(**make_batch()).loss.backward()
        model.save_pretrained(folder)
    assert set(model.state_dict()) == names
    save_tokenizer(SCHEME, folder)
    return model.eval()


def test_a_trained_model_saves_as_the_plain_class_and_is_used_without_genolm(tmp_path, run_plain):
    models = {name: save_trained(name, tmp_path / name) for name in ARCHITECTURES}
    class_names = {"bert": "BertForMaskedLM", "modernbert": "ModernBertForMaskedLM"}
    ids = make_batch()["input_ids"]
    request = json.dumps([[str(tmp_path / name) for name in models], ids.tolist()])
    lines = run_plain(USE_WITHOUT_GENOLM, text=request).splitlines()
    for (name, model), line in zip(models.items(), lines, strict=True):
        text = (tmp_path / name / "config.json").read_text()
        assert json.loads(text)["architectures"] == [class_names[name]]
        assert "genolm" not in text
        assert "auto_map" not in text
        class_name, logits, found = json.loads(line)
        assert class_name == class_names[name]
        with torch.no_grad():
            expected = model(input_ids=ids).logits
        torch.testing.assert_close(torch.tensor(logits), expected, atol=1e-5, rtol=1e-5)
        assert len(found) == 5
        assert all(re.fullmatch(r"[ACGT]{3}|\[[A-Z]+\]", item["token_str"]) for item in found)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folder_goes_on_with_the_same_weights(architecture, tmp_path):
    model = build(architecture)
    model.half().save_pretrained(tmp_path)
    loaded = load_masked_lm(tmp_path, SCHEME, hidden_dropout=0.2, attention_dropout=0.3)
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter.float())
    assert loaded.dtype == torch.float32
    dropouts = {module.p for module in loaded.modules() if isinstance(module, torch.nn.Dropout)}
    assert dropouts == {0.2, 0.3}


def test_a_published_dnabert_folder_loads(tmp_path):
    """Its config names no model_type and has keys of its own; the weights include a pooler."""
    config = BertConfig(vocab_size=69, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=32)  # fmt: skip
    plain = BertForMaskedLM(config)
    pooled = BertModel(config)
    plain.save_pretrained(tmp_path)
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "model.safetensors")
    weights |= {f"bert.pooler.{name}": value for name, value in pooled.pooler.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    content = json.loads((tmp_path / "config.json").read_text())
    del content["model_type"]
    content |= {"split": 10, "rnn": "lstm", "num_rnn_layer": 2, "type_vocab_size": 2}
    (tmp_path / "config.json").write_text(json.dumps(content))
    loaded = load_masked_lm(tmp_path, SCHEME)
    assert torch.equal(loaded.bert.embeddings.word_embeddings.weight,
                       plain.bert.embeddings.word_embeddings.weight)  # fmt: skip
    assert loaded.config.hidden_dropout_prob == 0.1  # its own, as none was given


# --- bad input


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    build().save_pretrained(folder)
    return folder


def damage(saved: Path, folder: Path, case: str) -> None:
    shutil.copytree(saved, folder)
    config, weights = folder / "config.json", folder / "model.safetensors"
    content = json.loads(config.read_text())
    if case == "pickle":
        weights.rename(folder / "pytorch_model.bin")
    elif case == "no weights":
        weights.unlink()
    elif case == "no config":
        config.unlink()
    elif case == "no json":
        config.write_text("{")
    elif case == "other model":
        config.write_text(json.dumps(content | {"model_type": "gpt2"}))
    elif case == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif case == "encoder":
        BertModel(BertConfig.from_pretrained(folder)).save_pretrained(folder)
    elif case == "wider":
        config.write_text(json.dumps(content | {"hidden_size": 64}))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("pickle", r"pytorch_model\.bin and no model\.safetensors.*convert it.*save_pretrained\("),
        ("no weights", r"no \*\.safetensors in"),
        ("no config", r"no config\.json in"),
        ("no json", r"a config\.json that is not JSON in"),
        ("other model", "the architecture 'gpt2' in"),
        ("cut", "weights that cannot be read"),
        ("encoder", r"no weights for \d+ parameters, among them cls\."),
        ("wider", "weights that cannot be read"),
    ],
)
def test_a_folder_that_is_no_whole_masked_lm_is_refused_in_one_line(saved, tmp_path, case, message):
    damage(saved, tmp_path / "model", case)
    with pytest.raises(RunFolderError, match=message) as caught:
        load_masked_lm(tmp_path / "model", SCHEME)
    assert "\n" not in str(caught.value)


def test_another_vocabulary_is_refused_with_both_sizes(saved):
    with pytest.raises(SettingsError, match=r"a model of 69 tokens .*4,101 tokens, as kmer_k6_s1 has"):
        load_masked_lm(saved, KmerScheme(k=6, stride=1))


# --- kernels


@pytest.mark.parametrize("masked", [False, True])
def test_product_attention_is_the_attention_of_torch(masked):
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, 3, 7, 4, generator=generator, requires_grad=True) for _ in range(3)]
    mask = torch.rand(2, 1, 7, 7, generator=generator) < 0.7 if masked else None
    found, weights = compute_product_attention(torch.nn.Module(), *parts, mask, scaling=0.3)
    expected = F.scaled_dot_product_attention(*parts, mask, scale=0.3).transpose(1, 2)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert weights is None
    wanted = torch.randn(expected.shape, generator=generator)
    gradients = [torch.autograd.grad((output * wanted).sum(), parts) for output in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


def test_product_attention_drops_weights_in_training_only():
    query = key = torch.zeros(1, 1, 50, 4)
    value = torch.ones(1, 1, 50, 4)
    module = torch.nn.Module()
    torch.manual_seed(0)
    dropped, _ = compute_product_attention(module.train(), query, key, value, None, dropout=0.5)
    kept, _ = compute_product_attention(module.eval(), query, key, value, None, dropout=0.5)
    assert not torch.allclose(dropped, value.transpose(1, 2))
    torch.testing.assert_close(kept, value.transpose(1, 2))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_of_bf16_give_the_same_model_and_are_put_back(architecture):
    model, batch = (
        build(architecture).eval(),
        make_batch(tokens=150),
    )  # longer than ModernBERT's window of 128
    del batch["labels"]
    is_token = batch["attention_mask"].bool()
    with torch.no_grad():
        expected = model(**batch).logits
        with choose_cpu_kernels(model, "bf16", num_tokens=150):
            # The ModernBERT of transformers 5.0 takes no attention but its own.
            can_change = model._can_set_attn_implementation()
            assert model.config._attn_implementation == (PRODUCT_ATTENTION if can_change else "sdpa")
            found = model(**batch).logits
    torch.testing.assert_close(found[is_token], expected[is_token], atol=1e-5, rtol=1e-4)
    assert model.config._attn_implementation == "sdpa"


def test_kernels_are_put_back_after_an_error():
    model, former = build(), torch.get_float32_matmul_precision()
    for precision in ("bf16", "no"):
        with pytest.raises(KeyError, match="boom"), choose_cpu_kernels(model, precision, num_tokens=20):
            raise KeyError("boom")
    assert model.config._attn_implementation == "sdpa"
    assert torch.get_float32_matmul_precision() == former


def test_long_sequences_keep_sdpa():
    model = build()
    for precision in ("bf16", "no"):
        with choose_cpu_kernels(model, precision, num_tokens=2048):
            assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("largest_error", "products", "kernel"), [(1.0, "medium", PRODUCT_ATTENTION), (0.0, "highest", "sdpa")]
)
def test_fp32_takes_faster_products_only_where_they_are_exact(monkeypatch, largest_error, products, kernel):
    monkeypatch.setattr(cpu_kernels, "MAX_FP32_ERROR", largest_error)
    model = build()
    with choose_cpu_kernels(model, "no", num_tokens=20):
        assert torch.get_float32_matmul_precision() == products
        assert model.config._attn_implementation == kernel
    assert torch.get_float32_matmul_precision() == "highest"
    assert model.config._attn_implementation == "sdpa"


def test_a_block_inside_of_a_block_changes_nothing():
    model = build()
    with choose_cpu_kernels(model, "bf16", num_tokens=20):
        products = torch.get_float32_matmul_precision()
        with choose_cpu_kernels(model, "no", num_tokens=2048):
            assert model.config._attn_implementation == PRODUCT_ATTENTION
            assert torch.get_float32_matmul_precision() == products
        assert model.config._attn_implementation == PRODUCT_ATTENTION
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("precision", ["bf16", "no"])
def test_where_there_is_a_gpu_the_kernels_of_a_cpu_are_not_chosen(monkeypatch, precision):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)  # the model is moved there later
    model = build()
    with choose_cpu_kernels(model, precision, num_tokens=20):
        assert model.config._attn_implementation == "sdpa"
        assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    ("architecture", "expected"), [("bert", torch.bfloat16), ("modernbert", torch.float32)]
)
def test_under_bf16_autocast_a_bert_hands_bf16_from_layer_to_layer(architecture, expected):
    model, batch = build(architecture).eval(), make_batch()
    seen = []
    model.base_model.embeddings.register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype)
    )

    def list_dtypes(*, enabled: bool) -> list[torch.dtype]:
        seen.clear()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output = model.base_model(batch["input_ids"], attention_mask=batch["attention_mask"])
        return [*seen, output.last_hidden_state.dtype]

    with choose_cpu_kernels(model, "bf16", num_tokens=20):
        inside = list_dtypes(enabled=True)
        assert list_dtypes(enabled=False)[1] == torch.float32
    assert inside[1] == expected
    assert list_dtypes(enabled=True)[1] == torch.float32


def count_page_faults(megabytes: int) -> int:
    """Return how many pages the system must give for a new tensor."""
    tensor = torch.empty(megabytes << 20, dtype=torch.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensor[::4096] = 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library frees by other rules")
@pytest.mark.parametrize("precision", ["bf16", "no"])
def test_memory_of_freed_tensors_is_kept_in_the_block_alone(precision):
    with choose_cpu_kernels(build(), precision, num_tokens=20):
        count_page_faults(64)
        kept = count_page_faults(60)  # less, as a hole among other blocks loses some bytes to the alignment
    count_page_faults(256)
    given_back = count_page_faults(256)
    assert given_back >= 128  # of 2 MB, if the system gives huge pages; else 65,536
    assert kept < given_back / 32


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library frees by other rules")
def test_memory_is_kept_behind_an_inner_block():
    """As that of an evaluation within a training, of a network without attention, too."""
    model = AwdLstmForCausalLM(AwdLstmConfig(vocab_size=9, embedding_size=4, lstm_size=4, num_layers=1))
    with choose_cpu_kernels(model, "bf16", num_tokens=20):
        with choose_cpu_kernels(model, "no", num_tokens=20):
            assert torch.get_float32_matmul_precision() == "highest"
        count_page_faults(64)
        assert count_page_faults(60) < 128 / 32


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library frees by other rules")
def test_a_c_library_without_mallopt_is_left_alone(monkeypatch):
    monkeypatch.setattr(cpu_kernels, "ctypes", SimpleNamespace(CDLL=lambda name: object()))
    with keep_freed_memory():
        count_page_faults(256)
        assert count_page_faults(256) >= 128
