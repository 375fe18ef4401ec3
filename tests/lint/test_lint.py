#!/usr/bin/env python3
"""Every rule of lint.py finds its own kind of mistake, and nothing in a sound tree."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
sys.dont_write_bytecode = True
import lint  # noqa: E402  pylint: disable=wrong-import-position
import tap  # noqa: E402  pylint: disable=wrong-import-position

HEAD = "/* What and why. */\n"


class LintTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tern-lint-")
        self.addCleanup(directory.cleanup)
        self.root = directory.name

    def write(self, path, text, head=HEAD):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(head + text)
        return path

    def expect(self, rule, *patterns):
        findings = list(rule(self.root))
        self.assertEqual(len(findings), len(patterns), findings)
        for finding, pattern in zip(findings, patterns):
            self.assertIn(pattern, finding)

    def test_upward_includes_and_headers_of_other_daemons_are_found(self):
        self.write("libclient/base/a.c", '#include "base/b.h"\n#include "shm/c.h"\n')
        self.write("libclient/wire/a.c", '#include "shm/c.h"\n#include "frame.h"\n')
        self.write("archived/a.c", '#include "archived/b.h"\n#include "driverd/c.h"\n')
        self.expect(lint.check_includes, "archived/a.c:3: includes driverd/c.h",
                    "libclient/base/a.c:3: includes shm/c.h",
                    "libclient/wire/a.c:3: includes frame.h: write the folder")

    def test_long_functions_and_files_are_found_unless_they_say_why(self):
        body = "int %s(int a,\n    int b) {\n" + "    a++;\n" * 80 + "}\n\n"
        short = "static int one(void) {\n    return 1;\n}\n\nstatic const int x[] = {\n1,\n};\n"
        self.write("driverd/a.c", short + body % "long_one"
                   + "/* Exception: a table in words. */\n" + body % "fine")
        self.expect(lint.check_function_lengths, "driverd/a.c:9: long_one has 83 lines")
        self.write("driverd/b.c", "int x;\n" * 900)
        self.write("driverd/c.c", "int x;\n" * 900, "/* Exception: generated. */\n")
        self.expect(lint.check_file_lengths, "driverd/b.c: 901 lines")

    def test_many_parameters_wide_lines_and_missing_comments_are_found(self):
        self.write("driverd/a.c", "void f(int a, int b, int c, void (*d)(int, int), int e,\n"
                   "       int f, int g, int h) {\n    return;\n}\n")
        self.write("driverd/b.c", "int x; /* " + "x" * 100 + " */\n", "")
        self.expect(lint.check_parameter_counts, "driverd/a.c:2: f has 8 parameters")
        self.expect(lint.check_columns, "driverd/b.c:1: 113 columns")
        self.expect(lint.check_first_comments, "driverd/b.c")

    def test_public_functions_that_nothing_is_said_about_are_found(self):
        self.write("libclient/include/tern/a.h", "/* What it does. */\nTERN_API int a(void);\n"
                   "TERN_API int its_like(void);\n\nTERN_API int b(void); /* what, too */\n"
                   "TERN_API int c(void);\n\n/* A thing. */\nstruct thing {\n    int x;\n};\n"
                   "TERN_API void d(struct thing *thing);\ntypedef int (*e)(void);\n")
        self.write("libclient/base/a.h", "int not_public(void);\n")
        self.expect(lint.check_public_comments, "a.h:7: no comment", "a.h:13: no comment",
                    "a.h:14: no comment")

    def test_words_of_a_workplace_and_leftovers_are_found(self):
        self.write("conf/x.conf", "dir = \"/wo" + "rk/x\";\n")
        self.write("driverd/a.c", "/* TO" + "DO: all */\n")
        self.expect(lint.check_words, "conf/x.conf:2")
        self.expect(lint.check_leftovers, "driverd/a.c:2")

    def test_mutable_statics_and_symbols_defined_twice_are_found(self):
        build = os.path.join(self.root, "build")
        text = ("static int counter;\nstatic const char *const names[] = {\"a\"};\n"
                "const char *name(void);\nconst char *name(void) {\n"
                "    return names[counter++ & 0];\n}\n")
        for daemon in ("driverd", "archived"):
            source = self.write(daemon + "/noun.c", text)
            folder = os.path.join(build, daemon, "libx.a.p")
            os.makedirs(folder)
            subprocess.run(["cc", "-fPIC", "-c", source, "-o", os.path.join(folder, "noun.c.o")],
                           check=True)
        self.assertEqual(list(lint.check_statics(self.root, build)),
                         ["archived/noun.c: counter is in .bss",
                          "driverd/noun.c: counter is in .bss"])
        self.assertEqual(list(lint.check_unique_symbols(self.root, build)),
                         ["name is defined in archived/noun.c and driverd/noun.c"])


if __name__ == "__main__":
    tap.main()
