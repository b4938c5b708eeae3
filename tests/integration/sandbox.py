# SPDX-License-Identifier: LGPL-2.1-or-later
"""A sandbox that takes one system call away, by a seccomp filter: for this process, what it executes and what it starts.

    sandbox.py CALL ACTION COMMAND…     ACTION: EPERM, ENOSYS, … or KILL"""
import ctypes
import errno
import os
import platform
import struct
import sys

# x86-64
NUMBERS = {
    "accept4": 288, "bind": 49, "capget": 125, "chdir": 80, "clock_gettime": 228, "clone": 56,
    "clone3": 435, "close": 3, "close_range": 436, "connect": 42, "dup3": 292, "eventfd2": 290, "execve": 59,
    "execveat": 322, "exit_group": 231, "faccessat": 269, "faccessat2": 439, "fallocate": 285, "fchmod": 91,
    "fcntl": 72, "flock": 73, "fstat": 5, "fsync": 74, "ftruncate": 77, "futex": 202, "getcwd": 79, "getdents64": 217,
    "getegid": 108, "geteuid": 107, "getitimer": 36, "getpgrp": 111, "getpid": 39, "getppid": 110, "getpriority": 140,
    "getrusage": 98, "getsid": 124, "getsockopt": 55, "gettid": 186, "ioctl": 16, "ioprio_get": 252, "ioprio_set": 251, "kcmp": 312,
    "kill": 62, "link": 86, "listen": 50, "lseek": 8, "madvise": 28, "memfd_create": 319, "mincore": 27,
    "mlock2": 325, "mmap": 9, "mprotect": 10, "munmap": 11, "nanosleep": 35, "newfstatat": 262, "openat": 257, "personality": 135, "pidfd_getfd": 438,
    "pidfd_open": 434, "pidfd_send_signal": 424, "pipe2": 293, "poll": 7, "ppoll": 271, "prctl": 157, "pread64": 17,
    "preadv": 295, "prlimit64": 302, "pwrite64": 18, "read": 0, "readlink": 89, "readlinkat": 267, "recvmsg": 47,
    "renameat2": 316, "rt_sigaction": 13, "rt_sigpending": 127, "rt_sigprocmask": 14, "rt_sigtimedwait": 128,
    "sched_getaffinity": 204, "sched_getparam": 143, "sched_getscheduler": 145, "sched_setaffinity": 203,
    "sched_setscheduler": 144, "sched_yield": 24, "sendmsg": 46, "setitimer": 38, "setpgid": 109, "setpriority": 141,
    "setsockopt": 54, "sigaltstack": 131, "socket": 41, "socketpair": 53, "sync_file_range": 277, "tgkill": 234, "timer_create": 222,
    "timer_delete": 226, "timer_settime": 223, "umask": 95, "unlink": 87, "utimensat": 280, "wait4": 61, "waitid": 247,
    "write": 1,
}

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
ALLOW, ERRNO, KILL_PROCESS = 0x7fff0000, 0x00050000, 0x80000000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ARCHITECTURE = 0xc000003e

libc = ctypes.CDLL(None, use_errno=True)


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def why_not():
    """Why there is no sandbox here, or None."""
    if platform.machine() != "x86_64":
        return f"the numbers of system calls on {platform.machine()} aren't known here"
    child = os.fork()
    if child == 0:
        try:
            deny("kcmp", "EPERM")
        except OSError:
            os._exit(1)
        os._exit(0)
    return "seccomp: a filter can't be installed" if os.waitpid(child, 0)[1] else None


def deny(call, action):
    """From now on, and for good."""
    verdict = KILL_PROCESS if action == "KILL" else ERRNO | getattr(errno, action)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in (
        (LOAD_WORD, 0, 0, 4), (JUMP_IF_EQUAL, 0, 3, ARCHITECTURE), (LOAD_WORD, 0, 0, 0),
        (JUMP_IF_EQUAL, 0, 1, NUMBERS[call]), (RETURN, 0, 0, verdict), (RETURN, 0, 0, ALLOW)))
    program = Program(len(code) // 8, code)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or \
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def execute(call, action, argv):
    """By the door that stays open."""
    program = os.open(argv[0], os.O_PATH | os.O_CLOEXEC) if call == "execve" else None
    deny(call, action)
    if program is not None:
        os.execve(program, argv, os.environ)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    execute(*sys.argv[1:3], sys.argv[3:])
