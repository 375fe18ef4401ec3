#!/usr/bin/env python3
"""House rules that a program can check (README, "How the code is laid out").

usage: lint.py SOURCE_ROOT [BUILD_ROOT]

Writes TAP: one test per rule. Rules on object files need BUILD_ROOT, a build without sanitizers.
A function may exceed its limit when a comment above it says "Exception:" and why; a file when its
first comment does.
"""

import collections
import glob
import os
import re
import shutil
import subprocess
import sys

PARAMETERS_NORMAL = 5
FUNCTION_LINES_MAX, FILE_LINES_MAX, COLUMNS_MAX, PARAMETERS_MAX = 70, 800, 100, 7
DAEMONS = ("driverd", "archived", "consensusd", "servicehost")

NOTE = "note: "  # begins a finding that does not fail the rule

# Includes go from right to left only.
LAYERS = ("base", "shm", "wire", "client", "archive", "cluster", "daemon")

# The only mutable statics: a signal handler can reach nothing else.
STATICS_ALLOWED = {("libclient/daemon/signals.c", "running"),
                   ("libclient/daemon/signals.c", "received")}

# Names of machines, registries and tools that mean nothing outside of one workplace. The brackets
# keep this list from finding itself.
WORDS = re.compile(r"/w[o]rk/|/f[a]rm/|f[a]rm-(studio|bench)|b[e]fore-stop|cl[a]ude|anthr[o]pic"
                   r"|\bch[a]tgpt|\bcop[i]lot\b|\bop[e]nai\b|d[e]b\.debian\.org|r[e]gistry\.npmjs"
                   r"|p[y]pi\.org|cr[a]tes\.io|m[a]ven\.org|pr[o]xy\.golang", re.IGNORECASE)
LEFTOVERS = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def tracked_files(root):
    """Files under version control; everything that is not a build directory without git."""
    if shutil.which("git"):
        done = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"],
                              capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return sorted(path for path in done.stdout.splitlines()
                          if os.path.isfile(os.path.join(root, path)))
    found = []
    for directory, subdirectories, names in os.walk(root):
        subdirectories[:] = [name for name in subdirectories
                             if not name.startswith(("build", ".git", "__pycache__"))]
        found += [os.path.relpath(os.path.join(directory, name), root) for name in names
                  if name != ".git"]
    return sorted(found)


def sources(root, suffixes=(".c", ".h"), tests=False):
    tops = DAEMONS + ("libclient",) + (("tests",) if tests else ())
    return [path for path in tracked_files(root)
            if path.endswith(suffixes) and path.split("/")[0] in tops]


def folder_of(path):
    """The folder whose rules hold for a file: a layer of libclient, a daemon, or None."""
    parts = path.split("/")
    if parts[0] == "libclient" and len(parts) > 2:
        return parts[1]
    return parts[0] if parts[0] in DAEMONS else None


# -- rules on sources ----------------------------------------------------------------------------

def check_includes(root):
    """includes go one way: base, shm, wire, client, archive, cluster, daemon, the daemons"""
    rank = {name: number for number, name in enumerate(LAYERS)}
    for path in sources(root):
        own = folder_of(path)
        for number, line in enumerate(read(root, path).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            other = match.group(1).split("/")[0] if "/" in match.group(1) else None
            place = "%s:%d: includes %s" % (path, number, match.group(1))
            if other is None:
                yield place + ": write the folder, too"
            elif other in DAEMONS and other != own:
                yield place + ": a header of another daemon"
            elif other == "ctl" and own != "ctl":
                yield place + ": ternctl is nobody's library"
            elif own in rank and other in rank and rank[other] > rank[own]:
                yield place + ": that is above it in the house"


def functions(text):
    """(name, first line, last line, parameters, has exception) of each definition in a file laid
    out by clang-format: a definition starts and ends in column 0."""
    lines = text.splitlines()
    start = None
    for index, line in enumerate(lines):
        if re.match(r"[A-Za-z_]", line) and not line.startswith(("typedef", "extern", "#")):
            previous = lines[index - 1] if index else ""
            if start is None or not previous or previous[-1] in ";}{/":
                start = index
        if line == "}" and start is not None:
            head = " ".join(lines[start:index]).split("{")[0]
            match = re.match(r"[^=]*?(\w+)\s*\((.*)\)\s*$", head.strip(), re.DOTALL)
            if match:
                above = "\n".join(lines[max(0, start - 12):start])
                comment = above[above.rfind("/*"):] if "/*" in above else ""
                yield (match.group(1), start + 1, index + 1, count_parameters(match.group(2)),
                       "Exception:" in comment)
            start = None


def count_parameters(text):
    depth, count = 0, 1 if text.strip() not in ("", "void") else 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            count += 1
    return count


def check_function_lengths(root):
    """a function has at most 70 lines"""
    for path in sources(root, (".c",)):
        for name, first, last, _, has_exception in functions(read(root, path)):
            if last - first + 1 > FUNCTION_LINES_MAX and not has_exception:
                yield "%s:%d: %s has %d lines" % (path, first, name, last - first + 1)


def check_parameter_counts(root):
    """a function has at most 5 parameters, 7 when it must be"""
    for path in sources(root, (".c",)):
        for name, first, _, parameters, has_exception in functions(read(root, path)):
            if parameters > PARAMETERS_NORMAL and not has_exception:
                yield "%s%s:%d: %s has %d parameters" % (
                    NOTE if parameters <= PARAMETERS_MAX else "", path, first, name, parameters)


def check_file_lengths(root):
    """a file has at most 800 lines"""
    for path in sources(root):
        text = read(root, path)
        lines = text.count("\n")
        if lines > FILE_LINES_MAX and "Exception:" not in text.split("*/")[0]:
            yield "%s: %d lines" % (path, lines)


def check_first_comments(root):
    """a source file begins with what it is and why"""
    for path in sources(root):
        if not read(root, path).startswith("/*"):
            yield "%s: does not begin with a comment" % path


def check_public_comments(root):
    """a public function or function type stands below a comment, alone or with its like"""
    for path in sources(root, (".h",)):
        if not path.startswith("libclient/include/"):
            continue
        is_commented = False
        for number, line in enumerate(read(root, path).splitlines(), 1):
            if line.startswith("/*"):
                is_commented = True
            elif line in ("", "};"):
                is_commented = False
            elif re.match(r"TERN_API |static inline |typedef .*\(\*", line) \
                    and not is_commented and "; /*" not in line:
                yield "%s:%d: no comment says what it does: %s" % (path, number, line)


def check_columns(root):
    """a line of code has at most 100 columns"""
    for path in sources(root):
        for number, line in enumerate(read(root, path).splitlines(), 1):
            if len(line) > COLUMNS_MAX:
                yield "%s:%d: %d columns" % (path, number, len(line))


def is_text(path):
    return not path.endswith((".pcap", ".gz", ".bin", ".dat", ".png", ".rec", ".logbuffer"))


def check_words(root):
    """nothing names a workplace, a registry or its tools"""
    for path in tracked_files(root):
        if not is_text(path):
            continue
        for number, line in enumerate(read(root, path).splitlines(), 1):
            match = WORDS.search(line)
            if match:
                yield "%s:%d: %s" % (path, number, match.group(0))


def check_leftovers(root):
    """nothing is left to do in a comment"""
    for path in sources(root, tests=True):
        for number, line in enumerate(read(root, path).splitlines(), 1):
            if LEFTOVERS.search(line):
                yield "%s:%d: %s" % (path, number, line.strip())


# -- rules on objects ----------------------------------------------------------------------------

Symbol = collections.namedtuple("Symbol", "source name kind section")


def source_of(root, build, obj):
    """The source of an object below X.p/: meson writes the path relative to X with '/' as '_'."""
    folder = os.path.dirname(os.path.relpath(obj, build))
    base = os.path.dirname(folder)
    flat = os.path.basename(obj)[:-2]
    for path in sources(root, (".c",), tests=True):
        if os.path.relpath(path, base).replace("/", "_") == flat:
            return path
    return os.path.join(base, flat)


def symbols(root, build):
    """Defined symbols of the objects of our libraries and daemons."""
    tops = DAEMONS + ("libclient", "tests/plugins")
    objects = [obj for top in tops
               for obj in glob.glob(os.path.join(build, top, "**", "*.o"), recursive=True)
               if not os.path.relpath(obj, build).startswith("libclient/ctl/")]
    for obj in objects:
        source = source_of(root, build, obj)
        done = subprocess.run(["nm", "-f", "sysv", "--defined-only", obj], capture_output=True,
                              text=True, check=True)
        for line in done.stdout.splitlines():
            fields = [field.strip() for field in line.split("|")]
            if len(fields) == 7 and fields[2] in list("TtDdBbRrVvWwCuS"):
                yield Symbol(source, fields[0], fields[2], fields[6])


def check_unique_symbols(root, build):
    """external symbols are unique, so that all daemons can be linked into one simulator"""
    owners = collections.defaultdict(set)
    for symbol in symbols(root, build):
        if symbol.kind in "TDBRC" and symbol.name != "main" \
                and not symbol.source.startswith("tests/"):
            owners[symbol.name].add(symbol.source)
    for name, files in sorted(owners.items()):
        if len(files) > 1:
            yield "%s is defined in %s" % (name, " and ".join(sorted(files)))


def check_statics(root, build):
    """there is no mutable static state: many nodes live in one process"""
    for symbol in sorted(set(symbols(root, build))):
        name = symbol.name.split(".")[0]
        is_mutable = re.match(r"\.(data|bss|tdata|tbss)", symbol.section) \
            and not symbol.section.startswith(".data.rel.ro") or symbol.kind == "C"
        if is_mutable and not symbol.name.startswith("__") \
                and (symbol.source, name) not in STATICS_ALLOWED:
            yield "%s: %s is in %s" % (symbol.source, symbol.name, symbol.section)


# -- run -----------------------------------------------------------------------------------------

SOURCE_RULES = (check_includes, check_function_lengths, check_parameter_counts, check_file_lengths,
                check_first_comments, check_public_comments, check_columns, check_words,
                check_leftovers)
OBJECT_RULES = (check_unique_symbols, check_statics)


def main():
    root = sys.argv[1]
    rules = [(rule, (root,)) for rule in SOURCE_RULES]
    if len(sys.argv) > 2:
        rules += [(rule, (root, sys.argv[2])) for rule in OBJECT_RULES]
    print("TAP version 13\n1..%d" % len(rules))
    failed = 0
    for number, (rule, arguments) in enumerate(rules, 1):
        findings = list(rule(*arguments))
        for finding in findings:
            print("# " + finding)
        findings = [finding for finding in findings if not finding.startswith(NOTE)]
        failed += bool(findings)
        print("%s %d - %s" % ("not ok" if findings else "ok", number, rule.__doc__), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
