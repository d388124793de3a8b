#!/usr/bin/env python3
"""Share of the matrix-product peak that training reaches, as a ratio within each run.

    python3 bench/share_of_peak.py build/release/heed configs/M.ini

Runs a config for a few steps as ranks x threads = cores x 1 and 1 x cores in turn, --repeats times, and prints for each the median over its runs of the
median step. heed measures the peak (the best of three large products on all cores of the run) at the start of the same run and counts 6 N + 12 layers width time
operations a token. Exit status 1 when the better form stays below --floor.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile


def one_run(heed, config, ranks, threads, steps):
    with tempfile.TemporaryDirectory() as folder:
        launch = ["mpirun", "--bind-to", "core" if threads == 1 else "none", "-n", str(ranks)]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        if os.getuid() == 0:
            environment.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        subprocess.run([*launch, heed, "train", config, f"train.steps={steps}", f"run.dir={folder}/run", "eval.every=0",
                        "log.attention_every=0"], env=environment, check=True, stderr=subprocess.DEVNULL)
        lines = pathlib.Path(folder, "run", "timing.jsonl").read_text().splitlines()
        steps_done = [json.loads(line) for line in lines][2:]
        return {key: statistics.median(step[key] for step in steps_done) for key in ("share_of_peak", "tokens_per_second")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heed")
    parser.add_argument("config")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--floor", type=float, default=0.55)
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    forms = [(cores, 1), (1, cores)]
    runs = {form: [] for form in forms}
    for _ in range(arguments.repeats):
        for form in forms:
            runs[form].append(one_run(arguments.heed, arguments.config, *form, arguments.steps))
    best = 0
    for (ranks, threads), results in runs.items():
        share = statistics.median(result["share_of_peak"] for result in results)
        speed = statistics.median(result["tokens_per_second"] for result in results)
        print(f"{arguments.config}: {ranks} ranks x {threads} threads: {share:.0%} of the peak, {speed:.0f} tokens/s")
        best = max(best, share)
    raise SystemExit(best < arguments.floor)


if __name__ == "__main__":
    main()
