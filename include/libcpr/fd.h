/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_FD_H
#define LIBCPR_FD_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/session.h>

G_BEGIN_DECLS

/**
 * SECTION:fd
 * @title: File descriptors
 *
 * The fd table: file descriptors that survive an update, each under a name and an index. Whatever
 * isn't in the table is closed by the update, except those of 0, 1 and 2 that aren't close-on-exec:
 * the standard streams, which every program inherits.
 *
 * A file of the VMM's own may have one of these numbers, if the VMM was started with a stream
 * closed: it is in the table, or close-on-exec, and treated like any other. Messages are still
 * written to 2, by the dynamic linker or a shell before the new program takes up the state, too: a
 * VMM opens `/dev/null` there before its own files, if it is closed. The library's own fds are from
 * 3 up.
 *
 * Names are 1 to 255 bytes; those that begin with `libcpr:` are the library's own. Indices are 0 to
 * %G_MAXINT and tell apart fds of one name, like the queues of one device. fd numbers don't change
 * in exec mode, but nobody should rely on it.
 *
 * What each fd is (type, device, inode, access mode) is recorded when it is added, and compared in
 * the old program before the guest is stopped and in the new one when it takes up the state. Until
 * the commit the new program shares the open files with the old one: it changes none of them (no
 * close, read, write, seek, flags).
 *
 * File locks: flock() and OFD locks belong to the open file and go along; POSIX record locks belong
 * to the process.
 */

/**
 * cpr_fd_add:
 * @session: a session
 * @name: a name of 1 to 255 bytes; copied
 * @index: 0 to %G_MAXINT
 * @fd: an open fd; borrowed: close it only after cpr_fd_remove(). Not a standard stream: from here
 *     on the programs that this process starts don't inherit it
 * @error: where an error goes, or %NULL
 *
 * Adds an fd to the table. It becomes close-on-exec if it isn't (the library lifts that during the
 * update only).
 *
 * Errors: %CPR_ERROR_INVALID (name, index, a negative fd), %CPR_ERROR_EXISTS (name and index, or
 * the fd under another name), %CPR_ERROR_SYSTEM (it isn't open), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_fd_add (CprSession *session, const char *name, int index, int fd, GError **error);

/**
 * cpr_fd_take:
 * @session: a session
 * @name: the name it was added under
 * @index: the index it was added under
 * @error: where an error goes, or %NULL
 *
 * Takes an fd that the old program handed over. It stays in the table, as if this program had added
 * it.
 *
 * A constructor that fails afterwards had better leave it open: the old program gets it back. What
 * was closed is fetched from the guardian where there is one, see cpr_session_abort().
 *
 * Errors: %CPR_ERROR_NOT_FOUND (none of that name was handed over), %CPR_ERROR_EXISTS (it was taken
 * before), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH (never found), INCOMING.
 *
 * Returns: the fd, now the caller's, or -1
 *
 * Since: 0.1
 */
CPR_API int cpr_fd_take (CprSession *session, const char *name, int index, GError **error);

/**
 * CprFdOpen:
 * @name: the name
 * @index: the index
 * @user_data: what was passed to cpr_fd_open()
 * @error: where an error goes
 *
 * Opens the file for cpr_fd_open() in a fresh session.
 *
 * Returns: an fd, or -1 with @error set
 *
 * Since: 0.1
 */
typedef int (*CprFdOpen) (const char *name, int index, void *user_data, GError **error);

/**
 * cpr_fd_open:
 * @session: a session
 * @name: a name of 1 to 255 bytes
 * @index: 0 to %G_MAXINT
 * @open: opens the file where there is nothing to take
 * @user_data: passed to @open
 * @error: where an error goes, or %NULL
 *
 * Takes the fd if the old program handed it over; else opens it and adds it. This is the call that
 * makes start-up code the same for a fresh start and for an update.
 *
 * Errors: as cpr_fd_add(), and what @open reports. An fd that @open returned and that can't be
 * added, because it is in the table already, stays open.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE.
 *
 * Returns: the fd, the caller's, or -1
 *
 * Since: 0.1
 */
CPR_API int
cpr_fd_open (CprSession *session, const char *name, int index, CprFdOpen open, void *user_data, GError **error);

/**
 * cpr_fd_get:
 * @session: a session
 * @name: a name
 * @index: an index
 *
 * Looks up an fd that was added or taken.
 *
 * Permitted states: all.
 *
 * Returns: the fd, or -1 if there is none of that name and index or it wasn't taken yet
 *
 * Since: 0.1
 */
CPR_API int cpr_fd_get (const CprSession *session, const char *name, int index);

/**
 * cpr_fd_remove:
 * @session: a session
 * @name: the name it was added under
 * @index: the index it was added under
 * @error: where an error goes, or %NULL
 *
 * Removes an fd from the table; it stays open and is the caller's to close.
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE, LOST, HANDED_OVER.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_fd_remove (CprSession *session, const char *name, int index, GError **error);

/**
 * CprFdFunc:
 * @name: the name; the library's
 * @index: the index
 * @fd: the fd
 * @claimed: whether it was added or taken in this program; %FALSE for one that was handed over and
 *     waits to be taken
 * @user_data: what was passed to cpr_fd_foreach()
 *
 * Is shown one entry of the fd table.
 *
 * Since: 0.1
 */
typedef void (*CprFdFunc) (const char *name, int index, int fd, bool claimed, void *user_data);

/**
 * cpr_fd_foreach:
 * @session: a session
 * @func: called for each entry, in the order in which they were added; it must not change the table
 * @user_data: passed to @func
 *
 * Walks through the fd table; the library's own entries aren't shown. For fds whose number isn't
 * known beforehand, such as client connections.
 *
 * Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_fd_foreach (const CprSession *session, CprFdFunc func, void *user_data);

/**
 * cpr_session_hold_fd:
 * @session: a session
 * @fd: an open fd that doesn't survive the update and is slow to close
 * @error: where an error goes, or %NULL
 *
 * Names an fd that the guardian holds over the update, so that its last close, which may be slow,
 * is off the pause. Meant for a KVM VM and its vCPUs: closing a KVM VM takes about 20 ms (measured
 * on Linux 6.18). The new program doesn't get it. Anything that the held object still does while it
 * is held must have been ended by @stop: an irqfd of the old VM would go on taking the events of
 * its eventfd.
 *
 * Errors: %CPR_ERROR_INVALID, %CPR_ERROR_EXISTS (it is held, or in the fd table), %CPR_ERROR_SYSTEM
 * (it isn't open), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_hold_fd (CprSession *session, int fd, GError **error);

/**
 * cpr_session_release_fd:
 * @session: a session
 * @fd: an fd named to cpr_session_hold_fd()
 * @error: where an error goes, or %NULL
 *
 * Takes back cpr_session_hold_fd(); call it before @fd is closed.
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE, LOST, HANDED_OVER.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_release_fd (CprSession *session, int fd, GError **error);

G_END_DECLS

#endif
