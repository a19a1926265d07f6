"""Runs the workflow: alone on a run's folders, with a word every ten seconds, and gone as a whole when it is ended.

Task: `pcodec reproduce` starts Snakemake, which starts a process for each notebook, which starts a kernel. However
`pcodec reproduce` ends, by Ctrl-C, by a closed terminal or killed with no time for a last word, none of them stays.

Conventions: all processes of a run carry the same `MARK` in their environment. A guard, started first and in its own
session, waits until nobody holds the other end of its standard input any more, and then ends whoever has the mark. The
run's lock is the operating system's: it goes with the last of the two processes that hold it.

Contents: `reproduce`, `guard`.
"""

import csv
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager

from pcodec import PcodecError, paths
from pcodec.experiment import presets
from pcodec.experiment import run as runs
from pcodec.experiment.progress import Heartbeat

PREFIX = "pcodec: error: "  # of the lines that say what went wrong, told again at the end
MARK = "PCODEC_REPRODUCE"
GRACE = 3.0  # s in which processes that are to end may tidy up
ENDING = 15.0  # s in which the guard of a killed run is done
LOCAL = "workflow/profiles/local"  # options of Snakemake for this machine
BETWEEN = 9.5  # s without a line from any notebook: none runs
LONGEST = 100  # bytes of a socket's path


def reproduce(
    preset: str, corpus: str, cores: str = "all", again: bool = False, profile: str = LOCAL,
    trainings: bool = False, minutes: float = 0.0,
) -> list[str]:  # fmt: skip
    """Bring a run up to date; `again` makes everything anew but published weights. Returns what to tell the user.

    `profile` is a folder with Snakemake's options; of any but `LOCAL` it also says where notebooks run, and `cores` has
    no part in that. With `trainings` nothing is made but what learns, and what it learns from; after `minutes`
    everything ends, and the next call goes on. Raises `PcodecError` with what went wrong, or if somebody else is making
    the run.
    """
    presets.load(preset)
    if not 0 <= minutes < float("inf"):
        raise PcodecError(f"minutes must be 0 (no limit) or more, got {minutes:g}")
    if not (paths.root() / profile / "config.yaml").is_file():
        raise PcodecError(f"profile {profile}: no file config.yaml")
    run = runs.run_name(preset, corpus)
    if trainings and (paths.models(run) / "README.md").exists():
        raise PcodecError(f"models/{run}: published weights are taken as they are; delete the folder to train anew")
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--profile", profile,
        *(["--cores", cores] if profile == LOCAL else []), "--config", f"preset={preset}", f"corpus={corpus}",
        *(["--forceall"] if again else []),
        # Rating what is decoded is one long job: not at the end, when other cores have nothing left to do.
        *(["--until", "trainings"] if trainings else ["--prioritize", f"results/{run}/objective.csv"]),
    ]  # fmt: skip
    errors, over = [], threading.Event()
    between = Heartbeat(run, lambda: f"{between.seconds:.0f} s since the start", BETWEEN)
    with _alone(run) as lock, _guarded(run, lock) as environment, between:
        if profile == LOCAL:
            environment = _with_warm_start(run, environment)
        process = subprocess.Popen(
            command, cwd=paths.root(), env=environment, stdin=subprocess.DEVNULL,
            stdout=sys.stderr, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        if minutes:
            _after(60 * minutes, over)
        for line in process.stderr:  # one comes every ten seconds
            if over.is_set():
                process.kill()  # what it has started ends with this block
                break
            between.heard()
            if line.startswith(PREFIX):
                errors.append(line.removeprefix(PREFIX).strip())
            print(line, end="", file=sys.stderr, flush=True)
        status = process.wait()
    if over.is_set():
        return [f"{minutes:g} minutes are over; the same command goes on"]
    if status:
        raise PcodecError("; ".join(dict.fromkeys(errors)) or f"snakemake ended with status {status}")
    with open(paths.results(run) / "corpus_left_out.csv", newline="") as file:
        left_out = len(list(csv.DictReader(file)))
    told = [f"{left_out} files left out, see results/{run}/corpus_left_out.csv"] if left_out else []
    return [*told, f"tables and executed notebooks: results/{run}; figures: figures/{run}"]


def _after(seconds, event):
    timer = threading.Timer(seconds, event.set)
    timer.daemon = True
    timer.start()


@contextmanager
def _alone(run):
    """Hold the run's lock. A run that was killed a moment ago is given the time to end."""
    with open(paths.cache("locks") / f"{run}.lock", "a+") as file:
        until = time.monotonic() + ENDING
        while not _locked(file):
            file.seek(0)
            holder, _, since = file.read().partition(" ")
            if time.monotonic() > until or _lives(holder):
                raise PcodecError(f"results/{run} is being made already, by process {holder} since {since}")
            time.sleep(0.2)
        file.truncate(0)
        file.write(f"{os.getpid()} {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        _tidy(run)
        yield file


def _locked(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _lives(process):
    import psutil

    return process.isdecimal() and psutil.pid_exists(int(process))


@contextmanager
def _guarded(run, lock):
    """The environment of processes that the guard ends when the block, or this process, has ended."""
    environment = os.environ | {MARK: uuid.uuid4().hex}
    guarding = [sys.executable, "-m", "pcodec.experiment.reproduce", run]
    process = subprocess.Popen(
        guarding, env=environment, stdin=subprocess.PIPE, start_new_session=True, pass_fds=[lock.fileno()]
    )
    try:
        yield environment
    finally:
        process.stdin.close()
        process.wait()


def _with_warm_start(run, environment):
    """The environment, in which `pcodec run` and kernels of one thread start from a process that has imported the
    libraries. In the background, what codecs call is compiled: the first notebook leaves all cores but one idle."""
    socket = paths.cache("locks") / f"{run}.socket"
    served = sys.platform == "linux" and len(os.fsencode(socket)) <= LONGEST
    socket.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pcodec.experiment.warm", *(["serve", str(socket)] if served else ["compile"])]
    one = dict.fromkeys(runs.THREADS, "1")
    subprocess.Popen(command, cwd=paths.root(), env=environment | one, stdin=subprocess.DEVNULL, start_new_session=True)
    return environment | ({"PCODEC_WARM": str(socket)} if served else {})


def guard(run: str, mark: str) -> None:
    """Wait for the end of standard input, then end all processes of the mark and remove what they were writing."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    until, told = time.monotonic() + GRACE, set()
    while left := _marked(mark):
        for process in left:
            late = time.monotonic() > until
            if late or process not in told:
                _send(process, signal.SIGKILL if late else signal.SIGTERM)
            told.add(process)
        time.sleep(0.1)
    _tidy(run)


def _send(process, number):
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass


def _marked(mark):
    """Processes with the mark, but this one."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process.pid)
        except psutil.Error:  # it has ended, or is somebody else's
            continue
    return found


def _tidy(run):
    """Remove what a killed run was writing."""
    for folder in (paths.results(run), paths.figures(run), paths.models(run)):
        for path in folder.rglob(".*"):
            if paths.TEMPORARY.match(path.name):
                path.unlink(missing_ok=True)


if __name__ == "__main__":
    guard(sys.argv[1], os.environ[MARK])
