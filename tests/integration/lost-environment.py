#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: whatever stands between the old program and the new one, there is never a second, fresh guest beside the
state. A new program that lost its environment takes the state up all the same; one that isn't the process that the
update was meant for refuses it, and the guest goes on in the old program, executed by the guardian."""
import os
import re
import sys

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main, orphans, poll, write_script

CLOSE_THE_STATE = "import os, sys; os.close(int(os.environ['LIBCPR_STATE'])); os.execv(sys.argv[1], sys.argv[1:])"
CLOSE_EVERYTHING = "import os, sys; os.closerange(3, 1024); os.execve(sys.argv[1], sys.argv[1:], {})"


def expect_update(accel, make_prefix):
    """The update works through the prefix, and so does the next one."""
    with MiniVmm(accel, "--ram", "64M", "--guest", "memcheck", "--serial", "null") as vm:
        before = vm.wait_for_ticks()
        prefix = make_prefix(vm)
        pauses = [vm.update(BUILD_2, prefix=prefix)]
        claim(vm.version()[:2] == (2, vm.pid), f"{vm.version()}")
        after = vm.wait_for_ticks(before.ticks)
        pauses.append(vm.update(BUILD_1, prefix=prefix))
        after = vm.wait_for_ticks(after.ticks)
        claim(after.errors == 0, "memory errors")
        return f"2 updates, pause {pauses} us, ticks {before.ticks} to {after.ticks}"


def the_environment_emptied(accel):
    return expect_update(accel, lambda vm: ["env", "-i"])


def a_variable_added(accel):
    return expect_update(accel, lambda vm: ["env", "X=1"])


def a_shell_that_executes(accel):
    return expect_update(accel, lambda vm: ["sh", "-c", 'exec "$@"', "sh"])


def a_script_that_executes(accel):
    def make(vm):
        script = os.path.join(vm.directory, "wrapper")
        write_script(script, 'cd /\numask 077\nX=$(echo a child of the wrapper)\nexec "$@"')
        return [script]
    return expect_update(accel, make)


def a_script_that_empties_the_environment(accel):
    return expect_update(accel, lambda vm: ["env", "-i", "/bin/sh", "-c", 'exec "$@"', "sh"])


def expect_rescue(accel, reason, words="", argv=None, prefix=()):
    """The guest goes on in the old program, and nowhere else: nobody but it listens or holds the state, and what came of the
    command has ended. A preflight would refuse all of these."""
    with MiniVmm(accel, "--ram", "64M", "--guest", "memcheck", "--no-preflight", "--deadline", "2000") as vm:
        former, before = vm.pid, vm.wait_for_ticks()
        answer = vm.try_update(argv=argv, prefix=prefix)
        claim(answer.startswith("Migration status: rescued") and reason in answer, f"the monitor answers {answer!r}")
        vm.follow()
        claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")
        poll(lambda: all(process.pid == vm.pid for process in orphans()), f"something is left besides {vm.pid}")
        match = re.search(words.replace("PID", str(former)), vm.messages())
        claim(match, f"it should say '{words}'")
        vm.update(BUILD_2)
        return f"{former} became {vm.pid}; {answer.splitlines()[1]}; said: {match[0] or 'nothing'}"


MEANT = r"it is meant for process PID, this is process \d+"


def a_shell_that_forks(accel):
    return expect_rescue(accel, "exited with status 0", MEANT, prefix=["sh", "-c", '"$@"; true', "sh"])


def a_shell_that_forks_without_environment(accel):
    return expect_rescue(accel, "exited with status 0", MEANT, prefix=["env", "-i", "/bin/sh", "-c", '"$@"; true', "sh"])


def setsid_that_forks(accel):
    return expect_rescue(accel, "exited with status 0", prefix=["setsid", "--fork"])


def a_wrapper_that_forks_and_waits(accel):
    return expect_rescue(accel, "the new program", MEANT, prefix=["timeout", "60"])


def two_at_once(accel):
    return expect_rescue(accel, "exited with status 0", MEANT, prefix=["sh", "-c", '"$@" & "$@"; true', "sh"])


def a_program_that_takes_its_time(accel):
    return expect_rescue(accel, "exited with status 0", argv=["sleep", "0.3"])


def a_new_program_that_rejects_its_options(accel):
    return expect_rescue(accel, "exited with status 1", "--no-such-option: unknown option", argv=[BUILD_2, "--no-such-option"])


def the_state_closed_on_the_way(accel):
    return expect_rescue(accel, "exited with status 1", r"LIBCPR_STATE=\d+ in the environment doesn't name one",
                         prefix=[sys.executable, "-c", CLOSE_THE_STATE])


def everything_closed_and_the_environment_emptied(accel):
    """Nothing is left to be found, but the process is still the one with an update under way. Without a monitor, as the
    socket could be what keeps a second guest from starting."""
    options = ["--accel", accel, "--ram", "64M"]
    return expect_rescue(accel, "exited with status 1", "an update is under way in this process",
                         argv=[sys.executable, "-c", CLOSE_EVERYTHING, BUILD_2, *options])


main(the_environment_emptied, a_variable_added, a_shell_that_executes, a_script_that_executes,
     a_script_that_empties_the_environment,
     a_shell_that_forks, a_shell_that_forks_without_environment, setsid_that_forks, a_wrapper_that_forks_and_waits,
     two_at_once, a_program_that_takes_its_time, a_new_program_that_rejects_its_options, the_state_closed_on_the_way,
     everything_closed_and_the_environment_emptied)
