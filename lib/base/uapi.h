/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_UAPI_H
#define CPR_BASE_UAPI_H

/* The few numbers of the kernel's ABI that the headers of Linux 6.1 or of glibc 2.36 don't have yet. */

#ifndef MFD_NOEXEC_SEAL
#  define MFD_NOEXEC_SEAL 0x0008U /* memfd_create, Linux 6.3 */
#endif

#ifndef CLOSE_RANGE_CLOEXEC
#  define CLOSE_RANGE_CLOEXEC (1U << 2) /* close_range, Linux 5.11 */
#endif

#ifndef MADV_POPULATE_WRITE
#  define MADV_POPULATE_WRITE 23 /* madvise, Linux 5.14 */
#endif

#ifndef MLOCK_ONFAULT
#  define MLOCK_ONFAULT 0x01 /* mlock2, Linux 4.4 */
#endif

#endif
