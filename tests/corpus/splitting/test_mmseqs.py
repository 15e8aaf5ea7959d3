"""MMseqs2 as a program: the real one where it is installed, and a stand-in for what it is asked."""

import shutil
import stat

import pytest

from genolm.corpus.splitting.groups import ClusterSettings, build_groups
from genolm.errors import SettingsError
from tests.made_up_dna import make_dna

SETTINGS = ClusterSettings(identity=0.8, engine="mmseqs")
ANSWER = """#!/bin/sh
echo "$@" > "{folder}/asked"
cp "$2" "{folder}/records.fa"
printf '0\\t0\\n2\\t2\\n2\\t1\\n0\\t3\\n' > "$3_cluster.tsv"
"""
FAILURE = "#!/bin/sh\necho reading >&2\necho 'Cannot allocate memory' >&2\nexit 3\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    def write_program(text):
        program = tmp_path / "mmseqs"
        program.write_text(text.format(folder=tmp_path))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return tmp_path

    return write_program


@pytest.mark.skipif(shutil.which("mmseqs") is None, reason="needs the program mmseqs")
def test_the_real_program_finds_copies_on_either_strand():
    first, second, third, alone = (make_dna(120, seed=seed) for seed in range(4))
    reverse_complement = second[::-1].translate(str.maketrans("ACGT", "TGCA"))
    changed = third[:60] + ("A" if third[60] != "A" else "C") + third[61:]
    records = [first, second, third, alone, changed, reverse_complement, first]
    assert build_groups(records, settings=SETTINGS).tolist() == [0, 1, 2, 3, 2, 1, 0]


def test_its_clusters_are_the_groups(install):
    folder = install(ANSWER)
    groups = build_groups(["ACGT", "GGG", "GGC", "ACGA"], settings=SETTINGS)
    assert groups.tolist() == [0, 1, 1, 0]
    asked = (folder / "asked").read_text()
    assert asked.startswith("easy-cluster ")
    assert "--min-seq-id 0.8" in asked
    assert "--cluster-mode 1" in asked  # connected components: no similar pair is left across
    assert (folder / "records.fa").read_text() == ">0\nACGT\n>1\nGGG\n>2\nGGC\n>3\nACGA\n"


def test_its_failure_is_told_in_its_last_line(install):
    install(FAILURE)
    with pytest.raises(SettingsError, match="mmseqs that ended with 3: Cannot allocate memory"):
        build_groups(["ACGT"], settings=SETTINGS)


def test_no_answer_is_a_failure(install):
    install("#!/bin/sh\nexit 0\n")
    with pytest.raises(SettingsError, match="mmseqs that ended with 0: no message"):
        build_groups(["ACGT"], settings=SETTINGS)


def test_without_the_program_the_remedy_is_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match=r"no program mmseqs on the path; .*conda install"):
        build_groups(["ACGT"], settings=SETTINGS)
