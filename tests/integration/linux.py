#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: Linux, as the distribution made it, doesn't notice that its VMM is replaced. Its memory is right, its clocks neither go
back nor jump, it loses no interrupt, its console loses no byte, its disk loses no write, and its kernel has nothing to complain
about. linuxvmm.py says what it can be told."""
import os
import re
import statistics
import struct
import tempfile

from linuxvmm import (BOOT_PATIENCE, COMMANDS, N_CPUS, check_kernel_log, check_ticks, read_modules, run, running)
from minivmm import claim, poll

# Of tests/vm/linux-guest-disk.c.
N_WRITERS, BLOCK, N_BLOCKS = 3, 4096, 64
# How much faster or slower than this machine's clock the guest's clock may be; both come from the same counter.
DRIFT = 0.001


def check_times(times):
    """The guest's clock went on by as much as ours, as far as that can be seen from here."""
    (before, first, after), *rest = times
    for number, (begin, now, end) in enumerate(rest):
        claim((begin - after) * (1 - DRIFT) <= now - first <= (end - before) * (1 + DRIFT),
              f"after {number} updates: {now - first:.3f} s passed in the guest, {begin - after:.3f} to {end - before:.3f} s here")


def update_all(vm, commands):
    pauses, times = [], [vm.time()]
    vm.kernel_log()
    vm.wait_for_ticks(20)
    times.append(vm.time())
    n_passes = vm.ticks()[-1][1]
    for number, command in enumerate(commands, 1):
        answer = vm.tell(command)
        pause = re.fullmatch(r"completed: the guest stood still for ([\d.]+) ms", answer)
        claim(pause, f"update {number}: {answer}")
        pauses.append(round(float(pause[1]) * 1000))
        claim(f"after {number} updates" in vm.tell("status"), vm.tell("status"))
        vm.wait_for_ticks()
        times.append(vm.time())
    poll(lambda: vm.ticks()[-1][1] >= n_passes + 2, "for a pass that began after the last update", BOOT_PATIENCE)
    ticks = check_ticks(vm)
    check_times(times)
    n_lines = check_kernel_log(vm.kernel_log())
    return (f"{len(commands)} updates, {N_CPUS} vCPUs, Linux {re.search('GUEST with .* Linux (.*)', vm.text())[1]}; {len(ticks)} lines, "
            f"{ticks[-1][1]} passes, longest sleep of 100 ms {ticks[-1][-1] // 1000} ms, {n_lines} new messages of the kernel; pause, "
            f"least {min(pauses)}, median {statistics.median(pauses):.0f}, most {max(pauses)} us")


def linux_does_not_notice_execs_and_transfers_and_switches_off(accel):
    with running() as vm:
        saw = update_all(vm, COMMANDS)
        vm.tell_guest("o")
        vm.wait_for_end()
        return saw


def count_writes(vm):
    return int(re.search(r"(\d+) writes", vm.tell("status"))[1])


def check_image(path, written):
    """Each block has what was written there last."""
    with open(path, "rb") as file:
        for writer, last in enumerate(written):
            for number in range(max(1, last - N_BLOCKS + 1), last + 1):
                file.seek((writer * N_BLOCKS + number % N_BLOCKS) * BLOCK)
                found = struct.unpack(f"<{BLOCK // 8}Q", file.read(BLOCK))
                expected = tuple(number << 16 | writer << 12 | i for i in range(BLOCK // 8))
                claim(found == expected, f"block {number} of writer {writer} begins with {found[0]:#x}")


def each_write_to_the_disk_is_done_once(accel):
    """Three processes of the guest have requests under way all the time."""
    with tempfile.NamedTemporaryFile(prefix="cpr-") as image:
        image.truncate(N_WRITERS * N_BLOCKS * BLOCK)
        with running("--disk", image.name, modules=read_modules()) as vm:
            counts = []
            for number, command in enumerate(COMMANDS, 1):
                before = count_writes(vm)
                poll(lambda: count_writes(vm) > before, f"for the guest to write, after {number - 1} updates")
                answer = vm.tell(command)
                claim(answer.startswith("completed"), f"update {number}: {answer}")
                counts.append(count_writes(vm))
            vm.tell_guest("d")
            end = vm.wait_for(r"^disk errors (\d+) written ([\d ]+)\n", "the writers to end")
            written = list(map(int, end[2].split()))
            claim(end[1] == "0", f"{end[1]} errors of the disk")
            claim(count_writes(vm) == sum(written), f"the guest wrote {sum(written)} blocks, the disk was told to write {count_writes(vm)}")
            check_image(image.name, written)
            check_ticks(vm)
            return f"{len(COMMANDS)} updates, writes of each writer {written}, at the updates {counts}"


def a_refused_update_leaves_linux_alone(accel):
    with running() as vm:
        refused = vm.tell("update /bin/true"), vm.tell("transfer /bin/true"), vm.tell("transfer /nonexistent")
        claim(not any(answer.startswith("completed") for answer in refused), f"{refused}")
        vm.wait_for_ticks()
        check_ticks(vm)
        return "; ".join(refused)


def linux_restarts(accel):
    """And finds a machine as after power-on."""
    with running() as vm:
        claim(vm.tell("update /proc/self/exe").startswith("completed"), "the update")
        vm.tell_guest("r")
        poll(lambda: len(re.findall("^GUEST with", vm.text(), re.M)) == 2, "for Linux to boot again", BOOT_PATIENCE)
        claim(vm.tell("status").endswith("after 0 updates"), vm.tell("status"))
        claim(vm.tell("quit") == "", "quit has an answer")
        vm.wait_for_end()
        return "after an update"


run(linux_does_not_notice_execs_and_transfers_and_switches_off, each_write_to_the_disk_is_done_once,
    a_refused_update_leaves_linux_alone, linux_restarts)
