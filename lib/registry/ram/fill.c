/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fills the page tables of RAM that a new program has mapped while the guest still runs in the
 * old one, without taking the guest's CPU for long. Called by transfer's arrival.c. */
#include "registry/ram/fill.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/populate.h"
#include "base/signals.h"
#include "base/sys.h"

#define MAX_THREADS 4
#define PAGE_SIZE   4096u
/* The bytes that a thread takes at a time, and looks at in one call. */
#define PIECE (UINT64_C (8) << 20)

typedef struct
{
  uint8_t *vaddr;
  uint64_t offset; /* in the block, and in its file */
  size_t size;
  int file;
} Piece;

struct _CprFill
{
  GArray *pieces; /* Piece */
  GArray *files;  /* int */
  _Atomic guint next;
  _Atomic bool cancelled;
  GThread *threads[MAX_THREADS];
  unsigned n_threads;
  GMutex lock; /* for the members below */
  GCond changed;
  unsigned n_working;
};

/* ---- A thread. */

/* Fills the parts of a piece that are in memory. It doesn't ask for the end of a stretch with
 * SEEK_HOLE, for which the kernel walks over all its pages, 20 ms for 4 GiB. During that walk a
 * kernel that isn't preemptible (PREEMPT_NONE, Linux 6.18) gives the CPU to no vCPU. */
static void
fill_piece (CprFill *fill, const Piece *piece, unsigned *n_rests)
{
  unsigned char in_memory[PIECE / PAGE_SIZE];
  off_t data = cpr_sys->lseek (piece->file, (off_t) piece->offset, SEEK_DATA);
  size_t n = piece->size / PAGE_SIZE;

  if (data < 0 || (uint64_t) data >= piece->offset + piece->size ||
      cpr_sys->mincore (piece->vaddr, piece->size, in_memory) < 0)
    return;
  for (size_t at = 0, end; at < n && !fill->cancelled; at = end)
    {
      for (end = at; end < n && end - at < CPR_POPULATE_STEP / PAGE_SIZE && (in_memory[end] & 1) == (in_memory[at] & 1);
           end++)
        ;
      if ((in_memory[at] & 1) == 0)
        continue;
      cpr_populate (piece->vaddr + at * PAGE_SIZE, (end - at) * PAGE_SIZE);
      cpr_populate_yield (n_rests);
    }
}

static void *
fill_thread (void *data)
{
  CprFill *fill = data;
  unsigned n_rests = 0;
  guint at;

  while (!fill->cancelled && (at = fill->next++) < fill->pieces->len)
    fill_piece (fill, &g_array_index (fill->pieces, Piece, at), &n_rests);
  g_mutex_lock (&fill->lock);
  fill->n_working--;
  g_cond_broadcast (&fill->changed);
  g_mutex_unlock (&fill->lock);
  return NULL;
}

/* ---- The list of pieces. */

/* Adds a block's pieces. The file is opened again, since the fd that was handed over shares its
 * position with the old program. It is opened for writing: mincore() tells only a user who may
 * write which pages are in memory (Linux 5.2). On hugetlbfs the call tells only of mapped pages;
 * the others stay unfilled, which costs few faults. */
static void
add_block (CprFill *fill, const CprRamBlock *block)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", block->fd);
  struct stat st;
  int file;

  if (block->vaddr == NULL || block->fd < 0 || cpr_sys->fstat (block->fd, &st) < 0 || !S_ISREG (st.st_mode))
    return;
  file = cpr_fd_above_std (cpr_sys->open (link, O_RDWR | O_CLOEXEC, 0));
  if (file < 0)
    return;
  g_array_append_val (fill->files, file);
  for (uint64_t at = 0; at < block->size; at += PIECE)
    {
      Piece piece = { (uint8_t *) block->vaddr + at, at, (size_t) MIN (PIECE, block->size - at), file };

      g_array_append_val (fill->pieces, piece);
    }
}

static void
start_threads (CprFill *fill)
{
  unsigned wanted = MIN (MIN ((unsigned) g_get_num_processors (), MAX_THREADS), fill->pieces->len);
  sigset_t old;

  /* The VMM's handlers mustn't run in these threads. */
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
  CprFill *fill = g_new0 (CprFill, 1);

  fill->pieces = g_array_new (FALSE, FALSE, sizeof (Piece));
  fill->files = g_array_new (FALSE, FALSE, sizeof (int));
  g_mutex_init (&fill->lock);
  g_cond_init (&fill->changed);
  for (guint i = 0; i < ram->blocks->len; i++)
    {
      CprRamBlock *block = ram->blocks->pdata[i];

      add_block (fill, block);
      block->filled = true;
    }
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
  fill->cancelled = true;
  for (unsigned i = 0; i < fill->n_threads; i++)
    g_thread_join (fill->threads[i]);
  for (guint i = 0; i < fill->files->len; i++)
    cpr_fd_clear (&g_array_index (fill->files, int, i));
  g_cond_clear (&fill->changed);
  g_mutex_clear (&fill->lock);
  g_array_unref (fill->files);
  g_array_unref (fill->pieces);
  g_free (fill);
}
