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
 * Before the guest is stopped, the new program is asked whether it could take the guest over. The
 * library starts it with the argv of the update. It reads what would be handed over and answers
 * from inside its cpr_session_new(), which then ends the process: its main() doesn't continue. The
 * old program's own executable is asked the same question, because a way back must exist too.
 *
 * An asked program answers with what it knows at that point: its device types, and the objects that
 * its `declare` callback names, see #CprSessionConfig. Names and reasons that the callback passes
 * are copied. It also checks whether its resource limits suffice. If the old program executed it,
 * it checks whether it has the old program's capabilities, root directory and mount namespace. So a
 * main() must do nothing with an effect outside the process before cpr_session_new().
 *
 * Rehearsal. With %CPR_INCOMING_REHEARSE a program that is started to be asked doesn't answer yet.
 * Its cpr_session_new() returns a session in the session state %CPR_SESSION_STATE_INCOMING, and the
 * start-up goes on as in an update. Its cpr_session_load() answers with all that the start-up has
 * claimed and added by then, and ends the process with _exit(). If there is a `declare` callback
 * too, it is called there, and only adds what a start-up doesn't show, such as fds that only a
 * device's fields hold. Where only the device types are asked for, as by `cpr-inspect schema`, a
 * program that lists them answers without a rehearsal. The objects of a rehearsal have no effect:
 *
 * - cpr_fd_open() doesn't call its callback. Each fd of the state has a stand-in of its own. For a
 *   socket that is one of the same family and type, without an address or peer. For a regular file
 *   it is an empty file. For any other fd, and for one that isn't in the state, it is an eventfd.
 *   All but files can be polled. Reading finds nothing and doesn't block. The ioctls of a device
 *   fail.
 * - cpr_ram_new() makes a memfd of that size, whatever the options. It is zero, and has no pages
 *   before they are touched.
 * - Containers and assigned devices have the fd -1; the kernel hears nothing of them, of their
 *   mappings and of their interrupts.
 * - The VMM makes its KVM VM and vCPUs as ever. They are this process's own and end with it.
 *
 * By cpr_session_is_rehearsal() a start-up has to leave out the rest of what others could notice:
 * locks; files, sockets and devices that it opens and changes outside of cpr_fd_open(); connections
 * to other programs; processes that outlive it; a PID file or a message to a supervisor; and ioctls
 * on stand-ins. Threads are harmless. A preflight takes as long as the start-up then, so let
 * `preflight_timeout_ms` of the update suffice.
 *
 * A start-up that fails is a refusal. cpr_session_abort() is an answer with its reason; so is
 * cpr_session_free() before the load. After exit(), a crash or the timeout the refusal says how the
 * program ended and what it printed.
 *
 * In transfer mode there is no rehearsal, because all of the new program's start-up comes before
 * the stop. With %CPR_INCOMING_REHEARSE its cpr_session_load() compares what the start-up has
 * claimed and added, in the same way, before it says that it is ready. A refusal is an error then,
 * and the guest never stood still.
 *
 * cpr_session_update() makes the preflight by itself, unless %CPR_UPDATE_NO_PREFLIGHT is set. In
 * transfer mode it asks the waiting program and starts none. In reboot mode there is no preflight.
 */

/**
 * CprSeverity:
 * @CPR_SEVERITY_LOSS: the update would succeed, and something that may be lost would be lost, such
 *     as an ignorable field that the new program doesn't know
 * @CPR_SEVERITY_REFUSAL: the program couldn't take the guest over
 *
 * How severe a finding is.
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
 * The subject of a finding.
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
 * @severity: how severe it is
 * @subject: what it is about
 * @name: the subject's name; the empty string where it has none, or where the finding is about
 *     several devices of a type, which @message names
 * @message: one line, worded like an error, with the object first
 * @way_back: %TRUE if the old program's executable found it, %FALSE if the new program did
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
 * The findings of a preflight. Opaque.
 */
typedef struct _CprPreflight CprPreflight;

/**
 * cpr_session_preflight:
 * @session: a session
 * @update: the update that is meant, in exec mode; only read during the call
 * @result: (out) (optional) (nullable): where the list of findings goes, after a failure too if
 *     there is one; the caller frees it with cpr_preflight_free(). %NULL is stored where no program
 *     was asked
 * @error: where an error goes, or %NULL
 *
 * Asks whether the update would succeed, while the guest runs. Both programs are asked at the same
 * time. Each is a child process in which only the question, the answer and the standard streams are
 * open, with /dev/null as stdin. The output of the child is kept for the error. A child that takes
 * longer than the update's `preflight_timeout_ms` is killed.
 *
 * Errors: %CPR_ERROR_REFUSED: either a program answered that it couldn't take the guest over, and
 * the message is its first refusal. Or a program didn't answer, because it can't be started, lacks
 * a shared library, isn't made with libcpr, crashed or hung; the message says which, and what the
 * program printed. %CPR_ERROR_INVALID also for a mode that starts no program. The others as in
 * cpr_session_update() before it asks: %CPR_ERROR_BLOCKED, %CPR_ERROR_MISMATCH, %CPR_ERROR_SYSTEM
 * (the program doesn't exist; no fds left), %CPR_ERROR_STATE.
 *
 * After failure: nothing has changed; the child processes are gone.
 *
 * Permitted states: ACTIVE.
 *
 * Returns: %TRUE if the update would succeed, as far as can be known beforehand
 *
 * Since: 0.1
 */
CPR_API bool
cpr_session_preflight (CprSession *session, const CprUpdate *update, CprPreflight **result, GError **error);

/**
 * cpr_preflight_get_n_findings:
 * @preflight: a result
 *
 * Counts the findings. Permitted states: needs no session.
 *
 * Returns: the number of findings
 *
 * Since: 0.1
 */
CPR_API size_t cpr_preflight_get_n_findings (const CprPreflight *preflight);

/**
 * cpr_preflight_get_finding:
 * @preflight: a result
 * @index: which finding, from 0 to one less than their number; another index is a bug. Refusals
 *     come first
 *
 * Gets one finding. Permitted states: needs no session.
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
 * @index: its index, or -1: all fds of that name, even if there is none, such as the connections of
 *     clients
 *
 * Says that this program would claim an fd of that name. An fd of the state that isn't declared is
 * a refusal, or a loss with %CPR_UNCLAIMED_CLOSE. A declared fd that isn't in the state is a loss,
 * since this program would open a new one. Permitted states: in the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_fd (CprInventory *inventory, const char *name, int index);

/**
 * cpr_inventory_add_fd_prefix:
 * @inventory: what the `declare` callback got
 * @prefix: how their names begin; the empty string: all fds
 *
 * Says that this program would claim each fd of the state whose name begins so, whatever its index,
 * and even if there is none. Permitted states: in the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_fd_prefix (CprInventory *inventory, const char *prefix);

/**
 * cpr_inventory_add_ram:
 * @inventory: what the `declare` callback got
 * @name: the RAM block's name
 * @size: its size in bytes
 *
 * Says that this program would claim a RAM block of that name and size. A block that only one side
 * has is a refusal, and so is another size. Permitted states: in the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_ram (CprInventory *inventory, const char *name, size_t size);

/**
 * cpr_inventory_add_ram_up_to:
 * @inventory: what the `declare` callback got
 * @name: the RAM block's name
 * @max_size: `max_size` of its options, not 0
 *
 * Says that this program would claim a RAM block of that name with whatever size it has, up to
 * @max_size, see cpr_ram_grow(). A larger block is a refusal. Permitted states: in the callback
 * only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_ram_up_to (CprInventory *inventory, const char *name, size_t max_size);

/**
 * cpr_inventory_add_ram_prefix:
 * @inventory: what the `declare` callback got
 * @prefix: how their names begin; the empty string: all RAM blocks
 *
 * Says that this program would claim each RAM block of the state whose name begins so, whatever its
 * size, and even if there is none, such as memory that can be plugged in. A block that is declared
 * by its name too has the size given there. Permitted states: in the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_ram_prefix (CprInventory *inventory, const char *prefix);

/**
 * cpr_inventory_add_device:
 * @inventory: what the `declare` callback got
 * @name: the device's name
 * @type: its type
 *
 * Says that this program would build a device of that name and type. A device that only one side
 * has is a refusal, and so is a type of another name. Permitted states: in the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_device (CprInventory *inventory, const char *name, const CprDeviceType *type);

/**
 * cpr_inventory_add_device_prefix:
 * @inventory: what the `declare` callback got
 * @prefix: how their names begin; the empty string: all devices
 * @type: (nullable): their type; %NULL: any type that this program has among `device_types` or
 *     declares
 *
 * Says that this program would build each device of the state whose name begins so, and even if
 * there is none. So a program that builds what it finds in the state needn't know how many devices
 * there are. A device of another type, or of an unknown one, is a refusal as before, and the fields
 * are compared as before. A device that this program would build and that isn't in the state stays
 * unseen. A prefix may be given once for each of several types. A device that is declared by its
 * name too has the type given there. Permitted states: in the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_device_prefix (CprInventory *inventory, const char *prefix, const CprDeviceType *type);

/**
 * cpr_inventory_add_vfio:
 * @inventory: what the `declare` callback got
 * @container: the name of a container that this program would claim with cpr_vfio_container_new()
 * @device: (nullable): the name of a device in it that this program would claim with
 *     cpr_vfio_device_new(); %NULL: only the container
 *
 * Says that this program would claim an assigned device, or a container. An object of the state
 * that isn't declared is a refusal, and so is a declared object that isn't in the state.
 *
 * Permitted states: in the `declare` callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_vfio (CprInventory *inventory, const char *container, const char *device);

/**
 * cpr_inventory_add_vfio_prefix:
 * @inventory: what the `declare` callback got
 * @container: the name of a container that this program would claim if it is in the state
 * @prefix: how the names of its devices begin; the empty string: all of the container's devices
 *
 * Says that this program would claim each assigned device of that container whose name begins so,
 * and even if there is none. Permitted states: in the `declare` callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_add_vfio_prefix (CprInventory *inventory, const char *container, const char *prefix);

/**
 * cpr_inventory_refuse:
 * @inventory: what the `declare` callback got
 * @reason: one line: why this program couldn't take the guest over
 *
 * Refuses the guest for a reason of the VMM's own, such as a missing /dev/kvm. Permitted states: in
 * the callback only.
 *
 * Since: 0.1
 */
CPR_API void cpr_inventory_refuse (CprInventory *inventory, const char *reason);

G_END_DECLS

#endif
