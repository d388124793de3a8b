"""The job scripts of scripts/slurm under a real SLURM, which this test starts for itself: whatever ends a job early, there
is a checkpoint and the status 75, the next life goes on, and the final bits are those of a run that nothing interrupted.

    slurm_test.py HEED SOURCE [few | all]
"""
import os
import time

import world
from fault import arguments, check, program, same, source, train, write_config

world.enter()
from slurm_cluster import ENDED, Cluster, Job  # noqa: E402

scripts = source / "scripts/slurm"
everything = arguments == ["all"]
write_config()
config = os.path.abspath("config.ini")
OPTIONS = ["--ntasks-per-node=2", "--overcommit"]
ENVIRONMENT = {"HEED_PROGRAM": program, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none"}
cluster = Cluster()
tried = survived = 0


def settings(steps):
    return [f"train.steps={steps}", "eval.every=0", "log.attention_every=500", "checkpoint.every=500"]


def submit(name, script, launcher, steps, *options):
    return Job(cluster, name, [*OPTIONS, *options], scripts / script, config, *settings(steps),
               environment={**ENVIRONMENT, "HEED_LAUNCHER": launcher})


def whole(steps, known=set()):
    if steps not in known:
        train(f"whole-{steps}", *settings(steps), ranks=1)
        known.add(steps)
    return f"whole-{steps}"


def written(job):
    return [int(path.stem[5:]) for path in (job.folder / "run/checkpoints").glob("step-*.h5")]


def requested(job, steps):
    return [step for step in written(job) if step % 500 and step != steps]


def stopped(job, steps):
    """The step of the one checkpoint that was written on request. (mpirun forwards no words after SIGTERM, so that what was
    said of it may be lost.)"""
    check(len(requested(job, steps)) == 1, f"{job.folder}: checkpoints of {written(job)}")
    return requested(job, steps)[0]


def row(name, script, launcher, interrupt, *options, ends=None, lives=2, goes_on=True):
    """One job that is interrupted in the midst of its steps; long enough for that on any machine."""
    global tried, survived
    tried += 1
    start = time.monotonic()
    for steps in (1500, 15000, 150000):
        job = submit(f"{name}-{launcher}-{steps}", script, launcher, steps, *options)
        job.wait_for_step(5)
        interrupt(job)
        interrupted = time.monotonic()
        if goes_on:
            state, status = job.wait_for_end()
            check((state, status) == ("COMPLETED", 0), f"{job.folder}: {state} {status}")
            if job.lives() == 1 and time.monotonic() - interrupted < 4:
                continue  # it was done before the signal came
            if not requested(job, steps):
                continue  # or before the script passed it on; one that takes no notice fails when no number of steps is enough
            check(job.lives() == lives, f"{job.folder}: {job.lives()} lives")
            step = stopped(job, steps)
        else:
            state, status = job.wait_for_end()
            if steps in written(job):
                continue  # likewise
            check((state, status) in ends, f"{job.folder}: {state} {status}")
            step = stopped(job, steps)
            train(job.folder, *settings(steps), ranks=1)  # the same command goes on, in whatever shape
        same(whole(steps), job.folder)
        survived += 1
        print(f"{name}, {launcher}: stopped after step {step} of {steps}, same bits in the end, "
              f"{time.monotonic() - start:.0f} s", flush=True)
        return
    check(False, f"{name}: no job is long enough on this machine")


def scancel(*how):
    return lambda job: cluster.ask("scancel", *how, job.number)


def requeue(job):
    cluster.ask("scontrol", "requeue", job.number)


def time_limit(job):
    """The job's limit becomes one minute: SLURM's own signal comes 40 s before it. The second life may last longer."""
    cluster.ask("scontrol", "update", f"JobId={job.number}", "TimeLimit=1")
    while job.lives() == 1 and job.fields()["JobState"] not in ENDED:
        time.sleep(0.5)
    if job.lives() > 1:
        cluster.ask("scontrol", "update", f"JobId={job.number}", "TimeLimit=30")


REQUEUE, ONCE = "train-requeue.sbatch", "train.sbatch"
CANCELLED = {"goes_on": False, "ends": [("CANCELLED", 0), ("CANCELLED", 75)]}
rows = [
    ("usr1", REQUEUE, "mpirun", scancel("--signal=USR1", "--batch"), [], {}),
    ("scontrol-requeue", REQUEUE, "srun", requeue, [], {}),
    ("scancel", REQUEUE, "mpirun", scancel(), [], CANCELLED),
    ("term", ONCE, "srun", scancel("--signal=TERM"), [], {"goes_on": False, "ends": [("FAILED", 75)]}),
]
more = [
    ("usr1", REQUEUE, "srun", scancel("--signal=USR1", "--batch"), [], {}),
    ("scontrol-requeue", REQUEUE, "mpirun", requeue, [], {}),
    ("scancel", REQUEUE, "srun", scancel(), [], CANCELLED),
    ("time-limit", REQUEUE, "srun", time_limit, ["--signal=B:USR1@40"], {}),
    ("usr1", ONCE, "mpirun", scancel("--signal=USR1", "--batch"), [], {"goes_on": False, "ends": [("FAILED", 75)]}),
]
for name, script, launcher, interrupt, options, how in rows + (more if everything else []):
    row(name, script, launcher, interrupt, *options, **how)
cluster.stop()
print(f"slurm: {tried} tried, {survived} survived")
