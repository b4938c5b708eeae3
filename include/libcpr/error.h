/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_ERROR_H
#define LIBCPR_ERROR_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <glib.h>

G_BEGIN_DECLS

/**
 * SECTION:error
 * @title: Errors
 *
 * One error domain with few codes: one for each thing that an operator would do differently. A code
 * keeps its number and meaning for ever. The message names the object first, then what was expected
 * and found, in lower case, without a full stop: `RAM block 'pc.ram': size is 1073741824 in the
 * state, 2147483648 here`.
 */

/**
 * CPR_ERROR:
 *
 * The error domain of libcpr.
 */
#define CPR_ERROR (cpr_error_quark ())

/**
 * CprError:
 * @CPR_ERROR_INVALID: an argument can't be right in any program: an empty name, a negative fd, a
 *     size of 0
 * @CPR_ERROR_EXISTS: something of that name is there already
 * @CPR_ERROR_NOT_FOUND: nothing of that name is there
 * @CPR_ERROR_STATE: the call isn't permitted in the session's present state
 * @CPR_ERROR_BLOCKED: the update isn't possible now; the message says what stands in the way
 * @CPR_ERROR_SYSTEM: a system call failed; cpr_error_get_errno() has the cause
 * @CPR_ERROR_CORRUPT: the state is damaged or isn't a libcpr state
 * @CPR_ERROR_VERSION: the state was written by a libcpr, or by a device type, that this program
 *     can't read
 * @CPR_ERROR_MISMATCH: the state is intact but isn't this program's: another VM, another size,
 *     another file behind an fd
 * @CPR_ERROR_CALLBACK: a callback of the VMM failed without saying why
 * @CPR_ERROR_ROLLED_BACK: the new program failed before the commit and the guest is back in the old
 *     one
 * @CPR_ERROR_NOT_OWNER: the guest belongs to another process by now; it must not run here
 * @CPR_ERROR_REFUSED: the program that was asked in a preflight couldn't take the guest over, or
 *     didn't answer; nothing was stopped
 * @CPR_ERROR_PAUSE_BUDGET: the pause had lasted longer than it may, so the update was undone; it
 *     may work at a quieter time, or with more time
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
 * @error: an error of any domain; not %NULL; stays the caller's
 *
 * The errno that caused @error, so that a program can tell a full disk from a missing permission.
 *
 * Threads: safe. Permitted states: needs no session.
 *
 * Returns: an errno value, or 0 where no system call was the cause or @error isn't of the domain
 * %CPR_ERROR
 *
 * Since: 0.1
 */
CPR_API int cpr_error_get_errno (const GError *error);

G_END_DECLS

#endif
