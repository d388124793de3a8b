"""Models that answer sources: heed eval judges their answers as this file does by itself, at any number of ranks; heed
generate gives them; sources that cannot be answered are refused."""

import json
import random
from collections import Counter

from program import TINY, Case, fresh, heed, main
from tiny import fresh_run

# Sources are in capitals, so that they have a vocabulary of their own; answers run backwards.
PAIRS = [*TINY, "model.kind=encoder_decoder", "model.width=32", "data.pairs=pairs.tsv", "train.batch=24",
         "train.steps=250", "train.warmup=20", "train.peak_lr=1e-2", "eval.every=0", "checkpoint.every=0",
         "log.attention_every=0"]


def make_pairs(name, seed, n):
    draw = random.Random(seed)
    sources = set()
    while len(sources) < n:
        sources.add("".join(draw.choices("ABCÉ ", k=draw.randint(1, 9))).strip() or "A")
    pairs = [(source, source[::-1].lower()) for source in sorted(sources)]
    with open(name, "w", encoding="utf-8") as file:
        file.writelines(f"{source}\t{target}\n" for source, target in pairs)
    return pairs


def distance(a, b):
    """Levenshtein, from its recursive definition."""
    found = {}
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            found[i, j] = i + j if i * j == 0 else min(found[i - 1, j] + 1, found[i, j - 1] + 1,
                                                       found[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
    return found[len(a), len(b)]


def chrf(answers, references):
    """Popovic 2015, with beta 2, from counters of n-grams."""
    precision, recall = [], []
    for n in range(1, 7):
        common = of_answers = of_references = 0
        for texts in zip(answers, references):
            a, r = (Counter(text[i:i + n] for i in range(len(text) - n + 1)) for text in
                    ("".join(text.split()) for text in texts))
            common += sum((a & r).values())
            of_answers += sum(a.values())
            of_references += sum(r.values())
        if of_answers and of_references:
            precision.append(common / of_answers)
            recall.append(common / of_references)
    p, r = sum(precision) / len(precision), sum(recall) / len(recall)
    return 100 * 5 * p * r / (4 * p + r)


class Answers(Case):
    @classmethod
    def setUpClass(cls):
        make_pairs("pairs.tsv", 1, 600)
        cls.pairs = make_pairs("other.tsv", 2, 40)
        for run, more in (("run", []), ("joint", ["data.joint=yes", "train.steps=5"])):
            result = heed("train", *PAIRS, *more, f"run.dir={fresh(run)}")
            if result.status != 0:
                raise RuntimeError(result.err)

    def judged(self, *arguments, ranks=0):
        return json.loads(self.expect_success(heed("eval", *arguments, "--json", ranks=ranks)).out)

    def answers(self, run, sources, *options):
        lines = "".join(f"{source}\n" for source in sources).encode()
        out = self.expect_success(heed("generate", run, *options, stdin=lines)).out
        self.assertEqual(out.count("\n"), len(sources))
        return out.split("\n")[:-1]

    def test_is_judged_as_by_hand(self):
        sources, references = zip(*self.pairs)
        for beam in ("1", "3"):
            answers = self.answers("run", sources, "--beam", beam)
            found = self.judged("run", "--pairs", "other.tsv", "--beam", beam)
            n_right = sum(answer == reference for answer, reference in zip(answers, references))
            n_edits = sum(distance(answer, reference) for answer, reference in zip(answers, references))
            self.assertEqual((found["answers"], found["pairs"]), (len(self.pairs), len(self.pairs)))
            self.assertTrue(0 < n_right < len(self.pairs), n_right)
            self.assertAlmostEqual(found["exact"], n_right / len(self.pairs), places=12)
            self.assertEqual(found["reference_tokens"], sum(map(len, references)))
            self.assertAlmostEqual(found["edit_distance"], n_edits / sum(map(len, references)), places=12)
            self.assertAlmostEqual(found["chrf"], chrf(answers, references), places=9)

    def test_any_number_of_ranks(self):
        for arguments in (["run"], ["run", "--beam", "3"], ["run", "--pairs", "other.tsv"], ["joint"]):
            one = self.judged(*arguments)
            for ranks in (1, 3):
                with self.subTest(arguments, ranks=ranks):
                    self.assertEqual(self.judged(*arguments, ranks=ranks), one)
        text = self.expect_success(heed("eval", "run", ranks=3)).out
        found = self.judged("run")
        self.assertRegex(text, rf"answers +{found['answers']} by the likeliest token each time\nexact +{found['exact']:.4f} ")
        self.assertRegex(text, rf"chrF +{found['chrf']:.2f} of 100")
        self.assertNotIn("exact", self.judged("run", "--beam", "0"))

    def test_the_training_evaluation_is_the_same(self):
        found = self.judged("run")
        with open("run/metrics.jsonl") as file:
            written = [json.loads(line) for line in file]
        self.assertEqual([line["valid_loss"] for line in written if "valid_loss" in line][-1:] or [found["loss"]],
                         [found["loss"]])
        self.assertGreater(found["accuracy"], 0.5)

    def test_sources_as_arguments_and_as_lines(self):
        sources = [source for source, _ in self.pairs[:5]]
        lines = self.answers("run", sources)
        self.assertEqual(self.expect_success(heed("generate", "run", *sources)).out.split("\n")[:-1], lines)
        self.assertEqual(self.expect_success(heed("generate", "run", *sources, ranks=3)).out.split("\n")[:-1], lines)
        for source, line in zip(sources, lines):
            self.assertEqual(self.expect_success(heed("generate", "run", source)).out, line + "\n")
        self.answers("joint", ["ABC", "C"])

    def test_misuse(self):
        fresh_run("decoder", "train.steps=2")
        with open("foreign.tsv", "w", encoding="utf-8") as file:
            file.write("AB\tba\nAZ\tza\n")
        for arguments, status, pattern in (
                (["generate", "run"], 64, "generate: no source for run/.* to answer .*behind the run, or lines"),
                (["generate", "run", "--prompt", "ABC"], 64, "generate: --prompt: run/.* answers sources"),
                (["generate", "run", "ABx"], 65, r"source:1: byte 2 = U\+0078 'x': not among the \d+ characters"),
                (["generate", "run", ""], 65, "source: nothing to answer"),
                (["generate", "run", "A" * 16], 65, "source: 16 tokens, but the model reads at most 15"),
                (["generate", "decoder", "The cat"], 64, "generate: 'The cat': only an encoder-decoder answers a source"),
                (["eval", "run", "--text", "text.txt"], 65, "text.txt"),
                (["eval", "run", "--pairs", "foreign.tsv"], 65, "foreign.tsv:2: .*not among"),
                (["eval", "run", "--pairs", "nope.tsv"], 66, "nope.tsv: .*No such file"),
                (["eval", "run", "--shuffle-context"], 64, "eval: --shuffle-context is for decoders"),
                (["eval", "decoder", "--pairs", "other.tsv"], 65, "other.tsv")):
            with self.subTest(arguments):
                self.expect_fault(heed(*arguments), status, pattern)
        self.expect_fault(heed("generate", "run", stdin=b"AB\nBx\n"), 65, "standard input:2:.*not among")
        with open("/dev/full", "wb") as full:
            self.expect_fault(heed("generate", "run", "AB", stdout=full), 74, "standard output: No space left on device")


if __name__ == "__main__":
    main()
