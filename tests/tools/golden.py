#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: both readers say the same of every golden state and of every stream in the fuzzers' corpus; every golden state is
right; and today's builds of minivmm would load those that earlier ones left behind."""
import glob
import gzip
import os
import tempfile

import readers
from readers import build, claim, run, source

# Which builds load which state; others miss a device. The one of KVM's needs /dev/kvm.
OPTIONS = ["--ram", "16M", "--vcpus", "2", "--monitor", "/nowhere/monitor"]
LOADS = {"minivmm-soft": (["--accel", "soft"], ["minivmm", "minivmm-next", "minivmm-later"]),
         "minivmm-next-soft": (["--accel", "soft", "--device", "watchdog"], ["minivmm-next", "minivmm-later"]),
         "minivmm-later-kvm": (["--accel", "kvm", "--device", "watchdog"], ["minivmm-later"])}


def agree(path):
    """Whether both take it for a right state."""
    data = readers.read(path)
    right = readers.python_judges(data) is None
    status, _, error = run("verify", path)
    claim((status == 0) == right, f"{path}: verify ends with {status}: {error}")
    if right:
        readers.same_json(data)
    return right


def the_corpus():
    paths = sorted(glob.glob(os.path.join(source, "tests", "fuzz", "corpus", "stream", "*")))
    claim(len(paths) > 50, f"{len(paths)} streams")
    return f"{len(paths)} streams, {sum(agree(path) for path in paths)} of them right"


def the_golden_states():
    paths = sorted(glob.glob(os.path.join(source, "tests", "golden", "v1", "*.cpr")))
    for path in paths:
        claim(agree(path), f"{path} is refused")
    packed = sorted(glob.glob(os.path.join(source, "tests", "golden", "v1", "*.cpr.gz")))  # those that are mostly zeros
    for path in packed:
        with tempfile.NamedTemporaryFile(prefix="cpr-golden-") as file:
            file.write(gzip.decompress(readers.read(path)))
            file.flush()
            claim(agree(file.name), f"{path} is refused")
    return f"{len(paths)} states, and {len(packed)} packed ones"


def what_loads_them():
    asked = 0
    for name, (options, programs) in LOADS.items():
        if "kvm" in name and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            print("SKIP: /dev/kvm")
            continue
        for program in programs:
            status, out, error = run("compat", os.path.join(source, "tests", "golden", "v1", name + ".cpr"),
                                     os.path.join(build, "tests", "vmm", program), *OPTIONS, *options)
            claim(status == 0, f"{program} doesn't load {name}: {out.decode()}{error}")
            asked += 1
    return f"{asked} programs asked"


readers.main(the_corpus, the_golden_states, what_loads_them)
