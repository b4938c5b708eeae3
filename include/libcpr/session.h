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

#include <libcpr/gate.h>

G_BEGIN_DECLS

/**
 * SECTION:session
 * @title: Session
 *
 * A session is one VM's life with libcpr inside one process. Everything belongs to a session, and
 * nothing is global. Make only one session in a process; the library doesn't check that. An update
 * in exec mode replaces the whole process, and a state that was handed over belongs to one VM.
 *
 * A session is *fresh*, or it is *incoming*: it took up a state. It stays incoming after the
 * commit.
 *
 * Stack: a call needs at most 16 KiB below its caller, the C library's part included. So a call may
 * be made on the stack of a coroutine, or under a low `RLIMIT_STACK`. The VMM's callbacks need
 * their own stack in addition. Measured on x86-64: cpr_session_preflight(), and an update that
 * makes a preflight, need 6 KiB; an update without one needs 5 KiB. cpr_session_new() needs 3 KiB,
 * and cpr_session_load() of structs nested as deep as is permitted 5 KiB. The library's threads
 * have stacks of the process's default size and need 64 KiB. The guardian and the handlers of fatal
 * signals have their own stacks.
 */

/**
 * CprSession:
 *
 * One VM's life with libcpr in this process. Opaque.
 */
typedef struct _CprSession CprSession;

typedef struct _CprDeviceType CprDeviceType; /* see device.h */

/**
 * CprInventory:
 *
 * The list of objects that a program, asked in a preflight, says it would build. Opaque; see
 * cpr_inventory_add_ram().
 */
typedef struct _CprInventory CprInventory;

/**
 * CprSessionState:
 * @CPR_SESSION_STATE_FRESH: nothing was taken up; the VMM builds its VM
 * @CPR_SESSION_STATE_INCOMING: a state was taken up and verified; the VMM claims fds and RAM and
 *     builds its devices
 * @CPR_SESSION_STATE_LOADED: every device has its fields; cpr_session_start() is next
 * @CPR_SESSION_STATE_ACTIVE: this process owns the guest, running or not; updates are possible
 * @CPR_SESSION_STATE_UPDATING: cpr_session_update() is under way; only callbacks see this
 * @CPR_SESSION_STATE_LOST: the guest isn't this process's; it never runs here again
 * @CPR_SESSION_STATE_HANDED_OVER: cpr_session_update() returned %TRUE: the guest was handed over
 *     and never runs here again
 *
 * The session state: how far a session has come in its life. Every function's page lists the
 * session states in which it may be called, after "Permitted states".
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
 * CprLogLevel:
 * @CPR_LOG_ERROR: something failed, and somebody should know
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
 * The fate of unclaimed fds: the old program handed them over, and the new program didn't claim
 * them.
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
 * @CPR_INCOMING_MAP_RAM: RAM whose contents are in the state's file is mapped from there,
 *     copy-on-write, instead of being read. This concerns blocks whose backend is %CPR_RAM_MEMFD or
 *     %CPR_RAM_PRIVATE. The guest starts at once, whatever its size, and what it writes goes to
 *     private memory: see cpr_ram_new()
 * @CPR_INCOMING_EXIT_GOES_BACK: exit() before the commit, or a return from main(), gives the guest
 *     back as cpr_session_abort() does, in every mode; see #SECTION:exit
 * @CPR_INCOMING_REHEARSE: in a preflight this program runs its start-up as far as
 *     cpr_session_load(), in a session without effects, and what that start-up takes is the answer:
 *     see #SECTION:preflight
 * @CPR_INCOMING_PROTECT_RAM: for tests of a VMM. RAM blocks that are claimed are mapped read-only
 *     until the commit. So the program gets SIGSEGV at the instruction that writes guest RAM too
 *     early, and a system call that would write there fails with EFAULT. The update then fails as
 *     it does after any crash, and the guest goes back to the old program. The page tables aren't
 *     filled, and the commit calls mprotect() for each block, so the pause is longer. The old
 *     program on its way back ignores the flag: one that writes too early as well shall get the
 *     guest, and show the reason. In reboot mode there are no claimed blocks, and the flag changes
 *     nothing. Don't use it with DMA mappings, for which the kernel wants to write
 *
 * How a state is taken up.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_INCOMING_MAP_RAM = 1 << 0,
  CPR_INCOMING_EXIT_GOES_BACK = 1 << 1,
  CPR_INCOMING_REHEARSE = 1 << 2,
  CPR_INCOMING_PROTECT_RAM = 1 << 3
} CprIncomingFlags;

/**
 * CprSessionConfig:
 * @size: `sizeof (CprSessionConfig)`, see #SECTION:libcpr
 * @name: the VM's name, 1 to 255 bytes; copied. A state is taken up only by a session of the same
 *     name
 * @stop: (nullable): stops the guest. When it returns %TRUE, no vCPU executes, and nothing writes
 *     guest RAM or device state, I/O threads included. It is called with the guest running, on the
 *     thread that called cpr_session_update(), cpr_session_pause() or cpr_session_suspend(). If it
 *     fails, it returns %FALSE with @error set, and the guest runs as before. It may be %NULL only
 *     with a @gate
 * @start: (nullable): lets the vCPUs run. It can't fail: do whatever could fail before
 *     cpr_session_start(). It is called with the guest stopped, on the thread that called
 *     cpr_session_start(), cpr_session_resume(), cpr_session_wakeup() or a cpr_session_update()
 *     that failed. It may be %NULL only with a @gate
 * @log: (nullable): gets the library's messages; %NULL: they are dropped. A thread of the library
 *     may call it, and it may be called while the guest is stopped. So it must not block, as a
 *     write does to a pipe or terminal that nobody reads
 * @user_data: passed to the callbacks
 * @argv: (nullable): the command line as main() got it, for the way back of a later update; copied.
 *     %NULL: the library reads it from /proc/self/cmdline. That takes longer, but is also correct
 *     where main()'s argv isn't: after g_option_context_parse() removed options from it, or where
 *     the program was started by naming the dynamic linker. That getopt_long() puts options first
 *     does no harm. See also cpr_session_set_argv()
 * @unclaimed_fds: what happens to unclaimed fds
 * @device_types: (nullable): the device types that this program knows, ended by %NULL; borrowed,
 *     static. A preflight compares them with the types in the state. Without them nothing about
 *     devices is checked before the pause. With %CPR_INCOMING_REHEARSE the start-up says which
 *     types there are, and the list may be incomplete
 * @declare: (nullable): called in a preflight, from inside cpr_session_new(). In transfer mode the
 *     waiting program itself calls it, and then goes on. It says what this program would build from
 *     its arguments, with cpr_inventory_add_fd(), cpr_inventory_add_vfio(), cpr_inventory_add_ram()
 *     and cpr_inventory_add_device(). So a wrong size or a missing device is found before the
 *     pause. An object that it doesn't name counts as missing. So does an fd that only a device's
 *     fields hold, unless the device's type has `trial_save`. Without this callback, and without
 *     %CPR_INCOMING_REHEARSE, only device types are compared. It must have no effect outside the
 *     process
 * @required_modes: or-ed #CprModes that must stay possible; 0: none. Adding an object or a blocker
 *     that would block one of them fails with %CPR_ERROR_BLOCKED, see cpr_blocker_add()
 * @incoming: (nullable): where a state comes from if this process wasn't started with one, as
 *     SCHEME:ADDRESS; %NULL: nowhere. It is ignored where a state was handed to this process in
 *     exec mode, or the old program started it for a transfer. So it may stay in a command line
 *     that is used again. `unix:PATH` and `unix-fd:N`: transfer mode, see cpr_session_new().
 *     `file:PATH`: the file of an update in reboot mode, see #SECTION:reboot-mode; it can be taken
 *     up once. `pipe:ADDRESS`: the fd that @open_incoming opens. `defer`: @choose_incoming says
 *     where
 * @open_incoming: (nullable): for `pipe:ADDRESS`: returns an fd to read the state from, which is
 *     the library's from then on, or -1 with @error set. cpr_session_new() calls it, and only where
 *     the state will really be read
 * @incoming_flags: or-ed #CprIncomingFlags
 * @stop_timeout_ms: how long the members of @gate may take to leave, in ms; 0: 5 s. If one takes
 *     longer, the guest isn't stopped, and the error of cpr_gate_close() names that member
 * @gate: (nullable): the gate that all threads of the guest enter, see #SECTION:gate. The library
 *     closes it to stop the guest, and calls @stop afterwards; it calls @start to start the guest,
 *     and opens the gate afterwards. So @stop and @start have only the rest to do, and are %NULL
 *     where there is none. If @stop fails, the gate is opened again. Borrowed: it must live as long
 *     as the guest may be stopped or started here, which cpr_session_free() doesn't do
 * @choose_incoming: (nullable): for `defer` in @incoming: returns where the state comes from, as
 *     SCHEME:ADDRESS, newly allocated with g_malloc(), or %NULL with @error set. cpr_session_new()
 *     calls it, and only where no state was handed to this process: an operator may decide in any
 *     time. There is no session yet, so the callback can listen for the operator but not register
 *     what it opens
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
  unsigned stop_timeout_ms;
  CprGate *gate;
  char *(*choose_incoming) (void *user_data, GError **error);
} CprSessionConfig;

/**
 * cpr_session_new:
 * @config: how to set the session up; only read during the call; not %NULL
 * @error: where an error goes, or %NULL
 *
 * Makes a session. It is fresh, unless an update started this process or @incoming names a state:
 * then the session takes that state up. Call it first in main(), after parsing arguments and before
 * anything with an effect outside the process.
 *
 * The library doesn't rely on the environment to know whether there is a state. The variable
 * `LIBCPR_STATE` is a hint, which it verifies. Where the variable was lost on the way (`env -i`, a
 * login shell), the library finds the state among the open fds. The same holds for a program that
 * the old one has started for a transfer: it finds the connection, which is used like `unix-fd:N`.
 * An existing state is taken up or refused, but never ignored, because a second, empty guest would
 * run on the same disk. In exec mode a process that a wrapper forked is refused too: only the
 * process that the update was meant for may have the guest. There is one limit. A wrapper such as
 * sudo, which forks, closes all fds and clears the environment, leaves nothing to find; don't
 * update through one.
 *
 * Taking up a state consists of these acts:
 *
 * - The whole stream is verified: seals, owner, checksums, limits, VM name, boot and process, and
 *   that nobody took it up before.
 * - Each fd is compared with what it was in the old program. All of them are close-on-exec again.
 * - The environment is cleaned.
 * - As the last act, in exec mode only, the signal mask of the old program's thread is restored.
 *   Signals that came since the stop are delivered then. Install handlers before this call, or
 *   block the signals that must wait.
 *
 * In transfer mode, that is, with `unix:PATH` or `unix-fd:N` in @incoming, the function waits for
 * the old program. The wait has no time limit, and a signal handler that returns doesn't end it.
 * `unix:PATH` listens at a socket that the function makes (mode 0600) and removes again.
 * `unix-fd:N` uses a Unix stream socket that this process was started with, listening or connected,
 * with N from 3 up. The library closes that socket. A program that connects but belongs to another
 * user or VM is refused, with a warning in the log, and the wait goes on. On a connected socket the
 * refusal is an error instead. The fds get new numbers here and are verified as in exec mode. The
 * guest still runs in the old program from here until cpr_session_load().
 *
 * The function records for the way back of a later update: the executable (held open), argv,
 * environment, working directory, umask, resource limits and ignored signals of this process.
 *
 * In a process that a preflight started, see #SECTION:preflight, the function answers and ends the
 * process with _exit(): 0 if the program would load the state, 1 if not. With
 * %CPR_INCOMING_REHEARSE it returns an incoming session there, whose cpr_session_load() does that.
 *
 * Errors: %CPR_ERROR_INVALID (name, missing callbacks, an empty argv, unknown modes, @incoming),
 * %CPR_ERROR_BLOCKED (the kernel lacks what a required mode needs), %CPR_ERROR_CORRUPT,
 * %CPR_ERROR_VERSION, %CPR_ERROR_MISMATCH (the state belongs to another VM, user or boot, or was
 * used before; or an fd isn't what it was), %CPR_ERROR_NOT_OWNER (the state is meant for another
 * process, or another process is taking it up), %CPR_ERROR_SYSTEM (also where /proc isn't mounted),
 * %CPR_ERROR_CALLBACK or the error of @open_incoming or @choose_incoming. In transfer mode also
 * %CPR_ERROR_REFUSED (this program's own answer) and %CPR_ERROR_ROLLED_BACK (the old program ended
 * or gave up).
 *
 * After failure, where the state was meant for this process and is intact, the guest goes back. In
 * exec mode the old program is executed again, and the function returns only if that fails. In
 * transfer mode the guest goes on in the old program, which is told the reason. In reboot mode the
 * file can be taken up again. Whenever the function returns %NULL, the VMM must end without running
 * a guest. A refused state stays open, so that a second call is refused too.
 *
 * Handoff and fork: the session belongs to the calling process. A VMM that makes itself a daemon
 * does so before. Threads: call it before others are started. Permitted states: needs no session.
 *
 * Returns: (transfer full): a session in the session state %CPR_SESSION_STATE_FRESH or
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
 * Gives every device the fields that it had in the old program. In a fresh session there is nothing
 * to load. Call it when all fds, RAM blocks and devices are registered. An unclaimed object is an
 * error; for fds @unclaimed_fds decides. A device that only one side has is an error too. The whole
 * state is checked before any of it is applied. Three checks come later: of bulk data, of PCI
 * functions, and of unclaimed mappings and eventfds of assigned devices.
 *
 * In a rehearsal, see #SECTION:preflight, the function answers the preflight and ends the process
 * with _exit(). It returns only if it can't answer, and the session is LOST then.
 *
 * In transfer mode the new program says here that it is ready. It first fills the page tables of
 * its RAM, in up to four threads and only where there is memory. Then the old program stops the
 * guest, and the function continues with the state.
 *
 * Errors: %CPR_ERROR_MISMATCH (unclaimed or missing objects, or a value that doesn't fit, by name),
 * %CPR_ERROR_VERSION, %CPR_ERROR_CORRUPT, %CPR_ERROR_CALLBACK or the device's own error,
 * %CPR_ERROR_PAUSE_BUDGET, %CPR_ERROR_INVALID (`load_after` has a cycle; a KVM VM has no vCPU, in a
 * fresh session too), %CPR_ERROR_SYSTEM, %CPR_ERROR_STATE. In transfer mode with
 * %CPR_INCOMING_REHEARSE also %CPR_ERROR_REFUSED: what the start-up took isn't what the state has,
 * which is found before the stop.
 *
 * After failure, in an incoming session: in exec mode the function doesn't return, and the old
 * program is executed again, with this error as its reason. The function returns only if that fails
 * too; then @error says both. In transfer mode it returns, the guest goes on in the old program,
 * and this program has to end. %CPR_ERROR_ROLLED_BACK then says that the old program ended or gave
 * up. In reboot mode it returns, and the file can be taken up again. Where the function returns,
 * the session is LOST, unless the call wasn't permitted. In a fresh session nothing has changed,
 * and the call can be made again.
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
 * Starts the guest. In an incoming session this is the commit: one compare-and-swap makes this
 * process the owner. Then the function calls @start of the config, unless the guest was paused or
 * suspended when the update began. Such a guest stays so until cpr_session_resume() or
 * cpr_session_wakeup(). After the commit the old program can't have the guest back. The rest of the
 * old program is torn down in the background.
 *
 * If the pause has already lasted longer than its budget, see #CprUpdate, the guest goes back to
 * the old program, as after a failure of cpr_session_load().
 *
 * Errors: %CPR_ERROR_NOT_OWNER (another process took the guest; end without touching it),
 * %CPR_ERROR_PAUSE_BUDGET, %CPR_ERROR_SYSTEM (reboot mode: the file couldn't be renamed, and can be
 * taken up again; the error says where it is if it didn't get its name back), %CPR_ERROR_STATE.
 *
 * After failure: the guest doesn't run in this process and must not. The session is LOST, unless
 * the call wasn't permitted.
 *
 * Permitted states: LOADED. Then ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_start (CprSession *session, GError **error);

/**
 * cpr_session_defer:
 * @session: a session
 * @deferred: %TRUE: the time limit is stopped; %FALSE: it starts again, from the beginning
 * @error: where an error goes, or %NULL
 *
 * Stops the time limit of an incoming session in exec mode, @deadline_ms of #CprUpdate, for a VMM
 * whose operator decides when the guest goes on. The guest stands still meanwhile, and the way back
 * stays: after an error, a crash or a kill of this program the old program gets the guest, however
 * long the wait was. A hang isn't noticed meanwhile. Call it again with %FALSE when the operator
 * has decided: the program has the whole time limit again, from then to the commit. The guardian
 * may notice the new limit up to 250 ms late.
 *
 * The pause budget isn't stopped, since it limits how long the guest stands still: an update that
 * waits for an operator has none. A supervisor's watchdog isn't stopped either.
 *
 * Until the commit the old program may get everything back. It doesn't get the bytes that this
 * program has read meanwhile from a connection that was handed over. So take whole requests only,
 * and answer each.
 *
 * In a fresh session, in a rehearsal and in reboot mode there is no time limit, and the call
 * succeeds without effect. In transfer mode it fails: the old program has stopped the guest for
 * this program and waits. There the operator decides before cpr_session_new() takes up the state,
 * with the guest running: see @choose_incoming of #CprSessionConfig.
 *
 * Errors: %CPR_ERROR_NOT_OWNER (the guardian has taken the guest back, because the time had passed;
 * end without touching the guest), %CPR_ERROR_STATE (also in transfer mode).
 *
 * After failure: nothing has changed.
 *
 * Permitted states: FRESH, INCOMING, LOADED.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_defer (CprSession *session, bool deferred, GError **error);

/**
 * cpr_session_abort:
 * @session: an incoming session that hasn't started the guest
 * @reason: why the VMM can't go on; stays the caller's; not %NULL
 * @error: where an error goes, or %NULL
 *
 * Gives the guest back because something of the VMM's own failed during its start-up. @reason
 * reaches the caller of cpr_session_update(). cpr_session_free() before the commit does the same
 * with the reason of cpr_session_set_reason(), so a main() that simply returns its error loses
 * nothing.
 *
 * In exec mode the old program is executed again. In transfer mode the old program gets the guest,
 * and the function returns with @reason. In reboot mode the file can be taken up again. In a
 * rehearsal the preflight is refused with @reason, and the process ends with _exit().
 *
 * The new program may have closed or replaced fds that were handed over. They are fetched back from
 * the guardian with pidfd_getfd() (Linux 5.6). That isn't possible where this process made itself
 * undumpable and lacks CAP_SYS_PTRACE. Without a guardian such fds are missing, and the way back
 * fails.
 *
 * Errors: %CPR_ERROR_STATE. Where the way back failed: @reason's own code, with a message that says
 * both.
 *
 * After failure: the guest doesn't run here; the session can only be freed.
 *
 * Permitted states: INCOMING, LOADED (of an incoming session).
 *
 * Returns: only on failure, and %FALSE then
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_abort (CprSession *session, const GError *reason, GError **error);

/**
 * cpr_session_set_argv:
 * @session: a session
 * @argv: the command line that would build the VM as it is now, ended by %NULL; copied; not empty
 * @error: where an error goes, or %NULL
 *
 * Replaces the recorded arguments, see cpr_session_get_argv(). Call it after adding or removing a
 * device while the guest runs, with that device's option added or removed. Otherwise the way back
 * of an update would start a program that doesn't build the device, and would be refused.
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
 * cpr_session_get_argv:
 * @session: a session
 *
 * Gets the recorded arguments: the command line of the way back of a later update, and of an update
 * with @program and without @argv, see #CprUpdate. They are those of cpr_session_set_argv(); before
 * that @argv of #CprSessionConfig; and where that was %NULL, the ones with which this process was
 * started. A process that was started by naming the dynamic linker has the linker's arguments, and
 * an update of it needs @argv.
 *
 * Permitted states: all.
 *
 * Returns: (transfer none): a list ended by %NULL, never empty; the session's, valid until
 *     cpr_session_set_argv() or cpr_session_free()
 *
 * Since: 0.1
 */
CPR_API char *const *cpr_session_get_argv (const CprSession *session);

/**
 * cpr_session_get_state:
 * @session: a session
 *
 * Gets the session state.
 *
 * Permitted states: all.
 *
 * Returns: the session state
 *
 * Since: 0.1
 */
CPR_API CprSessionState cpr_session_get_state (const CprSession *session);

/**
 * cpr_session_is_incoming:
 * @session: a session
 *
 * Says whether this session took up a state. Most VMMs never need to ask: cpr_fd_open() and
 * cpr_ram_new() know.
 *
 * Permitted states: all.
 *
 * Returns: %TRUE if the session took up a state, also after the commit
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_is_incoming (const CprSession *session);

/**
 * cpr_session_is_rehearsal:
 * @session: a session
 *
 * Says whether this process only rehearses its start-up, for a preflight, see
 * %CPR_INCOMING_REHEARSE and #SECTION:preflight. Guard by it what start-up code does with an effect
 * outside the process, or with a device behind an fd that the library doesn't make. In a rehearsal
 * cpr_session_is_incoming() is %TRUE too.
 *
 * Permitted states: all.
 *
 * Returns: %TRUE in a rehearsal, which ends with cpr_session_load()
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_is_rehearsal (const CprSession *session);

/**
 * cpr_session_free:
 * @session: (nullable): a session, or %NULL
 *
 * Frees a session: unmaps its RAM blocks and closes what the library opened. fds that the VMM added
 * or took stay open: they are the caller's.
 *
 * In an incoming session that hasn't started the guest this is cpr_session_abort(): in exec mode
 * the old program is executed again, and the function returns only if that fails. After a recent
 * update the function waits until the old address space is torn down, 10 s at most.
 *
 * Handoff and fork: this is the one call that is permitted in a forked child, where it only frees
 * memory.
 *
 * Permitted states: all but UPDATING.
 *
 * Since: 0.1
 */
CPR_API void cpr_session_free (CprSession *session);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprSession, cpr_session_free)

G_END_DECLS

#endif
