/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_ERROR_H
#define LIBCPR_ERROR_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <stdbool.h>

#include <glib.h>

G_BEGIN_DECLS

/**
 * SECTION:error
 * @title: Errors
 *
 * There is one error domain with few codes. Two errors have different codes where an operator would
 * act differently. A code keeps its number and its meaning for ever. A message names the object
 * first, then what was expected and what was found. It is in lower case, without a full stop: `RAM
 * block 'pc.ram': size is 1073741824 in the state, 2147483648 here`.
 */

/**
 * CPR_ERROR:
 *
 * The error domain of libcpr.
 */
#define CPR_ERROR (cpr_error_quark ())

/**
 * CprError:
 * @CPR_ERROR_INVALID: an argument is invalid in any program: an empty name, a negative fd, a size
 *     of 0
 * @CPR_ERROR_EXISTS: an object of that name exists already
 * @CPR_ERROR_NOT_FOUND: no object of that name exists
 * @CPR_ERROR_STATE: the call isn't permitted in the present session state, or not in this process
 * @CPR_ERROR_BLOCKED: the update isn't possible now; the message says what blocks it
 * @CPR_ERROR_SYSTEM: a system call failed; cpr_error_get_errno() has the cause
 * @CPR_ERROR_CORRUPT: the state is damaged, or isn't a libcpr state
 * @CPR_ERROR_VERSION: this program can't read the state: a libcpr or a device type of another
 *     version wrote it
 * @CPR_ERROR_MISMATCH: the state is intact but doesn't fit this program: another VM, another size,
 *     another file behind an fd
 * @CPR_ERROR_CALLBACK: a callback of the VMM failed and set no error
 * @CPR_ERROR_ROLLED_BACK: the new program failed before the commit, and the guest is back in the
 *     old one
 * @CPR_ERROR_NOT_OWNER: the guest belongs to another process by now and must not run here
 * @CPR_ERROR_REFUSED: a program asked in a preflight couldn't take the guest over, or didn't
 *     answer; nothing was stopped
 * @CPR_ERROR_PAUSE_BUDGET: the pause lasted longer than the update allowed, so the update was
 *     undone; it may work at a quieter time, or with a larger budget
 *
 * Error codes. Since: 0.1
 */
typedef enum
{
  CPR_ERROR_INVALID = 1,
  CPR_ERROR_EXISTS = 2,
  CPR_ERROR_NOT_FOUND = 3,
  CPR_ERROR_STATE = 4,
  CPR_ERROR_BLOCKED = 5,
  CPR_ERROR_SYSTEM = 6,
  CPR_ERROR_CORRUPT = 7,
  CPR_ERROR_VERSION = 8,
  CPR_ERROR_MISMATCH = 9,
  CPR_ERROR_CALLBACK = 10,
  CPR_ERROR_ROLLED_BACK = 11,
  CPR_ERROR_NOT_OWNER = 12,
  CPR_ERROR_REFUSED = 13,
  CPR_ERROR_PAUSE_BUDGET = 14
} CprError;

/**
 * cpr_error_quark:
 *
 * The quark behind %CPR_ERROR.
 *
 * Threads: safe. Permitted states: needs no session.
 *
 * Returns: the error domain
 *
 * Since: 0.1
 */
CPR_API GQuark cpr_error_quark (void);

/**
 * cpr_error_get_errno:
 * @error: an error of any domain, not %NULL; it stays the caller's
 *
 * Gives the errno that caused @error, so that a program can tell a full disk from a missing
 * permission.
 *
 * Threads: safe. Permitted states: needs no session.
 *
 * Returns: an errno value; 0 where no system call was the cause, or where @error has another domain
 *
 * Since: 0.1
 */
CPR_API int cpr_error_get_errno (const GError *error);

/**
 * cpr_error_set_errno:
 * @error: where the error goes, or %NULL; an error that is there already stays
 * @code: its code, in most cases %CPR_ERROR_SYSTEM
 * @errnum: the errno value of the failed call
 * @format: a printf() format of what failed: the object first, in lower case, without a full stop
 * @...: the arguments of @format
 *
 * Sets an error of the domain %CPR_ERROR as the library's own calls do: @format, a colon, and the
 * text of @errnum. It is meant for the VMM's callbacks, whose errors an update hands on:
 *
 * |[<!-- language="C" -->
 * if (ioctl (vcpu->fd, KVM_SET_REGS, &vcpu->regs) < 0)
 *   return cpr_error_set_errno (error, CPR_ERROR_SYSTEM, errno, "vCPU %d: KVM_SET_REGS", vcpu->id);
 * ]|
 *
 * The operator then reads `vCPU 0: KVM_SET_REGS: Invalid argument`, and cpr_error_get_errno() gives
 * @errnum. Where @errnum is EPERM or ENOSYS and the process has a seccomp filter, the message says
 * so.
 *
 * Threads: safe. Permitted states: needs no session.
 *
 * Returns: %FALSE, so that a callback fails in one line
 *
 * Since: 0.1
 */
CPR_API bool cpr_error_set_errno (GError **error, CprError code, int errnum, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

G_END_DECLS

#endif
