"""Training on one GPU: random weights at the shapes of InternVL3-2B, synthetic images and text.

Each part is a process of its own, so that its memory is its own and its failure concerns no other:

    policy      write the policy (always)
    attention   the packed path against sdpa: errors in bfloat16, milliseconds
    packing     logits of packed rows against the same rows alone, in bfloat16
    head        fused head against all logits: memory and milliseconds
    ours        optimizer steps, packed and row by row in turns: tokens/s, MFU, memory
    trl         TRL's SFTTrainer over the same rows, one at a time

    python -m tests.performance.training_gpu --out training_gpu.json
    python -m tests.performance.training_gpu --shape tiny --lengths 512 1024   # rehearse on a CPU
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from tests.performance.gpu_models import Rows

PARTS = ("attention", "packing", "head", "ours", "trl")
ONE_RANK = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "1",
    "WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29511",
}
"""Of the parts that use the trainer; TRL would wrap its model for several ranks."""


def hardware() -> dict[str, Any]:
    """What this runs on."""
    import deepspeed
    import torch
    import transformers

    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "deepspeed": deepspeed.__version__,
    }


def make_rows(arguments: argparse.Namespace) -> "list[Rows]":
    """Rows for each length."""
    from tests.performance.gpu_models import SHAPES, Rows

    shape = SHAPES[arguments.shape]
    return [
        Rows(
            longest=length,
            tokens_per_step=arguments.tokens_per_step,
            num_steps=arguments.warmup + arguments.steps,
            image_size=shape.image_size,
            image_tokens=shape.image_tokens,
        )
        for length in arguments.lengths
    ]


def run_part(name: str, arguments: argparse.Namespace, folder: Path) -> Any:
    """What a part finds."""
    import torch

    from tests.performance import gpu_steps
    from tests.performance.gpu_models import SHAPES, save_policy

    shape, policy = SHAPES[arguments.shape], folder / "policy"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "policy":
        save_policy(policy, shape, max(arguments.lengths), device)
        return {**hardware(), "shape": arguments.shape, "mfu_formula": gpu_steps.MFU_FORMULA}
    if name in ("attention", "packing", "head"):
        return run_check(name, arguments, folder, device)
    rows = make_rows(arguments)
    if name == "ours":
        from stages.training.loop import start_distributed

        device = start_distributed()
        return gpu_steps.measure_ours(policy, rows, shape, folder, arguments.warmup, device)
    length, weights = int(name.split()[1]), name.split()[2]
    (chosen,) = [each for each in rows if each.longest == length]
    plan = chosen.plan(folder / name, policy)
    return gpu_steps.measure_trl(policy, chosen, plan, shape, folder, arguments.warmup, weights)


def run_check(
    name: str, arguments: argparse.Namespace, folder: Path, device: "torch.device"
) -> Any:
    """What one of the parts finds that take no step."""
    import torch

    from stages.training.policy import Policy
    from tests.performance import gpu_checks
    from tests.performance.gpu_models import SHAPES

    text, vocabulary = SHAPES[arguments.shape].text, SHAPES[arguments.shape].vocabulary
    if name == "head":
        return gpu_checks.check_head(device, arguments.head_tokens, vocabulary, text["hidden_size"])
    if name == "attention":
        return gpu_checks.check_attention(
            device,
            arguments.lengths,
            heads=text["num_attention_heads"],
            key_heads=text["num_key_value_heads"],
            size=text["hidden_size"] // text["num_attention_heads"],
        )
    loaded = Policy(folder / "policy", torch.bfloat16, device)
    loaded.language.to(device)
    plan = make_rows(arguments)[0].plan(folder / "check", folder / "policy")
    return gpu_checks.check_packing(loaded, plan)


def measure(arguments: argparse.Namespace, given: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run the parts that were asked for, one after the other."""
    names = ["policy", *(part for part in PARTS[:-1] if part in arguments.parts)]
    if "trl" in arguments.parts:
        names += [f"trl {n} {kind}" for kind in arguments.trl_weights for n in arguments.lengths]
    results: dict[str, Any] = {}
    for name in names:
        started = time.monotonic()
        made = folder / "part.json"
        made.unlink(missing_ok=True)
        command = [sys.executable, "-m", __spec__.name, *given]
        command += ["--run-part", name, "--folder", str(folder)]
        environment = {**os.environ, **({} if name.startswith("trl") else ONE_RANK)}
        try:
            subprocess.run(command, check=True, env=environment, timeout=arguments.part_seconds)
            results[name] = json.loads(made.read_text())
        except (subprocess.SubprocessError, OSError) as error:
            results[name] = {"error": str(error)}
        print(json.dumps({name: results[name]}), flush=True)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        if arguments.out is not None:
            arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        if name == "policy" and "error" in results[name]:
            break
    return results


def main(given: Sequence[str]) -> None:
    """Measure, or run one part."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print all results once more")
    parser.add_argument("--out", type=Path, help="file for the results")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--shape", default="internvl3-2b", help="or: tiny")
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 16384, 32768])
    parser.add_argument("--tokens-per-step", type=int, default=65536)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4, help="timed")
    parser.add_argument("--head-tokens", type=int, nargs="+", default=[8192, 32768])
    kinds = ["float32", "bfloat16"]
    parser.add_argument("--trl-weights", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--part-seconds", type=float, default=180.0, help="a part may take")
    parser.add_argument("--run-part", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    if arguments.run_part:
        found = run_part(arguments.run_part, arguments, arguments.folder)
        (arguments.folder / "part.json").write_text(json.dumps(found))
        return
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    try:
        results = measure(arguments, given, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # as in the loop
