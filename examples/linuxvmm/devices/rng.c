/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A virtio source of random numbers: section 5.4 of the virtio specification 1.2. The main program
 * makes one for --rng. It has no state of its own, and each program opens the file itself. */
#include "devices/rng.h"

#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <unistd.h>

#include "support/error.h"
#include "support/log.h"

typedef struct
{
  VirtioType type;
  int fd;
} Rng;

/* Without a single byte the guest would ask again at once. */
static uint32_t
serve (void *data, unsigned queue, const Chain *chain)
{
  const Rng *rng = data;
  ssize_t n = readv (rng->fd, chain->in, (int) chain->n_in);

  if (n > 0)
    return (uint32_t) n;
  log_line ("rng: the file has no more bytes");
  return 0;
}

bool
rng_new (const VirtioPlace *place, unsigned slot, const char *path, GError **error)
{
  Rng *rng = g_new0 (Rng, 1);

  rng->fd = open (path, O_RDONLY | O_CLOEXEC);
  if (rng->fd < 0)
    return throw_errno (error, "rng: %s", path);
  rng->type = (VirtioType){
    .name = "virtio-rng",
    .id = VIRTIO_ID_RNG,
    .n_queues = 1,
    .device = rng,
    .serve = serve,
  };
  return virtio_new (place, slot, &rng->type, error) != NULL;
}
