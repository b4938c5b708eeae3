/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_H
#define LIBCPR_H

/**
 * SECTION:libcpr
 * @title: libcpr
 *
 * Replaces a virtual machine monitor under its running guest. This is the one header to include.
 *
 * Every start of a VMM reads the same, fresh or taking over a running guest: cpr_session_new(),
 * then fds and RAM (each call creates or takes over), then devices, then cpr_session_load(), then
 * cpr_session_start(). The update itself is one call in the old program: cpr_session_update().
 *
 * What holds for every function, unless its page says otherwise:
 *
 * - On failure nothing has changed.
 * - Until the commit (inside cpr_session_start() of the new program) the old program can take the
 *   guest back.
 * - `add` borrows, `take` moves ownership to the caller, `get` returns what stays the library's.
 * - A session is used from one thread at a time. Blockers may be added and removed by any thread at
 *   any time.
 * - After fork() the child may do nothing with a session but cpr_session_free(): it would act for a
 *   guest that is another process's. Every call that can fail does so there, with %CPR_ERROR_STATE,
 *   in every state.
 * - The library never prints, never exits and never aborts on input. It exits the *process image*
 *   in three documented places only: cpr_session_update() in exec mode, the way back to the old
 *   program before the commit, and a process that was started only to be asked, see
 *   #SECTION:preflight.
 * - A struct whose first member is `size` says with it which version of the struct the program was
 *   built with: always its `sizeof`. Later versions append members, and 0 or %NULL in each means
 *   "as before", so that a program and a libcpr of different versions go together. Members that a
 *   program built with an earlier version lacks count as 0. Those that a later version has and this
 *   libcpr doesn't know have to be 0; else the call fails with %CPR_ERROR_INVALID, as it does for a
 *   `size` that no version has had: a preflight refuses such a program, and one that took up a
 *   state gives the guest back.
 * - Strings are UTF-8 or plain bytes, sizes are in bytes, times in nanoseconds of CLOCK_MONOTONIC.
 */

#include <libcpr/version.h>
#include <libcpr/error.h>
#include <libcpr/session.h>
#include <libcpr/fd.h>
#include <libcpr/ram.h>
#include <libcpr/field.h>
#include <libcpr/device.h>
#include <libcpr/update.h>
#include <libcpr/event.h>
#include <libcpr/preflight.h>
#include <libcpr/vfio.h>

#endif
