#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a minivmm that is started with a state which isn't one, or isn't its, refuses it with an error that says why.
It neither crashes nor runs a fresh guest, and it makes no monitor socket."""
import fcntl
import os
import subprocess
import tempfile

from minivmm import BUILD_1, BUILD_2, PATIENCE, Hold, MiniVmm, claim, get_pause, main, orphans

VARIABLE = "LIBCPR_STATE"
F_SEAL_FUTURE_WRITE = 0x10  # not in Python's fcntl
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL
MAGIC = b"\x89CPR\r\n\x1a\n"
RUBBISH = bytes(range(256)) * 20


def memfd(data, seals=SEALS):
    fd = os.memfd_create("libcpr-state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def start(accel, hint, fd):
    """Starts a minivmm that has to end by itself; (exit code, what it printed)."""
    environment = dict(os.environ)
    environment.pop(VARIABLE, None)
    if hint is not None:
        environment[VARIABLE] = str(hint)
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        socket_path = os.path.join(directory, "m")
        try:
            done = subprocess.run([BUILD_1, "--accel", accel, "--ram", "16M", "--monitor", socket_path],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  env=environment, pass_fds=() if fd is None else (fd,), timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            claim(False, f"it runs, with {VARIABLE}={hint}")
        claim(not os.path.exists(socket_path), "it made its monitor's socket")
    claim(not orphans(), f"left: {orphans()}")
    return done.returncode, done.stderr.decode(errors="replace")


def expect_refusal(accel, words, hint, fd=None):
    code, printed = start(accel, hint, fd)
    claim(code == 1, f"{VARIABLE}={hint}: the exit code is {code}; it printed {printed!r}")
    claim(printed.startswith("minivmm: ") and printed.count("\n") == 1 and all(w in printed for w in words),
          f"{VARIABLE}={hint}: the error should have {words}, it is {printed!r}")
    return printed.strip()


def a_hint_that_is_no_state(accel):
    hints = ["99", "abc", "0", "2", "-1", "", " 5", "5x", "99999999999999999999", "2147483647"]
    for hint in hints:
        said = expect_refusal(accel, [f"{VARIABLE}={hint} "], hint)
    return f"{len(hints)} hints; the last: {said}"


def a_hint_to_another_file(accel):
    with tempfile.TemporaryFile() as file:
        file.write(MAGIC + RUBBISH)
        file.flush()
        read_end, write_end = os.pipe()
        unsealed, half_sealed = memfd(MAGIC + RUBBISH, 0), memfd(MAGIC + RUBBISH, fcntl.F_SEAL_WRITE)
        empty, no_magic = memfd(b""), memfd(RUBBISH)
        fds = [file.fileno(), read_end, unsealed, half_sealed, empty, no_magic]
        for fd in fds:
            said = expect_refusal(accel, [f"{VARIABLE}={fd} "], fd, fd)
        for fd in fds[1:] + [write_end]:
            os.close(fd)
    return f"a file, a pipe, memfds not sealed, half sealed, empty, without the magic; the last: {said}"


def rubbish_behind_the_magic(accel):
    said = set()
    for data in (MAGIC, MAGIC + bytes(4096), MAGIC + b"\xff" * 4096, MAGIC + RUBBISH, MAGIC + b"\1\0\0\0" + RUBBISH):
        fd = memfd(data)
        said.add(expect_refusal(accel, [], fd, fd))
        said.add(expect_refusal(accel, [], None, fd))  # found without a hint, too
        os.close(fd)
    return "; ".join(sorted(said))


def take_real_state(accel):
    """The bytes of a real state; the VM goes on with the update afterwards."""
    with MiniVmm(accel, "--ram", "16M") as vm:
        vm.wait_for_ticks()
        hold = Hold(vm)
        vm.send_update(prefix=hold.prefix)
        hold.wait()
        fd = next(fd for fd, what in vm.process.fds().items() if "libcpr-state" in what)
        copy = vm.process.copy_fd(fd)
        data = os.pread(copy, 1 << 24, 0)
        os.close(copy)
        hold.release()
        get_pause(vm.monitor.receive())
    return data


def a_real_state_copied(accel):
    """The fds that it names aren't there, or are others."""
    fd = memfd(take_real_state(accel))
    said = [expect_refusal(accel, ["fd 'libcpr:baton'"], hint, fd) for hint in (fd, None)]
    os.close(fd)
    return said[0]


def a_real_state_cut_or_flipped(accel):
    data, n, said = take_real_state(accel), 30, set()
    for number in range(n):
        at = len(data) * number // n
        flipped = bytearray(data)
        flipped[at] ^= 1 << number % 8
        for bad in (bytes(flipped), data[:at]):
            if not bad.startswith(MAGIC):
                continue
            fd = memfd(bad)
            said.add(expect_refusal(accel, [], fd, fd).split(":")[-1])
            os.close(fd)
    return f"{n} flips and {n} cuts of {len(data)} bytes, {len(said)} different errors, as '{sorted(said)[0].strip()}'"


def start_with(accel, vm, copies, state):
    """Another process that has every fd of the VM's under the same number; what it says when it ends."""
    def place():
        high = {fd: fcntl.fcntl(copy, fcntl.F_DUPFD, 500) for fd, copy in copies.items()}
        for fd, copy in high.items():
            os.dup2(copy, fd, inheritable=True)

    done = subprocess.run([BUILD_2, *vm.options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env=dict(os.environ, **{VARIABLE: str(state)}), close_fds=False,
                          preexec_fn=place, timeout=PATIENCE, check=False)
    printed = done.stderr.decode(errors="replace")
    claim(done.returncode == 1, f"the exit code is {done.returncode}; it printed {printed!r}")
    return printed.strip()


def a_state_that_is_another_process_s(accel):
    """All that belongs to a real state is there, only the process is another one: while the owner hasn't taken it up
    yet, and when it has. The owner doesn't notice."""
    with MiniVmm(accel, "--ram", "16M") as vm:
        before = vm.wait_for_ticks()
        hold = Hold(vm)
        vm.send_update(prefix=hold.prefix)
        hold.wait()
        links = vm.process.fds()
        state = next(fd for fd, what in links.items() if "libcpr-state" in what)
        copies = {fd: vm.process.copy_fd(fd) for fd in links if fd > 2}
        try:
            early = start_with(accel, vm, copies, state)
            hold.release()
            get_pause(vm.monitor.receive())
            late = start_with(accel, vm, copies, state)
        finally:
            for copy in copies.values():
                os.close(copy)
        claim(f"meant for process {vm.pid}" in early, f"it printed {early!r}")
        claim(f"process {vm.pid} took it up before" in late, f"it printed {late!r}")
        after = vm.wait_for_ticks(before.ticks)
        return f"{early}; {late}; the guest went on from {before.ticks} to {after.ticks} ticks"


main(a_hint_that_is_no_state, a_hint_to_another_file, rubbish_behind_the_magic, a_real_state_copied,
     a_real_state_cut_or_flipped, a_state_that_is_another_process_s)
