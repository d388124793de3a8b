"""A long life compressed: very many short steps with a checkpoint, an attention log and an evaluation every 10 of them. Memory, file
handles and speed of the last quarter are those of the second.

    endurance_test.py HEED SOURCE STEPS
"""
import os
import pathlib
import statistics
import time

from fault import Run, arguments, check, write_config

steps = int(arguments[0])
write_config()
run = Run("long", "--quiet", f"train.steps={steps}", "checkpoint.every=10", "log.attention_every=10", "eval.every=10", "eval.batches=1",
          "train.batch=2", "model.width=16", "model.time=16", "model.layers=1", "log.probes=1", ranks=2)
seen = []  # (step, seconds, {rank: (kB resident, file handles)})


def look():
    state = {}
    for rank, pid in run.rank_processes().items():
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            handles = len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
        except OSError:
            return None
        if "VmRSS:" not in status:  # it is about to end
            return None
        state[rank] = (int(status.split("VmRSS:")[1].split()[0]), handles)
    return state if len(state) == 2 else None


figures = pathlib.Path("long/run/metrics.jsonl")
while run.process.poll() is None:
    state = look()
    if state and figures.exists():
        with open(figures, "rb") as file:
            file.seek(max(0, figures.stat().st_size - 400))
            lines = [line for line in file.read().split(b"\n")[:-1] if line.startswith(b'{"step')]
        if lines:
            seen.append((int(lines[-1].split(b":")[1].split(b",")[0]), time.monotonic(), state))
    time.sleep(max(0.02, min(1.0, 1e-4 * steps)))
check(run.wait() == 0, "the run failed")


def quarter(number):
    part = [entry for entry in seen if steps * (number - 1) // 4 <= entry[0] < steps * number // 4]
    check(len(part) >= 5, f"quarter {number} was looked at {len(part)} times only")
    kilobytes = {rank: statistics.median(entry[2][rank][0] for entry in part) for rank in (0, 1)}
    handles = {rank: max(entry[2][rank][1] for entry in part) for rank in (0, 1)}
    return kilobytes, handles, (part[-1][0] - part[0][0]) / (part[-1][1] - part[0][1])


second, last = quarter(2), quarter(4)
for rank in (0, 1):
    grown = last[0][rank] - second[0][rank]
    check(grown <= 0.02 * second[0][rank], f"rank {rank}: memory grew by {grown} kB over {second[0][rank]}")
    check(last[1][rank] <= second[1][rank] + 1, f"rank {rank}: {second[1][rank]} file handles became {last[1][rank]}")
quiet = steps >= 10000 and os.getloadavg()[0] < os.cpu_count() + 1  # else others' work is what would be measured
check(not quiet or last[2] > 0.8 * second[2], f"speed fell from {second[2]:.0f} to {last[2]:.0f} steps/s")
print(f"endurance: {steps} steps; second quarter against last: resident kB {second[0]} -> {last[0]}, most file handles {second[1]} -> "
      f"{last[1]}, steps/s {second[2]:.0f} -> {last[2]:.0f}")
