"""The whole way in an empty folder: prepare, config, train on ranks, go on, eval, generate, inspect, merge."""

import json
import os
import shutil

from program import MOBY_DICK, TINY, Case, fresh, heed, main


class EndToEnd(Case):
    def test_from_text_to_text(self):
        fresh("home")
        os.mkdir("home")

        def run(*arguments, ranks=0):
            return self.expect_success(heed(*arguments, cwd="home", ranks=ranks))

        with open(MOBY_DICK, encoding="utf-8") as book, open("home/book.txt", "w", encoding="utf-8") as file:
            file.write(book.read(30000))
        self.assertRegex(run("prepare", "book.txt").out, r"^book.h5: \d+ tokens to train on")

        settings = [*TINY, "data.store=book.h5", "run.dir=runs/book", "train.steps=40", "eval.every=20",
                    "checkpoint.every=20", "log.attention_every=20"]
        with open("home/book.ini", "w", encoding="utf-8") as file:
            file.write(run("config", *settings).out)

        run("train", "book.ini", ranks=2)
        run("train", "runs/book", "train.steps=60")
        with open("home/runs/book/metrics.jsonl", encoding="utf-8") as file:
            figures = [json.loads(line) for line in file]
        self.assertEqual([line["step"] for line in figures], list(range(1, 61)))
        self.assertLess(figures[-1]["loss"], figures[0]["loss"])

        found = json.loads(run("eval", "runs/book", "--json", ranks=3).out)
        self.assertEqual((found["loss"], found["step"]), (figures[-1]["valid_loss"], 60))

        text = run("generate", "runs/book", "--prompt", "Call me", "--tokens", "50").out
        self.assertRegex(text, r"^Call me")
        self.assertEqual(len(text), len("Call me") + 50 + 1)

        run("merge", "runs/book")
        merged = json.loads(run("inspect", "--json", "runs/book/attention.h5").out)
        self.assertEqual((merged["steps"], merged["last_step"]), (4, 60))
        self.assertNotIn("DAMAGED", run("inspect", "runs/book").out)

        shutil.move("home/runs/book", "home/renamed")  # a run is its folder: nothing in it depends on its name
        again = json.loads(run("eval", "renamed", "--json").out)
        self.assertEqual(again["loss"], found["loss"])
        self.assertEqual(sorted(name for name in os.listdir("home") if not name.startswith("r")),
                         ["book.h5", "book.ini", "book.txt"])


if __name__ == "__main__":
    main()
