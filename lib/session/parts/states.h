/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_STATES_H
#define CPR_SESSION_PARTS_STATES_H

#include <libcpr/libcpr.h>

/* The public functions whose use depends on the session's state; all others may be called in
 * every state. */
typedef enum
{
  CPR_CALL_FD_ADD,
  CPR_CALL_FD_TAKE,
  CPR_CALL_FD_TAKE_ALL,
  CPR_CALL_FD_OPEN,
  CPR_CALL_FD_OPEN_LISTENER,
  CPR_CALL_FD_OPEN_EVENTFD,
  CPR_CALL_FD_REMOVE,
  CPR_CALL_HOLD_FD,
  CPR_CALL_RELEASE_FD,
  CPR_CALL_RAM_NEW,
  CPR_CALL_RAM_GROW,
  CPR_CALL_RAM_REMOVE,
  CPR_CALL_DEVICE_ADD,
  CPR_CALL_DEVICE_REMOVE,
  CPR_CALL_NOTIFIER_ADD,
  CPR_CALL_NOTIFIER_REMOVE,
  CPR_CALL_VFIO_CONTAINER_NEW,
  CPR_CALL_VFIO_CONTAINER_REMOVE,
  CPR_CALL_VFIO_DEVICE_NEW,
  CPR_CALL_VFIO_DEVICE_REMOVE,
  CPR_CALL_VFIO_IRQ_OPEN,
  CPR_CALL_VFIO_IRQ_ENABLE,
  CPR_CALL_VFIO_IRQ_DISABLE,
  CPR_CALL_VFIO_IRQ_CLOSE,
  CPR_CALL_VFIO_PCI_ADD,
  CPR_CALL_DMA_MAP,
  CPR_CALL_DMA_UNMAP,
  CPR_CALL_CHARDEV_NEW,
  CPR_CALL_CHARDEV_NEW_SERVER,
  CPR_CALL_CHARDEV_REMOVE,
  CPR_CALL_KVM_VM_NEW,
  CPR_CALL_KVM_VM_REMOVE,
  CPR_CALL_KVM_VCPU_ADD,
  CPR_CALL_KVM_VCPU_REMOVE,
  CPR_CALL_KVM_GIC_ADD,
  CPR_CALL_KVM_ITS_ADD,
  CPR_CALL_LOAD,
  CPR_CALL_START,
  CPR_CALL_ABORT,
  CPR_CALL_SET_ARGV,
  CPR_CALL_DEFER,
  CPR_CALL_PAUSE,
  CPR_CALL_RESUME,
  CPR_CALL_PREFLIGHT,
  CPR_CALL_SUSPEND,
  CPR_CALL_WAKEUP,
  CPR_CALL_UPDATE,
  CPR_CALL_FREE,
  CPR_N_CALLS
} CprCall;

const char *cpr_call_get_name (CprCall call);
const char *cpr_session_state_get_name (CprSessionState state);
/* The function that comes first, where such a call is permitted only later in a session's life;
 * NULL: there is none. */
const char *cpr_call_get_missing (CprCall call, CprSessionState state);
/* @in_reboot: whether a state of reboot mode is being taken up. */
bool cpr_call_is_permitted (CprCall call, CprSessionState state, bool in_reboot);

#endif
