#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: what would fail is found before the guest is stopped. The error names the program and what is wrong with it; the
guest was never stopped; no process and no fd is left; the next update works."""
import os
import re
import shlex
import shutil
import subprocess
import tempfile

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main, orphans, poll, top, trace_being_asked, why_no_kvm, write_script

ASKED = "case $(readlink /proc/self/fd/3) in *libcpr-question*) asked=yes;; *) asked=no;; esac"


def expect_refused(vm, words, **update):
    """Refused by `migrate_check` and by `migrate`, with all the words and no trace; what the error says."""
    before, fds, threads = vm.wait_for_ticks(), vm.process.fds_and_flags(), vm.process.threads()
    update = {"binary": BUILD_2, **update}
    vm.set_command(*(update.get("argv") or [*update.get("prefix", []), update["binary"], *vm.options,
                                            *update.get("options", [])]))
    checked = vm.monitor.ask("migrate_check")
    claim("refused: " in checked and all(word in checked for word in words), f"{words}: it answers {checked!r}")
    answer = vm.try_update(**update)
    claim(answer.startswith("Error: ") and words[0] in answer, f"{words}: the monitor answers {answer!r}")
    migration = vm.migration()
    claim(migration.status == "failed", f"{migration}")
    claim(not migration.step_us["stop"] and not migration.step_us["guardian"] and not migration.pause_us,
          f"the guest was stopped: {migration}")
    claim(not vm.process.children(), f"a process is left: {vm.process.children()}")
    # Killed with the program that was asked, not reaped yet.
    poll(lambda: all(task.pid == vm.pid for task in orphans()), "something is left")
    claim(vm.process.fds_and_flags() == fds, f"fds were {fds} and are {vm.process.fds_and_flags()}")
    claim(vm.process.threads() == threads, f"threads were {threads} and are {vm.process.threads()}")
    claim(vm.version()[1] == vm.pid, f"{vm.version()}")
    claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")
    return answer[len("Error: "):].strip()


def expect_working_updates(vm, **update):
    vm.update(BUILD_2, **update)
    vm.update(BUILD_1, **update)
    vm.wait_for_ticks(vm.guest().ticks)
    vm.settle()


def refused(accel, words, *own_options, **update):
    with MiniVmm(accel, "--ram", "64M", *own_options) as vm:
        said = expect_refused(vm, words, **update)
        expect_working_updates(vm)
        return said


def refused_script(accel, text, words, *own_options):
    with MiniVmm(accel, "--ram", "64M", *own_options) as vm:
        script = os.path.join(vm.directory, "vmm")
        write_script(script, text)
        said = expect_refused(vm, words, argv=[script, "--an-option"])
        expect_working_updates(vm)
        return said


# ---- What isn't a program that could answer.

def a_program_without_libcpr(accel):
    return refused(accel, ["new program '/bin/true': it exited with status 0 without an answer: is it made with libcpr?"],
                   argv=["/bin/true"])


def a_program_that_fails(accel):
    return refused_script(accel, "echo no such thing >&2; exit 3",
                          ["vmm': it exited with status 3 without an answer: no such thing"])


def a_program_that_prints_rubbish(accel):
    return refused_script(accel, r"printf '\033[2J\007 ab\001'; head -c 100000 /dev/urandom; printf 'the end\n'; exit 3",
                          ["it exited with status 3 without an answer: ", "the end"])


def a_program_that_answers_rubbish(accel):
    return refused_script(accel, "head -c 100 /dev/urandom >&4", ["its answer is damaged"])


def a_program_that_answers_without_end(accel):
    return refused_script(accel, "exec cat /dev/zero >&4", ["its answer is damaged: it has more than 16777216 bytes"])


def a_program_that_answers_with_the_question(accel):
    return refused_script(accel, "cat <&3 >&4", ["its answer is damaged: it is a question, not an answer"])


def a_program_that_crashes(accel):
    return refused_script(accel, "kill -SEGV $$", ["it was killed by signal 11 (Segmentation fault)"])


def a_program_that_hangs(accel):
    return refused(accel, ["it gave no answer within 3000 ms, killed"], "--preflight-timeout", "3000",
                   argv=["sleep", "1000"])


def a_wrapper_whose_children_hang(accel):
    return refused_script(accel, "trap '' TERM HUP INT\nsleep 1000 &\necho waiting\nsleep 1000",
                          ["it gave no answer within 3000 ms, killed: waiting"], "--preflight-timeout", "3000")


def a_wrapper_that_leaves_a_process_behind(accel):
    return refused_script(accel, "sleep 1000 &\nexit 0", ["it exited with status 0 without an answer"])


def a_script_whose_interpreter_is_missing(accel):
    with MiniVmm(accel, "--ram", "64M") as vm:
        script = os.path.join(vm.directory, "vmm")
        write_script(script, "", "/nonexistent/sh")
        said = expect_refused(vm, [script, "can't be started: No such file", "interpreter"], argv=[script])
        expect_working_updates(vm)
        return said


def a_program_that_lacks_a_library(accel):
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not shutil.which(compiler[0]):
        return f"SKIP: there is no {compiler[0]}"
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        library, program = (os.path.join(directory, name) for name in ("libcprmissing.so", "vmm"))
        for options, text in ((["-shared", "-fPIC", "-o", library], "int f (void) { return 0; }"),
                              (["-o", program, "-Wl,--no-as-needed", library], "int main (void) { return 0; }")):
            subprocess.run([*compiler[:1], "-x", "c", "-", "-x", "none", *options], input=text.encode(), check=True)
        os.unlink(library)
        return refused(accel, [f"new program '{program}': it exited with status 127 without an answer: error while "
                               "loading shared libraries: ", "libcprmissing.so"], argv=[program])


# ---- What answers that it couldn't.

def another_ram_size(accel):
    return refused(accel, [f"RAM block 'ram': size is {64 << 20} in the state, {128 << 20} here"],
                   options=["--ram", "128M"])


def another_vm(accel):
    return refused(accel, ["VM 'minivmm': this program is for VM 'other'"], options=["--name", "other"])


def fewer_vcpus(accel):
    return refused(accel, ["1' of type", "is in the state and not here"], "--vcpus", "2", options=["--vcpus", "1"])


def more_vcpus(accel):
    return refused(accel, ["1': it isn't in the state"], options=["--vcpus", "2"])


def another_accelerator(accel):
    other = "kvm" if accel == "soft" else "soft"
    if why_no_kvm():
        return refused(accel, ["KVM VM 'kvm': /dev/kvm: "], options=["--accel", other])
    first = {"soft": "soft-vcpu/0", "kvm": "kvm"}
    return refused(accel, [f"device '{first[other]}': it isn't in the state", f"device '{first[accel]}' of type"],
                   options=["--accel", other])


def an_fd_that_nobody_would_take(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        return refused(accel, ["fd 'serial' 0: it is in the state, and nobody would take it"],
                       "--serial", f"file:{directory}/serial", options=["--serial", "null"])


def an_unknown_option(accel):
    return refused(accel, ["it exited with status 1 without an answer: ", "--no-such-option: unknown option"],
                   options=["--no-such-option"])


def all_at_once(accel):
    said = refused(accel, ["VM 'other'", "RAM block 'ram'", "1'"],
                   options=["--name", "other", "--ram", "128M", "--vcpus", "2"])
    claim(said.endswith("(and 2 more)"), f"it says {said!r}")
    return said


def too_low_a_limit_on_files(accel):
    return refused(accel, ["limit on open files: it is 8 here"], prefix=["sh", "-c", 'ulimit -n 8; exec "$@"', "sh"])


def a_wrapper_that_forks(accel):
    return refused(accel, ["a wrapper must exec, not fork"], prefix=["sh", "-c", '"$@"; true', "sh"])


# ---- What works.

def wrappers_that_execute(accel):
    with MiniVmm(accel, "--ram", "64M") as vm:
        script = os.path.join(vm.directory, "wrapper")
        write_script(script, 'echo noise\nexec "$@"')
        for prefix in ([script], ["env", "X=1"], ["env", "-i"]):
            vm.set_command(*prefix, BUILD_2, *vm.options)
            answer = vm.monitor.ask("migrate_check")
            claim(answer == "would go through\n", f"{prefix}: {answer!r}")
            expect_working_updates(vm, prefix=prefix)
        return f"a script, env X=1, env -i; the last took {vm.migration().step_us['preflight']} us"


def what_would_be_dropped_is_told(accel):
    with MiniVmm(accel, "--ram", "64M", binary=BUILD_2) as vm:
        vm.set_command(BUILD_1, *vm.options)
        answer = vm.monitor.ask("migrate_check")
        claim(answer.startswith("would go through\nloss: device 'serial': field 'interrupted'"), f"{answer!r}")
        vm.update(BUILD_1)
        return answer.splitlines()[1]


def a_check_right_before_is_good_for_the_update(accel):
    with MiniVmm(accel, "--ram", "64M") as vm:
        script, out = (os.path.join(vm.directory, name) for name in ("vmm", "out"))
        write_script(script, f'{ASKED}\necho $asked >>{shlex.quote(out)}\nexec "$@"')
        prefix = [script]

        def said():
            with open(out, encoding="utf-8") as file:
                return file.read().split()

        vm.monitor.command("stop")  # a guest that runs changes values, and then it is asked again
        vm.set_command(script, BUILD_2, *vm.options)
        claim(vm.monitor.ask("migrate_check") == "would go through\n", "it wouldn't")
        claim(said() == ["yes"], f"after the check: {said()}")
        vm.update(prefix=prefix)
        claim(said() == ["yes", "no"], f"after the update: {said()}")
        vm.update(BUILD_1, prefix=prefix)
        claim(said() == ["yes", "no"] * 2, f"after another one: {said()}")
        vm.set_command(script, BUILD_2, *vm.options)
        vm.monitor.ask("migrate_check")
        os.utime(script)
        vm.update(prefix=prefix)
        claim(said() == ["yes", "no"] * 2 + ["yes", "yes", "no"], f"after one whose file changed: {said()}")
        return "asked once by a check and its update, twice where the file has changed between them"


def no_preflight_where_none_is_wanted(accel):
    with MiniVmm(accel, "--ram", "64M", "--no-preflight") as vm:
        script, out = (os.path.join(vm.directory, name) for name in ("vmm", "out"))
        write_script(script, f'{ASKED}\necho $asked >>{shlex.quote(out)}\nexec "$@"')
        vm.update(prefix=[script])
        with open(out, encoding="utf-8") as file:
            claim(file.read() == "no\n", "it was asked")
        claim(vm.migration().step_us["preflight"] == 0, f"{vm.migration()}")
        return "not asked"


# ---- The way back.

def with_own_library(accel, *own_options):
    """A VM whose program has a library of its own in `vm.libraries`, which can be taken away from it."""
    directory = tempfile.mkdtemp(prefix="cpr-lib-")
    shutil.copy(os.path.join(top, ".libs", "libcpr.so.0"), directory)
    vm = MiniVmm(accel, "--ram", "64M", *own_options,
                 environment=dict(os.environ, LD_LIBRARY_PATH=directory))
    vm.libraries = directory
    return vm


def spoil_library(vm):
    path = os.path.join(vm.libraries, "libcpr.so.0")
    os.unlink(path)  # not in place: the running program has it mapped
    with open(path, "w", encoding="utf-8") as file:
        file.write("spoilt")


CLEAN = ["env", "-u", "LD_LIBRARY_PATH"]


def has_own_library(vm):
    with open(f"{vm.process.proc}/maps", encoding="utf-8") as file:
        return vm.libraries in file.read()


def a_way_back_without_its_library_is_refused(accel):
    if not os.path.exists(os.path.join(top, ".libs", "libcpr.so.0")):
        return "SKIP: libcpr isn't built as a shared library"
    vm = with_own_library(accel)
    with vm:
        if not has_own_library(vm):
            return "SKIP: LD_LIBRARY_PATH doesn't choose the library"
        spoil_library(vm)
        said = expect_refused(vm, ["way back '", "it exited with status 127 without an answer", "libcpr.so.0"],
                              prefix=CLEAN)
    shutil.rmtree(vm.libraries)
    return said


def without_a_way_back_where_that_is_wanted(accel):
    if not os.path.exists(os.path.join(top, ".libs", "libcpr.so.0")):
        return "SKIP: libcpr isn't built as a shared library"
    vm = with_own_library(accel, "--no-way-back")
    with vm:
        if not has_own_library(vm):
            return "SKIP: LD_LIBRARY_PATH doesn't choose the library"
        spoil_library(vm)
        vm.set_command(*CLEAN, BUILD_2, *vm.options)
        answer = vm.monitor.ask("migrate_check")
        claim(answer.startswith("would go through\nway back: loss: ") and "libcpr.so.0" in answer, f"{answer!r}")
        vm.update(prefix=CLEAN)
    shutil.rmtree(vm.libraries)
    return answer.splitlines()[1]


def an_old_program_whose_file_is_gone_can_go_back(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        copy = shutil.copy(BUILD_1, directory)
        with MiniVmm(accel, "--ram", "64M", binary=copy) as vm:
            os.unlink(copy)
            vm.set_command(BUILD_2, *vm.options)
            claim(vm.monitor.ask("migrate_check") == "would go through\n", "it wouldn't")
            claim("rolled-back" in vm.try_update(options=["--fail-at", "load"]), "not rolled back")
            vm.settle()
            vm.update(BUILD_2)
            return "asked and executed by its fd"


# ---- Between the question and the execve.

def another_program_than_the_one_asked(accel):
    """It looks the same, but is another file; it is sent back before it does anything."""
    with MiniVmm(accel, "--ram", "64M") as vm:
        before = vm.wait_for_ticks()
        script = os.path.join(vm.directory, "vmm")
        other = shutil.copy(BUILD_2, os.path.join(vm.directory, "other"))
        write_script(script, f'{ASKED}\nif [ $asked = yes ]; then exec {shlex.quote(BUILD_2)} "$@"; else exec {shlex.quote(other)} "$@"; fi')
        answer = vm.try_update(argv=[script, *vm.options])
        claim(answer.startswith("Migration status: rolled-back\nError: program: the one that said it would take over was "),
              f"{answer!r}")
        claim(all(str(os.stat(path).st_ino) in answer for path in (BUILD_2, other)) and other in answer, f"{answer!r}")
        vm.settle()
        claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")
        expect_working_updates(vm)
        return answer.splitlines()[1]


# ---- Without side effects.

FORBIDDEN = re.compile(r"\b(bind|listen|connect|unlink|unlinkat|rename|renameat2?|creat|mkdir|mkdirat|mknod|mknodat|link|linkat|"
                       r"symlink|symlinkat|truncate|ftruncate|fallocate|kill|tkill|tgkill|mount|umount2|chmod|fchmod|"
                       r"chown|setsockopt|pwrite64|fchown)\(|O_CREAT|O_TRUNC")


def being_asked_has_no_effect(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory, \
            MiniVmm(accel, "--ram", "64M", "--serial", f"file:{directory}/serial") as vm:
        saw = trace_being_asked(vm, directory, FORBIDDEN)
        expect_working_updates(vm)
        return saw


main(a_program_without_libcpr, a_program_that_fails, a_program_that_prints_rubbish, a_program_that_answers_rubbish,
     a_program_that_answers_without_end, a_program_that_answers_with_the_question, a_program_that_crashes,
     a_program_that_hangs, a_wrapper_whose_children_hang, a_wrapper_that_leaves_a_process_behind,
     a_script_whose_interpreter_is_missing, a_program_that_lacks_a_library, another_ram_size, another_vm, fewer_vcpus,
     more_vcpus, another_accelerator, an_fd_that_nobody_would_take, an_unknown_option, all_at_once,
     too_low_a_limit_on_files, a_wrapper_that_forks, wrappers_that_execute, what_would_be_dropped_is_told,
     a_check_right_before_is_good_for_the_update, no_preflight_where_none_is_wanted,
     a_way_back_without_its_library_is_refused, without_a_way_back_where_that_is_wanted,
     an_old_program_whose_file_is_gone_can_go_back, another_program_than_the_one_asked, being_asked_has_no_effect)
