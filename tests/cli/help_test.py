"""Help is found where it is looked for, and explains every command with an example."""

import os
import re

from program import SOURCE, Case, commands, heed, main


class Help(Case):
    def test_main_help_lists_commands_and_exit_statuses(self):
        out = self.expect_success(heed("--help")).out
        self.assertEqual(heed("-h").out, out)
        self.assertEqual(heed("help").out, out)
        header = open(os.path.join(SOURCE, "include", "heed", "status.h")).read()
        table = re.findall(r'^    X\(\w+, (\d+), "([^"]+)"\)', header, re.M)
        self.assertGreater(len(table), 10)
        for status, meaning in table:
            self.assertRegex(out, rf"(?m)^  {status} +{re.escape(meaning)}$")

    def test_every_command_explains_itself(self):
        self.assertIn("version", commands())
        for command in commands():
            with self.subTest(command):
                result = self.expect_success(heed(command, "--help"))
                self.assertEqual(result.err, "")
                self.assertRegex(result.out, rf"^Usage: heed {command} ")
                examples = result.out.split("Examples:\n")[1]
                self.assertRegex(examples, rf"(?m)^  (mpirun -n \d+ )?heed {command}\b")
                self.assertEqual(heed("help", command).out, result.out)
                self.assertEqual(heed(command, "-h").out, result.out)
                for line in result.out.splitlines():
                    self.assertLessEqual(len(line), 80, line)

    def test_only_one_rank_speaks(self):
        for arguments in (["--help"], ["version"], [commands()[0], "--help"]):
            with self.subTest(arguments):
                alone = self.expect_success(heed(*arguments))
                together = self.expect_success(heed(*arguments, ranks=3))
                self.assertEqual(together.out, alone.out)
                self.assertEqual(together.said, [])

    def test_version_names_engines(self):
        out = self.expect_success(heed("version")).out
        for pattern in (r"^heed \d+\.\d+\.\d+", r"MPI|MPICH", r"BLIS \d.*kernel \w+", r"HDF5 \d", r"CPU", r"Apache"):
            self.assertRegex(out, pattern)
        self.assertEqual(heed("--version").out, out)


if __name__ == "__main__":
    main()
