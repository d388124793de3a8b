"""Phase changes marked while a run is under way: by the rule, the same for any ranks and after resuming, and with
checkpoints that stay around them, which change no bit of what is learned."""

import glob
import json
import os
import unittest

from program import TINY, Case, fresh, heed, main

try:
    import h5py
    import numpy
except ImportError:
    h5py = None

# a head learns to copy within 30 steps
COPY = [*TINY, "model.heads=1", "model.width=32", "model.time=17", "model.bias=yes", "train.batch=24", "data.task=copy",
        "data.task_length=8", "data.task_symbols=8", "data.task_valid=12", "train.schedule=constant", "train.peak_lr=1e-2",
        "eval.every=40", "checkpoint.every=40", "checkpoint.keep=1", "log.attention_every=1", "log.probes=2"]
AROUND = 20  # logs of one step


def train(run_dir, *settings, ranks=0):
    return heed("train", "--quiet", *COPY, *settings, f"run.dir={run_dir}", ranks=ranks)


def text(*path):
    with open(os.path.join(*path)) as file:
        return file.read()


def marks(run):
    return [json.loads(line) for line in text(run, "phases.jsonl").splitlines()]


def steps(run):
    return [int(path[-11:-3]) for path in sorted(glob.glob(f"{run}/checkpoints/*.h5"))]


class Phases(Case):
    @classmethod
    def setUpClass(cls):
        for run, settings in ("plain", []), ("dense", ["checkpoint.phase_every=5"]):
            result = train(fresh(run), "train.steps=80", *settings)
            assert result.status == 0, result.err

    def test_marks_are_those_of_the_rule(self):
        if not h5py:
            raise unittest.SkipTest("no h5py")
        files = [h5py.File(path, "r") for path in sorted(glob.glob("dense/attention/*.h5"))]
        expected = []
        for score in "previous", "duplicate", "induction", "on_target":
            series, end = [float(file[score][0, 0, 0]) for file in files], 20
            while end <= len(series):
                last = series[end - 20:end]
                change = abs(numpy.mean(last[-3:]) - numpy.mean(last[:10]))
                if change >= 0.1 and change >= 6 * numpy.std(last[:10], ddof=1):
                    expected.append((end - 1, score, last[0], last[-1]))
                    end += 19
                end += 1
        found = marks("dense")
        self.assertIn("on_target", [mark["score"] for mark in found])
        self.assertEqual(sorted((m["step"], m["score"], m["before"], m["now"]) for m in found), sorted(expected))
        self.assertEqual(text("plain", "phases.jsonl"), text("dense", "phases.jsonl"))

    def test_credit_tells_the_same(self):
        credit = json.loads(self.expect_success(heed("credit", "--json", "dense")).out)[0]["marks"]
        self.assertEqual(sorted((m["step"], m["score"]) for m in credit),
                         sorted((m["step"], m["score"]) for m in marks("dense")))

    def test_people_are_told(self):
        first = marks("dense")[0]
        self.assertRegex(text("dense", "log.txt"), rf"step {first['step']}: phase change: {first['score']} of head 0\.0 "
                         rf"from {first['before']:.3f} to {first['now']:.3f}")

    def test_checkpoints_stay_around_marks(self):
        near = [mark["step"] for mark in marks("dense")] + [80]
        expected = [s for s in range(5, 81, 5) if any(abs(s - m) <= AROUND for m in near)]
        self.assertLess(len(expected), 16)  # some went
        self.assertEqual(set(expected) | {40}, set(steps("dense")) | {40})  # 40: perhaps the best by loss
        self.assertLessEqual(len(steps("plain")), 2)

    def test_cadence_changes_no_bit(self):
        self.assertEqual(text("plain", "metrics.jsonl"), text("dense", "metrics.jsonl"))
        if not h5py:
            raise unittest.SkipTest("no h5py")
        with h5py.File("plain/checkpoints/step-00000080.h5", "r") as a, \
                h5py.File("dense/checkpoints/step-00000080.h5", "r") as b:
            for group in "params", "optimizer/m", "optimizer/v":
                for name, array in a[group].items():
                    self.assertEqual(array[()].tobytes(), b[group][name][()].tobytes(), name)

    def test_ranks_and_resuming_write_the_same(self):
        self.expect_success(train(fresh("three"), "train.steps=80", "checkpoint.phase_every=5", ranks=3))
        stop = marks("dense")[0]["step"]  # a checkpoint whose own log, of which comes a mark, is written again
        self.expect_success(train(fresh("parts"), f"train.steps={stop}", "checkpoint.phase_every=5", ranks=2))
        self.expect_success(train("parts", "train.steps=80", "checkpoint.phase_every=5"))
        for run in "three", "parts":
            self.assertEqual(text(run, "phases.jsonl"), text("dense", "phases.jsonl"), run)
            self.assertEqual(steps(run), steps("dense"), run)

    def test_a_log_that_is_damaged_is_passed_over(self):
        self.expect_success(train(fresh("hurt"), "train.steps=30"))
        os.truncate("hurt/attention/step-00000007.h5", 100)
        result = self.expect_success(heed("train", "--quiet", "hurt", "train.steps=32"))
        self.assertRegex(result.err, r"step-00000007\.h5: .*phase changes are marked without it")

    def test_it_needs_the_log(self):
        self.expect_fault(train(fresh("none"), "log.attention_every=0", "checkpoint.phase_every=5", "train.steps=2"), 78,
                          r"phase changes are found in the attention log, which is off")


if __name__ == "__main__":
    main()
