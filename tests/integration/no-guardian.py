#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: with a guardian there is exactly one beside an update, which holds the carried fds and little else, and it is
gone afterwards; with --no-guardian there is none at any time, and updates work all the same."""
import re

from minivmm import BUILD_1, BUILD_2, Hold, MiniVmm, Process, claim, get_pause, main


def held_update(vm, binary):
    """An update during which we look: (the children, what the first of them has open)."""
    hold = Hold(vm)
    vm.send_update(binary, prefix=hold.prefix)
    hold.wait()
    children = vm.process.children()
    fds = Process(children[0].pid).fds() if children else {}
    hold.release()
    get_pause(vm.monitor.receive())
    return children, fds


def one_guardian_with_the_carried_fds_only(accel):
    with MiniVmm(accel, "--ram", "64M", "--guest", "memcheck", "--vcpus", "2") as vm:
        vm.wait_for_ticks()
        for binary in (BUILD_2, BUILD_1):
            children, fds = held_update(vm, binary)
            claim([child.comm for child in children] == ["cpr-guardian"], f"children {children}")
            kinds = sorted(re.sub(r":\[\d+\]$| \(deleted\)$", "", what) for fd, what in fds.items() if fd > 2)
            held = ["anon_inode:kvm-vcpu:0", "anon_inode:kvm-vcpu:1", "anon_inode:kvm-vm"] if accel == "kvm" else []
            expected = ["/memfd:libcpr-baton", "/memfd:libcpr-ram:ram", "/memfd:libcpr-state", "anon_inode:[eventfd]",
                        "anon_inode:[pidfd]", "socket", "socket", *held]
            extra = [kind for kind in kinds if kind not in expected and "minivmm" not in kind]
            claim(not extra and all(kinds.count(kind) == expected.count(kind) for kind in expected), f"it has {kinds}")
            vm.settle()
            claim(not vm.process.children(), f"left: {vm.process.children()}")
        claim(vm.migration().guardian, "info migrate says there was none")
        return f"it has {kinds}"


def none_where_none_is_wanted(accel):
    with MiniVmm(accel, "--ram", "64M", "--guest", "memcheck", "--vcpus", "2", "--no-guardian") as vm:
        before = vm.wait_for_ticks()
        for binary in (BUILD_2, BUILD_1, BUILD_2):
            children, _ = held_update(vm, binary)
            claim(not children, f"children during the update: {children}")
            claim(not vm.process.children(), f"children after the update: {vm.process.children()}")
            claim(not vm.migration().guardian, "info migrate says there was one")
            claim(vm.version()[1] == vm.pid, f"{vm.version()}")
            after = vm.wait_for_ticks(before.ticks)
            claim(after.errors == 0, "memory errors")
        return f"3 updates, no child at any time; ticks {before.ticks} to {after.ticks}"


main(one_guardian_with_the_carried_fds_only, none_where_none_is_wanted)
