#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a device that belongs to the guest does DMA and raises interrupts through updates, failed updates and rescues, and nobody
notices: every byte is right, and every interrupt comes once. For the emulated machine of check-vm, where 0000:00:04.0 is QEMU's `edu`.

CPR_TEST_VFIO is the back end: type1 (the default) or iommufd. CPR_TEST_UPDATES says how many updates (20)."""
import collections
import errno
import os
import re
import resource
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from minivmm import BUILD_1, BUILD_2, PATIENCE, Hold, MiniVmm, Version, claim, libc, main, poll, read, status_field
from faultvmm import ALL, Fault, FaultVmm
from reboot import quit_saved, save

BDF = "0000:00:04.0"
BACKEND = os.environ.get("CPR_TEST_VFIO", "type1")
N_UPDATES = int(os.environ.get("CPR_TEST_UPDATES", "20"))
OPTIONS = ["--guest", "edu", "--ram", "32M", "--vcpus", "1", "--vfio", BDF, "--vfio-backend", BACKEND, "--dma-parts", "4",
           "--deadline", "30000"]

Dma = collections.namedtuple("Dma", "begun msis unexplained errors rounds")


# ---- The device ----

def bind():
    """Gives the device to vfio-pci; in there nobody else has it."""
    device = f"/sys/bus/pci/devices/{BDF}"
    with open(f"{device}/driver_override", "w", encoding="utf-8") as file:
        file.write("vfio-pci")
    if not os.path.exists(f"{device}/driver"):
        with open("/sys/bus/pci/drivers_probe", "w", encoding="utf-8") as file:
            file.write(BDF)
    claim(os.path.basename(os.readlink(f"{device}/driver")) == "vfio-pci", "the device isn't bound to vfio-pci")


def count_interrupts():
    """The device's MSIs since they were enabled, as the host's kernel counts them."""
    line = re.search(rf"^ *\w+:((?: +\d+)+) .*vfio-msi\[0\]\({BDF}\)", read("/proc/interrupts").decode(), re.M)
    return sum(map(int, line[1].split())) if line else 0


# ---- The guest ----

def look(vm):
    info, guest = vm.monitor.info("dma"), vm.guest()
    dma = Dma(int(info["begun"]), int(info["msis"]), int(info["unexplained"]), guest.errors, guest.passes)
    claim(dma.errors == 0 and dma.unexplained == 0, f"{dma}")
    claim(dma.msis in (dma.begun, dma.begun - 1), f"{dma}")
    return dma


def wait_for_interrupts(vm, after, n=1):
    """The guest has begun DMAs and got interrupts since."""
    return poll(lambda: next((dma for dma in [look(vm)] if dma.msis >= after.msis + n), None), f"no interrupt since {after}")


def each_came_once(vm):
    """The device has raised one interrupt for each DMA since it was opened, and the guest got them all: but for the last one, which
    waits in the eventfd or in the LAPIC while the guest is paused, since the guest does nothing more before it has come."""
    vm.monitor.command("stop")
    poll(lambda: count_interrupts() >= look(vm).begun, "for the end of the DMA")
    dma, raised, waits = look(vm), count_interrupts(), vm.monitor.info("vfio")["interrupt waits"] == "yes"
    claim(raised == dma.begun, f"the device raised {raised}, and the guest: {dma}")
    claim(not waits or dma.msis == dma.begun - 1, f"{dma}, and an interrupt waits")
    vm.monitor.command("cont")
    wait_for_interrupts(vm, dma)
    return dma


def machine(*options, **more):
    return MiniVmm("kvm", *OPTIONS, *options, **more)


def device_works(vm):
    """Both halves of a round, so that each part of RAM was read and written."""
    claim(vm.monitor.info("vfio")["backend"] == BACKEND, "another back end")
    return wait_for_interrupts(vm, look(vm), 4)


def fall_asleep(vm, path, in_place=False):
    """The guest is saved in reboot mode, which works only while it sleeps."""
    before = wait_for_interrupts(vm, look(vm), 2)
    vm.monitor.command("migrate_set_parameter mode cpr-reboot")
    answer = vm.monitor.ask("migrate file:" + path)
    claim("the guest must be suspended" in answer and not os.path.exists(path), f"{answer!r}")
    before = wait_for_interrupts(vm, before, 2)
    vm.monitor.command("stop")
    claim("a paused guest doesn't go to sleep" in vm.monitor.ask("system_suspend"), "it went to sleep while it was paused")
    vm.monitor.command("cont")
    vm.monitor.command("system_suspend")
    claim(vm.status() == "suspended", f"the guest is {vm.status()}")
    dma = look(vm)
    claim(dma.msis == dma.begun >= before.begun, f"{before}, then {dma}")
    save(vm, "file:" + path, in_place)
    claim(look(vm) == dma, "it didn't sleep")
    quit_saved(vm)
    return dma


def wake_up(vm, dma):
    claim(vm.status() == "suspended" and look(vm) == dma, f"{vm.status()}, {dma} became {look(vm)}")
    vm.monitor.command("system_wakeup")
    return wait_for_interrupts(vm, dma, 4)


# ---- The claims ----

def the_device_works(accel):
    with machine() as vm:
        device_works(vm)
        claim(vm.monitor.info("vfio")["window 0"].endswith("mapped"), "the BAR isn't mapped")
        return each_came_once(vm)


def the_device_works_with_a_trapped_bar(accel):
    with machine("--vfio-trap") as vm:
        device_works(vm)
        claim(vm.monitor.info("vfio")["window 0"].endswith("trapped"), "the BAR isn't trapped")
        vm.update(BUILD_2)
        wait_for_interrupts(vm, look(vm), 2)
        return each_came_once(vm)


def dma_goes_on_through_many_updates(accel):
    with machine() as vm:
        before, pauses = device_works(vm), []
        for number in range(1, N_UPDATES + 1):
            pauses.append(vm.update(BUILD_2 if number % 2 else BUILD_1))
            before = wait_for_interrupts(vm, before)
        dma = each_came_once(vm)
        claim(vm.migration().generation == N_UPDATES, f"{vm.migration()}")
        return f"{N_UPDATES} updates; {dma}; the device raised {count_interrupts()}; pause {min(pauses)}..{max(pauses)} us"


def fly_over(vm, hold):
    """One update with the guest paused in the middle of a DMA. None: the DMA was done before the execve."""
    vm.monitor.command("stop")
    before = look(vm)
    if count_interrupts() == before.begun:
        vm.monitor.command("cont")
        wait_for_interrupts(vm, before)
        return None
    vm.send_update(BUILD_2 if vm.version_before == 1 else BUILD_1, prefix=hold.prefix)
    hold.wait()
    under_way = count_interrupts() == before.begun - 1
    poll(lambda: count_interrupts() == before.begun, "for the end of the DMA")
    hold.release()
    claim("completed" in vm.monitor.receive(), "the update should have worked")
    vm.version_before = 3 - vm.version_before
    dma = look(vm)
    claim((dma.begun, dma.msis) == (before.begun, before.begun - 1), f"{before} became {dma}")
    claim(vm.monitor.info("vfio")["interrupt waits"] == "yes", "no interrupt waits")
    vm.monitor.command("cont")
    wait_for_interrupts(vm, dma)
    return dma if under_way else None


def a_dma_in_flight_over_the_execve_completes(accel):
    """It ends while no program is there to see it, and its interrupt comes afterwards."""
    with machine("--no-preflight") as vm:
        device_works(vm)
        vm.version_before = 1
        tries = 0

        def one():
            nonlocal tries
            tries += 1
            return fly_over(vm, Hold(vm))
        flew = poll(one, "for a DMA that isn't done before the execve")
        each_came_once(vm)
        return f"in {tries} tries, {flew}"


def a_guest_that_runs_gets_it_too(accel):
    """The same, but nobody pauses the guest: the new program is held for longer than a DMA takes."""
    with machine("--no-preflight") as vm:
        before = device_works(vm)
        for number in range(4):
            hold = Hold(vm)
            vm.send_update(BUILD_1 if number % 2 else BUILD_2, prefix=hold.prefix)
            hold.wait()
            n = count_interrupts()
            # Two in a row the same, further apart than a DMA takes: the device has come to an end.
            poll(lambda: still_the_same(0.3), "for the device to be done")
            hold.release()
            claim("completed" in vm.monitor.receive(), "the update should have worked")
            before = wait_for_interrupts(vm, before)
        return f"{each_came_once(vm)}, {n} before the last one's end"


def still_the_same(seconds):
    n = count_interrupts()
    signal.sigtimedwait([], seconds)
    return count_interrupts() == n


def rollbacks_and_rescues_keep_the_device(accel):
    seen = collections.Counter()
    with machine() as vm:
        before = device_works(vm)
        for how in ("error", "segv", "kill"):
            for step in ("new", "devices", "load", "start"):
                vm.try_update(BUILD_2, options=["--fail-at", step, "--fail-by", how])
                status = vm.migration().status
                claim(status == ("rescued" if how == "kill" else "rolled-back"), f"{how} at {step}: {vm.migration()}")
                if status == "rescued":
                    vm.follow()
                before = wait_for_interrupts(vm, before)
                seen[status] += 1
        vm.update(BUILD_2)
        wait_for_interrupts(vm, before, 2)
        return f"{dict(seen)}, {each_came_once(vm)}"


def a_sleeping_guest_goes_through_a_file(accel):
    """The device is opened anew, RAM is mapped for its DMA anew, and the guest sets it up anew."""
    with machine() as vm:
        dma = fall_asleep(vm, "/tmp/asleep")
    with machine("--incoming", "file:/tmp/asleep", binary=BUILD_2) as vm:
        claim(vm.monitor.info("vfio")["msi"] == "on", "its configuration space is another")
        dma = wake_up(vm, dma)
        vm.update(BUILD_1)
        dma = fall_asleep(vm, "/tmp/asleep")
    with machine("--incoming", "file:/tmp/asleep") as vm:
        return f"{wake_up(vm, dma)}"


# ---- Limits ----

CAP_IPC_LOCK, PR_CAPBSET_DROP = 14, 24
# For 32M of RAM. IOMMUFD counts it for the new program before it forgets the old one's, with all else that the user has.
ENOUGH = (40 if BACKEND == "type1" else 72) << 20
ENOUGH_FOR_ONE = 40 << 20


def lock_little(limit=ENOUGH):
    """Without the capability to lock as much as it likes."""
    claim(libc.prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) == 0, "PR_CAPBSET_DROP")
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))


def accounted(vm):
    """What the kernel holds against the program: type1 as locked, IOMMUFD as pinned memory."""
    return status_field(vm.pid, "VmLck" if BACKEND == "type1" else "VmPin")


def locked_memory_is_accounted_to_the_new_program(accel):
    with machine(preexec=lock_little) as vm:
        before, kib = device_works(vm), accounted(vm)
        claim(kib == "32768 kB", kib)
        for number in range(6):
            vm.update(BUILD_1 if number % 2 else BUILD_2)
            before = wait_for_interrupts(vm, before)
            vm.settle()
            claim(accounted(vm) == kib, f"{kib} became {accounted(vm)}")
        return f"{kib} in each of 6 programs, {each_came_once(vm)}"


def a_new_program_with_too_low_a_limit_changes_nothing(accel):
    prefix = ["/bin/sh", "-c", "ulimit -l 16384; exec \"$@\"", "sh"]
    answers = []
    for asked in (True, False):
        with machine(*([] if asked else ["--no-preflight"]), preexec=lock_little) as vm:
            before, kib = device_works(vm), accounted(vm)
            answers.append(vm.try_update(BUILD_2, prefix=prefix))
            claim(answers[-1].startswith("Error: " if asked else "Migration status: rolled-back"), answers[-1])
            claim("RLIMIT_MEMLOCK" in answers[-1] or "limit on locked memory" in answers[-1], answers[-1])
            claim(vm.version() == Version(1, vm.pid, "kvm"), f"{vm.version()}")
            before = wait_for_interrupts(vm, before, 2)
            claim(accounted(vm) == kib, f"{kib} became {accounted(vm)}")
            vm.update(BUILD_2)
            wait_for_interrupts(vm, before, 2)
            each_came_once(vm)
    return answers


def what_could_not_come_back_either_is_refused(accel):
    """With IOMMUFD enough to run isn't enough to be updated, and neither program could take the guest."""
    with machine(preexec=lambda: lock_little(ENOUGH_FOR_ONE)) as vm:
        before = device_works(vm)
        answer = vm.try_update(BUILD_2)
        claim(answer.startswith("Error: ") and "limit on locked memory" in answer, answer)
        wait_for_interrupts(vm, before, 2)
        return f"{answer!r}, {each_came_once(vm)}"


# ---- What can't be updated ----

def a_program_without_the_device_is_refused(accel):
    with machine() as vm:
        before, stops = device_works(vm), vm.monitor.info("status")["stops"]
        at = vm.options.index("--vfio")
        answer = vm.try_update(argv=[BUILD_2, *vm.options[:at], *vm.options[at + 2:]])
        claim("vfio" in answer.lower() and "completed" not in answer, answer)
        stopped = vm.monitor.info("status")["stops"] != stops
        before = wait_for_interrupts(vm, before, 2)
        vm.update(BUILD_2)
        wait_for_interrupts(vm, before, 2)
        return f"{answer!r}, {'after' if stopped else 'before'} the guest was stopped; {each_came_once(vm)}"


def a_mediated_device_blocks_updates(accel):
    """Its driver reaches guest RAM by the addresses of the program."""
    parent = "/sys/class/mdev_bus/mtty"
    uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
    with open(f"{parent}/mdev_supported_types/mtty-1/create", "w", encoding="utf-8") as file:
        file.write(uuid)
    with MiniVmm("kvm", "--vfio", f"/sys/bus/mdev/devices/{uuid}", "--vfio-backend", "type1") as vm:
        ticks = vm.wait_for_ticks().ticks
        answer = vm.try_update(BUILD_2)
        claim("mediated" in answer and vm.monitor.ask("info blockers").strip() in answer, answer)
        vm.wait_for_ticks(ticks)
        return answer


def a_kernel_without_iommufd_says_so(accel):
    command = [BUILD_1, "--accel", "kvm", "--vfio", BDF, "--vfio-backend", "iommufd"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    claim(result.returncode == 1 and "/dev/iommu" in result.stderr, f"{result}")
    return result.stderr.strip()


# ---- Faults ----

class DmaVmm(FaultVmm):
    """Where FaultVmm looks whether the guest goes on, this looks at the device as well."""

    def __init__(self, *options):
        super().__init__("kvm", *OPTIONS, *options)

    def check(self):
        before = look(self)
        super().check()
        wait_for_interrupts(self, before, 2)
        each_came_once(self)


def device_calls(vm, side):
    """(number, what) of those calls of a side that are about the device. Whether there is an extension the kernel always says; and
    what is asked of one region after the other is the same, so without CPR_TEST_FAULTS=all it is tried with the first."""
    calls = [None, *vm.calls[side]]
    return [(at, call) for at, call in enumerate(calls)
            if call and call.startswith(("VFIO_", "IOAS_", "ioctl")) and call != "VFIO_EXTENSION"
            and (ALL or call != "VFIO_REGION_INFO" or calls[at - 1] != call)]


def no_device_call_loses_anything(accel):
    """Each call about the device, in whichever program, fails."""
    seen = collections.Counter()
    with DmaVmm() as vm:
        vm.begin().count()
        for side, ends in (("old", ("completed", "failed")), ("new", ("completed", "rolled-back", "rescued"))):
            for at, call in device_calls(vm, side):
                for errnum in (errno.ENOMEM, errno.EINVAL):
                    fault = Fault(side, at, call, "fail", errnum)
                    end = vm.go(fault)
                    claim(end in ends, f"{fault}: {end}: {vm.answer}")
                    vm.check()
                    seen[f"{side} {call} {end}"] += 1
        claim(seen, "no call is about the device")
        return f"{dict(seen)}, {each_came_once(vm)}"


def a_failure_in_the_old_program_leaves_the_device_alone(accel):
    """It takes its interrupt off when it stops the guest, and puts it on again."""
    seen = {}
    with DmaVmm() as vm:
        calls = vm.begin().count()["old"]
        for call in ("memfd_create", "write", "clone", "F_SETFD", "execve"):
            at = len(calls) - calls[::-1].index(call)  # the last one
            end = vm.go(Fault("old", at, call, "fail", errno.ENOMEM))
            claim(end == "failed", f"{call}: {end}: {vm.answer}")
            vm.check()
            seen[call] = end
        return f"{seen}, {each_came_once(vm)}"


def a_death_with_half_of_it_attached(accel):
    """The new program is killed at each of its calls about the device, so also between those for two parts of RAM."""
    seen = collections.Counter()
    with DmaVmm() as vm:
        vm.begin().count()
        for at, call in device_calls(vm, "new"):
            fault = Fault("new", at, call, "raise", signal.SIGKILL)
            end = vm.go(fault)
            claim(end == "rescued", f"{fault}: {end}: {vm.answer}")
            vm.check()
            seen[call] += 1
        claim(seen, "no call is about the device")
        return f"rescued {dict(seen)}, {each_came_once(vm)}"


COMMON = [the_device_works, the_device_works_with_a_trapped_bar, a_sleeping_guest_goes_through_a_file,
          dma_goes_on_through_many_updates,
          a_dma_in_flight_over_the_execve_completes, a_guest_that_runs_gets_it_too, rollbacks_and_rescues_keep_the_device,
          locked_memory_is_accounted_to_the_new_program, a_new_program_with_too_low_a_limit_changes_nothing,
          a_program_without_the_device_is_refused, a_failure_in_the_old_program_leaves_the_device_alone,
          no_device_call_loses_anything, a_death_with_half_of_it_attached]
# What only one of the two kernels can show.
OWN = {"type1": [a_kernel_without_iommufd_says_so],
       "iommufd": [what_could_not_come_back_either_is_refused, a_mediated_device_blocks_updates]}

if __name__ == "__main__":
    bind()
    main(*COMMON, *OWN[BACKEND])
