/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_KVM_IRQ_H
#define LIBCPR_KVM_IRQ_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/kvm.h>

G_BEGIN_DECLS

/* It is from linux/kvm.h, which this header doesn't include. */
struct kvm_irq_routing;

/**
 * SECTION:kvm-irq
 * @title: Interrupts of a KVM VM
 *
 * The interrupt controller of an AArch64 VM, the routes of interrupts, eventfds that raise them,
 * and eventfds that the guest signals. #SECTION:kvm says what becomes of them in an update.
 */

/**
 * cpr_kvm_gic_add:
 * @vm: a VM
 * @gic_fd: what KVM_CREATE_DEVICE gave for KVM_DEV_TYPE_ARM_VGIC_V3; the VMM's, open as long as the
 *     VM
 * @error: where an error goes, or %NULL
 *
 * Adds the VM's interrupt controller, a GICv3 in the kernel. Its state is a part of the VM's. The
 * VMM's start-up code makes the device after all vCPUs, gives it the number of interrupts and its
 * addresses, and initialises it with KVM_DEV_ARM_VGIC_CTRL_INIT, all that before this call.
 *
 * Errors: %CPR_ERROR_EXISTS (the VM has a GIC, or the fd is held or in the fd table),
 * %CPR_ERROR_INVALID (a GICv2, which can't be handed over, or no GIC; it isn't initialised, or has
 * no address), %CPR_ERROR_SYSTEM (on other architectures than AArch64: ENOTSUP), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_gic_add (CprKvmVm *vm, int gic_fd, GError **error);

/**
 * cpr_kvm_its_add:
 * @vm: a VM, with its GIC added
 * @its_fd: what KVM_CREATE_DEVICE gave for KVM_DEV_TYPE_ARM_VGIC_ITS; the VMM's, open as long as
 *     the VM
 * @error: where an error goes, or %NULL
 *
 * Adds an interrupt translation service of the GIC, by which MSIs become LPIs. A VM may have
 * several; each program adds them in the same order. The VMM's start-up code gives it its address
 * and initialises it with KVM_DEV_ARM_VGIC_CTRL_INIT, both before this call.
 *
 * Errors: %CPR_ERROR_EXISTS (the fd is held or in the fd table), %CPR_ERROR_INVALID (no ITS, or it
 * has no address; the VM has no GIC yet, or has 64 ITSs), %CPR_ERROR_SYSTEM (on other architectures
 * than AArch64: ENOTSUP), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_its_add (CprKvmVm *vm, int its_fd, GError **error);

/**
 * cpr_kvm_vm_set_gsi_routing:
 * @vm: a VM
 * @routing: all routes, as KVM_SET_GSI_ROUTING takes them; only read during the call
 * @error: where an error goes, or %NULL
 *
 * Sets the VM's routing, and has it set again in the new program: the one part of KVM's state that
 * it doesn't tell. A VMM that calls this instead of the ioctl needn't keep routes anywhere else;
 * one that derives them from its devices' state may go on doing so, in their `post_load`.
 *
 * Errors: %CPR_ERROR_INVALID (more than 4096 routes, or flags), %CPR_ERROR_SYSTEM,
 * %CPR_ERROR_STATE (in a forked child).
 *
 * Threads: any thread may call it, one at a time, and none between `stop` and `start`.
 * Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_vm_set_gsi_routing (CprKvmVm *vm, const struct kvm_irq_routing *routing, GError **error);

/**
 * cpr_kvm_irqfd_add:
 * @vm: a VM
 * @fd: an eventfd; the VMM's, open until it is removed. If it survives, it is in the fd table
 * @gsi: which interrupt it raises
 * @resample_fd: for a level: an eventfd that is signalled at the end of the interrupt, see
 *     KVM_IRQFD_FLAG_RESAMPLE; -1: none
 * @error: where an error goes, or %NULL
 *
 * Has an eventfd raise an interrupt of the VM while the guest is this program's: KVM_IRQFD at once,
 * or, in a session that took up a state, at the commit. In an update it is taken off before the
 * VM's state is read, and put on again if the update fails. A level that is up goes down with that;
 * so when it is put on, @resample_fd is signalled, and who raises it does so again.
 *
 * Irqfds aren't state: the new program adds its own, when it has the eventfds. They go with the VM.
 *
 * Errors: %CPR_ERROR_EXISTS (@fd for @gsi), %CPR_ERROR_SYSTEM, %CPR_ERROR_STATE (in a forked
 * child).
 *
 * Threads: safe. Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_irqfd_add (CprKvmVm *vm, int fd, uint32_t gsi, int resample_fd, GError **error);

/**
 * cpr_kvm_irqfd_remove:
 * @vm: a VM
 * @fd: the eventfd
 * @gsi: which interrupt it raises
 * @error: where an error goes, or %NULL
 *
 * Undoes cpr_kvm_irqfd_add().
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_SYSTEM, %CPR_ERROR_STATE (in a forked child).
 *
 * Threads: safe. Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_irqfd_remove (CprKvmVm *vm, int fd, uint32_t gsi, GError **error);

/**
 * cpr_kvm_ioeventfd_add:
 * @vm: a VM
 * @fd: an eventfd; the VMM's. KVM keeps the file open by itself. It is in the fd table if a kick
 *     that waits in it matters
 * @address: the address or port that the guest writes to
 * @size: how many bytes the guest writes: 1, 2, 4 or 8, or 0: any number of them
 * @datamatch: the only value that counts, with KVM_IOEVENTFD_FLAG_DATAMATCH; else unused
 * @flags: or-ed KVM_IOEVENTFD_FLAG_DATAMATCH and KVM_IOEVENTFD_FLAG_PIO, which says that @address
 *     is a port; 0: none
 * @error: where an error goes, or %NULL
 *
 * Has such writes of the guest signal an eventfd, from now on. An update needs nothing else. In the
 * old program the ioeventfd stays as it is, for the case that the guest goes on there. A kick that
 * nobody has read waits in the eventfd, and whoever reads it in the new program finds it. Only a
 * thread of the old program could still take it away: it enters a #CprGate before it reads.
 *
 * Ioeventfds aren't state: the new program adds its own before cpr_session_start(). They go with
 * the VM.
 *
 * Errors: %CPR_ERROR_INVALID (flags), %CPR_ERROR_EXISTS (there is an ioeventfd for such writes),
 * %CPR_ERROR_SYSTEM.
 *
 * Threads: safe. Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_ioeventfd_add (
    CprKvmVm *vm, int fd, uint64_t address, uint32_t size, uint64_t datamatch, uint32_t flags, GError **error);

/**
 * cpr_kvm_ioeventfd_remove:
 * @vm: a VM
 * @fd: the eventfd
 * @address: as it was added
 * @size: as it was added
 * @datamatch: as it was added
 * @flags: as it was added
 * @error: where an error goes, or %NULL
 *
 * Undoes cpr_kvm_ioeventfd_add().
 *
 * Errors: %CPR_ERROR_INVALID (flags), %CPR_ERROR_NOT_FOUND, %CPR_ERROR_SYSTEM.
 *
 * Threads: safe. Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_ioeventfd_remove (
    CprKvmVm *vm, int fd, uint64_t address, uint32_t size, uint64_t datamatch, uint32_t flags, GError **error);

G_END_DECLS

#endif
