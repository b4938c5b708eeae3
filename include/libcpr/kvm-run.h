/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_KVM_RUN_H
#define LIBCPR_KVM_RUN_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/kvm.h>

G_BEGIN_DECLS

/* From linux/kvm.h, which this header doesn't include. */
struct kvm_run;

/**
 * SECTION:kvm-run
 * @title: Running a vCPU
 *
 * cpr_kvm_vcpu_run() is the loop of a vCPU's thread:
 *
 * |[<!-- language="C" -->
 * static void *vcpu_main (void *data)
 * {
 *   Vcpu *vcpu = data;
 *   g_autoptr (GError) error = NULL;
 *
 *   if (!cpr_kvm_vcpu_run (vcpu->vm, vcpu->index, SIGUSR1, handle_exit, vcpu, &error))
 *     report (vcpu, error);
 *   return NULL;
 * }
 * ]|
 *
 * A VMM that calls KVM_RUN itself has to know this: after a port or memory access KVM sets the
 * registers in the *next* KVM_RUN; until then they are wrong. Complete the exit on the vCPU's own
 * thread, before that thread leaves its loop. A KVM_RUN that ended with EINTR has completed it;
 * otherwise call cpr_kvm_complete(). After EINTR `exit_reason` is of an earlier KVM_RUN: don't
 * handle it.
 *
 * |[<!-- language="C" -->
 * while (!must_stop)              // whoever stops sets it, then run->immediate_exit, then kicks
 *   if (ioctl (fd, KVM_RUN, 0) == 0)
 *     handle (run);
 *   else if (errno != EINTR && errno != EAGAIN)
 *     fail ();
 * do
 *   ok = cpr_kvm_complete (fd, run, &more, &error);
 * while (ok && more && handle (run));
 * ]|
 */

/**
 * CprKvmExitFunc:
 * @run: the vCPU's `struct kvm_run`, which says what the guest wants
 * @user_data: what was passed to cpr_kvm_vcpu_run()
 * @error: where the reason goes
 *
 * Handles an exit of a vCPU, on the vCPU's own thread, inside the gate.
 *
 * Returns: %TRUE: the vCPU runs on. %FALSE with @error set: it can't
 *
 * Since: 0.1
 */
typedef bool (*CprKvmExitFunc) (struct kvm_run *run, void *user_data, GError **error);

/**
 * cpr_kvm_vcpu_run:
 * @vm: a VM
 * @index: the number that the vCPU was added with; it must not be removed before the call returns
 * @signal: a signal that the library sends to this thread to take the vCPU out of KVM_RUN, such as
 *     SIGUSR1. If it has no handler, the library installs one that does nothing. It is unblocked in
 *     this thread, and nobody should use it for anything else
 * @handle_exit: handles each exit
 * @user_data: passed to @handle_exit
 * @error: where an error goes, or %NULL
 *
 * Runs a vCPU on the calling thread: the whole loop of a vCPU's thread. The thread becomes a member
 * of the session's `gate`, see #CprSessionConfig, by the name of the vCPU's device. It runs the
 * guest inside, and waits outside while the guest stands still. It never leaves with an access
 * half done, so the vCPU's state is right then. Start the thread at any time after
 * cpr_kvm_vcpu_add(): it waits until the guest is started.
 *
 * The call returns %TRUE after cpr_gate_dismiss(). Otherwise it returns only on failure. Then this
 * vCPU has left the gate and doesn't run any more, while the others do. End the VM, or call the
 * function again, perhaps after cpr_session_pause() on another thread.
 *
 * A @handle_exit that takes long, such as one that writes to a pipe, is interrupted by @signal too,
 * if it calls something that fails with EINTR.
 *
 * Errors: %CPR_ERROR_NOT_FOUND (no such vCPU), %CPR_ERROR_INVALID (the session has no gate),
 * %CPR_ERROR_EXISTS (the thread is a member of the gate already), %CPR_ERROR_SYSTEM (KVM_RUN; no
 * such signal; no memory), the error of @handle_exit or %CPR_ERROR_CALLBACK, %CPR_ERROR_STATE (in a
 * forked child).
 *
 * Threads: any, one for each vCPU. Permitted states: all.
 *
 * Returns: %TRUE after the gate was dismissed
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_vcpu_run (
    CprKvmVm *vm, unsigned index, int signal, CprKvmExitFunc handle_exit, void *user_data, GError **error);

/**
 * cpr_kvm_vcpu_handle_parked:
 * @vm: a VM
 * @index: the number that the vCPU was added with
 * @handle_exit: handles each exit
 * @user_data: passed to @handle_exit
 * @error: where an error goes, or %NULL
 *
 * After an update with %CPR_UPDATE_RUN_THROUGH: handles the exits at which the vCPU was parked while
 * no program had the guest. They have been completed: what @handle_exit changes in its struct
 * kvm_run goes nowhere. For a VMM with a loop of its own, which calls this at the beginning of each
 * round, before KVM_RUN; cpr_kvm_vcpu_run() does by itself. Most often there is nothing.
 *
 * Errors: %CPR_ERROR_NOT_FOUND (no such vCPU), the error of @handle_exit or %CPR_ERROR_CALLBACK.
 *
 * Threads: the vCPU's own. Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_vcpu_handle_parked (
    CprKvmVm *vm, unsigned index, CprKvmExitFunc handle_exit, void *user_data, GError **error);

/**
 * cpr_kvm_complete:
 * @vcpu_fd: a vCPU
 * @run: its `struct kvm_run`, as mapped
 * @more: (out): whether the access goes on: @run has another exit, which the VMM handles before it
 *     calls this again. Where an access crosses a page, or an instruction makes two, there are
 *     several
 * @error: where an error goes, or %NULL
 *
 * Has KVM finish the access that the vCPU's last exit was about, without executing anything else of
 * the guest: afterwards the registers are right. Where the last KVM_RUN left nothing unfinished it
 * does no harm. Call it on the vCPU's own thread (on another one it works, and costs
 * milliseconds), once the exit was handled.
 *
 * `immediate_exit` of @run is 1 afterwards, so that the next KVM_RUN ends at once: whoever lets the
 * vCPU go sets it to 0.
 *
 * Errors: %CPR_ERROR_SYSTEM.
 *
 * Threads: safe. Permitted states: needs no session.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_kvm_complete (int vcpu_fd, struct kvm_run *run, bool *more, GError **error);

G_END_DECLS

#endif
