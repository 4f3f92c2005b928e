"""A Slurm of two nodes on this machine, with neither accounting nor systemd; it needs root or not."""

import getpass
import os
import platform
import secrets
import shlex
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from engine import PATIENCE

from zsgan.assets.manifest import ROOT

CLIENTS = ("sacct", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
NODES = ("one", "two")

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A job that is queued again waits as long as a credential lives, two minutes by default.
AuthInfo=socket={place}/munge.socket,cred_expire=20
PluginDir={plugins}
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool.%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.%n.log
# Neither cgroups nor process groups, which a nested srun would leave
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
# The least loaded node comes first, so that both have work.
SelectTypeParameters=CR_Core,CR_LLN
SlurmdParameters=config_overrides
# Finished jobs stay in the queue's answer
MinJobAge=3600
AccountingStorageType=accounting_storage/none
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=3 RealMemory=64000
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=3 RealMemory=64000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
"""


class Cluster:
    """A running cluster.

    Attributes:
        place: folder of its state and logs.
        commands: folder of its clients.
        environment: variables with which they are on PATH.
    """

    def __init__(self, place: Path) -> None:
        self.place, self.commands = place, place / "bin"
        self.environment = {**os.environ, "PATH": f"{self.commands}{os.pathsep}{os.environ['PATH']}"}

    def call(self, *words: str) -> str:
        """What a client prints."""
        result = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)
        assert result.returncode == 0, f"{shlex.join(words)}: {result.stderr}"
        return result.stdout

    def jobs(self, **what: str) -> list[dict[str, str]]:
        """Every job since the cluster started that is like this."""
        names = ("job", "array", "task", "state", "node", "name", "limit")
        lines = self.call(
            "squeue", "--states=all", "--array", "-h", "-o", "%A %F %K %T %N %j %l"
        ).splitlines()
        rows = [line.replace("  ", " - ").split(" ") for line in lines]
        jobs = [dict(zip(names, row, strict=True)) for row in rows]
        return [job for job in jobs if job.items() >= what.items()]


@contextmanager
def cluster(place: Path):
    """Start a cluster, and stop it with all its jobs."""
    installed = subprocess.run([ROOT / ".ci" / "slurm"], capture_output=True, text=True)
    assert installed.returncode == 0, f"Slurm cannot be installed: {installed.stderr}"
    slurm = Path(installed.stdout.strip())
    libraries = {str(file.parent) for file in slurm.rglob("*.so*")}
    configuration = place / "slurm.conf"
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        for each in (one, two, three):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (one, two, three)]
    text = CONFIGURATION.format(
        host=platform.node().split(".")[0], user=getpass.getuser(), place=place, ports=ports,
        plugins=next(slurm.rglob("auth_munge.so")).parent,
    )  # fmt: skip
    configuration.write_text(text)
    (place / "state").mkdir()
    variables = {
        **os.environ, "LD_LIBRARY_PATH": ":".join(sorted(libraries)), "SLURM_CONF": str(configuration),
    }  # fmt: skip
    key = place / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    programs = slurm / "usr" / "sbin"
    stepd = programs / "slurmstepd-wlm"
    daemons = [
        [
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={place}/munge.socket",
            f"--pid-file={place}/munged.pid", f"--log-file={place}/munged.log",
            f"--seed-file={place}/munged.seed",
        ],
        ["slurmctld-wlm", "-D", "-f", configuration],
        *(["slurmd-wlm", "-D", "-N", node, "-f", configuration, "-d", stepd] for node in NODES),
    ]  # fmt: skip
    running = Cluster(place)
    running.commands.mkdir()
    for client in CLIENTS:  # a job's own calls find the cluster, too
        script = running.commands / client
        settings = " ".join(
            f"{name}={shlex.quote(variables[name])}" for name in ("LD_LIBRARY_PATH", "SLURM_CONF")
        )
        script.write_text(f'#!/bin/sh\nexec env {settings} {slurm / "usr" / "bin" / client} "$@"\n')
        script.chmod(0o755)
    started: list[subprocess.Popen[bytes]] = []
    try:
        for program, *options in daemons:
            with (place / "daemons.log").open("ab") as log:
                started.append(
                    subprocess.Popen(
                        [programs / program, *options], env=variables, stdout=log, stderr=log,
                        stdin=subprocess.DEVNULL,
                    )
                )  # fmt: skip
            if program == "munged":
                wait((place / "munge.socket").exists, running)
        wait(lambda: idle(running) == len(NODES), running)
        try:
            yield running
        finally:  # steps would outlive the daemons
            running.call("scancel", "--user", getpass.getuser())
            wait(lambda: not running.call("squeue", "-h", "-t", "pending,running,completing"), running)
    finally:
        for daemon in reversed(started):
            daemon.send_signal(signal.SIGTERM)
        for daemon in reversed(started):
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()


def idle(running: Cluster) -> int:
    """The number of nodes that wait for work."""
    result = subprocess.run(
        ["sinfo", "-h", "-N", "-t", "idle"],
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return len(result.stdout.splitlines())


def wait(what, running: Cluster) -> None:
    """Wait until something is so; the daemons' last words are in the error."""
    until = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > until:
            logs = [file.read_text(errors="replace")[-2000:] for file in running.place.glob("*.log")]
            raise AssertionError("in vain:\n" + "\n".join(logs))
        time.sleep(0.2)
