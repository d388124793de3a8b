"""heed plan: what it says of memory, traffic and disk is what a run then has; time follows from the network's numbers."""

import glob
import json
import math
import os
import re

from program import SOURCE, Case, fresh, heed, main

try:
    import h5py
except ImportError:
    h5py = None

MODEL = ["model.layers=1", "train.threads=1", "train.batch=12", "train.grain=1"]


def plan(*arguments, ranks=0):
    result = heed("plan", "S", "--json", *MODEL, *arguments, ranks=ranks)
    return result, json.loads(result.out) if result.status == 0 else None


class Plan(Case):
    def test_memory_is_that_of_steps(self):
        for ranks in (1, 2):
            result, planned = plan(ranks=ranks)
            self.expect_success(result)
            measured = json.loads(self.expect_success(heed("bench", "--shape", "S", "--json", "--steps", "1", *MODEL,
                                                           ranks=ranks)).out)["memory_bytes"]
            for part in ("parameters", "gradients", "moments", "exchange"):
                self.assertEqual(planned["memory_bytes"][part], measured[part], (ranks, part))
            self.assertAlmostEqual(planned["memory_bytes"]["activations"], measured["activations"],
                                   delta=0.01 * measured["activations"])
            step = planned["step"]
            self.assertGreater(step["compute"], 0)
            self.assertEqual(step["gradients_out"] > 0, ranks > 1)  # rehearsed
            self.assertLessEqual(step["gradients_hidden"], step["gradients_out"])
            self.assertAlmostEqual(step["seconds"], step["compute"] + step["gradients_out"] - step["gradients_hidden"] +
                                   step["parameters_back"] - step["parameters_hidden"] + step["sums"], delta=1e-9)

    def test_memory_of_probes_is_that_of_the_largest_part(self):
        """Three ranks share nine probes: more than their sequences of a batch."""
        time, huge_page = 128, 2 << 20
        settings = ["data.task=copy", f"data.task_length={time // 2}", "model.layers=1", "model.width=16", f"model.time={time}",
                    "train.threads=1", "train.batch=3", "train.grain=1", "train.steps=1", "train.warmup=1", "log.probes=9",
                    "log.attention_every=1"]
        with open("probes.ini", "w", encoding="utf-8") as file:
            file.write("\n".join([*settings, f"run.dir={fresh('looked')}"]) + "\n")
        network = ["--ranks", "3", "--network", "0,1"]
        planned = json.loads(self.expect_success(heed("plan", "probes.ini", "--json", *network)).out)
        memory = planned["memory_bytes"]
        trained = self.expect_success(heed("train", "probes.ini", ranks=3)).err
        said = re.search(r"activations ([0-9.e+-]+), .*attention maps ([0-9.e+-]+) \(([0-9.e+-]+) on rank 0\)", trained)
        for number, part in enumerate(("activations", "attention_maps", "attention_maps_of_rank_0"), 1):
            self.assertAlmostEqual(1e-6 * memory[part], float(said.group(number)), delta=0.01 * 1e-6 * memory[part], msg=part)

        def maps(n_probes):
            one = 3 * time * time * 4  # maps, queries, keys, bytes; a thread needs as much again
            return ((n_probes * 4 * 1 + 1) * one + huge_page - 1) // huge_page * huge_page  # heads, layers
        self.assertEqual(memory["attention_maps"], maps(3))
        self.assertEqual(memory["attention_maps_of_rank_0"], maps(9))
        self.assertEqual(planned["bytes_of_rank_0"] - planned["bytes_a_rank"],
                         memory["snapshot_of_rank_0"] + maps(9) - maps(3))

        larger = ["model.width=256", "model.layers=4", "log.attention_every=0", "--json", *network]
        planned = json.loads(self.expect_success(heed("plan", "probes.ini", *larger)).out)
        memory = planned["memory_bytes"]
        self.assertEqual(memory["file_of_rank_0"], 16 << 20)  # what is kept of a file until it is written
        self.assertGreater(memory["file_of_rank_0"], memory["measuring_the_peak"])
        self.assertEqual(planned["bytes_of_rank_0"] - planned["bytes_a_rank"],
                         memory["snapshot_of_rank_0"] + memory["file_of_rank_0"] - memory["measuring_the_peak"])

        with open("lines.txt", "w", encoding="utf-8") as file:
            file.write("one\n\r\n\ntwo\r\nthree\nfour")
        with_file = ["log.probes=lines.txt", "--json", *network]
        memory = json.loads(self.expect_success(heed("plan", "probes.ini", *with_file)).out)["memory_bytes"]
        self.assertEqual(memory["attention_maps"], maps(2))
        self.assertEqual(memory["attention_maps_of_rank_0"], maps(4))
        self.expect_fault(heed("plan", "probes.ini", "log.probes=nowhere.txt"), 66, r"log.probes = nowhere.txt: No such file")

    def test_a_network_in_the_stead_of_attention(self):
        """Its first matrix is far wider than the model."""
        self.expect_success(plan("model.attention=mlp", "log.attention_every=0")[0])

    def test_disk_is_exact(self):
        folder = fresh("planned")
        settings = ["data.task=copy", "data.task_length=8", "model.layers=1", "model.width=16", "model.time=16",
                    "train.batch=4", "train.steps=2", "train.warmup=1", "log.attention_every=0", "eval.batches=1",
                    f"run.dir={folder}"]
        with open("planned.ini", "w", encoding="utf-8") as file:
            file.write("\n".join(settings) + "\n")
        planned = json.loads(self.expect_success(heed("plan", "planned.ini", "--json", "--disk", ".")).out)
        self.expect_success(heed("train", "planned.ini"))
        written = glob.glob(os.path.join(folder, "checkpoints", "*.h5"))
        self.assertEqual([planned["checkpoint_bytes"]], [os.path.getsize(path) for path in written])
        self.assertEqual(glob.glob("heed-plan-*"), [])

    def test_pairs_as_long_as_they_are_on_average(self):
        """Pairs of 1 to 3 tokens; memory is that of the run, whose rows have room for model.time."""
        with open("pairs.tsv", "w", encoding="utf-8") as file:
            file.write("".join(f"{'a ' * (n % 3)}s{n}\t{'b ' * (n % 2)}t{n}\n" for n in range(9)))
        settings = ["model.kind=encoder_decoder", "data.pairs=pairs.tsv", "data.tokenizer=word", "data.valid_share=0.3", "model.layers=1",
                    "model.width=16", "model.heads=2", "model.time=16", "train.batch=4", "train.grain=1", "train.steps=2", "train.warmup=1",
                    "eval.every=0", "log.attention_every=0", "train.threads=1", f"run.dir={fresh('pairs')}"]
        with open("pairs.ini", "w", encoding="utf-8") as file:
            file.write("\n".join(settings) + "\n")
        result = self.expect_success(heed("plan", "pairs.ini", "--json", "--disk", "."))
        planned = json.loads(result.out)
        trained = self.expect_success(heed("train", "pairs.ini"))
        written = glob.glob(os.path.join("pairs", "checkpoints", "*.h5"))
        self.assertEqual([planned["checkpoint_bytes"]], [os.path.getsize(path) for path in written])
        if h5py:
            with h5py.File("pairs/tokens.h5", "r") as store:
                first = store["train/target_first"][:]
            self.assertEqual(planned["tokens_per_step"], 4 * math.ceil(first[-1] / (len(first) - 1) + 1))  # a mark each
        activations = float(re.search(r"activations ([0-9.e+-]+)", trained.err).group(1))
        self.assertAlmostEqual(1e-6 * planned["memory_bytes"]["activations"], activations, delta=0.01 * activations)
        measured = json.loads(self.expect_success(heed("bench", "--shape", "pairs.ini", "--json", "--steps", "1", ranks=2)).out)
        self.assertEqual(measured["flops_per_token"], planned["flops_per_token"])
        self.assertGreater(measured["stages"]["attention gradient"]["seconds"], 0)
        self.expect_fault(heed("plan", "pairs.ini", "model.time=1"), 78, r"model.time = 1: every pair has a side of more tokens")
        self.expect_fault(heed("plan", "pairs.ini", "data.pairs=", "data.task=copy"), 78, r"model.time = 16: a sequence of the task copy has 21 tokens")
        self.expect_fault(heed("plan", "pairs.ini", env={"TMPDIR": "/nowhere"}), 73, r"TMPDIR = /nowhere: No such file")
        self.expect_fault(heed("plan", "pairs.ini", "data.pairs=nowhere.tsv"), 66, r"nowhere.tsv: cannot read the text: No such file")
        self.expect_fault(heed("plan", "S", "data.task=none", "data.store=pairs/tokens.h5"), 78, r"model.kind = decoder: the data are pairs")

    def test_network_is_alpha_and_beta(self):
        plans = {}
        for name, network in (("none", "0,999999"), ("slow", "0,1"), ("slower", "0,0.5"), ("late", "100,999999")):
            result, plans[name] = plan("--ranks", "4", "--ranks-per-node", "1", "--network", network)
            self.expect_success(result)
        back = {name: plans[name]["step"]["parameters_back"] for name in plans}
        elements = plans["none"]["memory_bytes"]["parameters"] / 4
        self.assertAlmostEqual(back["slow"], elements * 4 * 3 / 4 / 1e9, delta=1e-6)
        self.assertAlmostEqual(back["slower"], 2 * back["slow"], delta=1e-6)
        self.assertLess(back["none"], 1e-6)
        self.assertAlmostEqual(back["late"] / 300e-6, round(back["late"] / 300e-6), delta=0.01)  # three others a bucket
        for planned in plans.values():
            step = planned["step"]
            self.assertLessEqual(step["gradients_hidden"], step["gradients_out"])
            self.assertLess(step["parameters_hidden"], step["parameters_back"])  # the first layers wait for theirs
            self.assertGreater(step["parameters_hidden"], 0)
            self.assertAlmostEqual(step["seconds"], step["compute"] + step["gradients_out"] - step["gradients_hidden"] +
                                   step["parameters_back"] - step["parameters_hidden"] + step["sums"], delta=1e-9)

    def test_one_sum_a_node_goes_over_the_network(self):
        """Two nodes send as much with two ranks on each as with one: half of all elements there, half back."""
        result, one = plan("--ranks", "2", "--ranks-per-node", "1", "--network", "0,1")
        self.expect_success(result)
        result, two = plan("--ranks", "4", "--ranks-per-node", "2", "--network", "0,1")
        self.expect_success(result)
        out = one["step"]["gradients_out"], two["step"]["gradients_out"]
        self.assertAlmostEqual(out[0], out[1], delta=0.25 * out[0])  # two: and what memory moves within the node

    def test_parameters_are_waited_for_where_nodes_have_different_numbers_of_ranks(self):
        for ranks, hidden in (("4", True), ("5", False)):
            result, planned = plan("--ranks", ranks, "--ranks-per-node", "2", "--network", "10,1")
            self.expect_success(result)
            self.assertEqual(planned["step"]["parameters_hidden"] > 0, hidden)
            self.assertGreater(planned["step"]["gradients_hidden"], 0)

    def test_ten_thousand_ranks(self):
        result, planned = plan("--ranks", "10000", "--ranks-per-node", "100", "--network", "HDR200",
                               "train.batch=10000", "train.steps=100")
        self.expect_success(result)
        self.assertEqual(planned["tokens_per_step"], 640000)
        self.assertAlmostEqual(planned["node_hours"], 100 * planned["hours"], delta=1e-9)

    def test_the_cluster_of_the_examples(self):
        with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as readme:
            for text in (heed("plan", "--help").out, readme.read()):
                example = re.search(r"heed (plan M --ranks [^#\n]*)", text)
                self.expect_success(heed(*example[1].split(), "model.layers=1", "train.threads=1"))

    def test_faults(self):
        self.expect_fault(plan("--ranks", "4")[0], 64, r"--network is missing.*run plan itself on 4 ranks")
        self.expect_fault(plan("--network", "10GbX")[0], 64, r"--network = 10GbX: expected a name, or microseconds")
        self.expect_fault(plan("--ranks", "13", "--network", "1,1")[0], 78, r"--ranks = 13: the batch has only 12 grains")
        self.expect_fault(heed("plan"), 64, r"S\|M\|L\|CONFIG \[SECTION.KEY=VALUE...\] is missing")
        self.expect_fault(heed("plan", "S", "--disk", "/nowhere"), 73, r"/nowhere: No such file")


if __name__ == "__main__":
    main()
