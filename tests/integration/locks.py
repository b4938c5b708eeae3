#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a lock goes along with the fd table and nowhere else: what is in the table stays open and locked, what isn't
is closed and unlocked before the new program begins, and the old program's guardian keeps nothing."""
import fcntl
import os
import struct
import subprocess
import tempfile

from minivmm import BUILD_1, BUILD_2, PATIENCE, Hold, MiniVmm, Process, claim, get_pause, main, poll, started


def is_locked(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def find(process, path):
    return [fd for fd, what in process.fds().items() if what == path]


def a_locked_file_of_the_fd_table_stays_locked(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        path = os.path.realpath(os.path.join(directory, "serial"))
        with MiniVmm(accel, "--ram", "64M", "--serial", f"file:{path}") as vm:
            vm.wait_for_ticks()
            inode, fds = os.stat(path).st_ino, find(vm.process, path)
            claim(len(fds) == 1, f"{path} is open as {fds}")
            copy = vm.process.copy_fd(fds[0])  # the same open file, so it is minivmm that has the lock afterwards
            fcntl.flock(copy, fcntl.LOCK_EX)
            os.close(copy)
            for binary in (BUILD_2, BUILD_1):
                claim(is_locked(path), "not locked before the update")
                hold = Hold(vm)
                vm.send_update(binary, prefix=hold.prefix)
                hold.wait()
                claim(is_locked(path), "not locked during the update")
                hold.release()
                get_pause(vm.monitor.receive())
                vm.settle()
                now = find(vm.process, path)
                claim(len(now) == 1 and os.stat(f"{vm.process.proc}/fd/{now[0]}").st_ino == inode, f"open as {now}")
                claim(is_locked(path), "not locked after the update")
            vm.try_update(options=["--fail-at", "devices"])  # which closes the serial port's fd on its way
            vm.settle()
            claim(is_locked(path), "not locked after a rollback")
            vm.update()
            vm.quit()
            claim(not is_locked(path), "still locked when the VM has ended")
            return f"locked over 3 updates and a rollback, fd {fds[0]} then {now[0]}, inode {inode}"


def a_lock_outside_of_the_fd_table_is_gone_before_the_new_program_begins(accel):
    with tempfile.NamedTemporaryFile(prefix="cpr-") as file:
        fd = os.open(file.name, os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            vm = MiniVmm(accel, "--ram", "64M", pass_fds=(fd,))
        finally:
            os.close(fd)
        with vm:
            vm.wait_for_ticks()
            claim(is_locked(file.name), "not locked at the start")
            hold = Hold(vm)
            vm.send_update(prefix=hold.prefix)
            hold.wait()
            guardians = [child for child in vm.process.children() if child.comm == "cpr-guardian"]
            claim(len(guardians) == 1, f"the children are {vm.process.children()}")
            claim(not is_locked(file.name), "still locked while the update is held")
            hold.release()
            get_pause(vm.monitor.receive())
            return "locked before, free while the update is held with its guardian there"


def is_locked_anew(path):
    """By an open file of its own, as F_OFD_SETLK does."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        return struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_OFD_GETLK, whole))[0] != fcntl.F_UNLCK
    finally:
        os.close(fd)


def expect_both(path, when):
    claim(is_locked(path), f"flock: not locked {when}")
    claim(is_locked_anew(path), f"F_OFD_SETLK: not locked {when}")


def transfer(vm, *options, binary=BUILD_2):
    """What the monitor answers; `options`: of the new program, which is the VM afterwards if it is to be."""
    path = os.path.join(vm.directory, "successor")
    new = subprocess.Popen([binary, *vm.options, "--incoming", "unix:" + path, *options], stdin=subprocess.DEVNULL)
    started.add(new.pid)
    poll(lambda: os.path.exists(path) or new.poll() is not None, "for the new program to listen")
    vm.monitor.command("migrate_set_parameter mode cpr-transfer")
    answer = vm.monitor.ask("migrate unix:" + path)
    if answer.startswith("Error: "):
        claim(new.wait(PATIENCE) != 0, "the new program ended as if all were well")
    else:
        claim(vm.popen.wait(PATIENCE) == 0, f"the old program ended with {vm.popen.returncode}")
        vm.popen, vm.pid, vm.process = new, new.pid, Process(new.pid)
    return answer


def a_locked_disk_goes_along_in_a_transfer(accel):
    """One lock is on the fd that goes along; the other one each program takes for itself, when the old one has given it up."""
    with tempfile.NamedTemporaryFile(prefix="cpr-disk-") as disk:
        with MiniVmm(accel, "--ram", "64M", "--disk", disk.name) as vm:
            before = vm.wait_for_ticks()
            expect_both(disk.name, "at the start")
            for number in range(4):
                get_pause(transfer(vm, binary=BUILD_1 if number % 2 else BUILD_2))
                before = vm.wait_for_ticks(before.ticks)
                expect_both(disk.name, f"after transfer {number}")
                for at in ("fds", "load", "start"):
                    answer = transfer(vm, "--fail-at", at)
                    claim("start-up fails at" in answer, answer)
                    before = vm.wait_for_ticks(before.ticks)
                    expect_both(disk.name, f"after a transfer that failed at {at}")
            vm.monitor.command("stop")
            get_pause(transfer(vm))
            expect_both(disk.name, "after a transfer of a paused guest")
            vm.monitor.command("cont")
            vm.wait_for_ticks(before.ticks)
            expect_both(disk.name, "after it went on")
            vm.monitor.command("migrate_set_parameter mode cpr-exec")
            vm.update()
            vm.settle()
            expect_both(disk.name, "after an exec")
            refused = subprocess.run([BUILD_1, "--accel", accel, "--disk", disk.name], stdin=subprocess.DEVNULL,
                                     capture_output=True, timeout=PATIENCE)
            claim(refused.returncode == 1 and b"flock" in refused.stderr, f"another VM gets it: {refused}")
        claim(not is_locked(disk.name) and not is_locked_anew(disk.name), "still locked when the VM has ended")
        return "both locks over 5 transfers, 12 that failed and an exec"


def a_failed_update_leaves_other_locks_alone(accel):
    with tempfile.NamedTemporaryFile(prefix="cpr-") as file:
        fd = os.open(file.name, os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            vm = MiniVmm(accel, "--ram", "64M", "--no-preflight", pass_fds=(fd,))
        finally:
            os.close(fd)
        with vm:
            before = vm.process.fds_and_flags()
            claim("Error" in vm.try_update(argv=["/nonexistent"]), "no error")
            bad = os.path.join(vm.directory, "bad")
            with open(bad, "w", encoding="utf-8") as script:
                script.write("no program\n")
            os.chmod(bad, 0o755)
            claim("execve" in vm.try_update(argv=[bad]), "no error of execve")
            claim(is_locked(file.name), "not locked any more")
            claim(vm.process.fds_and_flags() == before, f"{before} became {vm.process.fds_and_flags()}")
            return f"locked and inheritable as before, {before[fd]}"


main(a_locked_file_of_the_fd_table_stays_locked, a_lock_outside_of_the_fd_table_is_gone_before_the_new_program_begins,
     a_locked_disk_goes_along_in_a_transfer, a_failed_update_leaves_other_locks_alone)
