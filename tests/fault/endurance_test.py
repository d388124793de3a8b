"""A long life compressed: very many short steps with a checkpoint, an attention log and an evaluation every 10 of them. Memory, file
handles and speed of the last quarter are those of the second.

The run has no end of its own: it is stopped when it has made the steps and every quarter of them was looked at often enough,
however fast the machine is.

    endurance_test.py HEED SOURCE STEPS
"""
import os
import pathlib
import signal
import statistics
import time

from fault import ENDLESS, Run, arguments, check, write_config

steps, LOOKS = int(arguments[0]), 5  # in each of the quarters that are compared
write_config()
run = Run("long", "--quiet", f"train.steps={ENDLESS}", "checkpoint.every=10", "log.attention_every=10", "eval.every=10", "eval.batches=1",
          "train.batch=2", "model.width=16", "model.time=16", "model.layers=1", "log.probes=1", ranks=2)
figures = pathlib.Path("long/run/metrics.jsonl")


def look(pids):
    """rank -> (kB resident, file handles)."""
    state = {}
    for rank, pid in pids.items():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        state[rank] = (int(status.split("VmRSS:")[1].split()[0]), len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())))
    return state


def last_step():
    with open(figures, "rb") as file:
        file.seek(max(0, figures.stat().st_size - 1000))
        lines = [line for line in file.read().split(b"\n")[1:-1] if line.startswith(b'{"step')]
    return int(lines[-1].split(b":")[1].split(b",")[0])


def quarters():
    """What was seen in each quarter of the steps so far: [[(step, seconds, state), ...], ...]."""
    end = seen[-1][0] + 1
    return [[entry for entry in seen if entry[0] * 4 // end == number] for number in range(4)]


check(run.wait_for_step(5), "the run has ended")
ranks = run.rank_processes()
check(len(ranks) == 2, f"only the ranks {sorted(ranks)} are seen")
seen = []
while not seen or seen[-1][0] < steps or min(map(len, quarters()[1::2])) < LOOKS:
    check(run.process.poll() is None, f"the run ended with {run.process.returncode}")
    seen.append((last_step(), time.monotonic(), look(ranks)))
    time.sleep(max(0.02, 0.01 * (seen[-1][1] - seen[0][1])))
os.kill(run.process.pid, signal.SIGUSR1)  # mpirun passes it on
check(run.wait() == 75, f"stopped on request, it ended with {run.process.returncode}")


def summary(part):
    kilobytes = {rank: statistics.median(entry[2][rank][0] for entry in part) for rank in ranks}
    handles = {rank: max(entry[2][rank][1] for entry in part) for rank in ranks}
    return kilobytes, handles, (part[-1][0] - part[0][0]) / (part[-1][1] - part[0][1])


second, last = map(summary, quarters()[1::2])
for rank in ranks:
    grown = last[0][rank] - second[0][rank]
    check(grown <= 0.02 * second[0][rank], f"rank {rank}: memory grew by {grown} kB over {second[0][rank]}")
    check(last[1][rank] <= second[1][rank] + 1, f"rank {rank}: {second[1][rank]} file handles became {last[1][rank]}")
quiet = steps >= 10000 and os.getloadavg()[0] < os.cpu_count() + 1  # else others' work is what would be measured
check(not quiet or last[2] > 0.8 * second[2], f"speed fell from {second[2]:.0f} to {last[2]:.0f} steps/s")
print(f"endurance: {seen[-1][0]} steps; second quarter against last: resident kB {second[0]} -> {last[0]}, most file handles {second[1]} -> "
      f"{last[1]}, steps/s {second[2]:.0f} -> {last[2]:.0f}, {len(seen)} looks")
