"""Leases: one holder at a time, taken over when the holder is gone, and only then."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from stages.leases import Lease, claim, holder_of, leases

FOREVER = 1000.0


def test_one_of_many_gets_it(tmp_path: Path) -> None:
    won: list[Lease] = []
    barrier = threading.Barrier(16)

    def compete(number: int) -> None:
        barrier.wait()
        if lease := claim(tmp_path / "shard", f"w{number}", FOREVER):
            won.append(lease)

    threads = [threading.Thread(target=compete, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert won[0].is_held()
    assert [path.name for path in (tmp_path / "shard").iterdir()] == ["lease-000001"]


def test_given_back_it_is_free_at_once(tmp_path: Path) -> None:
    first = claim(tmp_path, "a", FOREVER)
    assert first is not None
    assert claim(tmp_path, "b", FOREVER) is None
    assert (found := holder_of(tmp_path, FOREVER)) is not None and found.worker == "a"
    first.give_back()
    assert holder_of(tmp_path, FOREVER) is None
    second = claim(tmp_path, "b", FOREVER)
    assert second is not None and second.is_held()
    assert not first.is_held()


def test_who_is_silent_loses_it_and_notices(tmp_path: Path) -> None:
    first = claim(tmp_path, "a", FOREVER)
    assert first is not None
    os.utime(first.path, (time.time() - 50, time.time() - 50))
    assert claim(tmp_path, "b", 60.0) is None
    second = claim(tmp_path, "b", 40.0)
    assert second is not None
    assert not first.is_held()
    first.touch()
    first.give_back()
    assert second.is_held(), "a lost lease can't harm the one that followed"
    assert claim(tmp_path, "c", FOREVER) is None


def test_touching_keeps_it(tmp_path: Path) -> None:
    lease = claim(tmp_path, "a", FOREVER)
    assert lease is not None
    os.utime(lease.path, (1, 1))
    lease.touch()
    assert claim(tmp_path, "b", 30.0) is None


def test_a_number_that_comes_round_again_is_another_lease(tmp_path: Path) -> None:
    old = claim(tmp_path, "a", FOREVER)
    assert old is not None
    old.path.unlink()  # the shard was finished, and then taken up anew
    new = claim(tmp_path, "b", FOREVER)
    assert new is not None and new.path == old.path
    assert not old.is_held()
    assert new.is_held()


def test_a_killed_process_on_this_machine_need_not_be_waited_for(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from stages.leases import claim; "
        "claim(Path(sys.argv[1]), 'dead', 1)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert len(leases(tmp_path)) == 1
    assert holder_of(tmp_path, FOREVER) is None
    assert claim(tmp_path, "b", FOREVER) is not None
