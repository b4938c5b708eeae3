/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_FAULT_FAULT_KERNEL_H
#define TESTS_FAULT_FAULT_KERNEL_H

#include <stdbool.h>

#include "base/sys.h"

typedef enum
{
  ACTION_NONE,
  ACTION_FAIL,  /* the argument is the errno */
  ACTION_SHORT, /* does half of what it is told to */
  ACTION_RAISE, /* the argument is the signal */
  ACTION_MEET   /* waits until the test says go on */
} Action;

/* Counts the call and does what the test orders at this one. The caller does the rest:
 * ACTION_FAIL, with errno set, or ACTION_SHORT. A caller that ignores the answer can't fail. */
Action fault_pass (const char *call);
/* True: the call has to fail, and errno is set. */
bool fault_fails (const char *call);
/* Adds @change to the mappings that the library has made. */
void fault_count_mapping (int change);

/* The table of system calls that goes by here. */
extern CprSys fault_calls;

#endif
