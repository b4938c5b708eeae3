/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_H
#define LIBCPR_H

/**
 * SECTION:libcpr
 * @title: libcpr
 *
 * Replaces a virtual machine monitor under its running guest. Include this header and no other.
 *
 * A VMM starts in the same way whether its guest is fresh or comes from another program:
 * cpr_session_new() first, then fds and RAM, then devices, then cpr_session_load(), then
 * cpr_session_start(). Each call for an fd or for RAM creates the object, or claims the one that
 * the old program handed over. The old program makes the update with one call,
 * cpr_session_update().
 *
 * These rules hold for every function whose page doesn't say otherwise:
 *
 * - After a failure nothing has changed.
 * - The old program can take the guest back until the commit, which happens inside
 *   cpr_session_start() of the new program.
 * - `add` borrows, `take` moves ownership to the caller, and `get` returns an object that stays the
 *   library's.
 * - One thread at a time uses a session. Any thread may add and remove blockers at any time. A
 *   #CprGate is for all threads, and keeps them out while the guest stands still.
 * - After fork() the child may do nothing with a session but free it with cpr_session_free():
 *   anything else would act for a guest that belongs to another process. In such a child every call
 *   that can fail fails with %CPR_ERROR_STATE, in every session state.
 * - The library never prints, never exits and never aborts on input. There are three exceptions, in
 *   which it ends the *process image*: cpr_session_update() in exec mode, the way back to the old
 *   program before the commit, and the answer of a process that a preflight started, see
 *   #SECTION:preflight.
 * - An argument that no program may pass, such as %NULL where a page doesn't permit it, is a bug.
 *   Then GLib prints a critical message, and the call does nothing. The call sets no error.
 * - A struct whose first member is `size` holds its own `sizeof` there. So the library knows the
 *   version of the struct that the program was built with. Later versions append members, and 0 or
 *   %NULL in a new member means "as before". So a program and a libcpr of different versions work
 *   together. Members that the program's version lacks count as 0. Members that this libcpr doesn't
 *   know have to be 0. Otherwise the call fails with %CPR_ERROR_INVALID, as it does for a `size`
 *   that no version has had. A preflight refuses a program that makes this mistake in its
 *   #CprSessionConfig; a program that took up a state gives the guest back.
 * - Strings are UTF-8 or plain bytes. Sizes are in bytes. Times are in nanoseconds of
 *   CLOCK_MONOTONIC.
 *
 * "State", alone, is the stream that one update hands over. doc/glossary.md has all the words.
 */

#include <libcpr/version.h>
#include <libcpr/error.h>
#include <libcpr/session.h>
#include <libcpr/run-state.h>
#include <libcpr/fd.h>
#include <libcpr/ram.h>
#include <libcpr/field.h>
#include <libcpr/field-c.h>
#include <libcpr/field-cxx.h>
#include <libcpr/device.h>
#include <libcpr/update.h>
#include <libcpr/reply.h>
#include <libcpr/event.h>
#include <libcpr/exit.h>
#include <libcpr/gate.h>
#include <libcpr/preflight.h>
#include <libcpr/vfio.h>
#include <libcpr/vfio-irq.h>
#include <libcpr/kvm.h>
#include <libcpr/kvm-irq.h>
#include <libcpr/kvm-run.h>
#include <libcpr/chardev.h>

#endif
