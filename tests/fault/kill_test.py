"""SIGKILL at random instants: of one rank, of all, of mpirun; half of the kills while a checkpoint is being written. Each time the
job is gone within 5 s without orphans, the newest checkpoint that was acknowledged is still there and loads, no file is torn,
and the run, started again after each kill, ends with the bits of one that was never killed.

    kill_test.py HEED SOURCE NUMBER_OF_KILLS
"""
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

from fault import Run, arguments, check, program, same, train, write_config

WITHIN = 5.0  # seconds until the job is gone
n_kills = int(arguments[0])
seed = int(os.environ.get("HEED_FAULT_SEED", time.time()))
choose = random.Random(seed)
# a model whose checkpoint takes a while, saved every other step
settings = ["--quiet", "train.steps=200", "checkpoint.every=2", "log.attention_every=10", "eval.every=20", "train.batch=4",
            "model.width=128", "model.heads=2", "train.watchdog=20"]
write_config()
train("whole", *settings, ranks=1)
checkpoints = pathlib.Path("job/run/checkpoints")
counts = dict.fromkeys(["one rank", "all ranks", "mpirun"], 0)
n_inside = n_acknowledged = n_finished = 0
slowest = 0.0


def acknowledged():
    """The newest step of which log.txt says that its checkpoint is saved."""
    log = pathlib.Path("job/run/log.txt")
    said = re.findall(r"step-(\d+)\.h5 saved", log.read_text(errors="replace")) if log.exists() else []
    return max(map(int, said), default=0)


def temporary():
    return list(checkpoints.glob("*.tmp")) if checkpoints.exists() else []


def wait_for_instant(run, inside):
    """Until a random instant: mostly in the midst of the steps, and of a checkpoint when that is asked for. The ranks' process
    numbers by then; None when the run is over before."""
    begun = len(run.figures())
    from_start = not inside and choose.random() < 0.25
    while run.process.poll() is None and not from_start and len(run.figures()) <= begun:
        time.sleep(0.01)
    end = time.monotonic() + choose.uniform(0.0, 1.5)
    ranks = run.rank_processes()  # looked up before, since a checkpoint does not wait
    while run.process.poll() is None:
        if time.monotonic() > end and (not inside or temporary()):
            return ranks
        time.sleep(0.0005 if inside else 0.01)
    return None


def kill(run, whom, ranks, inside):
    if whom == "mpirun" or not ranks:
        victims = [run.process.pid]
    else:
        one = ranks.get(0) if inside else None  # rank 0 writes the checkpoints
        victims = list(ranks.values()) if whom == "all ranks" else [one or choose.choice(list(ranks.values()))]
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def check_files(before):
    """No file of a final name is torn; what was acknowledged is there, or a newer one."""
    files = [path for path in pathlib.Path("job/run").rglob("*.h5")]
    newest = sorted(checkpoints.glob("step-*.h5"))[-2:] if checkpoints.exists() else []
    for path in newest + [path for path in files if path.parent.name != "checkpoints"][-2:]:
        done = subprocess.run([program, "inspect", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(done.returncode == 0, f"{path} is torn: {done.stdout}")
    step = acknowledged()
    have = max((int(path.stem[5:]) for path in newest), default=0)
    check(have >= step, f"the checkpoint of step {step} was acknowledged, the newest is that of {have}")
    check(have >= before, f"step {before} was there before, now the newest is {have}")
    return step, have


tried, newest = 0, 0
while tried < n_kills or (2 * n_inside < n_kills and tried < 3 * n_kills):
    inside = tried % 2 == 0 or tried >= n_kills  # ranks outlive mpirun for a while, so that it is not killed inside
    whom = ["one rank", "all ranks"][tried // 2 % 2] if inside else sorted(counts)[tried // 2 % 3]
    run = Run("job", *settings, ranks=choose.choice([2, 3]))
    ranks = wait_for_instant(run, inside)
    if ranks is None:
        check(run.wait() == 0, f"ended with {run.process.returncode} before it was killed")
        same("whole", "job")
        n_finished += 1
        shutil.rmtree("job")
        newest = 0
        continue
    kill(run, whom, ranks, inside)
    slowest = max(slowest, run.wait_until_gone(WITHIN))
    n_inside += bool(temporary())
    step, newest = check_files(newest)
    n_acknowledged += step > 0
    counts[whom] += 1
    tried += 1
train("job", *settings, ranks=1)
same("whole", "job")
check(2 * n_inside >= n_kills, f"only {n_inside} of {tried} kills met a checkpoint")
check(not temporary(), "temporary files are left at the end")
print(f"kill: seed {seed}: {tried} kills ({', '.join(f'{n} of {whom}' for whom, n in counts.items())}), {n_inside} of them inside "
      f"a checkpoint: 0 torn, 0 of {n_acknowledged} acknowledged lost; jobs were gone after {slowest:.1f} s at most; "
      f"{n_finished + 1} runs ended with the uninterrupted run's bits")
