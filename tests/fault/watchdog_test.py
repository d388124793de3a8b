"""A rank that is stopped for 3 s is named as straggler and costs nothing else; one that is stopped for ever, or hangs
outside MPI, ends the job within train.watchdog seconds with one line that names rank, host and stage."""
import os
import re
import signal
import time

from fault import ENDLESS, Run, check, stop_and_compare, write_config

LIMIT = 6.0
write_config()
tried = survived = 0


def stop_for_ever(victim, attempt):
    """Seconds until the job ended, and what was said of it."""
    run = Run(f"stopped-{victim}-{attempt}", f"train.steps={ENDLESS}", f"train.watchdog={LIMIT}")
    pid = run.in_its_steps()[victim]
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    status = run.wait(30)
    took = time.monotonic() - start
    run.wait_until_gone(5)
    lost = [line for line in run.lines() if "lost" in line]
    check(status == 81, f"rank {victim} stopped: status {status}")
    check(len(lost) == 1 and re.search(rf"rank {victim} on {os.uname().nodename} is lost: .* last seen in stage '[a-z ]+' of step \d+", lost[0]),
          f"rank {victim} stopped: {lost}")
    return took, lost[0]


for victim in (0, 2):
    tried += 1
    for attempt in range(3):
        took, line = stop_for_ever(victim, attempt)
        if took < LIMIT or os.getloadavg()[0] < os.cpu_count() + 1:
            break  # else the launcher itself had to wait for a core: that says nothing about the watchdog
    check(took < LIMIT, f"rank {victim} stopped: the job ended after {took:.1f} s, the limit is {LIMIT}")
    survived += 1
    print(f"rank {victim} stopped: ended after {took:.1f} of {LIMIT:.0f} s: {line}", flush=True)


def interrupted(name, victims, seconds):
    """A run whose victims are stopped for a while in the midst of its steps; the same bits in the end."""
    seldom = ["eval.every=0", "log.attention_every=0", "checkpoint.every=0", "train.schedule=constant",
              f"train.watchdog={LIMIT}", "train.batch=32", "model.width=64"]
    run = Run(name, *seldom, f"train.steps={ENDLESS}")
    ranks = run.in_its_steps()
    for victim in victims:
        os.kill(ranks[victim], signal.SIGSTOP)
    time.sleep(seconds)
    for victim in victims:
        os.kill(ranks[victim], signal.SIGCONT)
    check(run.wait_for_step(len(run.figures()) + 5), f"{name}: the run has ended")
    stop_and_compare(run, *seldom)
    return run


for victim in (0, 2):  # for 3 s
    tried += 1
    run = interrupted(f"paused-{victim}", [victim], 3)
    named = [line for line in run.lines() if re.search(rf"warning: rank {victim} on \S+ was silent for [234]\.\d s", line)]
    check(len(named) == 1, f"rank {victim} paused: named {len(named)} times")
    survived += 1
    print(f"rank {victim} paused for 3 s: {named[0]}", flush=True)

tried += 1
run = interrupted("suspended", [0, 1, 2], LIMIT)  # all of it, as a scheduler does: nobody is missing
check(not any("lost" in line for line in run.lines()), "a job that was suspended as a whole")
survived += 1
print(f"watchdog: {tried} tried, {survived} survived")
