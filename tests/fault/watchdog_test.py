"""A rank that is stopped for 3 s is named as straggler and costs nothing else; one that is stopped for ever, or hangs
outside MPI, ends the job within train.watchdog seconds with one line that names rank, host and stage."""
import os
import re
import signal
import time

from fault import Run, check, fail, same, train, write_config

LIMIT = 6.0
write_config()
steps = "train.steps=20000"
tried = survived = 0

for victim in (0, 2):  # for ever
    run = Run(f"stopped-{victim}", steps, f"train.watchdog={LIMIT}")
    run.wait_for_step(20)
    time.sleep(1)  # until the watchdogs have told each other of it
    pid = run.rank_processes()[victim]
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    tried += 1
    status = run.wait(30)
    took = time.monotonic() - start
    run.wait_until_gone(5)
    lost = [line for line in run.lines() if "lost" in line]
    check(status == 81, f"rank {victim} stopped: status {status}")
    check(took < LIMIT, f"rank {victim} stopped: the job ended after {took:.1f} s, the limit is {LIMIT}")
    check(len(lost) == 1 and re.search(rf"rank {victim} on {os.uname().nodename} is lost: .* last seen in stage '[a-z ]+' of step \d+", lost[0]),
          f"rank {victim} stopped: {lost}")
    survived += 1
    print(f"rank {victim} stopped: ended after {took:.1f} of {LIMIT:.0f} s: {lost[0]}", flush=True)

seldom = ["train.steps=1500", "eval.every=0", "log.attention_every=500", "checkpoint.every=500"]
train("whole", *seldom, f"train.watchdog={LIMIT}")
for victim in (0, 2):  # for 3 s
    run = Run(f"paused-{victim}", *seldom, f"train.watchdog={LIMIT}")
    run.wait_for_step(5)
    time.sleep(1)
    pid = run.rank_processes()[victim]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(pid, signal.SIGCONT)
    tried += 1
    check(run.wait() == 0, f"rank {victim} paused: the run failed")
    named = [line for line in run.lines() if re.search(rf"warning: rank {victim} on \S+ was silent for [234]\.\d s", line)]
    check(len(named) == 1, f"rank {victim} paused: named {len(named)} times")
    same("whole", f"paused-{victim}")
    survived += 1
    print(f"rank {victim} paused for 3 s: {named[0]}", flush=True)

run = Run("suspended", *seldom, f"train.watchdog={LIMIT}")  # all of it, as a scheduler does: nobody is missing
run.wait_for_step(5)
time.sleep(1)
pids = run.rank_processes().values()
for pid in pids:
    os.kill(pid, signal.SIGSTOP)
time.sleep(LIMIT)
for pid in pids:
    os.kill(pid, signal.SIGCONT)
tried += 1
check(run.wait() == 0 and not any("lost" in line for line in run.lines()), "a job that was suspended as a whole")
same("whole", "suspended")
survived += 1
print(f"watchdog: {tried} tried, {survived} survived")
