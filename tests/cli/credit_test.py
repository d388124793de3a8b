"""heed credit against the same measures computed from the files by Python, with recall's truth from its definition."""

import glob
import json
import unittest

from program import TINY, Case, fresh, heed, main

try:
    import h5py
    import numpy
    from scipy.stats import kendalltau
except ImportError:
    h5py = None

SYMBOLS, LENGTH = 8, 16
RECALL = [*TINY, "data.task=recall", f"data.task_length={LENGTH}", f"data.task_symbols={SYMBOLS}", "data.task_pairs=3",
          "data.task_valid=36", "train.schedule=constant", "train.peak_lr=1e-2", "train.steps=40", "eval.every=20",
          "log.attention_every=1", "log.probes=6", "checkpoint.every=0", "model.init=xavier", "controls.runs=2",
          "controls.variants=softmax random uniform none"]


def queries(tokens):
    """(row, key) of every query and the place of its value: pairs stand in the first half, queries in the second."""
    for row in range(LENGTH // 2, LENGTH):
        if tokens[row] < SYMBOLS:
            yield row, list(tokens[:LENGTH // 2]).index(tokens[row]) + 1


def logs(run):
    return [h5py.File(path, "r") for path in sorted(glob.glob(f"{run}/attention/*.h5"))]


def marks(run):
    """The rule of change points, word for word, on all scores of all heads."""
    files, found = logs(run), []
    for score in "previous", "duplicate", "induction", "on_target":
        for head in range(files[0]["head"].size):
            series, end = [float(file[score][0, 0, head]) for file in files], 20
            while end <= len(series):
                last = series[end - 20:end]
                change = abs(numpy.mean(last[-3:]) - numpy.mean(last[:10]))
                if change >= 0.1 and change >= 6 * numpy.std(last[:10], ddof=1):
                    found.append((score, head, int(files[end - 1]["step"][0])))
                    end += 19
                end += 1
    return found


def measure(run):
    files, tokens = logs(run), logs(run)[0]["token"][:]
    heads = range(files[0]["head"].size)

    def shares(file, head, half):
        on, credit_on, credit_all, n = 0, 0, 0, 0
        for p in range(half, len(tokens), 2):
            for row, place in queries(tokens[p]):
                credit = numpy.maximum(file["credit"][0, p, 0, head, row].astype(float), 0)
                on, n = on + float(file["attention"][0, p, 0, head, row, place]), n + 1
                credit_on, credit_all = credit_on + credit[place], credit_all + credit.sum()
        return on / n, credit_on / credit_all

    def onset(values):
        above = [value > 2 / 3 for value in values]
        return next((int(files[i]["step"][0]) for i in range(len(above) - 2) if all(above[i:i + 3])), None)

    head = max(heads, key=lambda h: shares(files[-1], h, 0)[0])
    found = [shares(file, head, 1) for file in files]
    early = sum(file["credit"][0, :, 0, head].astype(numpy.float32) for file in files[:5])
    looked = sum(file["attention"][0, :, 0, head].astype(numpy.float32) for file in files[:5])
    frozen = sum(file["credit"][0, :, 0, head].astype(numpy.float32) for file in logs(run.replace("softmax", "random"))[:5])
    uniform = logs(run.replace("softmax", "uniform"))[-1]["advantage"][0, :, 0, head]
    end = files[-1]["attention"][0, :, 0, head]
    rows = [(p, row) for p in range(1, len(tokens), 2) for row, _ in queries(tokens[p])]

    def match(maps):
        return sum(maps[p, r, :r + 1].argmax() == end[p, r, :r + 1].argmax() for p, r in rows) / len(rows)

    def tau(maps):
        each = [kendalltau(maps[p, r, :r + 1], end[p, r, :r + 1]).statistic for p, r in rows]
        return numpy.mean([one for one in each if not numpy.isnan(one)])

    def agreement(maps):
        return {"match": match(maps), "tau": tau(maps)}

    return {"head": head, "onset_attention": onset([s[0] for s in found]), "onset_credit": onset([s[1] for s in found]),
            "attention_share": [s[0] for s in found], "credit_share": [s[1] for s in found],
            "early_credit": agreement(early), "early_attention": agreement(looked), "frozen_twin": agreement(frozen),
            "uniform_twin": agreement(uniform)}


class Credit(Case):
    @classmethod
    def setUpClass(cls):
        result = heed("controls", *RECALL, f"run.dir={fresh('recall')}")
        assert result.status == 0, result.err

    def test_measures_are_those_of_their_definition(self):
        if not h5py:
            raise unittest.SkipTest("no h5py")
        found = json.loads(self.expect_success(heed("credit", "--json", "recall")).out)
        self.assertEqual([one["run"] for one in found], ["recall/softmax-1", "recall/softmax-2"])
        for one in found:
            expected = measure(one["run"])
            for key in "head", "onset_attention", "onset_credit":
                self.assertEqual(one[key], expected[key], key)
            for key in "attention_share", "credit_share":
                self.assertEqual(len(one[key]), 41)
                for a, b in zip(one[key], expected[key]):
                    self.assertAlmostEqual(a, b, 6)
            self.assertAlmostEqual(one["base_rate"], 1 / 3, 12)
            for key in "early_credit", "early_attention", "frozen_twin", "uniform_twin":
                self.assertAlmostEqual(one[key]["match"], expected[key]["match"], 12, key)
                self.assertAlmostEqual(one[key]["tau"], expected[key]["tau"], 10, key)
            self.assertEqual([(m["score"], m["head"], m["step"]) for m in one["marks"]], marks(one["run"]))

    def test_the_logs_statistics_are_those_of_their_definition(self):
        """Statistics are of training batches, which nobody logs: tests/record holds them against their definition."""
        if not h5py:
            raise unittest.SkipTest("no h5py")
        last = logs("recall/softmax-1")[-1]
        for name in "on_target", "credit_share":
            self.assertTrue((last[name][:] >= 0).all() and (last[name][:] <= 1).all(), name)
        uniform = logs("recall/uniform-1")[-1]
        self.assertAlmostEqual(float(uniform["top1"][0, 0, 0]), sum(1 / i for i in range(1, 17)) / 16, 6)

    def test_cross_attention(self):
        """Of a task told as pairs the true positions are places of the source: row i of a reversed list looks at place n - 1 - i."""
        if not h5py:
            raise unittest.SkipTest("no h5py")
        n = 6
        self.expect_success(heed("train", *TINY, "model.kind=encoder_decoder", "data.task=reverse", f"data.task_length={n}", "data.task_valid=36", "train.steps=20",
                                 "train.peak_lr=1e-2", "eval.every=0", "checkpoint.every=0", "log.attention_every=2", "log.probes=6", f"run.dir={fresh('cross')}"))
        found = json.loads(self.expect_success(heed("credit", "--json", "cross")).out)[0]
        self.assertEqual(found["kind"], "cross")
        self.assertAlmostEqual(found["base_rate"], 1 / n, 12)
        rows, files = numpy.arange(n), [h5py.File(path, "r") for path in sorted(glob.glob("cross/attention-cross/*.h5"))]
        on = [file["attention"][0, :, 0][:, :, rows, n - 1 - rows].astype(float) for file in files]  # probe, head, row
        head = on[-1][0::2].mean((0, 2)).argmax()
        self.assertEqual(found["head"], head)
        for k, file in enumerate(files):
            credit = numpy.maximum(file["credit"][0, 1::2, 0, head].astype(float), 0)
            self.assertAlmostEqual(found["attention_share"][k], on[k][1::2, head].mean(), 6)
            self.assertAlmostEqual(found["credit_share"][k], credit[:, rows, n - 1 - rows].sum() / credit[:, :n, :n + 1].sum(), 6)
        self.assertRegex(self.expect_success(heed("credit", "cross")).out, r"cross +cross +0\.[01] ")

    def test_the_table(self):
        result = self.expect_success(heed("credit", "recall"))
        self.assertRegex(result.out, r"recall/softmax-1 +0\.[01] ")
        self.assertRegex(result.out, r"credit first in \d of 2 runs")
        alone = self.expect_success(heed("credit", "recall/softmax-1"))
        self.assertIn("nan", alone.out)  # no twins

    def test_misuse(self):
        self.expect_fault(heed("credit", "nowhere"), 66, r"nowhere")
        self.expect_success(heed("train", *RECALL, "data.task=noise", "data.task_pairs=0", f"run.dir={fresh('noise')}"))
        self.expect_fault(heed("credit", "noise"), 65, r"the task noise has no true positions")
        self.expect_fault(heed("credit"), 64, r"credit")


if __name__ == "__main__":
    main()
