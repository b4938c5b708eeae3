#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: an update that fails before or in the execve leaves everything as it was: the guest runs on in the same
program, with the same fds and their flags and no process beside it; the error names what is wrong; the next update
works. Where the preflight would find it, that is left out; what it finds is in preflight.py."""
import os
import resource
import shlex

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main, write_script

BIG = "x" * 100 * 1024  # one of these is allowed, 15 of them only with a big stack
N_BIG = 15


def expect_failure(vm, words, **update):
    """A failed update: its error has all the words, nothing else has changed."""
    fds, threads, before = vm.process.fds_and_flags(), vm.process.threads(), vm.wait_for_ticks()
    answer = vm.try_update(**update)
    claim(answer.startswith("Error: ") and all(word in answer for word in words),
          f"the error should name {words}, the monitor answers {answer!r}")
    claim(not vm.process.children(), f"a process is left: {vm.process.children()}")
    claim(vm.process.fds_and_flags() == fds, f"fds were {fds} and are {vm.process.fds_and_flags()}")
    claim(vm.process.threads() == threads, f"threads were {threads} and are {vm.process.threads()}")
    migration = vm.migration()
    claim(migration.status == "failed" and all(word in migration.error for word in words), f"{migration}")
    claim(vm.version()[:2] == (1, vm.pid), f"{vm.version()}")
    claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")
    return answer[len("Error: "):].strip()


def expect_working_updates(vm):
    vm.update(BUILD_2)
    vm.update(BUILD_1)
    vm.wait_for_ticks(vm.guest().ticks)
    vm.settle()


def expect_failure_then_updates(accel, words, *options, **update):
    with MiniVmm(accel, "--ram", "64M", *options) as vm:
        inheritable = [fd for fd, (_, flags) in vm.process.fds_and_flags().items() if fd > 2 and int(flags, 8) &
                       os.O_CLOEXEC == 0]
        claim(not inheritable, f"fds {inheritable} aren't close-on-exec")
        error = expect_failure(vm, words, **update)
        expect_working_updates(vm)
        return error


def a_program_that_does_not_exist(accel):
    return expect_failure_then_updates(accel, ["/nonexistent/vmm", "No such file"], argv=["/nonexistent/vmm"])


def a_program_that_is_not_in_the_path(accel):
    return expect_failure_then_updates(accel, ["no-such-vmm", "PATH"], argv=["no-such-vmm"])


def a_directory(accel):
    return expect_failure_then_updates(accel, ["/usr", "directory"], argv=["/usr"])


def a_file_that_is_not_executable(accel):
    return expect_failure_then_updates(accel, ["/etc/passwd", "ermission denied"], argv=["/etc/passwd"])


def an_empty_name(accel):
    return expect_failure_then_updates(accel, ["name is empty"], argv=["", "--help"])


def with_script(accel, text, words, interpreter):
    with MiniVmm(accel, "--ram", "64M", "--no-preflight") as vm:
        script = os.path.join(vm.directory, "vmm")
        write_script(script, text, interpreter)
        if interpreter is None:
            with open(script, "w", encoding="utf-8") as file:
                file.write(text)
        error = expect_failure(vm, [script, *words], argv=[script])
        expect_working_updates(vm)
        return error


def a_file_that_no_kernel_can_execute(accel):
    return with_script(accel, "just text\n", ["execve", "Exec format error"], None)


def a_script_whose_interpreter_is_missing(accel):
    return with_script(accel, "", ["execve", "No such file"], "/nonexistent/sh")


def an_environment_that_is_too_big(accel):
    environment = dict(os.environ, **{f"BIG_{i}": BIG for i in range(N_BIG)})
    with MiniVmm(accel, "--ram", "64M", "--no-preflight", environment=environment) as vm:
        soft, hard = resource.prlimit(vm.pid, resource.RLIMIT_STACK)
        resource.prlimit(vm.pid, resource.RLIMIT_STACK, (4 << 20, hard))  # a quarter of it is the limit
        error = expect_failure(vm, [BUILD_2, "execve", "Argument list too long"])
        resource.prlimit(vm.pid, resource.RLIMIT_STACK, (soft, hard))
        expect_working_updates(vm)
        return error


def private_ram(accel):
    """The one that can't be followed by an update that works."""
    with MiniVmm(accel, "--ram", "64M", "--ram-backend", "private") as vm:
        expect_failure(vm, ["RAM block 'ram'", "private"])
        return expect_failure(vm, ["RAM block 'ram'", "private"])


def failures_in_a_row_leave_no_trace(accel):
    """And the next program finds LIBCPR_STATE once in its environment, and nothing else that is new."""
    n = 20
    with MiniVmm(accel, "--ram", "64M", "--vcpus", "2", "--guest", "memcheck", "--no-preflight") as vm:
        script, out = (os.path.join(vm.directory, name) for name in ("vmm", "environment"))
        write_script(script, f'cat /proc/$$/environ >{shlex.quote(out)}\nexec "$@"')
        before = vm.process.environment()
        mappings = None
        for _ in range(n):
            expect_failure(vm, ["execve"], argv=[with_bad_interpreter(vm)])
            mappings = mappings or len(vm.process.mappings())
        claim(len(vm.process.mappings()) == mappings, f"{mappings} mappings became {len(vm.process.mappings())}")
        vm.update(prefix=[script])
        with open(out, "rb") as file:
            after = [text.decode() for text in file.read().split(b"\0") if text]
        new = [text for text in after if text not in before]
        claim(len(new) == 1 and new[0].startswith("LIBCPR_STATE="), f"new in the environment: {new}")
        claim(set(before) <= set(after), "something is missing in the environment")
        expect_working_updates(vm)
        return f"{n} failures, {mappings} mappings after the first and the last; new in the environment: {new[0]}"


def with_bad_interpreter(vm):
    path = os.path.join(vm.directory, "bad")
    write_script(path, "", "/nonexistent/sh")
    return path


main(a_program_that_does_not_exist, a_program_that_is_not_in_the_path, a_directory, a_file_that_is_not_executable,
     an_empty_name, a_file_that_no_kernel_can_execute, a_script_whose_interpreter_is_missing,
     an_environment_that_is_too_big, private_ram, failures_in_a_row_leave_no_trace)
