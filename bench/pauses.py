#!/usr/bin/env python3
"""What logs or checkpoints cost, found inside of a run: how much longer than the median the steps behind each of them are.

    python3 bench/pauses.py build/release/heed S log.attention_every=100
    python3 bench/pauses.py build/release/heed M checkpoint.every=100 --steps 310

Trains a shape of configs/ as one rank a core for --steps, --repeats times, with the settings given, which do something every
--every steps, and reads the run's trace. The time from one step's batch to the next has all of a step in it, and what a
thread in the background takes from it; eight steps from each log on count. Prints the median over the logs.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

WINDOW = 8  # steps


def pauses(heed, config, settings, steps, every):
    """Seconds of the median step, and for each log those that its window takes longer."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if os.getuid() == 0:
            environment.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        trace = pathlib.Path(folder, "trace.json")
        subprocess.run(["mpirun", "--bind-to", "core", "-n", str(len(os.sched_getaffinity(0))), heed, "train", config,
                        f"train.steps={steps}", f"run.dir={folder}/run", "train.threads=1", *settings, "--trace", trace],
                       env=environment, check=True, stderr=subprocess.DEVNULL)
        events = json.loads(trace.read_text())["traceEvents"]
    starts = sorted(event["ts"] for event in events if event["name"] == "batch" and event["pid"] == 0)
    lengths = [1e-6 * (after - before) for before, after in zip(starts, starts[1:])]
    median = statistics.median(lengths)
    logs = range(every, len(lengths) + 2 - WINDOW, every)
    return median, [sum(lengths[log - 1:log - 1 + WINDOW]) - WINDOW * median for log in logs]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heed")
    parser.add_argument("shape", help="S, M, or a config file")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--steps", type=int, default=610)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    named = pathlib.Path(__file__).parent.parent / f"configs/{arguments.shape}.ini"
    config = named if named.exists() else arguments.shape
    for _ in range(arguments.repeats):
        median, longer = pauses(arguments.heed, config, arguments.settings, arguments.steps, arguments.every)
        cost = statistics.median(longer) / (arguments.every * median)
        print(f"{' '.join(arguments.settings)}: a step {1e3 * median:.1f} ms, one log "
              f"{' '.join(f'{1e3 * seconds:.0f}' for seconds in longer)} ms: {cost:.2%} of the run", flush=True)


if __name__ == "__main__":
    main()
