#!/usr/bin/env python3
"""Writes vectors.h: values of Student's distribution, of Kendall's tau-b and of Holm's procedure from SciPy and statsmodels'
definition, for tests/probe. Not needed to build or test.

    python3 make_vectors.py > vectors.h
"""
import numpy as np
from scipy import stats

print("/* Made by make_vectors.py with SciPy. */")
print("static const struct {\n    double t, freedom, tails;\n} student[] = {")
for freedom in (1, 2, 3, 4, 5, 9, 30, 1000):
    for t in (1e-6, 0.1, 0.5, 1.0, 2.0, 2.7764451051977987, 5.0, 20.0, 500.0):
        print(f"    {{{t!r}, {freedom}, {float(2 * stats.t.sf(t, freedom))!r}}},")
print("};\nstatic const struct {\n    double tails, freedom, t;\n} quantile[] = {")
for freedom in (1, 2, 4, 9, 19):
    for tails in (0.5, 0.1, 0.05, 0.025, 0.05 / 3, 0.001):
        print(f"    {{{tails!r}, {freedom}, {float(stats.t.isf(tails / 2, freedom))!r}}},")
print("};\n#define TAU_N 12\nstatic const struct {\n    double x[TAU_N], y[TAU_N], tau;\n} tau[] = {")
draw = np.random.default_rng(7)
for levels in (3, 5, 1000):
    x, y = draw.integers(0, levels, 12), draw.integers(0, levels, 12)
    numbers = ", ".join(map(str, x)), ", ".join(map(str, y))
    print(f"    {{{{{numbers[0]}}}, {{{numbers[1]}}}, {float(stats.kendalltau(x, y).statistic)!r}}},")
print("};\n/* Five seeds, and the 95 % interval and test against 0.95 of SciPy. */")
values = draw.normal(0.9, 0.05, 5)
low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
print(f"static const double sample[] = {{{', '.join(map(repr, map(float, values)))}}};")
print(f"static const double sample_mean = {float(values.mean())!r}, sample_low = {float(low)!r}, "
      f"sample_high = {float(high)!r},\n                    sample_p = {float(stats.ttest_1samp(values, 0.95).pvalue)!r};")
