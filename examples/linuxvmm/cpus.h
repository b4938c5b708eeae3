/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_CPUS_H
#define LINUXVMM_CPUS_H

#include "kvm.h"

/* A thread for each vCPU, which runs inside the session's gate. */
typedef struct _Cpus Cpus;

/* The threads wait until the gate is opened. */
Cpus *cpus_new (Kvm *kvm, unsigned n_cpus, GError **error);

/* Readable when a vCPU can't go on; its error has been printed. */
int cpus_get_failure_fd (const Cpus *cpus);

#endif
