"""heed train and heed eval on generated tasks: no text, no store, the same bits on any number of ranks, resumable."""

import json
import math
import os

from program import TINY, Case, fresh, heed, main

SMALL = [*TINY, "model.time=20", "train.steps=12", "eval.every=6", "checkpoint.every=6", "log.attention_every=6",
         "data.task_length=20", "data.task_valid=30", "train.schedule=constant"]


def train(run_dir, task, *settings, ranks=0):
    return heed("train", *SMALL, f"data.task={task}", *settings, f"run.dir={run_dir}", ranks=ranks)


def lines(run):
    with open(f"{run}/metrics.jsonl") as file:
        return file.read()


class Tasks(Case):
    def test_ranks_and_resuming_change_no_bit(self):
        for task in ("induction", "markov"):
            self.expect_success(train(fresh(f"one-{task}"), task))
            self.assertFalse(os.path.exists(f"one-{task}/tokens.h5"))
            self.expect_success(train(fresh(f"three-{task}"), task, ranks=3))
            self.assertEqual(lines(f"one-{task}"), lines(f"three-{task}"))
            self.expect_success(train(fresh(f"parts-{task}"), task, "train.steps=6", ranks=2))
            self.expect_success(train(f"parts-{task}", task))
            self.assertEqual(lines(f"one-{task}"), lines(f"parts-{task}"))

    def test_weights_leave_rows_out(self):
        # 12 sequences with a quarter to a half of their 20 rows before the first repetition
        self.expect_success(train(fresh("weights"), "induction"))
        for line in map(json.loads, lines("weights").splitlines()):
            self.assertTrue(12 * 10 <= line["tokens"] <= 12 * 15, line)

    def test_another_task_is_another_run(self):
        self.expect_success(train(fresh("other"), "markov", "train.steps=6"))
        self.expect_fault(train("other", "noise"), 78, r"data.task = noise")
        self.expect_fault(train("other", "markov", "data.task_symbols=4"), 78, r"data.task_symbols = 4")

    def test_eval_tells_the_best_possible_loss(self):
        self.expect_success(train(fresh("eval"), "noise", "data.task_symbols=8"))
        result = self.expect_success(heed("eval", "--json", "eval"))
        found = json.loads(result.out)
        self.assertEqual(found["task"], "noise")
        self.assertEqual(found["tokens"], 30 * 20)
        self.assertAlmostEqual(found["optimum"], math.log(8), 12)
        self.assertEqual(found["loss"], json.loads(lines("eval").splitlines()[-1])["valid_loss"])
        self.assertRegex(self.expect_success(heed("eval", "eval")).out, r"best possible +2\.0794\nabove it +\d")

    def test_shuffled_context(self):
        """Uniform attention without positions does not see order, and present tokens stay: shuffling changes only rounding.
        With softmax and positions it changes what is predicted. Ranks change nothing."""
        blind = ["model.attention=uniform", "model.positions=none"]
        for name, settings in (("blind", blind), ("sees", [])):
            self.expect_success(train(fresh(name), "markov", *settings, "train.peak_lr=1e-2"))
            plain = json.loads(self.expect_success(heed("eval", "--json", name)).out)
            one = self.expect_success(heed("eval", "--json", "--shuffle-context", name)).out
            three = self.expect_success(heed("eval", "--json", "--shuffle-context", name, ranks=3)).out
            self.assertEqual(one, three)
            self.assertEqual(json.loads(one)["tokens"], plain["tokens"])
            change = abs(json.loads(one)["loss"] - plain["loss"])
            self.assertTrue(change < 1e-6 if name == "blind" else change > 1e-5, (name, change))

    def test_misuse(self):
        for task, setting, status, pattern in (
                ("copy", "data.text=book.txt", 78, r"data.task = copy: data.text is set too"),
                ("copy", "data.store=book.h5", 78, r"data.task = copy: data.store is set too"),
                ("copy", "model.time=39", 78, r"model.time = 39: a sequence of data.task = copy has 40 tokens"),
                ("sort", "data.task_symbols=19", 78, r"data.task_length = 20: sort cannot draw"),
                ("puzzle", "run.seed=1", 78, r"data.task = puzzle: expected none, copy")):
            self.expect_fault(train(fresh("misuse"), task, setting, ranks=2), status, pattern)


if __name__ == "__main__":
    main()
