#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: whichever system call of the library fails in an update, with whatever errno, in the old program, in the new one or on
the way back, exactly one program has the guest afterwards, memory and ticks go on, nothing is left over, and the next
update works.

By default one errno for each kind of call, with the software CPU; CPR_TEST_FAULTS=all: all of them, with both."""
import collections
import os
from errno import *  # pylint: disable=wildcard-import,unused-wildcard-import

from minivmm import claim, main
from faultvmm import ALL, Fault, FaultVmm, VERBOSE, choose, common


# What each call may fail with; the first is the usual one.
ERRNOS = {
    "memfd_create": [EMFILE, ENOMEM, ENFILE], "ftruncate": [ENOSPC, ENOMEM, EFBIG], "fallocate": [ENOSPC],
    "read": [EIO], "write": [ENOSPC, EIO, EINTR], "pread": [EIO, EINTR], "preadv": [EIO, ENOMEM, EINTR],
    "open": [EMFILE, ENFILE, ENOMEM, EACCES], "close": [EIO, EINTR], "close_range": [ENOMEM, EMFILE],
    "dup3": [EBUSY, EMFILE], "stat": [ENOENT, EACCES, ENOMEM], "fstat": [EIO, EBADF], "faccessat": [EACCES, ETXTBSY],
    "chdir": [ENOENT, EACCES], "getdents64": [ENOMEM, EIO], "getsockopt": [ENOBUFS, EBADF], "poll": [ENOMEM, EINTR],
    "pipe2": [EMFILE, ENFILE], "posix_spawn": [EAGAIN, ENOMEM, EACCES],
    "fcntl": [EBADF], "F_GETFD": [EBADF], "F_SETFD": [EBADF], "F_GETFL": [EBADF], "F_DUPFD_CLOEXEC": [EMFILE, EBADF],
    "F_ADD_SEALS": [EBUSY, EPERM], "F_GET_SEALS": [EBADF, EINVAL], "mmap": [ENOMEM, EAGAIN], "mprotect": [ENOMEM], "madvise": [ENOMEM, EINVAL, EAGAIN],
    "mincore": [ENOMEM, EAGAIN], "mlock2": [ENOMEM, EPERM], "eventfd": [EMFILE, ENOMEM], "pidfd_open": [EMFILE, ENOMEM, ENOSYS],
    "pidfd_getfd": [EMFILE, EPERM], "kcmp_file": [EPERM, ENOSYS], "clone": [EAGAIN, ENOMEM, EPERM], "thread": [EAGAIN],
    "execve": [ENOMEM, ENOENT, EACCES, ETXTBSY, E2BIG, ELOOP, EIO], "execveat": [ENOMEM, EACCES, ENOENT, ENOSYS],
    "waitid": [EINTR], "sched_setscheduler": [EPERM], "pwrite": [ENOSPC, EIO, EINTR], "lseek": [EINVAL], "futimens": [EPERM],
    "fsync": [EIO, ENOSPC], "sync_file_range": [EIO], "flock": [ENOLCK, EWOULDBLOCK], "rename_new": [EIO, EACCES, ENOSPC],
    "link": [ENOSPC, EEXIST, EPERM], "unlink": [EIO, EACCES], "fchmod": [EPERM], "readlink": [EACCES],
    "socket": [EMFILE, ENOMEM], "socketpair": [EMFILE, ENOMEM], "bind": [EADDRINUSE, EACCES], "listen": [EADDRINUSE], "setsockopt": [ENOMEM],
    "accept4": [EMFILE, ECONNABORTED, EINTR], "connect": [ECONNREFUSED, EAGAIN], "sendmsg": [EPIPE, ENOBUFS, EINTR, ETOOMANYREFS],
    "recvmsg": [ECONNRESET, EINTR, ENOMEM], "pidfd_send_signal": [EPERM, ESRCH],
    "getrlimit": [EPERM], "setrlimit": [EPERM], "setitimer": [EINVAL], "KVM": [ENOMEM, EINVAL, EIO],
    # These can't fail: the program may do to itself and its children what it likes.
    "kill": [], "munmap": [], "getitimer": [],
}
SHORT = ("write", "pread", "preadv", "pwrite")  # may also do less than they were told to
# An update doesn't fail because of these.
HARMLESS = {("kcmp_file", EPERM), ("kcmp_file", ENOSYS), ("write", EINTR), ("pread", EINTR), ("preadv", EINTR), ("waitid", EINTR),
            ("sched_setscheduler", EPERM), ("thread", EAGAIN), ("close", EIO), ("close", EINTR), ("pwrite", EINTR),
            ("sync_file_range", EIO), ("accept4", EINTR), ("accept4", ECONNABORTED), ("sendmsg", EINTR), ("sendmsg", ETOOMANYREFS),
            ("recvmsg", EINTR)}

PLAIN, BACK, RESCUE = [], ["--fail-at", "devices", "--fail-by", "error"], ["--fail-at", "load", "--fail-by", "kill"]


def faults_of(side, calls, first=0, every=ALL):
    for at, call in choose(calls, first, every):
        errnos = ERRNOS[call]
        for errnum in errnos if ALL else errnos[:1]:
            yield Fault(side, at, call, "fail", errnum)
        if call in SHORT and ALL:
            yield Fault(side, at, call, "short", 0)


def allowed(fault, call, ends):
    """Where a fd has got another number than in the run that counted, a call more or less may be needed: `call` is which it was."""
    harmless = call == fault.call and (fault.action == "short" or (fault.call, fault.argument) in HARMLESS)
    return ends[:1] if harmless else ends


def try_all(vm, side, options, ends, first=0, varies=False):
    """Each call of a side; `ends`: how the update may end, first of all as it does without a fault. `varies`: how many calls there are
    depends on who is faster, or on what is free."""
    seen, faults = collections.Counter(), list(faults_of(side, vm.calls[side], first))
    for fault in faults:
        try:
            end = vm.go(fault, options, exact=varies)
            if varies and end is None:
                seen["without that call"] += 1
                continue
            claim(end, "there was no such call")
            claim(end in allowed(fault, vm.hit_call, ends), f"{end}: {vm.answer}")
            if vm.hit_call == "chdir":
                vm.moves_to("/")  # what is left to a program whose directory is gone
            vm.check()
        except Exception:
            print(f"at {fault}", flush=True)
            raise
        seen[end] += 1
        if VERBOSE:
            print(f"{fault}: {end}", flush=True)
    counts = ", ".join(f"{end} {n}" for end, n in seen.most_common())
    return f"{side}: {len(vm.calls[side]) - first} calls, {len(faults)} faults: {counts}"


def makes_vm(accel):
    """cpr_kvm_create_vm() takes numbers of fds until it has the one that it wants, and how many are free before that varies."""
    return accel == "kvm"


def machine(accel):
    return FaultVmm(accel, "--serial", "file:" + os.devnull)


def no_call_of_an_update_loses_the_guest(accel):
    with machine(accel) as vm:
        vm.begin().count()
        return "; ".join([try_all(vm, "old", PLAIN, ["completed", "failed"]),
                          try_all(vm, "new", PLAIN, ["completed", "rolled-back", "rescued"], varies=makes_vm(accel)),
                          try_all(vm, "finish", PLAIN, ["completed"], varies=True)])


def no_call_of_a_rollback_loses_the_guest(accel):
    with machine(accel) as vm:
        plain = vm.begin().count()["new"]
        there = vm.count(BACK)["new"]
        return "; ".join([try_all(vm, "new", BACK, ["rolled-back", "rescued"], common(plain, there), varies=makes_vm(accel)),
                          try_all(vm, "back", BACK, ["rolled-back", "rescued"], varies=makes_vm(accel)),
                          try_all(vm, "finish", BACK, ["rolled-back"], varies=True)])


def no_call_of_a_rescue_loses_the_guest(accel):
    with machine(accel) as vm:
        vm.begin().count(RESCUE)
        return "; ".join([try_all(vm, "back", RESCUE, ["rescued"], varies=makes_vm(accel)), try_all(vm, "finish", RESCUE, ["rescued"], varies=True)])


def no_call_of_a_preflight_concerns_the_guest(accel):
    """Of the program that asks, and of the two that it starts to ask them."""
    with FaultVmm(accel, "--serial", "file:" + os.devnull, preflight=True) as vm:
        vm.begin().count()
        return "; ".join(try_all(vm, side, PLAIN, ["completed", "failed"], varies=True) for side in ("old", "asked", "asked-old"))


if __name__ == "__main__":
    main(no_call_of_a_preflight_concerns_the_guest, no_call_of_an_update_loses_the_guest, no_call_of_a_rollback_loses_the_guest, no_call_of_a_rescue_loses_the_guest)
