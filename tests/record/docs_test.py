"""docs/files.md against files that were just written: its tables list what is in them, no more and no less, and its
examples run."""

import glob
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

import h5py
import numpy

HEED = os.environ["HEED_PROGRAM"]
SOURCE = os.environ["HEED_SOURCE_DIR"]


def load(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def save(path, data):
    with open(path, "wb") as file:
        file.write(data)


DOC = load(SOURCE, "docs", "files.md").decode()

# What dimension scales are made of, and what describes arrays for people.
OF_NETCDF = {"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "long_name", "units", "coordinates", "_Encoding"}


def section(title):
    return re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", DOC, re.M | re.S).group(1)


def rows(text, heading):
    """The rows of the table whose first column has this heading, without the heading, as lists of cells."""
    table = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M).group(1)
    return [[cell.strip() for cell in row.strip("| \n").split(" | ")] for row in table.splitlines()]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", DOC, re.M | re.S)


def make_run():
    shutil.rmtree("run", ignore_errors=True)
    save("text.txt", load(SOURCE, "data", "moby-dick.txt")[:20000] + "\nIshmaël\n".encode())
    subprocess.run([HEED, "train", "run.dir=run", "data.text=text.txt", "model.layers=2", "model.heads=2", "model.width=16",
                    "model.time=24", "train.batch=8", "train.steps=20", "train.warmup=2", "train.threads=1", "eval.every=10",
                    "log.attention_every=10", "log.probes=2", "checkpoint.every=10"],
                   check=True, stderr=subprocess.DEVNULL)
    subprocess.run([HEED, "merge", "run"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([HEED, "probe", "run", "-n", "8"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run([HEED, "report", "run"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_pairs_run():
    shutil.rmtree("pairs", ignore_errors=True)
    subprocess.run([HEED, "train", "run.dir=pairs", "model.kind=encoder_decoder", "data.task=reverse", "data.task_length=5",
                    "model.layers=2", "model.encoder_layers=1", "model.heads=2", "model.width=16", "model.time=8",
                    "train.batch=8", "train.steps=2", "train.warmup=1", "train.threads=1", "log.attention_every=1",
                    "log.probes=3"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([HEED, "merge", "pairs", "--kind", "cross"], check=True, stderr=subprocess.DEVNULL)


def run_python(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def contents(path):
    """Arrays with types and shapes; attributes as (object, key)."""
    arrays, attributes = {}, set()

    def see(name, item):
        if isinstance(item, h5py.Dataset):
            arrays["/" + name] = item
        attributes.update((("/" + name).rstrip("/") or "/", key) for key in item.attrs if key not in OF_NETCDF)

    file = h5py.File(path, "r")
    see("", file)
    file.visititems(see)
    return file, arrays, attributes


class Files(unittest.TestCase):
    maxDiff = None

    def test_the_run_folder(self):
        listed = [row[0].strip("`") for row in rows(section("A run's folder"), "file")]
        found = {os.path.relpath(os.path.join(folder, name), "run") for folder, _, names in os.walk("run") for name in names}
        found = {re.sub(r"\d{8}", "N", name) for name in found} - {"attention.h5", "lock"}
        self.assertEqual(sorted({re.sub(r"\d{8}", "N", name) for name in listed}), sorted(found))

    def check_kind(self, title, kind, path, first_column="name"):
        text = section(title)
        file, arrays, attributes = contents(path)
        self.assertEqual(file.attrs["heed_kind"].decode(), kind)
        tensors = set(file["params"]) if "params" in file else set()
        listed = {}
        for row in rows(text, first_column):
            name = "/" + row[0].strip("`/")
            for tensor in tensors if name.endswith("/T") else {None}:
                listed[name[:-1] + tensor if tensor else name] = row
        self.assertEqual(sorted(listed), sorted(arrays))
        common = {("/", row[0].strip("`")) for row in rows(section("What all HDF5 files have in common"), "attribute")}
        own = {tuple(part.strip("`") for part in row[0].split(" ")) for row in rows(text, "attribute")}
        self.assertEqual(sorted(common | own), sorted(attributes))
        return file, arrays, listed

    def test_checkpoint(self):
        file, arrays, listed = self.check_kind("Checkpoint", "checkpoint", "run/checkpoints/step-00000020.h5")
        for name, array in arrays.items():
            self.assertEqual(str(array.dtype), listed[name][1].split(" ")[0], name)
        self.assertEqual(file["params/block.0.attention.qkv.weight"].shape, (48, 16))
        self.assertEqual(file.attrs["config"].decode(), load("run/config.ini").decode())
        self.assertEqual(file.attrs["step"], 20)

    def test_token_store(self):
        file, arrays, listed = self.check_kind("Token store", "token store", "run/tokens.h5")
        self.assertEqual(file["tokenizer/first"][-1], file["tokenizer/bytes"].size)
        self.assertIn(str(file["train"].dtype), listed["/train"][1])

    def check_dimensions(self, arrays, listed):
        for name, array in arrays.items():
            _, dimensions, kind, unit = listed[name][:4]
            self.assertEqual({"|S1": "char"}.get(array.dtype.str, str(array.dtype)), kind, name)
            self.assertEqual(array.attrs["units"].decode(), unit, name)
            scales = [name[1:]] if name[1:] == dimensions else [scale[0].name[1:] for scale in array.dims]
            self.assertEqual(", ".join(scales) or "-", dimensions, name)

    def test_attention_log(self):
        for path, steps in ("run/attention/step-00000010.h5", [10]), ("run/attention.h5", [0, 10, 20]):
            file, arrays, listed = self.check_kind("Attention log", "attention log", path)
            self.assertEqual(list(file["step"][:]), steps)
            self.check_dimensions(arrays, listed)

    def test_probe(self):
        file, arrays, listed = self.check_kind("Probe", "probe", "run/probe.h5")
        self.check_dimensions(arrays, listed)
        self.assertEqual(file.attrs["checkpoint"].decode(), "run/checkpoints/step-00000020.h5")

    def test_attention_of_an_encoder_decoder(self):
        make_pairs_run()
        more = rows(section("Attention of an encoder-decoder"), "name")
        listed = {row[0].strip("`"): row for row in rows(section("Attention log"), "name")}
        for folder, layers, extra in ("attention", 2, []), ("attention-encoder", 1, []), ("attention-cross", 2, more):
            names = listed | {row[0].strip("`"): row for row in extra}
            for path in f"pairs/{folder}/step-00000002.h5", "pairs/attention-cross.h5":
                if path.endswith("cross.h5") and not extra:
                    continue
                file, arrays, _ = contents(path)
                self.assertEqual(sorted("/" + name for name in names), sorted(arrays))
                for name, row in names.items():
                    array = file[name]
                    self.assertEqual({"|S1": "char"}.get(array.dtype.str, str(array.dtype)), row[2], name)
                    scales = [name] if name == row[1] else [scale[0].name[1:] for scale in array.dims]
                    self.assertEqual(", ".join(scales), row[1], name)
                self.assertEqual(file["attention"].shape[1:], (3, layers, 2, 8, 8))
                self.check_maps(file, causal=folder == "attention", crosses=bool(extra))

    def check_maps(self, file, causal, crosses):
        """Weights sum to 1 and credits to 0 over the keys that are there; beyond the ends, and the future, there is nothing."""
        lengths = file["key_length" if crosses else "probe_length"][:]
        for probe, n_queries in enumerate(file["probe_length"][:]):
            n_keys = lengths[probe]
            attention, credit = file["attention"][-1, probe], file["credit"][-1, probe]
            self.assertEqual(n_queries, 6)
            self.assertTrue(numpy.allclose(attention[..., :n_queries, :n_keys].sum(-1), 1, atol=2e-3))
            self.assertTrue(abs(credit[..., :n_queries, :n_keys].sum(-1)).max() <= 2e-3 * abs(credit).max())
            self.assertEqual(abs(attention[..., n_queries:, :]).max() + abs(attention[..., n_keys:]).max(), 0)
            self.assertEqual((attention[..., 0, 1:n_keys] == 0).all(), causal)
            targets = file["target"][probe][:n_queries]
            if crosses:  # the source backwards, then the end
                self.assertEqual(list(targets), list(file["key_token"][probe][:n_queries][-2::-1]) + [targets[-1]])
        self.assertEqual(numpy.isnan(file["on_target"][-1]).all(), not crosses)
        self.assertEqual(numpy.isnan(file["previous"][-1]).all(), crosses)

    def test_figures(self):
        for name in "metrics.jsonl", "timing.jsonl":
            keys = [row[0].strip("`") for row in rows(section("Figures: metrics.jsonl and timing.jsonl"), f"`{name}`")]
            lines = [json.loads(line) for line in load("run", name).splitlines()]
            self.assertEqual([line["step"] for line in lines], list(range(1, 21)))
            self.assertEqual([key for key in keys if any(key in line for line in lines)], keys)
            for line in lines:
                self.assertLessEqual(set(line), set(keys))

    def test_environment(self):
        keys = [row[0].strip("`") for row in rows(section("environment.json"), "key")]
        self.assertEqual(keys, list(json.loads(load("run/environment.json"))))

    def do_without(self, *tools):
        """A reader leaves out what is not installed; continuous integration must have it all."""
        print("not run, for want of", *tools)
        self.assertNotIn("CI", os.environ, f"{tools} not installed: scripts/setup.sh names the packages")

    def test_examples_run(self):
        n_run = 0
        for code in blocks("python"):
            needed = re.findall(r"needs (\w+)", code) + (["xarray", "dask"] if "xarray" in code else [])
            absent = [name for name in needed if importlib.util.find_spec(name) is None]
            if absent:
                self.do_without(*absent)
            elif not code.startswith("# verify.py"):
                result = run_python(code)
                self.assertEqual(result.returncode, 0, code + result.stderr.decode())
                n_run += 1
        self.assertGreaterEqual(n_run, 4)

    def test_shell_examples_run(self):
        n_run = 0
        for line in "".join(blocks("sh")).splitlines():
            if line.startswith("heed "):
                continue  # make_run does
            if shutil.which(line.split()[0]) is None:
                self.do_without(line.split()[0])
                continue
            result = subprocess.run(line, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(result.returncode, 0, result.stdout)
            n_run += 1
        print(n_run, "lines of shell")

    def test_xarray_sees_what_h5py_sees(self):
        if importlib.util.find_spec("xarray") is None or importlib.util.find_spec("dask") is None:
            self.do_without("xarray with dask")
            self.skipTest("no xarray with dask")
        import xarray
        engines = [engine for engine, module in (("netcdf4", "netCDF4"), ("h5netcdf", "h5netcdf"))
                   if importlib.util.find_spec(module)]
        if len(engines) < 2:
            self.do_without("netCDF4 or h5netcdf")
        for engine in engines:
            log = xarray.open_mfdataset("run/attention/step-*.h5", engine=engine)
            merged = xarray.open_dataset("run/attention.h5", engine=engine)
            self.assertEqual(log.attention.dims, ("step", "probe", "layer", "head", "query", "key"))
            for name in "attention", "advantage", "credit", "entropy", "previous":
                with h5py.File("run/attention/step-00000010.h5", "r") as file:
                    self.assertTrue((log[name].sel(step=10).values == file[name][0]).all(), name)
                self.assertTrue((log[name].values == merged[name].values).all(), name)
            self.assertEqual(log.token_text.dims, ("probe", "query"))
            weights, credit = log.attention.values, log.credit.values
            self.assertLess(abs(weights.sum(-1) - 1).max(), 2e-3)
            self.assertLess(abs(credit.sum(-1)).max(), 2e-3 * abs(credit).max())
            upper = numpy.triu(numpy.ones(weights.shape[-2:]), 1)
            self.assertEqual(abs(weights * upper).max() + abs(credit * upper).max(), 0)

    def verify(self, path):
        script = next(code for code in blocks("python") if code.startswith("# verify.py"))
        self.assertLessEqual(len(script.splitlines()) - 2, 12)  # without the comment and the import
        return run_python(script, path)

    def test_verifying(self):
        for path in ["run/tokens.h5", "run/probe.h5", *glob.glob("run/*/*.h5")]:
            result = self.verify(path)
            self.assertEqual(result.returncode, 0, result.stderr.decode())
            digest = result.stdout.decode().split()[-1]
            inspected = subprocess.run([HEED, "inspect", path], stdout=subprocess.PIPE).stdout.decode()
            self.assertIn(digest + " (verified)", inspected)

    def test_verifying_finds_damage(self):
        good = "run/checkpoints/step-00000020.h5"
        data = load(good)
        save("cut.h5", data[:-1000])
        self.assertIn(b"not all of it", self.verify("cut.h5").stderr)
        shutil.copy(good, "nan.h5")
        with h5py.File("nan.h5", "r+") as file:
            file["params/token.weight"][3, 3] = float("nan")
        body = load("nan.h5")
        body = body[:len(data) - 32] if body.endswith(data[-32:]) else body
        save("nan.h5", body + b"HEEDEND1" + len(body).to_bytes(8, "little") + bytes(16))
        self.assertIn(b"params/token.weight holds a number that is not finite", self.verify("nan.h5").stderr)


if __name__ == "__main__":
    make_run()
    unittest.main(verbosity=2)
