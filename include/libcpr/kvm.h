/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_KVM_H
#define LIBCPR_KVM_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/device.h>
#include <libcpr/preflight.h>
#include <libcpr/ram.h>
#include <libcpr/session.h>
#include <libcpr/vfio.h>

G_BEGIN_DECLS

/**
 * SECTION:kvm
 * @title: KVM
 *
 * A KVM VM belongs to the address space that made it, so no update can hand one over: each program
 * makes a VM and vCPUs of its own, with the same start-up code, fresh or not. KVM keeps state for
 * them. The library reads all of it in the old program and sets it in the new one, in the order
 * that KVM needs. The VMM registers its fds:
 *
 * |[<!-- language="C" -->
 * kvm    = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
 * vm_fd  = cpr_kvm_create_vm (session, kvm, 0, &error);
 * vm     = cpr_kvm_vm_new (session, "kvm", kvm, vm_fd, 0, &error);
 *          cpr_kvm_slot_add (vm, 0, 0, ram, 0, cpr_ram_block_get_size (ram), 0, &error);
 *          … KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2 …
 * for each vCPU:
 * fd     = ioctl (vm_fd, KVM_CREATE_VCPU, index);
 *          … KVM_SET_CPUID2 …
 *          cpr_kvm_vcpu_add (vm, index, fd, &error);
 *
 *          cpr_session_load (session, &error);
 *          if (!cpr_session_is_incoming (session)) … KVM_SET_SREGS2, KVM_SET_REGS: as at power-on …
 *          cpr_session_start (session, &error);
 * ]|
 *
 * On AArch64 the vCPUs come first, and the VMM makes the interrupt controller as KVM devices:
 *
 * |[<!-- language="C" -->
 * for each vCPU:
 * fd     = ioctl (vm_fd, KVM_CREATE_VCPU, index);
 *          … KVM_ARM_VCPU_INIT with its features, KVM_ARM_VCPU_FINALIZE where it has SVE …
 *          cpr_kvm_vcpu_add (vm, index, fd, &error);
 * gic_fd = … KVM_CREATE_DEVICE of KVM_DEV_TYPE_ARM_VGIC_V3, its number of interrupts, its
 *          addresses, KVM_DEV_ARM_VGIC_CTRL_INIT …
 *          cpr_kvm_gic_add (vm, gic_fd, &error);
 * its_fd = … KVM_CREATE_DEVICE of KVM_DEV_TYPE_ARM_VGIC_ITS, its address,
 *          KVM_DEV_ARM_VGIC_CTRL_INIT …
 *          cpr_kvm_its_add (vm, its_fd, &error);
 * ]|
 *
 * The `declare` callback of #CprSessionConfig calls cpr_inventory_add_kvm(), which also says that
 * the program knows both device types. Without such a callback, list them in `device_types`. Don't
 * add the fds to the fd table, and don't call cpr_session_hold_fd() for them. The guardian holds
 * them anyway, since closing a VM takes long.
 *
 * #SECTION:kvm-irq has the functions of interrupts.
 *
 * ## The state (x86-64)
 *
 * A vCPU's state is its CPUID, general and special registers (with PDPTRs where KVM has
 * KVM_GET_SREGS2), XCRs, debug registers, events (exceptions, interrupts, NMIs, SMIs and SMM,
 * triple fault), MP state, LAPIC, nested state, shadow stack pointer, MSRs, and the frequency and
 * offset of its TSC. The FPU is read with KVM_GET_XSAVE2, whatever its size; in older kernels with
 * KVM_GET_XSAVE or KVM_GET_FPU. The MSRs are those that KVM lists, and some that it has and doesn't
 * list: MTRRs, machine check banks, synthetic interrupts and timers of Hyper-V. MSRs that can't be
 * read are left out. MSR_KVM_WALL_CLOCK and its successor are left out too. Writing one makes KVM
 * write to the guest's memory, and a guest that wants to know the time writes the MSR itself.
 *
 * The VM's state is its clock, PIC and IOAPIC, PIT, and the routing that
 * cpr_kvm_vm_set_gsi_routing() was given. Without an irqchip, or with a split one, the VMM keeps
 * the missing parts as devices of its own.
 *
 * ## The state (AArch64)
 *
 * A vCPU's state is all registers that KVM_GET_REG_LIST lists, its events (a pending SError), and
 * its MP state, so that a vCPU that is switched off by PSCI stays off. The registers are those of
 * the firmware (the version of PSCI, the hypercalls that there are), the system registers, the
 * general ones, those of SIMD or SVE, and the timers; they are set in this order. The MIDR, the ID
 * registers and others that say what the CPU is aren't set if they have their value already. KVM
 * lets few of them be changed: where it refuses, the load fails with the register's name. A
 * register of the state that KVM doesn't have here is an error, too, unless its value is 0: a guest
 * can't tell it from one that was never set. A register that KVM has here and that the state lacks
 * keeps the value it has from KVM_ARM_VCPU_INIT.
 *
 * The VM's state is its counters, the GICv3 and its ITSs, and the routing. The GIC's part is the
 * registers of the distributor, the redistributors and the CPU interfaces, the latches of pending
 * interrupts and the levels of their lines. The numbers and addresses that the VMM gave to it must
 * be the same in both programs, and the vCPUs made in the same order: the load compares them.
 *
 * The state of LPIs is in the guest's memory. When the old program saves its state, while the guest
 * stands still, KVM writes the ITSs' tables and the pending LPIs to the tables that the guest
 * provided for that. When the new program loads the state, KVM reads them, takes the bits of the
 * pending LPIs out, and puts them in again, so that another program can load the same state. It is
 * the one case in which a load writes guest RAM: with %CPR_INCOMING_PROTECT_RAM it fails (EFAULT)
 * if an LPI is pending.
 *
 * A GICv2 can't be handed over. Without a GIC in the kernel the VMM keeps one as a device of its
 * own, and sets the lines of the vCPUs (KVM_IRQ_LINE) before they run.
 *
 * ## The VMM's own part
 *
 * Nobody can read from KVM how a VM was configured, so the VMM's start-up code configures it again:
 * memory slots, KVM_ENABLE_CAP, KVM_SET_TSS_ADDR, filters of MSRs and PMU events,
 * KVM_SET_BOOT_CPU_ID, permission for AMX (ARCH_REQ_XCOMP_GUEST_PERM, before the first vCPU),
 * attributes of Xen. On AArch64 these are also the features of the vCPUs, the attributes of a vCPU
 * (the interrupts of PMU and timers, the address of the stolen time), KVM_ARM_SET_COUNTER_OFFSET,
 * and the filter of SMCCC calls. Add memory slots before cpr_session_load(), since KVM reads page
 * tables and tables of LPIs there. Keep to the order above: once there is an irqchip, a change of
 * memory costs milliseconds on x86-64.
 *
 * ## When the state is right
 *
 * While the guest stands still no thread may be in KVM_RUN, and each vCPU must have completed its
 * last exit: #SECTION:kvm-run has the loop of a vCPU's thread.
 *
 * An interrupt that comes between KVM_GET_LAPIC, or the reading of the GIC, and the end of the old
 * VM is lost. So register irqfds with cpr_kvm_irqfd_add(): the library takes them off before it
 * reads anything. It puts them on right before `start`, in the new program or, where the update has
 * failed, in the old one. Interrupts that come in between wait in their eventfds. While the guest
 * stands still nobody may use KVM_IRQ_LINE or KVM_SIGNAL_MSI. A device that raises an interrupt in
 * its `post_load` must have `libcpr.kvm-vm`, which is loaded after all vCPUs, in the `load_after`
 * of its type. An ioeventfd needs no such care: cpr_kvm_ioeventfd_add() assigns it to the new VM
 * before the guest runs, with the eventfd from the fd table, in which a kick may wait.
 *
 * ## Time
 *
 * The guest's TSC and its kvmclock go on while the guest stands still, as the clocks of a real
 * machine do. In exec and transfer mode, and in reboot mode on the same boot of the host, the TSC
 * keeps its offset and doesn't jump. After a restart of the host both clocks go forward by the time
 * of day that has passed. The TSCs of all vCPUs are shifted by the same number, so TSCs that were
 * equal stay equal. With %CPR_KVM_TIME_STOPS both clocks stand still instead. In either case
 * KVM_KVMCLOCK_CTRL tells the guest that it stood still, so its watchdogs don't report a lock-up.
 * The PIT's timers, and those of a LAPIC that isn't in TSC deadline mode, continue with the time
 * that was left.
 *
 * A TSC of another frequency needs a CPU that can scale it. Up to 250 ppm count as the same
 * frequency.
 *
 * On AArch64 the same holds for the virtual counter, CNTVCT_EL0, which all vCPUs have in common. On
 * the same boot of the host it keeps its distance to the host's counter, as exactly as KVM lets it
 * be set: within microseconds, and the errors of many updates don't add up. It never goes back. The
 * physical counter is the host's as long as nothing else is asked for. Where it is another one, or
 * after a restart of the host, or with %CPR_KVM_TIME_STOPS, it is treated like the virtual one
 * since Linux 6.4. Older kernels neither tell nor set the physical timer, so a guest that uses that
 * one should find a newer kernel. No KVM scales these counters: a host of another frequency is
 * refused. A VMM that calls KVM_ARM_SET_COUNTER_OFFSET fixes the counters. It sees to it that the
 * new program fixes them alike; if it doesn't, the load fails.
 *
 * ## Errors
 *
 * Each error names the VM, the vCPU, the ioctl and the faulty value: "KVM VM 'kvm': vCPU 1:
 * KVM_SET_MSRS: MSR 0x345: it is 0x2000 in the state, 0x0 here, and KVM refuses to change the bits
 * 0x2000"; "KVM VM 'kvm': vCPU 0: KVM_SET_ONE_REG: register ID_AA64MMFR0_EL1 (S3_0_C0_C7_0): it is
 * 0x101124 in the state, 0x101125 here, and KVM refuses to change it". A register of AArch64 has
 * its name and the one by which assemblers know it: op0, op1, CRn, CRm, op2. The errors come from
 * cpr_session_update() (reading: the guest goes on) or cpr_session_load() (setting: the old program
 * takes the guest back): %CPR_ERROR_SYSTEM with the errno, %CPR_ERROR_MISMATCH where KVM lacks
 * something here that the state has, %CPR_ERROR_CORRUPT.
 *
 * In transfer mode cpr_session_load() asks KVM for the vCPUs' state while the guest still runs in
 * the old program. In the pause it sets only the parts that differ. So call KVM_SET_CPUID2 before
 * the load: if the CPUID differs from that of the state, everything is set. On AArch64 this holds
 * for the ID registers, and the GIC is asked, too. In exec mode the guest stands still meanwhile,
 * and the load sets the CPUID anyway. A program that took up a state from such an update can leave
 * the call out, and KVM_GET_SUPPORTED_CPUID, which takes long.
 *
 * ## Preflight
 *
 * A program that is asked whether it could take the guest over compares the state's needs with what
 * KVM offers it. After a rehearsed start-up, and in transfer mode after the real one, it asks by
 * the fd with which it made its VM, else by /dev/kvm. Each lack is a refusal that names the thing:
 * bits of the CPUID, MSRs, the size of the XSAVE area, machine check banks, nested state, PIC and
 * IOAPIC, PIT, indices of vCPUs. On AArch64 it makes a VM with one vCPU, which is gone afterwards,
 * to ask it for its registers. The findings there are the features of KVM_ARM_VCPU_INIT, which the
 * library derives from the registers of the state, registers, values of ID registers, vector
 * lengths of SVE, GICv3 and ITS, the frequency of the counters, and indices of vCPUs. Where the
 * program has made its own VM by then, the features of its vCPUs, its GIC and its ITSs are compared
 * as well.
 *
 * A feature in the CPUID counts if KVM offered it where the guest was started. Others are the VMM's
 * own affair. The library finds the needs out when the guest is started and when a vCPU is plugged
 * in, since KVM doesn't answer about a vCPU that runs. Hence call KVM_SET_CPUID2 before
 * cpr_kvm_vcpu_add(). A program that asks for permission for AMX does so before cpr_session_new():
 * without that permission KVM offers no AMX.
 *
 * In reboot mode nobody is asked. After a restart of the host cpr_session_load() compares the CPUID
 * in the same way; all else is found when it is set.
 *
 * ## What can't be handed over
 *
 * No other VM can have the memory and vCPUs of a VM with SEV or TDX, nor the guest_memfds of a VM
 * of a type with private memory (KVM_X86_SW_PROTECTED_VM and later types), nor those of a protected
 * VM on AArch64 (pKVM). A guest on AArch64 with VMs of its own (KVM_ARM_VCPU_HAS_EL2) isn't handed
 * over either. A blocker of all modes says so. A file can't hold the tags that memory has with MTE,
 * so they block reboot mode; in the other modes they stay with the memory. In a VM of the default
 * type guest_memfds are ordinary memory, which belongs to that VM nevertheless: a RAM block of one
 * blocks exec and transfer mode.
 */

/**
 * CprKvmVm:
 *
 * A KVM VM with its vCPUs. Opaque; owned by its session, and valid as long as that or until
 * cpr_kvm_vm_remove().
 */
typedef struct _CprKvmVm CprKvmVm;

/**
 * CprKvmFlags:
 * @CPR_KVM_TIME_STOPS: in an update the guest's TSC and kvmclock, or its counters, stand still,
 *     instead of going on like those of a real machine. It counts what the program says that loads
 *     the state
 *
 * How a VM is handed over.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_KVM_TIME_STOPS = 1 << 0
} CprKvmFlags;

/**
 * cpr_kvm_create_vm:
 * @session: a session
 * @kvm_fd: /dev/kvm
 * @type: what KVM_CREATE_VM takes: the type of the VM, 0: the default one. On AArch64 the size of
 *     its physical addresses is a part of it
 * @error: where an error goes, or %NULL
 *
 * Makes a VM, like the ioctl KVM_CREATE_VM, where an update would go wrong with the plain ioctl:
 *
 * - The kernel names a VM's statistics in debugfs after the PID and the fd's number. In an update
 *   the PID stays, and the VMs of earlier programs may still be there. So each update gets another
 *   number, as far as that number is free. With the same number the VM would work, but it would
 *   have no statistics, and the kernel's log would say "duplicate directory".
 * - A signal interrupts the ioctl. So all signals are blocked meanwhile.
 *
 * The VM isn't the session's yet: see cpr_kvm_vm_new().
 *
 * Errors: %CPR_ERROR_SYSTEM (as of the ioctl), %CPR_ERROR_STATE (in a forked child). After failure
 * nothing has changed.
 *
 * Threads: safe, but only where no other thread opens an fd meanwhile is the number sure to be
 * another one. Permitted states: all.
 *
 * Returns: the VM's fd, the caller's, close-on-exec; or -1
 *
 * Since: 0.1
 */
CPR_API int cpr_kvm_create_vm (CprSession *session, int kvm_fd, unsigned long type, GError **error);

/**
 * cpr_kvm_vm_new:
 * @session: a session
 * @name: a name of 1 to 255 bytes, unique among the session's devices, see cpr_device_add(); the
 *     same in every program; copied
 * @kvm_fd: /dev/kvm; the VMM's, open as long as the VM
 * @vm_fd: what cpr_kvm_create_vm() or KVM_CREATE_VM returned; the VMM's, open as long as the VM
 * @flags: or-ed #CprKvmFlags; 0: none
 * @error: where an error goes, or %NULL
 *
 * Adds a VM to the session: a device of the type cpr_kvm_vm_get_type() and the name @name. It is
 * loaded after its vCPUs. A VM needs at least one, see cpr_kvm_vcpu_add(), before
 * cpr_session_load() and before an update: both fail with %CPR_ERROR_INVALID where a VM has none.
 *
 * Errors: %CPR_ERROR_INVALID (name, flags), %CPR_ERROR_EXISTS (a device of that name, or the fd is
 * held or in the fd table), %CPR_ERROR_BLOCKED (SEV, TDX, a protected VM or private memory, and
 * `required_modes` isn't 0), %CPR_ERROR_VERSION (another API of KVM), %CPR_ERROR_SYSTEM (no fd of
 * KVM's), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, ACTIVE.
 *
 * Returns: (transfer none): the VM, or %NULL
 *
 * Since: 0.1
 */
CPR_API CprKvmVm *
cpr_kvm_vm_new (CprSession *session, const char *name, int kvm_fd, int vm_fd, unsigned flags, GError **error);

/**
 * cpr_kvm_vm_remove:
 * @vm: a VM; not valid afterwards
 * @error: where an error goes, or %NULL
 *
 * Takes a VM and its vCPUs out of the session. The fds stay open and are the guardian's no more;
 * close them afterwards.
 *
 * Errors: %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE, LOST, HANDED_OVER.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_vm_remove (CprKvmVm *vm, GError **error);

/**
 * cpr_kvm_vcpu_add:
 * @vm: a VM
 * @index: the number that KVM_CREATE_VCPU got; on x86-64 the vCPU's APIC id
 * @vcpu_fd: what it returned; the VMM's, open as long as the VM
 * @error: where an error goes, or %NULL
 *
 * Adds a vCPU: a device of the type cpr_kvm_vcpu_get_type() and the name `NAME/vcpuINDEX`, where
 * NAME is the VM's. The first one is added after permission for AMX was asked for. On AArch64 the
 * vCPU has its features by then, and is finalized if it has SVE. In cpr_session_load() nobody may
 * be in KVM_RUN. From cpr_session_start() on, the vCPU's CPUID and TSC frequency must not change:
 * they are read only once.
 *
 * Add every vCPU that KVM has. KVM can't be asked how many there are. So a program that forgets
 * some of them saves a guest in which these start from power-on.
 *
 * Errors: %CPR_ERROR_INVALID (the name is too long with the index; on AArch64: KVM_ARM_VCPU_INIT or
 * KVM_ARM_VCPU_FINALIZE is missing), %CPR_ERROR_EXISTS (a device of that name, or the fd is held or
 * in the fd table), %CPR_ERROR_BLOCKED (EL2 or MTE, and `required_modes` has such a mode),
 * %CPR_ERROR_SYSTEM, %CPR_ERROR_VERSION (a vCPU's state is larger than 1 MiB), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_vcpu_add (CprKvmVm *vm, unsigned index, int vcpu_fd, GError **error);

/**
 * cpr_kvm_vcpu_remove:
 * @vm: a VM
 * @index: the number that it was added with
 * @error: where an error goes, or %NULL
 *
 * Takes a vCPU out of the session, because it was unplugged: it isn't saved from then on, and the
 * next program doesn't make it. Nobody may be in its KVM_RUN any more. KVM itself keeps the vCPU as
 * long as the VM. So keep the fd: with it the vCPU can be plugged in again by cpr_kvm_vcpu_add().
 *
 * With a GIC, KVM on AArch64 takes no vCPU later. So a VMM makes all that there can ever be, and
 * those that aren't plugged in are switched off: it adds them all, and removes none.
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE, LOST, HANDED_OVER.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_vcpu_remove (CprKvmVm *vm, unsigned index, GError **error);

/**
 * cpr_kvm_slot_add:
 * @vm: a VM
 * @slot: the slot's number; a slot of that number that is there is replaced
 * @gpa: where the guest has it; a multiple of the page size
 * @block: the RAM block, one of the session's; it must not be removed before the slot
 * @offset: where in @block it begins; a multiple of the page size
 * @size: how much, in bytes; a multiple of the page size, not 0
 * @flags: as of KVM_SET_USER_MEMORY_REGION, such as KVM_MEM_LOG_DIRTY_PAGES; 0: none.
 *     KVM_MEM_GUEST_MEMFD is refused
 * @error: where an error goes, or %NULL
 *
 * Gives the guest a piece of a RAM block as memory. Slots aren't state: the new program adds them,
 * before cpr_session_load(), and best before the irqchip is created. Those of other memory are the
 * VMM's own, with the ioctl.
 *
 * Errors: %CPR_ERROR_INVALID (it doesn't lie in @block, or is a guest_memfd), %CPR_ERROR_SYSTEM.
 *
 * Threads: safe, as long as none removes @block. Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_slot_add (CprKvmVm *vm,
                               uint32_t slot,
                               uint64_t gpa,
                               const CprRamBlock *block,
                               uint64_t offset,
                               uint64_t size,
                               uint32_t flags,
                               GError **error);

/**
 * cpr_kvm_slot_remove:
 * @vm: a VM
 * @slot: the slot's number
 * @error: where an error goes, or %NULL
 *
 * Takes a slot's memory away from the guest.
 *
 * Errors: %CPR_ERROR_SYSTEM (EINVAL: there is no such slot).
 *
 * Threads: safe. Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_slot_remove (CprKvmVm *vm, uint32_t slot, GError **error);

/**
 * cpr_kvm_vfio_add:
 * @vm: a VM
 * @device: an assigned device of the session; removed from @vm before cpr_vfio_device_remove()
 * @error: where an error goes, or %NULL
 *
 * Tells KVM that the VM has the device, by KVM's own VFIO device, which is made with the first call
 * (KVM_DEV_VFIO_FILE_ADD of the device's group, or of the device where it has none): at once or, in
 * a session that took up a state, at the commit. In an update KVM forgets the device before the
 * VM's state is read, and learns it again if the update fails. Otherwise the end of the old VM
 * would take the device from the new one. A kernel without such a KVM device needn't be told.
 *
 * The association isn't state: the new program adds its own, when it has the device.
 *
 * Errors: %CPR_ERROR_EXISTS (it was added), %CPR_ERROR_SYSTEM, %CPR_ERROR_STATE (in a forked
 * child).
 *
 * Threads: safe. Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_vfio_add (CprKvmVm *vm, CprVfioDevice *device, GError **error);

/**
 * cpr_kvm_vfio_remove:
 * @vm: a VM
 * @device: the device
 * @error: where an error goes, or %NULL
 *
 * Undoes cpr_kvm_vfio_add().
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_SYSTEM, %CPR_ERROR_STATE (in a forked child).
 *
 * Threads: safe. Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_vfio_remove (CprKvmVm *vm, CprVfioDevice *device, GError **error);

/**
 * cpr_kvm_vm_get_type:
 *
 * The device type of a VM, for `device_types` of the configuration. Permitted states: needs no
 * session.
 *
 * Returns: (transfer none): the type, static
 *
 * Since: 0.1
 */
CPR_API const CprDeviceType *cpr_kvm_vm_get_type (void);

/**
 * cpr_kvm_vcpu_get_type:
 *
 * The device type of a vCPU, for `device_types` of the configuration. Permitted states: needs no
 * session.
 *
 * Returns: (transfer none): the type, static
 *
 * Since: 0.1
 */
CPR_API const CprDeviceType *cpr_kvm_vcpu_get_type (void);

/**
 * cpr_inventory_add_kvm:
 * @inventory: what the `declare` callback got
 * @name: the VM's name
 * @n_vcpus: how many vCPUs, with the indices from 0 on
 *
 * Says that this program would make a KVM VM of that name with so many vCPUs; refuses where
 * /dev/kvm can't be opened or takes fewer. A program with other indices declares each vCPU with
 * cpr_inventory_add_device(). Permitted states: in the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_kvm (CprInventory *inventory, const char *name, unsigned n_vcpus);

G_END_DECLS

#endif
