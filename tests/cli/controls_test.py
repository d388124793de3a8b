"""heed controls: what it trains, what it finds, at any number of ranks and after an interruption."""

import json
import os
import re
import shutil
from unittest import mock

from program import TINY, Case, fresh, heed, main

SMALL = [*TINY, "data.task=copy", "data.task_length=8", "data.task_symbols=8", "data.task_valid=36", "train.steps=12",
         "eval.every=4", "log.attention_every=0", "checkpoint.every=4", "train.schedule=constant"]
FEW = ["controls.variants=softmax uniform position none", "controls.runs=2"]


def controls(run_dir, *settings, ranks=0, **more):
    return heed("controls", *SMALL, *settings, f"run.dir={run_dir}", ranks=ranks, **more)


def figures(folder):
    with open(f"{folder}/metrics.jsonl") as file:
        return [json.loads(line) for line in file]


def table(result):
    """The rows of the table, without the name of the run."""
    return result.out.split("\n", 1)[1].rsplit("\n\n", 1)[0]


class Controls(Case):
    def test_all_variants_are_trained_alike(self):
        result = self.expect_success(controls(fresh("all"), "controls.runs=2"))
        names = "softmax uniform position content random window none mlp".split()
        lines = [line.split() for line in result.out.splitlines()]
        found = {line[0]: line for line in lines if line and line[0] in names}
        self.assertEqual(list(found), names)
        counts = {name: int(found[name][1]) for name in names}
        for name, count in counts.items():
            self.assertLess(abs(count / counts["softmax"] - 1), 0.1, (name, count))
        for name in names:
            runs = [figures(f"all/{name}-{seed}") for seed in (1, 2)]
            self.assertEqual([line["step"] for line in runs[0]], list(range(1, 13)))
            mean = sum(run[-1]["valid_loss"] for run in runs) / 2
            self.assertAlmostEqual(float(found[name][2]), mean, 3)  # the optimum of copy is 0
            self.assertNotEqual(runs[0][-1]["loss"], runs[1][-1]["loss"])
        self.assertRegex(result.out, r"verdict: (NONE|BAG|POSITION|CONTEXT|UNDECIDED) ")
        self.assertTrue(os.path.exists("all/controls.h5"))

    def test_ranks_share_the_runs_and_change_nothing(self):
        alone = self.expect_success(controls(fresh("one"), *FEW))
        shared = self.expect_success(controls(fresh("three"), *FEW, ranks=3))
        together = self.expect_success(controls(fresh("together"), *FEW, "controls.groups=1", ranks=2))
        self.assertEqual(table(alone), table(shared))
        self.assertEqual(table(alone), table(together))

    def test_runs_beside_each_other_share_the_cores(self):
        threads = []
        with mock.patch.dict(os.environ):
            del os.environ["OMP_NUM_THREADS"]
            for ranks in (0, 2):
                self.expect_success(controls(fresh("cores"), "train.threads=0", "controls.variants=softmax none",
                                             "controls.runs=1", ranks=ranks))
                with open("cores/softmax-1/environment.json") as file:
                    threads.append(json.load(file)["threads_per_rank"])
        if threads[0] == 1:
            self.skipTest("one core: nothing to share")
        self.assertEqual(threads[1], threads[0] // 2)

    def test_what_is_finished_stays(self):
        whole = self.expect_success(controls(fresh("whole"), *FEW))
        self.expect_success(controls(fresh("parts"), *FEW, "controls.variants=softmax none", "controls.runs=1"))
        started = os.stat("parts/softmax-1/checkpoints/step-00000012.h5").st_mtime_ns
        shutil.copytree("whole/none-2", "parts/none-2")
        os.remove("parts/none-2/checkpoints/step-00000012.h5")  # as if it had been killed behind its second checkpoint
        self.assertEqual(table(self.expect_success(controls("parts", *FEW, ranks=2))), table(whole))
        self.assertEqual(os.stat("parts/softmax-1/checkpoints/step-00000012.h5").st_mtime_ns, started)

    def test_a_verdict_that_was_not_expected_is_a_status(self):
        result = controls(fresh("expect"), *FEW)
        verdict = re.search(r"verdict: (\w+)", self.expect_success(result).out).group(1)
        other = "bag" if verdict == "CONTEXT" else "context"
        result = controls("expect", *FEW, f"expect.verdict={other}")
        self.assertEqual(result.status, 82, result.err)
        self.assertRegex(result.said[-1], rf"expect: the verdict is {verdict}, but {other.upper()} was expected")
        self.assertIn("verdict: ", result.out)
        result = controls("expect", *FEW, "controls.variants=softmax none", f"expect.verdict={other}")
        self.assertRegex(result.said[-1], r"was expected .*train all four.*expect\.verdict=any")

    def test_a_text_is_prepared_once(self):
        with open("text.txt", "w") as file:
            file.write("a rose is a rose is a rose. " * 60)
        settings = [s for s in SMALL if not s.startswith("data.")]
        result = heed("controls", *settings, *FEW, "data.text=text.txt", f"run.dir={fresh('text')}", ranks=2)
        self.expect_success(result)
        self.assertTrue(os.path.exists("text/tokens.h5"))
        self.assertFalse(os.path.exists("text/softmax-1/tokens.h5"))
        self.assertIn("loss (nats)", result.out)

    def test_misuse(self):
        self.expect_fault(controls(fresh("bad"), "controls.variants=softmax focus"), 78,
                          r"controls.variants: 'focus' is no variant.*softmax uniform position")
        self.expect_fault(controls(fresh("bad"), "controls.variants=none none", ranks=2), 78, r"'none' is no variant, or is there")
        self.expect_fault(heed("controls"), 64, r"controls")


if __name__ == "__main__":
    main()
