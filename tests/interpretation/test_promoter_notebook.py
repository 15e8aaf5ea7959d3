"""The notebook, cell by cell, on a model with random weights."""

import json
from pathlib import Path

from small_classifiers import make_classifier

from genolm.training.persistence.run_folder import save_model_folder

NOTEBOOK = Path(__file__).parents[2] / "scripts" / "promoter_map.ipynb"


def test_every_cell_of_the_notebook_runs(tmp_path, monkeypatch, capsys):
    classifier = make_classifier("awd_lstm")
    save_model_folder(tmp_path / "model", model=classifier.model, scheme=classifier.scheme)
    monkeypatch.setenv("GENOLM_MODEL", str(tmp_path / "model"))
    monkeypatch.setenv("GENOLM_OUTPUT", str(tmp_path / "output"))
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in cells] == [[]] * len(cells)
    names: dict[str, object] = {}
    for cell in cells:
        exec("".join(cell["source"]), names)
    printed = capsys.readouterr().out
    assert len(names["promoter"]) == 81
    assert "most important window: " in printed
    assert "TATAAT" in printed
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == ["lacuv5.png", "lacuv5.svg"]
