"""heed inspect and heed merge: what every kind of file holds, and that damage is found in each of them."""

import json
import os
import re
import shutil

from program import TINY, Case, fresh, heed, main
from tiny import TEXT, fresh_run


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x10]))


class Inspect(Case):
    @classmethod
    def setUpClass(cls):
        fresh_run("run")

    def inspect(self, *arguments):
        """JSON and text say the same."""
        found = json.loads(self.expect_success(heed("inspect", "--json", *arguments)).out)
        text = self.expect_success(heed("inspect", *arguments)).out
        self.assertEqual(text.splitlines()[0], arguments[-1])
        for key, value in found.items():
            if isinstance(value, (int, str)) and key not in ("file", "config"):
                self.assertRegex(text, rf"(?m)^  {key} +{re.escape(str(value))}( \(verified\))?$")
        for array in found.get("arrays", []):
            shape = ", ".join(map(str, array["shape"]))
            self.assertRegex(text, rf"(?m)^    {array['name']} +{array['type']} +\({shape}\)$")
        return found

    def shapes(self, found):
        return {array["name"]: array["shape"] for array in found["arrays"]}

    def test_token_store(self):
        found = self.inspect("run/tokens.h5")
        self.assertEqual((found["kind"], found["tokenizer"]), ("token store", "char"))
        self.assertEqual(found["vocabulary"], len(set(TEXT)))
        self.assertEqual(found["train_tokens"] + found["valid_tokens"], len(TEXT))
        self.assertEqual(self.shapes(found)["/train"], [found["train_tokens"]])
        self.assertEqual(found["texts"][0]["name"], "text.txt")
        self.assertEqual(found["texts"][0]["bytes"], len(TEXT))
        self.assertEqual(found["bytes"], os.path.getsize("run/tokens.h5"))

    def test_checkpoint(self):
        found = self.inspect("run/checkpoints/step-00000020.h5")
        self.assertEqual((found["kind"], found["step"]), ("checkpoint", 20))
        with open("run/metrics.jsonl") as file:
            last = json.loads(file.readlines()[-1])
        self.assertEqual(found["valid_loss"], last["valid_loss"])
        self.assertEqual(found["model"], "decoder, layers 1, heads 2, width 16, context 16")
        shapes = self.shapes(found)
        self.assertEqual(shapes["/params/token.weight"], [len(set(TEXT)), 16])
        sizes = [shape[0] * (shape[1] if len(shape) > 1 else 1) for name, shape in shapes.items() if "/params/" in name]
        self.assertEqual(found["parameters"], sum(sizes))
        self.assertEqual(found["data_digest"], self.inspect("run/tokens.h5")["data_digest"])

    def test_an_encoder_decoder_is_called_one(self):
        self.expect_success(heed("train", *TINY, "model.kind=encoder_decoder", "data.task=copy", "train.steps=1", "data.task_length=6",
                                 "log.attention_every=0", f"run.dir={fresh('pairs')}"))
        self.assertEqual(self.inspect("pairs")["model"], "encoder-decoder, layers 1, heads 2, width 16, context 16")

    def test_attention_log(self):
        found = self.inspect("run/attention/step-00000010.h5")
        self.assertEqual([found[key] for key in ("kind", "steps", "first_step", "last_step", "layers", "heads", "time")],
                         ["attention log", 1, 10, 10, 1, 2, 16])

    def test_figures(self):
        found = self.inspect("run/metrics.jsonl")
        self.assertEqual([found[key] for key in ("kind", "lines", "first_step")], ["figures", 20, 1])
        with open("run/metrics.jsonl") as file:
            self.assertEqual(found["last"], json.loads(file.readlines()[-1]))
        self.assertEqual(self.inspect("run/timing.jsonl")["lines"], 20)

    def test_config(self):
        self.assertEqual(self.inspect("run/config.ini")["kind"], "config")
        with open("run/config.ini") as file:
            config = file.read()
        for path in ("run/config.ini", "run/checkpoints/step-00000010.h5", "run/attention/step-00000010.h5"):
            self.assertEqual(self.expect_success(heed("inspect", "--config", path)).out, config)
        self.expect_fault(heed("inspect", "--config", "run/tokens.h5"), 65, "run/tokens.h5: holds no configuration")

    def test_run(self):
        found = self.inspect("run")
        self.assertEqual((found["kind"], found["last"]["step"]), ("run", 20))
        names = [os.path.relpath(file["file"], "run") for file in found["files"]]
        expected = [os.path.relpath(os.path.join(folder, name), "run") for folder, _, files in os.walk("run")
                    for name in files if name.endswith((".h5", ".jsonl", ".ini"))]
        self.assertEqual(sorted(names), sorted(expected))
        self.assertNotIn("DAMAGED", heed("inspect", "run").out)

    def test_several_files(self):
        result = heed("inspect", "--json", "run/tokens.h5", "run/checkpoints/step-00000010.h5")
        kinds = [json.loads(line)["kind"] for line in self.expect_success(result).out.splitlines()]
        self.assertEqual(kinds, ["token store", "checkpoint"])
        result = heed("inspect", "--json", "nope.h5", "run/tokens.h5", "no.h5")
        self.assertEqual(result.status, 66)
        self.assertEqual(len(result.out.splitlines()), 1)
        self.assertEqual([line.split()[1] for line in result.said], ["warning:", "nope.h5:"])

    def test_damage_in_every_kind(self):
        shutil.copytree("run", fresh("damaged"))
        for name in ("tokens.h5", "checkpoints/step-00000010.h5", "attention/step-00000010.h5"):
            path = f"damaged/{name}"
            size = os.path.getsize(path)
            for offset in (0, 1000, size // 2, size - 1):
                with self.subTest(name, offset=offset):
                    flip(path, offset)
                    self.expect_fault(heed("inspect", path), 65, f"{path}: ")
                    flip(path, offset)
            self.expect_success(heed("inspect", path))
            with self.subTest(name, cut=True):
                os.truncate(path, size - 1)
                self.expect_fault(heed("inspect", path), 65, f"{path}: has no trailer")
        for torn in ('{"step":21}', '{"step":21,\n', '{"step":"21"}\n', "\n"):
            shutil.copy("run/metrics.jsonl", "damaged/metrics.jsonl")
            with open("damaged/metrics.jsonl", "a") as file:
                file.write(torn)
            self.expect_fault(heed("inspect", "damaged/metrics.jsonl"), 65, "damaged/metrics.jsonl:21: not a whole line")
        with open("damaged/config.ini", "a") as file:
            file.write("widht = 3\n")
        self.expect_fault(heed("inspect", "damaged/config.ini"), 78, r"damaged/config.ini:\d+: .*widht")
        result = heed("inspect", "damaged")
        self.assertEqual((result.status, result.out.count("DAMAGED")), (78, 5))
        self.assertEqual(len(result.said), 1)

    def test_faults(self):
        os.makedirs("empty", exist_ok=True)
        for name, content in (("none.h5", b""), ("words.h5", b"no HDF5"), ("zeros.h5", bytes(100000))):
            with open(name, "wb") as file:
                file.write(content)
        faults = [
            (["nope.h5"], 66, "nope.h5: .*No such file or directory"),
            (["empty"], 66, "empty: no run lives in this folder"),
            (["none.h5"], 65, "none.h5: "),
            (["words.h5"], 65, "words.h5: "),
            (["zeros.h5"], 65, "zeros.h5: "),
            (["nope.jsonl"], 66, "nope.jsonl: No such file or directory"),
            ([b"\xff.h5"], 65, "a name that is not UTF-8"),
        ]
        for ranks in (0, 3):
            for arguments, status, pattern in faults:
                with self.subTest(arguments, ranks=ranks):
                    self.expect_fault(heed("inspect", *arguments, ranks=ranks), status, pattern)


class Merge(Case):
    @classmethod
    def setUpClass(cls):
        fresh_run("run")

    def setUp(self):
        if os.path.exists("run/attention.h5"):
            os.remove("run/attention.h5")

    def test_all_steps_in_one_file(self):
        result = self.expect_success(heed("merge", "run/"))
        self.assertEqual(result.out, "run/attention.h5\n")
        found = json.loads(heed("inspect", "--json", "run/attention.h5").out)
        self.assertEqual([found[key] for key in ("kind", "steps", "first_step", "last_step")], ["attention log", 3, 0, 20])
        self.expect_success(heed("merge", "run", "-o", "elsewhere.h5", "-f", ranks=3))
        with open("run/attention.h5", "rb") as one, open("elsewhere.h5", "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_faults(self):
        os.makedirs("empty", exist_ok=True)
        self.expect_success(heed("merge", "run"))
        shutil.copytree("run", fresh("torn"))
        os.remove("torn/attention.h5")
        flip("torn/attention/step-00000010.h5", 1000)
        faults = [
            (["nope"], 66, "nope"),
            (["empty"], 66, "empty/attention: holds no attention log"),
            (["run"], 73, r"run/attention.h5: exists already \(--force replaces it\)"),
            (["run", "-o", "no/such/folder/x.h5"], 73, "no/such/folder/x.h5"),
            (["torn"], 65, "torn/attention/step-00000010.h5"),
        ]
        for ranks in (0, 3):
            for arguments, status, pattern in faults:
                with self.subTest(arguments, ranks=ranks):
                    self.expect_fault(heed("merge", *arguments, ranks=ranks), status, pattern)
        self.assertFalse(os.path.exists("torn/attention.h5"))
        self.expect_success(heed("merge", "run", "--force"))


if __name__ == "__main__":
    main()
