/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_VM_H
#define MINIVMM_VM_H

#include "accel/accel.h"

/* The vCPUs and what executes them, one thread for each vCPU. */
typedef struct _Vm Vm;

/* How long a vCPU may take to leave the gate. */
#define VM_STOP_TIMEOUT_MS 10000

/* @ram, @bus and @gate must outlive it. The threads are there afterwards, and wait at the gate,
 * inside of which a vCPU runs. */
Vm *vm_new (const AccelConfig *config, CprGate *gate, GError **error);

/* Makes a fresh VM's first state. A VM that is taken over has cpr_session_load() for that. */
bool vm_reset (Vm *vm, const char *guest, GError **error);

/* After a fresh VM's reset or cpr_session_load(): what is left to do before the start, and can
 * fail. */
bool vm_loaded (Vm *vm, GError **error);

/* Gives the guest RAM from @offset of the block on at @gpa, also while it runs. @size may be 0. */
bool vm_add_ram (Vm *vm, uint64_t gpa, uint64_t offset, uint64_t size, GError **error);

/* Readable when a vCPU couldn't go on; the guest should then be paused. vm_clear_failure() makes
 * it unreadable. */
int vm_get_failure_fd (const Vm *vm);
void vm_clear_failure (Vm *vm);

const char *vm_get_accel_name (const Vm *vm);
uint64_t vm_get_counter_khz (const Vm *vm);
unsigned vm_get_n_vcpus (const Vm *vm);

void vm_free (Vm *vm);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Vm, vm_free)

#endif
