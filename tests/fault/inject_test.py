"""One call fails, of all that there are, one after the other: a call to MPI at each place in heed that makes one, each
allocation, each call that changes a file. The program ends with one line and a documented status, or goes on where it
can; nothing hangs or crashes, and the same command again ends with the bits of a run that nothing befell.

    inject_test.py HEED SOURCE INJECT.so mpi | memory | disk | clock [few]
"""
import collections
import errno
import multiprocessing.pool
import os
import pathlib
import shutil
import sys
import time

from fault import Run, arguments, check, fail, same, train, write_config

library, kind = arguments[:2]
few = arguments[2:] == ["few"]
STATUSES = {64, 65, 66, 69, 71, 73, 74, 78, 80, 81}  # never 70 (a fault in heed itself), a signal, or a shell's 126 and on
SMALL = ["--quiet", "train.steps=4", "checkpoint.every=2", "log.attention_every=2", "eval.every=2", "train.batch=6",
         "train.watchdog=20", "model.width=16", "model.time=16"]
write_config()


def start(folder, what, ranks, only=None, settings=SMALL):
    environment = {"LD_PRELOAD": library, "HEED_INJECT": what, "HEED_INJECT_COUNT": os.path.abspath("count")}
    if only is not None:
        environment["HEED_INJECT_RANK"] = str(only)
    return Run(folder, *settings, ranks=ranks, environment=environment)


def count(ranks, only):
    """How many calls or places there are to fail, in a run where none does."""
    run = start(f"counted-{ranks}-{only}", f"{kind}:0", ranks, only)
    check(run.wait() == 0, f"{kind}: a run where nothing fails ended with {run.process.returncode}")
    return int(pathlib.Path(f"count.{only if ranks else 0}").read_text())


def judge(what, run, status):
    """The form of an end: 0, or one line and a status of the table. What is wrong with it, or ''."""
    faults = [line for line in run.lines() if not line.startswith("heed: warning: ")]
    if status == 0:
        return f"a success with a fault: {faults}" if faults else ""
    if status not in STATUSES:
        return f"status {status}"
    if len(faults) != 1:
        return f"{len(faults)} lines: {faults}"
    if any(word in run.said() for word in ("Sanitizer", "core dump", "Segmentation", "internal check")):
        return "it crashed"
    return ""


def one(case):
    """A run with one fault, and one after it without. What came of it: a word for the table, or what is wrong."""
    name, what, ranks, only = case
    folder = f"case-{name}"
    run = start(folder, what, ranks, only)
    status = run.wait(100)
    run.wait_until_gone(10)
    wrong = judge(what, run, status)
    if not wrong and kind == "disk":
        left = [str(path) for path in pathlib.Path(folder).rglob("*.tmp")]
        again = Run(folder, *SMALL, ranks=0)
        if again.wait(100) != 0:
            wrong = f"the run after it failed: {again.said()[-500:]}"
        elif "passed over" in again.said():
            wrong = f"a damaged file was left: {again.said()[-500:]}"
        elif [path for path in pathlib.Path(folder).rglob("*.tmp")]:
            wrong = f"temporary files are left: {left}"
        else:
            same("whole", folder)
    line = next((line for line in run.lines() if not line.startswith("heed: warning: ")), "")
    if not wrong:
        shutil.rmtree(folder)
    return what, only, status, wrong, line


def each(cases):
    """Runs all cases; prints how they ended."""
    ends, n_wrong = collections.Counter(), 0
    with multiprocessing.pool.ThreadPool(1 if cases and cases[0][2] else os.cpu_count()) as pool:
        for what, only, status, wrong, line in pool.imap_unordered(one, cases):
            ends[status] += 1
            n_wrong += wrong != ""
            if wrong:
                print(f"WRONG: {what} on rank {only}: {wrong}", flush=True)
            elif os.environ.get("HEED_FAULT_VERBOSE"):
                print(f"{what} on rank {only}: {status}: {line}", flush=True)
    print(f"{kind}: {len(cases)} tried, {len(cases) - n_wrong} survived; ends by status: {dict(sorted(ends.items()))}")
    if n_wrong:
        sys.exit(1)


train("whole", *SMALL, ranks=0)
if kind == "mpi":
    cases = []
    for only in (0, 2):
        n = count(3, only)
        cases += [(f"{only}-{i}", f"mpi:{i}", 3, only) for i in range(1, n + 1, 5 if few else 1)]
    each(cases)
elif kind == "memory":
    n = count(0, 0)
    each([(f"{i}", f"memory:{i}", 0, None) for i in range(1, n + 1, max(1, n // 40) if few else 1)])
elif kind == "disk":
    n = count(0, 0)
    reasons = (errno.ENOSPC, errno.EFBIG, errno.EIO)
    if few:
        cases = [(f"{i}", f"disk:{i}:{reasons[i % 3]}", 0, None) for i in range(1, n + 1, max(1, n // 30))]
    else:
        cases = [(f"{i}-{e}", f"disk:{i}:{e}", 0, None) for i in range(1, n + 1) for e in reasons]
        cases += [(f"{i}-on", f"disk:{i}:{errno.ENOSPC}+", 0, None) for i in range(1, n + 1)]
    each(cases)
elif kind == "clock":
    begin = time.monotonic()
    settings = ["train.steps=60" if few else "train.steps=1000", "checkpoint.every=10", "train.watchdog=20"]
    train("whole-clock", *settings)
    run = start("clock", "clock", 3, settings=settings)
    check(run.wait(600) == 0, "clock: the run failed")
    jumps = sum(int(path.read_text()) for path in pathlib.Path(".").glob("count.*")) // 100
    check(jumps > 3, f"the clock was only set {jumps} times")
    check(not [line for line in run.lines() if "warning" in line], f"clock: {run.lines()}")
    same("whole-clock", "clock")
    print(f"clock: set by a day {jumps} times in a run of 3 ranks: the same bits, {time.monotonic() - begin:.0f} s")
else:
    fail(f"{kind}: no such kind")
