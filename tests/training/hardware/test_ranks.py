import signal

import numpy as np
import pytest
import torch
from rank_processes import start_processes, wait_for

from genolm.errors import DataError, TrainingError
from genolm.training.hardware.ranks import Ranks, explain_dead_rank, get_ranks

ALONE = Ranks(0, 1, torch.device("cpu"))

CHECKS = """
    import sys, time, warnings
    from pathlib import Path
    import numpy as np
    import torch
    from genolm.errors import DataError, GenolmError
    from genolm.training.hardware.ranks import get_ranks

    folder, ranks = Path(sys.argv[1]), get_ranks()
    index, count = ranks.index, ranks.count
    assert ranks.device.type == "cpu"
    assert ranks.is_main == (index == 0)

    assert ranks.sum([1.5, index, 2.0**52]) == [1.5 * count, sum(range(count)), 2.0**52 * count]
    assert abs(ranks.sum([0.1])[0] - 0.1 * count) < 1e-15, "in float64"
    assert ranks.min(7 - index) == 8 - count
    assert ranks.min(2**40 + index) == 2**40

    for num_rows in (0, 1, 5, 6):
        every = np.arange(2 * num_rows, dtype=np.float32).reshape(num_rows, 2) / 3
        got = ranks.gather_rows(every[ranks.split_rows(num_rows)])
        assert got.dtype == np.float32 and np.array_equal(got, every), num_rows

    whole = torch.arange(24.0).reshape(2, 6, 2).to(torch.bfloat16).requires_grad_()
    got = ranks.gather_tensor(whole[:, ranks.split_rows(6)], dim=1)
    assert got.dtype == torch.bfloat16 and torch.equal(got, whole) and not got.requires_grad

    assert ranks.share({"rank": index, "path": folder}) == {"rank": 0, "path": folder}
    assert ranks.share(None if ranks.is_main else "mine") is None

    ran = []
    assert ranks.on_main(lambda: ran.append(index) or f"made by {index}") == "made by 0"
    assert ran == ([0] if ranks.is_main else [])
    def fail():
        raise DataError(found=f"a fault on {index}", expected="none", remedy="mend it")
    for _ in range(2):  # and the next exchange is in step
        try:
            ranks.on_main(fail)
        except DataError as error:
            assert (error.found, error.expected, error.remedy) == ("a fault on 0", "none", "mend it")
        else:
            raise AssertionError("no error")

    with ranks.main_first():
        if ranks.is_main:
            assert not list(folder.iterdir())
            time.sleep(0.3)
        else:
            assert (folder / "0").exists()
        (folder / str(index)).touch()
    ranks.wait()
    assert len(list(folder.iterdir())) == count
    ranks.wait()
    torch.distributed.destroy_process_group()
    print("all checks held")
"""

DEATH = """
    import os, signal, sys
    from genolm.training.hardware.ranks import explain_dead_rank, get_ranks
    ranks = get_ranks()
    ranks.sum([1.0])
    if ranks.index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    what = {
        "sum": lambda: ranks.sum([1.0]),
        "share": lambda: ranks.share(None),
        "wait": ranks.wait,
    }[sys.argv[1]]
    try:
        what()
        what()
    except RuntimeError as error:
        print(explain_dead_rank(error))
    sys.stdout.flush()
    os._exit(0)
"""


def test_two_and_three_real_processes_exchange_what_they_should(tmp_path):
    runs = []
    for count in (2, 3):  # at the same time, since starting takes longest
        (tmp_path / str(count)).mkdir()
        runs.append(start_processes(count, CHECKS, tmp_path / str(count)))
    for processes in runs:
        for status, output, errors in wait_for(processes):
            assert (status, output) == (0, "all checks held\n"), errors


def test_a_killed_peer_is_told_in_one_line():
    runs = [start_processes(2, DEATH, exchange) for exchange in ("sum", "share", "wait")]
    for processes in runs:
        (status, output, errors), killed = wait_for(processes)
        assert killed[0] == -signal.SIGKILL
        assert status == 0, errors
        assert output.startswith("found another process of the run gone, or out of reach ("), output + errors
        assert "; expected all processes until the end; give the same command again" in output
        assert output.count("\n") == 1


def test_an_error_that_has_nothing_to_do_with_exchanges_is_not_explained():
    assert explain_dead_rank(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    for error in (
        torch.distributed.DistNetworkError("The client socket has timed out"),
        RuntimeError("[enforce fail at gloo/transport/tcp/pair.cc] Connection closed\n by peer"),
        RuntimeError("NCCL communicator was aborted on rank 0."),
    ):
        assert isinstance(explain_dead_rank(error), TrainingError)
        assert "\n" not in str(explain_dead_rank(error))


def test_one_process_alone_needs_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert (get_ranks().index, get_ranks().count) == (0, 1)
    rows, tensor = np.arange(3), torch.arange(3)
    assert ALONE.is_main
    assert ALONE.sum([1.0, 2.5]) == [1.0, 2.5]
    assert ALONE.min(3) == 3
    assert ALONE.gather_rows(rows) is rows
    assert torch.equal(ALONE.gather_tensor(tensor, dim=0), tensor)
    assert ALONE.share(rows) is rows
    assert ALONE.on_main(lambda: 5) == 5
    error = DataError(found="a", expected="b", remedy="c")

    def fail() -> None:
        raise error

    with pytest.raises(DataError, match="found a; expected b; c") as caught:
        ALONE.on_main(fail)
    assert caught.value is error
    with ALONE.main_first():
        ALONE.wait()


@pytest.mark.parametrize(("num_rows", "count"), [(0, 1), (0, 4), (3, 4), (4, 4), (7, 3), (100, 7)])
def test_rows_are_split_in_order_and_evenly(num_rows, count):
    slices = [Ranks(index, count, torch.device("cpu")).split_rows(num_rows) for index in range(count)]
    assert [row for part in slices for row in range(num_rows)[part]] == list(range(num_rows))
    lengths = [part.stop - part.start for part in slices]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] - lengths[-1] <= 1
