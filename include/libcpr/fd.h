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
 * The fd table has the file descriptors that survive an update, each under a name and an index. In
 * exec mode the update closes every other fd, except the standard streams. The standard streams are
 * the fds 0, 1 and 2, as far as they aren't close-on-exec; every program inherits them. In transfer
 * mode the standard streams aren't handed over: each program has its own. In reboot mode no fd is
 * handed over.
 *
 * If the VMM was started with a standard stream closed, a file of its own may get one of these
 * three numbers. Such a file is in the fd table, or close-on-exec, and is treated like any other.
 * But the dynamic linker or a shell writes messages to fd 2 before the new program takes up the
 * state. So a VMM that finds fd 2 closed opens `/dev/null` there before its own files. The library
 * uses numbers from 3 up for its own fds.
 *
 * Names are 1 to 255 bytes; names that begin with `libcpr:` are the library's own. Indices are 0 to
 * %G_MAXINT and distinguish fds of one name, such as the queues of one device. fd numbers don't
 * change in exec mode, but don't rely on that.
 *
 * When an fd is added, the library records what it is: type, device, inode, access mode. The record
 * is compared in the old program before the guest is stopped, and in the new program when it takes
 * up the state. Until the commit the new program shares the open files with the old one. So it must
 * not change any of them: no close, read, write, seek, flags.
 *
 * File locks: flock() and OFD locks belong to the open file and are handed over with it. POSIX
 * record locks belong to the process.
 */

/**
 * cpr_fd_add:
 * @session: a session
 * @name: a name of 1 to 255 bytes; copied
 * @index: 0 to %G_MAXINT
 * @fd: an open fd; borrowed: close it only after cpr_fd_remove(). Don't add a standard stream,
 *     which the library doesn't check: programs that this process starts would no longer inherit it
 * @error: where an error goes, or %NULL
 *
 * Adds an fd to the table. The fd becomes close-on-exec if it wasn't, and stays so after
 * cpr_fd_remove(). The library lifts close-on-exec during an update only.
 *
 * Errors: %CPR_ERROR_INVALID (name, index, a negative fd), %CPR_ERROR_EXISTS (name and index; the
 * fd under another name, or in cpr_session_hold_fd()), %CPR_ERROR_SYSTEM (the fd isn't open),
 * %CPR_ERROR_STATE.
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
 * @name: the name under which the old program added it
 * @index: the index under which the old program added it
 * @error: where an error goes, or %NULL
 *
 * Claims an fd that the old program handed over. The fd stays in the table, as if this program had
 * added it.
 *
 * If the VMM's start-up fails afterwards, leave the fd open: the old program gets it back. A closed
 * fd is fetched from the guardian if there is one, see cpr_session_abort().
 *
 * Errors: %CPR_ERROR_INVALID (name, index), %CPR_ERROR_NOT_FOUND (no fd of that name and index was
 * handed over), %CPR_ERROR_EXISTS (the fd was claimed before), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH (never found), INCOMING.
 *
 * Returns: the fd, now the caller's, or -1
 *
 * Since: 0.1
 */
CPR_API int cpr_fd_take (CprSession *session, const char *name, int index, GError **error);

/**
 * CprFdTaken:
 * @name: the name under which the old program added it; valid until the callback returns
 * @index: the index under which the old program added it
 * @fd: the fd, claimed and now the caller's
 * @user_data: what was passed to cpr_fd_take_all()
 * @error: where an error goes
 *
 * Gets an fd from cpr_fd_take_all(). The callback may change the table: it may remove this fd, and
 * add, take or remove others.
 *
 * Returns: %TRUE, or %FALSE with @error set
 *
 * Since: 0.1
 */
typedef bool (*CprFdTaken) (const char *name, int index, int fd, void *user_data, GError **error);

/**
 * cpr_fd_take_all:
 * @session: a session
 * @prefix: how the names begin: a whole name for all indices of that name, "" for all fds
 * @taken: called for each fd once it is claimed, in the order of the names' bytes and of the
 *     indices
 * @user_data: passed to @taken
 * @error: where an error goes, or %NULL
 *
 * Claims all fds whose names begin with @prefix and which nobody has claimed. It is meant for fds
 * whose number and indices the new program doesn't know, such as client connections. The library's
 * own fds aren't among them. A fresh start has none; then @taken isn't called.
 *
 * If @taken fails, the call ends. The fd that @taken got, and those before it, stay claimed and are
 * the caller's. The others stay unclaimed, and another call goes on with them. A start-up that
 * gives up leaves all of them open, as with cpr_fd_take().
 *
 * Errors: the error that @taken set, or %CPR_ERROR_CALLBACK; %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH (finds none), INCOMING.
 *
 * Returns: %TRUE if there was none, or @taken succeeded for each
 *
 * Since: 0.1
 */
CPR_API bool
cpr_fd_take_all (CprSession *session, const char *prefix, CprFdTaken taken, void *user_data, GError **error);

/**
 * CprFdOpen:
 * @name: the name
 * @index: the index
 * @user_data: what was passed to cpr_fd_open()
 * @error: where an error goes
 *
 * Opens the file for cpr_fd_open() where no fd was handed over.
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
 * @open: opens the file where there is nothing to claim
 * @user_data: passed to @open
 * @error: where an error goes, or %NULL
 *
 * Claims the fd if the old program handed it over; otherwise opens it and adds it. This call makes
 * start-up code the same for a fresh start and for an update.
 *
 * Errors: as cpr_fd_add(), and the error that @open set, or %CPR_ERROR_CALLBACK. An fd that @open
 * returned stays open if it can't be added.
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
 * cpr_fd_open_listener:
 * @session: a session
 * @name: a name of 1 to 255 bytes
 * @index: 0 to %G_MAXINT
 * @path: where the socket is in the file system: 1 to 106 bytes
 * @error: where an error goes, or %NULL
 *
 * Claims a listening socket if the old program handed it over; otherwise makes it, and adds it. The
 * socket is a Unix stream socket, non-blocking and close-on-exec. It is bound once in the VM's
 * life, or again in reboot mode. It has room for 16 connections that nobody has accepted yet.
 *
 * The file has mode 0600, and gets its name when the socket listens. So only this user can connect;
 * chmod() afterwards lets others in. A socket at @path that nobody listens at is a dead VM's, and
 * is replaced. Any other file there is an error and stays. The path is the caller's to unlink when
 * the VM ends, and only where this process still has the guest.
 *
 * Call poll() before accept4(): after a transfer both programs have the socket, and a client that
 * one of them sees may be accepted by the other, or be gone. Then accept4() fails with EAGAIN.
 *
 * Errors: as cpr_fd_add(); %CPR_ERROR_INVALID (@path is empty or too long), %CPR_ERROR_EXISTS
 * (somebody listens at @path, or a file that is no socket is there), %CPR_ERROR_SYSTEM. Nothing is
 * left open.
 *
 * In a rehearsal no socket is made, as with cpr_fd_open(). Permitted states: FRESH, INCOMING,
 * LOADED, ACTIVE.
 *
 * Returns: the fd, the caller's, or -1
 *
 * Since: 0.1
 */
CPR_API int cpr_fd_open_listener (CprSession *session, const char *name, int index, const char *path, GError **error);

/**
 * cpr_fd_open_eventfd:
 * @session: a session
 * @name: a name of 1 to 255 bytes
 * @index: 0 to %G_MAXINT
 * @error: where an error goes, or %NULL
 *
 * Claims an eventfd if the old program handed it over; otherwise makes one, and adds it: for a
 * queue's doorbell or an interrupt. It is non-blocking and close-on-exec, and its count is 0. The
 * count survives an update in exec and in transfer mode.
 *
 * Errors: as cpr_fd_add(); %CPR_ERROR_SYSTEM. Nothing is left open.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE.
 *
 * Returns: the fd, the caller's, or -1
 *
 * Since: 0.1
 */
CPR_API int cpr_fd_open_eventfd (CprSession *session, const char *name, int index, GError **error);

/**
 * cpr_fd_get:
 * @session: a session
 * @name: a name
 * @index: an index
 *
 * Looks up an fd that this program added or claimed.
 *
 * Permitted states: all.
 *
 * Returns: the fd, or -1 if there is none of that name and index or it is unclaimed
 *
 * Since: 0.1
 */
CPR_API int cpr_fd_get (const CprSession *session, const char *name, int index);

/**
 * cpr_fd_remove:
 * @session: a session
 * @name: the name under which it was added
 * @index: the index under which it was added
 * @error: where an error goes, or %NULL
 *
 * Removes an fd from the table, unclaimed or not. The fd stays open and is the caller's to close.
 *
 * Errors: %CPR_ERROR_INVALID (name, index), %CPR_ERROR_NOT_FOUND, %CPR_ERROR_STATE.
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
 * @claimed: %TRUE if this program added or claimed the fd; %FALSE if it was handed over and is
 *     unclaimed
 * @user_data: what was passed to cpr_fd_foreach()
 *
 * Gets one entry of the fd table.
 *
 * Since: 0.1
 */
typedef void (*CprFdFunc) (const char *name, int index, int fd, bool claimed, void *user_data);

/**
 * cpr_fd_foreach:
 * @session: a session
 * @func: called for each entry, in no particular order; it must not change the table
 * @user_data: passed to @func
 *
 * Shows the entries of the fd table, without the library's own. To claim fds of which the VMM
 * doesn't know the indices, use cpr_fd_take_all().
 *
 * Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_fd_foreach (const CprSession *session, CprFdFunc func, void *user_data);

/**
 * cpr_session_hold_fd:
 * @session: a session
 * @fd: an open fd that doesn't survive the update and is slow to close; borrowed until
 *     cpr_session_release_fd()
 * @error: where an error goes, or %NULL
 *
 * Names an fd that the guardian holds during an update, so that its last close isn't part of the
 * pause. The call is meant for a KVM VM and its vCPUs: closing a KVM VM takes about 20 ms (measured
 * on Linux 6.18). The new program doesn't get the fd. The fd becomes close-on-exec. Only exec mode
 * has a guardian. @stop must have ended everything that the held object would still do: an irqfd of
 * the old VM would keep taking events from its eventfd.
 *
 * Errors: %CPR_ERROR_INVALID, %CPR_ERROR_EXISTS (the fd is held already, or in the fd table),
 * %CPR_ERROR_SYSTEM (the fd isn't open), %CPR_ERROR_STATE.
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
 * Undoes cpr_session_hold_fd(). Call it before closing @fd.
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
