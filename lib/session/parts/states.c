/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In which state of a session each public function may be called, as one table. Asked by the one
 * check that all of them make. */
#include "session/parts/states.h"

#define FRESH    (1u << CPR_SESSION_STATE_FRESH)
#define INCOMING (1u << CPR_SESSION_STATE_INCOMING)
#define LOADED   (1u << CPR_SESSION_STATE_LOADED)
#define ACTIVE   (1u << CPR_SESSION_STATE_ACTIVE)
#define LOST     (1u << CPR_SESSION_STATE_LOST)
#define HANDED   (1u << CPR_SESSION_STATE_HANDED_OVER)
/* In reboot mode a device is made again and has nothing yet that another program could miss:
 * until the commit it is as in a fresh session. */
#define MADE_AGAIN (INCOMING | LOADED)

/* The table state × call. The public headers print its rows. */
static const struct
{
  const char *name;
  unsigned states;
  unsigned reboot_states; /* also those, while a state of reboot mode is taken up */
} calls[CPR_N_CALLS] = {
  [CPR_CALL_FD_ADD] = { "cpr_fd_add", FRESH | INCOMING | LOADED | ACTIVE, 0 },
  [CPR_CALL_FD_TAKE] = { "cpr_fd_take", FRESH | INCOMING, 0 },
  [CPR_CALL_FD_TAKE_ALL] = { "cpr_fd_take_all", FRESH | INCOMING, 0 },
  [CPR_CALL_FD_OPEN] = { "cpr_fd_open", FRESH | INCOMING | LOADED | ACTIVE, 0 },
  [CPR_CALL_FD_OPEN_LISTENER] = { "cpr_fd_open_listener", FRESH | INCOMING | LOADED | ACTIVE, 0 },
  [CPR_CALL_FD_OPEN_EVENTFD] = { "cpr_fd_open_eventfd", FRESH | INCOMING | LOADED | ACTIVE, 0 },
  [CPR_CALL_FD_REMOVE] = { "cpr_fd_remove", FRESH | INCOMING | LOADED | ACTIVE | LOST | HANDED, 0 },
  [CPR_CALL_HOLD_FD] = { "cpr_session_hold_fd", FRESH | INCOMING | LOADED | ACTIVE, 0 },
  [CPR_CALL_RELEASE_FD] = { "cpr_session_release_fd", FRESH | INCOMING | LOADED | ACTIVE | LOST | HANDED, 0 },
  [CPR_CALL_RAM_NEW] = { "cpr_ram_new", FRESH | INCOMING | ACTIVE, 0 },
  [CPR_CALL_RAM_GROW] = { "cpr_ram_grow", FRESH | ACTIVE, 0 },
  [CPR_CALL_RAM_REMOVE] = { "cpr_ram_remove", FRESH | ACTIVE | LOST | HANDED, 0 },
  [CPR_CALL_DEVICE_ADD] = { "cpr_device_add", FRESH | INCOMING | ACTIVE, 0 },
  [CPR_CALL_DEVICE_REMOVE] = { "cpr_device_remove", FRESH | INCOMING | LOADED | ACTIVE | LOST | HANDED, 0 },
  [CPR_CALL_NOTIFIER_ADD] = { "cpr_notifier_add", FRESH | INCOMING | LOADED | ACTIVE, 0 },
  [CPR_CALL_NOTIFIER_REMOVE] = { "cpr_notifier_remove", FRESH | INCOMING | LOADED | ACTIVE | LOST | HANDED, 0 },
  [CPR_CALL_VFIO_CONTAINER_NEW] = { "cpr_vfio_container_new", FRESH | INCOMING | ACTIVE, 0 },
  [CPR_CALL_VFIO_CONTAINER_REMOVE] = { "cpr_vfio_container_remove", FRESH | ACTIVE, MADE_AGAIN },
  [CPR_CALL_VFIO_DEVICE_NEW] = { "cpr_vfio_device_new", FRESH | INCOMING | ACTIVE, 0 },
  [CPR_CALL_VFIO_DEVICE_REMOVE] = { "cpr_vfio_device_remove", FRESH | ACTIVE, MADE_AGAIN },
  [CPR_CALL_VFIO_IRQ_OPEN] = { "cpr_vfio_irq_open", FRESH | INCOMING | LOADED | ACTIVE, 0 },
  [CPR_CALL_VFIO_IRQ_ENABLE] = { "cpr_vfio_irq_enable", FRESH | ACTIVE, MADE_AGAIN },
  [CPR_CALL_VFIO_IRQ_DISABLE] = { "cpr_vfio_irq_disable", FRESH | ACTIVE, MADE_AGAIN },
  [CPR_CALL_VFIO_IRQ_CLOSE] = { "cpr_vfio_irq_close", FRESH | ACTIVE, MADE_AGAIN },
  [CPR_CALL_VFIO_PCI_ADD] = { "cpr_vfio_pci_add", FRESH | INCOMING | ACTIVE, 0 },
  [CPR_CALL_DMA_MAP] = { "cpr_dma_map", FRESH | INCOMING | ACTIVE, 0 },
  [CPR_CALL_DMA_UNMAP] = { "cpr_dma_unmap", FRESH | ACTIVE, MADE_AGAIN },
  [CPR_CALL_CHARDEV_NEW] = { "cpr_chardev_new", FRESH | INCOMING | ACTIVE, 0 },
  [CPR_CALL_CHARDEV_NEW_SERVER] = { "cpr_chardev_new_server", FRESH | INCOMING | ACTIVE, 0 },
  [CPR_CALL_CHARDEV_REMOVE] = { "cpr_chardev_remove", FRESH | INCOMING | LOADED | ACTIVE | LOST | HANDED, 0 },
  [CPR_CALL_KVM_VM_NEW] = { "cpr_kvm_vm_new", FRESH | INCOMING | ACTIVE, 0 },
  [CPR_CALL_KVM_VM_REMOVE] = { "cpr_kvm_vm_remove", FRESH | INCOMING | LOADED | ACTIVE | LOST | HANDED, 0 },
  [CPR_CALL_KVM_VCPU_ADD] = { "cpr_kvm_vcpu_add", FRESH | INCOMING | ACTIVE, 0 },
  [CPR_CALL_KVM_VCPU_REMOVE] = { "cpr_kvm_vcpu_remove", FRESH | INCOMING | LOADED | ACTIVE | LOST | HANDED, 0 },
  [CPR_CALL_KVM_GIC_ADD] = { "cpr_kvm_gic_add", FRESH | INCOMING, 0 },
  [CPR_CALL_KVM_ITS_ADD] = { "cpr_kvm_its_add", FRESH | INCOMING, 0 },
  [CPR_CALL_LOAD] = { "cpr_session_load", FRESH | INCOMING, 0 },
  [CPR_CALL_START] = { "cpr_session_start", LOADED, 0 },
  [CPR_CALL_ABORT] = { "cpr_session_abort", INCOMING | LOADED, 0 },
  [CPR_CALL_SET_ARGV] = { "cpr_session_set_argv", FRESH | INCOMING | LOADED | ACTIVE, 0 },
  [CPR_CALL_DEFER] = { "cpr_session_defer", FRESH | INCOMING | LOADED, 0 },
  [CPR_CALL_PAUSE] = { "cpr_session_pause", ACTIVE, 0 },
  [CPR_CALL_RESUME] = { "cpr_session_resume", ACTIVE, 0 },
  [CPR_CALL_PREFLIGHT] = { "cpr_session_preflight", ACTIVE, 0 },
  [CPR_CALL_SUSPEND] = { "cpr_session_suspend", ACTIVE, 0 },
  [CPR_CALL_WAKEUP] = { "cpr_session_wakeup", ACTIVE, 0 },
  [CPR_CALL_UPDATE] = { "cpr_session_update", ACTIVE, 0 },
  [CPR_CALL_FREE] = { "cpr_session_free", FRESH | INCOMING | LOADED | ACTIVE | LOST | HANDED, 0 },
};

static const char *const state_names[] = { "fresh", "incoming", "loaded", "active", "updating", "lost", "handed over" };

const char *
cpr_call_get_name (CprCall call)
{
  return calls[call].name;
}

const char *
cpr_session_state_get_name (CprSessionState state)
{
  return state_names[state];
}

/* A call that belongs to the start-up is never missing a later one. */
const char *
cpr_call_get_missing (CprCall call, CprSessionState state)
{
  unsigned states = calls[call].states;

  if ((states & (FRESH | INCOMING)) != 0)
    return NULL;
  if (state < CPR_SESSION_STATE_LOADED && (states & LOADED) != 0)
    return calls[CPR_CALL_LOAD].name;
  return state < CPR_SESSION_STATE_ACTIVE && (states & ACTIVE) != 0 ? calls[CPR_CALL_START].name : NULL;
}

bool
cpr_call_is_permitted (CprCall call, CprSessionState state, bool in_reboot)
{
  unsigned states = calls[call].states | (in_reboot ? calls[call].reboot_states : 0);

  return (states >> state & 1) != 0;
}
