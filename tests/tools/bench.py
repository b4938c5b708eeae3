#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a benchmark prints its table and nothing else, shows what it is at only where a terminal is, and keeps to the time that all its
cases have together, however long one of them takes."""
import os
import pty
import re
import subprocess
import sys
import types

source = os.path.abspath(os.environ["top_srcdir"])
sys.path.insert(0, os.path.join(source, "bench"))
import progress  # noqa: E402

TRANSFER = [sys.executable, "-B", os.path.join(source, "bench", "transfer"), "--accels", "soft", "--sizes", "16", "--runs", "1"]
RECOVER = [sys.executable, "-B", os.path.join(source, "bench", "recover"), "--accels", "soft", "--sizes", "16", "--runs", "1"]


def claim(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def the_table_is_all_that_is_printed(command, rows):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False)
    lines = done.stdout.decode().splitlines()
    claim(done.returncode == 0 and done.stderr == b"", f"{command} ended with {done.returncode} and said {done.stderr!r}")
    claim(len(lines) == 1 + rows and lines[0].startswith("accel") and all(re.match(r"soft +16 \w+ +1 +\d", line) for line in lines[1:]),
          f"{command} printed {lines}")


def progress_is_for_terminals():
    ours, theirs = pty.openpty()
    done = subprocess.run([*TRANSFER, "--modes", "transfer"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, timeout=600,
                          check=True)
    os.close(theirs)
    shown = os.read(ours, 65536)
    claim(b"soft, 16 MiB: transfer 1" in shown, f"a terminal shows {shown!r}")
    claim(b"\033" not in done.stdout, f"{done.stdout!r}")


def run_cases(costs, **options):
    """How many runs each case gets and when the last one ends, if a run takes so many seconds and the first one of each isn't counted."""
    now = [1000.0]
    progress.time = types.SimpleNamespace(monotonic=lambda: now[0])
    clock = progress.Clock(types.SimpleNamespace(**{"runs": None, "seconds": None, **options}), len(costs))
    found = []
    for cost in costs:
        clock.begin_case()
        run = 0
        while clock.goes_on(run - 1):
            now[0] += cost
            run += 1
        found.append(run - 1)
    return found, now[0] - 1000


def the_time_is_kept():
    runs, seconds = run_cases([0.1] * 8)
    claim(runs == [progress.RUNS] * 8, f"with time enough there are {runs} runs")
    for costs in ([3] * 8, [0.1] * 7 + [20], [20] + [0.1] * 7, [10, 1, 10, 1]):
        runs, seconds = run_cases(costs)
        claim(min(runs) >= 1 and seconds < 180, f"runs of {costs} s: {runs}, {seconds} s")
    runs, _ = run_cases([20] + [0.1] * 7)
    claim(runs[1:] == [progress.RUNS] * 7, f"a slow case takes the time of the others: {runs}")
    runs, _ = run_cases([60, 60], runs=5)
    claim(runs == [5, 5], f"asked for 5 runs there are {runs}")


the_time_is_kept()
the_table_is_all_that_is_printed(TRANSFER, 2)
the_table_is_all_that_is_printed(RECOVER, 3)
progress_is_for_terminals()
