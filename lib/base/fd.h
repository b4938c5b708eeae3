/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_FD_H
#define CPR_BASE_FD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

/* The identity of an fd, as far as fstat() and its like can tell. Anonymous inodes (eventfd,
 * timerfd, epoll, KVM) share one inode: they are alike for this comparison, kcmp() tells them
 * apart. */
typedef struct
{
  uint32_t type;   /* st_mode & S_IFMT */
  uint32_t access; /* O_ACCMODE and O_PATH of F_GETFL */
  uint64_t device; /* st_dev */
  uint64_t inode;  /* st_ino */
  uint32_t socket_domain;
  uint32_t socket_type;
} CprFdIdentity;

bool cpr_fd_identify (int fd, CprFdIdentity *identity); /* false with errno */
bool cpr_fd_identity_equal (const CprFdIdentity *a, const CprFdIdentity *b);
bool cpr_fd_identity_is_anonymous (const CprFdIdentity *identity);
char *cpr_fd_identity_describe (const CprFdIdentity *identity);

bool cpr_fd_set_cloexec (int fd, bool cloexec); /* false with errno */

/* All open fds of this process from 3 up, ascending. */
GArray *cpr_fd_list (GError **error);

void cpr_fd_sort (GArray *fds);

/* @fd, or where it is 0, 1 or 2, because those were closed, a duplicate above them in its place;
 * -1 and errno go through. */
int cpr_fd_above_std (int fd);

/* @fd, or where it is below @least a duplicate from there on in its place; -1 and errno go
 * through. */
int cpr_fd_from (int fd, int least);

/* Which of 0, 1 and 2 are closed: bit N for fd N. */
unsigned cpr_fd_get_closed_std (void);

/* Closes *fd if it is open and sets it to -1; errno is kept. */
void cpr_fd_clear (int *fd);

/* A memfd that can be sealed; never executable where the kernel knows that. */
int cpr_memfd_new (const char *name, unsigned flags);

/* ftruncate() and write() of all of the data, where passing RLIMIT_FSIZE is EFBIG instead of a
 * deadly SIGXFSZ, and a pipe without a reader EPIPE without a SIGPIPE. */
bool cpr_fd_truncate (int fd, uint64_t size);
bool cpr_fd_write_all (int fd, const void *data, size_t len);
/* The same into what somebody reads: until @end_ns (CLOCK_MONOTONIC; 0: for as long as it
 * takes), ETIMEDOUT afterwards, however little of it was read now and then. */
bool cpr_fd_write_until (int fd, const void *data, size_t len, uint64_t end_ns);

/* One write() of what there is room for, the same way: -1 with errno. */
ssize_t cpr_fd_write_some (int fd, const void *data, size_t len);

/* Has room for the first @size bytes of a file of memory, the same way, without making it
 * longer. */
bool cpr_fd_reserve (int fd, uint64_t size);

/* pwrite() of all of it, the same way. */
bool cpr_fd_write_at (int fd, const void *data, size_t len, uint64_t offset);

/* read() of @len bytes, or as many as there are before the end: *got, where it isn't NULL; EIO
 * where it is NULL and there are fewer. */
bool cpr_fd_read_all (int fd, void *data, size_t len, size_t *got);

/* pread() of all of it; EIO where the file is shorter. */
bool cpr_fd_read_at (int fd, void *data, size_t len, uint64_t offset);

struct sockaddr_un;
/* Removes a socket that nobody listens at: its program is dead. Any other file stays. */
void cpr_fd_remove_stale_socket (const struct sockaddr_un *address);

#endif
