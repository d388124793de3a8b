"""The job scripts of scripts/slurm under a real SLURM, which this test starts for itself: whatever ends a job early, there
is a checkpoint and the status 75, the next life goes on, and the final bits are those of a run that nothing interrupted.

No row depends on the speed of the machine: a job has no end of its own until it was interrupted, and then gets one by its
config, some steps behind its checkpoint. Most of a row is waiting for SLURM, so all rows run side by side.

    slurm_test.py HEED SOURCE [few | all]
"""
import multiprocessing.pool
import os
import pathlib
import time

import world
from fault import ENDLESS, arguments, check, program, same, source, train, write_config

world.enter()
from slurm_cluster import ENDED, Cluster, Job  # noqa: E402

scripts = source / "scripts/slurm"
everything = arguments == ["all"]
write_config()
OPTIONS = ["--ntasks-per-node=2", "--overcommit"]
ENVIRONMENT = {"HEED_PROGRAM": program, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
               "OMPI_MCA_mpi_yield_when_idle": "1", **({} if everything else {"HEED_KILL_WAIT": "5"})}
SETTINGS = ["eval.every=0", "log.attention_every=0", "checkpoint.every=0", "train.schedule=constant", "model.width=128",
            "train.batch=32"]  # some 20 steps a second: what a job does until SLURM's signal comes is done twice
BEHIND = 20  # steps


def write_steps(folder, steps):
    """The job's own config; the next life reads it."""
    text = pathlib.Path("config.ini").read_text().replace("steps = 40\n", f"steps = {steps}\n")
    check(f"steps = {steps}\n" in text, "config.ini has other steps")
    folder.mkdir(exist_ok=True)
    (folder / "new.ini").write_text(text)
    (folder / "new.ini").replace(folder / "config.ini")


def written(job):
    return sorted(int(path.stem[5:]) for path in (job.folder / "run/checkpoints").glob("step-*.h5"))


def row(case):
    """One job that is interrupted in the midst of its steps. What came of it, in words."""
    name, script, launcher, interrupt, options, ends = case
    start = time.monotonic()
    folder = pathlib.Path(f"{name}-{script.split('.')[0]}-{launcher}").resolve()
    write_steps(folder, ENDLESS)
    job = Job(cluster, folder, [*OPTIONS, *options], scripts / script, folder / "config.ini", *SETTINGS,
              environment={**ENVIRONMENT, "HEED_LAUNCHER": launcher})
    job.wait_for_step(5)
    interrupt(job)
    if ends is GOES_ON:  # SLURM lets some seconds pass before the next life
        job.wait_for(lambda: written(job), 120, "has no checkpoint of the interruption")
        steps = max(written(job)) + BEHIND
        write_steps(folder, steps)
        state, status = job.wait_for_end()
    else:
        state, status = job.wait_for_end()
        check(written(job), f"{folder}: {state} {status}, without a checkpoint")
        steps = max(written(job)) + BEHIND
    check((state, status) in ends, f"{folder}: {state} {status}")
    check(job.lives() == 1 + (ends is GOES_ON), f"{folder}: {job.lives()} lives")
    if ends is not GOES_ON:  # the same command goes on, in whatever shape
        train(folder, f"train.steps={steps}", *SETTINGS, ranks=1)
    check(written(job) == [steps - BEHIND, steps], f"{folder}: checkpoints of {written(job)}")
    whole = folder.with_name(f"{folder.name}-whole")
    train(whole, f"train.steps={steps}", *SETTINGS, ranks=1)
    same(whole, folder)
    return (f"{name}, {script}, {launcher}: {state} {status}, stopped after step {steps - BEHIND} of {steps}, same bits in the end, "
            f"{time.monotonic() - start:.0f} s")


def scancel(*how):
    return lambda job: cluster.ask("scancel", *how, job.number)


def requeue(job):
    cluster.ask("scontrol", "requeue", job.number)


def time_limit(job):
    """The job's limit becomes one minute, and SLURM's own signal comes before it. The next life may last longer."""
    cluster.ask("scontrol", "update", f"JobId={job.number}", "TimeLimit=1")
    job.wait_for(lambda: job.lives() > 1, 120, "is not put back")
    cluster.ask("scontrol", "update", f"JobId={job.number}", "TimeLimit=30")


def wait_for_walltime(job):
    """Nothing: the job knows from SLURM when its minute is over."""


REQUEUE, ONCE = "train-requeue.sbatch", "train.sbatch"
CANCELLED, STOPPED = [("CANCELLED", status) for status in (0, 1, 75)], [("FAILED", 75)]  # 1: mpirun's own word after SIGTERM
GOES_ON = [("COMPLETED", 0)]
rows = [
    ("walltime", REQUEUE, "srun", wait_for_walltime, ["--time=1", "--signal=B:URG@1"], GOES_ON),
    ("time-limit", REQUEUE, "srun", time_limit, ["--signal=B:USR1@50"], GOES_ON),
    ("usr1", REQUEUE, "mpirun", scancel("--signal=USR1", "--batch"), [], GOES_ON),
    ("requeue", REQUEUE, "srun", requeue, [], GOES_ON),
    ("scancel", REQUEUE, "mpirun", scancel(), [], CANCELLED),
    ("term", ONCE, "srun", scancel("--signal=TERM"), [], STOPPED),
]
more = [
    ("walltime", REQUEUE, "mpirun", wait_for_walltime, ["--time=1", "--signal=B:URG@1"], GOES_ON),
    ("time-limit", REQUEUE, "mpirun", time_limit, ["--signal=B:USR1@50"], GOES_ON),
    ("usr1", REQUEUE, "srun", scancel("--signal=USR1", "--batch"), [], GOES_ON),
    ("requeue", REQUEUE, "mpirun", requeue, [], GOES_ON),
    ("scancel", REQUEUE, "srun", scancel(), [], CANCELLED),
    ("usr1", ONCE, "mpirun", scancel("--signal=USR1", "--batch"), [], STOPPED),
    ("usr1", ONCE, "srun", scancel("--signal=USR1", "--batch"), [], STOPPED),
]
cluster = Cluster()
n_survived = 0
for some in [rows, more] if everything else [rows]:
    with multiprocessing.pool.ThreadPool(len(some)) as pool:
        for words in pool.imap_unordered(row, some):
            print(words, flush=True)
            n_survived += 1
cluster.stop()
print(f"slurm: {n_survived} tried, {n_survived} survived")
