"""Every setting set wrongly, every rule on combinations broken, and configuration files that are none: one line, status
78 (66 when there is no file), at one rank and at several. The cases come from the table of settings (config_cases.c).

    settings_test.py CASES Alone | Ranks | AllRanks
"""

import os
import re
import subprocess
import sys

from program import Case, fresh, heed, main

CASES = sys.argv.pop(1)


def read_cases():
    lines = subprocess.run([CASES], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    return [(kind, settings.split(" "), message) for kind, settings, message in (line.split("\t") for line in lines)]


def write(path, text):
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return path


# file, bytes, what heed says
FILES = [
    ("empty.ini", b"", r"empty\.ini: data\.text and data\.store are both empty"),
    ("binary.ini", bytes(range(256)), r"binary\.ini:1: byte 1 is 0x00: a control character"),
    ("latin1.ini", "[data]\ntext = Ishmaël\n".encode("latin-1"), r"latin1\.ini:2: byte 13 is 0xeb: not UTF-8 text"),
    ("utf16.ini", "[data]\n".encode("utf-16"), r"utf16\.ini:1: byte 1 is 0xff: not UTF-8 text"),
    ("nul.ini", b"[run]\nseed = 1\0\n", r"nul\.ini:2: byte 9 is 0x00: a control character"),
    ("section.ini", b"[modle]\nheads = 4\n", r"section\.ini:1: \[modle\]: no such section \(did you mean \[model\]\?\)"),
    ("bracket.ini", b"[model\nheads = 4\n", r"bracket\.ini:1: \[model: expected \[section\] alone on its line"),
    ("twice.ini", b"[model]\nheads = 4\nheads = 4\n", r"twice\.ini:3: model\.heads: set a second time; line 2 has it"),
    ("equals.ini", b"[model]\nheads 4\n", r"equals\.ini:2: heads 4: expected \[section\] or key = value"),
    ("line.ini", b"[data]\ntext = " + b"a" * 5000 + b"\n", r"line\.ini:2: the line is 5007 bytes long; at most \d+"),
    ("huge.ini", b"a" * 10_000_000, r"huge\.ini: longer than 1048576 bytes"),
    ("escape.ini", b"[run]\ndir = \x1b[2Jx\n", r"escape\.ini:2: byte 7 is 0x1b: a control character"),
]


class Settings(Case):
    def refuse(self, arguments, status, pattern, ranks):
        with self.subTest(arguments=arguments, ranks=ranks):
            result = heed("train" if ranks else "config", *arguments, ranks=ranks)
            self.expect_fault(result, status, pattern)
            self.assertEqual(result.out, "")

    def check_command_line(self, cases, ranks):
        self.assertTrue(cases)
        write("sound.ini", "[data]\ntext = no/such/text\n")
        for kind, settings, message in cases:
            if kind == "combination":
                self.refuse(["sound.ini", *settings], 78, r"^heed: (command line|sound\.ini)", ranks)
            else:
                self.refuse(["sound.ini", *settings], 78, "^heed: command line: " + re.escape(message), ranks)

    def check_in_a_file(self, cases, ranks):
        """The line's number is told."""
        self.assertTrue(cases)
        for kind, settings, message in cases:
            lines = "".join(f"; above\n{setting.replace('=', ' = ', 1)}\n" for setting in settings)
            write("bad.ini", lines if "data." in lines else lines + "data.text = x\n")
            if kind == "combination":
                self.refuse(["bad.ini"], 78, r"^heed: bad\.ini(:\d*[02468]|): ", ranks)
            else:
                self.refuse(["bad.ini"], 78, r"^heed: bad\.ini:2: " + re.escape(message), ranks)

    def check_files(self, files, ranks):
        for name, content, pattern in files:
            self.refuse([write(name, content)], 78, r"^heed: " + pattern, ranks)

    def check_no_files(self, ranks):
        self.refuse(["no/such.ini"], 66, r"^heed: no/such\.ini: cannot be read: No such file", ranks)
        self.refuse([os.devnull + "/x"], 66, r"cannot be read: Not a directory", ranks)
        os.makedirs(fresh("folder"))
        self.refuse(["folder"], 66, r"^heed: folder: no run lives in this folder", ranks)
        self.refuse(["a" * 5000], 66, r"File name too long", ranks)
        if os.geteuid() != 0:
            os.chmod(write("secret.ini", ""), 0)
            self.refuse(["secret.ini"], 66, r"Permission denied", ranks)


def one_of_each_kind():
    return {kind: (kind, settings, message) for kind, settings, message in reversed(read_cases())}.values()


class Alone(Settings):
    def test_every_case(self):
        """In a file, one of each kind here: what a line is told by is the same for all."""
        self.check_command_line(read_cases(), 0)
        self.check_in_a_file(one_of_each_kind(), 0)

    def test_files(self):
        self.check_files(FILES, 0)
        self.check_no_files(0)


class Ranks(Settings):
    def test_one_case_of_each_kind(self):
        self.check_command_line(one_of_each_kind(), 3)

    def test_files(self):
        self.check_files(FILES[:3], 3)
        self.check_no_files(3)


class AllRanks(Settings):
    """Every case on three ranks. One rank is a process of its own (Alone) or one that mpirun started: one of each kind."""

    def test_every_case(self):
        self.check_command_line(one_of_each_kind(), 1)
        self.check_in_a_file(one_of_each_kind(), 1)
        self.check_in_a_file(read_cases(), 3)

    def test_files(self):
        for ranks in (1, 3):
            self.check_files(FILES, ranks)
        self.check_no_files(1)


if __name__ == "__main__":
    main()
