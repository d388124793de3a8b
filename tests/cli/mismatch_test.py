"""Ranks that are not alike are refused at the start, with one line that says what differs where."""

import os
import shutil
import struct
import subprocess

from program import HEED, MPIRUN, Case, Result, main
from tiny import TEXT, TINY, fresh


def together(*programs, **options):
    """mpirun -n A PROGRAM ... : -n B PROGRAM ...: of each (ranks, words in front of heed's command, its folder)."""
    command = MPIRUN[:-1]
    for i, (ranks, words, folder) in enumerate(programs):
        command = command + ([":"] if i else []) + ["-n", str(ranks), "-wdir", os.path.abspath(folder), *words]
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                             timeout=120, **options)
    return Result(process)


def with_another_build_id(path):
    """A copy of heed in which one bit of the linker's build id is another."""
    shutil.copy(HEED, path)
    with open(path, "rb") as file:
        data = bytearray(file.read())
    note = struct.pack("<III4s", 4, 20, 3, b"GNU\0")
    at = data.index(note) + len(note)
    data[at] ^= 1
    with open(path, "wb") as file:
        file.write(data)
    return path


ARGUMENTS = ["train", *TINY, "data.store=tokens.h5", "train.steps=3", "-q", "eval.every=0", "log.attention_every=0",
             f"run.dir={os.path.abspath('run')}"]


class Mismatch(Case):
    def setUp(self):
        for folder in "one", "other":
            os.makedirs(fresh(folder))
            with open(folder + "/text.txt", "w") as file:
                file.write(TEXT if folder == "one" else TEXT.upper())
            self.expect_success(Result(subprocess.run([HEED, "prepare", "-o", folder + "/tokens.h5", folder + "/text.txt"],
                                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)))
        fresh("run")

    def test_alike(self):
        self.expect_success(together((2, [HEED, *ARGUMENTS], "one"), (1, [HEED, *ARGUMENTS], "one")))

    def test_programs(self):
        other = with_another_build_id(os.path.abspath("other/heed"))
        host = os.uname().nodename
        for programs, rank in (((2, [HEED, *ARGUMENTS], "one"), (1, [other, *ARGUMENTS], "one")), 2), \
                              (((1, [other, *ARGUMENTS], "one"), (2, [HEED, *ARGUMENTS], "one")), 1):
            result = together(*programs)
            self.expect_fault(result, 69, rf"heed: ranks do not match: heed is .* build [0-9a-f]{{40}} on rank {rank} "
                                          rf"\({host}\) and .* build [0-9a-f]{{40}} on rank 0 \({host}\)")
            self.assertFalse(os.path.exists("run"))

    def test_data(self):
        result = together((2, [HEED, *ARGUMENTS], "one"), (1, [HEED, *ARGUMENTS], "other"))
        self.expect_fault(result, 69, rf"heed: ranks do not match: tokens.h5 has digest [0-9a-f]{{32}} on rank 2 "
                                      rf"\({os.uname().nodename}\) and [0-9a-f]{{32}} on rank 0")

    def test_config(self):
        """Settings are those of rank 0: what is said to others does not count."""
        result = together((2, [HEED, *ARGUMENTS], "one"), (1, [HEED, *ARGUMENTS, "model.width=32"], "one"))
        self.expect_success(result)
        with open("run/config.ini") as file:
            self.assertIn("width = 16", file.read())


main()
