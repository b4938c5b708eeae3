/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_H
#define LIBCPR_H

/**
 * SECTION:libcpr
 * @title: libcpr
 *
 * Replaces a virtual machine monitor under its running guest. This is the one header to include.
 *
 * Every start of a VMM reads the same, fresh or taking over a running guest:
 * cpr_session_new(), then fds and RAM (each call creates or takes over), then devices, then cpr_session_load(),
 * then cpr_session_start(). The update itself is one call in the old program: cpr_session_update().
 *
 * What holds for every function, unless its page says otherwise:
 *
 * - On failure nothing has changed.
 * - Until the commit (inside cpr_session_start() of the new program) the old program can take the guest back.
 * - `add` borrows, `take` moves ownership to the caller, `get` returns what stays the library's.
 * - A session is used from one thread at a time. Blockers may be added and removed by any thread at any time.
 * - After fork() the child may do nothing with a session but cpr_session_free().
 * - The library never prints, never exits and never aborts on input. It exits the *process image* in three documented
 *   places only: cpr_session_update() in exec mode, the way back to the old program before the commit, and a process that was
 *   started only to be asked, see #SECTION:preflight.
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
