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
 * The old program makes an update with cpr_session_update(). Both programs can ask afterwards how
 * it went, with cpr_session_get_update_info(). This header has one chapter for each mode,
 * #SECTION:exec-mode, #SECTION:transfer-mode and #SECTION:reboot-mode. A chapter lists the members
 * of #CprUpdate that the mode reads, and its steps. It adds the mode's errors to those of
 * cpr_session_update(), and says what holds afterwards. doc/modes.md compares the modes.
 *
 * In every mode the update first makes its checks and tells the notifiers, with the guest running.
 * Then the guest is stopped (by @gate and @stop of the config, unless it is stopped already), and
 * its state is saved and sealed. If a step fails, the earlier steps are undone and the guest goes
 * on.
 */

/**
 * SECTION:exec-mode
 * @title: Exec mode
 *
 * The new program replaces the old one in the same process, by execve(): the PID stays.
 *
 * Members of #CprUpdate: @program, @argv and @envp say what is executed. The mode also reads
 * @preflight_timeout_ms, @deadline_ms and @pause_budget_ms. Its flags are %CPR_UPDATE_NO_GUARDIAN,
 * %CPR_UPDATE_NO_PREFLIGHT, %CPR_UPDATE_NO_WAY_BACK and %CPR_UPDATE_NO_RESCUE.
 *
 * The usual update is the same command line with another binary: set @program and leave @argv
 * %NULL. The new program then gets the recorded arguments, see cpr_session_get_argv(), with
 * @program in the place of argv[0]. So `ps` shows the new path, and `/proc/self/exe` as @program
 * executes this very binary once more.
 *
 * Steps:
 *
 * 1. With the guest running, the new program is asked whether it could take the guest over, see
 *    cpr_session_preflight(). A preflight of the same update less than a minute ago is good for one
 *    update, unless fields of types with `trial_save` have changed since.
 * 2. A guardian process is made. It keeps this address space and the fds of the fd table.
 * 3. The guest is stopped, and its state is saved and sealed.
 * 4. The new program is executed with the fds of the fd table. All signals are blocked until its
 *    cpr_session_new() has taken up the state. If this isn't the program that answered the
 *    preflight, it gives the guest back.
 * 5. The new program claims, loads and commits, see cpr_session_start(). It has @deadline_ms from
 *    the execve to the commit; then the guardian kills it and takes the guest back. Without a
 *    guardian nobody does.
 *
 * Call cpr_session_update() from the thread that is to become the new program's main thread. The
 * new program inherits that thread's CPU affinity, seccomp filters, capabilities and scheduling
 * policy. All other threads end without notice. Data that stdio or the VMM itself has buffered is
 * lost: flush it in @stop.
 *
 * Errors: %CPR_ERROR_INVALID (an empty @argv, or neither @argv nor @program), %CPR_ERROR_REFUSED
 * (the preflight's answer), %CPR_ERROR_SYSTEM (the program doesn't exist, isn't executable or is a
 * directory; execve's errno), %CPR_ERROR_NOT_OWNER.
 *
 * After failure before the execve: the call returns %FALSE and the guest is as it was. After a
 * failure of the new program before its commit the old program's executable runs again, from main()
 * on, and takes up the state: in the same process after a rollback, under another PID after a
 * rescue by the guardian. Then cpr_session_get_update_info() has the reason.
 *
 * After success: the old program doesn't exist any more. The next code that runs is main() of the
 * new program.
 */

/**
 * SECTION:transfer-mode
 * @title: Transfer mode
 *
 * The new program is another process, which waits at @uri: see @incoming of #CprSessionConfig. It
 * prepares everything while the guest runs, so the pause is the shortest.
 *
 * Members of #CprUpdate: @uri is `unix:PATH`, the socket where the new program listens, or
 * `unix-fd:N`, a connected Unix stream socket, which stays the caller's. N is 3 or more. The mode
 * also reads @preflight_timeout_ms, @deadline_ms and @pause_budget_ms. Its flags are
 * %CPR_UPDATE_NO_PREFLIGHT and %CPR_UPDATE_NO_WAY_BACK. @program, @argv and @envp are ignored.
 *
 * Steps:
 *
 * 1. With the guest running, the old program connects. The new program gets the fds of the fd table
 *    and answers for itself as in a preflight; no program is started. It has @preflight_timeout_ms
 *    from the connection to its answer.
 * 2. Still with the guest running, the new program claims everything, fills its page tables and
 *    says that it is ready. It has @deadline_ms for this.
 * 3. The guest is stopped. Its state is saved, sealed and offered to the new program.
 * 4. The new program loads and commits. It has @deadline_ms again. No message that it sends makes
 *    either time longer.
 *
 * The standard streams aren't handed over in this mode. The two programs can't both hold a lock
 * that each would take for itself, with fcntl() or on a file that each opens.
 *
 * Errors: %CPR_ERROR_INVALID (@uri), %CPR_ERROR_REFUSED, %CPR_ERROR_MISMATCH (another user, VM, PID
 * namespace or clocks), %CPR_ERROR_VERSION (the two libcprs have no version of the protocol in
 * common), %CPR_ERROR_ROLLED_BACK (the new program failed, ended or took too long, or the update
 * was cancelled).
 *
 * After failure: the guest goes on here. The new program can't have the guest any more if it fails,
 * ends, takes too long, or is cancelled with cpr_session_cancel(). If the guest had been offered to
 * it, the new program is killed before the guest goes on, unless it said itself that it gives up. A
 * program that got the fds and not the guest is always ended. If it still lives 2 s after the guest
 * has gone on, it is killed. The call waits for its end, 10 s at most, before it returns.
 *
 * After success: the call returns %TRUE and the session is HANDED_OVER: the guest never runs here
 * again. End this process. Don't touch what was handed over: sockets, assigned devices and other
 * fds are the new program's too.
 */

/**
 * SECTION:reboot-mode
 * @title: Reboot mode
 *
 * The update stops the guest, writes its state and the contents of its RAM to a file or an fd, and
 * returns. The VMM then ends. Another program takes up the state with @incoming of
 * #CprSessionConfig, in the same boot of the host or in another one.
 *
 * Members of #CprUpdate: @uri is `file:PATH`, a file that doesn't exist yet, or `fd:NUMBER`, an
 * open fd such as a pipe, which is written to from its position on. The fd stays the caller's, and
 * its number is 3 or more. The mode also reads @progress, @confirm, @callback_data and
 * @pause_budget_ms. Its flag is %CPR_UPDATE_RAM_IN_PLACE. For `fd:` of anything but a regular file,
 * @deadline_ms limits the time of all writing, whatever the reader does; 0: a minute, and a second
 * for each MiB of RAM. @program, @argv, @envp and @preflight_timeout_ms are ignored. There is no
 * preflight, no guardian and no old program to go back to.
 *
 * Steps:
 *
 * 1. With the guest running, the file is made under a temporary name, or the fd is duplicated. The
 *    conditions below are checked.
 * 2. The guest is stopped. Its state and its RAM are written; @progress is called meanwhile.
 * 3. @confirm is called.
 * 4. The file gets its name. From then on the guest is in the file.
 *
 * The file:
 *
 * - It is made with mode 0600. It gets its name when it is complete and on the disk: a temporary
 *   name beside PATH, fsync, a rename to a name that doesn't exist yet, fsync of the folder. If an
 *   earlier step fails, there is no file, and the guest goes on. RAM is in it as in memory, with
 *   holes for zeros. So the file is as long as the RAM, but occupies only what was in use.
 * - It can be taken up once. PATH becomes `PATH.taken`, locked (flock) by the process that has it.
 *   If several processes try, one wins. An error before cpr_session_start() gives the file its name
 *   back. A process that is killed leaves `PATH.taken` without a lock, and a later attempt finds it
 *   under PATH. At the commit it becomes `PATH.spent`, on the disk, before the guest runs; then it
 *   is removed.
 * - It must belong to the effective user, and nobody else may be able to write to it. It is bound
 *   to that user and to the VM's name, not to the boot.
 * - The conditions for taking it up are checked before the guest is stopped, on the very file: that
 *   owner and mode, a regular file and no link under its name, locks, a rename in its folder. The
 *   conditions for files with RAM in place are checked too. So a file system that gives new files
 *   to another user, as NFS does with root_squash, is refused while the guest runs.
 * - Checksums always cover the state. They cover copied RAM, which is verified piece by piece as it
 *   is read, and isn't verified where it is mapped.
 *
 * An fd can't promise any of this: somebody with a copy of the bytes could take them up twice. Use
 * @confirm.
 *
 * In the program that takes the state up: no fd was handed over. cpr_fd_open() opens the file
 * again, cpr_fd_take() finds nothing, and no fd is unclaimed. An fd that a device's fields name has
 * to be in the fd table, under its name, before cpr_session_load(). After a restart of the host,
 * times in device fields are converted to the same instant, by way of CLOCK_REALTIME.
 *
 * Errors: %CPR_ERROR_INVALID (@uri; RAM that can't stay in place), %CPR_ERROR_EXISTS (a file of
 * that name exists, or a symbolic link, or a file that is being taken up), %CPR_ERROR_MISMATCH,
 * %CPR_ERROR_SYSTEM, the error that @progress or @confirm set.
 *
 * After failure: the guest goes on here, and there is no file. With `fd:` a part of the state, or
 * all of it, may have been written. For `file:` there is one exception. The file had its name
 * already, but its folder couldn't be synced. Then the file couldn't be removed, because another
 * process had taken it up or because unlink() failed. In this case the file has the guest: the
 * error is %CPR_ERROR_SYSTEM and the session is LOST.
 *
 * After success: the call returns %TRUE and the session is HANDED_OVER. The guest is in the file
 * and never runs here again, because another process may have it. To go on after all, take the file
 * up.
 */

/**
 * CprMode:
 * @CPR_MODE_EXEC: the new program replaces the old one in the same process, by execve: the PID
 *     stays; see #SECTION:exec-mode
 * @CPR_MODE_TRANSFER: the new program is another process, which was started before and has prepared
 *     everything: the shortest pause; see #SECTION:transfer-mode
 * @CPR_MODE_REBOOT: the state goes to a file, or through a pipe; this program ends, and another one
 *     takes the state up later, also after a restart of the host; see #SECTION:reboot-mode
 *
 * How the guest travels.
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
 * @CPR_MODES_ALL: every mode, also those of later versions
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
 * @CPR_UPDATE_NO_GUARDIAN: exec mode: do without the guardian. Then the execve tears down the old
 *     address space on the pause, about 85 ms per touched GiB of 4 KiB pages. fds that the new
 *     program closed can't be fetched back, and nothing can rescue the guest from outside. For
 *     tools that can't follow a clone that shares memory (valgrind, ThreadSanitizer)
 * @CPR_UPDATE_NO_PREFLIGHT: exec and transfer mode: don't ask the new program before the guest is
 *     stopped
 * @CPR_UPDATE_NO_WAY_BACK: exec mode: go on although the old program's executable answers that it
 *     couldn't take the guest back, or doesn't answer. Transfer mode: go on although this process
 *     may lock too little memory for that
 * @CPR_UPDATE_NO_RESCUE: exec mode: the guardian doesn't take the guest back when the new program
 *     dies or hangs. For a VMM whose supervisor starts it again when its PID ends, so that the
 *     guest never runs twice
 * @CPR_UPDATE_RAM_IN_PLACE: reboot mode: the contents of %CPR_RAM_FILE blocks stay in their files,
 *     which have to survive and must not be touched until the state is taken up. All other blocks
 *     are copied. Without this flag every block is copied. A block whose path is neither a file nor
 *     a DAX device is refused with %CPR_ERROR_INVALID
 * @CPR_UPDATE_RUN_THROUGH: exec mode: the guest runs on while the new program is executed and
 *     starts, in a process that keeps the old VM, and stands still twice for a moment. For a guest of
 *     KVM on x86-64 whose devices' backends stand still with their VMM; a log line says why where it
 *     can't be done, and then the guest stands still as ever
 *
 * Flags of an update. A mode ignores the other modes' flags.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_UPDATE_NO_GUARDIAN = 1 << 0,
  CPR_UPDATE_NO_PREFLIGHT = 1 << 1,
  CPR_UPDATE_NO_WAY_BACK = 1 << 2,
  CPR_UPDATE_NO_RESCUE = 1 << 3,
  CPR_UPDATE_RAM_IN_PLACE = 1 << 4,
  CPR_UPDATE_RUN_THROUGH = 1 << 5
} CprUpdateFlags;

/**
 * CprUpdate:
 * @size: `sizeof (CprUpdate)`, see #SECTION:libcpr
 * @mode: how the guest travels
 * @flags: or-ed #CprUpdateFlags
 * @argv: (nullable): exec mode: the new program's arguments, ended by %NULL. argv[0] is the program
 *     too, unless @program is set. %NULL: the recorded arguments with @program as argv[0]
 * @envp: (nullable): exec mode: the new program's environment, ended by %NULL, or %NULL for this
 *     process's
 * @preflight_timeout_ms: exec and transfer mode: how long an asked program may take to answer, in
 *     ms; 0: 10 s. In transfer mode the time starts at the connection
 * @deadline_ms: how long the new program may take, in ms. Exec mode: from the execve to the commit.
 *     Transfer mode: for its preparations, and again from the offer to the commit. 0: 5 s in both.
 *     Reboot mode, `fd:` only: how long the writing may take, see #SECTION:reboot-mode. After that
 *     time the update is undone, or the guardian takes the guest back
 * @pause_budget_ms: every mode: how long the guest may be stopped, in ms; 0: without a limit. An
 *     update that takes longer before the commit is undone with %CPR_ERROR_PAUSE_BUDGET, or rolled
 *     back with a reason that says so. The time is checked after the stop, after the save, before
 *     and after the load, and right before the commit. A new program that hangs in between is ended
 *     by @deadline_ms. The way back isn't checked, since it ends the pause. A guest that is stopped
 *     already has no pause
 * @uri: transfer and reboot mode: where the guest goes, as SCHEME:ADDRESS; the modes' chapters have
 *     the schemes. Exec mode ignores it
 * @progress: (nullable): reboot mode: called several times in a second while RAM is copied, from
 *     inside cpr_session_update(), with the guest stopped. It gets how many bytes of how many are
 *     done, holes and zeros counted. If it returns %FALSE, with @error set, the update is undone
 * @confirm: (nullable): reboot mode: called when everything is written, before the guest counts as
 *     handed over, to say whether the data arrived. With `fd:` the library has closed its own fd by
 *     then, so the callback can wait for the process that reads the pipe. If it returns %FALSE,
 *     with @error set, the update is undone
 * @callback_data: passed to @progress and @confirm
 * @program: (nullable): exec mode: the program to execute, with @argv as its arguments or with the
 *     recorded ones. %NULL: argv[0]. A name without a slash is searched in this process's PATH
 * @reply_fd: every mode: the connection of whoever asked for the update, 3 or more; 0 or -1: none.
 *     The library keeps a duplicate, which goes where the guest goes, see
 *     cpr_session_take_reply_fd(). The fd itself stays the caller's
 *
 * Describes an update. Zero it, set @size, then the fields that the mode reads:
 *
 * | member | exec | transfer | reboot |
 * |---|---|---|---|
 * | @program, @argv, @envp | yes | ignored | ignored |
 * | @uri | ignored | `unix:`, `unix-fd:` | `file:`, `fd:` |
 * | @preflight_timeout_ms | yes | yes | ignored |
 * | @deadline_ms | yes | yes | with `fd:` |
 * | @pause_budget_ms | yes | yes | yes |
 * | @reply_fd | yes | yes | yes |
 * | @progress, @confirm, @callback_data | ignored | ignored | yes |
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
  const char *program;
  int reply_fd;
} CprUpdate;

/**
 * cpr_session_update:
 * @session: a session
 * @update: what to update to; only read during the call
 * @error: where an error goes, or %NULL
 *
 * Replaces this program by another one under the guest. The chapters #SECTION:exec-mode,
 * #SECTION:transfer-mode and #SECTION:reboot-mode have each mode's steps, errors and outcomes. In
 * exec mode the call returns only on failure.
 *
 * Before its first step the update waits, with the guest running, until the guardian of a recent
 * update in exec mode has closed its fds. That takes milliseconds, also on a busy machine and
 * without privileges; @wait_ns of #CprUpdateInfo has the time. The update doesn't wait until the
 * old address space is torn down, unless 8 such guardians are still at work. A wait of more than a
 * minute is %CPR_ERROR_SYSTEM with ETIMEDOUT.
 *
 * The notifiers are told %CPR_EVENT_SETUP before the preflight and before anything is made, so a
 * veto has nothing to undo. With the guest stopped they are told %CPR_EVENT_STOPPED and
 * %CPR_EVENT_SAVED. See #CprEvent.
 *
 * No thread may fork while the call is under way: the child would get the fds.
 *
 * Errors in every mode: %CPR_ERROR_INVALID (an unknown mode or flag; @reply_fd of 1 or 2; a field
 * that can't be saved, such as an fd outside the fd table; a cycle of `load_after`; a KVM VM
 * without a vCPU), %CPR_ERROR_STATE (also in a notifier's callback), %CPR_ERROR_BLOCKED (the
 * reasons of all blockers, in one line), the error of a notifier's veto, %CPR_ERROR_MISMATCH (an fd
 * of the table is closed or isn't what it was), %CPR_ERROR_SYSTEM (no memory or no space for the
 * state; @reply_fd isn't open), the error of cpr_gate_close(), of @stop or of a device's
 * `pre_save`, %CPR_ERROR_CALLBACK, %CPR_ERROR_PAUSE_BUDGET.
 *
 * After failure: the guest is as it was, running, paused or suspended. Every step was undone, and
 * the call can be made again at once. cpr_session_get_update_info() has the error too, unless the
 * call wasn't permitted. fds that were opened without close-on-exec while the call was under way
 * have it afterwards. Only where another process has the guest is the session LOST:
 * %CPR_ERROR_NOT_OWNER says so, and in reboot mode the error in its chapter.
 *
 * Permitted states: ACTIVE. Then HANDED_OVER where it returns %TRUE.
 *
 * Returns: %TRUE where the guest was handed over to another process or to a file; in exec mode only
 * on failure, and %FALSE then
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_update (CprSession *session, const CprUpdate *update, GError **error);

/**
 * cpr_session_cancel:
 * @session: a session
 *
 * Cancels an update in transfer mode that another thread has under way. Its cpr_session_update()
 * fails with %CPR_ERROR_ROLLED_BACK and "cancelled" in the message, and the guest goes on here,
 * unless the new program has committed before. Without an update under way, or in another mode, the
 * call does nothing. The call also does nothing until all notifiers have been told
 * %CPR_EVENT_SETUP.
 *
 * Threads: safe, also in a signal handler, as long as no other thread frees the session. Handoff
 * and fork: in a forked child the call does nothing. Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_session_cancel (CprSession *session);

/**
 * CprStep:
 * @CPR_STEP_CHECK: the checks whether the update is possible; the guest runs
 * @CPR_STEP_PREFLIGHT: the new program, and the old one's executable, are asked; the guest runs
 * @CPR_STEP_GUARDIAN: the guardian is made; in transfer mode the new program prepares itself; the
 *     guest runs
 * @CPR_STEP_STOP: the guest is stopped
 * @CPR_STEP_SAVE: its state is saved and sealed
 * @CPR_STEP_EXEC: from the execve to the new program's cpr_session_new(), the dynamic linker's work
 *     included; in transfer mode the state is on its way
 * @CPR_STEP_TAKE_UP: the state and the fds are verified. This step and the next are 0 in transfer
 *     mode, where they come before the stop
 * @CPR_STEP_CLAIM: the VMM's own start-up: RAM is mapped, fds are claimed, devices are built
 * @CPR_STEP_LOAD: the devices get their fields
 * @CPR_STEP_COMMIT: from the end of cpr_session_load() to the guest's first instruction
 * @CPR_STEP_FINISH: the old address space is torn down, in small steps with rests between them; the
 *     guest runs
 * @CPR_N_STEPS: the number of steps
 *
 * The steps of an update whose times are measured.
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
 * The number of steps that #CprUpdateInfo has room for, those of later versions included.
 *
 * Since: 0.1
 */
#define CPR_STEPS_MAX 24

/**
 * cpr_step_get_name:
 * @step: a step
 *
 * Gives the name of a step, such as `take-up`. Threads: safe. Permitted states: needs no session.
 *
 * Returns: a constant string, or %NULL if there is no such step
 *
 * Since: 0.1
 */
CPR_API const char *cpr_step_get_name (CprStep step);

/**
 * CprUpdateStatus:
 * @CPR_UPDATE_NONE: there was no update yet
 * @CPR_UPDATE_COMPLETED: this program owns the guest because of the update, or has handed it over
 * @CPR_UPDATE_FAILED: the update failed in this program, which still has the guest, unless the
 *     session is LOST; everything was undone
 * @CPR_UPDATE_ROLLED_BACK: the new program failed before the commit; this program was executed
 *     again, in the same process
 * @CPR_UPDATE_RESCUED: the new program died or hung before the commit. The guardian executed this
 *     program again, in a process with another PID, which isn't a child of the former process's
 *     parent
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
 * @status: how the update ended
 * @generation: how many updates this VM has been through, not counting those that failed
 * @guardian: whether there was a guardian
 * @error: why the update failed, or %NULL; the session's, valid until the next update
 * @step_ns: how long each #CprStep took, in ns; 0 for steps that weren't reached and for steps of
 *     later versions. After a rollback the steps from %CPR_STEP_TAKE_UP on are those of the old
 *     program, executed again, and %CPR_STEP_EXEC includes the failed attempt
 * @pause_ns: the pause, from the start of the stop to the guest's first instruction, in ns; 0 if
 *     the guest was stopped all the time. The end is where `start` returned, less the time for
 *     which other threads, as a rule the guest's, had taken the CPU from that thread meanwhile
 * @total_ns: from the call of cpr_session_update() to the end of the last step so far, in ns,
 *     @wait_ns included
 * @recover_ns: after a rollback or a rescue: the time from when the failure was known to the
 *     guest's first instruction, in ns; a part of @pause_ns. The time before that belongs to the
 *     new program: how long it tried, and how long it took to die
 * @mode: how the guest travelled; 0 if there was no update. It is known from cpr_session_new() on:
 *     in transfer mode the guest still runs elsewhere then, and there is time to prepare things
 * @ram_done: reboot mode, in the program that saves: how many bytes of RAM have been copied, holes
 *     and zeros counted
 * @ram_total: how many bytes of RAM there are to copy
 * @wait_ns: how long the update waited, in ns, until the guardian of the update before had closed
 *     its fds. The guest runs meanwhile. The wait comes before the first step; it is a part of
 *     @total_ns and of no step
 *
 * A description of the last update.
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
 * @info: where the information goes; its `size` must be set. Members beyond that size aren't
 *     written. Members that this version of libcpr doesn't know are set to 0
 *
 * Describes the last update. The program that made it can ask after a failure, or after the guest
 * was handed over. The program that has the guest because of the update can ask too.
 *
 * Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_session_get_update_info (const CprSession *session, CprUpdateInfo *info);

/**
 * cpr_update_status_get_name:
 * @status: how an update ended
 *
 * Gives the name of a status: `none`, `completed`, `failed`, `rolled-back` or `rescued`. Threads:
 * safe. Permitted states: needs no session.
 *
 * Returns: a constant string, or %NULL if there is no such status
 *
 * Since: 0.1
 */
CPR_API const char *cpr_update_status_get_name (CprUpdateStatus status);

/**
 * cpr_session_take_reply_fd:
 * @session: a session
 * @status: (out) (nullable): how the update ended; %CPR_UPDATE_NONE if the result is -1
 * @reason: (out) (nullable): why the update failed, the session's until the next update; %NULL if
 *     it didn't fail or if the result is -1
 *
 * Takes the connection of whoever asked for the last update, @reply_fd of #CprUpdate, to answer it.
 * The program that has the guest afterwards gets it:
 *
 * - after the commit the new program, from cpr_session_start() on;
 * - after a failure before the execve, or in transfer mode before the commit, the program that
 *   called cpr_session_update();
 * - after a rollback or a rescue the old program, executed again, from cpr_session_start() on;
 * - in reboot mode the program that called cpr_session_update(), whether it failed or not. The
 *   program that takes the state up later gets nothing.
 *
 * So the same lines answer in each case: call them after cpr_session_start(), and after
 * cpr_session_update() where that returned. After a call of cpr_session_update() that wasn't
 * permitted there is nothing to take.
 *
 * Whoever asked may have hung up by now. A write to such a socket raises SIGPIPE, which ends the
 * program that has just got the guest, so ignore that signal.
 *
 * The fd is no part of the fd table. If nobody takes it, the next cpr_session_update() or
 * cpr_session_free() closes it. If no program can take the guest, the guardian keeps it with
 * everything else. A peer sees the end of the connection when every copy is closed, which takes
 * some milliseconds after the commit: the guardian has one. If the caller's own fd is in the fd
 * table, that one survives as well, and both are open.
 *
 * Permitted states: all. The result is -1 in every state but ACTIVE and HANDED_OVER, and in a
 * forked child.
 *
 * Returns: an fd, which is the caller's now and close-on-exec, or -1 if there is none to take
 *
 * Since: 0.1
 */
CPR_API int cpr_session_take_reply_fd (CprSession *session, CprUpdateStatus *status, const char **reason);

G_END_DECLS

#endif
