/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_AML_H
#define LINUXVMM_AML_H

#include <glib.h>

/* The body of the DSDT: how the machine is switched off, and the virtio devices in the first
 * @n_virtio slots. */
GByteArray *aml_make_dsdt (unsigned n_virtio);

#endif
