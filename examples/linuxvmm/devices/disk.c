/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A virtio disk on an image file: section 5.2 of the virtio specification 1.2. A request is done
 * when it leaves the gate, so that none is under way in an update. */
#include "devices/disk.h"

#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/error.h"

#define SECTOR   512
#define SEGMENTS (CHAIN_PARTS_MAX - 2) /* besides header and status */
#define ID       "libcpr"
#define FEATURES (1ULL << VIRTIO_BLK_F_SEG_MAX | 1ULL << VIRTIO_BLK_F_FLUSH)

struct _Disk
{
  VirtioType type;
  struct virtio_blk_config config;
  int fd;
  uint64_t size;

  pthread_mutex_t mutex; /* of what follows */
  uint64_t reads, writes, flushes;
};

static const CprField disk_fields[] = {
  CPR_FIELD (Disk, reads),
  CPR_FIELD (Disk, writes),
  CPR_FIELD (Disk, flushes),
  CPR_FIELD_END,
};

static const CprDeviceType disk_type = {
  .size = sizeof (CprDeviceType),
  .name = "disk",
  .version = 1,
  .minimum_version = 1,
  .state = { "Disk", sizeof (Disk), disk_fields },
};

/* ---- Requests. */

/* Takes the first bytes of a request's parts away. */
static bool
take_header (const Chain *chain, struct virtio_blk_outhdr *header, struct iovec *rest, unsigned *n_rest)
{
  size_t have = 0;

  *n_rest = 0;
  for (unsigned i = 0; i < chain->n_out; i++)
    {
      const struct iovec *part = &chain->out[i];
      size_t n = MIN (part->iov_len, sizeof *header - have);
      memcpy ((uint8_t *) header + have, part->iov_base, n);
      have += n;
      if (n < part->iov_len)
        rest[(*n_rest)++] = (struct iovec){ (uint8_t *) part->iov_base + n, part->iov_len - n };
    }
  return have == sizeof *header;
}

static uint64_t
sum_up (const struct iovec *parts, unsigned n)
{
  uint64_t sum = 0;

  for (unsigned i = 0; i < n; i++)
    sum += parts[i].iov_len;
  return sum;
}

static bool
is_inside (const Disk *disk, uint64_t sector, uint64_t length)
{
  return length % SECTOR == 0 && sector <= disk->size / SECTOR && length <= disk->size - sector * SECTOR;
}

static uint8_t
transfer (const Disk *disk, bool write, uint64_t sector, const struct iovec *parts, unsigned n)
{
  uint64_t length = sum_up (parts, n);

  if (!is_inside (disk, sector, length))
    return VIRTIO_BLK_S_IOERR;
  ssize_t done = write ? pwritev (disk->fd, parts, (int) n, (off_t) (sector * SECTOR))
                       : preadv (disk->fd, parts, (int) n, (off_t) (sector * SECTOR));
  return done == (ssize_t) length ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static void
count (Disk *disk, uint64_t *what)
{
  pthread_mutex_lock (&disk->mutex);
  ++*what;
  pthread_mutex_unlock (&disk->mutex);
}

static uint8_t
execute (Disk *disk,
         const struct virtio_blk_outhdr *header,
         const struct iovec *out,
         unsigned n_out,
         const struct iovec *in,
         unsigned n_in)
{
  switch (header->type)
    {
    case VIRTIO_BLK_T_IN:
      count (disk, &disk->reads);
      return transfer (disk, false, header->sector, in, n_in);
    case VIRTIO_BLK_T_OUT:
      count (disk, &disk->writes);
      return transfer (disk, true, header->sector, out, n_out);
    case VIRTIO_BLK_T_FLUSH:
      count (disk, &disk->flushes);
      return fdatasync (disk->fd) == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
    case VIRTIO_BLK_T_GET_ID:
      if (n_in > 0)
        strncpy (in[0].iov_base, ID, in[0].iov_len);
      return VIRTIO_BLK_S_OK;
    default:
      return VIRTIO_BLK_S_UNSUPP;
    }
}

/* The last byte that the guest wants filled is the status. */
static uint32_t
serve (void *data, unsigned queue, const Chain *chain)
{
  struct virtio_blk_outhdr header;
  struct iovec out[CHAIN_PARTS_MAX], in[CHAIN_PARTS_MAX];
  unsigned n_out, n_in = chain->n_in;
  uint8_t status = VIRTIO_BLK_S_IOERR;

  if (n_in == 0 || chain->in[n_in - 1].iov_len == 0)
    return 0;
  memcpy (in, chain->in, n_in * sizeof *in);
  in[n_in - 1].iov_len--;
  uint8_t *place = (uint8_t *) in[n_in - 1].iov_base + in[n_in - 1].iov_len;
  if (in[n_in - 1].iov_len == 0)
    n_in--;
  if (take_header (chain, &header, out, &n_out))
    status = execute (data, &header, out, n_out, in, n_in);
  *place = status;
  return (uint32_t) sum_up (in, n_in) + 1;
}

/* ---- Building it. */

static int
open_image (const char *name, int index, void *user_data, GError **error)
{
  const char *path = user_data;
  int fd = open (path, O_RDWR | O_CLOEXEC);

  if (fd < 0)
    throw_errno (error, "disk: %s", path);
  return fd;
}

Disk *
disk_new (const VirtioPlace *place, unsigned slot, const char *path, GError **error)
{
  Disk *disk = g_new0 (Disk, 1);
  struct stat file;

  pthread_mutex_init (&disk->mutex, NULL);
  disk->fd = cpr_fd_open (place->session, "disk-image", 0, open_image, (void *) path, error);
  if (disk->fd < 0)
    return NULL;
  if (fstat (disk->fd, &file) < 0)
    {
      throw_errno (error, "disk: %s", path);
      return NULL;
    }
  disk->size = (uint64_t) file.st_size / SECTOR * SECTOR;
  disk->config = (struct virtio_blk_config){ .capacity = disk->size / SECTOR, .seg_max = SEGMENTS };
  disk->type = (VirtioType){
    .name = "virtio-disk",
    .id = VIRTIO_ID_BLOCK,
    .features = FEATURES,
    .n_queues = 1,
    .config = &disk->config,
    .config_size = sizeof disk->config,
    .device = disk,
    .serve = serve,
  };
  return cpr_device_add (place->session, "disk", &disk_type, disk, error) &&
                 virtio_new (place, slot, &disk->type, error)
             ? disk
             : NULL;
}

DiskCounts
disk_get_counts (Disk *disk)
{
  pthread_mutex_lock (&disk->mutex);
  DiskCounts counts = { disk->reads, disk->writes, disk->flushes };
  pthread_mutex_unlock (&disk->mutex);
  return counts;
}
