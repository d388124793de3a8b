#!/usr/bin/env python3
"""Does attention seem to find something in noise? Mean credit by head and distance, with errors over sequences.

    noise_credit.py RUN_DIR...

For every log step, head and distance query - key: the mean over a probe's queries of the credit of the key at this distance
is one number a probe (probes are independent, queries of one are not); Student's t over probes against 0, and Benjamini and
Hochberg's procedure at a false-discovery rate of 5 % over all heads and distances of that step, and then over those of all
log steps after 100 together. Needs h5py and SciPy.
"""
import glob
import sys

try:
    import h5py
    import numpy
    from scipy import stats
except ModuleNotFoundError as error:
    raise SystemExit(f"{sys.executable} has no {error.name}: run this with the python3 that has it "
                     f"(on Debian /usr/bin/python3, package python3-{error.name})") from error


def p_values(credit):
    """credit (probe, layer, head, query, key) -> p of each head and distance."""
    probes, layers, heads, time, _ = credit.shape
    p = []
    for layer in range(layers):
        for head in range(heads):
            for distance in range(time - 8):  # at least 8 queries a probe
                values = numpy.array([numpy.diagonal(credit[n, layer, head], -distance)[max(0, 1 - distance):].mean()
                                      for n in range(probes)])
                if values.std() > 0:
                    p.append(stats.ttest_1samp(values, 0).pvalue)
    return p


def rejections(p):
    """How many hypotheses are rejected at a false-discovery rate of 5 %."""
    below = numpy.nonzero(numpy.sort(p) <= 0.05 * numpy.arange(1, len(p) + 1) / len(p))[0]
    return int(below[-1]) + 1 if len(below) else 0


def judge(run):
    """-> rejections over all log steps after 100 together, of how many hypotheses; prints each step's."""
    late = []
    for path in sorted(glob.glob(f"{run}/attention/*.h5")):
        with h5py.File(path, "r") as file:
            p = p_values(file["credit"][0].astype(float))
            size = float(file["credit_size"][0].mean())
        step = int(path[-11:-3])
        print(f"{run} step {step:6d}: {rejections(p)} of {len(p)} rejected, smallest p {min(p):.2g}, mean |credit| of a query {size:.2g}")
        if step > 100:
            late += p
    print(f"{run} after step 100: {rejections(late)} of {len(late)} rejected")
    return rejections(late), len(late)


if __name__ == "__main__":
    for run in sys.argv[1:]:
        judge(run)
