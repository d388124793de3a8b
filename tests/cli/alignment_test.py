"""heed eval --alignment: words from pieces, links and error rates, against NumPy on the weights that the attention log holds; and the
alignments that come with heed."""

import json
import os
import random
import re
import unittest

from program import SOURCE, TINY, Case, fresh, heed, main

try:
    import h5py
    import numpy
except ImportError:
    h5py = None

WORDS = ["stone", "house", "on", "bread", "water", "a", "river"], ["piedra", "casa", "pan", "agua", "el", "río", "sobre"]
PAIRS = [*TINY, "model.kind=encoder_decoder", "model.layers=2", "model.time=40", "data.pairs=pairs.tsv", "data.valid_share=0.5", "data.joint=yes",
         "model.init=uniform_fan_in", "train.steps=60", "train.peak_lr=1e-2", "eval.every=0", "checkpoint.every=0", "log.attention_every=60", "log.probes=12"]


def make_pairs(path):
    draw = random.Random(3)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(80):
            chosen = [draw.randrange(7) for _ in range(draw.randint(1, 6))]
            file.write(f"{' '.join(WORDS[0][i] for i in chosen)}.\t{' '.join(WORDS[1][i] for i in reversed(chosen))}\n")


def pieces(rows, length):
    return [row.tobytes().rstrip(b"\0").decode() for row in rows[:length]]


def words_of(pieces, separator):
    """For each piece the number of the word that its first letter lies in."""
    text, starts = "", []
    for piece in pieces:
        text += separator if text else ""
        starts.append(len(text) + len(piece) - len(piece.lstrip()) if piece.strip() else -1)
        text += piece
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    return [next((w for w, (a, b) in enumerate(spans) if a <= start < b), -1) for start in starts], text


class Alignment(Case):
    @classmethod
    def setUpClass(cls):
        if not h5py:
            raise unittest.SkipTest("no h5py")
        make_pairs("pairs.tsv")
        for kind, more in ("char", []), ("word", []), ("bpe", ["data.vocab=280"]):
            result = heed("train", *PAIRS, f"data.tokenizer={kind}", *more, f"run.dir={fresh(kind)}")
            assert result.status == 0, result.err

    def expected(self, run, separator):
        """The file of alignments, made of the run's probes with links by chance, and what heed should find."""
        draw = random.Random(4)
        with h5py.File(f"{run}/attention-cross/step-00000060.h5") as file:
            n, m = file["probe_length"][:], file["key_length"][:]
            weights = file["attention"][0].astype(float)
            probes = [(pieces(file["key_text"][p], m[p] - 1), pieces(file["token_text"][p][1:], n[p] - 1)) for p in range(len(n))]
        layers, heads = weights.shape[1:3]
        told, sure, either = (numpy.zeros((2, layers, heads, 2)) for _ in range(3))
        wanted, diagonal = numpy.zeros(2), numpy.zeros((2, 3))
        with open("links.tsv", "w", encoding="utf-8") as out:
            out.write("# a comment\n\n")
            for p, (source, target) in enumerate(probes):
                (source_word, source_text), (target_word, target_text) = words_of(source, separator), words_of(target, separator)
                i_words, j_words, half = max(source_word) + 1, max(target_word) + 1, int(2 * p >= len(probes))
                kinds = {(i, j): draw.choice("-?  ") for i in range(i_words) for j in range(j_words)}
                out.write(f"{source_text}\t{target_text}\t{' '.join(f'{i}{k}{j}' for (i, j), k in kinds.items() if k != ' ')}\n")
                wanted[half] += sum(k == "-" for k in kinds.values())
                for reading in 0, 1:
                    a = weights[p, :, :, reading:reading + len(target), :len(source)]
                    folded = numpy.zeros((layers, heads, j_words, i_words))
                    for s, i in enumerate(source_word):
                        for t, j in enumerate(target_word):
                            if i >= 0 and j >= 0:
                                folded[:, :, j, i] += a[:, :, t, s] / target_word.count(j)
                    best, two = folded.argmax(-1), numpy.sort(folded, -1)[..., -2:]
                    if i_words > 1:  # logged weights are rounded
                        self.assertGreater((two[..., 1] / two[..., 0]).min(), 1.0005)
                    for j in range(j_words):
                        for layer in range(layers):
                            for head in range(heads):
                                k = kinds[best[layer, head, j], j]
                                told[reading, layer, head, half] += 1
                                sure[reading, layer, head, half] += k == "-"
                                either[reading, layer, head, half] += k != " "
                for j in range(j_words):
                    k = kinds[int((j + 0.5) * i_words / j_words), j]
                    diagonal[half] += 1, k == "-", k != " "
        errors = 1 - (sure + either) / (told + wanted)
        every = 1 - (sure + either).sum(-1) / (told + wanted).sum(-1)
        return errors, every, 1 - diagonal[:, 1:].sum(-1) / (diagonal[:, 0] + wanted)

    def test_numpy_finds_the_same(self):
        for run, separator in ("char", ""), ("word", " "), ("bpe", ""):
            errors, every, diagonal = self.expected(run, separator)
            found = json.loads(self.expect_success(heed("eval", run, "--alignment", "links.tsv", "--json")).out)
            self.assertEqual((found["pairs"], found["left_out"]), (12, 0))
            for reading, name in enumerate(("predicting", "next")):
                for layer in range(2):
                    for head in range(2):
                        got = found[name]["heads"][layer][head]
                        with self.subTest(run=run, at=(name, layer, head)):
                            self.assertAlmostEqual(got["first"], errors[reading, layer, head, 0], places=12)
                            self.assertAlmostEqual(got["second"], errors[reading, layer, head, 1], places=12)
                            self.assertAlmostEqual(got["all"], every[reading, layer, head], places=12)
                best = tuple(found[name]["best"])
                self.assertAlmostEqual(errors[reading][best][0], errors[reading, :, :, 0].min(), places=12)
            self.assertAlmostEqual(found["diagonal"]["first"], diagonal[0], places=12)
            self.assertAlmostEqual(found["diagonal"]["second"], diagonal[1], places=12)
            out = self.expect_success(heed("eval", run, "--alignment", "links.tsv")).out
            layer, head = found["next"]["best"]
            self.assertIn(f"head {layer}.{head} with {found['next']['heads'][layer][head]['first']:.3f}; on the other 6 it has "
                          f"{found['next']['heads'][layer][head]['second']:.3f}", out)
        if found["predicting"] == found["next"]:
            self.fail("both readings are the same: the test tells nothing")

    def test_ranks_and_long_pairs(self):
        with open("long.tsv", "w") as file:
            file.write("a house.\tcasa el\t0-1 1-0\n" + "a " * 60 + "\tcasa\t0-0\n")
        found = [json.loads(self.expect_success(heed("eval", "char", "-a", "long.tsv", "--json", ranks=ranks)).out) for ranks in (0, 2)]
        self.assertEqual(found[0], found[1])
        self.assertEqual((found[0]["pairs"], found[0]["left_out"]), (1, 1))
        self.assertIsNone(found[0]["diagonal"]["second"])

    def test_misuse(self):
        for line, pattern in (("a\tel", r"bad.tsv:1: not a source, a target and links"), ("a\tel\t0-0\t", r"bad.tsv:1: not a source"),
                              ("a\tel\t0-1", r"bad.tsv:1: link 0-1, but the pair has 1 and 1 words"), ("a\tel\t0+0", r"bad.tsv:1: '0\+0' is no link"),
                              ("a\tel\t0-0 0?0", r"bad.tsv:1: link 0\?0 is there twice"), ("\tel\t", r"bad.tsv:1: a side without words"),
                              ("# nothing", r"bad.tsv: no pair"), ("a\tQ\t0-0", r"line 1 of the alignments.*vocabulary"),
                              ("a\tel\t-1-0", r"is no link"), ("a\tel\t0-99999999999", r"is no link")):
            with open("bad.tsv", "w") as file:
                file.write(line + "\n")
            with self.subTest(line):
                self.expect_fault(heed("eval", "char", "--alignment", "bad.tsv"), 65, pattern)
        self.expect_fault(heed("eval", "char", "--alignment", "nowhere.tsv"), 66, r"nowhere.tsv")
        with open("long.tsv", "w") as file:
            file.write("a\tel\t0-0\n")
        self.expect_success(heed("train", *TINY, "data.task=copy", "data.task_length=4", "train.steps=1", f"run.dir={fresh('decoder')}"))
        self.expect_fault(heed("eval", "decoder", "--alignment", "long.tsv"), 78, r"a model without cross-attention")

    def test_the_alignments_that_come_with_heed(self):
        """50 pairs, each one of those that are kept for validation; half of the words or more have a sure link."""
        self.expect_success(heed("prepare", "--pairs", "--joint", "-t", "char", "-f", "-o", "gospels.h5", f"{SOURCE}/data/gospels.en-es.tsv"))
        with h5py.File("gospels.h5") as file:
            kept, first = {}, file["tokenizer/first"][:]
            token = numpy.array([file["tokenizer/bytes"][a:b].tobytes().decode() for a, b in zip(first, first[1:])])
            for side in "source", "target":
                x, first = file[f"valid/{side}"][:], file[f"valid/{side}_first"][:].astype(int)
                kept[side] = ["".join(token[x[a:b]]) for a, b in zip(first, first[1:])]
        valid = set(zip(kept["source"], kept["target"]))
        with open(os.path.join(SOURCE, "data", "gospels.align.tsv"), encoding="utf-8") as file:
            lines = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
        self.assertEqual(len(lines), 50)
        for source, target, links in lines:
            self.assertIn((source, target), valid)
            sure = [link.split("-") for link in links.split() if "-" in link]
            self.assertGreaterEqual(2 * len({j for _, j in sure}), len(target.split()) - 5)


if __name__ == "__main__":
    main()
