"""The shipped promoter set keeps its laws, and the script that built it makes the same rows again."""

import csv
import doctest
import gzip
import hashlib
import importlib.util
import io
import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genolm.alphabet import encode_bases
from genolm.errors import DataError

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "genolm" / "builtin_data"
SMALL = ROOT / "tests" / "fixtures" / "vecoli_small"
SMALL_BP = 302_700
GENOME_BP = 4_641_652
SPLITS = ("train", "validation", "test")


def _load_script():
    spec = importlib.util.spec_from_file_location(
        "build_quickstart_data", ROOT / "scripts" / "build_quickstart_data.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = _load_script()
RULES = script.WindowSettings()


def _opposite(sequence):
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def _read_place(row):
    """Return 0-based start, end and strand of a shipped row, from its id alone."""
    place = row["id"].split(":")[1]
    strand, place = place[-1], place[:-1]
    if row["label"] == "promoter":
        base = int(place) - 1
        return (base - 60, base + 21, strand) if strand == "+" else (base - 20, base + 61, strand)
    start, end = place.split("-")
    return int(start), int(end), strand


@pytest.fixture(scope="module")
def genome():
    with gzip.open(SHIPPED / "ecoli_k12_mg1655.fa.gz", "rt") as file:
        header, *lines = file.read().splitlines()
    assert header.startswith(">U00096.3 ")
    assert {len(line) for line in lines[:-1]} == {80}
    return "".join(lines)


@pytest.fixture(scope="module")
def rows():
    with gzip.open(SHIPPED / "ecoli_promoters.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def provenance():
    return json.loads((SHIPPED / "provenance.json").read_text())


@pytest.fixture(scope="module")
def small_archive(tmp_path_factory):
    """A source archive with the first 302.7 kb of the genome, and the settings that fit it."""
    path = tmp_path_factory.mktemp("archive") / "vecoli-1.1.2.post3.tar.gz"
    flat = "vecoli-1.1.2.post3/reconstruction/ecoli/flat"
    contents = {
        "vecoli-1.1.2.post3/LICENSE": (SMALL / "LICENSE").read_bytes(),
        f"{flat}/sequence.fasta": gzip.decompress((SMALL / "sequence.fasta.gz").read_bytes()),
        f"{flat}/genes.tsv": (SMALL / "genes.tsv").read_bytes(),
        f"{flat}/transcription_units.tsv": (SMALL / "transcription_units.tsv").read_bytes(),
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return path, script.ArchiveSettings(sha256=sha256, genome_bp=SMALL_BP)


@pytest.fixture(scope="module")
def small(small_archive):
    path, settings = small_archive
    return script.read_archive(path, settings=settings)


@pytest.fixture(scope="module")
def small_built(small):
    return script.build_windows(
        small.sequence, genes=small.genes, units=small.units, accession="U00096.3", settings=RULES
    )


# The shipped files --------------------------------------------------------------------------------------


def test_shipped_genome_is_complete_and_plain(genome):
    assert len(genome) == GENOME_BP
    assert set(genome) == set("ACGT")
    # The digest of the sequence alone, taken from an independent copy (NCBI RefSeq NC_000913.3).
    assert (
        hashlib.sha256(genome.encode()).hexdigest()
        == "e999dceccb76562d40e49a10d9e6d4cf1c05d184f4f80b92bb32d4a2420c11d0"
    )


def test_every_window_is_the_genome_at_its_coordinates(genome, rows):
    assert list(rows[0]) == ["sequence", "label", "split", "id"]
    for row in rows:
        start, end, strand = _read_place(row)
        own = genome[start:end]
        assert len(row["sequence"]) == end - start == 81
        assert row["sequence"] == (own if strand == "+" else _opposite(own)), row["id"]


def test_rows_are_unique_and_in_genome_order(rows):
    starts = [_read_place(row)[0] for row in rows]
    assert starts == sorted(starts)
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({min(row["sequence"], _opposite(row["sequence"])) for row in rows}) == len(rows)


def test_no_two_negatives_overlap_and_all_are_far_from_promoters(rows):
    negatives = np.array([_read_place(row)[:2] for row in rows if row["label"] == "other"])
    assert (negatives[1:, 0] >= negatives[:-1, 1]).all()
    ends = np.array([int(r["id"].split(":")[1][:-1]) - 1 for r in rows if r["label"] == "promoter"])
    before_bp = negatives[:, :1] - ends
    after_bp = ends - (negatives[:, 1:] - 1)
    assert np.maximum(before_bp, after_bp).min() >= 150


def test_two_negatives_for_each_promoter_in_every_split(rows):
    for split in SPLITS:
        labels = [row["label"] for row in rows if row["split"] == split]
        assert labels.count("other") == 2 * labels.count("promoter") > 0


def test_split_follows_the_block_and_no_window_is_near_a_change(rows):
    split_of_phase = {3: "test", 8: "test", 5: "validation"}
    split_of_block = [split_of_phase.get(block % 10, "train") for block in range(93)]
    changes = [b * 50_000 for b in range(1, 93) if split_of_block[b] != split_of_block[b - 1]]
    assert changes[:4] == [150_000, 200_000, 250_000, 300_000]
    for row in rows:
        start, end, _ = _read_place(row)
        assert row["split"] == split_of_block[start // 50_000]
        assert all(end + 200 <= change or start - 200 >= change for change in changes), row["id"]


def test_some_windows_lie_close_to_an_edge_that_changes_nothing(rows):
    """The edge rule is about splits: at 50 kb, train meets train, and nothing need be dropped."""
    starts = np.array([_read_place(row)[0] for row in rows])
    inner_edges = np.array([b * 50_000 for b in range(1, 93) if b % 10 in (0, 1, 2, 7)])
    assert (np.abs(starts[:, None] - inner_edges) < 200).any()


def list_own_files() -> set[str]:
    harder = "ecoli_promoters_gc_matched."  # of a script of its own
    return {path.name for path in SHIPPED.iterdir() if path.is_file() and not path.name.startswith(harder)}


def test_provenance_describes_the_shipped_files(rows, provenance):
    counts = provenance["counts"]["windows"]
    for split in SPLITS:
        labels = [row["label"] for row in rows if row["split"] == split]
        assert counts[split] == {"promoter": labels.count("promoter"), "other": labels.count("other")}
    assert list_own_files() == {*provenance["files"], "provenance.json", "__init__.py"}
    for name, described in provenance["files"].items():
        data = (SHIPPED / name).read_bytes()
        assert described["bytes"] == len(data)
        assert described["sha256"] == hashlib.sha256(data).hexdigest()
        if name.endswith(".gz"):
            content = gzip.decompress(data)
            assert described["uncompressed_sha256"] == hashlib.sha256(content).hexdigest()
            assert data[3:8] == bytes(5), "no name and no time in the gzip header"
    assert provenance["source"]["archive_sha256"] == script.ArchiveSettings().sha256
    assert provenance["settings"]["window_bp"] == 81
    assert provenance["tables"] == {"exported_from": "EcoCyc 29.1"}


def test_shipped_folder_is_small_and_its_license_is_whole():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir() if path.is_file()) < 2_500_000
    text = (SHIPPED / "LICENSE.vecoli").read_text()
    assert "MIT License" in text
    assert "Copyright (c) 2022 Covert Lab" in text


def test_shipped_readme_states_the_counts(rows):
    text = (SHIPPED / "README.md").read_text()
    assert f"{len(rows):,} windows of 81 bp" in text
    num_test = sum(row["split"] == "test" and row["label"] == "promoter" for row in rows)
    assert f"| test | {num_test} | {2 * num_test} |" in text
    assert "{" not in text


# Rebuilding a part --------------------------------------------------------------------------------------


def test_rebuilt_promoters_equal_the_shipped_ones(rows, small_built):
    shipped = [
        (row["id"], row["sequence"], row["split"])
        for row in rows
        if row["label"] == "promoter" and _read_place(row)[1] <= SMALL_BP
    ]
    rebuilt = [(w.id, w.sequence, w.split) for w in small_built.windows if w.label == 1]
    assert len(shipped) > 100
    assert {split for *_, split in shipped} == set(SPLITS)
    assert rebuilt == shipped


def test_shipped_negatives_are_among_the_candidates_of_the_part(rows, small):
    codes = encode_bases(small.sequence)
    genes = script.build_genes(small.genes, codes=codes)
    ends = script.find_promoter_ends(small.units, genes=genes, settings=RULES)
    candidates = script.build_negative_candidates(
        list(genes.values()), ends=ends, codes=codes, accession="U00096.3", settings=RULES
    )
    shipped = {
        (row["id"], row["sequence"], row["split"])
        for row in rows
        if row["label"] == "other" and _read_place(row)[1] <= SMALL_BP
    }
    assert len(shipped) > 200
    assert shipped <= {(w.id, w.sequence, w.split) for w in candidates}


def test_small_part_is_the_start_of_the_shipped_genome(genome, small):
    assert small.sequence == genome[:SMALL_BP]


def test_known_genes_are_told_apart(small):
    genes = script.build_genes(small.genes, codes=encode_bases(small.sequence))
    coding = {gene.symbol: gene.is_coding for gene in genes.values()}
    assert coding["thrA"]  # plus strand
    assert coding["yaaA"]  # minus strand
    assert not coding["rrsH"]  # ribosomal RNA
    assert not coding["aspU"]  # transfer RNA
    assert not coding["sgrS"]  # small RNA
    assert len(genes) == len([row for row in small.genes if row["left_end_pos"] is not None])


def test_a_coding_gene_has_a_messenger_and_an_open_frame():
    codes = encode_bases("CC" + "ATGAAATAA" + "TTACATCAT" + "ATGTAATAA")
    table = [
        ("plus", 3, 11, "+", "plus_RNA"),
        ("minus", 12, 20, "-", "minus_RNA"),  # ATG ATG TAA when turned round
        ("rna", 3, 11, "+", "rna-tRNA"),
        ("pseudo", 21, 29, "+", "pseudo_RNA"),
        ("nowhere", None, None, "+", "nowhere_RNA"),
    ]
    names = ("id", "left_end_pos", "right_end_pos", "direction")
    rows = [dict(zip(names, row, strict=False), symbol=None, rna_ids=[row[4]]) for row in table]
    genes = script.build_genes(rows, codes=codes)
    assert genes["minus"][:4] == ("minus", 11, 20, "-")
    assert {name: gene.is_coding for name, gene in genes.items()} == {
        "plus": True,
        "minus": True,
        "rna": False,
        "pseudo": False,
    }


def test_compressed_bytes_carry_no_time_and_no_name():
    data = script.compress("ACGT\n")
    assert data[3:8] == bytes(5)
    assert gzip.decompress(data) == b"ACGT\n"


def test_two_builds_give_the_same_bytes_and_keep_other_files(small_archive, tmp_path):
    path, settings = small_archive
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        (folder / "__init__.py").write_text("kept")
        script.write_quickstart_data(path, folder, source=settings, rules=RULES)
    files = [{p.name: p.read_bytes() for p in sorted(folder.iterdir())} for folder in folders]
    assert files[0] == files[1]
    assert files[0]["__init__.py"] == b"kept"
    assert set(files[0]) == list_own_files()


def test_wrong_archives_are_refused(small_archive, tmp_path, monkeypatch):
    path, settings = small_archive
    monkeypatch.setattr(sys, "argv", ["build", "--source", str(path), "--output", str(tmp_path / "out")])
    with pytest.raises(DataError, match=r"expected 8fd1bcb1.*source archive of vecoli 1\.1\.2\.post3"):
        script.main()
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match=r"found 302700 bp .* expected 4641652 bp of U00096\.3"):
        script.read_archive(path, settings=replace(settings, genome_bp=GENOME_BP))
    with pytest.raises(DataError, match=r"expected 302700 bp of U00096\.4"):
        script.read_archive(path, settings=replace(settings, accession="U00096.4"))


# Rules, one by one --------------------------------------------------------------------------------------


def test_doctests_of_the_script_hold():
    result = doctest.testmod(script)
    assert result.attempted >= 3
    assert result.failed == 0


def _unit(name, genes, left, right, direction):
    return {"id": name, "genes": genes, "left_end_pos": left, "right_end_pos": right, "direction": direction}


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (_unit("U", ["a", "b"], 1000, 2400, "+"), (999, "+")),  # one base before a, which starts at 1001
        (_unit("U", ["b", "a"], 401, 2400, "+"), (400, "+")),  # 600 bases
        (_unit("U", ["a"], 400, 1100, "+"), None),  # 601 bases
        (_unit("U", ["a"], 1001, 1100, "+"), None),  # starts with its gene
        (_unit("U", ["b"], 1000, 2400, "+"), None),  # 1001 bases before b
        (_unit("U", ["d", "c"], 2900, 4101, "-"), (4100, "-")),  # one base before d, which ends at 4100
        (_unit("U", ["d", "c"], 2900, 4700, "-"), (4699, "-")),
        (_unit("U", ["d", "c"], 2900, 4701, "-"), None),
        (_unit("U", ["d"], 2900, 4100, "-"), None),
        (_unit("U", ["c"], 2890, 4000, "+"), None),  # its gene points the other way
        (_unit("U", ["lost"], 1000, 1100, "+"), None),
        (_unit("U", ["lost", "a"], 990, 1100, "+"), (989, "+")),
    ],
)
def test_promoter_ends_by_hand(unit, expected):
    places = {"a": (1000, 1100, "+"), "b": (2000, 2400, "+"), "c": (2899, 3900, "-"), "d": (3950, 4100, "-")}
    genes = {name: script.Gene(name, *place, True) for name, place in places.items()}
    ends = script.find_promoter_ends([unit], genes=genes, settings=RULES)
    assert [(end.position, end.strand) for end in ends] == ([expected] if expected else [])


def test_units_that_share_an_end_give_one_promoter():
    genes = {"a": script.Gene("a", 100, 200, "+", True)}
    units = [_unit(name, ["a"], left, 200, "+") for name, left in (("U3", 91), ("U2", 51), ("U1", 51))]
    ends = script.find_promoter_ends(units, genes=genes, settings=RULES)
    assert ends == [(50, "+", "U2"), (90, "+", "U3")]


TOY = replace(
    RULES,
    upstream_bp=6,
    downstream_bp=2,
    min_distance_bp=5,
    block_bp=50,
    blocks_per_cycle=4,
    test_blocks=(0,),
    validation_blocks=(2,),
    edge_bp=4,
)


def test_splits_equal_a_brute_force_version():
    """Five blocks, the last one short; the first and the last are test, so the origin is no edge."""
    genome_bp = 230
    starts = np.arange(genome_bp - 9 + 1)
    names = ["test", "train", "validation", "train", "test"]
    expected = []
    for start in starts:
        gaps = [max(start - edge, edge - (start + 9)) for edge in (50, 100, 150, 200)]
        expected.append("" if min(gaps) < 4 else names[start // 50])
    assert script.compute_splits(starts, genome_bp=genome_bp, settings=TOY).tolist() == expected


def test_origin_is_an_edge_where_the_split_changes():
    splits = script.compute_splits(np.array([0, 3, 4, 86, 87, 88]), genome_bp=100, settings=TOY)
    assert splits.tolist() == ["", "", "test", "train", "train", ""]


def test_windows_are_read_on_their_strand():
    codes = encode_bases("A" * 20 + "CCCTTTGGG" + "A" * 21)
    ends = [script.PromoterEnd(26, "+", "U1"), script.PromoterEnd(22, "-", "U2")]
    settings = replace(TOY, edge_bp=0)
    same_place = script.build_positives(ends[:1], codes=codes, accession="X", settings=settings)
    assert same_place.windows == [(20, 29, "+", 1, "test", "X:27+:U1", "CCCTTTGGG")]
    mirrored = script.build_positives(ends[1:], codes=codes, accession="X", settings=settings)
    assert mirrored.windows == [(20, 29, "-", 1, "test", "X:23-:U2", "CCCAAAGGG")]
    both = script.build_positives(ends, codes=codes, accession="X", settings=settings)
    assert [w.id for w in both.windows] == ["X:27+:U1"], "the same bases, read from the other side"
    assert both.counts["promoters_repeated_or_ambiguous"] == 1


def test_windows_across_the_origin_and_with_other_letters_are_dropped():
    codes = encode_bases("ACGTTGCAAC" * 2 + "N" + "CATTGACCGA" * 3)
    positions = (5, 6, 20, 48, 49)
    ends = [script.PromoterEnd(position, "+", "U") for position in positions]
    built = script.build_positives(ends, codes=codes, accession="X", settings=replace(TOY, block_bp=100))
    assert [window.start for window in built.windows] == [0, 42]
    assert built.counts == {
        "promoter_ends": 5,
        "promoters_across_origin": 2,
        "promoters_near_split_edge": 0,
        "promoters_repeated_or_ambiguous": 1,
    }


def test_antisense_cells_equal_a_brute_force_version():
    generator = np.random.default_rng(1)
    genome_bp = 600
    for _ in range(20):
        starts = np.append(0, np.sort(generator.integers(0, 540, size=12)))
        genes = [
            script.Gene(f"g{i}", int(s), int(s) + int(generator.integers(20, 60)), "+-"[i % 2], i % 4 != 3)
            for i, s in enumerate(starts)
        ]
        positions = np.append(598, generator.integers(0, genome_bp, size=6))  # 2 bases before the origin
        ends = [script.PromoterEnd(int(position), "+", "U") for position in positions]
        found = script.find_antisense_cells(genes, ends=ends, genome_bp=genome_bp, settings=TOY)
        expected = []
        for start in range(0, genome_bp - 8, 9):
            cell = range(start, start + 9)
            touched = [i for i, g in enumerate(genes) if g.start < start + 9 and g.end > start]
            far = all(
                min(abs(base - end.position), genome_bp - abs(base - end.position)) >= 5
                for base in cell
                for end in ends
            )
            if len(touched) == 1 and far:
                gene = genes[touched[0]]
                if gene.is_coding and gene.start <= start and start + 9 <= gene.end:
                    expected.append((start, touched[0]))
        assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


def _window(start, label, split, sequence="ACGT"):
    return script.Window(start, start + 9, "+", label, split, f"id{start}", sequence)


def test_negatives_are_drawn_by_the_seed_and_missed_when_too_few():
    positives = [_window(1, 1, "train"), _window(2, 1, "test")]
    candidates = [_window(100 + i, 0, split) for i, split in enumerate(["train", "test", "validation"] * 20)]
    chosen = script.choose_negatives(candidates, positives=positives, settings=TOY)
    assert sorted(window.split for window in chosen) == ["test", "test", "train", "train"]
    assert len(set(chosen)) == 4
    assert chosen == script.choose_negatives(candidates, positives=positives, settings=TOY)
    others = [
        script.choose_negatives(candidates, positives=positives, settings=replace(TOY, seed=s))
        for s in range(1, 4)
    ]
    assert any(other != chosen for other in others)
    with pytest.raises(DataError, match=r"found 1 windows .* of the test split; expected at least 2"):
        script.choose_negatives(candidates[:4], positives=positives, settings=TOY)


def test_shared_kmers_are_counted_on_either_strand():
    train = "ACCGTAAGGTGT"
    windows = [
        _window(0, 1, "train", train),
        _window(1, 1, "test", _opposite(train)),
        _window(2, 0, "test", "GGGG" + train[2:10]),
        _window(3, 0, "validation", "GGGGG" + train[2:9]),
        _window(4, 0, "test", "T" * 12),
    ]
    assert script.compute_shared_kmers(windows, k=8) == pytest.approx(0.5)
    assert script.compute_gc([_window(0, 1, "train", "GGCA"), _window(1, 1, "train", "AATT")]) == 3 / 8
