/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_KVM_CALLS_H
#define TESTS_UNIT_KVM_CALLS_H

#include <stdint.h>

/* The real KVM, called without the library. */

/* Ends the program with a skip where there is no KVM. */
void kvm_need (void);

#define kvm_do(fd, request, argument) kvm_do_at (__FILE__, __LINE__, #request, fd, request, (uintptr_t) (argument))
int kvm_do_at (const char *file, int line, const char *name, int fd, unsigned long request, uintptr_t argument);

#endif
