"""heed eval: the loss that training wrote, to the last bit, at any number of ranks; and text of one's own."""

import json
import math
import os
import shutil

from program import Case, fresh, heed, main
from tiny import TEXT, fresh_run


class Eval(Case):
    @classmethod
    def setUpClass(cls):
        fresh_run("run")
        with open("run/metrics.jsonl") as file:
            cls.written = {line["step"]: line["valid_loss"] for line in map(json.loads, file) if "valid_loss" in line}

    def eval(self, *arguments, ranks=0):
        return json.loads(self.expect_success(heed("eval", *arguments, "--json", ranks=ranks)).out)

    def test_equals_what_training_wrote(self):
        self.assertEqual(sorted(self.written), [10, 20])
        for ranks in (0, 1, 2, 3):
            for step, loss in self.written.items():
                with self.subTest(step=step, ranks=ranks):
                    found = self.eval(f"run/checkpoints/step-{step:08d}.h5", ranks=ranks)
                    self.assertEqual((found["step"], found["loss"]), (step, loss))

    def test_newest_checkpoint_of_a_run(self):
        for place in ("run", "run/", "run/checkpoints"):
            self.assertEqual(self.eval(place)["step"], 20)

    def test_figures_belong_together(self):
        found = self.eval("run")
        n_valid = found["tokens"] + 1
        self.assertAlmostEqual(n_valid / len(TEXT), 0.1, places=2)
        self.assertAlmostEqual(found["perplexity"], math.exp(found["loss"]), places=9)
        # plain English: a token is a character is a byte
        self.assertAlmostEqual(found["bits_per_byte"], found["loss"] / math.log(2), places=9)
        self.assertEqual(found["bits_per_byte"], found["bits_per_character"])
        text = heed("eval", "run").out
        self.assertIn(f"{found['tokens']} tokens", text)
        self.assertRegex(text, rf"loss +{found['loss']:.4f} nats a token")

    def test_bytes_and_characters_are_counted_apart(self):
        with open("umlauts.txt", "w", encoding="utf-8") as file:
            file.write("Käse und Brötchen, süß wie Übermut. " * 40)
        run = fresh_run("umlauts", "data.text=umlauts.txt", "data.tokenizer=byte", "train.steps=2")
        found = self.eval(run)
        with open("umlauts.txt", "rb") as file:
            valid = file.read()[-(found["tokens"] + 1):][1:]
        characters = sum(byte & 0xC0 != 0x80 for byte in valid)
        self.assertGreater(len(valid), characters)
        bits = found["loss"] * found["tokens"] / math.log(2)
        self.assertAlmostEqual(found["bits_per_byte"], bits / len(valid), places=9)
        self.assertAlmostEqual(found["bits_per_character"], bits / characters, places=9)

    def test_text_of_ones_own(self):
        n_valid = self.eval("run")["tokens"] + 1
        with open("valid.txt", "w") as file:
            file.write(TEXT[-n_valid:])
        for ranks in (0, 3):
            found = self.eval("run", "--text", "valid.txt", ranks=ranks)
            self.assertEqual((found["loss"], found["tokens"]), (self.written[20], n_valid - 1))
        with open("other.txt", "w") as file:
            file.write(TEXT[:1000])
        self.assertNotEqual(self.eval("run", "--text", "other.txt")["loss"], self.written[20])

    def test_a_part_of_the_text(self):
        found = self.eval("run", "--batches", "1")
        self.assertEqual(found["tokens"], 12 * 16)

    def test_a_run_that_was_moved(self):
        shutil.rmtree(fresh("elsewhere"), ignore_errors=True)
        shutil.copytree("run", "elsewhere")
        found = self.eval("elsewhere/checkpoints/step-00000020.h5")
        self.assertEqual((found["data"], found["loss"]), ("elsewhere/tokens.h5", self.written[20]))

    def test_other_data_is_noticed(self):
        shutil.copytree("run", fresh("swapped"))
        with open("swapped.txt", "w") as file:
            file.write(TEXT[::-1])
        self.expect_success(heed("prepare", "swapped.txt", "-f", "-o", "swapped/tokens.h5"))
        result = self.expect_success(heed("eval", "swapped"))
        self.assertRegex(result.err, r"warning: swapped/tokens.h5: not the data that .* was trained on")
        self.assertEqual(heed("eval", "run", "--store", "swapped/tokens.h5").err, "")

    def test_a_damaged_checkpoint_is_passed_over(self):
        shutil.copytree("run", fresh("damaged"))
        newest = "damaged/checkpoints/step-00000020.h5"
        with open(newest, "r+b") as file:
            file.seek(5000)
            file.write(b"oops")
        with open("damaged/checkpoints/step-00000030.h5.tmp", "w") as file:
            file.write("a save under way")
        result = self.expect_success(heed("eval", "damaged", "--json"))
        self.assertEqual(json.loads(result.out)["step"], 10)
        self.assertRegex(result.err, r"warning: .*step-00000020.h5.*passed over")
        self.assertTrue(os.path.exists("damaged/checkpoints/step-00000030.h5.tmp"))
        self.expect_fault(heed("eval", newest), 65, "step-00000020.h5.*digest")

    def test_faults(self):
        os.makedirs("empty", exist_ok=True)
        for name, text in (("snowman.txt", "The \u2603 sat on the mat.\n" * 9), ("short.txt", "The cat."), ("none.txt", "")):
            with open(name, "w", encoding="utf-8") as file:
                file.write(text)
        shutil.copytree("run", fresh("lonely"))
        os.remove("lonely/tokens.h5")
        os.rename("lonely/checkpoints/step-00000020.h5", "lonely.h5")
        self.expect_success(heed("prepare", "snowman.txt", "-f", "-o", "snowman.h5"))
        faults = [
            (["nope"], 66, "nope: No such file or directory"),
            (["empty"], 66, "empty: no checkpoint lies in this folder"),
            (["text.txt"], 65, "text.txt: is not a file of heed"),
            (["run/tokens.h5"], 65, "run/tokens.h5: is a token store, not a checkpoint"),
            (["run", "--store", "nope.h5"], 66, "nope.h5: .*No such file or directory"),
            (["run", "--store", "run/checkpoints/step-00000020.h5"], 65, "is a checkpoint, not a token store"),
            (["run", "--store", "snowman.h5"], 65, "snowman.h5: was made with another vocabulary than run/"),
            (["run", "--text", "nope.txt"], 66, "nope.txt: .*No such file or directory"),
            (["run", "--text", "snowman.txt"], 65, "snowman.txt:1: byte 4 = U\\+2603"),
            (["run", "--text", "short.txt"], 65, "short.txt: 8 tokens, fewer than the model's context of 16"),
            (["run", "--text", "none.txt"], 65, "none.txt: 0 tokens"),
        ]
        for ranks in (0, 3):
            for arguments, status, pattern in faults:
                with self.subTest(arguments, ranks=ranks):
                    self.expect_fault(heed("eval", *arguments, ranks=ranks), status, pattern)

    def test_a_checkpoint_without_its_data(self):
        shutil.copytree("run", fresh("lonely"))
        os.remove("lonely/tokens.h5")
        os.rename("run", "away")
        try:
            self.expect_fault(heed("eval", "lonely"), 66, r"no token store is known to belong to it \(name one with --store")
            self.assertEqual(self.eval("lonely", "--store", "away/tokens.h5")["loss"], self.written[20])
        finally:
            os.rename("away", "run")

    def test_more_ranks_than_grains(self):
        run = fresh_run("coarse", "train.grain=12", "train.steps=2")
        self.expect_fault(heed("eval", run, ranks=2), 78, "train.batch = 12: its 1 grains of 12 cannot be shared by 2 ranks")


if __name__ == "__main__":
    main()
