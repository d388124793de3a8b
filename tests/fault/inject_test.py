"""One call fails, of all that there are, one after the other: a call to MPI at each place in heed that makes one, each
allocation, each call that changes a file. The program ends with one line and a documented status, or goes on where it
can; nothing hangs or crashes, and the same command again ends with the bits of a run that nothing befell.

    inject_test.py HEED SOURCE INJECT.so mpi | memory | disk | clock [few]
"""
import collections
import errno
import filecmp
import multiprocessing.pool
import os
import pathlib
import re
import shutil
import sys
import time

from fault import ENDLESS, Failed, Run, arguments, check, fail, same, stop_and_compare, train, write_config

library, kind = arguments[:2]
few = arguments[2:] == ["few"]
STATUSES = {64, 65, 66, 69, 71, 73, 74, 78, 80, 81}  # never 70 (a fault in heed itself), a signal, or a shell's 126 and on
SMALL = ["--quiet", "train.steps=4", "checkpoint.every=2", "log.attention_every=2", "eval.every=2", "train.batch=6",
         "train.watchdog=20", "model.width=16", "model.time=16"]
write_config()


def start(folder, what, ranks, only=None, settings=SMALL, file=None):
    environment = {"LD_PRELOAD": library, "HEED_INJECT": what, "HEED_INJECT_COUNT": os.path.abspath("count")}
    if file is not None:
        environment["HEED_INJECT_FILE"] = file
    if only is not None:
        environment["HEED_INJECT_RANK"] = str(only)
    return Run(folder, *settings, ranks=ranks, environment=environment)


def count(ranks, only):
    """How many calls or places there are to fail, in a run where none does."""
    run = start(f"counted-{ranks}-{only}", f"{kind}:0", ranks, only)
    check(run.wait() == 0, f"{kind}: a run where nothing fails ended with {run.process.returncode}")
    return pathlib.Path(f"count.{only if ranks else 0}").read_text()


def disk_calls():
    """All calls that change a file of the run, as (file, number among those of the file, call)."""
    calls, numbers = [], collections.Counter()
    for line in count(0, 0).splitlines():
        call, path = line.split(" ", 1)
        file = path[path.rindex("run"):] if path.endswith("run") else path[path.rindex("run/"):]
        numbers[file] += 1
        calls.append((file, numbers[file], call))
    return calls


def some(calls):
    """Every kind of call once for every kind of file: of those that are alike the first, the last, and what lies between,
    in turn."""
    alike = collections.defaultdict(list)
    for file, number, call in calls:
        alike[re.sub(r"\d+", "", file), call].append((file, number, call))
    return [those[[0, -1, len(those) // 2][i % 3]] for i, those in enumerate(alike.values())]


def records(calls):
    """Those of figures and logs: no checkpoint may be written for as long as one of an earlier step is missing."""
    return [call for call in calls if call[0].endswith(".jsonl") or "attention/" in call[0]]


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
    if "unknown reason" in run.said():
        return f"it does not say why: {faults}"
    return ""


def go_on(folder):
    """The same command without a fault. What is wrong with what came of both, or ''."""
    again = Run(folder, *SMALL, ranks=0)
    if again.wait(100) != 0:
        return f"the run after it failed: {again.said()[-500:]}"
    if "passed over" in again.said():
        return f"a damaged file was left: {again.said()[-500:]}"
    left = [str(path) for path in pathlib.Path(folder).rglob("*.tmp")]
    if left:
        return f"temporary files are left: {left}"
    same("whole", folder)
    for checkpoint in pathlib.Path(folder, "run/checkpoints").iterdir():  # some of the whole run's may have been left out
        check(filecmp.cmp(checkpoint, pathlib.Path("whole/run/checkpoints", checkpoint.name), False), f"{checkpoint} differs")
    return ""


def one(case):
    """A run with one fault, and one after it without: (what was done to whom, status, what is wrong or '', the line)."""
    name, what, ranks, only, *file = case
    folder = f"case-{name}"
    run = start(folder, what, ranks, only, file=file[0] if file else None)
    status = run.wait(100)
    run.wait_until_gone(10)
    wrong = judge(what, run, status)
    line = next((line for line in run.lines() if not line.startswith("heed: warning: ")), "")
    try:
        if not wrong and kind in ("disk", "memory"):
            wrong = go_on(folder)
    except Failed as failed:
        wrong = str(failed)
    if not wrong:
        shutil.rmtree(folder)
    where = file[0] if file else f"rank {only}" if ranks else "the only rank"
    return f"{what} on {where}", status, wrong, line


def each(cases):
    """Runs all cases; prints how they ended."""
    ends, n_wrong = collections.Counter(), 0
    with multiprocessing.pool.ThreadPool(1 if cases and cases[0][2] else os.cpu_count()) as pool:
        for what, status, wrong, line in pool.imap_unordered(one, cases):
            ends[status] += 1
            n_wrong += wrong != ""
            if wrong:
                print(f"WRONG: {what}: {wrong}", flush=True)
            elif os.environ.get("HEED_FAULT_VERBOSE"):
                print(f"{what}: {status}: {line}", flush=True)
    print(f"{kind}: {len(cases)} tried, {len(cases) - n_wrong} survived; ends by status: {dict(sorted(ends.items()))}")
    if n_wrong:
        sys.exit(1)


train("whole", *SMALL, ranks=0)
if kind == "mpi":
    cases = []
    for only in (0, 2):
        n = int(count(3, only))
        cases += [(f"{only}-{i}", f"mpi:{i}", 3, only) for i in range(1, n + 1, 5 if few else 1)]
    each(cases)
elif kind == "memory":
    n = int(count(0, 0))
    each([(f"{i}", f"memory:{i}", 0, None) for i in range(1, n + 1, max(1, n // 40) if few else 1)])
elif kind == "disk":
    reasons, calls = (errno.ENOSPC, errno.EFBIG, errno.EIO), disk_calls()
    if few:
        cases = [(f"{i}", f"disk:{number}:{reasons[i % 3]}", 0, None, file)
                 for i, (file, number, call) in enumerate(some(calls))]
        cases += [(f"full-{i}", f"disk:{number}:{errno.ENOSPC}+", 0, None, file)
                  for i, (file, number, call) in enumerate(some([c for c in calls if c[2] == "write" or "step" in c[0]])[::2])]
        cases += [(f"long-{i}", f"disk:{number}:{errno.EFBIG}=", 0, None, file)
                  for i, (file, number, call) in enumerate(records(calls)) if number == 1]
    else:
        cases = [(f"{i}-{reason}", f"disk:{number}:{reason}", 0, None, file)
                 for i, (file, number, call) in enumerate(calls) for reason in reasons]
        cases += [(f"full-{i}", f"disk:{number}:{errno.ENOSPC}+", 0, None, file)
                  for i, (file, number, call) in enumerate(some(calls))]
        cases += [(f"long-{i}", f"disk:{number}:{errno.EFBIG}=", 0, None, file)
                  for i, (file, number, call) in enumerate(records(calls))]
    print(f"disk: {len(calls)} calls change a file in a run of 4 steps", flush=True)
    each(cases)
elif kind == "clock":
    settings = ["eval.every=0", "log.attention_every=0", "checkpoint.every=50", "train.schedule=constant", "train.watchdog=4",
                "train.walltime=1:00:00", "train.batch=32", "model.width=64"]
    run = start("clock", "clock", 3, settings=[*settings, f"train.steps={ENDLESS}"])
    check(run.wait_for_step(5), "clock: the run has ended")
    seconds = 5 if few else 60  # the watchdog looks several times in each
    time.sleep(seconds)
    check(run.process.poll() is None, f"clock: the run has ended with {run.process.returncode}: {run.lines()[-1:]}")
    stop_and_compare(run, *settings)
    told = sorted(path.name for path in pathlib.Path(".").glob("count.*"))
    check(told == ["count.0", "count.1", "count.2"], f"only these were told wrong times: {told}")
    check(not [line for line in run.lines() if "silent" in line], f"clock: {run.lines()}")
    print(f"clock: set by a day {10 * seconds} times in a run of 3 ranks: the same bits")
else:
    fail(f"{kind}: no such kind")
