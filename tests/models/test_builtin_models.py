import pytest
from small_models import save_small_model

from genolm.errors import RunFolderError
from genolm.inference.loading import load_model, load_tokenizer
from genolm.models import builtin
from genolm.models.builtin import find_model, list_models

MAX_BYTES = 5_000_000


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder in place of the one in the package, with one model."""
    monkeypatch.setattr(builtin, "BUILTIN_MODELS_FOLDER", str(tmp_path / "shipped"))
    save_small_model(tmp_path / "shipped" / "small-promoter", "awd_lstm_classifier")
    (tmp_path / "shipped" / "no-model").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shipped"


def test_a_name_means_the_model_that_ships_with_genolm(shipped):
    assert list_models() == ["small-promoter"]
    assert find_model("small-promoter") == shipped / "small-promoter"
    assert load_model("small-promoter").label_names == ("other", "promoter")
    assert load_tokenizer("small-promoter")("ACGT")["input_ids"][0] == 2


def test_a_folder_of_the_user_comes_first(shipped, tmp_path):
    (tmp_path / "small-promoter").mkdir()
    assert find_model("small-promoter").resolve() == tmp_path / "small-promoter"


def test_a_name_that_means_nothing_is_answered_with_those_that_do(shipped):
    with pytest.raises(
        RunFolderError,
        match=r"^found no model folder big-promoter; expected a folder that a training wrote, "
        r"or one of the shipped models small-promoter; correct the path or the name$",
    ):
        find_model("big-promoter")


def test_a_file_is_no_model_folder(shipped):
    with pytest.raises(RunFolderError, match=r"the file .*config.json; .*; name the folder that"):
        find_model(shipped / "small-promoter" / "config.json")


def test_without_shipped_models_there_are_no_names(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "BUILTIN_MODELS_FOLDER", str(tmp_path / "none"))
    assert list_models() == []
    with pytest.raises(RunFolderError, match=r"expected a folder that a training wrote; correct"):
        find_model("ecoli-promoter")


def test_every_shipped_model_loads_and_is_small():
    for name in list_models():
        folder = find_model(name)
        assert load_model(name).scheme.vocab_size > 5
        assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= MAX_BYTES, name
