"""Data that is none, folders that cannot be written, files of every kind in every damaged version: the program ends with
one line and its documented status, at one rank and at several; no hang, no core dump, and no file half written.

    files_test.py MAKE_DAMAGED Few | All
"""

import os
import shutil
import subprocess
import sys

from program import TINY, Case, fresh, heed, main
from tiny import fresh_run, train

if sys.argv[1] == "--on-disk":
    DISK = [int(number) for number in sys.argv[2:]]
else:
    DISK, MAKE_DAMAGED = None, sys.argv.pop(1)
STATUSES = {0, 64, 65, 66, 71, 73, 74, 78, 80}  # DATA and NOT_FOUND mostly; never 70, 81 or a signal


def write(path, content):
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return path


TEXT = "It was the whiteness of the whale that above all things appalled me. " * 20

# settings beyond a sound run's, status, what the line says
REFUSED = [
    (["data.text=no.txt"], 66, r"no\.txt: cannot read the text: No such file"),
    (["data.text=folder"], 66, r"folder: cannot read the text: not a regular file"),
    (["data.text=/dev/zero"], 66, r"/dev/zero: cannot read the text: not a regular file"),
    (["data.text=empty.txt"], 65, r"empty\.txt: no text to learn from"),
    (["data.text=latin1.txt"], 65, r"latin1\.txt:2: .*invalid UTF-8"),
    (["data.text=short.txt"], 78, r"model\.time = 16: the training text has only \d+ tokens"),
    (["data.text=", "data.store=no.h5"], 66, r"no\.h5: .*No such file"),
    (["data.text=", "data.store=text.txt"], 65, r"text\.txt: is not a file of heed"),
    (["data.text=", "data.store=folder"], 65, r"folder: is not a regular file"),
    (["data.text=", "data.store=sound/checkpoints/step-00000020.h5"], 65, r"step-00000020\.h5: "),
    (["data.text="], 78, r"data\.text.*data\.store.*nothing to learn"),
    (["train.init_from=no.h5"], 66, r"no\.h5: .*No such file"),
    (["train.init_from=text.txt"], 65, r"text\.txt: is not a file of heed"),
    (["train.init_from=sound/tokens.h5"], 65, r"sound/tokens\.h5: "),
    (["train.init_from=sound/checkpoints/step-00000020.h5", "model.width=32"], 65,
     r"step-00000020\.h5: /params/.*: expected float32 \(.*32\), found float32 \(.*16\)"),
    (["run.dir=text.txt"], 73, r"run\.dir = text\.txt.*cannot make the folder"),
    (["run.dir=text.txt/below"], 73, r"cannot make the folder text\.txt"),
    (["run.dir=/proc/heed"], 73, r"cannot make the folder /proc/heed"),
    (["run.dir=" + "d" * 1000], 73, r"run\.dir = d+"),
    (["train.batch=2"], 78, r"train\.batch = 2: its 2 grains of 1 cannot be shared by 3 ranks"),
    (["log.probes=no-number"], 66, r"log\.probes = no-number: No such file"),
    (["log.probes=empty.txt"], 65, r"log\.probes = empty\.txt: no probes in this file"),
    (["log.probes=latin1.txt"], 65, r"latin1\.txt:2:.*invalid UTF-8"),
    (["log.probes=foreign.txt"], 65, r"foreign\.txt:1:.*not among the \d+ characters"),
    (["log.probes=single.txt"], 65, r"single\.txt:1: a probe of 1 token"),
    (["log.probes=folder"], (65, 66, 74), r"log\.probes = folder: "),
    (["log.probes=4096"], 78, r"log\.probes = 4096: the validation text of \d+ tokens has not that many"),
    (["model.width=1048576", "model.heads=1", "model.layers=1024"], 71, r"cannot get .* of memory"),
    (["model.hidden=1048576", "model.width=1048576", "model.heads=1"], 71, r"cannot get .* of memory"),
    (["train.batch=1048576", "train.grain=1048576", "model.width=65536"], (71, 78), r"."),
    (["train.optimizer=sgd", "train.peak_lr=1000", "train.clip=0", "train.schedule=constant", "train.warmup=0"], 80,
     r"step \d+: loss = .*, gradient norm = .*: on rank \d+ on \S+ the gradient of \S+, element \d+, is .* \(training diverged\?"),
]


def make_inputs():
    write("text.txt", TEXT)
    write("empty.txt", "")
    write("latin1.txt", "the whale\nna\xefve\n".encode("latin-1"))
    write("short.txt", "whale")
    write("foreign.txt", "\u4e00\u4e8c\u4e09\n")
    write("single.txt", "w\n")
    os.makedirs("folder", exist_ok=True)
    fresh_run("sound")


class Files(Case):
    @classmethod
    def setUpClass(cls):
        make_inputs()

    def check_form(self, result):
        """A success, or one line and a status from the table."""
        self.assertIn(result.status, STATUSES, result.err)
        self.assertNotRegex(result.err, r"Sanitizer|runtime error|Segmentation|core dump|internal check")
        faults = [line for line in result.said if not line.startswith("heed: warning: ")]
        self.assertEqual(len(faults), 0 if result.status == 0 else 1, result.err)

    def check_refused(self, ranks, refused=None):
        for settings, status, pattern in refused or REFUSED:
            if "3 ranks" in pattern and ranks != 3:
                continue
            with self.subTest(settings=settings, ranks=ranks):
                run_dir = [] if any(s.startswith("run.dir=") for s in settings) else ["run.dir=" + fresh("refused")]
                arguments = [*TINY, "data.text=text.txt", "train.steps=20", *settings, *run_dir]
                result = heed("train", "--quiet", *arguments, ranks=ranks)
                expected = status if isinstance(status, tuple) else (status,)
                self.assertIn(result.status, expected, result.err)
                self.expect_fault(result, result.status, pattern)
                self.assertFalse([name for _, _, names in os.walk("refused") for name in names if name.endswith(".tmp")])

    def damaged(self, good, few):
        """number.h5 and what it is, of the damaged versions of a sound file: all, or one of each kind of damage."""
        os.makedirs(fresh("damaged"))
        lines = subprocess.run([MAKE_DAMAGED, good, "damaged"], stdout=subprocess.PIPE, check=True, text=True).stdout
        versions = [(f"damaged/{i}.h5", what) for i, what in enumerate(lines.splitlines())]
        kinds = {what.split(": ")[1]: (path, what) for path, what in versions}
        return list(kinds.values()) if few else versions

    def check_damaged(self, good, few, *commands, ranks=0, in_part=False):
        """Each command, a function from a file's path to arguments, takes or refuses each version in due form.
        in_part: they read some arrays only, and may not meet the damage of others."""
        n_refused = 0
        for path, what in self.damaged(good, few):
            for command in commands:
                arguments = command(path)
                with self.subTest(what=what, arguments=arguments, ranks=ranks):
                    result = heed(*arguments, ranks=ranks)
                    self.check_form(result)
                    n_refused += result.status != 0
                    # bytes in the middle may be numbers as good as others, and a log has other steps
                    unmet = ("in the middle", "does not exist", *(["a broken object header"] if in_part else []))
                    if what.startswith("(file)") and not what.endswith(unmet):
                        self.assertIn(result.status, (65, 66), result.err)
        self.assertGreater(n_refused, 10 if in_part else 20)

    def check_tokens(self, few, ranks):
        def from_store(path):
            return ["train", "--quiet", *TINY, "data.store=" + path, "train.steps=1", "run.dir=" + fresh("victim")]
        self.check_damaged("sound/tokens.h5", few, from_store, ranks=ranks)

    def check_checkpoints(self, few, ranks):
        def from_weights(path):
            return ["train", "--quiet", *TINY, "data.text=text.txt", "train.steps=1", "train.init_from=" + path,
                    "run.dir=" + fresh("victim")]
        self.check_damaged("sound/checkpoints/step-00000020.h5", few, from_weights, ranks=ranks, in_part=True)


class Few(Files):
    def test_refused_alone(self):
        self.check_refused(0)

    def test_refused_on_three_ranks(self):
        """The last of each status; all of them: class All."""
        self.check_refused(3, {status: (settings, status, pattern) for settings, status, pattern in REFUSED}.values())

    def test_damaged_tokens(self):
        self.check_damaged("sound/tokens.h5", True, lambda path: ["inspect", path])

    def test_damaged_checkpoint(self):
        self.check_damaged("sound/checkpoints/step-00000020.h5", True, lambda path: ["inspect", path],
                           lambda path: ["generate", path, "--tokens", "3"])

    def test_damaged_log(self):
        self.check_damaged("sound/attention/step-00000010.h5", True, lambda path: ["inspect", path])

    def test_resuming_passes_over_damage(self):
        """The newest checkpoint is damaged: a warning, the one before it is taken, and the figures are the same."""
        newest = "victim/checkpoints/step-00000020.h5"
        chosen = ["is cut short", "has a flipped bit", "is a folder", "is a link to itself", "has a broken root"]
        for path, what in self.damaged("sound/checkpoints/step-00000020.h5", True):
            if what.split(": ")[1] not in chosen:
                continue
            with self.subTest(what):
                shutil.copytree("sound", fresh("victim"))
                os.remove(newest)
                os.rename(path, newest)
                result = heed("train", "--quiet", "victim")
                self.check_form(result)
                warnings = [line for line in result.said if line.startswith("heed: warning: ")]
                self.assertRegex(warnings[0] if warnings else "", newest + r": .* \(passed over\)$")
                # a folder can be passed over, but not be replaced by a new checkpoint
                self.assertEqual(result.status, 74 if "folder" in what else 0, result.err)
                with open("victim/metrics.jsonl") as ours, open("sound/metrics.jsonl") as theirs:
                    self.assertEqual(ours.read(), theirs.read())

    def test_damaged_run_folder(self):
        """What lies beside the checkpoints is wrong."""
        for name, content, status, pattern in [
                ("config.ini", b"\0", 78, r"victim/config\.ini:1: byte 1 is 0x00"),
                ("config.ini", b"[model]\nheads = 3\n", 78, r"victim/config\.ini:2: model\.heads = 3: width 128"),
                ("config.ini", None, 66, r"victim: no run lives in this folder"),
                ("checkpoints", b"", None, r"checkpoints"),
                ("attention", b"", None, r"attention"),
                ("metrics.jsonl", b"\xff\0{" * 100, None, None),
                ("metrics.jsonl", b"{" * 100000, None, None),
                ("timing.jsonl", b"\n\n\n", None, None),
                ("log.txt", b"\0\0", None, None),
                ("tokens.h5", b"\0" * 5000, 65, r"victim/tokens\.h5: "),
                ("tokens.h5", None, (65, 66), r"victim/tokens\.h5"),
        ]:
            for ranks in (0, 3):
                with self.subTest(name=name, content=content and content[:8], ranks=ranks):
                    shutil.copytree("sound", fresh("victim"))
                    target = f"victim/{name}"
                    shutil.rmtree(target) if os.path.isdir(target) else os.remove(target)
                    if content is not None:
                        write(target, content)
                    result = heed("train", "--quiet", "victim", "train.steps=22", ranks=ranks)
                    self.check_form(result)
                    if status is not None:
                        self.assertIn(result.status, status if isinstance(status, tuple) else (status,), result.err)
                    if result.status != 0 and pattern:
                        self.assertRegex(result.said[0], pattern)

    def test_foreign_kinds(self):
        """Each command is given each kind of file that is not for it."""
        kinds = ["sound/tokens.h5", "sound/checkpoints/step-00000020.h5", "sound/attention/step-00000010.h5", "text.txt",
                 "sound/config.ini", "sound/metrics.jsonl", "folder", "no-such-file", "/dev/null"]
        for command, ours in [("eval", "checkpoint"), ("generate", "checkpoint"), ("merge", None), ("inspect", "sound")]:
            for path in kinds:
                with self.subTest(command=command, path=path):
                    result = heed(command, path)
                    self.check_form(result)
                    if not (ours and ours in path):
                        self.assertIn(result.status, (64, 65, 66, 74), result.err)

    def test_full_disk(self):
        """Whatever write meets the end of the disk: one line, and no checkpoint that claims to be whole."""
        def on_disk(kilobytes, ranks):
            command = [sys.executable, __file__, "--on-disk", str(kilobytes), str(ranks)]
            return subprocess.run(["unshare", "-m", "-r", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if shutil.which("unshare") is None or on_disk(4096, 0).returncode != 0:
            self.skipTest("no file system of our own can be mounted here")
        n_full = 0
        for kilobytes, ranks in [(4, 0), (20, 0), (60, 3), (100, 0), (140, 3), (180, 0)]:
            with self.subTest(kilobytes=kilobytes, ranks=ranks):
                process = on_disk(kilobytes, ranks)
                result = type("Result", (), {})()
                result.status, result.err = process.returncode, process.stderr.decode("utf-8", "replace")
                result.said = [line for line in result.err.splitlines() if line.startswith("heed:")]
                self.check_form(result)
                if result.status != 0:
                    n_full += 1
                    self.assertIn(result.status, (73, 74), result.err)
                    self.assertRegex(result.err, "No space left on device")
        self.assertGreater(n_full, 3)


class All(Files):
    """The process's own test (damaged_files_test.c) meets every version of every kind, too."""

    def test_refused_on_three_ranks(self):
        self.check_refused(3)

    def test_tokens(self):
        for ranks in (1, 3):
            self.check_tokens(ranks == 3, ranks)

    def test_checkpoints(self):
        for ranks in (1, 3):
            self.check_checkpoints(True, ranks)
        self.check_damaged("sound/checkpoints/step-00000020.h5", True, lambda path: ["eval", path])

    def test_log(self):
        def in_a_run(path):
            shutil.copytree("sound", fresh("victim"))
            os.remove("victim/attention/step-00000010.h5")
            if os.path.lexists(path):
                os.rename(path, "victim/attention/step-00000010.h5")
            return ["merge", "victim", "--force"]
        self.check_damaged("sound/attention/step-00000010.h5", True, in_a_run)


def train_on_disk(kilobytes, ranks):
    """In a mount namespace of our own."""
    os.makedirs("disk", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", "disk"], check=True)
    result = train("disk/run", "--quiet", ranks=ranks)
    sys.stderr.write(result.err)
    sys.exit(result.status)


if __name__ == "__main__":
    if DISK:
        train_on_disk(*DISK)
    main()
