"""Wrong command lines: one line that says what is wrong and what to do, status 64, alone and on several ranks."""

from program import Case, commands, heed, main

# arguments, what the line says
MISUSES = [
    ([], r"a command is missing.*heed --help"),
    (["versoin"], r"unknown command 'versoin' \(did you mean 'heed version'\?\)"),
    (["zzzzzzzz"], r"unknown command 'zzzzzzzz' \('heed --help' lists the commands\)"),
    (["help", "versoin"], r"did you mean 'heed version'\?"),
    (["--verbose"], r"unknown option '--verbose'"),
    (["version", "--nope"], r"version: unknown option '--nope' \(try 'heed version --help'\)"),
    (["version", "--hepl"], r"version: unknown option '--hepl' \(did you mean --help\?\)"),
    (["version", "-x"], r"version: unknown option '-x'"),
    (["version", "--help=3"], r"version: no value may follow option '--help'"),
    (["version", "more"], r"version: unexpected argument 'more'"),
    (["confg"], r"did you mean 'heed config'\?"),
    (["prepare"], r"prepare: TEXT\.\.\. is missing"),
    (["prepare", "-o"], r"prepare: no value after option '-o'"),
    (["prepare", "--t"], r"prepare: no value after option '--t'"),
    (["config", "a.ini", "b.ini"], r"config: unexpected argument 'b.ini' \(a setting is written section.key=value"),
    (["train"], r"train: what to train is missing: a config file, a run's folder, or settings"),
    (["train", "a.ini", "model.width", "=", "3"], r"train: unexpected argument 'model.width' \(a setting is written"),
    (["train", "--quite", "a.ini"], r"train: unknown option '--quite' \(did you mean --quiet\?\)"),
    (["eval"], r"eval: RUN_DIR\|CHECKPOINT is missing"),
    (["eval", "a", "b"], r"eval: unexpected argument 'b'"),
    (["eval", "a", "--store", "b", "--text", "c"], r"eval: --store, --text, --pairs and --alignment exclude each other"),
    (["eval", "a", "--batches", "all"], r"eval: --batches = all: expected a whole number from 0 to"),
    (["generate", "a", "--temperature", "-1"], r"generate: --temperature = -1: expected a number, at least 0"),
    (["generate", "a", "--temperature=nan"], r"generate: --temperature = nan: expected a number, at least 0"),
    (["generate", "a", "--top-p", "1.5"], r"generate: --top-p = 1.5: expected a number from 0 to 1"),
    (["generate", "a", "--top", "1"], r"generate: ambiguous option '--top'"),
    (["generate", "a", "-n"], r"generate: no value after option '-n'"),
    (["generate", "a", "--tokens", "1e3"], r"generate: --tokens = 1e3: expected a whole number from 0 to"),
    (["inspect"], r"inspect: FILE\|RUN_DIR\.\.\. is missing"),
    (["inspect", "--json=yes"], r"inspect: no value may follow option '--json'"),
    (["inspect", "-jx", "a"], r"inspect: unknown option '-x'"),
    (["merge"], r"merge: RUN_DIR is missing"),
    (["line\nbreak"], r"unknown command 'line break'"),
]


class Misuse(Case):
    def check(self, arguments, pattern, ranks):
        with self.subTest(arguments, ranks=ranks):
            result = heed(*arguments, ranks=ranks)
            self.expect_fault(result, 64, pattern)
            self.assertEqual(result.out, "")

    def test_alone(self):
        for arguments, pattern in MISUSES:
            self.check(arguments, pattern, ranks=0)

    def test_on_three_ranks(self):
        """Of each command one: what ranks do with a fault does not depend on which it is."""
        done = set()
        for arguments, pattern in MISUSES:
            name = arguments[0] if arguments else ""
            if name not in done:
                self.check(arguments, pattern, ranks=3)
            done.add(name)

    def test_every_command_refuses_unknown_options(self):
        for command in commands():
            with self.subTest(command):
                self.expect_fault(heed(command, "--no-such-option"), 64, f"{command}: unknown option '--no-such-option'")

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "wb") as full:
            self.expect_fault(heed("version", stdout=full), 74, "standard output: No space left on device")

    def test_alone_needs_no_folder_of_mpi(self):
        """Such a folder would be one for all processes that run alone, and one would remove it from under another."""
        result = heed("train", "no.ini", env={"TMPDIR": "/proc"})
        self.expect_fault(result, 66, r"^heed: no\.ini: cannot be read: No such file")

    def test_a_launcher_of_another_mpi(self):
        """Processes that were started together but do not know each other must not all go to work."""
        foreign = "OMPI_COMM_WORLD" if "MPICH" in heed("version").out else "PMI"
        first = heed("version", env={f"{foreign}_SIZE": "3", f"{foreign}_RANK": "0"})
        other = heed("version", env={f"{foreign}_SIZE": "3", f"{foreign}_RANK": "1"})
        self.expect_fault(first, 69, "3 ranks, but each of them is alone")
        self.assertEqual((other.status, other.said), (69, []))


if __name__ == "__main__":
    main()
