from genolm.corpus.audit.duplicates import find_duplicates

DNA = "AACCGTTTAG"
OTHER_STRAND = "CTAAACGGTT"


def test_nothing(make_data):
    found = find_duplicates(make_data([DNA, "ACGT", "AAAA"], [0, 1, 1]))
    assert (found.exact, found.reverse_complement, found.contradictory) == (0, 0, 0)
    assert found.sharing.count("any_other") == 0
    assert found.contradictory_examples == found.split_examples == ()


def test_each_kind_is_counted(make_data):
    sequences = [DNA, "ACGT", OTHER_STRAND, DNA, "ACGT", "TTTT", "AAAA", "GGG"]
    found = find_duplicates(make_data(sequences, [0, 0, 0, 0, 1, 1, 1, 1]))
    assert found.exact == 2  # one more DNA, one more ACGT, which is its own reverse complement
    assert found.reverse_complement == 2  # DNA and its other strand, TTTT and AAAA
    assert (found.contradictory, found.contradictory_records) == (1, 2)
    assert found.contradictory_examples == ("r1 and r4",)
    assert found.sharing.count("any_other") == 7
    assert found.sharing.count("own_class", label="0") == 3
    assert found.sharing.count("other_class") == 2


def test_the_other_strand_with_another_label_contradicts(make_data):
    found = find_duplicates(make_data([DNA, OTHER_STRAND], [0, 1]))
    assert (found.exact, found.reverse_complement, found.contradictory) == (0, 1, 1)


def test_across_splits(make_data):
    splits = ["train", "test", "test", "validation"]
    found = find_duplicates(make_data([DNA, OTHER_STRAND, "GGG", "CCC"], [0, 0, 1, 1], splits))
    counts = {(each.split, each.other): each.shared for each in found.sharing.splits}
    assert counts == {("validation", "train"): 0, ("test", "train"): 1, ("test", "validation"): 1}
    assert found.split_examples == ("r0 and r1", "r2 and r3")


def test_ambiguous_letters_have_complements(make_data):
    found = find_duplicates(make_data(["RBDAN", "NTHVY", "RBDAA"], [0, 0, 1]))
    assert found.reverse_complement == 1
    assert found.sharing.count("any_other") == 2


def test_a_few_examples_are_named(make_data):
    sequences = [letters * 5 for letters in ("AAC", "AAG", "ACC", "ACG", "AGC", "CAC", "GAC")]
    found = find_duplicates(make_data(sequences * 2, [0] * 7 + [1] * 7))
    assert found.contradictory == 7
    assert found.contradictory_examples == tuple(f"r{i} and r{i + 7}" for i in range(5))
