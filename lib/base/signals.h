/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_SIGNALS_H
#define CPR_BASE_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Sets of signals as they stand in the state: bit n-1 is signal n. */

/* Blocks all signals in this thread; @old is for cpr_signals_restore(). */
void cpr_signals_block_all (sigset_t *old);
void cpr_signals_restore (const sigset_t *old);

/* This thread's mask. */
uint64_t cpr_signals_get_mask (void);
void cpr_signals_set_mask (uint64_t bits);

/* The process's ignored signals; setting them is for right before an execve. */
uint64_t cpr_signals_get_ignored (void);
void cpr_signals_set_ignored (uint64_t bits);

/* Sends @signal to the process @pid, which can't be another's meanwhile: it is the caller's
 * child and not reaped, or @pidfd (-1: none) is open on it. By the one system call where a
 * seccomp filter denies the other. False with errno; ESRCH: it has ended. */
bool cpr_signals_send (pid_t pid, int pidfd, int signal);

#endif
