#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a command that would run the new program with fewer capabilities than the old one has, with another root directory or in
another mount namespace, is refused with the guest running, and the error names what is missing. Who updates without a preflight has
the guest back in any case. Needs root; each case names the tool that it lacks."""
import os
import shutil
import subprocess
import tempfile

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main, status_field, write_script

NOBODY = 65534
DEADLINE = os.environ.get("CPR_TEST_DEADLINE", "2000")  # ms


def machine(accel, *options, **more):
    return MiniVmm(accel, "--ram", "64M", "--deadline", DEADLINE, *options, **more)


def lacks(*tools):
    return next((f"skipped: there is no {tool}" for tool in tools if not shutil.which(tool)), None)


def is_refused(vm, words, *argv):
    """The update and the question alike; the guest runs on, and the next update works."""
    before = vm.wait_for_ticks()
    vm.set_command(*argv, *vm.options)
    checked = vm.monitor.ask("migrate_check")
    claim(all(word in checked for word in words), f"{argv}: migrate_check says {checked!r}")
    answer = vm.try_update(argv=[*argv, *vm.options])
    claim(answer.startswith("Error: ") and all(word in answer for word in words), f"{argv}: the update says {answer!r}")
    claim(vm.version().pid == vm.pid, f"{argv}: {vm.version()}")
    claim(vm.wait_for_ticks(before.ticks).errors == 0, f"{argv}: memory errors")


def unasked(accel, command, get_place, **how_to_start):
    """Without a preflight: by each way back the guest comes back in its own surroundings."""
    seen = []
    for how in ("error", "segv", "kill", "hang"):
        with machine(accel, "--no-preflight", **how_to_start) as vm:
            before, place = vm.wait_for_ticks(), get_place(vm.pid)
            answer = vm.try_update(argv=[*command, BUILD_2, *vm.options, "--fail-at", "load", "--fail-by", how])
            claim(answer.startswith(("Migration status: rolled-back\n", "Migration status: rescued\n")), f"{how}: {answer!r}")
            if "rescued" in answer.splitlines()[0]:
                vm.follow()
            seen.append(f"{how}: {answer.split()[2]}")
            claim(get_place(vm.pid) == place, f"{how}: {place} became {get_place(vm.pid)}")
            vm.settle()
            claim(vm.wait_for_ticks(before.ticks).errors == 0, f"{how}: memory errors")
            vm.update(BUILD_2)
            vm.settle()
    return "; ".join(seen)


def a_command_that_drops_capabilities(accel):
    if lacks("setpriv"):
        return lacks("setpriv")
    with machine(accel) as vm:
        is_refused(vm, ["capabilities", "cap_net_admin"], "setpriv", "--bounding-set", "-net_admin", BUILD_2)
        is_refused(vm, ["capabilities", "cap_chown", "cap_sys_admin"], "setpriv", "--bounding-set", "-all", BUILD_2)
        vm.update(BUILD_2)
        vm.settle()
        return "refused, twice"


def a_command_that_keeps_them(accel):
    if lacks("setpriv"):
        return lacks("setpriv")
    with machine(accel) as vm:
        vm.wait_for_ticks()
        vm.update(argv=["setpriv", "--no-new-privs", BUILD_2, *vm.options])
        vm.settle()
        return "updated"


def a_binary_that_lost_its_file_capabilities(accel):
    if lacks("setcap") or accel != "soft":  # nobody may use KVM
        return lacks("setcap") or "for soft only"
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        os.chmod(directory, 0o755)
        with_caps, without = os.path.join(directory, "with"), os.path.join(directory, "without")
        for path in (with_caps, without):
            shutil.copy(BUILD_1, path)
        set_caps = ["setcap", "cap_net_bind_service,cap_ipc_lock=ep"]
        if subprocess.run([*set_caps, with_caps], check=False).returncode != 0:
            return "skipped: no capabilities of files here"
        become = lambda: (os.setgid(NOBODY), os.setuid(NOBODY))
        vm = MiniVmm.__new__(MiniVmm)
        own = os.path.join(directory, "own")
        os.mkdir(own)
        os.chown(own, NOBODY, NOBODY)
        tempfile.tempdir = own
        try:
            vm.__init__(accel, "--ram", "64M", "--deadline", DEADLINE, binary="sh",
                        prefix=("-c", 'while [ ! -e "$0.go" ]; do sleep 0.01; done; exec "$0" "$@"', with_caps), preexec=become)
        finally:
            tempfile.tempdir = None
        os.chown(vm.directory, NOBODY, NOBODY)
        with open(with_caps + ".go", "w", encoding="ascii"):
            pass
        with vm:
            is_refused(vm, ["capabilities", "cap_net_bind_service", "cap_ipc_lock"], without)
            vm.update(argv=[with_caps, *vm.options])  # has them still
            vm.settle()
            subprocess.run([*set_caps, without], check=True)
            vm.update(argv=[without, *vm.options])  # has them again
            vm.settle()
    return "refused, then updated"


def other_root(directory):
    """A tree with another root and the same below it, in a mount namespace of the caller's."""
    root = os.path.join(directory, "root")
    os.mkdir(root)
    lines = [f"mount -t tmpfs none {root}"]
    for name in sorted(os.listdir("/")):
        path = os.path.join("/", name)
        if os.path.islink(path):
            lines.append(f"ln -s {os.readlink(path)} {root}/{name}")
        elif os.path.isdir(path):
            lines.append(f"mkdir {root}/{name} && mount --rbind {path} {root}/{name}")
    script = os.path.join(directory, "enter")
    write_script(script, "set -e\n" + "\n".join(lines) + '\nexec "$@"')
    return root, script


def a_chroot(accel):
    if lacks("unshare", "chroot", "mount"):
        return lacks("unshare", "chroot", "mount")
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        root, script = other_root(directory)
        if subprocess.run(["unshare", "-m", script, "true"], check=False).returncode != 0:
            return "skipped: no mounts in a mount namespace here"
        with machine(accel, binary="unshare", prefix=("-m", script, BUILD_1)) as vm:
            is_refused(vm, ["root directory"], "chroot", root, BUILD_2)
            vm.update(BUILD_2)
            vm.settle()
        return "refused"


def a_chroot_that_nobody_asked_about(accel):
    if lacks("unshare", "chroot", "mount"):
        return lacks("unshare", "chroot", "mount")
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        root, script = other_root(directory)
        if subprocess.run(["unshare", "-m", script, "true"], check=False).returncode != 0:
            return "skipped: no mounts in a mount namespace here"
        return unasked(accel, ["chroot", root], lambda pid: os.stat(f"/proc/{pid}/root").st_dev, binary="unshare",
                       prefix=("-m", script, BUILD_1))


def another_mount_namespace(accel):
    if lacks("unshare"):
        return lacks("unshare")
    with machine(accel) as vm:
        is_refused(vm, ["mount namespace"], "unshare", "-m", BUILD_2)
        vm.update(BUILD_2)
        vm.settle()
        return "refused"


def fewer_capabilities_that_nobody_asked_about(accel):
    return lacks("setpriv") or unasked(accel, ["setpriv", "--bounding-set", "-net_admin"],
                                       lambda pid: status_field(pid, "CapEff"))


def a_mount_namespace_that_nobody_asked_about(accel):
    return lacks("unshare") or unasked(accel, ["unshare", "-m"], lambda pid: os.readlink(f"/proc/{pid}/ns/mnt"))


if os.geteuid() != 0:
    print("SKIP: needs root")
    raise SystemExit(77)
main(a_command_that_drops_capabilities, a_command_that_keeps_them, a_binary_that_lost_its_file_capabilities, a_chroot,
     a_chroot_that_nobody_asked_about, another_mount_namespace, fewer_capabilities_that_nobody_asked_about,
     a_mount_namespace_that_nobody_asked_about)
