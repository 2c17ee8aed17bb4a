"""`sophia --help` and `sophia status` answer at once: nothing heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "vllm", "deepspeed", "datasets", "pandas")

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
