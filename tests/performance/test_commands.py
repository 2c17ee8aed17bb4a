"""The measuring commands run as files, from any shell, and end in the keys that scripts read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(name: str, *arguments: str) -> str:
    """Standard output of a command that was started as the README says."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, f"tests/performance/{name}.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "name", ["generation", "pruning", "verification", "propagation", "training"]
)
def test_a_command_starts_from_its_file(name: str) -> None:
    assert "--json" in run(name, "--help")


@pytest.mark.parametrize(
    ("name", "arguments", "keys"),
    [
        (
            "propagation",
            ("--rows", "20000", "--text-rows", "500", "--rounds", "1"),
            {"vs_scan", "peak_gib", "rows"},
        ),
        (
            "verification",
            ("--rows", "500", "--questions", "2"),
            {"realistic_vs_math_verify", "distinct_vs_math_verify", "peak_gib"},
        ),
        (
            "training",  # its steps take a minute, most of it to start TRL
            ("--only", "head", "--tokens", "64", "--vocabulary", "512"),
            {"fused_vs_eager_peak_memory", "fused_vs_eager_seconds", "head_shape", "head"},
        ),
    ],
)
def test_a_small_run_ends_in_json(name: str, arguments: tuple[str, ...], keys: set[str]) -> None:
    found = json.loads(run(name, *arguments, "--json").splitlines()[-1])
    assert keys <= found.keys()
