"""Tables of what the benchmark measured: one line per row on the terminal, and the goals of the
transport as Markdown, which README.md shows."""

import os
import re
import statistics

from bench_place import ROOT

MARKERS = ("<!-- benchmark -->\n", "<!-- /benchmark -->")
HEAD = "%-30s %9s %9s %9s %-7s %8s %9s  %-26s %-14s %-10s %s" % (
    "row", "min", "median", "max", "unit", "x floor", "floor is", "floor", "the original", "goal",
    "met")


def number(value):
    """Three significant digits, millions and thousands with a letter."""
    for limit, letter in ((1e6, " M"), (1e4, " k")):
        if abs(value) >= limit:
            return "%.3g%s" % (value / limit * (10 if letter == " k" else 1), letter)
    return "%.3g" % value if abs(value) < 1000 else "%.0f" % value


def middle(runs):
    return statistics.median(value.value for value, _ in runs)


def ratio(runs):
    ratios = [value.value / floor for value, floor in runs if floor]
    return statistics.median(ratios) if ratios else None


def is_met(runs, goal):
    if goal is None or goal.limit is None:
        return True
    value = middle(runs)
    return value <= goal.limit if goal.kind == "<=" else value >= goal.limit


def goal_text(goal):
    return "" if goal is None or goal.limit is None else "%s %s" % (goal.kind, number(goal.limit))


def met_text(runs, goal):
    if not goal_text(goal):
        return ""
    return "yes" if is_met(runs, goal) else "NO"


def print_row(name, runs, goal):
    values = [value.value for value, _ in runs]
    floors = [floor for _, floor in runs if floor]
    times = ratio(runs)
    print(("%-30s %9s %9s %9s %-7s %8s %9s  %-26s %-14s %-10s %s" % (
        name, number(min(values)), number(middle(runs)), number(max(values)), runs[0][0].unit,
        "" if times is None else "%.3g" % times,
        number(statistics.median(floors)) if floors else "", runs[0][0].floor or "",
        goal.original if goal else "", goal_text(goal), met_text(runs, goal))).rstrip(),
          flush=True)


def print_rows(results, rows, goals):
    print(HEAD)
    for name in rows:
        print_row(name, results[name], goals.get(name))


def issue_table(results, rows, goals):
    """Markdown; empty when nothing of it was measured."""
    lines = []
    for title, unit, name in rows:
        if name not in results:
            continue
        runs, goal = results[name], goals.get(name)
        floors = [floor for _, floor in runs if floor]
        lines.append("| %s | %s %s | %s | %s | %s | %s |" % (
            title, number(middle(runs)), unit,
            number(statistics.median(floors)) if floors else "",
            goal.original if goal else "", goal_text(goal), met_text(runs, goal)))
    if not lines:
        return ""
    return "\n".join(["| Row | Tern | Floor | The original | Goal | Met |",
                      "|---|---|---|---|---|---|"] + lines) + "\n"


def write_readme(table):
    path = os.path.join(ROOT, "README.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    pattern = re.compile(re.escape(MARKERS[0]) + ".*?" + re.escape(MARKERS[1]), re.DOTALL)
    if not pattern.search(text):
        raise SystemExit("bench: README.md has no %s" % MARKERS[0].strip())
    with open(path, "w", encoding="utf-8") as file:
        file.write(pattern.sub(lambda _: MARKERS[0] + table + MARKERS[1], text))
