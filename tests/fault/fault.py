"""What the fault tests share: a small run, its ranks' processes, and counts that are printed.

A test is called as: TEST.py HEED_PROGRAM SOURCE_FOLDER [ARGUMENT...], in an empty folder of its own. It prints what it
tried and survived, and ends with 1 at the first fault that was not survived, or with 77 where it cannot run.
"""
import filecmp
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

program, source = sys.argv[1], pathlib.Path(sys.argv[2])
arguments = sys.argv[3:]
mpiexec = os.environ.get("HEED_MPIEXEC", "mpiexec --oversubscribe --bind-to none").split()
shutil.rmtree("work", ignore_errors=True)
os.mkdir("work")
os.chdir("work")

CONFIG = """[run]
dir = run
seed = 7
[model]
layers = 2
heads = 2
width = 32
time = 32
dropout = 0.1
[data]
text = {text}
valid_share = 0.3
[train]
steps = 40
batch = 8
grain = 1
warmup = 5
threads = 1
[eval]
every = 10
batches = 1
[log]
attention_every = 10
[checkpoint]
every = 10
"""


class Failed(Exception):
    """A fault that was not survived. An exception, and not an exit, so that it comes out of a pool's threads too."""


def fail(*words):
    raise Failed(" ".join(map(str, words)))


def _tell_failure(kind, value, trace):
    if kind is not Failed:
        sys.__excepthook__(kind, value, trace)
        return
    print("FAILED:", value, flush=True)
    for folder in sorted(pathlib.Path(".").glob("*/out.txt")):
        print(f"--- {folder}\n{folder.read_text(errors='replace')[-3000:]}")


sys.excepthook = _tell_failure


def skip(*words):
    """A test that cannot run here says why; where continuous integration runs, that is a failure."""
    print("skipped:", *words, flush=True)
    sys.exit(1 if os.environ.get("CI") else 77)


def check(condition, *words):
    if not condition:
        fail(*words)


def write_config(lines=60):
    text = (source / "data/moby-dick.txt").read_text().split("\n")[:lines]
    pathlib.Path("book.txt").write_text("\n".join(text) + "\n")
    pathlib.Path("config.ini").write_text(CONFIG.format(text=pathlib.Path("book.txt").resolve()))


class Run:
    """One start of `heed train` in FOLDER/run; what is said goes to FOLDER/out.txt."""

    def __init__(self, folder, *settings, ranks=3, launcher=None, environment=None, command=None):
        self.folder, self.ranks = pathlib.Path(folder), ranks
        self.folder.mkdir(exist_ok=True)
        line = [program, "train", str(pathlib.Path("config.ini").resolve()), *settings] if command is None else command
        if launcher is None:
            launcher = [*mpiexec, "-n", str(ranks)] if ranks else []
        with open(self.folder / "out.txt", "a") as out:
            self.from_byte = out.tell()
            self.process = subprocess.Popen([*launcher, *line], cwd=self.folder, stdout=out, stderr=out,
                                            stdin=subprocess.DEVNULL, start_new_session=True,
                                            env={**os.environ, **(environment or {})})
        self.started = time.monotonic()

    def processes(self):
        """Process numbers of the session: the launcher and everything that it started and that is not a zombie."""
        found = []
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
        return sorted(found)

    def rank_processes(self):
        """rank -> process number, of ranks that run by now."""
        ranks = {}
        for pid in self.processes():
            try:
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
                name = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                continue
            if name == os.path.realpath(program):
                for entry in environment.split(b"\0"):
                    if entry.startswith(b"OMPI_COMM_WORLD_RANK="):
                        ranks[int(entry.split(b"=")[1])] = pid
        return ranks

    def said(self):
        return (self.folder / "out.txt").read_text(errors="replace")[self.from_byte:]

    def figures(self):
        """The lines of metrics.jsonl, one a step."""
        metrics = self.folder / "run/metrics.jsonl"
        return metrics.read_text().splitlines() if metrics.exists() else []

    def lines(self):
        """What heed itself said beside its commentary: the lines of errors."""
        return [line for line in self.said().split("\n") if line.startswith("heed: ")]

    def wait_for_step(self, step, seconds=60):
        """Until the metrics have that step; False when the run came to its end before it was seen there."""
        metrics = self.folder / "run/metrics.jsonl"
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if metrics.exists() and metrics.read_bytes().count(b"\n") >= step:
                return True
            check(time.monotonic() < end, f"{self.folder}: no step {step} in {seconds} s")
            time.sleep(0.01)
        check(self.process.returncode == 0, f"{self.folder}: status {self.process.returncode} before step {step}")
        return False

    def in_its_steps(self):
        """rank -> process number of all ranks, once the watchdogs have told each other of them; None when the run came to
        its end before."""
        if not self.wait_for_step(5):
            return None
        time.sleep(1)
        ranks = self.rank_processes()
        if len(ranks) == self.ranks:
            return ranks
        check(self.wait() == 0, f"{self.folder}: only the ranks {sorted(ranks)} are seen")
        return None

    def wait(self, seconds=120):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            fail(f"{self.folder}: still running after {seconds} s")

    def kill(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def wait_until_gone(self, seconds):
        """Until no process of the session is left; how long that took."""
        start = time.monotonic()
        while self.processes():
            self.process.poll()
            if time.monotonic() - start > seconds:
                left = [pathlib.Path(f"/proc/{p}/cmdline").read_bytes() for p in self.processes()]
                self.kill()
                fail(f"{self.folder}: after {seconds} s there are still {left}")
            time.sleep(0.02)
        self.process.wait()
        return time.monotonic() - start


def train(folder, *settings, expect=0, **options):
    run = Run(folder, *settings, **options)
    status = run.wait()
    check(status == expect, f"{folder}: status {status} instead of {expect}")
    return run


ENDLESS = 1000000000  # steps: the run ends when the test says so, on every machine in the midst of them


def stop_and_compare(run, *settings):
    """A run of ENDLESS steps is stopped on request, goes on for some steps, and has the bits of one that was never
    disturbed. For settings by which nothing depends on the number of steps: no attention logs, which hold the settings."""
    os.kill(run.process.pid, signal.SIGUSR1)  # mpirun passes it on
    check(run.wait() == 75, f"{run.folder}: stopped on request, it ended with {run.process.returncode}")
    steps = int(newest(run.folder).stem[5:]) + 5
    train(run.folder, *settings, f"train.steps={steps}", ranks=1)
    whole = pathlib.Path(f"{run.folder}-whole")
    train(whole, *settings, f"train.steps={steps}", ranks=1)
    same(whole, run.folder)


def newest(folder):
    return max(pathlib.Path(folder, "run/checkpoints").glob("step-*.h5"), default=None)


def same(a, b):
    """The runs in a and b ended with the same bits: last checkpoint, figures, attention logs."""
    one, other = newest(a), newest(b)
    check(one and other and one.name == other.name, f"{a} and {b} end with {one} and {other}")
    check(filecmp.cmp(one, other, False), f"{one} and {other} differ")
    check(filecmp.cmp(f"{a}/run/metrics.jsonl", f"{b}/run/metrics.jsonl", False), f"figures of {a} and {b} differ")
    logs = sorted(path.name for path in pathlib.Path(a, "run/attention").iterdir())
    check(logs == sorted(path.name for path in pathlib.Path(b, "run/attention").iterdir()), f"{a}, {b}: other logs")
    for log in logs:
        check(filecmp.cmp(f"{a}/run/attention/{log}", f"{b}/run/attention/{log}", False), f"{log} of {a}, {b} differ")
