"""heed train, seen from outside: what it shows, how it is stopped and gone on with, and how it says no."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time

from program import HEED, MPIRUN, TINY, Case, fresh, heed, main
from tiny import fresh_run, train


def on_terminal(command, columns):
    """Runs command on a terminal of that width; returns exit status and all that was written to it."""
    main_end, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, close_fds=True)
    os.close(end)
    written = b""
    while True:
        try:
            piece = os.read(main_end, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(main_end)
    return process.wait(), written.decode()


def screen(written, columns):
    """The lines that a terminal shows in the end. Knows what heed uses: carriage return, line feed, erase to the end."""
    lines, column = [""], 0
    for part in re.findall(r"\r|\n|\x1b\[K|[^\r\n\x1b]+", written):
        if part == "\r":
            column = 0
        elif part == "\n":
            lines.append("")
        elif part == "\x1b[K":
            lines[-1] = lines[-1][:column]
        else:
            lines[-1] = lines[-1][:column] + part + lines[-1][column + len(part):]
            column += len(part)
    return lines


def metrics(run):
    with open(f"{run}/metrics.jsonl") as file:
        return [json.loads(line) for line in file]


class Shown(Case):
    STEP = r"step (\d+)/40  loss \d\.\d{4}(  valid \d\.\d{4})?  lr \d\.\d\de[-+]\d\d  [\d.]+k? tokens/s(  \d+% of peak)?"

    def test_plain_lines(self):
        result = self.expect_success(train(fresh("plain"), "train.steps=40", "eval.every=15"))
        self.assertEqual(result.out, "")
        self.assertNotIn("\r", result.err)
        found = [match for match in map(re.compile(rf"^heed: {self.STEP}(  \d+:\d\d left)?$").match,
                                        result.err.splitlines()) if match]
        self.assertEqual([int(match[1]) for match in found], sorted({*range(2, 41, 2), 15, 30, 40}))
        evaluated = {line["step"]: line["valid_loss"] for line in metrics("plain") if "valid_loss" in line}
        for match in found:
            valid = evaluated.get(int(match[1]))
            self.assertEqual(match[2], None if valid is None else f"  valid {valid:.4f}")
        with open("plain/log.txt") as file:
            self.assertEqual(sorted(file), sorted(result.err.splitlines(True)))  # two threads speak

    def test_quiet(self):
        result = self.expect_success(train(fresh("quiet"), "--quiet"))
        self.assertEqual((result.out, result.err), ("", ""))
        with open("quiet/log.txt") as file:
            self.assertRegex(file.read(), "(?m)^heed: step 20/20 ")
        self.expect_fault(train("quiet", "-q", "model.width=18"), 78, "model.width = 18")

    def test_a_terminal_has_one_live_line(self):
        for columns in (80, 120):
            with self.subTest(columns=columns):
                run = fresh(f"live{columns}")
                train(fresh("unused"), "train.steps=1")  # writes text.txt
                status, written = on_terminal([HEED, "train", *TINY, "data.text=text.txt", f"run.dir={run}",
                                               "train.steps=900", "eval.every=300", "checkpoint.every=300",
                                               "log.attention_every=0"], columns)
                self.assertEqual(status, 0, written)
                drawn = re.findall(r"\r(step [^\r\n\x1b]*)\x1b\[K", written)
                self.assertGreater(len(drawn), 0)
                for line in drawn:
                    self.assertLess(len(line), columns)
                    for field in (r"step \d+/900 ", r" loss \d\.\d+ ", r" lr \d\.\d+e-\d\d ", r" [\d.]+k? tok(ens)?/s ",
                                  r"\d+%( of)? peak "):
                        self.assertRegex(line, field)
                if len(drawn) > 1:
                    self.assertRegex(drawn[-1], r" \d+:\d\d left$")
                lines = screen(written, columns)
                self.assertEqual(lines.pop(), "")
                for line in lines:
                    self.assertRegex(line, "^heed: ")
                evaluations = [line for line in lines if " valid " in line]
                self.assertEqual([line.split()[2] for line in evaluations], ["300/900", "600/900", "900/900"])
                with open(f"{run}/log.txt") as file:
                    self.assertEqual(sorted(file.read().splitlines()), sorted(lines))

    def test_one_rank_speaks(self):
        result = self.expect_success(train(fresh("three"), ranks=3))
        said = result.said
        self.assertEqual(len(said), len(set(said)))
        self.assertRegex(result.err, "heed: 3 ranks? x 1 thread")


class GoingOn(Case):
    def test_by_folder_and_by_the_same_command(self):
        fresh_run("whole", "train.steps=30", "train.schedule=constant")
        fresh_run("parts", "train.steps=20", "train.schedule=constant")
        moved = "moved"
        fresh(moved)
        os.rename("parts", moved)
        self.expect_success(heed("train", moved, "train.steps=25"))
        self.expect_success(heed("train", moved + "/", "train.steps=30", ranks=2))
        with open("whole/metrics.jsonl") as whole, open("moved/metrics.jsonl") as parts:
            self.assertEqual(parts.read().splitlines()[:19], whole.read().splitlines()[:19])
        self.assertEqual([line["step"] for line in metrics(moved)], list(range(1, 31)))
        result = self.expect_success(train("whole", "train.steps=30", "train.schedule=constant"))
        self.assertEqual(len(metrics("whole")), 30)
        self.assertNotIn("step 30/30", result.err)

    def test_a_config_file_and_overrides(self):
        with open("tiny.ini", "w") as file:
            file.write("[run]\ndir = from-file\n")
        fresh("from-file")
        self.expect_success(train("from-command-line", "tiny.ini", "train.steps=3"))
        self.assertEqual(len(metrics("from-command-line")), 3)
        self.assertFalse(os.path.exists("from-file"))

    def stop(self, run, send, command, settings=(), times=1):
        """Starts a run that would take long, stops it once it trains, and returns its exit status and what it said."""
        train(fresh("unused"), "train.steps=1")
        fresh(run)
        arguments = ["train", *TINY, "data.text=text.txt", f"run.dir={run}", "train.steps=1000000", "eval.every=0",
                     "checkpoint.every=0", "log.attention_every=0", *settings]
        with open(f"{run}.err", "wb") as err:
            process = subprocess.Popen([*command, HEED, *arguments], stdin=subprocess.DEVNULL, stderr=err,
                                       stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until and not (os.path.exists(f"{run}/metrics.jsonl")
                                                and os.path.getsize(f"{run}/metrics.jsonl")):
            time.sleep(0.05)
        for _ in range(times):
            process.send_signal(send)
            time.sleep(0.05)
        status = process.wait(timeout=60)
        with open(f"{run}.err") as err:
            return status, err.read()

    def check_stop(self, run, status, said, *more):
        self.assertEqual(status, 75, said)
        ours = [line for line in said.splitlines() if line.startswith("heed:")]
        self.assertRegex(ours[-1], r"^heed: .*stopped.*step")
        steps = len(metrics(run))
        self.assertGreater(steps, 0)
        result = self.expect_success(heed("train", run, f"train.steps={steps + 5}", *more))
        self.assertRegex(result.err, rf"going on from .*step-{steps:08d}\.h5")
        self.assertEqual([line["step"] for line in metrics(run)], list(range(1, steps + 6)))

    def test_stopped_by_signals(self):
        for send in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            with self.subTest(send):
                self.check_stop("stopped", *self.stop("stopped", send, []))

    def test_stopped_twice(self):
        """Schedulers may send their signals more than once; a second Ctrl-C means at once."""
        long_steps = ["train.batch=24000"]
        for send, expected in (signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, -signal.SIGINT):
            with self.subTest(send):
                status, said = self.stop("twice", send, [], long_steps, times=2)
                self.assertEqual(status, expected, said)

    def test_stops_in_time(self):
        """Before its walltime ends, and before SLURM's, told by the environment."""
        run = ["train", *TINY, "data.text=text.txt", "run.dir=timed", "train.steps=1000000", "eval.every=0",
               "checkpoint.every=0", "log.attention_every=0"]
        train(fresh("unused"), "train.steps=1")
        for settings, env, ranks in (["train.walltime=8"], [], 0), ([], ["SLURM_JOB_END_TIME"], 3):
            fresh("timed")
            start = time.monotonic()
            result = heed(*run, *settings, ranks=ranks, env={key: str(int(time.time() + 8)) for key in env})
            self.assertLess(time.monotonic() - start, 30)  # on a busy machine; it would take days
            self.check_stop("timed", result.status, result.err)
            self.assertRegex(result.err, r"stopped in time \(train.walltime\) after step")
        fresh("timed")  # no time at all: one step at least, so that a job that is queued again comes to its end
        result = heed(*run, "train.walltime=0.01")
        self.check_stop("timed", result.status, result.err, "train.walltime=0")
        self.assertEqual(len(metrics("timed")), 6)

    def test_stopped_under_mpirun(self):
        """mpirun passes SIGUSR1 on to the ranks."""
        if "Open MPI" not in heed("version").out:
            self.skipTest("only Open MPI's mpirun passes SIGUSR1 on")
        self.check_stop("stopped2", *self.stop("stopped2", signal.SIGUSR1, MPIRUN + ["2"]))


class Faults(Case):
    def test_faults(self):
        fresh_run("run")
        with open("broken.txt", "wb") as file:
            file.write(b"abc\xff" * 100)
        with open("one.txt", "w") as file:
            file.write("a")
        os.makedirs("no-run", exist_ok=True)
        with open("wrong.ini", "w") as file:
            file.write("[data]\ntext = text.txt\n[model]\nwidht = 3\n")
        shutil.copytree("run", fresh("spoilt"))
        with open("spoilt/tokens.h5", "r+b") as file:
            file.seek(3000)
            file.write(b"oops")
        fresh("new")
        small = [*TINY, "data.text=text.txt", "run.dir=new", "train.steps=5"]
        faults = [
            (["nope.ini"], 66, "nope.ini: .*No such file or directory"),
            (["no-run"], 66, "no-run: no run lives in this folder"),
            (["wrong.ini"], 78, r"wrong.ini:4: model.widht: .*\(did you mean model.width\?\)"),
            ([*small, "x=3"], 78, "x: no such key"),
            ([*small, "train.steps=0"], 78, r"train.steps = 0: expected a whole number from 1"),
            ([*small, "model.width=33"], 78, r"model.(width|heads) = "),
            ([*small, "data.text="], 78, "data.text, data.store: neither is set"),
            ([*small, "data.text=nope.txt"], 66, "nope.txt: .*No such file or directory"),
            ([*small, "data.text=broken.txt"], 65, "broken.txt:1: byte 3 = 0xFF: invalid UTF-8"),
            ([*small, "data.text=", "data.store=text.txt"], 65, "text.txt: is not a file of heed"),
            ([*small, "train.init_from=nope.h5"], 66, "nope.h5: .*No such file or directory"),
            ([*small, "run.dir=/dev/null/run"], 73, "run.dir = /dev/null/run"),
            ([*small, "run.dir=fresh-one", "data.text=one.txt"], 78, "has not that many|has only 0 tokens"),
            (["run", "model.layers=2"], 78, "model.layers = 2: run/checkpoints/step-00000020.h5 was made with 1"),
            (["run", "model.width=18"], 78, "model.width = 18: run/checkpoints/step-00000020.h5 was made with 16"),
            (["spoilt", "train.steps=30"], 65, "spoilt/tokens.h5"),
            ([*small, "train.optimizer=sgd", "train.peak_lr=1e3", "train.clip=0", "train.warmup=0", "train.steps=300"],
             80, "training diverged"),
        ]
        for ranks in (0, 3):
            for arguments, status, pattern in faults:
                with self.subTest(arguments, ranks=ranks):
                    shutil.rmtree("new", ignore_errors=True)
                    shutil.rmtree("fresh-one", ignore_errors=True)
                    self.expect_fault(heed("train", *arguments, "--quiet", ranks=ranks), status, pattern)

    def test_more_ranks_than_grains(self):
        self.expect_fault(train(fresh("coarse"), "train.grain=6", "-q", ranks=3), 78,
                          "train.batch = 12: its 2 grains of 6 cannot be shared by 3 ranks")

    def test_two_in_one_folder(self):
        process = None
        try:
            train(fresh("unused"), "train.steps=1")
            fresh("busy")
            process = subprocess.Popen([HEED, "train", *TINY, "data.text=text.txt", "run.dir=busy", "-q",
                                        "train.steps=1000000"], stdin=subprocess.DEVNULL)
            until = time.monotonic() + 60
            while time.monotonic() < until and not os.path.exists("busy/metrics.jsonl"):
                time.sleep(0.05)
            self.expect_fault(train("busy", "-q"), 73, "run.dir = busy: another heed is training there")
        finally:
            process.terminate()
            self.assertEqual(process.wait(timeout=60), 75)


if __name__ == "__main__":
    main()
