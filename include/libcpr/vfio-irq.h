/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_VFIO_IRQ_H
#define LIBCPR_VFIO_IRQ_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/vfio.h>

G_BEGIN_DECLS

/**
 * SECTION:vfio-irq
 * @title: Interrupts and PCI configuration
 *
 * An interrupt of an assigned device signals an eventfd, which the library opens. The eventfds and
 * the count in them are handed over, and the kernel keeps interrupts connected with them over an
 * update in exec or transfer mode:
 *
 * |[<!-- language="C" -->
 * irq = cpr_vfio_irq_open (device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, &error);
 *       if (!cpr_vfio_irq_is_enabled (device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER)) …
 * ]|
 *
 * The configuration space of a PCI function is partly the device's and partly the VMM's.
 * cpr_vfio_pci_add() saves the VMM's part and compares the device's. #SECTION:vfio says what holds
 * in an update.
 */

/**
 * CprVfioIrqRole:
 * @CPR_VFIO_IRQ_TRIGGER: the device's interrupt: the kernel counts the eventfd up
 * @CPR_VFIO_IRQ_UNMASK: a write to the eventfd unmasks the (level-triggered) interrupt; KVM's
 *     resample fd
 *
 * The purpose of an interrupt's eventfd.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_VFIO_IRQ_TRIGGER = 0,
  CPR_VFIO_IRQ_UNMASK = 1
} CprVfioIrqRole;

/**
 * cpr_vfio_irq_open:
 * @device: a device
 * @index: the kind of interrupt, 0 to 32767: VFIO_PCI_MSI_IRQ_INDEX and so on.
 *     VFIO_PCI_ERR_IRQ_INDEX tells of errors, and VFIO_PCI_REQ_IRQ_INDEX says that the host wants
 *     the device back
 * @vector: the vector of that kind, 0 to 65535
 * @role: what the eventfd is for
 * @error: where an error goes, or %NULL
 *
 * Creates the eventfd of an interrupt, or claims the one that the old program handed over, with the
 * count that is in it. The new program doesn't enable the interrupt again, because it still is in
 * the kernel: cpr_vfio_irq_is_enabled() says so. A vector that the old program didn't have is
 * created in an incoming session too.
 *
 * Claim each eventfd before cpr_session_load() returns. The last place is a `post_load`, where it
 * is known which vectors the guest uses; or use cpr_vfio_irq_foreach(). cpr_session_load() treats
 * an unclaimed eventfd like an unclaimed fd: it fails, or with %CPR_UNCLAIMED_CLOSE the eventfd is
 * closed.
 *
 * Errors: %CPR_ERROR_INVALID (index, vector, role), %CPR_ERROR_EXISTS, %CPR_ERROR_SYSTEM,
 * %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE.
 *
 * Returns: the eventfd, non-blocking, the library's; or -1
 *
 * Since: 0.1
 */
CPR_API int
cpr_vfio_irq_open (CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role, GError **error);

/**
 * cpr_vfio_irq_get_fd:
 * @device: a device
 * @index: the kind of interrupt
 * @vector: the vector of that kind
 * @role: what the eventfd is for
 *
 * Gets the eventfd that cpr_vfio_irq_open() returned. Permitted states: all.
 *
 * Returns: the eventfd, the library's, or -1
 *
 * Since: 0.1
 */
CPR_API int cpr_vfio_irq_get_fd (const CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role);

/**
 * cpr_vfio_irq_enable:
 * @device: a device
 * @index: the kind of interrupt
 * @first: the first vector
 * @n: the number of vectors from there on, 1 to 2048; each must have been opened
 * @role: which eventfds
 * @error: where an error goes, or %NULL
 *
 * Connects interrupts of the device with their eventfds (one VFIO_DEVICE_SET_IRQS). Interrupts that
 * are connected already are connected again. The first call fixes the number of MSI vectors; to
 * change it, disable them first. After %CPR_ERROR_SYSTEM the interrupts that were connected before
 * may not be any more: disable the kind and enable it again.
 *
 * Errors: %CPR_ERROR_INVALID (@index, @first, @n, @role), %CPR_ERROR_NOT_FOUND (a vector that isn't
 * open), %CPR_ERROR_SYSTEM (with errno), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, ACTIVE (in reboot mode INCOMING and LOADED, too).
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_vfio_irq_enable (
    CprVfioDevice *device, unsigned index, unsigned first, unsigned n, CprVfioIrqRole role, GError **error);

/**
 * cpr_vfio_irq_disable:
 * @device: a device
 * @index: the kind of interrupt, with all its vectors
 * @error: where an error goes, or %NULL
 *
 * Disables all interrupts of a kind; the eventfds stay. Does nothing if none is enabled.
 *
 * Errors: %CPR_ERROR_SYSTEM (with errno), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, ACTIVE (in reboot mode INCOMING and LOADED, too).
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_vfio_irq_disable (CprVfioDevice *device, unsigned index, GError **error);

/**
 * cpr_vfio_irq_is_enabled:
 * @device: a device
 * @index: the kind of interrupt
 * @vector: the vector of that kind
 * @role: what the eventfd is for
 *
 * Says whether the interrupt is connected with its eventfd, by this program or by the old one.
 * Permitted states: all.
 *
 * Returns: %TRUE if it is connected
 *
 * Since: 0.1
 */
CPR_API bool
cpr_vfio_irq_is_enabled (const CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role);

/**
 * cpr_vfio_irq_close:
 * @device: a device
 * @index: the kind of interrupt
 * @vector: the vector of that kind
 * @role: what the eventfd is for
 * @error: where an error goes, or %NULL
 *
 * Closes an eventfd, whose interrupt must be disabled.
 *
 * Errors: %CPR_ERROR_INVALID (@index, @vector, @role), %CPR_ERROR_NOT_FOUND, %CPR_ERROR_EXISTS (it
 * is enabled), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, ACTIVE (in reboot mode INCOMING and LOADED, too).
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool
cpr_vfio_irq_close (CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role, GError **error);

/**
 * CprVfioIrqFunc:
 * @index: the kind of interrupt
 * @vector: the vector of that kind
 * @role: what the eventfd is for
 * @enabled: whether it is connected
 * @user_data: what was passed to cpr_vfio_irq_foreach()
 *
 * Gets one interrupt.
 *
 * Since: 0.1
 */
typedef void (*CprVfioIrqFunc) (unsigned index, unsigned vector, CprVfioIrqRole role, bool enabled, void *user_data);

/**
 * cpr_vfio_irq_foreach:
 * @device: a device
 * @func: called for each interrupt that has an eventfd, unclaimed ones too. It may claim these, but
 *     open no others and close none
 * @user_data: passed to @func
 *
 * Shows a device's interrupts. Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_vfio_irq_foreach (const CprVfioDevice *device, CprVfioIrqFunc func, void *user_data);

/**
 * CprVfioPciOptions:
 * @size: `sizeof (CprVfioPciOptions)`, see #SECTION:libcpr
 * @config: the configuration space as the guest sees it, in the VMM's memory; borrowed until the
 *     VFIO device is removed or the session ends
 * @config_size: its size in bytes, 64 to 4096, a multiple of 4
 * @emulated: a mask of @config_size bytes: the bits for which the VMM has values of its own, such
 *     as the addresses in BARs or MSI messages; copied
 * @compared: (nullable): a mask of @config_size bytes: the bits of the device itself that must not
 *     differ; copied. %NULL: vendor, device, revision, class, header type and subsystem. Bits in
 *     neither mask are neither saved nor compared
 *
 * Which parts of a PCI function are saved and compared. Zero it, set @size, then the fields.
 *
 * Since: 0.1
 */
typedef struct
{
  size_t size;
  uint8_t *config;
  size_t config_size;
  const uint8_t *emulated;
  const uint8_t *compared;
} CprVfioPciOptions;

/**
 * cpr_vfio_pci_add:
 * @device: a PCI function
 * @name: a name, unique among the session's devices, see cpr_device_add(); copied
 * @options: what to save and compare
 * @error: where an error goes, or %NULL
 *
 * Adds a device of the type cpr_vfio_pci_get_type() to the session. It saves the emulated bits of
 * the configuration space. cpr_session_load() puts these bits into @config of @options and leaves
 * its other bits alone. Emulated and compared bits count only where both programs name them.
 * cpr_session_load() also compares the PCI function with what it was: the sizes and offsets of its
 * regions, and the compared bits of its configuration space. The comparison comes in this device's
 * turn of the load, before its bits are put into @config. cpr_vfio_device_remove() removes the
 * device.
 *
 * Errors: %CPR_ERROR_INVALID, %CPR_ERROR_EXISTS, %CPR_ERROR_SYSTEM (the PCI function can't be
 * read), %CPR_ERROR_STATE. In cpr_session_load(): %CPR_ERROR_MISMATCH with the region or the
 * offset.
 *
 * Permitted states: FRESH, INCOMING, ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool
cpr_vfio_pci_add (CprVfioDevice *device, const char *name, const CprVfioPciOptions *options, GError **error);

/**
 * cpr_vfio_pci_get_type:
 *
 * Gets the device type of cpr_vfio_pci_add(), for `device_types` of the configuration and
 * cpr_inventory_add_device(). Permitted states: needs no session.
 *
 * Returns: (transfer none): the type, static
 *
 * Since: 0.1
 */
CPR_API const CprDeviceType *cpr_vfio_pci_get_type (void);

G_END_DECLS

#endif
