"""The workflow on a Slurm cluster of this machine alone: every notebook a job with what its preset asks for; one that
is cancelled is done again by the next call. Skipped where Slurm's daemons or Snakemake's plugin are not installed.

`PCODEC_CLUSTER=smoke` takes that preset, whole, in place of the first notebooks with a small one."""

import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from patience import wait

from pcodec.experiment import presets

ROOT = Path(__file__).parents[2]
PRESET = os.environ.get("PCODEC_CLUSTER", "few")
FEW = """
grid: {seed: 1, units: [16], C: [2]}
01_corpus:
  {personal_speakers: 2, train_speakers: 6, validation_speakers: 2, test_speakers: 2, training_seconds: 9,
   personal_seconds: 27, unseen_seconds: 9}
03_bitstream: {max_frames: 4800}
04_embedding: {updates: 3, speeds: []}
05_groups: {seeds: 2}
resources: {default: {mem_mb: 2000, runtime: 10}, 04_embedding: {mem_mb: 2500, runtime: 12}}
"""
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=86400
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
DAEMONS = ("munged", "slurmctld", "slurmd")


class Cluster:
    """Slurm with one node of two cores: this machine."""

    def __init__(self, folder):
        ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        controller, node = (each.getsockname()[1] for each in ports)
        for each in ports:
            each.close()
        host = socket.gethostname().split(".")[0]
        folder.chmod(0o711)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "key").write_bytes(os.urandom(1024))
        (folder / "key").chmod(0o400)
        self.configuration, self.folder = folder / "slurm.conf", folder
        tell = f'#!/bin/sh\nSLURM_CONF={self.configuration} exec {_found("srun")} "$@"\n'  # jobs do not have it
        (folder / "bin").mkdir()
        (folder / "bin" / "srun").write_text(tell)
        (folder / "bin" / "srun").chmod(0o755)
        self.configuration.write_text(
            CONF.format(host=host, controller=controller, node=node, user=getpass.getuser(), folder=folder)
        )
        files = {"key-file": "key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log",
                 "seed-file": "munge.seed"}  # fmt: skip
        options = [f"--{name}={folder / file}" for name, file in files.items()]
        self.daemons = [self._start("munged", "--foreground", "--force", *options)]
        wait(10, (folder / "munge.socket").exists)
        self.daemons.append(self._start("slurmctld", "-D", "-f", str(self.configuration)))
        self.daemons.append(self._start("slurmd", "-D", "-f", str(self.configuration), "-N", host))
        if not wait(30, lambda: "idle" in self("sinfo", "-h", "-o", "%T")):
            told = [(folder / f"{name}.log").read_text()[-500:] for name in DAEMONS]
            self.end()
            pytest.fail(f"Slurm has not started: {told}")

    def _start(self, name, *arguments):
        with open(self.folder / f"{name}.log", "w") as log:
            return subprocess.Popen([_found(name), *arguments], env=self.environment, stdout=log, stderr=log)

    @property
    def environment(self):
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return os.environ | {"SLURM_CONF": str(self.configuration), "PATH": path}

    def __call__(self, *command):
        """What one of Slurm's commands prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True).stdout

    def jobs(self):
        """(number, state, cores, memory, minutes, rule) of every job so far."""
        lines = self("squeue", "--states=all", "--noheader", "--format=%i|%T|%C|%m|%l|%k").splitlines()
        return [tuple(line.split("|")) for line in lines]

    def end(self):
        self("scancel", "--user", getpass.getuser())
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait(20)


def _found(name):
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    missing = [name for name in (*DAEMONS, "sbatch") if not _found(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)}: not installed")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("snakemake-executor-plugin-slurm is not installed")
    running = Cluster(tmp_path_factory.mktemp("slurm"))
    yield running
    running.end()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "workflow"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns(".*"))
    (home / "cache").mkdir()
    (home / "pcodec").symlink_to(ROOT / "pcodec")  # its weights, from which some trainings go on
    for path in (ROOT / "cache").glob("*-v*"):  # generated voices and features
        (home / "cache" / path.name).symlink_to(path)
    (home / "workflow" / "presets" / "few.yaml").write_text(FEW)
    profile = yaml.safe_load((home / "workflow" / "profiles" / "slurm" / "config.yaml").read_text())
    own = home / "profile"  # as many cores as the node has, no accounting, and no patience
    own.mkdir()
    here = {"max-threads": 2, "slurm-status-command": "squeue", "seconds-between-status-checks": 1,
            "slurm-init-seconds-before-status-checks": 1, "latency-wait": 5}  # fmt: skip
    (own / "config.yaml").write_text(yaml.safe_dump(profile | here))
    return home


@pytest.fixture(scope="module")
def calls(cluster, home):
    """Two calls of the command, in the first of which a job is cancelled while it runs: their status and lines."""
    command = [sys.executable, "-m", "pcodec", "reproduce", "--preset", PRESET, "--profile", str(home / "profile")]
    if PRESET == "few":
        command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--profile", "profile",
                   "results/few-demo/05_groups-C2.ipynb", "--config", "preset=few", "corpus=demo"]  # fmt: skip
    environment = cluster.environment | {"PCODEC_HOME": str(home), "OMP_NUM_THREADS": "1"}

    def running():
        return [number for number, state, *_, rule in cluster.jobs() if state == "RUNNING" and "embedding" in rule]

    told, statuses = [], []
    for number in range(2):
        with open(home / f"told-{number}", "w+") as file:
            process = subprocess.Popen(command, cwd=home, env=environment, stdout=file, stderr=subprocess.STDOUT)
            if number == 0:
                wait(240, running)
                time.sleep(3)
                cluster("scancel", *running())
            statuses.append(process.wait())
            file.seek(0)
            told.append(file.read())
    return statuses, told, cluster.jobs()


def test_a_cancelled_job_fails_the_call_and_the_next_one_does_it_again(calls, home):
    statuses, told, jobs = calls
    assert statuses == [1, 0], told[-1][-3000:]
    assert "embedding" in told[0]
    assert (home / "results" / f"{PRESET}-demo" / "embedding.csv").exists()
    states = [state for _, state, *_, rule in jobs if rule == "rule_embedding"]
    assert sorted(states) == ["CANCELLED", "COMPLETED"]


def test_all_jobs_are_accounted_for(calls, home):
    """Each is done once, but for the cancelled one, and nothing else has run."""
    _, _, jobs = calls
    assert [state for _, state, *_ in jobs if state != "COMPLETED"] == ["CANCELLED"]
    done = [rule for _, state, *_, rule in jobs if state == "COMPLETED"]
    assert len(done) == len(set(done)) == len(list((home / "results" / f"{PRESET}-demo").glob("*.ipynb")))


def test_jobs_have_the_memory_minutes_and_cores_of_the_preset(calls, home):
    _, _, jobs = calls
    needs = yaml.safe_load((home / "workflow" / "presets" / f"{PRESET}.yaml").read_text())
    rules = {job[5] for job in jobs}
    assert {"rule_corpus", "rule_embedding"} <= rules
    for word, rule in (("01_corpus", "corpus"), ("04_embedding", "embedding"), ("09_objective", "objective")):
        wanted = presets.resources(needs, word)
        number = min(wanted["threads"], 2) if word == "09_objective" else 1
        found = {job[2:5] for job in jobs if job[5] == f"rule_{rule}"}
        assert found <= {(f"{number}", f"{wanted['mem_mb']}M", f"{wanted['runtime']}:00")}
