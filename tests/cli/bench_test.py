"""heed bench: its figures fit together, with and without ranks; its trace is one that a viewer reads."""

import json
import os

from program import Case, fresh, heed, main

SMALL = ["--shape", "S", "--steps", "2", "train.threads=1", "model.layers=1"]


class Bench(Case):
    def test_figures_fit_together(self):
        result = json.loads(self.expect_success(heed("bench", "--json", *SMALL)).out)
        self.assertEqual((result["ranks"], result["threads"], result["steps"]), (1, 1, 2))
        tokens = 12 * 64
        self.assertAlmostEqual(result["tokens_per_second"], tokens / result["seconds_per_step"],
                               delta=1e-3 * result["tokens_per_second"])
        n_weights = 65 * 128 + 2 * 128 + 4 * 128 * 128 + 2 * 4 * 128 * 128 + 128  # table, norms, attention, feed-forward, norm
        self.assertEqual(result["flops_per_token"], 6 * n_weights + 12 * 1 * 128 * 64)
        share = 1e-9 * result["tokens_per_second"] * result["flops_per_token"] / result["peak_gflops"]
        self.assertAlmostEqual(result["share_of_peak"], share, delta=1e-3 * share)
        self.assertEqual(result["peak_gflops"], max(p["gflops"] for p in result["machine"]["products"]))
        stages = result["stages"]
        self.assertGreater(stages["linear"]["gflops"], 0)
        self.assertGreater(stages["attention gradient"]["gflops"], 0)
        linear = 2 * tokens * 12 * 128 * 128  # forward through the four matrices
        self.assertAlmostEqual(stages["linear"]["gflops"] * stages["linear"]["seconds"], 1e-9 * linear,
                               delta=1e-12 * linear)
        self.assertNotIn("evaluation", stages)

    def test_ranks_scaling_and_trace(self):
        path = os.path.join(os.getcwd(), "trace.json")
        result = heed("bench", "--json", "--scaling", "--trace", path, *SMALL, ranks=3)
        result = json.loads(self.expect_success(result).out)
        self.assertEqual([point["ranks"] for point in result["scaling"]], [1, 2, 3])
        self.assertEqual(result["scaling"][0]["efficiency"], 1)
        self.assertGreater(result["machine"]["all_reduce_gb_per_second"], 0)
        with open(path, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        for rank in range(3):
            mine = [event for event in events if event["pid"] == rank]
            stages = [event for event in mine if event["ph"] == "X"]
            names = {event["name"] for event in stages}
            self.assertTrue({"linear", "attention gradient", "optimizer", "waiting for gradients"} <= names, names)
            for before, after in zip(stages, stages[1:]):  # one stage at a time
                self.assertLessEqual(before["ts"] + before["dur"], after["ts"] + 0.002)
            left = [event["id"] for event in mine if event["ph"] == "b"]
            arrived = [event["id"] for event in mine if event["ph"] == "e"]
            self.assertEqual(sorted(left), sorted(arrived))
            self.assertGreater(len(left), 0)

    def test_table_for_people(self):
        out = self.expect_success(heed("bench", *SMALL)).out
        self.assertRegex(out, r"(?m)^weight gradient +[\d.]+ +[\d.]+% +[\d.]+ +[\d.]+%$")
        self.assertRegex(out, r"tokens/s, [\d.]+% of the peak")

    def test_kernels_against_their_bytes(self):
        kernels = json.loads(self.expect_success(heed("bench", "--kernels", "--json", "train.threads=1")).out)
        machine = kernels[0]
        self.assertEqual((machine["kernel"], machine["times_moving"], len(kernels)), ("x + y", 1, 9))
        moved = {"x + y": 3, "gelu": 2, "gelu gradient": 3, "layer norm": 2, "layer norm gradient": 4, "gain gradient": 2, "dropout": 2,
                 "cross-entropy and gradient": 2, "AdamW": 7}  # reals read and written for each of 2^24 elements
        for kernel in kernels:
            gigabytes = 1e-9 * 4 * 2**24 * moved[kernel["kernel"]]
            self.assertAlmostEqual(kernel["gb_per_second"] * kernel["seconds"], gigabytes, delta=1e-6 * gigabytes)
            self.assertAlmostEqual(kernel["times_moving"], machine["gb_per_second"] / kernel["gb_per_second"],
                                   delta=1e-3 * kernel["times_moving"])

    def test_faults(self):
        self.expect_fault(heed("bench", "--shape", "XL"), 66, r"XL: .*S, M and L are built in; anything else is a config file")
        self.expect_fault(heed("bench", "--shape", "S", "--scaling", "train.grain=12", "train.batch=12", ranks=2), 78,
                          r"train.batch = 12|more ranks")


class Trace(Case):
    def test_training_is_traced_too(self):
        path = os.path.join(os.getcwd(), "training.json")
        self.expect_success(heed("train", "--trace", path, "data.task=copy", "model.layers=1", "model.width=16",
                                 "model.time=64", "train.steps=2", "log.attention_every=0", "run.dir=" + fresh("traced"),
                                 "train.warmup=1", "eval.batches=1"))
        with open(path, encoding="utf-8") as file:
            names = {event["name"] for event in json.load(file)["traceEvents"]}
        self.assertTrue({"linear", "optimizer", "checkpoint", "evaluation"} <= names, names)


if __name__ == "__main__":
    main()
