"""heed generate: a seed decides the text, options do what they say, prompts that cannot be read are refused."""

import os
import shutil

from program import Case, fresh, heed, main
from tiny import TEXT, fresh_run


class Generate(Case):
    @classmethod
    def setUpClass(cls):
        fresh_run("run", "train.steps=300", "train.peak_lr=1e-2", "eval.every=0", "checkpoint.every=0",
                  "log.attention_every=0")

    def write(self, *arguments, ranks=0):
        return self.expect_success(heed("generate", "run", *arguments, ranks=ranks))

    def test_a_seed_decides_the_text(self):
        text = self.write("--seed", "7").out
        self.assertEqual(len(text), 500 + 1)
        self.assertEqual(self.write("-s", "7").out, text)
        self.assertEqual(self.write("-s", "7", ranks=3).out, text)
        self.assertNotEqual(self.write("-s", "8").out, text)
        self.assertEqual(self.write("-s", "7", "--tokens", "50").out, text[:50] + "\n")

    def test_the_model_has_learned_something(self):
        words = self.write("--temperature", "0.3", "-n", "400").out.split()[:-1]
        known = set(TEXT.split())
        self.assertGreater(sum(word in known for word in words) / len(words), 0.5, words)

    def test_the_prompt_is_gone_on_from(self):
        for prompt in ("The old", "T", "The old cat sat on the roof. The wet dog sat on"):  # the last: longer than the context
            result = self.write("--prompt", prompt, "-n", "20")
            self.assertEqual(result.out[:len(prompt)], prompt)
            self.assertEqual(len(result.out), len(prompt) + 20 + 1)
        self.assertRegex(result.err, r"warning: the prompt has 47 tokens; the model sees the last 16")
        self.assertEqual(self.write("-p", "The old", "-n", "0").out, "The old\n")

    def test_only_the_context_counts(self):
        """Of prompts that end alike in the last 16 characters, the continuation is the same."""
        tails = [self.write("-p", head + "dog sat on the b", "-n", "12", "-t", "0").out[len(head):]
                 for head in ("The shy ", "The small ", "")]
        self.assertEqual(tails[0], tails[1])
        self.assertEqual(tails[0], tails[2])

    def test_a_text_does_not_depend_on_its_length(self):
        text = self.write("-n", "200", "-s", "3").out
        for n in (1, 15, 16, 17, 24, 25, 100):
            self.assertEqual(self.write("-n", str(n), "-s", "3").out, text[:n] + "\n")

    def test_the_window_moves_on_by_halves(self):
        """Of 16 tokens that fill the context, the last 8 are kept and the new one joins them: 9 that 7 more can follow."""
        text = "dog sat on the b"
        whole = self.write("-t", "0", "-p", text, "-n", "71").out[:-1]
        text += self.write("-t", "0", "-p", text, "-n", "1").out[-2]
        while len(text) < len(whole):
            kept = text[-9:]
            text += self.write("-t", "0", "-p", kept, "-n", "8").out[len(kept):-1]
        self.assertEqual(text[:len(whole)], whole)

    def test_zero_temperature_is_the_likeliest(self):
        coldest = self.write("-t", "0", "-s", "1").out
        self.assertEqual(self.write("-t", "0", "-s", "2").out, coldest)
        self.assertEqual(self.write("--top-k", "1", "-s", "3").out, coldest)
        self.assertEqual(self.write("--top-p", "0", "-s", "4").out, coldest)
        self.assertNotEqual(self.write("--top-k", "2", "-s", "3").out, coldest)

    def test_without_a_line_break_in_the_vocabulary(self):
        with open("plain.txt", "w") as file:
            file.write("abcabcabc" * 100)
        run = fresh_run("plain", "data.text=plain.txt", "train.steps=2")
        out = self.expect_success(heed("generate", run, "-n", "30")).out
        self.assertRegex(out, r"^[abc]{30}\n$")

    def test_faults(self):
        os.makedirs("empty", exist_ok=True)
        shutil.copytree("run", fresh("damaged"))
        path = "damaged/checkpoints/step-00000300.h5"
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) - 100)
        faults = [
            (["nope"], 66, "nope: No such file or directory"),
            (["empty"], 66, "empty: no checkpoint lies in this folder"),
            (["text.txt"], 65, "text.txt: is not a file of heed"),
            (["run", "-p", "caf\u00e9"], 65, r"--prompt:1: byte 3 = U\+00E9 .*not among the \d+ characters of the vocabulary"),
            (["run", b"-p", b"ab\xff"], 65, "--prompt:1: byte 2 = 0xFF: invalid UTF-8"),
            ([path], 65, "step-00000300.h5"),
        ]
        for ranks in (0, 3):
            for arguments, status, pattern in faults:
                with self.subTest(arguments, ranks=ranks):
                    self.expect_fault(heed("generate", *arguments, ranks=ranks), status, pattern)
        with open("/dev/full", "wb") as full:
            self.expect_fault(heed("generate", "run", stdout=full), 74, "standard output: No space left on device")


if __name__ == "__main__":
    main()
