/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_VFIO_H
#define LIBCPR_VFIO_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/ram.h>
#include <libcpr/session.h>

G_BEGIN_DECLS

/**
 * SECTION:vfio
 * @title: Assigned devices
 *
 * Devices of the host that are assigned to the guest with VFIO stay assigned over an update. Their
 * DMA doesn't stop, and their interrupts wait in their eventfds. A *container* is an address space
 * for DMA (IOVA): a VFIO container with a type1v2 IOMMU, or an IOAS of an iommufd. It has devices,
 * and DMA mappings of RAM blocks. As everywhere in libcpr, each call creates the object in a fresh
 * session and claims it in an incoming one:
 *
 * |[<!-- language="C" -->
 * container = cpr_vfio_container_new (session, "vfio0", NULL, &error);
 * ram       = cpr_ram_new (session, "ram", size, NULL, &error);
 * device    = cpr_vfio_device_new (container, "nic0", "0000:00:04.0", NULL, &error);
 *             cpr_dma_map (container, 0, ram, 0, size, CPR_DMA_READ | CPR_DMA_WRITE, &error);
 * fd        = cpr_vfio_device_get_fd (device);
 * irq       = cpr_vfio_irq_open (device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, &error);
 * ]|
 *
 * In a fresh session make the container first, then its first device, then mappings: a type1
 * container has no IOMMU before it has a device. #SECTION:vfio-irq has the interrupts.
 *
 * *Exec mode.* The old program does nothing to the devices, so nothing has to be undone if the
 * update fails before the execve. The new program claims the container, the devices and the
 * mappings without a system call. At the end of cpr_session_load() it tells the kernel where guest
 * RAM is mapped now. With type1 it invalidates the old addresses and gives the new ones, largest
 * first; with IOMMUFD it makes one IOMMU_IOAS_CHANGE_PROCESS. A program that takes the guest back
 * does the same, whatever the new program had done.
 *
 * *Transfer mode* does the same between two processes. fds get new numbers, and nothing here
 * depends on them. The new program tells the kernel with the guest stopped, at the end of its load.
 * If it fails, dies, hangs or is cancelled, the old program waits for its end. Then it tells the
 * kernel again where guest RAM is in the old process, before it calls `start`. If that fails twice,
 * an error is logged and the guest goes on, since DMA needs no address. Some calls of the kernel
 * fail then, such as adding a device to a type1 container, until the next update. Memory that is
 * locked for DMA is accounted to the process that has the guest, so RLIMIT_MEMLOCK of both
 * processes is checked before the stop.
 *
 * *Reboot mode* hands over nothing of all this. The guest must be suspended, otherwise the update
 * fails with %CPR_ERROR_BLOCKED. The guest's drivers set up the devices again when the guest wakes.
 * The new program makes containers, devices, mappings and interrupts as in a fresh session, and may
 * change them before cpr_session_start(). The configuration that cpr_vfio_pci_add() saves is
 * compared and loaded as in the other modes.
 *
 * Until the commit nothing else of a device may change, since both programs share it. No mapping is
 * added or removed, and no vector is enabled or disabled. The calls that would do so aren't
 * permitted in a session that is INCOMING or LOADED, nor while cpr_session_update() is under way.
 * In transfer mode the guest runs for most of that time. It may ask for a vector to be enabled, or
 * for a mapping of its virtual IOMMU. The VMM must keep such a request in the fields of a device.
 * It carries the request out when a notifier is told %CPR_EVENT_FAILED here, or %CPR_EVENT_DONE in
 * the new program. A VMM that enables all vectors from the beginning, and only routes them as the
 * guest asks, has no such requests.
 *
 * In a session that is HANDED_OVER the calls that change something aren't permitted any more. The
 * process still has the fds until it frees the session, and the devices' regions as long as it maps
 * them. Neither harms the new program. But a device that the new program removes returns to the
 * host only when the old process has released it too. So end that process.
 *
 * An object that makes an update impossible is a blocker with its reason. If `required_modes` of
 * the configuration names the mode, adding it fails. These are: a kernel without VFIO_UPDATE_VADDR;
 * a mediated device; an iommufd without IOMMU_IOAS_MAP_FILE or IOMMU_IOAS_CHANGE_PROCESS (Linux
 * 6.14); a mapping, in an iommufd, of RAM that isn't a memfd.
 *
 * With KVM the order of calls matters; doc/vfio.md has the code. In `stop`, take each irqfd off
 * (KVM_IRQFD with DEASSIGN) *before* KVM_GET_LAPIC, and take the groups or devices out of the KVM
 * VFIO device (KVM_DEV_VFIO_FILE_DEL). In `start`, put an irqfd on *after* KVM_SET_LAPIC. An
 * interrupt that comes in between waits in the eventfd and is injected
 * when the irqfd is put on. Putting it on before the commit would take the interrupt from the old
 * program. cpr_kvm_irqfd_add() and cpr_kvm_vfio_add() do all of this for the VMM.
 */

/**
 * CprVfioContainer:
 *
 * An address space for DMA with its devices and mappings. Opaque; owned by its session and valid as
 * long as the session, or until cpr_vfio_container_remove().
 */
typedef struct _CprVfioContainer CprVfioContainer;

/**
 * CprVfioDevice:
 *
 * A device of the host that is assigned to the guest. Opaque; owned by its container and valid
 * until cpr_vfio_device_remove() or the session's end.
 */
typedef struct _CprVfioDevice CprVfioDevice;

/**
 * CprVfioBackend:
 * @CPR_VFIO_AUTO: IOMMUFD if the kernel has everything that an update needs of it, and character
 *     devices of VFIO devices (`/sys/class/vfio-dev`); else type1. In an incoming session, except
 *     in reboot mode: the back end that is in the state
 * @CPR_VFIO_TYPE1: a VFIO container with VFIO_TYPE1v2_IOMMU; devices by their groups
 * @CPR_VFIO_IOMMUFD: an IOAS of an iommufd; devices by their character devices
 *     (`/dev/vfio/devices/vfioN`)
 * @CPR_VFIO_NONE: no kernel and no hardware: everything is recorded, handed over and compared, and
 *     nothing is done. For programs that run without devices, and for tests
 *
 * The kind of a container in the kernel.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_VFIO_AUTO = 0,
  CPR_VFIO_TYPE1 = 1,
  CPR_VFIO_IOMMUFD = 2,
  CPR_VFIO_NONE = 3
} CprVfioBackend;

/**
 * CprDmaUnclaimed:
 * @CPR_DMA_UNCLAIMED_ERROR: cpr_session_load() fails and names the first one
 * @CPR_DMA_UNCLAIMED_UNMAP: they are kept until the commit and unmapped once the guest runs; logged
 *
 * The fate of unclaimed mappings: the old program handed them over, and this one didn't claim them.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_DMA_UNCLAIMED_ERROR = 0,
  CPR_DMA_UNCLAIMED_UNMAP = 1
} CprDmaUnclaimed;

/**
 * CprVfioContainerOptions:
 * @size: `sizeof (CprVfioContainerOptions)`, see #SECTION:libcpr
 * @backend: what the container is in the kernel
 * @unclaimed: what happens to unclaimed mappings
 * @path: (nullable): the device to open; %NULL: `/dev/vfio/vfio` or `/dev/iommu`
 * @fd: an fd of the VMM's for that device, freshly opened; duplicated. 0: @path is opened, so an fd
 *     whose number is 0 has to be duplicated first
 *
 * How to make a container. Zero it, set @size, then the fields. @path and @fd need a @backend other
 * than %CPR_VFIO_AUTO. In an incoming session, except in reboot mode, they aren't used.
 *
 * Since: 0.1
 */
typedef struct
{
  size_t size;
  CprVfioBackend backend;
  CprDmaUnclaimed unclaimed;
  const char *path;
  int fd;
} CprVfioContainerOptions;

/**
 * cpr_vfio_container_new:
 * @session: a session
 * @name: a name of 1 to 255 bytes, unique among the containers; copied
 * @options: (nullable): how to make it, or %NULL for %CPR_VFIO_AUTO
 * @error: where an error goes, or %NULL
 *
 * Creates a container, or claims the one of that name that the old program handed over. Its fd is
 * in the fd table under a name of the library's own.
 *
 * Errors: %CPR_ERROR_INVALID (name, options, too many containers), %CPR_ERROR_EXISTS,
 * %CPR_ERROR_NOT_FOUND (the session is INCOMING and the state has no such container),
 * %CPR_ERROR_MISMATCH (another back end than in the state), %CPR_ERROR_BLOCKED (the kernel lacks
 * what an update in a mode of `required_modes` needs), %CPR_ERROR_SYSTEM (with errno: ENOENT,
 * EACCES, …), %CPR_ERROR_VERSION (the kernel's VFIO API isn't version 0, or has no type1v2),
 * %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, ACTIVE.
 *
 * Returns: (transfer none): the container, or %NULL
 *
 * Since: 0.1
 */
CPR_API CprVfioContainer *
cpr_vfio_container_new (CprSession *session, const char *name, const CprVfioContainerOptions *options, GError **error);

/**
 * cpr_vfio_container_remove:
 * @container: a container without devices and mappings; not valid afterwards
 * @error: where an error goes, or %NULL
 *
 * Closes a container.
 *
 * Errors: %CPR_ERROR_EXISTS (it has devices or mappings), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, ACTIVE (in reboot mode INCOMING and LOADED, too).
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_vfio_container_remove (CprVfioContainer *container, GError **error);

/**
 * cpr_vfio_container_get_name:
 * @container: a container
 *
 * Gets the container's name. Permitted states: all.
 *
 * Returns: the name, owned by the container
 *
 * Since: 0.1
 */
CPR_API const char *cpr_vfio_container_get_name (const CprVfioContainer *container);

/**
 * cpr_vfio_container_get_backend:
 * @container: a container
 *
 * Says what the container is in the kernel. Permitted states: all.
 *
 * Returns: the back end, never %CPR_VFIO_AUTO
 *
 * Since: 0.1
 */
CPR_API CprVfioBackend cpr_vfio_container_get_backend (const CprVfioContainer *container);

/**
 * cpr_vfio_container_get_fd:
 * @container: a container
 *
 * Gets the fd of the VFIO container or the iommufd. Map nothing with it directly: the library
 * doesn't hand such a mapping over, and the load in the new program fails. Permitted states: all.
 *
 * Returns: the fd, the library's; -1 for %CPR_VFIO_NONE
 *
 * Since: 0.1
 */
CPR_API int cpr_vfio_container_get_fd (const CprVfioContainer *container);

/**
 * cpr_vfio_container_get_ioas:
 * @container: a container
 *
 * Gets the id of the IOAS in the iommufd. Permitted states: all.
 *
 * Returns: the id; 0 if the back end isn't %CPR_VFIO_IOMMUFD
 *
 * Since: 0.1
 */
CPR_API uint32_t cpr_vfio_container_get_ioas (const CprVfioContainer *container);

/**
 * CprVfioDeviceOptions:
 * @size: `sizeof (CprVfioDeviceOptions)`, see #SECTION:libcpr
 * @group_fd: type1: an fd of the VMM's for the device's group; duplicated. 0: `/dev/vfio/GROUP` is
 *     opened
 * @device_fd: IOMMUFD: an fd of the VMM's for the device's character device, not bound; duplicated.
 *     0: it is opened
 *
 * How to open a device, for a VMM that isn't permitted to and gets fds from a manager. Zero it, set
 * @size, then the fields. In an incoming session, except in reboot mode, they aren't used. The fd
 * of a group is used for all its devices, so later devices needn't give it.
 *
 * Since: 0.1
 */
typedef struct
{
  size_t size;
  int group_fd;
  int device_fd;
} CprVfioDeviceOptions;

/**
 * cpr_vfio_device_new:
 * @container: a container
 * @name: a name of 1 to 255 bytes, unique among the session's VFIO devices; copied
 * @path: its PCI address (`0000:00:04.0`), or its folder in sysfs (`/sys/bus/mdev/devices/UUID`),
 *     which must begin with `/`
 * @options: (nullable): fds of the VMM's, or %NULL
 * @error: where an error goes, or %NULL
 *
 * Opens a device and attaches it to the container, or claims the one of that name. The device must
 * be bound to its VFIO driver. The first device of a type1 container brings the IOMMU. A device
 * that is opened is as VFIO leaves it: reset, without interrupts, bus master off. A device that is
 * claimed goes on.
 *
 * Errors: %CPR_ERROR_INVALID (name, path, a negative fd, too many devices), %CPR_ERROR_EXISTS
 * (name, or the device itself), %CPR_ERROR_NOT_FOUND (the host or the state has no such device, or
 * it isn't bound to a VFIO driver), %CPR_ERROR_MISMATCH (the state has another device under that
 * name, or has it in another container; or @options has an fd of another group or device),
 * %CPR_ERROR_BLOCKED (no update in a mode of `required_modes` would be possible with it; or its
 * group isn't viable, because another device in the group is bound to another driver),
 * %CPR_ERROR_SYSTEM (with errno), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, ACTIVE.
 *
 * Returns: (transfer none): the device, or %NULL
 *
 * Since: 0.1
 */
CPR_API CprVfioDevice *cpr_vfio_device_new (CprVfioContainer *container,
                                            const char *name,
                                            const char *path,
                                            const CprVfioDeviceOptions *options,
                                            GError **error);

/**
 * cpr_vfio_device_remove:
 * @device: a device; not valid afterwards
 * @error: where an error goes, or %NULL
 *
 * Closes a device and its eventfds, and closes its group with the group's last device. Before the
 * call, take the device out of the KVM VM with cpr_kvm_vfio_remove(), and unmap its regions. A
 * device that cpr_vfio_pci_add() added for it is removed.
 *
 * Errors: %CPR_ERROR_EXISTS (a KVM VM has it, or it is the last device of a type1 container that
 * has mappings, which would be lost), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, ACTIVE (in reboot mode INCOMING and LOADED, too).
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_vfio_device_remove (CprVfioDevice *device, GError **error);

/**
 * cpr_vfio_device_get_name:
 * @device: a device
 *
 * Gets the device's name. Permitted states: all.
 *
 * Returns: the name, owned by the device
 *
 * Since: 0.1
 */
CPR_API const char *cpr_vfio_device_get_name (const CprVfioDevice *device);

/**
 * cpr_vfio_device_get_fd:
 * @device: a device
 *
 * Gets the device's fd, for its regions and ioctls. The new program must map the regions again. Set
 * interrupts with cpr_vfio_irq_enable(), not with this fd. Use it for KVM_DEV_VFIO_FILE_ADD where
 * cpr_vfio_device_get_group_fd() returns -1. Permitted states: all.
 *
 * Returns: the fd, the library's; -1 for %CPR_VFIO_NONE
 *
 * Since: 0.1
 */
CPR_API int cpr_vfio_device_get_fd (const CprVfioDevice *device);

/**
 * cpr_vfio_device_get_group_fd:
 * @device: a device
 *
 * Gets the fd of the device's group, for KVM_DEV_VFIO_FILE_ADD (KVM_DEV_VFIO_GROUP_ADD before Linux
 * 6.2). Devices of one group share it; add it once. Permitted states: all.
 *
 * Returns: the fd, the library's; -1 unless the container is %CPR_VFIO_TYPE1
 *
 * Since: 0.1
 */
CPR_API int cpr_vfio_device_get_group_fd (const CprVfioDevice *device);

/**
 * CprDmaFlags:
 * @CPR_DMA_READ: devices may read
 * @CPR_DMA_WRITE: devices may write
 *
 * The permissions of devices in a mapping.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_DMA_READ = 1 << 0,
  CPR_DMA_WRITE = 1 << 1
} CprDmaFlags;

/**
 * cpr_dma_map:
 * @container: a container; in a fresh session a type1 container must have a device
 * @iova: the address that devices use; a multiple of the page size
 * @block: the RAM block, one of the session's
 * @offset: where the mapping begins in @block; a multiple of the page size
 * @size: the mapping's size in bytes; a multiple of the page size, not 0
 * @flags: or-ed #CprDmaFlags, at least one
 * @error: where an error goes, or %NULL
 *
 * Maps guest RAM for DMA. Its pages stay in memory from then on (RLIMIT_MEMLOCK). In an incoming
 * session, except in reboot mode, the call claims the mapping that was handed over, without a
 * system call. Then @iova, @block, @offset, @size and @flags must be the same.
 *
 * Errors: %CPR_ERROR_INVALID (alignment, flags, a range that passes the end of the block or of the
 * address space), %CPR_ERROR_EXISTS (it overlaps another mapping, or was claimed before),
 * %CPR_ERROR_NOT_FOUND (the session is INCOMING and the state has no such mapping: map it when the
 * session is ACTIVE; or @block isn't one of the session's), %CPR_ERROR_MISMATCH (the state has
 * another mapping there), %CPR_ERROR_BLOCKED (in an iommufd: @block isn't a memfd, and a mode of
 * `required_modes` needs one), %CPR_ERROR_SYSTEM (with errno; for ENOMEM the message has
 * RLIMIT_MEMLOCK and what is needed), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_dma_map (CprVfioContainer *container,
                          uint64_t iova,
                          CprRamBlock *block,
                          uint64_t offset,
                          uint64_t size,
                          unsigned flags,
                          GError **error);

/**
 * cpr_dma_unmap:
 * @container: a container
 * @iova: where the mapping begins
 * @size: its size in bytes
 * @error: where an error goes, or %NULL
 *
 * Removes one mapping that cpr_dma_map() made or claimed. A part of a mapping can't be removed.
 *
 * Errors: %CPR_ERROR_NOT_FOUND (no mapping begins there), %CPR_ERROR_INVALID (the mapping has
 * another size), %CPR_ERROR_SYSTEM (with errno; the mapping still exists), %CPR_ERROR_MISMATCH (the
 * kernel unmapped another size than was mapped; the mapping doesn't exist any more),
 * %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, ACTIVE (in reboot mode INCOMING and LOADED, too).
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_dma_unmap (CprVfioContainer *container, uint64_t iova, uint64_t size, GError **error);

/**
 * CprDmaFunc:
 * @iova: the address that devices use
 * @block: the RAM block
 * @offset: where the mapping begins in @block, in bytes
 * @size: the mapping's size in bytes
 * @flags: or-ed #CprDmaFlags
 * @claimed: whether this program made or claimed it
 * @user_data: what was passed to cpr_dma_foreach()
 *
 * Gets one mapping.
 *
 * Since: 0.1
 */
typedef void (*CprDmaFunc) (
    uint64_t iova, CprRamBlock *block, uint64_t offset, uint64_t size, unsigned flags, bool claimed, void *user_data);

/**
 * cpr_dma_foreach:
 * @container: a container
 * @func: called for each mapping, by rising @iova. It must not map or unmap, but it may claim the
 *     mapping that it gets
 * @user_data: passed to @func
 *
 * Shows the mappings, unclaimed ones too. Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_dma_foreach (const CprVfioContainer *container, CprDmaFunc func, void *user_data);

G_END_DECLS

#endif
