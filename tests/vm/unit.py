#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the unit tests that are in here hold on the kernel of this machine. Those of KVM's state find a KVM that has what others
lack: nested state, SMM, an offset of the TSC, machine checks.

Prints what each test claims, in the words of tests/integration/minivmm.py."""
import glob
import os
import re
import subprocess
import sys
import threading
import time

build = os.environ["top_builddir"]
# No times: in an emulated machine they mean nothing.
environment = {**os.environ, "CK_TAP_LOG_FILE_NAME": "-", "CK_VERBOSITY": "silent", "CK_TIMEOUT_MULTIPLIER": "5", "CK_EXCLUDE_TAGS": "times"}


def work():
    """Runs programs until none is left; as many threads as CPUs do."""
    global failed
    for program in todo:
        began = time.monotonic()
        result = subprocess.run([program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with lock:
            failed += report(os.path.basename(program), result, time.monotonic() - began)


def report(name, result, seconds):
    """The number of tests that failed."""
    n = failed = 0
    for line in result.stdout.splitlines():
        match = re.match(r"(not ok|ok) \d+ - [^:]*:[^:]*:(\w+): (.*)", line)
        if match:
            n += 1
            failed += match[1] != "ok"
            print(f"{'ok' if match[1] == 'ok' else 'FAILED'}: {name}: {match[2]}" + (f": {match[3]}" if match[1] != "ok" else ""))
        elif "# SKIP" in line:
            print(f"SKIP: {name}: {line.split('# SKIP ')[1]}")
    if result.returncode and not failed:
        failed = 1
        print(f"FAILED: {name}: exit code {result.returncode} after {n} tests: {result.stdout[-500:]}")
    print(f"{name}: {n} tests, {seconds:.1f} s", flush=True)
    return failed


lock = threading.Lock()
failed = 0
programs = sorted(glob.glob(os.path.join(build, "tests", "unit", "test-*")))
if not programs:
    print("SKIP: the unit tests: they weren't built: there is no Check")
todo = iter(programs)
threads = [threading.Thread(target=work) for _ in range(os.cpu_count())]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(failed > 0)
