#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a supervisor that is notified (NOTIFY_SOCKET, as systemd's) always watches the process that matters: the guardian while
it may take the guest back, the VM otherwise; each message comes from the process that it listened to until then."""
import os
import socket
import struct
import tempfile

from minivmm import BUILD_2, MiniVmm, claim, main, poll


class Supervisor:
    """The other end of NOTIFY_SOCKET. Like systemd with NotifyAccess=main it hears the main process only."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.main, self.mains, self.ignored = None, [], []

    def listen(self):
        while True:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(256, 256)
            except BlockingIOError:
                return self.main
            sender = struct.unpack("3i", ancillary[0][2][:12])[0]
            claim(data.startswith(b"MAINPID="), f"{data!r}")
            if sender == self.main:
                self.main = int(data[len("MAINPID="):])
                self.mains.append(self.main)
            else:
                self.ignored.append((sender, data))


def with_supervisor(accel, test):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        supervisor = Supervisor(directory)
        environment = dict(os.environ, NOTIFY_SOCKET=supervisor.path)
        with MiniVmm(accel, "--ram", "64M", "--deadline", "1000", environment=environment) as vm:
            supervisor.main = vm.pid
            vm.wait_for_ticks()
            return test(vm, supervisor)


def becomes(supervisor, pid):
    poll(lambda: supervisor.listen() == pid, f"the supervisor should watch {pid}")


def an_update_passes_through_the_guardian(accel):
    def test(vm, supervisor):
        for _ in range(3):
            vm.update(BUILD_2)
            becomes(supervisor, vm.pid)
        claim(len(supervisor.mains) == 6 and supervisor.mains[1::2] == [vm.pid] * 3, f"{supervisor.mains}")
        claim(vm.pid not in supervisor.mains[::2], f"{supervisor.mains}")
        return f"main processes: {supervisor.mains}"
    return with_supervisor(accel, test)


def a_failed_update_comes_back(accel):
    def test(vm, supervisor):
        answer = vm.try_update(options=["--fail-at", "load"])
        claim("rolled-back" in answer, answer)
        becomes(supervisor, vm.pid)
        return f"main processes: {supervisor.mains}"
    return with_supervisor(accel, test)


def the_rescued_vm_is_watched(accel):
    def test(vm, supervisor):
        answer = vm.try_update(options=["--fail-at", "load", "--fail-by", "kill"])
        claim("rescued" in answer, answer)
        former = vm.pid
        vm.follow()
        becomes(supervisor, vm.pid)
        claim(former not in supervisor.mains, f"{supervisor.mains}")
        vm.update(BUILD_2)
        becomes(supervisor, vm.pid)
        return f"{former}, then main processes: {supervisor.mains}"
    return with_supervisor(accel, test)


def a_supervisor_that_is_gone_stops_the_update(accel):
    """Without it the guardian's rescue would be a second VM one day."""
    def test(vm, supervisor):
        os.unlink(supervisor.path)
        answer = vm.try_update()
        claim(answer.startswith("Error: ") and "supervisor" in answer, answer)
        vm.wait_for_ticks(vm.guest().ticks)
        claim(not vm.process.children(), f"{vm.process.children()}")
        return answer.splitlines()[-1]
    return with_supervisor(accel, test)


main(an_update_passes_through_the_guardian, a_failed_update_comes_back, the_rescued_vm_is_watched,
     a_supervisor_that_is_gone_stops_the_update)
