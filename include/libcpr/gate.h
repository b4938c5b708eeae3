/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_GATE_H
#define LIBCPR_GATE_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <stdbool.h>

#include <glib.h>

G_BEGIN_DECLS

/**
 * SECTION:gate
 * @title: Gate for threads
 *
 * While the guest stands still no thread may touch guest RAM or device state. A gate sees to that:
 * a thread enters it before such work and leaves it afterwards. The session closes the gate to stop
 * the guest, and opens it to start the guest, if it is `gate` of #CprSessionConfig:
 *
 * |[
 * static void *worker_main (void *data)
 * {
 *   Worker *worker = data;
 *
 *   cpr_gate_join (worker->gate, "net0 worker", wake_worker, worker, NULL);
 *   while (cpr_gate_enter (worker->gate))
 *     {
 *       serve_queue (worker);
 *       cpr_gate_leave (worker->gate);
 *       wait_for_work (worker);
 *     }
 *   return NULL;
 * }
 *
 * CprGate *gate = cpr_gate_new (&error);
 * CprSessionConfig config = { .size = sizeof config, .name = name, .gate = gate };
 * ]|
 *
 * A VMM that has to do it in another order calls cpr_gate_close() in its `stop` callback, and
 * cpr_gate_open() in its `start` callback, and doesn't set `gate`.
 *
 * A new gate is closed. Threads can therefore be started at any time during start-up: they wait at
 * the gate until the guest runs for the first time.
 *
 * Members: the first call of a thread makes the thread a member of the gate, under the thread's own
 * name. cpr_gate_join() does so under a better name, and with a kick: a function that brings the
 * thread out of a long wait inside, as a vCPU out of `KVM_RUN`. A membership ends with its thread,
 * however the thread ends, or in cpr_gate_quit().
 *
 * Nesting: a member that is inside may enter again. It is outside when it has left as often as it
 * has entered. Only the outermost entry can wait, so that a function may enter and leave whether or
 * not its caller is inside.
 *
 * Cancellation: a thread that is cancelled with pthread_cancel(), or calls pthread_exit(), while it
 * is inside has left the gate when it has ended. Waiting at the gate is a cancellation point, and
 * the thread is outside then; no other call here is one. The asynchronous type of cancellation
 * isn't supported.
 *
 * Memory: the thread whose cpr_gate_close() returned %TRUE sees all that members wrote before they
 * left. A member that enters sees all that the thread that opened the gate wrote before.
 *
 * Locks: a thread that waits at the gate holds what it held when it came. A lock that the `stop`
 * callback takes, or that a member needs in order to leave, must not be held in a call of
 * cpr_gate_enter(), unless the thread is inside already.
 *
 * Handoff and fork: a gate belongs to one process and isn't handed over; the new program makes its
 * own. In a forked child no thread gets in: cpr_gate_enter() returns %FALSE there, each call that
 * has an error fails with %CPR_ERROR_STATE, cpr_gate_free() frees memory, and the rest do nothing.
 */

/**
 * CprGate:
 *
 * A gate for the threads of a VMM. Opaque.
 */
typedef struct _CprGate CprGate;

/**
 * CprGateKickFunc:
 * @user_data: what was passed to cpr_gate_join()
 *
 * Makes a member leave the gate soon: ends the wait that the member may be in.
 *
 * It is called by the thread that closes the gate, for each member that is inside then. Where the
 * member stays inside, the kick is repeated after 1 ms, 2 ms, 4 ms and so on, at last every 64 ms,
 * so that a signal that came just before the wait began is no harm. A kick may also come late, when
 * the member has left already: it must do nothing worse than to end a later wait early.
 *
 * No lock of the gate is held. The function must not wait, must not close the gate, and must not
 * take a lock that the member holds in cpr_gate_quit(), or when its thread ends. @user_data has to
 * stay valid until the membership has ended.
 *
 * Since: 0.1
 */
typedef void (*CprGateKickFunc) (void *user_data);

/**
 * cpr_gate_new:
 * @error: where an error goes, or %NULL
 *
 * Makes a gate. It is closed.
 *
 * Errors: %CPR_ERROR_SYSTEM (no memory, or all of the process's keys for thread-specific data are
 * in use).
 *
 * Threads: safe. Permitted states: needs no session.
 *
 * Returns: (nullable): a gate for cpr_gate_free(), or %NULL
 *
 * Since: 0.1
 */
CPR_API CprGate *cpr_gate_new (GError **error);

/**
 * cpr_gate_free:
 * @gate: (nullable): a gate, or %NULL
 *
 * Frees a gate. The calling thread is no longer a member. Threads that still are may go on to use
 * the gate as one that was dismissed, so that a failed start-up needn't wait for them. The memory
 * is freed when the last of them has ended or called cpr_gate_quit().
 *
 * Threads: from this call on, only threads that are members may use the gate, and none may close
 * it. Handoff and fork: permitted in a forked child. Permitted states: needs no session.
 *
 * Since: 0.1
 */
CPR_API void cpr_gate_free (CprGate *gate);

/**
 * cpr_gate_join:
 * @gate: a gate
 * @name: what the calling thread is called in errors, 1 to 255 bytes; copied
 * @kick: (nullable): makes the calling thread leave, or %NULL where it always leaves by itself soon
 * @user_data: passed to @kick
 * @error: where an error goes, or %NULL
 *
 * Makes the calling thread a member, before it enters for the first time. The call is optional, as
 * #SECTION:gate says, and possible while the gate is closed. Two members may have the same name.
 *
 * Errors: %CPR_ERROR_INVALID (the name), %CPR_ERROR_EXISTS (the thread is a member already),
 * %CPR_ERROR_SYSTEM (no memory), %CPR_ERROR_STATE (a forked child).
 *
 * Threads: safe; acts for the calling thread. Permitted states: needs no session.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_gate_join (CprGate *gate, const char *name, CprGateKickFunc kick, void *user_data, GError **error);

/**
 * cpr_gate_quit:
 * @gate: a gate
 *
 * Ends the calling thread's membership; the thread leaves if it was inside. The end of a thread
 * does the same. So the call is needed only where the thread lives longer than the @user_data of
 * its kick, or than the gate. It waits until a kick of this member that is under way is over.
 *
 * Does nothing where the thread isn't a member.
 *
 * Threads: safe; acts for the calling thread. Permitted states: needs no session.
 *
 * Since: 0.1
 */
CPR_API void cpr_gate_quit (CprGate *gate);

/**
 * cpr_gate_enter:
 * @gate: a gate
 *
 * Enters the gate; waits as long as it is closed. Takes a few nanoseconds while it is open.
 *
 * Threads: safe; acts for the calling thread. A cancellation point where it waits; not for signal
 * handlers. Permitted states: needs no session.
 *
 * Returns: %TRUE: the thread is inside, and calls cpr_gate_leave() later. %FALSE: the thread is
 * outside for good, because cpr_gate_dismiss() was called, this is a forked child, or there is no
 * memory for a new member
 *
 * Since: 0.1
 */
G_GNUC_WARN_UNUSED_RESULT CPR_API bool cpr_gate_enter (CprGate *gate);

/**
 * cpr_gate_try_enter:
 * @gate: a gate
 * @timeout_ms: for how long to wait at most, in milliseconds; 0: not at all
 *
 * Enters the gate like cpr_gate_enter(), unless it stays closed for longer than @timeout_ms.
 *
 * Threads: safe; acts for the calling thread. A cancellation point where it waits; not for signal
 * handlers. Permitted states: needs no session.
 *
 * Returns: %TRUE: the thread is inside, and calls cpr_gate_leave() later. %FALSE: it isn't
 *
 * Since: 0.1
 */
G_GNUC_WARN_UNUSED_RESULT CPR_API bool cpr_gate_try_enter (CprGate *gate, unsigned timeout_ms);

/**
 * cpr_gate_leave:
 * @gate: a gate that the calling thread has entered
 *
 * Leaves the gate. From then on the thread touches neither guest RAM nor device state.
 *
 * Threads: safe; acts for the calling thread. It never waits for another thread's work. Permitted
 * states: needs no session.
 *
 * Since: 0.1
 */
CPR_API void cpr_gate_leave (CprGate *gate);

/**
 * cpr_gate_open:
 * @gate: a gate
 *
 * Opens the gate and wakes whoever waits at it. It can't fail, so that it may be called by the
 * `start` callback, and by another thread than the one that closed the gate.
 *
 * Does nothing where the gate is open or was dismissed. A cpr_gate_close() that waits meanwhile
 * fails.
 *
 * Threads: safe. Permitted states: needs no session.
 *
 * Since: 0.1
 */
CPR_API void cpr_gate_open (CprGate *gate);

/**
 * cpr_gate_close:
 * @gate: a gate
 * @timeout_ms: for how long to wait at most, in milliseconds; 0: only looks, after one kick
 * @error: where an error goes, or %NULL
 *
 * Closes the gate: nobody comes in any more, those inside are kicked, and the call waits until all
 * have left. Succeeds at once where the gate is closed already. Closing isn't counted: one
 * cpr_gate_open() opens the gate. If two threads close it at the same time, the second waits for
 * the first.
 *
 * After failure: the gate is open if it was before, as `stop` of #CprSessionConfig demands, and
 * whoever waited meanwhile goes on; members may have been kicked.
 *
 * Errors: %CPR_ERROR_BLOCKED (somebody was still inside after @timeout_ms: the message names all of
 * them; or another thread was still closing the gate), %CPR_ERROR_STATE (the calling thread is
 * inside itself; another thread opened the gate meanwhile; a forked child).
 *
 * Threads: safe. Not a cancellation point. Permitted states: needs no session.
 *
 * Returns: %TRUE: nobody is inside, and nobody comes in before cpr_gate_open()
 *
 * Since: 0.1
 */
CPR_API bool cpr_gate_close (CprGate *gate, unsigned timeout_ms, GError **error);

/**
 * cpr_gate_dismiss:
 * @gate: a gate
 * @timeout_ms: for how long to wait at most, in milliseconds; 0: only looks, after one kick
 * @error: where an error goes, or %NULL
 *
 * Closes the gate for ever, at the end of the VM: each cpr_gate_enter(), waiting or later, returns
 * %FALSE, those inside are kicked, and the call waits until all have left. Their threads can be
 * joined then. It may be called more than once.
 *
 * After failure: the gate is closed for ever.
 *
 * Errors: as for cpr_gate_close().
 *
 * Threads: safe. Not a cancellation point. Permitted states: needs no session.
 *
 * Returns: %TRUE: nobody is inside, and nobody will be
 *
 * Since: 0.1
 */
CPR_API bool cpr_gate_dismiss (CprGate *gate, unsigned timeout_ms, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprGate, cpr_gate_free)

G_END_DECLS

#endif
