#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: bench/fleet says of a fleet what the laws of chance say, where these are known, and reads what the benchmarks write."""
import json
import os
import re
import subprocess
import sys
import tempfile

source = os.path.abspath(os.environ["top_srcdir"])
FLEET = [sys.executable, "-B", os.path.join(source, "bench", "fleet")]
TRANSFER = [sys.executable, "-B", os.path.join(source, "bench", "transfer"), "--accels", "soft", "--sizes", "16", "--runs", "2",
            "--rest", "0.1"]
folder = tempfile.TemporaryDirectory(prefix="cpr-")


def claim(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def put(name, results):
    path = os.path.join(folder.name, name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file)
    return path


def case(pauses, **more):
    return {"accel": "kvm", "mib": 256, "mode": "transfer", "samples": [{"pause": pause} for pause in pauses], **more}


def ask(*arguments, status=0):
    done = subprocess.run([*FLEET, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
    claim(done.returncode == status and (status or not done.stderr), f"{arguments}: {done}")
    return done.stdout.decode() or done.stderr.decode()


def hosts_above(text, limit):
    return tuple(int(number) for number in re.search(rf"above {limit} ms: .*; (\d+) hosts see one \[(\d+)-(\d+)\]", text).groups())


def row(text, label):
    line = re.search(rf"^  {label} +(.*)$", text, re.M)[1]
    return [(mark, float(middle), float(low), float(high))
            for mark, middle, low, high in re.findall(r"(>?)([\d.]+) \[([\d.]+)-([\d.]+)\]", line)]


def the_hosts_above_a_limit_are_those_of_the_binomial_law():
    path = put("few", [case([300] * 99 + [9000])])
    text = ask("--hosts", "10000", "--updates", "12", "--rounds", "20", "--over", "1,20", path)
    # 1 - 0.99^12; the exact interval for 1 of 100 is 0.000253 to 0.0545, that for 0 of 100 ends at 0.0362.
    for limit, want in ((1, (1136, 30, 4894)), (20, (0, 0, 3577))):
        got = hosts_above(text, limit)
        claim(all(abs(a - b) <= 0.01 * b + 1 for a, b in zip(got, want)), f"above {limit} ms there are {got}, and should be {want}")
    all_above = hosts_above(ask("--rounds", "5", "--hosts", "50", "--over", "0.1", path), "0.1")
    claim(all_above[0] == all_above[2] == 50, f"all pauses are above it, and {all_above} hosts")


def percentiles_are_those_of_the_samples():
    pauses = list(range(1, 10001))  # us: 10 ms at most, all as likely
    text = ask("--hosts", "2000", "--updates", "10", "--rounds", "40", put("even", [case(pauses)]))
    for (mark, middle, low, high), want in zip(row(text, "of all pauses"), (5, 9, 9.9, 9.99)):
        claim(not mark and low <= middle <= high and abs(middle - want) < 0.1 and high - low < 0.5, f"{want}: {middle} [{low}-{high}]")
    for (mark, middle, low, high), want in zip(row(text, "of hosts' longest"), (9.33, 9.9, 9.99, 10)):  # 10 x share^(1/10)
        claim(low <= middle <= high and abs(middle - want) < 0.1, f"{want}: {middle} [{low}-{high}]")
    few = ask("--hosts", "2000", "--rounds", "40", put("ten", [case(pauses[:10])]))
    claim([mark for mark, *_ in row(few, "of all pauses")] == ["", "", ">", ">", ">"], f"beyond ten samples: {few}")
    claim([mark for mark, *_ in row(few, "of hosts' longest")][1:] == [">"] * 4, f"beyond ten samples: {few}")
    claim(few == ask("--hosts", "2000", "--rounds", "40", os.path.join(folder.name, "ten")), "the same seed gives other figures")


def several_files_are_one_case_each():
    one, two = put("one", [case([1] * 3), case([2] * 3, mode="exec")]), put("two", [case([3] * 4)])
    run = {"accel": "kvm", "size": 256, "touched": True, "guardian": True, "samples": [{"pause": 5}]}
    text = ask("--hosts", "10", "--rounds", "2", one, two, put("run", [run]))
    found = re.findall(r"^(\S.*): (\d+) pauses", text, re.M)
    claim(found == [("kvm, 256 MiB, transfer", "7"), ("kvm, 256 MiB, exec", "3"), ("kvm, 256 MiB, exec, touched", "1")], f"{found}")


def other_files_are_refused():
    for path in (put("number", 5), put("no-case", [{"a": 1}]), put("none", []), "/nonexistent", source + "/README.md"):
        said = ask(path, status=2)
        claim("Traceback" not in said and "pauses" in said, said)
    ask("--hosts", "0", put("x", [case([1])]), status=2)


def what_a_benchmark_writes_is_read():
    path = os.path.join(folder.name, "measured")
    subprocess.run([*TRANSFER, "--json", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=300, check=True)
    found = re.findall(r"^(soft, 16 MiB, \w+), \d vCPU: 2 pauses", ask("--hosts", "10", "--rounds", "2", path), re.M)
    claim(found == ["soft, 16 MiB, exec", "soft, 16 MiB, transfer"], f"{found}")


the_hosts_above_a_limit_are_those_of_the_binomial_law()
percentiles_are_those_of_the_samples()
several_files_are_one_case_each()
other_files_are_refused()
what_a_benchmark_writes_is_read()
folder.cleanup()
