/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_UAPI_H
#define CPR_BASE_UAPI_H

/* The part of the kernel's ABI that the headers of Linux 6.1 or of glibc 2.36 don't have yet. */

#include <stdint.h>

#include <linux/ioctl.h>

#ifndef MFD_NOEXEC_SEAL
#  define MFD_NOEXEC_SEAL 0x0008U /* memfd_create, Linux 6.3 */
#endif

#ifndef CLOSE_RANGE_CLOEXEC
#  define CLOSE_RANGE_CLOEXEC (1U << 2) /* close_range, Linux 5.11 */
#endif

#ifndef MADV_DONTNEED_LOCKED
#  define MADV_DONTNEED_LOCKED 24 /* madvise, Linux 5.18 */
#endif
#ifndef MADV_POPULATE_WRITE
#  define MADV_POPULATE_WRITE 23 /* madvise, Linux 5.14 */
#endif

#ifndef MLOCK_ONFAULT
#  define MLOCK_ONFAULT 0x01 /* mlock2, Linux 4.4 */
#endif

/* Memory that is private to a guest: linux/kvm.h, Linux 6.8. */
#define CPR_UAPI_KVM_CAP_MEMORY_ATTRIBUTES    233
#define CPR_UAPI_KVM_MEMORY_ATTRIBUTE_PRIVATE (1 << 3)
#define CPR_UAPI_KVM_MEM_GUEST_MEMFD          (1u << 2)

/* VFIO devices without groups: linux/vfio.h, Linux 6.6. The names are ours, so that newer
 * headers don't clash. */
#define CPR_UAPI_VFIO_BIND_IOMMUFD   _IO (';', 118)
#define CPR_UAPI_VFIO_ATTACH_IOMMUFD _IO (';', 119)

typedef struct
{
  uint32_t argsz;
  uint32_t flags;
  int32_t iommufd;
  uint32_t out_device;
} CprUapiVfioBind;

typedef struct
{
  uint32_t argsz;
  uint32_t flags;
  uint32_t page_table; /* an IOAS, or a page table of it */
} CprUapiVfioAttach;

/* linux/iommufd.h, Linux 6.2; MAP_FILE and CHANGE_PROCESS Linux 6.14. */
#define CPR_UAPI_IOMMU_DESTROY       _IO (';', 0x80)
#define CPR_UAPI_IOAS_ALLOC          _IO (';', 0x81)
#define CPR_UAPI_IOAS_MAP            _IO (';', 0x85)
#define CPR_UAPI_IOAS_UNMAP          _IO (';', 0x86)
#define CPR_UAPI_IOAS_MAP_FILE       _IO (';', 0x8f)
#define CPR_UAPI_IOAS_CHANGE_PROCESS _IO (';', 0x92)
#define CPR_UAPI_IOAS_MAP_FIXED_IOVA (1u << 0)
#define CPR_UAPI_IOAS_MAP_WRITEABLE  (1u << 1)
#define CPR_UAPI_IOAS_MAP_READABLE   (1u << 2)

typedef struct
{
  uint32_t size;
  uint32_t id;
} CprUapiIommuDestroy;

typedef struct
{
  uint32_t size;
  uint32_t flags;
  uint32_t out_ioas;
} CprUapiIoasAlloc;

typedef struct
{
  uint32_t size;
  uint32_t flags;
  uint32_t ioas;
  uint32_t reserved;
  uint64_t vaddr;
  uint64_t len;
  uint64_t iova;
} CprUapiIoasMap;

typedef struct
{
  uint32_t size;
  uint32_t flags;
  uint32_t ioas;
  int32_t fd;
  uint64_t start;
  uint64_t len;
  uint64_t iova;
} CprUapiIoasMapFile;

typedef struct
{
  uint32_t size;
  uint32_t ioas;
  uint64_t iova;
  uint64_t len;
} CprUapiIoasUnmap;

typedef struct
{
  uint32_t size;
  uint32_t reserved;
} CprUapiIoasChangeProcess;

#endif
