#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a guest whose RAM is on a DAX region goes on after the host has booted another kernel: its memory, its devices and its
clocks are right, and what isn't that RAM is refused. The operator's steps are those of doc/reboot.md.

For the emulated machine of check-vm, with memmap= for three regions and a disk that has what it boots. It boots twice: the kexec
starts this script again, with CPR_TEST_BOOT=2."""
import contextlib
import ctypes
import json
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from minivmm import BUILD_1, BUILD_2, BUILD_3, Guest, MiniVmm, claim, libc, main, poll, read, top
from reboot import MIB, expect_no_start, goes_on, quit_saved, save
from vfio import BDF, Dma, bind, fall_asleep, wait_for_interrupts, wake_up

BOOT = os.environ.get("CPR_TEST_BOOT", "1")
INSPECT = os.path.join(top, "tools", "cpr-inspect", "cpr-inspect")
DISK = "/tmp/disk"
STATE, NOTES = DISK + "/vm.state", DISK + "/notes"
RAM, OTHER = "/dev/dax0.0", "/dev/dax1.0"  # of 126 and 62 MiB
FILES, FILES_DEVICE = "/tmp/files", "/dev/pmem2"  # a file system on a third region, of 64 MiB
ON_RAM, ON_OTHER = (("--ram-backend", "file:" + path) for path in (RAM, OTHER))
GUEST = ("--ram", "32M", "--vcpus", "2", "--guest", "memcheck", "--verify-ram")
VM = (*GUEST, "--device", "watchdog", *ON_RAM)
SLEEPER = ("--guest", "edu", "--ram", "32M", "--vcpus", "1", "--vfio", BDF, "--dma-parts", "4", *ON_OTHER)
ON_FILE = (*GUEST, "--ram-backend", f"file:{FILES}/ram")
ASLEEP, FILE_STATE = DISK + "/sleeper.state", DISK + "/file.state"
UUID = "{}1111111-2222-3333-4444-555555555555"  # of which region
HOUR_NS = 3600 * 10**9

SYS_KEXEC_FILE_LOAD = 320
RB_KEXEC = 0x45584543


# ---- The host ----

def mount(device, where, *options):
    poll(lambda: os.path.exists(device), "for " + device)
    os.makedirs(where, exist_ok=True)
    subprocess.run(["mount", "-t", "ext4", *options, device, where], check=True)


def mount_disk():
    mount("/dev/nvme0n1", DISK)


def mount_files():
    mount(FILES_DEVICE, FILES, "-o", "dax")
    claim(re.search(f" {FILES} ext4 .*dax=always", read("/proc/mounts").decode()), "it isn't mounted with -o dax")


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def make_dax_device(number):
    """What `ndctl create-namespace -f -e namespaceN.0 -m devdax` does."""
    namespace = f"namespace{number}.0"
    seed = read(f"/sys/bus/nd/devices/region{number}/dax_seed").decode().strip()
    write("/sys/bus/nd/drivers/nd_pmem/unbind", namespace)
    for name, value in (("align", str(2 * MIB)), ("mode", "ram"), ("uuid", UUID.format(number)), ("namespace", namespace)):
        write(f"/sys/bus/nd/devices/{seed}/{name}", value)
    write("/sys/bus/nd/drivers/dax_pmem/bind", seed)


def kexec(kernel, initrd, words):
    """`kexec -s -l KERNEL --initrd=INITRD --command-line=WORDS`, `kexec -e`."""
    with open(kernel, "rb") as kernel, open(initrd, "rb") as initrd:
        words = words.encode() + b"\0"
        done = libc.syscall(SYS_KEXEC_FILE_LOAD, kernel.fileno(), initrd.fileno(), len(words), words, 0)
    claim(done == 0, f"kexec_file_load: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["umount", DISK, FILES], check=True)
    os.sync()
    sys.stdout.flush()
    termios.tcdrain(sys.stdout.fileno())
    libc.reboot(RB_KEXEC)
    claim(False, f"reboot: {os.strerror(ctypes.get_errno())}")


def complaints():
    said = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    return re.findall(r".*(?:DMAR:.*fault|WARNING: CPU|kernel BUG|Oops).*", said)


def to_real_time(monotonic_ns):
    """When on the host's calendar that is."""
    def sample():
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        real = time.clock_gettime_ns(time.CLOCK_REALTIME)
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) - before, monotonic_ns + real - before
    return min(sample() for _ in range(100))[1]


def inspect(*arguments):
    result = subprocess.run([INSPECT, *arguments], capture_output=True, text=True)
    claim(result.returncode == 0, f"cpr-inspect {arguments[0]} says {result.stdout + result.stderr!r}")
    return result.stdout


# ---- The first boot ----

def regions_become_dax_devices(accel):
    mount_disk()
    for number, path in enumerate((RAM, OTHER)):
        make_dax_device(number)
        poll(lambda path=path: os.path.exists(path), "for " + path)
    sizes = [read(f"/sys/bus/dax/devices/dax{number}.0/size").decode().strip() for number in range(2)]
    return f"Linux {platform.release()}, {sizes} bytes"


def a_region_that_is_too_small_is_refused(accel):
    return expect_no_start(accel, "--ram", "64M", *ON_OTHER, text="has 65011712 bytes, 67108864 needed").strip()


def a_guest_is_updated_on_a_region(accel):
    with MiniVmm(accel, *GUEST, *ON_RAM, "--prealloc") as vm:
        ticks = vm.wait_for_ticks().ticks
        for binary in (BUILD_2, BUILD_1):
            vm.update(binary)
            ticks = goes_on(vm, ticks).ticks


def a_guest_is_saved_for_the_next_boot(accel):
    with MiniVmm(accel, *VM, binary=BUILD_2) as vm:
        vm.wait_for_ticks()
        vm.monitor.command(f"device_set watchdog timeout {HOUR_NS // 10**6}")
        vm.monitor.command("out 0x600 1")
        poll(lambda: vm.guest().passes > 0, "for a pass through all memory")
        save(vm, "file:" + STATE, in_place=True)
        guest = vm.guest()
        claim(guest.errors == 0, f"{guest}")
        notes = {"ticks": guest.ticks, "boot_id": read("/proc/sys/kernel/random/boot_id").decode(),
                 "deadline": to_real_time(int(vm.monitor.info("card watchdog")["deadline"]))}
        quit_saved(vm)
    inspect("verify", STATE)
    claim(f"ram: in place, on the DAX device {UUID.format(0)} at 0x20" in inspect("show", STATE), inspect("show", STATE))
    inspect("compat", STATE, BUILD_3, *vm.options)
    write(NOTES, json.dumps(notes))
    return f"{guest.ticks} ticks, a state of {os.path.getsize(STATE)} bytes"


def a_sleeping_guest_with_a_device_is_saved_for_the_next_boot(accel):
    bind()
    with MiniVmm(accel, *SLEEPER) as vm:
        dma = fall_asleep(vm, ASLEEP, in_place=True)
    write(NOTES + "2", json.dumps(dma))
    return f"{dma}"


def a_guest_on_a_dax_file_system_is_saved_for_the_next_boot(accel):
    subprocess.run(["mke2fs", "-b", "4096", "-I", "256", FILES_DEVICE], check=True, stdout=subprocess.DEVNULL)
    mount_files()
    with MiniVmm(accel, *ON_FILE) as vm:
        vm.wait_for_ticks()
        save(vm, "file:" + FILE_STATE, in_place=True)
        write(NOTES + "3", json.dumps(vm.guest()))
        quit_saved(vm)


def tsc_words():
    """Real hardware has the same TSC at each boot. Here the next kernel would measure another rate than this one did."""
    said = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    rates = re.findall(r"tsc: (?:Detected|Refined TSC clocksource calibration:) ([0-9.]+) MHz", said)
    return f"tsc_early_khz={round(float(rates[-1]) * 1000)} " if rates else ""


def the_next_kernel_boots(accel):
    claim(complaints() == [], f"{complaints()}")
    words = tsc_words() + read("/proc/cmdline").decode().strip()
    kexec(DISK + "/boot/vmlinuz", DISK + "/boot/initrd.img", words + ",CPR_TEST_BOOT=2")


# ---- The second boot ----

@contextlib.contextmanager
def changed(path, offset):
    """A byte of a DAX device."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 2 * MIB) as memory:
        memory[offset] ^= 1
        yield
        memory[offset] ^= 1


def the_regions_are_there_again(accel):
    mount_disk()
    claim(read("/proc/sys/kernel/random/boot_id").decode() != json.loads(read(NOTES))["boot_id"], "it is the same boot")
    for path in (RAM, OTHER):
        poll(lambda path=path: os.path.exists(path), "for " + path)


def other_ram_is_refused(accel):
    incoming = ("--incoming", "file:" + STATE)
    write(DISK + "/file", "")
    os.truncate(DISK + "/file", 126 * MIB)
    for backend, text in ((ON_OTHER, f"{OTHER} is another DAX region than the one its contents are in"),
                          (("--ram-backend", f"file:{DISK}/file"), "is another file than the one its contents are in"),
                          (("--ram-backend", "file:/dev/dax2.0"), "No such file"),
                          ((), "its contents are in a file, which isn't named here")):
        expect_no_start(accel, *GUEST, "--device", "watchdog", *backend, *incoming, binary=BUILD_2, text=text)
    with changed(RAM, MIB + 12345):
        expect_no_start(accel, *VM, *incoming, binary=BUILD_2, text="its contents were changed after the state was saved")
    claim(not os.path.exists("/dev/dax2.0"), "a file was made")


def began(state):
    """When the guest's KVM clock was 0, on the host's calendar."""
    state = json.loads(inspect("show", "--json", state))
    clock = next(device for device in state["devices"] if device["name"] == "kvm")["fields"]
    return state["vm"]["saved_real_ns"] - state["vm"]["saved_ns"] + clock["taken_ns"] - clock["clock_ns"]


def the_guest_goes_on(accel):
    notes = json.loads(read(NOTES))
    shutil.copy2(STATE, STATE + "2")
    with MiniVmm(accel, *VM, "--incoming", "file:" + STATE, binary=BUILD_2) as vm:
        claim(vm.status() == "running", f"the guest is {vm.status()}")
        deadline = to_real_time(int(vm.monitor.info("card watchdog")["deadline"]))
        passes = vm.guest().passes
        guest = goes_on(vm, notes["ticks"])
        poll(lambda: vm.guest().passes > passes + 1, "for a pass through all memory")
        claim(abs(deadline - notes["deadline"]) < 10**9, f"its deadline was at {notes['deadline']} and is at {deadline}")
        for binary in (BUILD_3, BUILD_2):
            vm.update(binary)
            guest = goes_on(vm, guest.ticks)
        left = [name for name in os.listdir(DISK) if name.startswith("vm.state")]
        claim(left == ["vm.state2"], f"{left}")
        save(vm, "file:" + STATE + "3", in_place=True)
        quit_saved(vm)
    moved = began(STATE + "3") - began(STATE + "2")
    claim(abs(moved) < 10**9, f"its clock has been set by {moved} ns")
    return (f"{notes['ticks']} ticks, then {guest.ticks}; its deadline moved by {(deadline - notes['deadline']) / 1e6:.3f} ms, "
            f"its clock by {moved / 1e6:.3f} ms")


def the_guest_on_a_file_system_goes_on(accel):
    mount_files()
    with MiniVmm(accel, *ON_FILE, "--incoming", "file:" + FILE_STATE) as vm:
        return f"{goes_on(vm, Guest(*json.loads(read(NOTES + '3'))).ticks)}"


def a_state_is_used_once(accel):
    expect_no_start(accel, *VM, "--incoming", "file:" + STATE, binary=BUILD_2, text="state .*: No such file or directory")
    expect_no_start(accel, *VM, "--incoming", "file:" + STATE + "2", binary=BUILD_2,
                    text="its contents were changed after the state was saved")


def a_region_that_went_on_living_is_refused(accel):
    with MiniVmm(accel, *GUEST, *ON_RAM):  # another guest
        pass
    expect_no_start(accel, *VM, "--incoming", "file:" + STATE + "3", binary=BUILD_2,
                    text="its contents were changed after the state was saved")


def the_sleeping_guest_wakes_up(accel):
    bind()
    with MiniVmm(accel, *SLEEPER, "--incoming", "file:" + ASLEEP) as vm:
        claim(vm.monitor.info("vfio")["msi"] == "on", "its configuration space is another")
        dma = wake_up(vm, Dma(*json.loads(read(NOTES + "2"))))
        vm.update(BUILD_2)
        return f"{wait_for_interrupts(vm, dma, 2)}"


if __name__ == "__main__":
    if BOOT == "1":
        main(regions_become_dax_devices, a_region_that_is_too_small_is_refused, a_guest_is_updated_on_a_region,
             a_guest_is_saved_for_the_next_boot, a_sleeping_guest_with_a_device_is_saved_for_the_next_boot,
             a_guest_on_a_dax_file_system_is_saved_for_the_next_boot, the_next_kernel_boots)
    main(the_regions_are_there_again, other_ram_is_refused, the_guest_goes_on, the_sleeping_guest_wakes_up,
         the_guest_on_a_file_system_goes_on, a_state_is_used_once, a_region_that_went_on_living_is_refused)
