#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the emulated AArch64 machine has a KVM that the other tests can rely on: it runs a guest, on vCPUs with SVE and a PMU, and has
a GICv3 with an ITS for it. Where this fails, look at the machine and not at libcpr.

Prints what it claims, in the words of tests/integration/minivmm.py."""
import ctypes
import errno
import fcntl
import mmap
import os
import struct
import sys

CREATE_VM, CHECK_EXTENSION, VCPU_MMAP_SIZE, CREATE_VCPU, RUN = 0xAE01, 0xAE03, 0xAE04, 0xAE41, 0xAE80
SET_MEMORY, CREATE_DEVICE, SET_ATTR = 0x4020AE46, 0xC00CAEE0, 0x4018AEE1
PREFERRED_TARGET, VCPU_INIT, VCPU_FINALIZE = 0x8020AEAF, 0x4020AEAE, 0x4004AEC2
SET_ONE_REG, GET_REG_LIST = 0x4010AEAC, 0xC008AEB0
CAP_PMU, CAP_SVE = 126, 170
PSCI, PMU, SVE = 2, 3, 4  # bits of the features
GIC, ITS = 7, 8
GROUP_ADDRESS, GROUP_CONTROL = 0, 4
GROUP_PMU, PMU_INIT = 0, 1
EXIT_MMIO = 6
PC = 0x6030000000100040
TIMER_COUNT = 0x603000000013DF1A
RAM, SIZE, HOLE = 0x40000000, 0x10000, 0x09000000


def address_of(buffer):
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class Vm:
    def __init__(self):
        self.kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
        self.fd = fcntl.ioctl(self.kvm, CREATE_VM, 0)
        self.ram = mmap.mmap(-1, SIZE)
        fcntl.ioctl(self.fd, SET_MEMORY, struct.pack("=IIQQQ", 0, 0, RAM, SIZE, address_of(self.ram)))

    def has(self, capability):
        return fcntl.ioctl(self.fd, CHECK_EXTENSION, capability) > 0

    def add_vcpu(self):
        vcpu = fcntl.ioctl(self.fd, CREATE_VCPU, 0)
        target = bytearray(fcntl.ioctl(self.fd, PREFERRED_TARGET, bytes(32)))
        target[4] |= 1 << PSCI | 1 << PMU | 1 << SVE
        fcntl.ioctl(vcpu, VCPU_INIT, bytes(target))
        fcntl.ioctl(vcpu, VCPU_FINALIZE, struct.pack("=i", SVE))
        return vcpu

    def add_device(self, kind, *addresses):
        """With a size for each of its registers' places: (number of the place, address)."""
        device = struct.unpack("=III", fcntl.ioctl(self.fd, CREATE_DEVICE, struct.pack("=III", kind, 0, 0)))[1]
        for number, address in addresses:
            place = ctypes.c_uint64(address)
            fcntl.ioctl(device, SET_ATTR, struct.pack("=IIQQ", 0, GROUP_ADDRESS, number, ctypes.addressof(place)))
        fcntl.ioctl(device, SET_ATTR, struct.pack("=IIQQ", 0, GROUP_CONTROL, 0, 0))


def set_register(vcpu, name, value):
    value = ctypes.c_uint64(value)
    fcntl.ioctl(vcpu, SET_ONE_REG, struct.pack("=QQ", name, ctypes.addressof(value)))


def it_has_sve_and_a_pmu():
    vm = Vm()
    assert vm.has(CAP_SVE) and vm.has(CAP_PMU)


def a_vm_has_a_gic_and_an_its():
    vm = Vm()
    vm.add_vcpu()
    vm.add_device(GIC, (2, 0x08000000), (3, 0x080A0000))
    vm.add_device(ITS, (4, 0x08080000))


def the_registers_of_a_vcpu_are_listed():
    vcpu = Vm().add_vcpu()
    room = bytearray(8 * 2001)
    struct.pack_into("=Q", room, 0, 2000)
    fcntl.ioctl(vcpu, GET_REG_LIST, room)
    names = struct.unpack_from("=2001Q", room)
    assert PC in names[1:names[0] + 1] and TIMER_COUNT in names[1:names[0] + 1]
    return f"{names[0]} registers"


def a_guest_runs_until_it_writes_to_a_device():
    vm = Vm()
    vcpu = vm.add_vcpu()
    run = mmap.mmap(vcpu, fcntl.ioctl(vm.kvm, VCPU_MMAP_SIZE))
    fcntl.ioctl(vcpu, SET_ATTR, struct.pack("=IIQQ", 0, GROUP_PMU, PMU_INIT, 0))
    # mov x1, #HOLE; mov w0, #42; str w0, [x1]; b .
    vm.ram[0:16] = struct.pack("<IIII", 0xD2A00001 | HOLE >> 16 << 5, 0x52800540, 0xB9000020, 0x14000000)
    set_register(vcpu, PC, RAM)
    while True:
        try:
            fcntl.ioctl(vcpu, RUN, 0)
            break
        except OSError as error:
            if error.errno != errno.EINTR:
                raise
    reason, = struct.unpack_from("=I", run, 8)
    address, value, length, is_write = struct.unpack_from("=QQIB", run, 32)
    assert (reason, address, value, length, is_write) == (EXIT_MMIO, HOLE, 42, 4, 1), (reason, address, value, length, is_write)


failed = 0
for test in (it_has_sve_and_a_pmu, a_vm_has_a_gic_and_an_its, the_registers_of_a_vcpu_are_listed, a_guest_runs_until_it_writes_to_a_device):
    try:
        print(f"ok: kvm: {test.__name__}: {test()}")
    except (AssertionError, OSError) as error:
        failed += 1
        print(f"FAILED: kvm: {test.__name__}: {error!r}, line {error.__traceback__.tb_next.tb_lineno}")
sys.exit(failed > 0)
