/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/fill.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/uapi.h"

#define MAX_THREADS 4
/* What a thread takes at a time: a few ms. */
#define PIECE (UINT64_C (16) << 20)

typedef struct
{
  uint8_t *vaddr;
  size_t size;
} Piece;

struct _CprFill
{
  GArray *pieces; /* Piece */
  _Atomic guint next;
  _Atomic bool cancelled;
  GThread *threads[MAX_THREADS];
  unsigned n_threads;
  GMutex lock; /* of what follows */
  GCond changed;
  unsigned n_working;
};

static void *
fill_thread (void *data)
{
  CprFill *fill = data;

  while (!fill->cancelled)
    {
      guint at = fill->next++;
      const Piece *piece;

      if (at >= fill->pieces->len)
        break;
      piece = &g_array_index (fill->pieces, Piece, at);
      cpr_sys->madvise (piece->vaddr, piece->size, MADV_POPULATE_WRITE);
    }
  g_mutex_lock (&fill->lock);
  fill->n_working--;
  g_cond_broadcast (&fill->changed);
  g_mutex_unlock (&fill->lock);
  return NULL;
}

static void
add_range (GArray *pieces, uint8_t *vaddr, uint64_t from, uint64_t to)
{
  for (; from < to; from += PIECE)
    {
      Piece piece = { vaddr + from, (size_t) MIN (PIECE, to - from) };

      g_array_append_val (pieces, piece);
    }
}

/* Through an open file of its own: the position of the carried one is the old program's too. */
static void
add_block (GArray *pieces, const CprRamBlock *block)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", block->fd);
  off_t size = (off_t) block->size, to;
  struct stat st;
  int fd;

  if (block->vaddr == NULL || block->fd < 0 || cpr_sys->fstat (block->fd, &st) < 0 || !S_ISREG (st.st_mode))
    return;
  fd = cpr_sys->open (link, O_RDONLY | O_CLOEXEC, 0);
  for (off_t from = fd >= 0 ? cpr_sys->lseek (fd, 0, SEEK_DATA) : -1; from >= 0 && from < size;
       from = cpr_sys->lseek (fd, to, SEEK_DATA))
    {
      to = cpr_sys->lseek (fd, from, SEEK_HOLE);
      if (to <= from)
        break;
      add_range (pieces, block->vaddr, (uint64_t) from, (uint64_t) MIN (to, size));
    }
  cpr_fd_clear (&fd);
}

static void
start_threads (CprFill *fill)
{
  unsigned wanted = MIN (MIN ((unsigned) g_get_num_processors (), MAX_THREADS), fill->pieces->len);
  sigset_t old;

  /* The VMM's signals are for the VMM's threads. */
  cpr_signals_block_all (&old);
  fill->n_working = wanted;
  for (unsigned i = 0; i < wanted; i++)
    {
      GThread *thread = g_thread_try_new ("cpr-fill", fill_thread, fill, NULL);

      if (thread != NULL)
        fill->threads[fill->n_threads++] = thread;
    }
  cpr_signals_restore (&old);
  g_mutex_lock (&fill->lock);
  fill->n_working -= wanted - fill->n_threads;
  g_mutex_unlock (&fill->lock);
}

CprFill *
cpr_fill_start (const CprRamTable *ram)
{
  GArray *pieces = g_array_new (FALSE, FALSE, sizeof (Piece));
  CprFill *fill;

  for (guint i = 0; i < ram->blocks->len; i++)
    {
      CprRamBlock *block = ram->blocks->pdata[i];

      add_block (pieces, block);
      block->filled = true;
    }
  if (pieces->len == 0)
    {
      g_array_unref (pieces);
      return NULL;
    }
  fill = g_new0 (CprFill, 1);
  fill->pieces = pieces;
  g_mutex_init (&fill->lock);
  g_cond_init (&fill->changed);
  start_threads (fill);
  return fill;
}

bool
cpr_fill_wait (CprFill *fill, unsigned timeout_ms)
{
  gint64 end = g_get_monotonic_time () + timeout_ms * INT64_C (1000);
  bool done;

  g_mutex_lock (&fill->lock);
  while (fill->n_working > 0 && g_cond_wait_until (&fill->changed, &fill->lock, end))
    ;
  done = fill->n_working == 0;
  g_mutex_unlock (&fill->lock);
  return done;
}

void
cpr_fill_end (CprFill *fill)
{
  if (fill == NULL)
    return;
  fill->cancelled = true;
  for (unsigned i = 0; i < fill->n_threads; i++)
    g_thread_join (fill->threads[i]);
  g_cond_clear (&fill->changed);
  g_mutex_clear (&fill->lock);
  g_array_unref (fill->pieces);
  g_free (fill);
}
