/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_UPDATE_H
#define LIBCPR_UPDATE_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/session.h>

G_BEGIN_DECLS

/**
 * SECTION:update
 * @title: Update
 *
 * The update itself: what the old program calls, and what both can learn about the last one.
 *
 * Reboot mode: cpr_session_update() stops the guest, writes its state and the contents of its RAM
 * to a file or an fd, and returns; the VMM then ends, and another program takes the guest up with
 * the `incoming` of its #CprSessionConfig, in the same boot of the host or in another one.
 *
 * - The file appears under its name when it is complete and on the disk (a temporary name beside
 *   it, fsync, a rename to a name that isn't there yet, fsync of the folder), made with mode 0600.
 *   If anything fails before that, there is none, and the guest goes on. RAM lies in it as it lies
 *   in memory, zeros as holes: a file of any block's size, on the disk as much as was in use.
 * - It is taken up once: PATH becomes `PATH.taken`, locked (flock) by the process that has it,
 *   which is the winner where several try. An error before cpr_session_start() gives it its name
 *   back. A process that is killed leaves `PATH.taken` without a lock, which a later attempt finds
 *   under PATH. At the commit it becomes `PATH.spent`, on the disk, before the guest runs, and then
 *   it is removed.
 * - Nobody else must be able to write it: it must belong to the effective user. It is bound to the
 *   VM's name and that user, not to the boot.
 * - All that is demanded of the file when it is taken up (that owner and mode, a regular file under
 *   its name and no link, locks, a rename in its folder), and of files with RAM in place, is
 *   demanded before the guest is stopped, of the very files: %CPR_ERROR_MISMATCH, %CPR_ERROR_SYSTEM
 *   or %CPR_ERROR_INVALID. So a file system that gives new files to another user, as NFS does with
 *   root_squash, is refused while the guest runs.
 * - Through an fd nothing of this can be promised: whoever keeps a copy could take it up twice. Use
 *   @confirm of #CprUpdate.
 * - No fd travels. cpr_fd_open() opens anew, cpr_fd_take() finds nothing, no fd is left unclaimed;
 *   an fd that a device's fields name has to be registered under its name before
 *   cpr_session_load().
 * - Checksums cover the state, always; and copied RAM, piece by piece as it is read: not where it
 *   is mapped.
 * - Times of devices are converted where the boot is another one: to the same instant, by way of
 *   the clock of the day.
 * - There is no preflight, no guardian and no old program to go back to.
 */

/**
 * CprMode:
 * @CPR_MODE_EXEC: the new program replaces the old one in the same process, by execve: the PID
 *     stays
 * @CPR_MODE_TRANSFER: the new program is another process, which was started before and has prepared
 *     everything: the shortest pause
 * @CPR_MODE_REBOOT: the state goes to a file, or through a pipe, this program ends, and another one
 *     takes it up later, also after a restart of the host
 *
 * How an update travels.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_MODE_EXEC = 1,
  CPR_MODE_TRANSFER = 2,
  CPR_MODE_REBOOT = 3
} CprMode;

/**
 * CprModes:
 * @CPR_MODES_EXEC: %CPR_MODE_EXEC
 * @CPR_MODES_TRANSFER: %CPR_MODE_TRANSFER
 * @CPR_MODES_REBOOT: %CPR_MODE_REBOOT
 * @CPR_MODES_ALL: every mode, those of later versions too
 *
 * A set of modes. The bit of a mode is 1 shifted left by the mode's number.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_MODES_EXEC = 1 << CPR_MODE_EXEC,
  CPR_MODES_TRANSFER = 1 << CPR_MODE_TRANSFER,
  CPR_MODES_REBOOT = 1 << CPR_MODE_REBOOT,
  CPR_MODES_ALL = 0x7fffffff
} CprModes;

/**
 * CprUpdateFlags:
 * @CPR_UPDATE_NO_GUARDIAN: do without the guardian. Then the execve tears down the old address
 *     space on the pause (about 85 ms per touched GiB of 4 KiB pages), fds that the new program
 *     closed can't be fetched back, and nothing can rescue the guest from outside. For tools that
 *     can't follow a clone that shares memory (valgrind, ThreadSanitizer)
 * @CPR_UPDATE_NO_PREFLIGHT: don't ask the new program before the guest is stopped
 * @CPR_UPDATE_NO_WAY_BACK: go on although the old program's executable answers that it couldn't
 *     take the guest back, or doesn't answer; in transfer mode, although this process may lock too
 *     little memory for that
 * @CPR_UPDATE_NO_RESCUE: the guardian doesn't take the guest back when the new program dies or
 *     hangs: for a VMM whose supervisor starts it again when its PID ends, so that the guest never
 *     runs twice
 * @CPR_UPDATE_RAM_IN_PLACE: reboot mode: what %CPR_RAM_FILE blocks hold stays in their files, which
 *     have to survive and must not be touched until the state is taken up; all other blocks are
 *     copied. Without it all are. What is neither a file nor a DAX device is refused with
 *     %CPR_ERROR_INVALID
 *
 * Flags of an update.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_UPDATE_NO_GUARDIAN = 1 << 0,
  CPR_UPDATE_NO_PREFLIGHT = 1 << 1,
  CPR_UPDATE_NO_WAY_BACK = 1 << 2,
  CPR_UPDATE_NO_RESCUE = 1 << 3,
  CPR_UPDATE_RAM_IN_PLACE = 1 << 4
} CprUpdateFlags;

/**
 * CprUpdate:
 * @size: `sizeof (CprUpdate)`, see #SECTION:libcpr
 * @mode: how it travels
 * @flags: or-ed #CprUpdateFlags
 * @argv: the new program and its arguments, ended by %NULL; argv[0] without a slash is searched in
 *     PATH
 * @envp: (nullable): its environment, ended by %NULL, or %NULL for this process's
 * @preflight_timeout_ms: how long a program that is asked may take to answer, in transfer mode from
 *     the connection on, in ms; 0: 10 s
 * @deadline_ms: how long the new program may take from the execve to the commit, in ms; 0: 5 s.
 *     Then the guardian kills it and takes the guest back; without a guardian nobody does. Reboot
 *     mode, `fd:` of anything but a file: how long all of the writing may take, whoever reads; 0: a
 *     minute, and a second for each MiB of RAM. Then the update is undone
 * @pause_budget_ms: how long the guest may stand still, in ms; 0: however long it takes. An update
 *     that has taken longer before the commit is undone or rolled back, with
 *     %CPR_ERROR_PAUSE_BUDGET or a reason that says so. It is looked at after the stop, after the
 *     save, before and after the load, and right before the commit; a new program that hangs in
 *     between is @deadline_ms's matter. On the way back it isn't: that ends the pause. A guest that
 *     stands still already has no pause
 * @uri: (nullable): where it goes, as SCHEME:ADDRESS, in the modes that don't execute @argv; those
 *     ignore @argv and @envp. Transfer mode: `unix:PATH`, the socket where the new program listens,
 *     or `unix-fd:N`, a connected Unix stream socket, which stays the caller's. Reboot mode:
 *     `file:PATH`, a file that isn't there yet, or `fd:NUMBER`, an open fd that is written to from
 *     its position on, such as a pipe
 * @progress: (nullable): reboot mode: called from inside cpr_session_update(), with the guest
 *     stopped, several times in a second while RAM is copied: how many bytes of how many are done,
 *     holes and zeros counted. If it returns %FALSE, with @error set, the update is undone
 * @confirm: (nullable): reboot mode: called when all was written and, of `fd:`, the library has
 *     closed its own fd, before the guest counts as handed over: whether it arrived, as when what
 *     reads the pipe has ended well. If it returns %FALSE, with @error set, the update is undone
 * @callback_data: passed to both
 *
 * What to update to. Zero it, set @size, then the fields.
 *
 * Since: 0.1
 */
typedef struct
{
  size_t size;
  CprMode mode;
  unsigned flags;
  char *const *argv;
  char *const *envp;
  unsigned preflight_timeout_ms;
  unsigned deadline_ms;
  unsigned pause_budget_ms;
  const char *uri;
  bool (*progress) (uint64_t done, uint64_t total, void *callback_data, GError **error);
  bool (*confirm) (void *callback_data, GError **error);
  void *callback_data;
} CprUpdate;

/**
 * cpr_session_update:
 * @session: a session
 * @update: what to update to; only read during the call
 * @error: where an error goes, or %NULL
 *
 * Replaces this program by another one under the guest. In exec mode the call returns only on
 * failure: on success the next thing that happens is main() of the new program. In reboot mode it
 * returns when the state is where it was to go.
 *
 * The new program is asked whether it could take over, see cpr_session_preflight(), and refused if
 * not; a preflight of the same update less than a minute ago is good for one update, unless fields
 * with `trial_save` have changed since. A guardian process is made that keeps this address space,
 * the guest is stopped (with @stop of the config, unless it is stopped already), its state is saved
 * and sealed, and the new program is executed with the fds of the fd table, with all signals
 * blocked until its cpr_session_new() has taken up the state. Where that is another program than
 * the one that was asked, it goes back.
 *
 * Call it from the thread that shall become the new program's main thread: CPU affinity, seccomp
 * filters, capabilities and scheduling policy go along. Other threads end without being asked, and
 * what stdio or the VMM itself has buffered is lost: flush it in @stop. No thread may fork while
 * the call is under way.
 *
 * In transfer mode the new program is a process that waits at @uri, see @incoming of
 * #CprSessionConfig. It gets the fds of the fd table and is asked as in a preflight (its own
 * answer; nobody is started), prepares all of it, with the guest running, and says that it is
 * ready. Only then the guest is stopped, its state saved and offered to that process, which has
 * @deadline_ms for its preparations, the filling of page tables included, and again for the load;
 * nothing that it sends makes these longer. If it fails, ends, takes too long or is cancelled with
 * cpr_session_cancel() it can't have the guest any more; unless it said itself that it gives up it
 * is killed, and the guest goes on here. A program that got the fds and not the guest is always
 * ended: where it still lives 2 s after the guest has gone on it is killed, and its end is waited
 * for, for 10 s at most, before the call returns. On success the call returns %TRUE and the session
 * is HANDED_OVER: the guest never runs here again. End this process, without touching what went
 * along: sockets, assigned devices and other fds are the new program's too. The standard streams
 * don't go along in this mode, and locks that each program has for itself (fcntl(), or on a file
 * that each opens) can't be had by both.
 *
 * The notifiers are told, see #CprEvent: %CPR_EVENT_SETUP after the preflight and before anything
 * is made, so that a veto has nothing to undo; then, with the guest stopped, %CPR_EVENT_STOPPED and
 * %CPR_EVENT_SAVED.
 *
 * Errors: %CPR_ERROR_INVALID (the mode, an empty argv), %CPR_ERROR_STATE (also in a notifier's
 * callback), %CPR_ERROR_BLOCKED (the reasons of all blockers, in one line), what a notifier vetoed
 * with, %CPR_ERROR_REFUSED (the preflight's answer), %CPR_ERROR_MISMATCH (an fd of the table is
 * closed or isn't what it was), %CPR_ERROR_SYSTEM (the program isn't there, isn't executable or is
 * a directory; no memory or space for the state; execve's errno), what @stop or a device's
 * `pre_save`, @progress or @confirm reported, %CPR_ERROR_CALLBACK, %CPR_ERROR_PAUSE_BUDGET,
 * %CPR_ERROR_EXISTS (reboot mode: there is a file of that name, a symbolic link too, or one that is
 * being taken up).
 *
 * The call first waits, with the guest running, until the guardian of an update shortly before has
 * closed its fds, which is a matter of milliseconds, also on a busy machine and without privileges;
 * @wait_ns of #CprUpdateInfo says how long. It doesn't wait until the old address space is torn
 * down, unless 8 such guardians are at it already. Whatever lasts longer than a minute is
 * %CPR_ERROR_SYSTEM with ETIMEDOUT.
 *
 * After failure: the guest is as it was, running, paused or suspended; every step was undone; the
 * call can be made again at once. The error also stands in cpr_session_get_update_info(). Only
 * where %CPR_ERROR_NOT_OWNER says that another process has taken the guest is the session LOST.
 * %CPR_ERROR_ROLLED_BACK is the new program's failure in transfer mode. fds that were opened
 * without close-on-exec while the call was under way have it afterwards.
 *
 * Permitted states: ACTIVE.
 *
 * After success, in reboot mode: the session is HANDED_OVER: the guest is in the file and never
 * runs here again, because another process may have it. To go on after all, take it up.
 *
 * Returns: %TRUE where the guest was handed over to another process; in exec mode only on failure,
 * and %FALSE then
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_update (CprSession *session, const CprUpdate *update, GError **error);

/**
 * cpr_session_cancel:
 * @session: a session
 *
 * Gives up an update in transfer mode that another thread has under way: its cpr_session_update()
 * fails with %CPR_ERROR_ROLLED_BACK, "cancelled" in the message, and the guest goes on here; unless
 * the new program has committed before that. Where none is under way, or in another mode, nothing
 * happens.
 *
 * Threads: safe, also in a signal handler, as long as no other thread frees the session. Handoff
 * and fork: in a forked child nothing happens. Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_session_cancel (CprSession *session);

/**
 * CprStep:
 * @CPR_STEP_CHECK: is the update possible at all; the guest runs
 * @CPR_STEP_PREFLIGHT: the new program, and the old one's executable, are asked; the guest runs
 * @CPR_STEP_GUARDIAN: the guardian is made; in transfer mode: the new program prepares itself; the
 *     guest runs
 * @CPR_STEP_STOP: the guest is stopped
 * @CPR_STEP_SAVE: its state is saved and sealed
 * @CPR_STEP_EXEC: from the execve to the new program's cpr_session_new(), the dynamic linker's work
 *     included; in transfer mode: the state is on its way
 * @CPR_STEP_TAKE_UP: the state and the fds are verified; this and the next are 0 in transfer mode,
 *     they come before the stop there
 * @CPR_STEP_CLAIM: the VMM's own start-up: RAM mapped, fds taken, devices built
 * @CPR_STEP_LOAD: the devices get their state
 * @CPR_STEP_COMMIT: from cpr_session_load()'s end to the guest's first instruction
 * @CPR_STEP_FINISH: the old address space is torn down, in small steps with rests between them; the
 *     guest runs
 * @CPR_N_STEPS: the number of steps
 *
 * The steps of an update whose times are taken.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_STEP_CHECK = 0,
  CPR_STEP_PREFLIGHT = 1,
  CPR_STEP_GUARDIAN = 2,
  CPR_STEP_STOP = 3,
  CPR_STEP_SAVE = 4,
  CPR_STEP_EXEC = 5,
  CPR_STEP_TAKE_UP = 6,
  CPR_STEP_CLAIM = 7,
  CPR_STEP_LOAD = 8,
  CPR_STEP_COMMIT = 9,
  CPR_STEP_FINISH = 10,
  CPR_N_STEPS = 11
} CprStep;

/**
 * CPR_STEPS_MAX:
 *
 * For how many steps #CprUpdateInfo has room, those of later versions too.
 *
 * Since: 0.1
 */
#define CPR_STEPS_MAX 24

/**
 * cpr_step_get_name:
 * @step: a step
 *
 * The name of a step, as in `take-up`. Threads: safe. Permitted states: needs no session.
 *
 * Returns: a constant string, or %NULL if there is no such step
 *
 * Since: 0.1
 */
CPR_API const char *cpr_step_get_name (CprStep step);

/**
 * CprUpdateStatus:
 * @CPR_UPDATE_NONE: there was none yet
 * @CPR_UPDATE_COMPLETED: this program owns the guest because of it, or has handed it over
 * @CPR_UPDATE_FAILED: it failed before the execve; everything was undone
 * @CPR_UPDATE_ROLLED_BACK: the new program failed before the commit; this program has been executed
 *     again, in the same process
 * @CPR_UPDATE_RESCUED: the new program died or hung before the commit; this program has been
 *     executed again by the guardian, in a process with another PID, which isn't a child of the
 *     former one's parent
 *
 * How the last update ended.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_UPDATE_NONE = 0,
  CPR_UPDATE_COMPLETED = 1,
  CPR_UPDATE_FAILED = 2,
  CPR_UPDATE_ROLLED_BACK = 3,
  CPR_UPDATE_RESCUED = 4
} CprUpdateStatus;

/**
 * CprUpdateInfo:
 * @size: `sizeof (CprUpdateInfo)`, set by the caller, see #SECTION:libcpr
 * @status: how it ended
 * @generation: how many updates this VM has been through, those rolled back not counted
 * @guardian: whether there was a guardian
 * @error: why it failed, or %NULL; the session's, valid until the next update
 * @step_ns: how long each #CprStep took; 0 for those that weren't reached and for steps of later
 *     versions. After a rollback the steps from %CPR_STEP_TAKE_UP on are those of the old program,
 *     executed again, and %CPR_STEP_EXEC includes the failed attempt
 * @pause_ns: from the begin of the stop to the guest's first instruction allowed: the end of
 *     `start`, less the time for which other threads, as a rule the guest's, had taken the CPU from
 *     that one meanwhile; 0 if the guest was stopped all along
 * @total_ns: from the call of cpr_session_update() to the end of the last step so far, @wait_ns
 *     included
 * @recover_ns: after a rollback or a rescue: from when the failure was known to the guest's first
 *     instruction allowed; a part of
 *     @pause_ns. What comes before is the new program's: how long it tried, and how long it took to
 *         die
 * @mode: how it travelled; 0 if there was none. Known from cpr_session_new() on: where the guest
 *     still runs elsewhere there is time to prepare things
 * @ram_done: reboot mode, in the program that saves: how many bytes of RAM have been copied, holes
 *     and zeros counted
 * @ram_total: of how many
 * @wait_ns: how long the update waited, with the guest running and before its first step, until the
 *     guardian of the update before had closed its fds; a part of @total_ns, and of no other step
 *
 * What is known about the last update.
 *
 * Since: 0.1
 */
typedef struct
{
  size_t size;
  CprUpdateStatus status;
  uint64_t generation;
  bool guardian;
  const char *error;
  uint64_t step_ns[CPR_STEPS_MAX];
  uint64_t pause_ns;
  uint64_t total_ns;
  uint64_t recover_ns;
  CprMode mode;
  uint64_t ram_done;
  uint64_t ram_total;
  uint64_t wait_ns;
} CprUpdateInfo;

/**
 * cpr_session_get_update_info:
 * @session: a session
 * @info: where it goes; `size` must be set. Members beyond it aren't written; those that this
 *     version of libcpr doesn't know are set to 0
 *
 * Tells about the last update, in the program that made it (after failure) or in the one that came
 * out of it.
 *
 * Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_session_get_update_info (const CprSession *session, CprUpdateInfo *info);

G_END_DECLS

#endif
