# SPDX-License-Identifier: LGPL-2.1-or-later
# For check.sh: the machine of the x86-64 architecture, this one's own: the programs are those of the build tree.
# shellcheck shell=bash disable=SC2034,SC2154

# name | kernel | what else the machine has: a disk, a single thread of QEMU's for both CPUs, one CPU | script | seconds | environment
runs='
kvm-many-updates | stock | single | integration/many-updates.py | 300 | CPR_TEST_UPDATES=6 CPR_TEST_RAM=64M CPR_TEST_ONLY=memory_stays
kvm-rollback     | stock | single | integration/rollback.py     | 300 | CPR_TEST_ONLY=failing_at
kvm-rescue       | stock | single | integration/rescue.py       | 300 | CPR_TEST_ONLY=a_kill CPR_TEST_DEADLINE=20000
linux-updates    | stock | one    | integration/linux.py        | 600 | CPR_TEST_ONLY=switches_off CPR_TEST_EXECS=12 CPR_TEST_TRANSFERS=6
linux-restart    | stock | one    | integration/linux.py        | 600 | CPR_TEST_ONLY=linux_restarts
linux-disk       | stock | one    | integration/linux.py        | 600 | CPR_TEST_ONLY=disk CPR_TEST_EXECS=4 CPR_TEST_TRANSFERS=2
linux-net        | stock | one    | integration/linux-net.py    | 900 | CPR_TEST_EXECS=8 CPR_TEST_TRANSFERS=4
kvm-state        | stock |        | vm/unit.py                  | 600 |
dax-kexec        | stock | disk   | vm/dax.py                   | 600 |
vfio-type1       | stock |        | vm/vfio.py                  | 900 | CPR_TEST_VFIO=type1
vfio-iommufd     | own   |        | vm/vfio.py                  | 900 | CPR_TEST_VFIO=iommufd
'

# Runs that are made only where RUNS names them. In the emulated machine about one stock kernel in five hangs as a guest, also before any
# update: both vCPUs sleep, and no timer wakes them.
only_named='linux-*'

# What comes from packages: for this machine into $tools, for the emulated one into $root.
tools=$cache/root${QEMU_SUITE:+-$QEMU_SUITE}
root=$cache/root
host_programs=(qemu-system-x86_64 busybox cpio kmod)
host_packages=(qemu-system-x86 busybox-static cpio kmod)
unneeded=()
guest_packages=()
guest_cache=$cache
guest_apt_options=()
kernel_package=linux-image-cloud-amd64
kernel_config=$here/kernel.config

# What VFIO, KVM, DAX regions and the disk of a guest's Linux need, with what they depend on, as modules in the order of loading.
kernel_modules='vfio-pci vfio_iommu_type1 kvm_amd nd_pmem dax_pmem device_dax nd_e820 virtio_mmio virtio_blk virtio_net virtio-rng tun'

programs=(tests/vmm/minivmm tests/vmm/minivmm-next tests/vmm/minivmm-later tests/vmm/minivmm-wrong
          examples/linuxvmm/linuxvmm tests/vm/linux-guest
          tests/fault/minivmm-fault tests/fault/minivmm-fault-next tools/cpr-inspect/cpr-inspect ${KVM_UNIT_TESTS-})

# -cx16: QEMU 7.2 emulates cmpxchg16b wrongly, and kernels since 6.12 fall over it. intremap: VFIO insists on it.
# Threads: QEMU 7.2 emulates KVM on AMD wrongly now and then, in either way. With a thread for each CPU about one of five memcheck guests
# got a page fault that no page table of theirs explains, on a busy machine; with one thread some edu guests get an interrupt too many.
# Both without any update. Most Linux guests of a guest crash or hang, too, without any update, where there are two CPUs, or where the
# kernel takes the TSC for unstable, as it does on a busy machine. With one CPU both vCPUs of one still slept for ever, waiting for a timer,
# so their timers are periodic ones. On a busy machine a vCPU may really stand still for longer than their watchdog allows by default.
# Periodic timers take a CPU for themselves there, and the guest says "APIC timer disabled due to verification failure"; QEMU 10.0 has not
# been seen to need them.
emulator=qemu-system-x86_64
machine=(-machine q35,kernel-irqchip=split -cpu max,-cx16 -device intel-iommu,intremap=on,caching-mode=on)
guest_words='lapic=notscdeadline;nohz=off;highres=off;watchdog_thresh=60'
[ -z "${QEMU_SUITE-}" ] || guest_words=watchdog_thresh=60
second_serial=(-serial chardev:output)
kernel_words='console=ttyS0 OUTPUT=ttyS1 intel_iommu=on iommu=nopt'

build() { :; } # `make` did it

# The emulated machine has this one's libraries and its Python, at their own paths.
sysroot=
shell=/bin/sh
more_files=()
find_busybox() { command -v busybox; }
python() { "$PYTHON3" -IB "$@"; }

# Paths of the libraries of programs and libraries, the dynamic linker too.
libraries_of() # FILE…
{
  ldd "$@" 2>/dev/null | sed -n 's/^[^/]*\(\/[^ :]*\) (0x.*/\1/p' | sort -u
}
