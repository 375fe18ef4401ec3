#!/usr/bin/env python3
"""The code generator refuses a schema that contradicts itself, with file and line."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
sys.dont_write_bytecode = True
import tap  # noqa: E402  pylint: disable=wrong-import-position

HEAD = "prefix test\nenum Kind: A 0, B 1\nschema 7 version 3\n"
GOOD = """message 1 FirstThing block 25
    someId i64
    count i32 since 2 absent -1
    kind Kind absent B
    version version
    flags u8
    sum i32
    group parts block 4
        partId i32
        partName ascii
    detail bytes since 3
"""
BAD = (
    ("message 1 M block 8\n    a i32\n", "M: fields end at 4, the block at 8"),
    ("message 1 M block 4\n    a i64\n", ":5: field a overlaps, or leaves the block"),
    ("message 1 M block 12\n    a i64\n    b i32 at 4\n", ":6: field b overlaps"),
    ("message 1 M block 4\n    a i33\n", ":5: unknown type i33"),
    ("message 1 M block 4\n    a i32 sinc 2\n", ":5: unexpected 'sinc'"),
    ("message 1 M block 4\n    a ascii\n    b i32\n", ":6: a field after groups or data"),
    ("message 1 M\n    a i32\n", ":4: "),
    ("massage 1 M block 4\n", ":4: "),
    ("message 1 M block 0\nmessage 2 M block 0\n", "declared twice: M"),
    ("message 1 M block 0\nmessage 1 N block 0\n", "declared twice: 1"),
    ("message 1 M block 0\n    group g block 4\n        a i32 since 2\n",
     "g: elements without a field of the first version"),
    ("message 1 M block 0\n    group g block 0\n", "g: elements without a field"),
    ("enum Kind A 0\n", ":4: "),
)


class CodegenTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tern-codegen-")
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "test")

    def generate(self, text):
        with open(self.path + ".schema", "w", encoding="ascii") as out:
            out.write(HEAD + text)
        generator = os.path.join(ROOT, "libclient", "wire", "codegen.py")
        return subprocess.run([sys.executable, generator, self.path + ".schema", self.path + ".h",
                               self.path + ".c"], capture_output=True, text=True, check=False)

    def test_a_schema_that_contradicts_itself_is_refused_by_file_and_line(self):
        for text, message in BAD:
            result = self.generate(text)
            self.assertEqual(result.returncode, 1, text)
            self.assertIn(message, result.stderr)
            self.assertNotIn("Traceback", result.stderr)
            self.assertFalse(os.path.exists(self.path + ".h"))

    def test_names_become_snake_case_and_offsets_count_from_the_header(self):
        result = self.generate(GOOD)
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(self.path + ".h", encoding="ascii") as file:
            header = file.read()
        for line in ("#define TEST_SCHEMA_ID 7", "TEST_TEMPLATE_FIRST_THING = 1,",
                     "TEST_KIND_NULL = SBE_NULL_I32,", "#define TEST_FIRST_THING_BLOCK_LENGTH 25",
                     "#define TEST_FIRST_THING_LENGTH_MIN 41",
                     "#define TEST_FIRST_THING_SUM_OFFSET 29", "struct test_first_thing_parts {",
                     "    struct text_slice part_name;", "    int32_t kind; /* enum test_kind */"):
            self.assertIn(line + "\n", header)

    def test_absent_values_may_be_names_of_an_enum(self):
        self.generate(GOOD)
        with open(self.path + ".c", encoding="ascii") as file:
            source = " ".join(file.read().split())
        for field in ('{"kind", 12, offsetof(struct test_first_thing, kind), 0, SBE_I32, 1,',
                      '{"count", 8, offsetof(struct test_first_thing, count), 2, SBE_I32, -1,',
                      '{"version", 16, offsetof(struct test_first_thing, version), 0, SBE_I32, 0,',
                      "SBE_U8, SBE_NULL_U8,"):
            self.assertIn(field, source)


if __name__ == "__main__":
    tap.main()
