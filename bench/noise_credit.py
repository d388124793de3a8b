#!/usr/bin/env python3
"""Does attention seem to find something in noise? Mean credit by head and distance, with errors over sequences.

    noise_credit.py RUN_DIR...

For every log step, head and distance query - key: the mean over a probe's queries of the credit of the key at this distance
is one number a probe (probes are independent, queries of one are not); Student's t over probes against 0, and Benjamini and
Hochberg's procedure at a false-discovery rate of 5 % over all heads and distances of that step. Needs h5py and SciPy.
"""
import glob
import sys

import h5py
import numpy
from scipy import stats


def rejections(credit):
    """credit (probe, layer, head, query, key) -> how many of how many hypotheses are rejected, and the smallest p."""
    probes, layers, heads, time, _ = credit.shape
    p = []
    for layer in range(layers):
        for head in range(heads):
            for distance in range(time - 8):  # at least 8 queries a probe
                values = numpy.array([numpy.diagonal(credit[n, layer, head], -distance)[max(0, 1 - distance):].mean()
                                      for n in range(probes)])
                if values.std() > 0:
                    p.append(stats.ttest_1samp(values, 0).pvalue)
    p = numpy.sort(p)
    below = numpy.nonzero(p <= 0.05 * numpy.arange(1, len(p) + 1) / len(p))[0]
    return (below[-1] + 1 if len(below) else 0), len(p), p[0]


for run in sys.argv[1:]:
    for path in sorted(glob.glob(f"{run}/attention/*.h5")):
        with h5py.File(path, "r") as file:
            found, of, least = rejections(file["credit"][0].astype(float))
            size = float(file["credit_size"][0].mean())
        print(f"{run} step {int(path[-11:-3]):6d}: {found} of {of} rejected, smallest p {least:.2g}, mean |credit| of a query {size:.2g}")
