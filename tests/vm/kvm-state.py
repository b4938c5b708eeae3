#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the unit tests of KVM's state hold on the KVM of this machine, which has what others lack: nested state, SMM, an offset of
the TSC, machine checks.

Prints what each test claims, in the words of tests/integration/minivmm.py."""
import os
import re
import subprocess
import sys

build = os.environ["top_builddir"]
failed = 0
for name in ("test-kvm", "test-kvm-ioeventfd", "test-kvm-irqfd", "test-kvm-nested", "test-kvm-preflight", "test-kvm-registers", "test-kvm-session"):
    program = os.path.join(build, "tests", "unit", name)
    if not os.path.exists(program):
        print(f"SKIP: {name}: it wasn't built: there is no Check")
        continue
    environment = {**os.environ, "CK_TAP_LOG_FILE_NAME": "-", "CK_VERBOSITY": "silent", "CK_TIMEOUT_MULTIPLIER": "5"}
    result = subprocess.run([program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    n = 0
    for line in result.stdout.splitlines():
        match = re.match(r"(not ok|ok) \d+ - [^:]*:[^:]*:(\w+): (.*)", line)
        if match:
            n += 1
            failed += match[1] != "ok"
            print(f"{'ok' if match[1] == 'ok' else 'FAILED'}: {name}: {match[2]}" + (f": {match[3]}" if match[1] != "ok" else ""))
        elif "# SKIP" in line:
            print(f"SKIP: {name}: {line.split('# SKIP ')[1]}")
    if result.returncode and not failed:
        failed += 1
        print(f"FAILED: {name}: exit code {result.returncode} after {n} tests: {result.stdout[-500:]}")
sys.exit(failed > 0)
