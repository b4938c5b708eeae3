#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a guest that was saved in reboot mode goes on in another process, with its memory, its devices and its run state; once,
and only there. What can't be saved runs on; what can't be taken up is refused with the reason, and stays to be tried again."""
import contextlib
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
from shlex import quote

from minivmm import BUILD_1, BUILD_2, PATIENCE, Client, MiniVmm, claim, for_everybody, main, poll

MIB = 1 << 20
AREA = 2 * MIB
GUEST = ("--ram", "32M", "--vcpus", "2", "--guest", "memcheck", "--verify-ram")


class Skip(Exception):
    """What the machine lacks."""


@contextlib.contextmanager
def folder(where=None):
    path = tempfile.mkdtemp(prefix="cpr-reboot-", dir=where)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def quit_saved(vm):
    """The program that saved its guest ends when it is told to."""
    vm.monitor.send("quit")
    claim(vm.popen.wait(PATIENCE) == 0, f"it ended with {vm.popen.returncode}")
    vm.ended = True


def save(vm, uri, in_place=False):
    vm.monitor.command("migrate_set_parameter mode cpr-reboot")
    if in_place:
        vm.monitor.command("migrate_set_capability x-ignore-shared on")
    answer = vm.monitor.ask("migrate " + uri)
    claim(answer == "", f"saving says {answer!r}")


def expect_refusal(vm, uri, text, in_place=False):
    """The guest can't be saved there, and runs on."""
    before = vm.guest().ticks
    vm.monitor.command("migrate_set_parameter mode cpr-reboot")
    answer = vm.monitor.ask("migrate " + uri)
    claim(answer.startswith("Error: ") and re.search(text, answer), f"saving says {answer!r}, not {text!r}")
    claim(vm.status() == "running", f"the guest is {vm.status()}")
    guest = vm.wait_for_ticks(before)
    claim(guest.errors == 0, f"{guest}")


def expect_no_start(accel, *options, text, binary=BUILD_1, preexec=None):
    """It ends without running a guest, and says why."""
    with folder() as own:
        process = subprocess.run([binary, "--accel", accel, "--monitor", own + "/m", *options], stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=PATIENCE, preexec_fn=preexec)
    said = process.stderr.decode(errors="replace")
    claim(process.returncode > 0 and re.search(text, said), f"it ended with {process.returncode} and said {said!r}, not {text!r}")
    return said


def goes_on(vm, ticks):
    guest = vm.wait_for_ticks(ticks)
    claim(guest.errors == 0 and not guest.doubled, f"{guest}")
    return guest


def travel(accel, uri, incoming, *options, save_options=None, in_place=False, binary=BUILD_1, path=None):
    """Saves a guest and takes it up."""
    with MiniVmm(accel, *GUEST, *(options if save_options is None else save_options)) as vm:
        before = vm.wait_for_ticks()
        save(vm, uri, in_place)
        saved = vm.guest()
        claim(saved.errors == 0 and saved.ticks >= before.ticks, f"{before} and then {saved}")
        claim("not permitted in a session that is handed over" in vm.monitor.ask("cont"), "it can be let go again")
        claim(vm.guest() == saved, "it didn't stand still")
        quit_saved(vm)
    with MiniVmm(accel, *GUEST, *options, "--incoming", incoming, binary=binary) as vm:
        claim(vm.status() == "running", f"the guest is {vm.status()}")
        after = goes_on(vm, saved.ticks)
        if path is not None:
            poll(lambda: not os.path.exists(path + ".spent"), "for the spent state to go away")
            left = [name for name in os.listdir(os.path.dirname(path)) if name.startswith(os.path.basename(path))]
            claim(left == [], f"{left} are left")
        if "--incoming-map" not in options:
            vm.update(BUILD_2)  # RAM is handed on as ever
            goes_on(vm, after.ticks)
    return f"{saved.ticks} ticks, then {after.ticks}"


# ---- What works ----

def copied_ram_is_read_from_the_file(accel):
    with folder() as own:
        path = own + "/state"
        return travel(accel, "file:" + path, "file:" + path, path=path)


def copied_ram_is_mapped_from_the_file(accel):
    with folder() as own:
        path = own + "/state"
        seen = travel(accel, "file:" + path, "file:" + path, "--incoming-map", save_options=(), path=path)
    return seen


def a_guest_on_mapped_ram_is_saved_again(accel):
    with folder() as own:
        path = own + "/state"
        travel(accel, "file:" + path, "file:" + path, path=path)
        with MiniVmm(accel, *GUEST) as vm:
            ticks = vm.wait_for_ticks().ticks
            save(vm, "file:" + path)
            quit_saved(vm)
        for _ in range(3):
            with MiniVmm(accel, *GUEST, "--incoming", "file:" + path, "--incoming-map") as vm:
                ticks = goes_on(vm, ticks).ticks
                answer = vm.monitor.ask("migrate")
                claim("RAM block 'ram': it is mapped copy-on-write" in answer, f"exec mode says {answer!r}")
                save(vm, "file:" + path)
                ticks = vm.guest().ticks
                quit_saved(vm)
        return f"3 times, {ticks} ticks"


def another_build_takes_it_up(accel):
    with folder() as own:
        path = own + "/state"
        return travel(accel, "file:" + path, "file:" + path, binary=BUILD_2, path=path)


def private_ram_is_copied(accel):
    with folder() as own:
        path = own + "/state"
        with MiniVmm(accel, *GUEST, "--ram-backend", "private") as vm:
            ticks = vm.wait_for_ticks().ticks
            save(vm, "file:" + path)
            quit_saved(vm)
        with MiniVmm(accel, *GUEST, "--incoming", "file:" + path) as vm:  # and becomes a memfd
            ticks = goes_on(vm, ticks).ticks
            vm.update(BUILD_2)
            goes_on(vm, ticks)


def through_a_pipe(accel):
    with folder() as own:
        path = own + "/state"
        return travel(accel, f"exec:gzip -1 > {quote(path)}", f"exec:gzip -dc < {quote(path)}")


def what_came_through_a_pipe_is_read_from_a_file(accel):
    with folder() as own:
        path = own + "/state"
        return travel(accel, f"exec:cat > {quote(path)}; chmod 600 {quote(path)}", "file:" + path, path=path)


def in_place(accel, where):
    with folder(where) as own:
        path, ram = own + "/state", own + "/ram"
        seen = travel(accel, "file:" + path, "file:" + path, "--ram-backend", "file:" + ram, in_place=True, path=path)
        os.unlink(ram)
        with MiniVmm(accel, *GUEST, "--ram-backend", "file:" + ram) as vm:
            ticks = vm.wait_for_ticks().ticks
            save(vm, f"exec:cat > {quote(path)}; chmod 600 {quote(path)}", in_place=True)
            claim(os.path.getsize(path) < MIB, f"the state has {os.path.getsize(path)} bytes, its RAM is elsewhere")
            quit_saved(vm)
        with MiniVmm(accel, *GUEST, "--ram-backend", "file:" + ram, "--incoming", "exec:cat " + quote(path)) as vm:
            goes_on(vm, ticks)
        return seen


def ram_in_place_in_a_file(accel):
    return in_place(accel, None)


def ram_in_place_in_dev_shm(accel):
    return in_place(accel, "/dev/shm")


@contextlib.contextmanager
def hugetlbfs(pages):
    """A mounted one with free pages, put back afterwards."""
    knob = "/proc/sys/vm/nr_hugepages"
    with open(knob) as file:
        before = int(file.read())
    if os.geteuid() != 0:
        raise Skip("root, to mount hugetlbfs")
    try:
        with open(knob, "w") as file:
            file.write(str(before + pages))
        with open(knob) as file:
            if int(file.read()) < before + pages:
                raise Skip(f"{pages} free huge pages")
        with folder() as own:
            if subprocess.run(["mount", "-t", "hugetlbfs", "none", own], capture_output=True).returncode != 0:
                raise Skip("permission to mount hugetlbfs")
            try:
                yield own
            finally:
                subprocess.run(["umount", "-l", own], check=True)
    finally:
        with contextlib.suppress(OSError), open(knob, "w") as file:
            file.write(str(before))


def ram_in_place_on_hugetlbfs(accel):
    try:
        with hugetlbfs(40) as huge, folder() as own:
            path, ram = own + "/state", huge + "/ram"
            seen = travel(accel, "file:" + path, "file:" + path, "--ram-backend", "file:" + ram, in_place=True, path=path)
            os.unlink(ram)
            travel(accel, "file:" + path, "file:" + path, "--ram-backend", "hugetlb", path=path)  # and copied
            return seen
    except Skip as lack:
        return f"SKIP: {lack}"


RUN_STATES = ((["stop"], "paused", ["cont"]), (["system_suspend"], "paused (suspended)", ["system_wakeup"]),
              (["system_suspend", "stop"], "paused", ["cont", "system_wakeup"]))


def run_states_are_kept(accel):
    for there, status, back in RUN_STATES:
        with folder() as own:
            path = own + "/state"
            with MiniVmm(accel, *GUEST) as vm:
                vm.wait_for_ticks()
                for command in there:
                    vm.monitor.command(command)
                before = vm.guest()
                save(vm, "file:" + path)
                claim(vm.guest() == before, f"{before} became {vm.guest()}")
                quit_saved(vm)
            with MiniVmm(accel, *GUEST, "--incoming", "file:" + path) as vm:
                claim(vm.status() == status, f"the guest is {vm.status()}, not {status}")
                claim(vm.guest()[:4] == before[:4], f"{before} became {vm.guest()}")
                for command in back:
                    vm.monitor.command(command)
                goes_on(vm, before.ticks)


def progress_is_told_and_saving_can_be_cancelled(accel):
    with folder() as own, MiniVmm(accel, *GUEST) as vm:
        path = own + "/state"
        ticks = vm.wait_for_ticks().ticks
        watcher = vm.connect()
        vm.monitor.command("migrate_set_parameter mode cpr-reboot")
        os.mkfifo(own + "/go")
        vm.monitor.send(f"migrate exec:cat {quote(own)}/go > /dev/null; cat > /dev/null")  # reads nothing before it may
        poll(vm.process.children, "for the save to begin")  # until its end the main loop serves nobody
        watcher.send("migrate_cancel")
        with open(own + "/go", "w"):
            pass
        claim("it was cancelled" in vm.monitor.receive(), "it wasn't cancelled")
        watcher.receive()
        goes_on(vm, ticks)
        save(vm, "file:" + path)
        info = vm.monitor.info("migrate")
        claim(info["ram"] == f"{32 * MIB} of {32 * MIB} bytes" and info["mode"] == "cpr-reboot", f"{info}")
        quit_saved(vm)


# ---- What can't be saved ----

def a_failed_save_leaves_no_file_and_the_guest_running(accel):
    with folder() as own, MiniVmm(accel, *GUEST) as vm:
        vm.wait_for_ticks()
        there = own + "/there"
        with open(there, "w"):
            pass
        before = vm.process.fd_kinds()
        expect_refusal(vm, "file:" + there, f"state: there is a file '{there}'")
        os.rename(there, own + "/x.taken")
        expect_refusal(vm, f"file:{own}/x", "x.taken'")
        os.unlink(own + "/x.taken")
        expect_refusal(vm, f"file:{own}/no/state", "No such file or directory")
        expect_refusal(vm, "", "uri '': file:PATH or fd:NUMBER expected")
        expect_refusal(vm, "tcp:0:1", "uri 'tcp:0:1'")
        expect_refusal(vm, "exec:exit 3", "Broken pipe|status 3")
        expect_refusal(vm, "exec:cat > /dev/null; exit 3", "status 3")
        expect_refusal(vm, "exec:head -c 100000 > /dev/null; kill -9 $$", "Broken pipe|signal 9")
        claim(os.listdir(own) == [], f"{os.listdir(own)} are left")
        claim(vm.process.fd_kinds() == before, f"fds: {before} became {vm.process.fd_kinds()}")
        save(vm, f"file:{own}/state")
        claim(os.listdir(own) == ["state"], f"{os.listdir(own)} are there")
        claim(os.stat(own + "/state").st_mode & 0o777 == 0o600, "others can read it")
        quit_saved(vm)


def a_full_disk_is_an_error(accel):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * MIB, 64 * MIB))

    with folder() as own, MiniVmm(accel, "--ram", "256M", "--guest", "memcheck", "--ram-backend", "private", preexec=limit) as vm:
        vm.wait_for_ticks()
        expect_refusal(vm, f"file:{own}/state", "File too large")
        claim(os.listdir(own) == [], f"{os.listdir(own)} are left")
    if os.geteuid() != 0:
        return "RLIMIT_FSIZE only: a small file system needs root"
    with folder() as own:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", own], capture_output=True).returncode != 0:
            return "RLIMIT_FSIZE only: can't mount"
        try:
            with MiniVmm(accel, *GUEST) as vm:
                vm.wait_for_ticks()
                poll(lambda: vm.guest().ticks > 0, "for the guest")
                expect_refusal(vm, f"file:{own}/state", "No space left on device")
                expect_refusal(vm, f"exec:cat > {quote(own)}/state", "Broken pipe|status 1")
                claim([n for n in os.listdir(own) if n != "state"] == [], f"{os.listdir(own)} are left")
        finally:
            subprocess.run(["umount", "-l", own], check=True)


# ---- What can't be taken up ----

@contextlib.contextmanager
def saved(accel, *options, in_place=False):
    """A state in a file, and how far the guest was."""
    with folder() as own:
        path = own + "/state"
        with MiniVmm(accel, *GUEST, *options) as vm:
            vm.wait_for_ticks()
            save(vm, "file:" + path, in_place)
            ticks = vm.guest().ticks
            quit_saved(vm)
        yield path, ticks


def chunks(path):
    """offset, type and length of each chunk of the stream at a file's begin, and its end"""
    found, at = [], 32
    with open(path, "rb") as file:
        while True:
            file.seek(at)
            kind, _, length = struct.unpack("<IIQ", file.read(16))
            found.append((at, kind, length))
            at += 16 + (length + 7) // 8 * 8 + 8
            if kind == 0:
                return found, at


@contextlib.contextmanager
def flipped(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
        file.flush()
        yield
        file.seek(offset)
        file.write(bytes([byte]))


def still_good(accel, path, ticks, *options):
    with MiniVmm(accel, *GUEST, *options, "--incoming", "file:" + path) as vm:
        goes_on(vm, ticks)


def damage_is_found_wherever_it_is(accel):
    with saved(accel) as (path, ticks):
        found, end = chunks(path)
        places = [0, 9, 20, 30]
        for at, kind, length in found:
            places += [at, at + 8, at + 16 + length // 2, at + 16 + (length + 7) // 8 * 8]
        for place in places:
            with flipped(path, place):
                expect_no_start(accel, *GUEST, "--incoming", "file:" + path, text="state: ")
            claim(os.listdir(os.path.dirname(path)) == ["state"], f"{os.listdir(os.path.dirname(path))}")
        with open(path, "rb") as file:
            base = (end + AREA - 1) // AREA * AREA
            data = os.lseek(file.fileno(), base, os.SEEK_DATA)
        with flipped(path, data):
            expect_no_start(accel, *GUEST, "--incoming", "file:" + path,
                            text="RAM block 'ram': the checksum of its contents at offset")
        still_good(accel, path, ticks)
        return f"{len(places) + 1} places"


def a_state_that_is_cut_off_or_longer_is_refused(accel):
    with saved(accel) as (path, ticks):
        found, end = chunks(path)
        size = os.path.getsize(path)
        lengths = [0, 7, 31, 40] + [at for at, _, _ in found] + [found[-1][0] + 20, end, end + 1, AREA, size - 4096, size - 1, size + 1]
        for length in lengths:
            shutil.copy(path, path + "2")
            os.truncate(path + "2", length)
            expect_no_start(accel, *GUEST, "--incoming", f"file:{path}2", text=r"state.*(cut off|begin|bytes expected|reading)")
            os.unlink(path + "2")
        still_good(accel, path, ticks)
        return f"{len(lengths)} lengths"


def a_pipe_that_is_cut_off_or_damaged_is_refused(accel):
    with folder() as own:
        path = own + "/state"
        with MiniVmm(accel, *GUEST) as vm:
            ticks = vm.wait_for_ticks().ticks
            save(vm, "exec:cat > " + quote(path))
            quit_saved(vm)
        size, end = os.path.getsize(path), chunks(path)[1]
        for length in (0, 20, 100, end - 4, end, end + 10, end + 100, (end + size) // 2, size - 20, size - 1):
            expect_no_start(accel, *GUEST, "--incoming", f"exec:head -c {length} {quote(path)}", text="cut off|begin")
        expect_no_start(accel, *GUEST, "--incoming", f"exec:cat {quote(path)}; echo", text="state: bytes follow its end")
        for place in (end + 3, end + 40, end + 100, (end + size) // 2, size - 10):
            with flipped(path, place):
                expect_no_start(accel, *GUEST, "--incoming", f"exec:cat {quote(path)}", text="RAM: ")
        with MiniVmm(accel, *GUEST, "--incoming", f"exec:cat {quote(path)}") as vm:
            goes_on(vm, ticks)


def a_state_is_used_once(accel):
    with saved(accel) as (path, ticks):
        shutil.copy(path, path + "2")
        still_good(accel, path, ticks)
        expect_no_start(accel, *GUEST, "--incoming", "file:" + path, text="state .*: No such file or directory")


def connect(path):
    try:
        return Client(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return None


def of_many_processes_at_the_same_time_one_takes_it_up(accel):
    with saved(accel) as (path, ticks):
        folders = [tempfile.mkdtemp(prefix="cpr-") for _ in range(6)]
        processes = [subprocess.Popen([BUILD_1, "--accel", accel, "--monitor", own + "/m", *GUEST, "--incoming", "file:" + path],
                                      stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) for own in folders]
        try:
            poll(lambda: sum(p.poll() is not None for p in processes) == len(processes) - 1, "for all but one to end")
            owners = [p for p in processes if p.poll() is None]
            for process in processes:
                if process is not owners[0]:
                    said = process.stderr.read().decode()
                    claim(process.returncode > 0 and re.search("another process is taking it up|No such file", said), f"{said!r}")
            client = poll(lambda: connect(folders[processes.index(owners[0])] + "/m"), "for its monitor")
            client.send("quit")
            claim(owners[0].wait(PATIENCE) == 0, f"the owner ended with {owners[0].returncode}")
            client.close()
        finally:
            for process in processes:
                process.kill()
                process.wait()
                process.stderr.close()
            for own in folders:
                shutil.rmtree(own)


def a_start_that_fails_can_be_tried_again(accel):
    with saved(accel) as (path, ticks):
        for step in ("new", "ram", "fds", "devices", "load", "start"):
            expect_no_start(accel, *GUEST, "--incoming", "file:" + path, "--fail-at", step, text=step)
            claim(os.listdir(os.path.dirname(path)) == ["state"], f"after {step}: {os.listdir(os.path.dirname(path))}")
        for way in ("kill", "segv", "exit"):
            with folder() as own:
                process = subprocess.run([BUILD_1, "--accel", accel, "--monitor", own + "/m", *GUEST, "--incoming", "file:" + path,
                                          "--fail-at", "load", "--fail-by", way], capture_output=True, timeout=PATIENCE)
            claim(process.returncode != 0, f"{way}: {process.returncode}")
            claim(os.listdir(os.path.dirname(path)) == ["state.taken"], f"after {way}: {os.listdir(os.path.dirname(path))}")
        expect_no_start(accel, *GUEST, "--name", "other", "--incoming", "file:" + path, text="it is of VM 'minivmm'")
        still_good(accel, path, ticks)


def it_is_of_another_vm_size_or_user(accel):
    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    with saved(accel) as (path, ticks):
        incoming = ("--incoming", "file:" + path)
        expect_no_start(accel, *GUEST, "--name", "other", *incoming, text="state: it is of VM 'minivmm', this is VM 'other'")
        expect_no_start(accel, *GUEST, "--ram", "64M", *incoming, text="RAM block 'ram': size is 33554432 in the state, 67108864 here")
        expect_no_start(accel, *GUEST, "--device", "watchdog", *incoming, binary=BUILD_2, text="watchdog")
        os.chmod(path, 0o620)
        expect_no_start(accel, *GUEST, *incoming, text="others may write it")
        os.chmod(path, 0o600)
        link = path + ".link"
        os.symlink(path, link)
        expect_no_start(accel, *GUEST, "--incoming", "file:" + link, text="it is a symbolic link, to ")
        os.unlink(link)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
            expect_no_start(accel, *GUEST, *incoming, text="it belongs to user 65534, this is user 0")
            if accel == "soft":
                with for_everybody() as (directory, binary, environment):
                    theirs = shutil.copy(path, directory)
                    os.chown(theirs, 65534, 65534)
                    process = subprocess.run([binary, "--accel", accel, *GUEST, "--incoming", "file:" + theirs], capture_output=True,
                                             timeout=PATIENCE, preexec_fn=become_nobody, env=environment, cwd="/")
                claim(b"state: user 0 saved it, this is user 65534" in process.stderr, f"{process.stderr!r}")
            os.chown(path, 0, 0)
        claim(sorted(os.listdir(os.path.dirname(path))) == ["state"], f"{os.listdir(os.path.dirname(path))}")
        still_good(accel, path, ticks)


def a_ram_file_that_went_on_living_is_refused(accel):
    for where in (None, "/dev/shm"):
        with folder(where) as own:
            ram = own + "/ram"
            backend = ("--ram-backend", "file:" + ram)
            with saved(accel, *backend, in_place=True) as (path, ticks):
                incoming = ("--incoming", "file:" + path)
                expect_no_start(accel, *GUEST, *incoming, text="RAM block 'ram': its contents are in a file, which isn't named here")
                expect_no_start(accel, *GUEST, "--ram-backend", f"file:{own}/other", *incoming, text="No such file")
                shutil.copy2(ram, own + "/copy")
                expect_no_start(accel, *GUEST, "--ram-backend", f"file:{own}/copy", *incoming, text="is another file than")
                times = os.stat(ram)
                os.truncate(ram, times.st_size + 4096)
                expect_no_start(accel, *GUEST, *backend, *incoming, text="had 33554432 bytes when the state was saved, has 33558528")
                os.truncate(ram, times.st_size)
                expect_no_start(accel, *GUEST, *backend, *incoming, text="was used or changed after the state was saved")
                os.utime(ram, ns=(times.st_atime_ns, times.st_mtime_ns))
                still_good(accel, path, ticks, *backend)
            os.unlink(ram)
            with saved(accel, *backend, in_place=True) as (path, ticks):
                with MiniVmm(accel, *GUEST, *backend):  # another guest on the same file
                    pass
                expect_no_start(accel, *GUEST, *backend, "--incoming", "file:" + path,
                                text="was used or changed after the state was saved")


if __name__ == "__main__":
    main(copied_ram_is_read_from_the_file, copied_ram_is_mapped_from_the_file, a_guest_on_mapped_ram_is_saved_again,
         another_build_takes_it_up, private_ram_is_copied, through_a_pipe, what_came_through_a_pipe_is_read_from_a_file,
         ram_in_place_in_a_file, ram_in_place_in_dev_shm, ram_in_place_on_hugetlbfs, run_states_are_kept,
         progress_is_told_and_saving_can_be_cancelled, a_failed_save_leaves_no_file_and_the_guest_running,
         a_full_disk_is_an_error, damage_is_found_wherever_it_is, a_state_that_is_cut_off_or_longer_is_refused,
         a_pipe_that_is_cut_off_or_damaged_is_refused, a_state_is_used_once, of_many_processes_at_the_same_time_one_takes_it_up,
         a_start_that_fails_can_be_tried_again, it_is_of_another_vm_size_or_user, a_ram_file_that_went_on_living_is_refused)
