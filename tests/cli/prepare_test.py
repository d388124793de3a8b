"""heed prepare and heed config: what they write, and every way in which their input can be wrong."""

import os

from program import SOURCE, Case, fresh, heed, main
from tiny import train

TEXT = "Call me Ishmael. Some years ago, never mind how long precisely.\n" * 20


class Prepare(Case):
    def setUp(self):
        fresh("prepare")
        os.mkdir("prepare")
        with open("prepare/story.txt", "w") as file:
            file.write(TEXT)

    def prepare(self, *arguments, **options):
        return heed("prepare", *arguments, cwd="prepare", **options)

    def test_says_what_it_made(self):
        result = self.expect_success(self.prepare("story.txt"))
        self.assertRegex(result.out, rf"^story.h5: (\d+) tokens to train on, (\d+) to validate, {len(set(TEXT))} in the ")
        numbers = [int(word) for word in result.out.split() if word.isdigit()]
        self.assertEqual(numbers[0] + numbers[1], len(TEXT))
        self.assertAlmostEqual(numbers[1] / len(TEXT), 0.1, places=2)

    def test_options_are_followed(self):
        result = self.expect_success(self.prepare("story.txt", "-t", "byte", "-v", "0.5", "--output", "other.h5"))
        self.assertRegex(result.out, rf"^other.h5: {len(TEXT) // 2} .* {len(TEXT) // 2} .* 256 in the")

    def test_byte_pairs(self):
        result = self.expect_success(self.prepare("story.txt", "-t", "bpe", "--vocab", "290"))
        numbers = [int(word) for word in result.out.split() if word.isdigit()]
        self.assertEqual(numbers[2], 290)
        self.assertLess(numbers[0] + numbers[1], len(TEXT) / 2)
        for arguments in (["--vocab", "300"], ["-t", "bpe"]):
            self.expect_fault(self.prepare("story.txt", "-f", "--gpt2", "here", *arguments), 64,
                              "prepare: --gpt2 and --(vocab|tokenizer) exclude each other")
        self.expect_fault(self.prepare("story.txt", "-f", "--gpt2", "here"), 66, "here/encoder.json: No such file")
        self.expect_fault(self.prepare("story.txt", "-f", "-t", "bpe", "-n", "255"), 78, "data.vocab = 255: expected a")

    def test_pairs(self):
        with open("prepare/sounds.tsv", "w") as file:
            for i in range(30):
                file.write(f"w{i}\tW {' '.join(str(i))}\n")
        made = self.expect_success(self.prepare("--pairs", "-t", "word", "--source-tokenizer", "char", "sounds.tsv"))
        self.assertEqual(made.out, "sounds.h5: 27 pairs to train on, 3 to validate, 13 in the vocabulary of targets, 13 "
                                   "in that of sources\n")
        self.assertRegex(self.expect_success(heed("inspect", "prepare/sounds.h5")).out, r"joint +no\n")
        made = self.expect_success(self.prepare("--pairs", "--joint", "sounds.tsv", "-f", "-v", "0.5"))
        self.assertEqual(made.out, "sounds.h5: 15 pairs to train on, 15 to validate, 15 in the vocabulary\n")
        self.expect_fault(self.prepare("--pairs", "story.txt"), 65, r"story.txt:1: no tab \(each line is a source, one tab")
        self.expect_fault(self.prepare("--joint", "story.txt"), 64, "prepare: --joint is for --pairs")
        self.expect_fault(self.prepare("--pairs", "--joint", "--source-tokenizer", "byte", "sounds.tsv", "-f"), 78,
                          "data.joint = yes: a joint vocabulary cuts both sides in one way")
        self.expect_fault(train(fresh("deaf"), "data.text=", "data.store=prepare/sounds.h5"), 78,
                          "model.kind = decoder: the data comes in pairs of source and target")
        self.expect_fault(train(fresh("deaf"), "data.text=", "data.pairs=prepare/sounds.tsv"), 78,
                          "a decoder reads no source")

    def test_training_prepares_byte_pairs_and_goes_on_with_them(self):
        settings = ["data.tokenizer=bpe", "data.vocab=300", "train.schedule=constant"]
        self.expect_success(train(fresh("pairs"), *settings, "train.steps=10"))
        self.assertIn("vocabulary of 300", self.expect_success(train("pairs", *settings, ranks=2)).err)
        self.expect_success(train(fresh("whole"), *settings))
        lines = []
        for run in ("pairs", "whole"):
            with open(f"{run}/metrics.jsonl") as file:
                lines.append(file.read())
        self.assertEqual(*lines)
        self.expect_success(heed("generate", "pairs", "--prompt", "The cat", "--tokens", "20"))
        self.expect_success(heed("eval", "pairs", "--text", "text.txt"))

    def test_one_rank_writes(self):
        alone = self.expect_success(self.prepare("story.txt", "-o", "one.h5"))
        together = self.expect_success(self.prepare("story.txt", "-o", "three.h5", ranks=3))
        self.assertEqual(together.out, alone.out.replace("one.h5", "three.h5"))
        with open("prepare/one.h5", "rb") as one, open("prepare/three.h5", "rb") as three:
            self.assertEqual(one.read(), three.read())

    def test_nothing_is_replaced_by_accident(self):
        self.expect_success(self.prepare("story.txt"))
        before = os.stat("prepare/story.h5").st_mtime_ns
        self.expect_fault(self.prepare("story.txt"), 73, r"story.h5: exists already \(--force replaces it\)")
        self.assertEqual(os.stat("prepare/story.h5").st_mtime_ns, before)
        self.expect_success(self.prepare("story.txt", "--force"))
        self.assertNotEqual(os.stat("prepare/story.h5").st_mtime_ns, before)
        self.expect_fault(self.prepare("story.txt", "-f", "-o", "story.txt"), 64, "story.txt: is an input")
        with open("prepare/story.txt") as file:
            self.assertEqual(file.read(), TEXT)

    def test_faults(self):
        for name, content in (("empty.txt", b""), ("broken.txt", b"abc\xff"), ("cut.txt", "\u20ac".encode()[:2])):
            with open(f"prepare/{name}", "wb") as file:
                file.write(content)
        faults = [
            (["nope.txt"], 66, "nope.txt: .*No such file or directory"),
            (["."], 66, r"\.: .*not a regular file"),
            (["empty.txt"], 65, "empty.txt: no text to learn from"),
            (["broken.txt"], 65, "broken.txt:1: byte 3 = 0xFF: invalid UTF-8"),
            (["story.txt", "cut.txt"], 65, "cut.txt:1: .*invalid UTF-8"),
            (["story.txt", "-o", "no/such/folder/x.h5"], 73, "no/such/folder/x.h5.*: No such file or directory"),
            (["story.txt", "-o", "."], 73, r"\.: is a folder"),
            (["story.txt", "-t", "morse"], 78, r"data.tokenizer = morse: expected char, byte"),
            (["story.txt", "-v", "1.5"], 78, r"data.valid_share = 1.5: expected a number"),
        ]
        for ranks in (0, 3):
            for arguments, status, pattern in faults:
                with self.subTest(arguments, ranks=ranks):
                    self.expect_fault(self.prepare(*arguments, ranks=ranks), status, pattern)
        self.assertEqual([name for name in os.listdir("prepare") if name.endswith((".h5", ".tmp"))], [])


class Config(Case):
    def test_lists_every_setting(self):
        out = self.expect_success(heed("config")).out
        for key in ("[model]", "width = 128", "[checkpoint]", "keep = 3"):
            self.assertIn(key, out)
        self.assertNotIn("|", out)
        with open(os.path.join(SOURCE, "docs", "config.md"), encoding="utf-8") as file:
            self.assertEqual(self.expect_success(heed("config", "--markdown")).out, file.read())

    def test_what_it_writes_is_a_config(self):
        first = self.expect_success(heed("config", "model.width=96", "run.dir=runs/x", "data.text=x.txt")).out
        self.assertRegex(first, r"(?m)^width = 96\b")
        with open("written.ini", "w") as file:
            file.write(first)
        self.assertEqual(self.expect_success(heed("config", "written.ini")).out, first)
        self.assertRegex(heed("config", "written.ini", "model.width=64").out, r"(?m)^width = 64\b")

    def test_a_run_is_known_by_its_folder(self):
        fresh("moved")
        os.makedirs("moved/run")
        with open("moved/run/config.ini", "w") as file:
            file.write("[run]\ndir = somewhere/else\n[data]\ntext = x.txt\n[model]\nwidth = 40\n")
        out = self.expect_success(heed("config", "moved/run//")).out
        self.assertRegex(out, r"(?m)^width = 40\b")
        self.assertRegex(out, r"(?m)^dir = moved/run\b")

    def test_faults(self):
        fresh("no-run")
        os.mkdir("no-run")
        with open("wrong.ini", "w") as file:
            file.write("[model]\nwidth = 128\nheads = 5\n")
        faults = [
            (["nope.ini"], 66, "nope.ini: .*No such file or directory"),
            (["no-run"], 66, "no-run: no run lives in this folder"),
            (["wrong.ini"], 78, r"wrong.ini:3: model.heads = 5"),
            (["model.widht=3"], 78, r"model.widht: .*\(did you mean model.width\?\)"),
            (["train.steps=many"], 78, r"train.steps = many: expected a whole number"),
            (["train.batch=10", "train.grain=3"], 78, r"train.grain = 3"),
        ]
        for ranks in (0, 3):
            for arguments, status, pattern in faults:
                with self.subTest(arguments, ranks=ranks):
                    self.expect_fault(heed("config", *arguments, ranks=ranks), status, pattern)


if __name__ == "__main__":
    main()
