/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_PREFLIGHT_H
#define LIBCPR_PREFLIGHT_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/device.h>
#include <libcpr/update.h>

G_BEGIN_DECLS

/**
 * SECTION:preflight
 * @title: Preflight
 *
 * Before the guest is stopped the new program is asked whether it could take it over. It is started
 * with the very argv of the update, reads what would be handed over, and answers from inside its
 * cpr_session_new(), which then ends the process: its main() gets no further. The old program's own
 * executable is asked the same: a way back must exist too.
 *
 * A program answers with what it knows at that point: its device types, and what its `declare`
 * callback says it would build from its arguments, see #CprSessionConfig; it looks whether its
 * limits suffice and, where the old program has executed it, whether it has that one's
 * capabilities, root directory and mount namespace. So nothing with an effect outside the process
 * may happen in a main() before cpr_session_new().
 *
 * cpr_session_update() does all this by itself, unless %CPR_UPDATE_NO_PREFLIGHT is set.
 */

/**
 * CprSeverity:
 * @CPR_SEVERITY_LOSS: the update would go through and something permitted would be lost, as an
 *     ignorable field that the new program doesn't know
 * @CPR_SEVERITY_REFUSAL: the program couldn't take the guest over
 *
 * How bad a finding is.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_SEVERITY_LOSS = 0,
  CPR_SEVERITY_REFUSAL = 1
} CprSeverity;

/**
 * CprSubject:
 * @CPR_SUBJECT_VM: the VM as a whole
 * @CPR_SUBJECT_PROGRAM: the program that was asked
 * @CPR_SUBJECT_FD: an fd of the fd table
 * @CPR_SUBJECT_RAM: a RAM block
 * @CPR_SUBJECT_DEVICE: a device
 * @CPR_SUBJECT_LIMIT: a resource limit
 *
 * What a finding is about.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_SUBJECT_VM = 1,
  CPR_SUBJECT_PROGRAM = 2,
  CPR_SUBJECT_FD = 3,
  CPR_SUBJECT_RAM = 4,
  CPR_SUBJECT_DEVICE = 5,
  CPR_SUBJECT_LIMIT = 6
} CprSubject;

/**
 * CprFinding:
 * @severity: how bad it is
 * @subject: what it is about
 * @name: the subject's name, or the empty string: also where it is about several devices of a type,
 *     which @message names
 * @message: one line, as it would stand in an error: the object first
 * @way_back: whether the old program, executed again, found it, and not the new one
 *
 * One thing that a preflight found.
 *
 * Since: 0.1
 */
typedef struct
{
  CprSeverity severity;
  CprSubject subject;
  const char *name;
  const char *message;
  bool way_back;
} CprFinding;

/**
 * CprPreflight:
 *
 * What a preflight found. Opaque.
 */
typedef struct _CprPreflight CprPreflight;

/**
 * cpr_session_preflight:
 * @session: a session
 * @update: the update that is meant; only read during the call
 * @result: (out) (optional) (nullable): where the list of findings goes, on failure too if there is
 *     one; the caller frees it with cpr_preflight_free(). %NULL is stored where nothing was asked
 * @error: where an error goes, or %NULL
 *
 * Asks whether the update would go through, with the guest running and nothing changed. Both
 * programs are asked at the same time, each as a child process with nothing open but the question
 * and the answer, and /dev/null as stdin; what it prints is kept for the error. It is killed where
 * it takes longer than the update's `preflight_timeout_ms`.
 *
 * Errors: %CPR_ERROR_REFUSED (a program answered that it couldn't; the message is the first such
 * finding), or that didn't answer: it can't be started, lacks a shared library, isn't made with
 * libcpr, crashed, hung; the message says which and what it printed. Those that
 * cpr_session_update() has without asking: %CPR_ERROR_INVALID, %CPR_ERROR_BLOCKED,
 * %CPR_ERROR_MISMATCH, %CPR_ERROR_SYSTEM (the program isn't there; no fds left), %CPR_ERROR_STATE.
 *
 * After failure: nothing has changed; the child processes are gone.
 *
 * Permitted states: ACTIVE.
 *
 * Returns: %TRUE if the update would go through, as far as that can be known before
 *
 * Since: 0.1
 */
CPR_API bool
cpr_session_preflight (CprSession *session, const CprUpdate *update, CprPreflight **result, GError **error);

/**
 * cpr_preflight_get_n_findings:
 * @preflight: a result
 *
 * How many findings there are; refusals come first. Permitted states: needs no session.
 *
 * Returns: their number
 *
 * Since: 0.1
 */
CPR_API size_t cpr_preflight_get_n_findings (const CprPreflight *preflight);

/**
 * cpr_preflight_get_finding:
 * @preflight: a result
 * @index: which, from 0 on
 *
 * One of the findings. Permitted states: needs no session.
 *
 * Returns: (transfer none): the finding, valid as long as @preflight
 *
 * Since: 0.1
 */
CPR_API const CprFinding *cpr_preflight_get_finding (const CprPreflight *preflight, size_t index);

/**
 * cpr_preflight_free:
 * @preflight: (nullable): a result, or %NULL
 *
 * Frees a result. Permitted states: needs no session.
 *
 * Since: 0.1
 */
CPR_API void cpr_preflight_free (CprPreflight *preflight);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprPreflight, cpr_preflight_free)

/**
 * cpr_inventory_add_fd:
 * @inventory: what the `declare` callback got
 * @name: the fd's name
 * @index: its index, or -1: all of that name, however many there are, as the connections of clients
 *
 * Says that this program would take over an fd of that name. Permitted states: in the callback
 * only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_fd (CprInventory *inventory, const char *name, int index);

/**
 * cpr_inventory_add_ram:
 * @inventory: what the `declare` callback got
 * @name: the RAM block's name
 * @size: its size in bytes
 *
 * Says that this program would take over a RAM block of that name and size. Permitted states: in
 * the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_ram (CprInventory *inventory, const char *name, size_t size);

/**
 * cpr_inventory_add_device:
 * @inventory: what the `declare` callback got
 * @name: the device's name
 * @type: its type
 *
 * Says that this program would build a device of that name and type. Permitted states: in the
 * callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_device (CprInventory *inventory, const char *name, const CprDeviceType *type);

/**
 * cpr_inventory_add_vfio:
 * @inventory: the inventory
 * @container: the name of a container that the program would take with cpr_vfio_container_new()
 * @device: (nullable): the name of a device in it that it would take with cpr_vfio_device_new();
 *     %NULL: only the container
 *
 * Says that the program would take an assigned device, or a container. One of the state that isn't
 * declared is a refusal, and so is one that is declared and isn't in the state.
 *
 * Permitted states: in the `declare` callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_vfio (CprInventory *inventory, const char *container, const char *device);

/**
 * cpr_inventory_refuse:
 * @inventory: what the `declare` callback got
 * @reason: one line: why this program couldn't take the guest over
 *
 * Says that something of the VMM's own stands in the way, as a missing /dev/kvm. Permitted states:
 * in the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_refuse (CprInventory *inventory, const char *reason);

G_END_DECLS

#endif
