/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_CPUID_H
#define LINUXVMM_CPUID_H

#include <stdbool.h>

#include <glib.h>

/* Tells a vCPU what it can do and where in the machine it is: everything that KVM can do, except
 * virtualization, and one package with @n_cpus cores. */
bool cpuid_set (int kvm_fd, int cpu_fd, unsigned index, unsigned n_cpus, GError **error);

#endif
