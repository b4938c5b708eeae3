#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a real systemd that restarts what ends (Restart=always) keeps to the one VM through updates and through a rescue, after
which the VM is another process, which its watchdog means; and it does start a new one when that ends. A manager of a user, in namespaces of its own."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

from minivmm import BUILD_1, BUILD_2, Client, MiniVmm, claim, descendants, end_orphans, main, poll

SYSTEMD = next((path for path in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd") if os.access(path, os.X_OK)), None)
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
# systemd looks whether the system was booted with it.
BEGIN = ("mount --make-rprivate / && mount -t tmpfs none /run && mkdir -p /run/systemd/system && "
         f"{SYSTEMD} --user --log-target=console & wait")
WATCHDOG = 10  # s; a program with sanitizers on a busy machine may take several to start
UNIT = """[Service]
NotifyAccess=main
WatchdogSec={watchdog}
Restart=always
RestartSec=0
ExecStart={command}
"""


class Service(MiniVmm):
    """A minivmm that systemd has started. Process numbers are those inside."""

    def __init__(self, accel, *options):
        self.directory = tempfile.mkdtemp(prefix="cpr-")
        self.socket_path = os.path.join(self.directory, "m")
        self.options = ["--accel", accel, "--monitor", self.socket_path, *options]
        self.clients = []
        self.monitor = None
        units = os.path.join(self.directory, "systemd", "user")
        os.makedirs(units)
        with open(os.path.join(units, "vm.service"), "w", encoding="utf-8") as file:
            file.write(UNIT.format(watchdog=WATCHDOG, command=" ".join([BUILD_1, *self.options])))
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=self.directory, XDG_CONFIG_HOME=self.directory)
        self.log = open(os.path.join(self.directory, "log"), "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        self.popen = subprocess.Popen([*UNSHARE, "sh", "-c", BEGIN], env=self.environment, stdin=subprocess.DEVNULL,
                                      stdout=self.log, stderr=self.log)

    def __enter__(self):
        try:
            self.manager = poll(self.find_manager, "for systemd to start")
            poll(lambda: "running" in self.control("is-system-running"), "for systemd to be ready")
            claim(self.control("start", "vm.service") == "", self.messages())
            self.monitor = poll(self.try_connect, "for the monitor's socket")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, value, trace):
        for client in self.clients:
            client.close()
        self.popen.kill()  # takes the namespace along
        self.popen.wait()
        end_orphans()
        if kind is not None:
            print("systemd printed:", *self.messages().splitlines(), sep="\n  | ")
        self.log.close()
        shutil.rmtree(self.directory)

    def find_manager(self):
        return next((p.pid for p in descendants(self.popen.pid) if p.comm == "systemd"), None)

    def messages(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def control(self, *arguments):
        command = ["nsenter", f"--target={self.manager}", "--mount", "--pid", "systemctl", "--user", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def shows(self, **wanted):
        """The unit's properties become these."""
        names = ",".join(wanted)

        def look():
            seen = dict(line.split("=", 1) for line in self.control("show", "vm.service", "-p", names).splitlines())
            return seen == {name: str(value) for name, value in wanted.items()}
        poll(look, f"for {wanted}; it is {self.control('show', 'vm.service', '-p', names)!r}")

    def get_vm(self):
        return self.version().pid

    def count(self):
        """The VMMs there are."""
        return sum(p.comm.startswith("minivmm") for p in descendants(self.popen.pid))


def updates_and_a_rescue_are_one_service_and_an_end_is_one(accel):
    with Service(accel, "--ram", "64M", "--deadline", "5000") as vm:
        first, ticks = vm.get_vm(), vm.wait_for_ticks().ticks
        vm.shows(MainPID=first, NRestarts=0)
        for _ in range(3):
            vm.update(BUILD_2)
            vm.shows(MainPID=first, NRestarts=0, ActiveState="active")
        answer = vm.try_update(BUILD_1, options=["--fail-at", "load", "--fail-by", "error"])
        claim("rolled-back" in answer, answer)
        vm.shows(MainPID=first, NRestarts=0, ActiveState="active")
        answer = vm.try_update(BUILD_1, options=["--fail-at", "load", "--fail-by", "kill"])
        claim("rescued" in answer, answer)
        second, ticks = vm.get_vm(), vm.wait_for_ticks(ticks).ticks
        claim(second != first, f"the VM is still process {second}")
        vm.shows(MainPID=second, NRestarts=0, ActiveState="active")
        time.sleep(1.2 * WATCHDOG)  # the supervisor kills who doesn't think that it is meant
        claim(vm.get_vm() == second, "the watchdog has ended the rescued VM")
        vm.shows(MainPID=second, NRestarts=0, ActiveState="active")
        vm.update(BUILD_2)
        claim(vm.wait_for_ticks(ticks).errors == 0 and vm.count() == 1, f"{vm.count()} VMMs")
        vm.shows(MainPID=second, NRestarts=0, ActiveState="active")
        vm.monitor.command("quit")
        poll(lambda: vm.control("show", "vm.service", "-p", "NRestarts") == "NRestarts=1\n", "for the service to be started again")
        vm.monitor = poll(lambda: vm.is_listening() and Client(vm.socket_path), "for a new VM")
        vm.clients.append(vm.monitor)
        third = vm.get_vm()
        claim(third not in (first, second), f"it is {third}")
        return f"process {first} through 3 updates and a rollback, {second} after the rescue, {third} after its end"


if SYSTEMD is None:
    print("SKIP: systemd: missing")
    sys.exit(77)
for tool in ("unshare", "nsenter", "systemctl"):
    if shutil.which(tool) is None:
        print(f"SKIP: {tool}: missing")
        sys.exit(77)
probe = subprocess.run([*UNSHARE, "sh", "-c", "mount --make-rprivate / && mount -t tmpfs none /run"], capture_output=True, check=False)
if probe.returncode:
    print("SKIP: unshare --mount --pid:", probe.stderr.decode().strip())
    sys.exit(77)
main(updates_and_a_rescue_are_one_service_and_an_end_is_one)
