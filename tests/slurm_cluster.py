"""A real Slurm of one node, with its own configuration, ports and key, for as long as a test."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
START_SECONDS = 60

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
AuthType=auth/munge
# A requeued job waits until its credential has expired, by default for two minutes.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
# What containers without cgroups can do.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
# More CPUs than the machine may have, so that two arrays fit beside each other.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
# Test jobs do not wait for the next round.
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,requeue_delay=0
ReturnToService=2
KillWait=5
MinJobAge=3600
"""


@dataclass(frozen=True)
class Cluster:
    """A running Slurm."""

    folder: Path
    environment: dict[str, str]
    """What a command needs in its environment to find it."""

    def call(self, *command: str | Path) -> str:
        """Run one of Slurm's commands; returns what it printed."""
        done = subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            env=os.environ | self.environment,
            timeout=60,
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout.strip()

    def logs(self) -> str:
        """The ends of the daemons' logs, for a test that fails."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in files)

    def show(self, job: str) -> dict[str, str]:
        """What Slurm says of a job or of one task of an array."""
        return self._show(job)[0]

    def states(self, job: str) -> set[str]:
        """States of all tasks of a job, such as `RUNNING`."""
        return {task["JobState"] for task in self._show(job)}

    def _show(self, job: str) -> list[dict[str, str]]:
        lines = self.call("scontrol", "show", "job", "--oneliner", job).splitlines()
        return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]


@contextmanager
def slurm_cluster(num_nodes: int = 1) -> Iterator[Cluster]:
    """Start munged, slurmctld and slurmd; end them, and their jobs, after the block.

    A second node is this machine under its other name, which is known without any network too.
    """
    # Not below pytest's folder for the test: names of sockets may have 108 characters.
    with (
        TemporaryDirectory(prefix="slurm-") as folder,
        _running(Path(folder), num_nodes) as cluster,
    ):
        yield cluster


@contextmanager
def _running(folder: Path, num_nodes: int) -> Iterator[Cluster]:
    missing = [name for name in COMMANDS if shutil.which(name, path=PATH) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found. Install Slurm: make system")
    (folder / "state").mkdir()
    host = socket.gethostname().partition(".")[0]
    names = [host, "localhost"][:num_nodes]
    node = "NodeName={} NodeHostname={} NodeAddr=127.0.0.1 Port={} CPUs=4 State=UNKNOWN"
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            host=host,
            user=subprocess.check_output(["id", "-un"], text=True).strip(),
            controller_port=_free_port(),
            nodes="\n".join(node.format(name, host, _free_port()) for name in names),
        )
    )
    cluster = Cluster(folder, {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH})
    munge = [f"--{n}-file={folder / f'munge.{n}'}" for n in ("key", "pid", "log", "seed")]
    with ExitStack() as daemons:
        for command in (
            ["munged", "--foreground", "--force", *munge, f"--socket={folder / 'munge.socket'}"],
            ["slurmctld", "-D"],
            *(["slurmd", "-D", "-N", name] for name in names),
        ):
            daemons.enter_context(_daemon(command, cluster))
            if command[0] == "munged":
                wait_until((folder / "munge.socket").exists, cluster.logs)
        wait_until(lambda: _is_up(cluster, num_nodes), cluster.logs)
        try:
            yield cluster
        finally:
            cluster.call("scancel", "--user", str(os.getuid()))
            wait_until(lambda: not cluster.call("squeue", "--noheader"), cluster.logs)


@contextmanager
def _daemon(command: list[str], cluster: Cluster) -> Iterator[None]:
    with (cluster.folder / f"{command[0]}.out").open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | cluster.environment
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def _is_up(cluster: Cluster, num_nodes: int) -> bool:
    found = subprocess.run(
        ["sinfo", "--noheader", "--format=%D %T"],
        capture_output=True,
        text=True,
        env=os.environ | cluster.environment,
    )
    return found.stdout.strip() == f"{num_nodes} idle"


def wait_until(
    condition: Callable[[], bool], explain: Callable[[], str], seconds: float = START_SECONDS
) -> None:
    """Look again and again; fail with an explanation if it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
