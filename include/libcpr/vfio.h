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
 * Devices of the host that are assigned to the guest with VFIO stay assigned over an update: their
 * DMA doesn't stop, and their interrupts wait in their eventfds. A *container* is an address space
 * for DMA (IOVA): a VFIO container with a type1v2 IOMMU, or an IOAS of an iommufd. It has devices
 * and DMA mappings of RAM blocks. As everywhere in libcpr each call creates in a fresh session and
 * takes over in one that took up a state:
 *
 * |[<!-- language="C" -->
 * container = cpr_vfio_container_new (session, "vfio0", NULL, &error);
 * ram       = cpr_ram_new (session, "ram", size, NULL, &error);
 * device    = cpr_vfio_device_new (container, "nic0", "0000:00:04.0", NULL, &error);
 *             cpr_dma_map (container, 0, ram, 0, size, CPR_DMA_READ | CPR_DMA_WRITE, &error);
 * fd        = cpr_vfio_device_get_fd (device);
 * irq       = cpr_vfio_irq_open (device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, &error);
 *             if (!cpr_vfio_irq_is_enabled (device, VFIO_PCI_MSI_IRQ_INDEX, 0,
 * CPR_VFIO_IRQ_TRIGGER)) … ]|
 *
 * In a fresh session the order is: container, first device, mappings; type1 has no IOMMU before it
 * has a device.
 *
 * What happens in an update: the old program does nothing to the devices, so there is nothing to
 * undo if it fails before the execve. The new program takes the container, the devices and the
 * mappings over without a system call; at the end of cpr_session_load() it tells the kernel where
 * guest RAM is mapped now (type1: the old addresses are invalidated and the new ones given, largest
 * first; IOMMUFD: one IOMMU_IOAS_CHANGE_PROCESS). A program that takes the guest back does the
 * same, whatever the one before got done.
 *
 * In transfer mode it is the same, between two processes: fds arrive under new numbers, and nothing
 * here depends on them. The new program tells the kernel with the guest stopped, right before the
 * commit. If it fails, dies, hangs or is cancelled, cpr_session_update() of the old one waits for
 * its end and tells the kernel again where guest RAM is in this process, before it calls `start`.
 * Should that fail twice it is logged as an error and the guest goes on all the same, since DMA
 * needs no address: what the kernel can't do then, such as adding a device to a type1 container, it
 * can again after the next update. Memory that is locked for DMA is accounted to the process that
 * has the guest: RLIMIT_MEMLOCK of both is checked before the stop.
 *
 * Until the commit nothing else of a device may be changed, since both programs share it: no
 * mapping is added or removed, no vector is enabled or disabled. The calls that would do it aren't
 * permitted in a session that is INCOMING or LOADED, nor while cpr_session_update() is under way.
 * In transfer mode the guest runs for a good part of that: what it asks for meanwhile (a vector to
 * be enabled, a mapping of its virtual IOMMU) is for the VMM to keep as state of a device, and to
 * do when a notifier is told %CPR_EVENT_FAILED here or %CPR_EVENT_DONE in the new program. Where
 * all vectors are enabled from the beginning, and routed as the guest wishes, nothing of it comes
 * up.
 *
 * In a session that is HANDED_OVER the calls that change something aren't permitted any more. Its
 * process has the fds until it frees the session, and the devices' regions as long as it has mapped
 * them; both are no harm to the new program, but a device that the new one removes is the host's
 * again only when the old one has let it go, too. So end it.
 *
 * In reboot mode none of it goes along, and the guest must be suspended: its drivers set its
 * devices up anew when it wakes. The new program makes containers, devices, mappings and interrupts
 * as in a fresh session, and may change them before cpr_session_start(). What cpr_vfio_pci_add()
 * keeps is compared and given back as ever.
 *
 * What makes an update impossible is a blocker with its reason, or refused when it is added where
 * `required_modes` of the configuration say so: a kernel without VFIO_UPDATE_VADDR, a mediated
 * device, an iommufd without IOMMU_IOAS_MAP_FILE or IOMMU_IOAS_CHANGE_PROCESS (Linux 6.14), a
 * mapping in an iommufd of RAM that isn't a memfd.
 *
 * KVM and interrupts, from the kernel's side (the guide's chapter "Assigned devices" has the code):
 * in `stop` take each irqfd off (KVM_IRQFD with DEASSIGN) *before* KVM_GET_LAPIC, and take the
 * groups or devices out of the KVM VFIO device (KVM_DEV_VFIO_FILE_DEL); put an irqfd on in `start`,
 * *after* KVM_SET_LAPIC. What came in between waits in the eventfd and is injected when the irqfd
 * is put on; before the commit that would take it from the old program.
 */

/**
 * CprVfioContainer:
 *
 * An address space for DMA with its devices and mappings. Opaque; owned by its session and valid as
 * long as that, or until cpr_vfio_container_remove().
 */
typedef struct _CprVfioContainer CprVfioContainer;

/**
 * CprVfioDevice:
 *
 * A device of the host that is assigned to the guest. Opaque; owned by its container, valid until
 * cpr_vfio_device_remove().
 */
typedef struct _CprVfioDevice CprVfioDevice;

/**
 * CprVfioBackend:
 * @CPR_VFIO_AUTO: IOMMUFD where the kernel has all that an update needs of it and VFIO devices of
 *     their own (`/sys/class/vfio-dev`), else type1. In a session that took up a state: what is in
 *     the state
 * @CPR_VFIO_TYPE1: a VFIO container with VFIO_TYPE1v2_IOMMU; devices by their groups
 * @CPR_VFIO_IOMMUFD: an IOAS of an iommufd; devices by their character devices
 *     (`/dev/vfio/devices/vfioN`)
 * @CPR_VFIO_NONE: no kernel and no hardware: everything is recorded, handed over and compared,
 *     nothing is done. For programs that run without devices and for tests
 *
 * What a container is in the kernel.
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
 * @CPR_DMA_UNCLAIMED_UNMAP: they are kept until the commit and unmapped then, when the guest runs;
 *     logged
 *
 * What becomes of mappings that the old program handed over and this one didn't ask for.
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
 * @backend: what it is in the kernel
 * @unclaimed: what becomes of mappings that nobody took over
 * @path: (nullable): the device to open; %NULL: `/dev/vfio/vfio` or `/dev/iommu`
 * @fd: an fd of the VMM's for it, freshly opened; duplicated; or 0: @path is opened (one whose
 *     number is 0 has to be duplicated first)
 *
 * How to make a container. Zero it, set @size, then the fields. In a session that took up a state
 * @path and @fd aren't used.
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
 * Creates a container, or takes over the one of that name that the old program handed over. Its fd
 * is in the fd table under a name of the library's own.
 *
 * Errors: %CPR_ERROR_INVALID (name, options), %CPR_ERROR_EXISTS, %CPR_ERROR_NOT_FOUND (the session
 * took up a state and there is no such container in it), %CPR_ERROR_MISMATCH (another back end than
 * in the state), %CPR_ERROR_BLOCKED (the kernel lacks what an update in a mode of `required_modes`
 * needs), %CPR_ERROR_SYSTEM (with errno: ENOENT, EACCES, …), %CPR_ERROR_VERSION (not the kernel's
 * VFIO API version 0, no type1v2), %CPR_ERROR_STATE.
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
 * Its name. Permitted states: all.
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
 * What it is in the kernel: never %CPR_VFIO_AUTO. Permitted states: all.
 *
 * Returns: the back end
 *
 * Since: 0.1
 */
CPR_API CprVfioBackend cpr_vfio_container_get_backend (const CprVfioContainer *container);

/**
 * cpr_vfio_container_get_fd:
 * @container: a container
 *
 * The fd of the VFIO container or the iommufd. What is mapped with it directly isn't the library's
 * to hand over and makes the attaching in the new program fail. Permitted states: all.
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
 * The id of the IOAS in the iommufd. Permitted states: all.
 *
 * Returns: the id; 0 if it isn't %CPR_VFIO_IOMMUFD
 *
 * Since: 0.1
 */
CPR_API uint32_t cpr_vfio_container_get_ioas (const CprVfioContainer *container);

/**
 * CprVfioDeviceOptions:
 * @size: `sizeof (CprVfioDeviceOptions)`, see #SECTION:libcpr
 * @group_fd: type1: an fd of the VMM's for the device's group; duplicated; or 0: `/dev/vfio/GROUP`
 *     is opened
 * @device_fd: IOMMUFD: an fd of the VMM's for the device's character device, not bound; duplicated;
 *     or 0: it is opened
 *
 * How to open a device, for a VMM that isn't permitted to and gets fds from a manager. Zero it, set
 * @size, then the fields. In a session that took up a state they aren't used. An fd of the group is
 * used for all its devices: later ones needn't give it.
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
 * Opens a device and attaches it to the container, or takes over the one of that name. It must be
 * bound to its VFIO driver. The first device of a type1 container brings the IOMMU. Fresh, the
 * device is as VFIO leaves it when it is opened: reset, without interrupts, bus master off; taken
 * over, it goes on.
 *
 * Errors: %CPR_ERROR_INVALID (name, path), %CPR_ERROR_EXISTS (name, or the device itself),
 * %CPR_ERROR_NOT_FOUND (no such device in the host, or in the state; it isn't bound to a VFIO
 * driver), %CPR_ERROR_MISMATCH (another device of that name in the state, or in another container;
 * @options has an fd of another group or device), %CPR_ERROR_BLOCKED (with it no update in a mode
 * of `required_modes` would be possible; or the group isn't viable: another device in it is bound
 * to another driver), %CPR_ERROR_SYSTEM (with errno), %CPR_ERROR_STATE.
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
 * Closes a device, its eventfds, and its group with the last device of it. Take its fd out of the
 * KVM VFIO device and unmap its regions before. State that cpr_vfio_pci_add() added is removed.
 *
 * Errors: %CPR_ERROR_EXISTS (it is the last device of a type1 container that has mappings, which
 * would be lost), %CPR_ERROR_STATE.
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
 * Its name. Permitted states: all.
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
 * The device's fd, for its regions and ioctls; in the new program the regions must be mapped again.
 * Interrupts are set with cpr_vfio_irq_enable(), not with it. For KVM_DEV_VFIO_FILE_ADD it is the
 * one to use where cpr_vfio_device_get_group_fd() has none.
 * Permitted states: all.
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
 * The fd of its group, for KVM_DEV_VFIO_FILE_ADD (KVM_DEV_VFIO_GROUP_ADD before Linux 6.2). Devices
 * of one group share it: it is added once.
 * Permitted states: all.
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
 * What devices may do with a mapping.
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
 * @container: a container; fresh, a type1 one must have a device
 * @iova: the address that devices use; a multiple of the page size
 * @block: the RAM block, one of the session's
 * @offset: where in @block it begins; a multiple of the page size
 * @size: how much, in bytes; a multiple of the page size, not 0
 * @flags: or-ed #CprDmaFlags, at least one
 * @error: where an error goes, or %NULL
 *
 * Maps guest RAM for DMA; its pages stay in memory from then on (RLIMIT_MEMLOCK). In a session that
 * took up a state it finds the mapping that is there and keeps it, without a system call: the same
 * @iova, @block, @offset, @size and @flags.
 *
 * Errors: %CPR_ERROR_INVALID (alignment, a range that passes the end of the block or of the
 * addresses, flags), %CPR_ERROR_EXISTS (it overlaps another one, or was taken over before),
 * %CPR_ERROR_NOT_FOUND (the session took up a state and the mapping isn't in it; map it when the
 * session is ACTIVE; or @block isn't one of the session), %CPR_ERROR_MISMATCH (there is another one
 * in the state), %CPR_ERROR_BLOCKED (in an iommufd, where @block isn't a memfd and a mode of
 * `required_modes` needs that), %CPR_ERROR_SYSTEM (with errno; ENOMEM says what RLIMIT_MEMLOCK is
 * and what is needed), %CPR_ERROR_STATE.
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
 * @size: its size
 * @error: where an error goes, or %NULL
 *
 * Unmaps what was mapped with one cpr_dma_map(); a part can't be.
 *
 * Errors: %CPR_ERROR_NOT_FOUND (no mapping begins there), %CPR_ERROR_INVALID (its size is another),
 * %CPR_ERROR_SYSTEM (with errno; it is still there), %CPR_ERROR_MISMATCH (the kernel unmapped
 * another size than was mapped; it isn't there any more), %CPR_ERROR_STATE.
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
 * @offset: where in @block it begins
 * @size: how much, in bytes
 * @flags: or-ed #CprDmaFlags
 * @claimed: whether it was made or taken over in this program
 * @user_data: what was passed to cpr_dma_foreach()
 *
 * Is shown one mapping.
 *
 * Since: 0.1
 */
typedef void (*CprDmaFunc) (
    uint64_t iova, CprRamBlock *block, uint64_t offset, uint64_t size, unsigned flags, bool claimed, void *user_data);

/**
 * cpr_dma_foreach:
 * @container: a container
 * @func: called for each mapping, by rising @iova; it must not map or unmap, except that it may
 *     take the mapping shown over
 * @user_data: passed to @func
 *
 * Shows the mappings, those too that nobody took over yet. Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_dma_foreach (const CprVfioContainer *container, CprDmaFunc func, void *user_data);

/**
 * CprVfioIrqRole:
 * @CPR_VFIO_IRQ_TRIGGER: the device's interrupt: the kernel counts it up
 * @CPR_VFIO_IRQ_UNMASK: whoever writes to it unmasks the (level-triggered) interrupt; KVM's
 *     resample fd
 *
 * What an eventfd of an interrupt is for.
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
 * @index: which kind of interrupt, 0 to 32767: VFIO_PCI_MSI_IRQ_INDEX and so on;
 *     VFIO_PCI_ERR_IRQ_INDEX and VFIO_PCI_REQ_IRQ_INDEX are the notifiers of errors and of the
 *     host's wish to have the device back
 * @vector: which one of them, 0 to 65535
 * @role: what the eventfd is for
 * @error: where an error goes, or %NULL
 *
 * The eventfd of an interrupt: created, or the one that the old program handed over with what has
 * been counted in it. The new program doesn't enable it again, the kernel has it already:
 * cpr_vfio_irq_is_enabled() says so. A vector that the old program didn't have is created in a
 * session that took up a state too.
 *
 * Take each eventfd over before cpr_session_load() returns, in a `post_load` at the latest, when it
 * is known which ones the guest uses; or walk through them with cpr_vfio_irq_foreach(). One that
 * nobody takes over is an error there, as an unclaimed fd is, and with %CPR_UNCLAIMED_CLOSE it is
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
 * @index: which kind of interrupt
 * @vector: which one of them
 * @role: what the eventfd is for
 *
 * The eventfd that cpr_vfio_irq_open() returned. Permitted states: all.
 *
 * Returns: the eventfd, the library's, or -1
 *
 * Since: 0.1
 */
CPR_API int cpr_vfio_irq_get_fd (const CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role);

/**
 * cpr_vfio_irq_enable:
 * @device: a device
 * @index: which kind of interrupt
 * @first: the first vector
 * @n: how many vectors from there on, 1 to 2048; each must have been opened
 * @role: which eventfds
 * @error: where an error goes, or %NULL
 *
 * Connects the interrupts of the device with their eventfds (one VFIO_DEVICE_SET_IRQS). Those that
 * are connected already are connected again. How many MSI vectors there are is fixed by the first
 * call; for another number disable them first. After %CPR_ERROR_SYSTEM those that were connected
 * before may not be any more: disable the kind and enable it anew.
 *
 * Errors: %CPR_ERROR_INVALID (@n), %CPR_ERROR_NOT_FOUND (a vector that isn't open),
 * %CPR_ERROR_SYSTEM (with errno), %CPR_ERROR_STATE.
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
 * @index: which kind of interrupt: all its vectors
 * @error: where an error goes, or %NULL
 *
 * Disables all interrupts of a kind; the eventfds stay. Nothing happens if none is enabled.
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
 * @index: which kind of interrupt
 * @vector: which one of them
 * @role: what the eventfd is for
 *
 * Whether the interrupt is connected with its eventfd, by this program or by the old one. Permitted
 * states: all.
 *
 * Returns: %TRUE if it is
 *
 * Since: 0.1
 */
CPR_API bool
cpr_vfio_irq_is_enabled (const CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role);

/**
 * cpr_vfio_irq_close:
 * @device: a device
 * @index: which kind of interrupt
 * @vector: which one of them
 * @role: what the eventfd is for
 * @error: where an error goes, or %NULL
 *
 * Closes an eventfd; its interrupt must be disabled.
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_EXISTS (it is enabled), %CPR_ERROR_STATE.
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
 * @index: which kind of interrupt
 * @vector: which one of them
 * @role: what the eventfd is for
 * @enabled: whether it is connected
 * @user_data: what was passed to cpr_vfio_irq_foreach()
 *
 * Is shown one interrupt.
 *
 * Since: 0.1
 */
typedef void (*CprVfioIrqFunc) (unsigned index, unsigned vector, CprVfioIrqRole role, bool enabled, void *user_data);

/**
 * cpr_vfio_irq_foreach:
 * @device: a device
 * @func: called for each interrupt that has an eventfd, those too that nobody took over yet. It may
 *     take them over, but open no others and close none
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
 * @config: the configuration space as the guest sees it, in the VMM; borrowed
 * @config_size: its size in bytes, 64 to 4096, a multiple of 4
 * @emulated: a mask of @config_size bytes: bits that the VMM has values of its own for, such as the
 *     addresses in BARs or MSI messages; copied
 * @compared: (nullable): a mask of @config_size bytes: bits of the device itself that must be what
 *     they were; copied. %NULL: vendor, device, revision, class, header type and subsystem. Bits in
 *     neither mask are neither carried nor compared
 *
 * What of a PCI function is state. Zero it, set @size, then the fields.
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
 * @name: a name for the state, unique among the session's devices, see cpr_device_add(); copied
 * @options: what is state
 * @error: where an error goes, or %NULL
 *
 * Adds a device of the type cpr_vfio_pci_get_type() to the session that carries the emulated bits
 * of the configuration space. In cpr_session_load() they are put into @config of @options, other
 * bits of it stay; and what the device is, its regions' sizes and offsets and the compared bits of
 * its configuration space, is compared with what it was, before anything is applied to a device
 * that is loaded later. It is removed by cpr_vfio_device_remove().
 *
 * Errors: %CPR_ERROR_INVALID, %CPR_ERROR_EXISTS, %CPR_ERROR_SYSTEM (the device can't be read),
 * %CPR_ERROR_STATE. In cpr_session_load(): %CPR_ERROR_MISMATCH with the region or the offset.
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
 * The device type of cpr_vfio_pci_add(), for `device_types` of the configuration and
 * cpr_inventory_add_device(). Permitted states: needs no session.
 *
 * Returns: (transfer none): the type, static
 *
 * Since: 0.1
 */
CPR_API const CprDeviceType *cpr_vfio_pci_get_type (void);

G_END_DECLS

#endif
