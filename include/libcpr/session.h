/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_SESSION_H
#define LIBCPR_SESSION_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

/**
 * SECTION:session
 * @title: Session
 *
 * A session is one VM's CPR life inside one process. Everything hangs off it and nothing is global.
 * A process has one session: an update in exec mode replaces the whole process, and a state that it
 * was handed belongs to one VM.
 *
 * Stack: a call needs at most 16 KiB below its caller, the C library's part included, so that it
 * may be made on the stack of a coroutine or under a low `RLIMIT_STACK`; what the VMM's callbacks
 * need comes on top. Measured on x86-64: 6 KiB for cpr_session_preflight(), and for an update that
 * makes one, 5 KiB for one that doesn't, 3 KiB for cpr_session_new(), 5 KiB for cpr_session_load()
 * of structs that are nested as deep as they may be. For the library's threads, which have the
 * process's default size, 64 KiB are enough; the guardian and the handlers of fatal signals have
 * stacks of their own.
 */

/**
 * CprSession:
 *
 * One VM's CPR life in this process. Opaque.
 */
typedef struct _CprSession CprSession;

typedef struct _CprDeviceType CprDeviceType; /* see device.h */

/**
 * CprInventory:
 *
 * What a program says, when it is asked in a preflight, that it would build. Opaque; see
 * cpr_inventory_add_ram().
 */
typedef struct _CprInventory CprInventory;

/**
 * CprSessionState:
 * @CPR_SESSION_STATE_FRESH: nothing was taken up; the VMM builds its VM
 * @CPR_SESSION_STATE_INCOMING: a state was taken up and verified; the VMM claims fds and RAM and
 *     builds its devices
 * @CPR_SESSION_STATE_LOADED: every device has its state; cpr_session_start() is next
 * @CPR_SESSION_STATE_ACTIVE: this process owns the guest, running or paused; updates are possible
 * @CPR_SESSION_STATE_UPDATING: inside cpr_session_update(); seen by callbacks only
 * @CPR_SESSION_STATE_LOST: another process owns the guest; it never runs here again
 * @CPR_SESSION_STATE_HANDED_OVER: cpr_session_update() returned %TRUE: the guest was handed over
 *     and never runs here again
 *
 * Where a session is in its life. Which call is permitted in which state is one table, printed on
 * every function's page.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_SESSION_STATE_FRESH = 0,
  CPR_SESSION_STATE_INCOMING = 1,
  CPR_SESSION_STATE_LOADED = 2,
  CPR_SESSION_STATE_ACTIVE = 3,
  CPR_SESSION_STATE_UPDATING = 4,
  CPR_SESSION_STATE_LOST = 5,
  CPR_SESSION_STATE_HANDED_OVER = 6
} CprSessionState;

/**
 * CprRunState:
 * @CPR_RUN_STATE_RUNNING: the vCPUs execute
 * @CPR_RUN_STATE_PAUSED: the guest is stopped, at its owner's wish
 * @CPR_RUN_STATE_SUSPENDED: the guest is stopped, at its own wish: it sleeps (ACPI S3) until
 *     something wakes it
 * @CPR_RUN_STATE_PAUSED_SUSPENDED: both: its owner paused a guest that sleeps; nothing wakes it
 *     before the owner lets it go
 *
 * What the guest does. Two wishes can stop it, the owner's and its own, and they are kept apart: it
 * runs when neither is left. The run state survives an update, whether that succeeds or fails: a
 * paused guest is paused afterwards, one that sleeps sleeps on and can be woken.
 *
 * | from | cpr_session_pause() | cpr_session_resume() | cpr_session_suspend() |
 * cpr_session_wakeup() |
 * |---|---|---|---|---|
 * | running | paused, @stop | - | suspended, @stop | - |
 * | paused | - | running, @start | paused and suspended | - |
 * | suspended | paused and suspended | - | - | running, @start |
 * | paused and suspended | - | suspended | - | paused |
 *
 * So @stop and @start of #CprSessionConfig are called once for each time the guest really stops or
 * goes on, and its clocks stand still in between, whoever stopped it. A dash is a call that changes
 * nothing and succeeds.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_RUN_STATE_RUNNING = 0,
  CPR_RUN_STATE_PAUSED = 1,
  CPR_RUN_STATE_SUSPENDED = 2,
  CPR_RUN_STATE_PAUSED_SUSPENDED = 3
} CprRunState;

/**
 * CprLogLevel:
 * @CPR_LOG_ERROR: something failed and somebody should know
 * @CPR_LOG_WARNING: something was put right, or will matter later
 * @CPR_LOG_INFO: a step of an update
 *
 * How much a log message matters.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_LOG_ERROR = 0,
  CPR_LOG_WARNING = 1,
  CPR_LOG_INFO = 2
} CprLogLevel;

/**
 * CprUnclaimed:
 * @CPR_UNCLAIMED_ERROR: cpr_session_load() fails and names them
 * @CPR_UNCLAIMED_CLOSE: they are closed once the guest runs, with a warning in the log
 *
 * What becomes of fds that the old program handed over and the new one didn't take.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_UNCLAIMED_ERROR = 0,
  CPR_UNCLAIMED_CLOSE = 1
} CprUnclaimed;

/**
 * CprIncomingFlags:
 * @CPR_INCOMING_MAP_RAM: RAM that lies in the file of the state is mapped from there,
 *     copy-on-write, instead of being read, where the block's backing is %CPR_RAM_MEMFD or
 *     %CPR_RAM_PRIVATE: the guest starts at once, whatever its size. What the guest writes lives in
 *     private memory then: see cpr_ram_new()
 *
 * How a state is taken up.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_INCOMING_MAP_RAM = 1 << 0
} CprIncomingFlags;

/**
 * CprSessionConfig:
 * @size: `sizeof (CprSessionConfig)`, see #SECTION:libcpr
 * @name: the VM's name, 1 to 255 bytes; a state is taken up by a session of the same name only;
 *     copied
 * @stop: stops the guest: when it returns %TRUE no vCPU executes and nothing (I/O threads too)
 *     writes guest RAM or device state. Called on the thread that called cpr_session_update(),
 *     cpr_session_pause() or cpr_session_suspend(), with the guest running. On failure it returns
 *     %FALSE with @error set and the guest runs as before
 * @start: lets the vCPUs go and can't fail: whatever could fail belongs before cpr_session_start().
 *     Called with the guest stopped, on the thread that called cpr_session_start(),
 *     cpr_session_resume(), cpr_session_wakeup() or a cpr_session_update() that failed
 * @log: takes the library's messages, or %NULL for none; may be called from a thread of the
 *     library, and while the guest stands still: it must not wait, as a write to a pipe or terminal
 *     does that nobody reads
 * @user_data: passed to the callbacks
 * @argv: (nullable): the command line as main() got it, for the way back of a later update; copied.
 *     %NULL: it is read from /proc/self/cmdline, which takes longer, but is right also where
 *     main()'s isn't: after g_option_context_parse() took options out of it, or where the program
 *     was started by naming the dynamic linker. See also cpr_session_set_argv()
 * @unclaimed_fds: what becomes of fds that nobody took
 * @device_types: (nullable): the device types that this program knows, ended by %NULL; borrowed,
 *     static. A preflight compares them with what would be handed over; without them devices aren't
 *     checked before the pause
 * @declare: (nullable): called in a preflight, from inside cpr_session_new(): tells with
 *     cpr_inventory_add_fd(), cpr_inventory_add_vfio(), cpr_inventory_add_ram() and
 *     cpr_inventory_add_device() what this program would build from its arguments, so that a wrong
 *     size or a missing device is found before the pause. What it doesn't mention counts as
 *     missing. Without it only device types are compared; fds that devices hold have to be
 *     mentioned too. It must have no effect outside the process
 * @required_modes: or-ed #CprModes that must stay possible: what would block one of them is refused
 *     with %CPR_ERROR_BLOCKED when it is added, see cpr_blocker_add(); 0: none
 * @incoming: (nullable): where a state comes from that this process isn't started with, as
 *     SCHEME:ADDRESS. Looked at only where no state was handed to this process in exec mode, so
 *     that it may stay in a command line that is used again. %NULL: nowhere.
 *     `file:PATH`: what an update in reboot mode has left there, see #SECTION:update; it can be
 *     taken up once.
 *     `pipe:ADDRESS`: what @open_incoming opens
 * @open_incoming: (nullable): for `pipe:ADDRESS`: returns an fd to read the state from, which is
 *     the library's then, or -1 with @error set. Called in cpr_session_new(), only where the state
 *     is really to be read
 * @incoming_flags: or-ed #CprIncomingFlags
 *
 * How a session is set up. Zero it, set @size, then the fields.
 *
 * Since: 0.1
 */
typedef struct
{
  size_t size;
  const char *name;
  bool (*stop) (void *user_data, GError **error);
  void (*start) (void *user_data);
  void (*log) (CprLogLevel level, const char *message, void *user_data);
  void *user_data;
  char *const *argv;
  CprUnclaimed unclaimed_fds;
  const CprDeviceType *const *device_types;
  void (*declare) (CprInventory *inventory, void *user_data);
  unsigned required_modes;
  const char *incoming;
  int (*open_incoming) (const char *address, void *user_data, GError **error);
  unsigned incoming_flags;
} CprSessionConfig;

/**
 * cpr_session_new:
 * @config: how to set it up; only read during the call; not %NULL
 * @error: where an error goes, or %NULL
 *
 * Makes a session: a fresh one, or, where this process was started by an update, one that takes up
 * the state it was handed. Call it first in main(), after the parsing of arguments and before
 * anything with an effect outside the process.
 *
 * Whether there is a state is not a matter of trust: the environment variable `LIBCPR_STATE` is a
 * hint that is verified, and where it was lost on the way (`env -i`, a login shell) the state is
 * found among the open fds. A state that is there is taken up or refused, never ignored: a second,
 * empty guest would run on the same disk. A refused state is also the answer in a process that a
 * wrapper forked: only the process that the update was meant for may have the guest. The limit of
 * this: a wrapper that forks, closes all fds and clears the environment too, as sudo does, leaves
 * nothing to be found; don't update through one.
 *
 * Taking up means: the whole stream is verified (seals, owner, checksums, limits, VM name, boot,
 * process, and that it was not taken up before), each fd is compared with what it was in the old
 * program, all of them are close-on-exec again, the environment is cleaned, and, as the last act,
 * the signal mask that the old program's thread had is restored: signals that came since the stop
 * are delivered then, so install handlers before this call, or block what must wait.
 *
 * With @incoming in the config, and no state of exec mode, the function waits for the program that
 * has the guest, in transfer mode: `unix:PATH` listens at a socket that it makes (mode 0600) and
 * removes again, `unix-fd:N` takes a Unix stream socket that this process was started with,
 * listening or connected. A program that connects and isn't of this user and VM is refused, with a
 * warning in the log, and the wait goes on. The other one's fds have new numbers here, all of them
 * close-on-exec, and are verified as in exec mode; the signal mask stays this process's own. All
 * that comes now, up to cpr_session_load(), is done while the guest still runs there.
 *
 * What is recorded here for the way back of a later update: the executable (held open), argv, the
 * environment, the working directory, umask, resource limits and ignored signals of this process.
 *
 * In a process that was started to be asked, see #SECTION:preflight, the function answers and ends
 * the process with _exit(): 0 if it would load, 1 if not.
 *
 * Errors: %CPR_ERROR_INVALID (name, missing callbacks, an empty argv, a device type that can't be
 * right, unknown modes), %CPR_ERROR_BLOCKED (the kernel lacks what a required mode needs),
 * %CPR_ERROR_CORRUPT, %CPR_ERROR_VERSION, %CPR_ERROR_MISMATCH (not for this VM, user or boot, used
 * before, or an fd isn't what it was), %CPR_ERROR_NOT_OWNER (meant for another process, or another
 * one is taking it up), %CPR_ERROR_SYSTEM (also where /proc isn't mounted).
 *
 * After failure: where the state was meant for this process and is intact, the function doesn't
 * return: the old program is executed again and the guest goes on there; in transfer mode it goes
 * on there anyway, and is told the reason. Else it returns %NULL, and the VMM must end without
 * running a guest; a refused state stays open, so that a second call is refused too.
 *
 * Handoff and fork: the session belongs to the calling process; a VMM that turns itself into a
 * daemon does so before. Threads: call it before others are started. Permitted states: needs no
 * session.
 *
 * Returns: (transfer full): a session in state %CPR_SESSION_STATE_FRESH or
 * %CPR_SESSION_STATE_INCOMING, or %NULL
 *
 * Since: 0.1
 */
CPR_API CprSession *cpr_session_new (const CprSessionConfig *config, GError **error);

/**
 * cpr_session_load:
 * @session: a session
 * @error: where an error goes, or %NULL
 *
 * Gives every device the state it had in the old program; in a fresh session there is nothing to
 * do. Call it when all fds, RAM blocks and devices are there: what the old program handed over and
 * nobody claimed is an error, and so is a device that isn't in the state. All of the state is
 * checked before any of it is applied.
 *
 * In transfer mode this is where the new program says that it is ready. It first fills the page
 * tables of its RAM, in up to four threads and only where there is memory; then the old program
 * stops the guest, and the function goes on with its state.
 *
 * Errors: %CPR_ERROR_MISMATCH (unclaimed or missing objects, or a value that doesn't fit, by name),
 * %CPR_ERROR_VERSION, %CPR_ERROR_CORRUPT, %CPR_ERROR_CALLBACK or the device's own error,
 * %CPR_ERROR_PAUSE_BUDGET, %CPR_ERROR_STATE.
 *
 * After failure: in a session that took up a state the function doesn't return: the old program is
 * executed again, with this error as its reason. Only where that fails too (then @error says both)
 * does it return. In transfer mode it returns, the guest goes on in the old program, and this one
 * has to end; %CPR_ERROR_ROLLED_BACK says that it was the old one that ended or gave up.
 *
 * Permitted states: FRESH, INCOMING. Then LOADED.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_load (CprSession *session, GError **error);

/**
 * cpr_session_start:
 * @session: a session
 * @error: where an error goes, or %NULL
 *
 * Starts the guest; in a session that took up a state this is the commit point. The ownership of
 * the guest is claimed with one compare-and-swap, then @start of the config is called, unless the
 * guest was paused or suspended when the update began: it stays so until cpr_session_resume() or
 * cpr_session_wakeup(). From then on the old program can't have the guest back. What is left of it
 * is torn down in the background.
 *
 * If by then the pause has lasted longer than it may, see #CprUpdate, the old program is executed
 * again, and the function returns only if that fails.
 *
 * Errors: %CPR_ERROR_NOT_OWNER (another process took the guest; end without touching it),
 * %CPR_ERROR_PAUSE_BUDGET, %CPR_ERROR_STATE.
 *
 * After failure: the guest doesn't run in this process and must not.
 *
 * Permitted states: LOADED. Then ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_start (CprSession *session, GError **error);

/**
 * cpr_session_abort:
 * @session: a session that took up a state and hasn't started the guest
 * @reason: why the VMM can't go on; stays the caller's; not %NULL
 * @error: where an error goes, or %NULL
 *
 * Goes back to the old program because something of the VMM's own failed during its start-up. The
 * reason reaches whoever asked for the update. cpr_session_free() before the commit does the same
 * without a reason, so that a main() which simply returns its error loses nothing.
 *
 * In transfer mode the old program gets the guest, and the function returns with @reason.
 *
 * fds that were handed over and have been closed, or replaced, since then are fetched back from the
 * guardian with pidfd_getfd() (Linux 5.6; not where this process made itself undumpable and has no
 * CAP_SYS_PTRACE). Without a guardian they are missing, and the way back fails.
 *
 * Errors: %CPR_ERROR_STATE, or, where the way back failed, @reason's own code with a message that
 * says both.
 *
 * After failure: the guest doesn't run here; the session can only be freed.
 *
 * Permitted states: INCOMING, LOADED (of a session that took up a state).
 *
 * Returns: only on failure, and %FALSE then
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_abort (CprSession *session, const GError *reason, GError **error);

/**
 * cpr_session_pause:
 * @session: a session
 * @error: where an error goes, or %NULL
 *
 * Pauses the guest at its owner's wish: calls @stop of the config, unless the guest sleeps and is
 * stopped already, and remembers it. Does nothing when it is paused already. See #CprRunState.
 *
 * After failure: the guest runs.
 *
 * Errors: what @stop reports, %CPR_ERROR_CALLBACK, %CPR_ERROR_STATE.
 *
 * Permitted states: ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_pause (CprSession *session, GError **error);

/**
 * cpr_session_resume:
 * @session: a session
 * @error: where an error goes, or %NULL
 *
 * Takes the owner's wish back: calls @start of the config, unless the guest was suspended as well:
 * then it is suspended again, and can be woken. Does nothing when it isn't paused. See
 * #CprRunState.
 *
 * Errors: %CPR_ERROR_STATE.
 *
 * Permitted states: ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_resume (CprSession *session, GError **error);

/**
 * cpr_session_set_argv:
 * @session: a session
 * @argv: how this program would have to be started to build what it has now, ended by %NULL;
 *     copied; not empty
 * @error: where an error goes, or %NULL
 *
 * Replaces the command line that was recorded for the way back. A VMM to which a device was added
 * while the guest runs, or from which one was removed, calls it with that device's option added or
 * removed: else the way back of an update would start a program that doesn't build the device, and
 * be refused.
 *
 * Errors: %CPR_ERROR_INVALID (an empty argv), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_set_argv (CprSession *session, char *const *argv, GError **error);

/**
 * cpr_session_suspend:
 * @session: a session
 * @error: where an error goes, or %NULL
 *
 * The guest has gone to sleep by itself (ACPI S3): calls @stop of the config, unless the guest is
 * stopped already, and remembers it. Does nothing when it is suspended already. A guest that was
 * paused while its wish was on the way is paused and suspended afterwards. See #CprRunState.
 *
 * Errors: what @stop reports, %CPR_ERROR_CALLBACK, %CPR_ERROR_STATE.
 *
 * After failure: the guest runs.
 *
 * Permitted states: ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_suspend (CprSession *session, GError **error);

/**
 * cpr_session_wakeup:
 * @session: a session
 * @error: where an error goes, or %NULL
 *
 * Something wakes the guest that sleeps (an RTC's alarm, a key, its owner): calls @start of the
 * config. A guest that is paused as well doesn't run before cpr_session_resume(), but has been
 * woken: it runs then. Does nothing when the guest isn't suspended. See #CprRunState.
 *
 * Errors: %CPR_ERROR_STATE.
 *
 * Permitted states: ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_wakeup (CprSession *session, GError **error);

/**
 * cpr_session_get_state:
 * @session: a session
 *
 * Where the session is in its life.
 *
 * Permitted states: all.
 *
 * Returns: the state
 *
 * Since: 0.1
 */
CPR_API CprSessionState cpr_session_get_state (const CprSession *session);

/**
 * cpr_session_get_run_state:
 * @session: a session
 *
 * What the guest does or, before cpr_session_start(), will do once it is started. In HANDED_OVER
 * and LOST: what it did when this program had it last.
 *
 * Permitted states: all.
 *
 * Returns: the run state
 *
 * Since: 0.1
 */
CPR_API CprRunState cpr_session_get_run_state (const CprSession *session);

/**
 * cpr_session_is_incoming:
 * @session: a session
 *
 * Whether this session took up a state. Most VMMs never need to ask: cpr_fd_open() and
 * cpr_ram_new() know.
 *
 * Permitted states: all.
 *
 * Returns: %TRUE if it took up a state, also after the commit
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_is_incoming (const CprSession *session);

/**
 * cpr_session_free:
 * @session: (nullable): a session, or %NULL
 *
 * Frees a session: unmaps its RAM blocks and closes what the library opened. fds that were added or
 * taken stay open: they are the caller's.
 *
 * In a session that took up a state and hasn't started the guest this is cpr_session_abort(): the
 * old program is executed again, and the function returns only if that fails. After a recent update
 * it waits until the old address space is torn down.
 *
 * Handoff and fork: the one call that is permitted in a forked child; there it only frees memory.
 *
 * Permitted states: all but UPDATING.
 *
 * Since: 0.1
 */
CPR_API void cpr_session_free (CprSession *session);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprSession, cpr_session_free)

G_END_DECLS

#endif
