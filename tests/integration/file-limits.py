#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: an update that runs into a limit (the size of files, the number of fds) fails with an error that says so; the
guest goes on, no signal ends the VM, and with the old limit the update works."""
import resource

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main


class Limited:
    """The soft limit of a running process."""

    def __init__(self, vm, which):
        self.vm, self.which = vm, which
        self.before = resource.prlimit(vm.pid, which)

    def set(self, value):
        resource.prlimit(self.vm.pid, self.which, (value, self.before[1]))

    def restore(self):
        resource.prlimit(self.vm.pid, self.which, self.before)


def expect_failure(vm, words):
    """Before the execve: nothing has changed."""
    fds, before = vm.process.fds_and_flags(), vm.wait_for_ticks()
    answer = vm.try_update()
    claim(answer.startswith("Error: ") and all(word in answer for word in words),
          f"the error should have {words}, the monitor answers {answer!r}")
    claim(vm.version()[:2] == (1, vm.pid), f"{vm.version()}")
    claim(vm.process.fds_and_flags() == fds, f"fds were {fds} and are {vm.process.fds_and_flags()}")
    claim(not vm.process.children(), f"left: {vm.process.children()}")
    claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")
    return answer[len("Error: "):].strip()


def expect_working_updates(vm):
    vm.update(BUILD_2)
    vm.update(BUILD_1)
    vm.wait_for_ticks(vm.guest().ticks)
    vm.settle()


def files_that_may_not_grow(accel):
    """0 and 1000 bytes are too few for the baton, 4096 are enough for it and too few for the state."""
    with MiniVmm(accel, "--ram", "64M", "--guest", "memcheck") as vm:
        limit, said = Limited(vm, resource.RLIMIT_FSIZE), []
        for size in (0, 1000, 4096):
            limit.set(size)
            said.append(expect_failure(vm, ["File too large"]))
            limit.restore()
            expect_working_updates(vm)
        return "; ".join(said)


def no_fds_left(accel):
    """One more each time, until the update works: so each place that needs one is the one to fail."""
    n_clients = 14  # so that there are more fds than poll() of the monitor asks for, which is limited too
    with MiniVmm(accel, "--ram", "64M", "--guest", "memcheck") as vm:
        clients = [vm.connect() for _ in range(n_clients)]
        limit, said, rolled_back = Limited(vm, resource.RLIMIT_NOFILE), {}, {}
        fds = vm.process.fds()
        number = next(fd for fd in range(1024) if fd not in fds)
        while True:
            limit.set(number)
            before, answer = vm.wait_for_ticks(), vm.try_update()
            limit.restore()
            if "completed" in answer:
                break
            claim(vm.version()[:2] == (1, vm.pid), f"{vm.version()}")
            claim("Too many open files" in answer, f"with a limit of {number} fds the monitor answers {answer!r}")
            claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")
            where = rolled_back if "rolled-back" in answer else said
            where[number] = answer.splitlines()[-1].removeprefix("Error: ")
            vm.settle()
            claim(sorted(vm.process.fds().values()) == sorted(fds.values()), f"{fds} became {vm.process.fds()}")
            number += 1
            claim(number < 256, "it never works")
        claim(said, "no update failed")
        vm.update(BUILD_1)
        expect_working_updates(vm)
        claim(all("build 1" in client.ask("info version") for client in clients), "a client gets no answer")
        return f"limits {min(said)} to {number - 1}: {list(said.values())}, rolled back: {list(rolled_back.values())}"


main(files_that_may_not_grow, no_fds_left)
