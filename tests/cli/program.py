"""Runs heed as a user does: alone or under mpirun, in the folder that CTest gives each test."""

import os
import re
import shutil
import subprocess
import unittest

HEED = os.environ["HEED_PROGRAM"]
SOURCE = os.environ["HEED_SOURCE_DIR"]
MPIRUN = os.environ["HEED_MPIRUN"].split(";")  # mpirun and its flags, up to the one that takes the number of ranks
MOBY_DICK = os.path.join(SOURCE, "data", "moby-dick.txt")

# A model that trains in a blink.
TINY = ["model.layers=1", "model.heads=2", "model.width=16", "model.time=16", "train.batch=12", "train.grain=1",
        "train.warmup=2", "train.threads=1"]


class Result:
    def __init__(self, process):
        self.status = process.returncode
        self.bytes = process.stdout
        self.out = process.stdout.decode("utf-8", "replace")
        # AddressSanitizer remarks on every allocation that it refuses; that heed then says so is what is tested
        self.err = re.sub(r"==\d+==WARNING: AddressSanitizer failed to allocate .*\n", "",
                          process.stderr.decode("utf-8", "replace"))
        # mpirun adds a box of its own when ranks end with a status; what heed itself said begins with its name
        self.said = [line for line in self.err.splitlines() if line.startswith("heed:")]


def heed(*arguments, ranks=0, env=None, cwd=None, stdin=b"", stdout=subprocess.PIPE, timeout=120):
    """ranks 0: without mpirun. stdin: the bytes that standard input holds."""
    command = [HEED, *arguments]
    if ranks:
        command = MPIRUN + [str(ranks)] + command
    process = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, input=stdin, cwd=cwd,
                             env={**os.environ, **(env or {})}, timeout=timeout)
    if process.stdout is None:
        process.stdout = b""
    return Result(process)


def commands():
    """The commands, as `heed --help` lists them."""
    text = heed("--help").out.split("Commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in text.splitlines()]


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    return folder


class Case(unittest.TestCase):
    maxDiff = None

    def expect_success(self, result):
        self.assertEqual(result.status, 0, result.err)
        return result

    def expect_fault(self, result, status, pattern):
        """One line of heed's, which says this, and this exit status."""
        self.assertEqual(result.status, status, result.err)
        self.assertEqual(len(result.said), 1, result.err)
        self.assertRegex(result.said[0], pattern)
        self.assertNotRegex(result.err, r"Sanitizer|Segmentation|core dump")


def main():
    unittest.main(verbosity=2)
