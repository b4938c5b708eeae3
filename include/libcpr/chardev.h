/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_CHARDEV_H
#define LIBCPR_CHARDEV_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/device.h>
#include <libcpr/preflight.h>
#include <libcpr/session.h>

G_BEGIN_DECLS

/**
 * SECTION:chardev
 * @title: Character devices
 *
 * A character device is the host's end of a serial port, a console or a monitor: bytes that come
 * and go. An update doesn't cut off who is at its other end. No byte is lost, and none comes twice.
 * The library keeps the fds, the bytes that have come and weren't read, and those that nobody has
 * taken yet. It has no thread of its own and never waits for the other end.
 *
 * ## Backends
 *
 * The backend is a text, in the words of QEMU's `-serial`:
 *
 * - `null`: nothing comes, and everything that is written is gone.
 * - `stdio`: the standard input and output. A terminal is set to raw mode. `signal=off`: ^C is a
 *   byte for the guest and not a signal.
 * - `pty`: a new pseudo terminal. cpr_chardev_describe() has its path.
 * - `file:PATH`: what is written goes to a file, which is emptied in a fresh session. `append=on`:
 *   it isn't.
 * - `pipe:PATH`: reads the named pipe PATH.in and writes the named pipe PATH.out.
 * - `unix:PATH,server=on,wait=off` and `tcp:HOST:PORT,server=on,wait=off`: a socket that listens.
 *   It has one client at a time, or several with cpr_chardev_new_server(); others wait for their
 *   turn. A Unix socket that nobody listens at is replaced.
 * - `unix:PATH` and `tcp:HOST:PORT`: a client of somebody else's socket. `reconnect=SECONDS` or
 *   `reconnect-ms=MS`: it connects in the background, again and again until it succeeds, and also
 *   when the connection is lost. Without it the device connects once, as it is made.
 *
 * Sockets of TCP have `nodelay=off`, which collects small pieces. HOST is an address in numbers,
 * with an IPv6 address in brackets, or `localhost`. Nothing is looked up. An empty HOST is every
 * address for a server, and this machine for a client. A comma in a path is written twice. A server
 * doesn't wait for its first client, so `wait=off` must be there. Other options are refused.
 *
 * ## Use
 *
 * The VMM's main loop asks cpr_chardev_fill_fds() what to wait for, and calls cpr_chardev_serve()
 * after each wait. The guest's device calls cpr_chardev_read() and cpr_chardev_write():
 *
 * |[<!-- language="C" -->
 * struct pollfd fds[CPR_CHARDEV_FDS];
 * int timeout_ms = cpr_chardev_fill_fds (chardev, fds);
 *
 * poll (fds, CPR_CHARDEV_FDS, timeout_ms);
 * cpr_chardev_serve (chardev);
 * while (room_of_the_fifo () > 0 && cpr_chardev_read (chardev, &byte, 1) == 1)
 *   put_into_fifo (byte);
 * ]|
 *
 * Threads: cpr_chardev_serve() is called where the session is used. cpr_chardev_read(),
 * cpr_chardev_write() and the functions that only look may be called by any thread, such as a
 * vCPU's. Two threads never call for the same device at a time; the lock of the guest's device
 * does that. As with all device state, nobody reads or writes once the guest was stopped.
 *
 * ## Over an update
 *
 * In exec mode and in transfer mode fds and connections are handed over. The standard streams are
 * inherited in exec mode, and in transfer mode each program has its own. In reboot mode everything
 * is opened again: a server waits for a client, and a client connects. The bytes are part of the
 * state in every mode. Output that waited then goes to the first client that comes. A client that
 * hangs up while the guest stands still is seen by the next cpr_chardev_serve().
 *
 * Until the commit the new program changes nothing: it reads, writes, accepts and connects nothing
 * with what was handed over, and sets no terminal. So after any failure the old program goes on
 * with the same bytes. Raw mode is set once. The settings that the terminal had before are part of
 * the state, and cpr_chardev_remove() in the last program gives them back. A VMM that ends without
 * that call leaves its terminal in raw mode.
 *
 * Whatever was handed over counts: a new program with another PATH or PORT goes on with the old
 * socket. A new program with another kind of backend is refused, in a preflight because of
 * the fds, or in cpr_session_load() otherwise.
 *
 * The fds are in the fd table under the name of the character device. Its state is that of a device
 * "chardev:NAME".
 */

struct pollfd; /* of poll.h */

/**
 * CprChardev:
 *
 * A character device. Opaque.
 */
typedef struct _CprChardev CprChardev;

/**
 * CPR_CHARDEV_FDS:
 *
 * How many fds the main loop waits for, at most.
 *
 * Since: 0.1
 */
#define CPR_CHARDEV_FDS 2

/**
 * cpr_chardev_new:
 * @session: a session
 * @name: its name, 1 to 247 bytes, unique among the character devices and the fds; copied
 * @backend: what is at its other end, see #SECTION:chardev; copied
 * @error: where an error goes, or %NULL
 *
 * Makes a character device, or takes over the one that the old program had under that name.
 *
 * A client without `reconnect` connects now and waits for that, up to 10 s for TCP, unless a
 * connection is handed over. A connection that the old program had already lost stays lost.
 *
 * Errors: %CPR_ERROR_INVALID (a name, a backend that isn't understood, a path of a socket with more
 * than 107 bytes, a standard output that is closed, a pipe that isn't one), %CPR_ERROR_EXISTS (the
 * name), %CPR_ERROR_SYSTEM (something can't be opened or connected), %CPR_ERROR_STATE.
 *
 * After failure what was handed over is still open, for the way back.
 *
 * Permitted states: FRESH, INCOMING, ACTIVE.
 *
 * Returns: (transfer full): the character device, to be ended with cpr_chardev_remove(), or %NULL
 *
 * Since: 0.1
 */
CPR_API CprChardev *cpr_chardev_new (CprSession *session, const char *name, const char *backend, GError **error);

/**
 * cpr_chardev_new_server:
 * @session: a session
 * @name: as for cpr_chardev_new()
 * @backend: `unix:` or `tcp:` with `server=on,wait=off`
 * @n_clients: how many clients it has at a time, from 1 up; the same in the new program
 * @error: where an error goes, or %NULL
 *
 * Makes a socket that listens for several clients, such as a monitor's. Each client has a place,
 * which is a character device of its own: see cpr_chardev_get_client(). The server itself is only
 * waited for and served. More clients than there are places wait for their turn.
 *
 * Errors: as cpr_chardev_new(), and %CPR_ERROR_INVALID (the backend isn't a server).
 *
 * Permitted states: FRESH, INCOMING, ACTIVE.
 *
 * Returns: (transfer full): the server, to be ended with cpr_chardev_remove(), or %NULL
 *
 * Since: 0.1
 */
CPR_API CprChardev *
cpr_chardev_new_server (CprSession *session, const char *name, const char *backend, unsigned n_clients, GError **error);

/**
 * cpr_chardev_get_client:
 * @server: a server of cpr_chardev_new_server()
 * @place: 0 to one less than its number of clients
 *
 * Gets the character device of a place. It is there whether or not somebody is connected, is waited
 * for and served like any other, and lives as long as the server. After an update a client has the
 * same place. The next client gets a place only once everything from the one before was read. Serve
 * the clients first and look at each, then serve the server: so no client comes unnoticed to the
 * place of another one. Permitted states: all.
 *
 * Returns: (transfer none): the client's character device
 *
 * Since: 0.1
 */
CPR_API CprChardev *cpr_chardev_get_client (const CprChardev *server, unsigned place);

/**
 * cpr_chardev_disconnect:
 * @chardev: a character device that is a client or has one
 *
 * Ends a connection from this side: sends as much of what waits as is taken at once, closes, and
 * drops what came and wasn't read. A server's next client is served, and a client that reconnects
 * does so. It is called where the session is used. Without a connection, before the commit, and
 * where the guest is another process's, it does nothing. Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_chardev_disconnect (CprChardev *chardev);

/**
 * cpr_chardev_remove:
 * @chardev: a character device, but not a server's client; freed, with its clients
 * @error: where an error goes, or %NULL
 *
 * Ends a character device and closes what it has. The process that has the guest first sends the
 * bytes that wait, as far as they are taken at once. It gives the terminal its settings back, and
 * removes the path of a server's Unix socket. A program that has handed the guest over gives its
 * terminal back too, unless the library started the new program, which has the same terminal then.
 * Before the commit nothing is closed, as the old program may have to go on.
 *
 * Call it before cpr_session_free().
 *
 * Errors: %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE, LOST, HANDED_OVER.
 *
 * Returns: %TRUE on success; else @chardev is still there
 *
 * Since: 0.1
 */
CPR_API bool cpr_chardev_remove (CprChardev *chardev, GError **error);

/**
 * cpr_chardev_fill_fds:
 * @chardev: a character device
 * @fds: (out caller-allocates): %CPR_CHARDEV_FDS of them: what to wait for; an `fd` of -1 is none
 *
 * Says what the main loop waits for until it calls cpr_chardev_serve() again. It waits for input
 * only while there is room for it, and for an end of the output only while bytes wait. So a thread
 * that makes room by cpr_chardev_read(), or whose bytes stay behind after cpr_chardev_write(), has
 * to make the main loop call this function again.
 *
 * Before the commit, and where the guest is another process's, there is nothing to wait for.
 * Permitted states: all.
 *
 * Returns: for how long to wait, in ms: 0 where cpr_chardev_serve() has work now, -1 where only the
 * fds matter
 *
 * Since: 0.1
 */
CPR_API int cpr_chardev_fill_fds (const CprChardev *chardev, struct pollfd *fds);

/**
 * cpr_chardev_serve:
 * @chardev: a character device
 *
 * Does what there is to do, without waiting: takes in bytes, up to 8192 that nobody has read yet;
 * sends those that wait; accepts a client, or connects; sees that one has hung up. It may be called
 * at any time. The first call after the commit, or after an update that failed, goes on with
 * reading and writing; until then bytes only wait.
 *
 * When a client hangs up, what it had sent can still be read, and what waited for it is dropped.
 * Errors of writing go to the log.
 *
 * The call does nothing before the commit, and where the guest is another process's. Permitted
 * states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_chardev_serve (CprChardev *chardev);

/**
 * cpr_chardev_read:
 * @chardev: a character device
 * @data: where the bytes go
 * @size: how many at most
 *
 * Takes bytes that cpr_chardev_serve() has taken in. It makes no system call. Permitted states:
 * all.
 *
 * Returns: how many bytes there were; 0: none now
 *
 * Since: 0.1
 */
CPR_API size_t cpr_chardev_read (CprChardev *chardev, void *data, size_t size);

/**
 * cpr_chardev_write:
 * @chardev: a character device
 * @data: the bytes
 * @size: how many
 *
 * Sends bytes, as far as somebody takes them now; up to 16384 wait for the next
 * cpr_chardev_serve(). Where nobody is at the other end, all bytes count as taken and are gone, as
 * on a serial port without a cable. Before the commit nothing is sent. Permitted states: all.
 *
 * Returns: how many bytes were taken; fewer than @size where there is no more room
 *
 * Since: 0.1
 */
CPR_API size_t cpr_chardev_write (CprChardev *chardev, const void *data, size_t size);

/**
 * cpr_chardev_get_unsent:
 * @chardev: a character device
 *
 * Says how many bytes wait for somebody to take them. Permitted states: all.
 *
 * Returns: the number of bytes
 *
 * Since: 0.1
 */
CPR_API size_t cpr_chardev_get_unsent (const CprChardev *chardev);

/**
 * cpr_chardev_is_connected:
 * @chardev: a character device
 *
 * Says whether somebody is at the other end, as the last cpr_chardev_serve() saw it. With `stdio`,
 * `file` and `pipe` somebody always is; with `null` nobody. Permitted states: all.
 *
 * Returns: %TRUE if there is
 *
 * Since: 0.1
 */
CPR_API bool cpr_chardev_is_connected (const CprChardev *chardev);

/**
 * cpr_chardev_describe:
 * @chardev: a character device
 *
 * Says what is at its other end, for the operator: "pty:/dev/pts/3", "unix:/run/console,server=on".
 * Permitted states: all.
 *
 * Returns: (transfer full): a text; free it with g_free()
 *
 * Since: 0.1
 */
CPR_API char *cpr_chardev_describe (const CprChardev *chardev);

/**
 * cpr_chardev_get_type:
 *
 * Gets the device type of character devices, for `device_types` of #CprSessionConfig. Permitted
 * states: needs no session.
 *
 * Returns: (transfer none): the type
 *
 * Since: 0.1
 */
CPR_API const CprDeviceType *cpr_chardev_get_type (void);

/**
 * cpr_inventory_add_chardev:
 * @inventory: what the `declare` callback got
 * @name: the name of the character device
 *
 * Says that this program would make a character device of that name: its fds, and its device.
 * Permitted states: in the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_chardev (CprInventory *inventory, const char *name);

G_END_DECLS

#endif
