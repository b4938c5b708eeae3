#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the KVM VM that an update builds has another fd number than those before it that may still be there: the kernel names a VM's
statistics after PID and fd, and the new one would have none."""
import os
import re

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main


class KernelLog:
    """What the kernel says from now on; nothing where we mayn't read it."""

    def __init__(self):
        try:
            self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self.fd, 0, os.SEEK_END)
        except OSError:
            self.fd = None

    def read(self):
        lines = []
        while self.fd is not None:
            try:
                lines.append(os.read(self.fd, 8192).decode(errors="replace"))
            except BlockingIOError:
                break
            except BrokenPipeError:
                pass  # some were lost
        return lines


def number_of_vm(vm):
    numbers = [number for number, what in vm.process.fds().items() if what == "anon_inode:kvm-vm"]
    claim(len(numbers) == 1, f"there are {numbers}")
    return numbers[0]


def vms_that_follow_each_other_have_other_numbers(accel):
    if accel != "kvm":
        return "SKIP: not with the software CPU"
    log = KernelLog()
    with MiniVmm(accel) as vm:
        numbers, pid = [number_of_vm(vm)], vm.pid
        for step in range(7):
            if step == 3:
                answer = vm.try_update(BUILD_2, options=["--fail-at", "load"])
                claim("rolled-back" in answer, answer)
                vm.settle()  # the VM of the program that failed is gone, whose number the next one has
            else:
                vm.update(BUILD_1 if step % 2 else BUILD_2)
            numbers.append(number_of_vm(vm))
            claim(numbers[-1] not in numbers[-3:-1], f"VM {len(numbers)} has a number that one of the last two had: {numbers}")
        vm.wait_for_ticks(vm.guest().ticks)
    said = [line for line in log.read() if re.search(rf"duplicate directory {pid}-", line)]
    claim(not said, f"the kernel says {said}")
    return f"{numbers}, kernel log {'was read' if log.fd is not None else 'not readable'}"


main(vms_that_follow_each_other_have_other_numbers)
