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
from faultvmm import ALL, NO_REPORT, Fault, FaultVmm
from reboot import quit_saved, save
from transfer import Successor, connect, follow, send_transfer, transfer

BDF = "0000:00:04.0"
BACKEND = os.environ.get("CPR_TEST_VFIO", "type1")
N_UPDATES = int(os.environ.get("CPR_TEST_UPDATES", "20"))
N_TRANSFERS = int(os.environ.get("CPR_TEST_TRANSFERS", "20"))
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
    claim(vm.status() == "paused (suspended)", f"the guest is {vm.status()}")
    dma = look(vm)
    claim(dma.msis == dma.begun >= before.begun, f"{before}, then {dma}")
    save(vm, "file:" + path, in_place)
    claim(look(vm) == dma, "it didn't sleep")
    quit_saved(vm)
    return dma


def wake_up(vm, dma):
    claim(vm.status() == "paused (suspended)" and look(vm) == dma, f"{vm.status()}, {dma} became {look(vm)}")
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
    vm.monitor.command("cont")
    wait_for_interrupts(vm, dma)
    return dma if under_way else None


def a_rehearsal_leaves_the_device_alone(accel):
    with machine("--rehearse") as vm:
        before = device_works(vm)
        for binary in (BUILD_1, BUILD_2, BUILD_1):
            vm.set_command(binary, *vm.options)
            answer = vm.monitor.ask("migrate_check")
            claim(answer.startswith("would go through\n"), f"{answer!r}")
            before = wait_for_interrupts(vm, before, 2)
            vm.update(binary)
            before = wait_for_interrupts(vm, before, 2)
        return each_came_once(vm)


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
        flew = poll(one, "for a DMA that isn't done before the execve", 600)
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


# What the kernel holds against a program: type1 as locked, IOMMUFD as pinned memory.
ACCOUNT = "VmLck" if BACKEND == "type1" else "VmPin"


def accounted(vm):
    return status_field(vm.pid, ACCOUNT)


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
        answers = [answer]
        answers.append(stays(vm, Successor(vm, preexec_fn=lock_little), "way back: limit on locked memory"))
        return f"{answers}, {each_came_once(vm)}"


# ---- Transfers: two programs, each with an address space and fds of its own ----

def dma_goes_on_through_transfers_and_execs(accel):
    with machine() as vm:
        before, seen = device_works(vm), collections.Counter()
        for number in range(1, N_TRANSFERS + 1):
            binary = BUILD_2 if number % 2 else BUILD_1
            if number % 3 == 0:
                vm.monitor.command("migrate_set_parameter mode cpr-exec")
                vm.update(binary)
            else:
                transfer(vm, Successor(vm, binary=binary))
            before = wait_for_interrupts(vm, before)
            seen["execs" if number % 3 == 0 else "transfers"] += 1
        dma = each_came_once(vm)
        claim(vm.migration().generation == N_TRANSFERS, f"{vm.migration()}")
        return f"{dict(seen)}; {dma}; the device raised {count_interrupts()}"


def halted_transfer(vm, step, *options, **how):
    """A transfer that is under way, with the new program stopped at a step."""
    successor = Successor(vm, "--fail-at", step, "--fail-by", "halt", *options, binary=BUILD_1, **how)
    send_transfer(vm, successor)
    poll(lambda: successor.process.state() == "T", "for the new program to stop")
    return successor


def interrupt_waits(process):
    """It came when the irqfd had been taken off already: the DMA ended with the guest stopped."""
    counts = [re.search(rb"eventfd-count:\s*(\w+)", read(process.proc, "fdinfo", str(fd)))[1]
              for fd, what in process.fds().items() if "[eventfd]" in what]
    return any(int(count, 16) for count in counts)


def a_dma_in_flight_over_a_transfer_completes(accel):
    """It ends while nobody runs the guest: in the new program before it has told the kernel where RAM is there, and after that."""
    with machine() as vm:
        before, flown = device_works(vm), collections.Counter()

        def fly():
            step = "start" if flown["load"] else "load"
            successor = halted_transfer(vm, step)
            poll(lambda: still_the_same(0.3), "for the device to be done")
            flown[step] += interrupt_waits(vm.process)
            os.kill(successor.pid, signal.SIGCONT)
            claim("completed" in vm.monitor.receive(), "the transfer should have worked")
            claim(vm.popen.wait(PATIENCE) == 0, f"the old program ended with {vm.popen.returncode}")
            follow(vm, successor)
            flown["tries"] += 1
            return flown["load"] and flown["start"]
        poll(fly, "for DMAs that end while a transfer is under way")
        wait_for_interrupts(vm, before, 2)
        return f"{dict(flown)}, {each_came_once(vm)}"


def stays(vm, successor, *words):
    """A transfer fails: the device is the old program's as before, and so is what the kernel holds against it."""
    before, kib = look(vm), accounted(vm)
    send_transfer(vm, successor)
    answer = vm.monitor.receive()
    successor.kill()
    claim(answer.startswith("Error: ") and all(word in answer for word in words), answer)
    claim(vm.version().pid == vm.pid, f"another process answers: {vm.version()}")
    wait_for_interrupts(vm, before, 2)
    claim(accounted(vm) == kib, f"{kib} became {accounted(vm)}")
    claim("minivmm: VFIO:" not in vm.messages(), vm.messages())
    return answer


def a_new_program_that_fails_leaves_the_device_to_the_old_one(accel):
    seen = collections.Counter()
    with machine(preexec=lock_little) as vm:
        device_works(vm)
        for how in ("error", "kill"):
            for step in ("ram", "devices", "load", "start"):
                stays(vm, Successor(vm, "--fail-at", step, "--fail-by", how, preexec_fn=lock_little), "new program: ")
                seen[how] += 1
        each_came_once(vm)
        transfer(vm, Successor(vm, preexec_fn=lock_little))
        return f"{dict(seen)}, {each_came_once(vm)}"


def a_new_program_that_hangs_loses_the_device(accel):
    with machine("--deadline", "2000") as vm:
        device_works(vm)
        for step in ("devices", "start"):
            stays(vm, Successor(vm, "--fail-at", step, "--fail-by", "stop"), "nothing came in time")
        return each_came_once(vm)


def a_cancelled_transfer_takes_the_device_back(accel):
    """The new program has told the kernel where RAM is there; it is killed."""
    with machine("--deadline", "60000", preexec=lock_little) as vm:
        before, kib = device_works(vm), accounted(vm)
        successor = halted_transfer(vm, "start", preexec_fn=lock_little)
        claim((accounted(vm), accounted(successor)) == ("0 kB", kib), f"{accounted(vm)} and {accounted(successor)}")
        os.kill(vm.pid, signal.SIGUSR2)
        answer = vm.monitor.receive()
        claim(answer.startswith("Error: update: cancelled"), answer)
        successor.wait()
        wait_for_interrupts(vm, before, 2)
        claim(accounted(vm) == kib, f"{kib} became {accounted(vm)}")
        return f"{answer!r}, {each_came_once(vm)}"


def an_old_program_that_dies_leaves_the_device_to_the_new_one(accel):
    """After the offer."""
    with machine(preexec=lock_little) as vm:
        before, kib = device_works(vm), accounted(vm)
        successor = halted_transfer(vm, "load", preexec_fn=lock_little)
        vm.popen.kill()
        vm.popen.wait()
        os.kill(successor.pid, signal.SIGCONT)
        claim("completed" in vm.monitor.receive(), "the transfer should have worked")
        follow(vm, successor)
        wait_for_interrupts(vm, before, 2)
        claim(accounted(vm) == kib, f"{kib} became {accounted(vm)}")
        return each_came_once(vm)


def an_old_program_that_stays_or_ends_is_nothing_to_the_device(accel):
    """It has its fds, its mappings of BARs and its KVM VM as long as it is there."""
    stay = os.path.join("/tmp", "stays")
    with machine("--stay", stay, preexec=lock_little) as vm:
        before, kib, old, old_pid = device_works(vm), accounted(vm), vm.popen, vm.pid
        successor = Successor(vm, preexec_fn=lock_little)
        send_transfer(vm, successor)
        claim("completed" in vm.monitor.receive(), "the transfer should have worked")
        follow(vm, successor)
        before = wait_for_interrupts(vm, before, 2)
        claim((status_field(old_pid, ACCOUNT), accounted(vm)) == ("0 kB", kib), "it wasn't moved")
        client = poll(lambda: connect(stay), "for the old program's own monitor")
        answer = client.ask("cont")
        claim("not permitted in a session that is handed over" in answer, answer)
        before = wait_for_interrupts(vm, before, 2)
        client.send("quit")
        claim(old.wait(PATIENCE) == 0, f"the old program ended with {old.returncode}")
        client.close()
        wait_for_interrupts(vm, before, 2)
        claim(accounted(vm) == kib, f"{kib} became {accounted(vm)}")
        return each_came_once(vm)


def a_new_process_with_too_low_a_limit_changes_nothing(accel):
    answers = []
    for asked in (True, False):
        with machine(*([] if asked else ["--no-preflight"]), preexec=lock_little) as vm:
            device_works(vm)
            answers.append(stays(vm, Successor(vm, preexec_fn=lambda: lock_little(16 << 20)), "new program"))
            claim("RLIMIT_MEMLOCK" in answers[-1] or "limit on locked memory" in answers[-1], answers[-1])
            transfer(vm, Successor(vm, preexec_fn=lock_little))
            each_came_once(vm)
    return answers


# ---- What can't be updated ----

def a_program_without_the_device_is_refused(accel):
    with machine() as vm:
        before, stops = device_works(vm), vm.monitor.info("stops")["stops"]
        at = vm.options.index("--vfio")
        answer = vm.try_update(argv=[BUILD_2, *vm.options[:at], *vm.options[at + 2:]])
        claim("vfio" in answer.lower() and "completed" not in answer, answer)
        stopped = vm.monitor.info("stops")["stops"] != stops
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
                    end = vm.go(fault, exact=True)  # how many fds are taken before it varies
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
            end = vm.go(fault, exact=True)
            claim(end == "rescued", f"{fault}: {end}: {vm.answer}")
            vm.check()
            seen[call] += 1
        claim(seen, "no call is about the device")
        return f"rescued {dict(seen)}, {each_came_once(vm)}"


class TransferVmm(FaultVmm):
    """The same for transfers."""

    def __init__(self):
        super().__init__("kvm", *OPTIONS)

    def transfer(self, fault=None, options=()):
        """One with a fault. Whether the guest went over; it goes on in either process, and the kernel knows in which."""
        before, kib = look(self), accounted(self)
        order = fault and fault._replace(at=self.calls[fault.side][:fault.at].count(fault.call))
        self.page.order(order, wanted=fault.call if fault else "", keep=True)
        successor = Successor(self, *options, binary=self.other(),
                              env=dict(os.environ, CPR_FAULT=self.page.file.name, ASAN_OPTIONS=NO_REPORT))
        send_transfer(self, successor)
        self.answer = self.monitor.receive()
        went = "completed" in self.answer
        if went:
            claim(self.popen.wait(PATIENCE) == 0, f"the old program ended with {self.popen.returncode}")
            follow(self, successor)
        else:
            successor.kill()
        claim(self.page.look().hit == (fault is not None), f"{fault}: {self.answer}")
        claim(self.version().pid == self.pid, f"{fault}: {self.version()} isn't {self.pid}")
        # Of one that may lock as much as it likes IOMMUFD doesn't keep account.
        claim(BACKEND != "type1" or accounted(self) == kib, f"{fault}: {kib} became {accounted(self)}")
        wait_for_interrupts(self, before, 2)
        return went

    def count(self, options=()):
        self.transfer(options=options)
        self.settle()
        self.calls = {side: self.page.calls(side) for side in ("old", "new")}
        return self


def failures(calls):
    """(number, what, action, argument): each call fails; the first one of several alike with another errno as well."""
    for n, (at, call) in enumerate(calls):
        yield at, call, "fail", errno.ENOMEM
        if ALL or n == 0 or calls[n - 1][1] != call:
            yield at, call, "fail", errno.EINVAL


def no_device_call_of_a_transfer_loses_anything(accel):
    """Each call of the new program about the device fails, or is its last one."""
    seen = collections.Counter()
    with TransferVmm() as vm:
        device_works(vm)
        calls = device_calls(vm.count(), "new")
        for at, call, action, argument in [*failures(calls), *((*call, "raise", signal.SIGKILL) for call in calls)]:
            went = vm.transfer(Fault("new", at, call, action, argument))
            claim(not went or argument == errno.EINVAL, f"{call}: {action} {argument}: {vm.answer}")
            seen[f"{call} {'completed' if went else 'failed'}"] += 1
        claim(seen, "no call is about the device")
        each_came_once(vm)
        claim(vm.transfer(), vm.answer)
        claim("minivmm: VFIO:" not in vm.messages(), vm.messages())
        return f"{dict(seen)}, {each_came_once(vm)}"


def no_device_call_of_the_way_back_loses_anything(accel):
    """The new program dies when it has all mappings; each call with which the old one takes them back fails once."""
    seen, dies = collections.Counter(), ("--fail-at", "start", "--fail-by", "kill")
    with TransferVmm() as vm:
        device_works(vm)
        for at, call, *failure in failures(device_calls(vm.count(dies), "old")):
            claim(not vm.transfer(Fault("old", at, call, *failure), dies), vm.answer)
            seen[call] += 1
        claim(seen, "no call is about the device")
        each_came_once(vm)
        claim(vm.transfer(), vm.answer)
        claim("minivmm: VFIO:" not in vm.messages(), vm.messages())
        return f"{dict(seen)}, {each_came_once(vm)}"


COMMON = [the_device_works, the_device_works_with_a_trapped_bar, a_sleeping_guest_goes_through_a_file,
          dma_goes_on_through_many_updates, a_rehearsal_leaves_the_device_alone,
          a_dma_in_flight_over_the_execve_completes, a_guest_that_runs_gets_it_too, rollbacks_and_rescues_keep_the_device,
          locked_memory_is_accounted_to_the_new_program, a_new_program_with_too_low_a_limit_changes_nothing,
          dma_goes_on_through_transfers_and_execs, a_dma_in_flight_over_a_transfer_completes,
          a_new_program_that_fails_leaves_the_device_to_the_old_one, a_new_program_that_hangs_loses_the_device,
          a_cancelled_transfer_takes_the_device_back, an_old_program_that_dies_leaves_the_device_to_the_new_one,
          an_old_program_that_stays_or_ends_is_nothing_to_the_device, a_new_process_with_too_low_a_limit_changes_nothing,
          a_program_without_the_device_is_refused, a_failure_in_the_old_program_leaves_the_device_alone,
          no_device_call_loses_anything, a_death_with_half_of_it_attached,
          no_device_call_of_a_transfer_loses_anything, no_device_call_of_the_way_back_loses_anything]
# What only one of the two kernels can show.
OWN = {"type1": [a_kernel_without_iommufd_says_so],
       "iommufd": [what_could_not_come_back_either_is_refused, a_mediated_device_blocks_updates]}

if __name__ == "__main__":
    bind()
    main(*COMMON, *OWN[BACKEND])
