"""A command begins at once: nothing heavy is imported, and signals are heard before that."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sophia_cli.signals import STOP_SIGNALS

HEAVY = ("torch", "transformers", "vllm", "deepspeed", "datasets", "pandas")

CAUGHT = re.compile(r"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)
PROBE = """
import sys
sys.argv = ["sophia", *sys.argv[1:]]
from sophia_cli.app import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["status"], ["config"]])
def test_nothing_heavy_is_imported(arguments: list[str], tmp_path: Path) -> None:
    if arguments == ["status"]:
        arguments = ["status", "--run", str(tmp_path), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(heavy=HEAVY), *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_signals_are_heard_before_anything_is_imported(number: signal.Signals) -> None:
    """A job that is told to stop while it starts is queued again for its 75, and only for that."""
    command = [sys.executable, "-m", "sophia_cli", "status", "--run", "nowhere", "--watch", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    folder = Path("/proc") / str(process.pid)
    while not hears(folder, STOP_SIGNALS[-1]):  # Python itself hears the first SIGINT
        assert process.poll() is None
        time.sleep(0.001)
    assert "pyarrow" not in (folder / "maps").read_text()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "Traceback" not in said


def hears(folder: Path, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    found = CAUGHT.search((folder / "status").read_text())
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)
