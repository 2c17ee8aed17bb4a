"""The scripts of `sophia slurm`: what they ask for, how they quote, when they queue up again."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from data.errors import ConfigError
from sophia_cli.app import app
from sophia_cli.config import resolve_config
from sophia_cli.slurm import Invocation, Script, make_scripts
from sophia_cli.slurm_settings import SlurmStage, seconds_of
from tests.command import assert_refused, result_of, sophia

ODD = 'it\'s a "run" of $5, 100%j'


@pytest.fixture
def run(tmp_path: Path) -> Path:
    result_of("ingest", "world:train", "--run", tmp_path / ODD, "--limit", "2")
    return tmp_path / ODD


def scripts_of(stages: str, *assignments: str, run: Path = Path("run")) -> dict[str, Script]:
    config = resolve_config([], assignments, {}).config
    invocation = Invocation(run, assignments=assignments)
    chosen = [SlurmStage(stage) for stage in stages.split()]
    return {script.stage: script for script in make_scripts(chosen, config, invocation)}


def directives(script: Script) -> list[str]:
    lines = script.text.splitlines()
    return [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]


def test_every_stage_is_a_script_that_bash_can_read() -> None:
    odd = ("slurm.time=1:00:00", f"caption.prompt={ODD}", "slurm.chain=follow")
    for stages in ("caption reason reward train eval", "verify propagate-reward"):
        for script in scripts_of(stages, *odd, run=Path(ODD)).values():
            done = subprocess.run(["bash", "-n"], input=script.text, text=True, capture_output=True)
            assert (done.returncode, done.stderr) == (0, "")
            asked = directives(script)
            assert {"--requeue", "--open-mode=append", "--nodes=1"} <= {*asked}
            assert f"--signal=USR1@{900 if script.stage == 'train' else 120}" in asked
            (output,) = [shlex.split(line)[0] for line in asked if line.startswith("--output=")]
            assert output.startswith(f"--output={Path(ODD).absolute()}/logs/".replace("%", "%%"))


def test_stages_that_can_be_shared_are_arrays() -> None:
    found = scripts_of("caption reward train eval", "slurm.num_workers=16", "slurm.max_running=8")
    assert "--array=0-15%8" in directives(found["caption"])
    assert "--array=0-15%8" in directives(found["reward"])
    assert "--array=0-15%8" in directives(found["eval"])
    assert not [line for line in directives(found["train"]) if "--array" in line]
    assert '--worker "slurm-$task"' in found["caption"].text


def test_a_training_may_have_several_nodes() -> None:
    one = scripts_of("train caption")
    assert all("--nodes=1" in directives(script) for script in one.values())
    assert re.search(r"^srun \S+ train$", one["train"].text.replace(" \\", ""), re.MULTILINE)
    script = scripts_of("train caption", "train.num_nodes=4", "slurm.gpus_per_task=8")
    asked = directives(script["train"])
    assert {"--nodes=4", "--ntasks-per-node=1", "--gres=gpu:8"} <= {*asked}
    assert "export MASTER_ADDR=$(scontrol show hostnames" in script["train"].text
    assert "\nsrun" not in script["train"].text, "the command itself runs it"
    assert "--nodes=1" in directives(script["caption"])


def test_a_training_asks_for_a_gpu_for_each_rank() -> None:
    """Of every shipped configuration: with fewer, training would refuse to start."""
    files = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
    found = {}
    for file in files:
        config = resolve_config([file], [], {}).config
        (script,) = make_scripts([SlurmStage.TRAIN], config, Invocation(Path("run")))
        assert f"--gres=gpu:{config.train.num_ranks}" in directives(script)
        assert f"--nodes={config.train.num_nodes}" in directives(script)
        found[file.stem] = (config.train.num_ranks or 1) * config.train.num_nodes
    assert found["sophia-internvl3-38b"] == 16
    assert found["sophia-qwen2.5-vl-7b"] == 8

    def asked(*assignments: str) -> list[str]:
        return [x for x in directives(scripts_of("train", *assignments)["train"]) if "gres" in x]

    assert asked("train.num_ranks=4", "slurm.gpus_per_task=2") == ["--gres=gpu:4"]
    assert asked("train.num_ranks=4", "slurm.stages.train.gpus_per_task=8") == ["--gres=gpu:8"]
    assert asked("train.num_ranks=4", "slurm.gpus_per_task=0") == []
    with pytest.raises(ConfigError, match=r"gpus_per_task = 2 is fewer.*num_ranks = 4"):
        asked("train.num_ranks=4", "slurm.stages.train.gpus_per_task=2")


def test_each_stage_may_have_its_own_notice() -> None:
    def notices(*assignments: str) -> list[str]:
        found = scripts_of("caption train", "slurm.time=1:00:00", *assignments).values()
        for script in found:
            (notice,) = [x for x in directives(script) if x.startswith("--signal=USR1@")]
            seconds = 3600 - int(notice.partition("@")[2])
            assert f"--time-budget {seconds // 60}m " in script.text
        return [re.findall(r"USR1@(\d+)", script.text)[0] for script in found]

    assert notices() == ["120", "900"]
    assert notices("slurm.signal_seconds=300") == ["300", "300"]
    assert notices("slurm.stages.train.signal_seconds=1200") == ["120", "1200"]


def test_a_short_time_limit_has_a_short_notice() -> None:
    for limit, short, long in (("10:00", 120, 150), ("4:00", 60, 60), ("1:00:00", 120, 900)):
        found = scripts_of("caption train", f"slurm.time={limit}")
        assert f"--signal=USR1@{short}" in directives(found["caption"])
        assert f"--signal=USR1@{long}" in directives(found["train"])
    assert "--time-budget 7m30s" in scripts_of("train", "slurm.time=10:00")["train"].text
    with pytest.raises(ConfigError, match=r"slurm\.time = 10:00 .*slurm\.signal_seconds = 900"):
        scripts_of("train", "slurm.time=10:00", "slurm.stages.train.signal_seconds=900")


def test_only_stages_that_run_models_ask_for_gpus() -> None:
    def gpus(*assignments: str) -> dict[str, list[str]]:
        found = scripts_of("caption reason reward train", *assignments)
        return {s: [x for x in directives(t) if "gpu" in x] for s, t in found.items()}

    one, four = ["--gres=gpu:1"], ["--gres=gpu:4"]
    assert gpus() == {"caption": one, "reason": one, "reward": [], "train": one}
    stage = "slurm.stages.reason.gpus_per_task=4"
    assert gpus(stage) == {"caption": one, "reason": four, "reward": [], "train": one}
    spread = "models.policy.engine_args={tensor_parallel_size=2, pipeline_parallel_size=2}"
    assert gpus(spread) == {"caption": four, "reason": one, "reward": [], "train": one}
    assert not any(gpus("slurm.gpus_per_task=0").values())
    served = gpus("models.policy.engine=endpoint", "models.reasoner.engine=endpoint")
    assert served == {"caption": [], "reason": [], "reward": [], "train": one}


def test_settings_become_options() -> None:
    found = scripts_of(
        "caption reason",
        *("slurm.partition=gpu", "slurm.account=lab", "slurm.qos=high", "slurm.mem=64G"),
        *("slurm.constraint=a100|h100", "slurm.cpus_per_task=8", "slurm.time=04:00:00"),
        *('slurm.options=["--exclusive"]', 'slurm.setup=["module load cuda"]'),
        *("slurm.stages.reason.time=1-12", "slurm.stages.reason.partition=long"),
    )
    caption, reason = found["caption"], found["reason"]
    assert {
        *("--partition=gpu", "--account=lab", "--qos=high", "--mem=64G", "--time=04:00:00"),
        *("--constraint='a100|h100'", "--cpus-per-task=8", "--exclusive"),
    } <= set(directives(caption))
    assert {"--partition=long", "--time=1-12", "--mem=64G"} <= set(directives(reason))
    # Since 22.05 srun does not take this from the job any more.
    assert "\nsrun --cpus-per-task=8 " in caption.text
    assert "\nmodule load cuda\n" in caption.text
    assert "--time-budget 3h58m " in caption.text
    assert "--time-budget 35h58m " in reason.text
    assert "slurm." not in caption.text


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        *(("90", 5400), ("5:30", 330), ("4:00:00", 14400), ("2-1", 176400)),
        *(("1-12:30", 131400), ("1-00:00:01", 86401)),
    ],
)
def test_time_limits(limit: str, seconds: int) -> None:
    assert seconds_of(limit) == seconds


def test_chains() -> None:
    stages = "train reward reason caption"
    afterok = scripts_of(stages)
    assert list(afterok) == ["caption", "reason", "reward", "train"]
    expected: list[str | None] = [None, "afterok:JOB", "afterok:JOB", "afterok:JOB"]
    assert [script.dependency for script in afterok.values()] == expected
    assert not [script for script in afterok.values() if "--follow" in script.text]
    follow = scripts_of(stages, "slurm.chain=follow")
    expected = [None, "after:JOB_0", "after:JOB_0", "afterok:JOB"]
    assert [script.dependency for script in follow.values()] == expected
    following = [script.stage for script in follow.values() if "--follow" in script.text]
    assert following == ["reason", "reward"]


@pytest.mark.parametrize(
    ("stages", "following"),
    [
        ("reason judge reward train", ["judge"]),
        ("reason verify judge propagate-reward", ["verify"]),
    ],
)
def test_rewards_wait_for_the_end_of_the_judge(stages: str, following: list[str]) -> None:
    scripts = scripts_of(stages, "slurm.chain=follow").values()
    assert [script.stage for script in scripts if "--follow" in script.text] == following
    dependencies = {script.stage: script.dependency for script in scripts}
    for stage in stages.split()[1:]:
        expected = "after:JOB_0" if stage in following else "afterok:JOB"
        assert dependencies[SlurmStage(stage)] == expected


def test_options_are_there() -> None:
    commands = typer.main.get_group(app).commands
    for stages in ("caption reason reward train eval", "verify propagate-reward"):
        for script in scripts_of(stages, "slurm.chain=follow", "slurm.time=1:00:00").values():
            known = {option for known in commands[script.stage].params for option in known.opts}
            call = script.text.partition(f" {script.stage} \\\n")[2].partition("code=$?")[0]
            used = set(re.findall(r"^ +(--[\w-]+)", call, re.MULTILINE))
            assert "--run" in used and used <= known


def test_commands_are_called_as_this_one_was(run: Path, tmp_path: Path) -> None:
    config = tmp_path / "it's mine.toml"
    config.write_text("[slurm]\ntime = '1:00:00'\n")
    values = ("--set", f"caption.prompt={ODD}", "--set", "slurm.mem=1G")
    printed = sophia(
        *("slurm", "caption", "--run", run, "--config", config, *values),
        *("--config", "world:demo.toml"),
        SOPHIA_RUN__SEED="7",
        SOPHIA_SLURM__QOS="low",
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.startswith("#!/bin/bash\n")
    stub = tmp_path / "srun"
    stub.write_text('#!/bin/bash\nprintf "%s\\n" "$@" "$SOPHIA_RUN__SEED"\n')
    stub.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = {"PATH": path, "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "0"}
    done = subprocess.run(
        ["bash"], input=printed.stdout, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    program, *arguments = done.stdout.splitlines()
    assert Path(program).is_absolute() and Path(program).name == "sophia"
    assert arguments == [
        *("caption", "--run", str(run), "--config", str(config), "--config", "world:demo.toml"),
        *("--set", f"caption.prompt={ODD}", "--time-budget", "58m", "--worker", "slurm-5_0", "7"),
    ]


def turn(script: Script, folder: Path, exit_code: int, *, new: str = "") -> tuple[int, str]:
    """One turn of a job; returns its exit code, and what was queued again."""
    requeued = folder / "requeued"
    requeued.write_text("")
    for name, body in {
        "srun": f"{f'echo > {folder}/run/{new}' if new else ''}\nexit {exit_code}\n",
        "scontrol": f'echo "$@" > {requeued}\n',
    }.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}")
        (folder / name).chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_ARRAY_JOB_ID": "5",
        "SLURM_ARRAY_TASK_ID": "3",
    }
    done = subprocess.run(["bash"], input=script.text, text=True, env=environment)
    return done.returncode, requeued.read_text().strip()


def test_a_task_is_queued_again_while_there_is_progress(tmp_path: Path) -> None:
    (tmp_path / "run" / "logs" / "slurm").mkdir(parents=True)
    (tmp_path / "run" / "captions").mkdir()
    script = scripts_of("caption", "slurm.max_requeues_without_progress=2", run=tmp_path / "run")[
        "caption"
    ]
    again = (75, "requeue 5_3")  # one task, not the whole array
    assert turn(script, tmp_path, 75) == again
    assert turn(script, tmp_path, 75) == again
    assert turn(script, tmp_path, 75, new="captions/a.parquet") == again
    parts = "checkpoints/.work/plan/parts/digest"  # of what a training will read
    (tmp_path / "run" / parts).mkdir(parents=True)
    assert turn(script, tmp_path, 75, new=f"{parts}/part-00000000.parquet") == again
    assert turn(script, tmp_path, 75, new="captions/.lease") == again
    assert turn(script, tmp_path, 75) == again
    assert turn(script, tmp_path, 75) == (75, "")
    for code in (0, 3, 4, 6):
        assert turn(script, tmp_path, code) == (code, "")


def test_several_scripts_are_printed_apart_or_written(run: Path, tmp_path: Path) -> None:
    printed = sophia("slurm", "reward", "caption", "--run", run)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.index("#---------- caption") < printed.stdout.index("#---------- reward")
    found = result_of("slurm", "reward", "caption", "--run", run, "--output-dir", tmp_path / "out")
    assert [(row["stage"], row["job_id"], row["script"]) for row in found] == [
        ("caption", None, str(tmp_path / "out" / "caption.sbatch")),
        ("reward", None, str(tmp_path / "out" / "reward.sbatch")),
    ]
    assert [Path(row["script"]).read_text() for row in found] == [row["text"] for row in found]


def test_what_can_go_wrong(run: Path, tmp_path: Path) -> None:
    assert_refused(sophia("slurm", "caption", "--run", tmp_path / "none"), 5, "sophia ingest")
    done = sophia("slurm", "capton", "--run", run)
    assert done.returncode == 2 and "propagate-reward" in done.stderr
    assert_refused(sophia("slurm", "reward", "verify", "--run", run), 2, "twice", "parts")

    def refused(assignment: str, *words: str) -> None:
        assert_refused(sophia("slurm", "caption", "--run", run, "--set", assignment), 2, *words)

    refused("slurm.time=soon", "slurm.time", "'soon' is no time limit", "h:m:s")
    refused("slurm.time=0", "slurm.time", "no time to work in")
    refused("slurm.stages.reson.mem=1G", "slurm.stages.reson", "'reason'")
    refused("slurm.num_worker=2", "slurm.num_workers")


def test_no_sbatch(run: Path, tmp_path: Path) -> None:
    done = sophia("slurm", "caption", "--run", run, "--submit", PATH=str(tmp_path))
    assert_refused(done, 2, "no sbatch", "--output-dir")
