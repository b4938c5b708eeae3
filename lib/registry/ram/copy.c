/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies the contents of RAM blocks into a file and back, in pieces with checksums, by several
 * threads, and leaves zeros out. Called by store.c, restore.c and pages.c. */
#include "registry/ram/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/memory.h"
#include "base/populate.h"
#include "base/signals.h"
#include "base/sys.h"

/* More threads than this don't make one file faster. */
#define THREADS_MAX 8
#define REPORT_US   50000
/* The unit of runs. Larger pages of the kernel are multiples of it. */
#define PAGE_SIZE 4096u
/* The smallest hole: each one costs the file system an extent to make and to free. */
#define HOLE_MIN (4 * PAGE_SIZE)

static const uint8_t zeros[64 * 1024] __attribute__ ((aligned (PAGE_SIZE)));

typedef struct _Job Job;

/* The data of one thread. */
typedef struct
{
  Job *job;
  uint8_t *scratch; /* CPR_RAM_SCAN bytes */
  CprChecksum *checksum;
  CprRamExtent memory, stored; /* the last stretch found in the block, and in the file */
} Worker;

/* Handles one piece of a block; false with an error. */
typedef bool (*PieceFunc) (Worker *worker, const CprRamImage *image, uint64_t index, GError **error);

struct _Job
{
  PieceFunc func;
  const CprRamImage *images;
  guint n_images;
  uint64_t n_pieces; /* of all blocks */
  int file;
  uint64_t zero_sum; /* the checksum of a piece that is all zero */
  _Atomic uint64_t next, done;
  _Atomic bool given_up;
  GMutex lock; /* for the members below */
  GCond changed;
  guint n_running;
  GError *error; /* the first error */
};

uint64_t
cpr_ram_count_pieces (uint64_t size)
{
  return size / CPR_RAM_PIECE + (size % CPR_RAM_PIECE != 0);
}

/* ---- The contents of a block. */

/* Finds the stretch of @fd at or after @at, unless *known is that stretch. False with errno. */
static bool
look_for_extent (CprRamExtent *known, int fd, uint64_t at)
{
  off_t data, hole;

  if (known->fd == fd && at >= known->start && at < known->end)
    return true;
  data = cpr_sys->lseek (fd, (off_t) at, SEEK_DATA);
  if (data < 0)
    return false;
  hole = cpr_sys->lseek (fd, data, SEEK_HOLE);
  *known = (CprRamExtent){ fd, (uint64_t) data, hole < 0 ? UINT64_MAX : (uint64_t) hole };
  return true;
}

/* Finds the next stretch of @fd that isn't a hole, between *at and @end; both count from @base
 * in the file. A file that can't tell its holes has none. False: there is no stretch. */
static bool
find_extent (CprRamExtent *known, int fd, uint64_t base, uint64_t *at, uint64_t end, uint64_t *extent_end)
{
  *extent_end = end;
  if (*at >= end)
    return false;
  if (!look_for_extent (known, fd, base + *at))
    return errno != ENXIO;
  if (known->start >= base + end)
    return false;
  if (known->start > base + *at)
    *at = MAX (*at, (known->start - base) & ~(uint64_t) (PAGE_SIZE - 1));
  if (known->end < base + end)
    *extent_end = MIN (end, (known->end - base + PAGE_SIZE - 1) & ~(uint64_t) (PAGE_SIZE - 1));
  return true;
}

static bool
find_memory (CprRamExtent *known, const CprRamImage *image, uint64_t *at, uint64_t end, uint64_t *extent_end)
{
  if (image->holes)
    return find_extent (known, image->fd, 0, at, end, extent_end);
  *extent_end = end;
  return *at < end;
}

/* Returns @len bytes of a block, in memory or in @scratch; NULL with errno. */
static const uint8_t *
look_at (const CprRamImage *image, uint64_t at, size_t len, uint8_t *scratch)
{
  if (image->fd < 0 || image->holes)
    return image->vaddr + at;
  return cpr_fd_read_at (image->fd, scratch, len, at) ? scratch : NULL;
}

/* The end of the zero pages that begin at @at. */
static size_t
skip_zeros (const uint8_t *data, size_t at, size_t len)
{
  while (at < len && cpr_is_zero (data + at, PAGE_SIZE))
    at += PAGE_SIZE;
  return at;
}

static bool
call_for_runs (uint64_t offset, const uint8_t *data, size_t len, CprRamRunFunc func, void *user_data)
{
  for (size_t start = skip_zeros (data, 0, len), end = start; start < len;)
    {
      size_t next = skip_zeros (data, end, len);

      if (next < len && next - end < HOLE_MIN)
        {
          end = next + PAGE_SIZE;
          continue;
        }
      if (!func (offset + start, data + start, end - start, user_data))
        return false;
      start = end = next;
    }
  return true;
}

static void
sum_zeros (CprChecksum *checksum, uint64_t len)
{
  for (; len > 0; len -= MIN (len, sizeof zeros))
    cpr_checksum_add (checksum, zeros, (size_t) MIN (len, sizeof zeros));
}

/* Adds all bytes to @checksum and calls @func for each run; both may be NULL. The sum comes
 * first, and brings the bytes into the cache for @func. */
static bool
scan (const CprRamImage *image,
      CprRamExtent *known,
      uint64_t start,
      uint64_t end,
      uint8_t *scratch,
      CprChecksum *checksum,
      CprRamRunFunc func,
      void *user_data)
{
  uint64_t at = start, done = start, extent_end;

  for (; find_memory (known, image, &at, end, &extent_end); done = at)
    {
      if (checksum != NULL)
        sum_zeros (checksum, at - done);
      while (at < extent_end)
        {
          size_t len = (size_t) MIN (extent_end - at, CPR_RAM_SCAN);
          const uint8_t *data = look_at (image, at, len, scratch);

          if (data == NULL)
            return false;
          if (checksum != NULL)
            cpr_checksum_add (checksum, data, len);
          if (func != NULL && !call_for_runs (at, data, len, func, user_data))
            return false;
          at += len;
        }
    }
  if (checksum != NULL)
    sum_zeros (checksum, end - done);
  return true;
}

bool
cpr_ram_foreach_run (const CprRamImage *image,
                     CprRamExtent *known,
                     uint64_t start,
                     uint64_t end,
                     uint8_t *scratch,
                     CprRamRunFunc func,
                     void *user_data)
{
  return scan (image, known, start, end, scratch, NULL, func, user_data);
}

/* ---- A piece. */

static uint64_t
get_piece_end (const CprRamImage *image, uint64_t index)
{
  return MIN (image->size, (index + 1) * CPR_RAM_PIECE);
}

static bool
is_hole (Worker *worker, const CprRamImage *image, uint64_t start, uint64_t end)
{
  uint64_t extent_end;

  return end - start == CPR_RAM_PIECE && !find_memory (&worker->memory, image, &start, end, &extent_end);
}

typedef struct
{
  int file;
  uint64_t offset; /* of the block */
} Target;

static bool
write_run (uint64_t offset, const uint8_t *data, size_t len, void *user_data)
{
  const Target *target = user_data;

  return cpr_fd_write_at (target->file, data, len, target->offset + offset);
}

static bool
throw_piece (const CprRamImage *image, uint64_t index, int errnum, const char *what, GError **error)
{
  return cpr_throw_errno (error, errnum, "RAM block '%s': %s at offset %" G_GUINT64_FORMAT, image->name, what,
                          index * CPR_RAM_PIECE);
}

static bool
sum_piece (Worker *worker, const CprRamImage *image, uint64_t index, GError **error)
{
  uint64_t start = index * CPR_RAM_PIECE, end = get_piece_end (image, index);

  cpr_checksum_begin (worker->checksum);
  if (!scan (image, &worker->memory, start, end, worker->scratch, worker->checksum, NULL, NULL))
    return throw_piece (image, index, errno, "reading", error);
  image->sums[index] = cpr_checksum_end (worker->checksum);
  return true;
}

/* Writes a piece, and starts its way to the disk at once, so that less is left for the fsync. */
static bool
write_piece (Worker *worker, const CprRamImage *image, uint64_t index, GError **error)
{
  uint64_t start = index * CPR_RAM_PIECE, end = get_piece_end (image, index);
  Target target = { worker->job->file, image->offset };

  image->sums[index] = worker->job->zero_sum;
  if (is_hole (worker, image, start, end))
    return true;
  cpr_checksum_begin (worker->checksum);
  if (!scan (image, &worker->memory, start, end, worker->scratch, worker->checksum, write_run, &target))
    return throw_piece (image, index, errno, "copying it", error);
  image->sums[index] = cpr_checksum_end (worker->checksum);
  cpr_sys->sync_file_range (target.file, (off_t) (image->offset + start), (off_t) (end - start), SYNC_FILE_RANGE_WRITE);
  return true;
}

/* Allocates the pages in one go. That is faster than fault by fault, and a lack of memory is an
 * error instead of a SIGBUS. */
static bool
read_extent (const CprRamImage *image, int file, uint64_t start, uint64_t end)
{
  if (!cpr_populate (image->vaddr + start, end - start) && errno != EINVAL && errno != EFAULT)
    return false;
  return cpr_fd_read_at (file, image->vaddr + start, end - start, image->offset + start);
}

static bool
read_extents (Worker *worker, const CprRamImage *image, uint64_t start, uint64_t end)
{
  int file = worker->job->file;
  uint64_t at = start, done = start, extent_end;

  for (; find_extent (&worker->stored, file, image->offset, &at, end, &extent_end); done = at = extent_end)
    {
      if (!image->zeroed)
        memset (image->vaddr + done, 0, at - done);
      sum_zeros (worker->checksum, at - done);
      if (!read_extent (image, file, at, extent_end))
        return false;
      cpr_checksum_add (worker->checksum, image->vaddr + at, extent_end - at);
    }
  if (!image->zeroed)
    memset (image->vaddr + done, 0, end - done);
  sum_zeros (worker->checksum, end - done);
  return true;
}

static bool
read_piece (Worker *worker, const CprRamImage *image, uint64_t index, GError **error)
{
  uint64_t start = index * CPR_RAM_PIECE, end = get_piece_end (image, index), at = start, extent_end;

  if (image->zeroed && image->sums[index] == worker->job->zero_sum && end - start == CPR_RAM_PIECE &&
      !find_extent (&worker->stored, worker->job->file, image->offset, &at, end, &extent_end))
    return true;
  cpr_checksum_begin (worker->checksum);
  if (!read_extents (worker, image, start, end))
    return throw_piece (image, index, errno, "reading it back", error);
  return image->sums[index] == cpr_checksum_end (worker->checksum) ||
         cpr_throw (error, CPR_ERROR_CORRUPT,
                    "RAM block '%s': the checksum of its contents at offset %" G_GUINT64_FORMAT " is wrong",
                    image->name, start);
}

/* ---- The threads. */

static void
give_up (Job *job, GError *error)
{
  g_mutex_lock (&job->lock);
  if (job->error == NULL)
    job->error = error;
  else
    g_error_free (error);
  job->given_up = true;
  g_mutex_unlock (&job->lock);
}

static bool
take_piece (Job *job, const CprRamImage **image, uint64_t *index)
{
  uint64_t next = job->given_up ? job->n_pieces : atomic_fetch_add (&job->next, 1);

  for (guint i = 0; i < job->n_images; i++)
    {
      uint64_t n = cpr_ram_count_pieces (job->images[i].size);

      *image = &job->images[i];
      *index = next;
      if (next < n)
        return true;
      next -= n;
    }
  return false;
}

static void *
work (void *data)
{
  Job *job = data;
  Worker worker = { .job = job, .scratch = g_try_malloc (CPR_RAM_SCAN + PAGE_SIZE), .checksum = cpr_checksum_new () };
  uint8_t *allocated = worker.scratch;
  const CprRamImage *image;
  GError *error = NULL;
  uint64_t index;

  worker.scratch = (uint8_t *) (((uintptr_t) allocated + PAGE_SIZE - 1) & ~(uintptr_t) (PAGE_SIZE - 1));
  if (allocated == NULL)
    cpr_throw_errno (&error, ENOMEM, "RAM: %u bytes to look at it", CPR_RAM_SCAN);
  while (error == NULL && take_piece (job, &image, &index))
    if (job->func (&worker, image, index, &error))
      job->done += get_piece_end (image, index) - index * CPR_RAM_PIECE;
  if (error != NULL)
    give_up (job, error);
  cpr_checksum_free (worker.checksum);
  g_free (allocated);

  g_mutex_lock (&job->lock);
  job->n_running--;
  g_cond_signal (&job->changed);
  g_mutex_unlock (&job->lock);
  return NULL;
}

static void
report (Job *job, const CprRamProgress *progress, uint64_t total)
{
  GError *error = NULL, *reason = NULL;

  if (progress == NULL || job->given_up || progress->report (job->done, total, progress->user_data, &reason))
    return;
  cpr_throw_callback (&error, reason, "RAM: the progress callback gave it up");
  give_up (job, error);
}

/* Reports the progress until the threads are done. */
static void
await (Job *job, const CprRamProgress *progress, uint64_t total)
{
  g_mutex_lock (&job->lock);
  while (job->n_running > 0)
    {
      gint64 until = g_get_monotonic_time () + REPORT_US;

      if (g_cond_wait_until (&job->changed, &job->lock, until))
        continue;
      g_mutex_unlock (&job->lock);
      report (job, progress, total);
      g_mutex_lock (&job->lock);
    }
  g_mutex_unlock (&job->lock);
  report (job, progress, total);
}

/* Works in several threads, or in this one if no thread can be made. */
static void
run_threads (Job *job, const CprRamProgress *progress, uint64_t total)
{
  guint wanted = (guint) MIN (MIN (g_get_num_processors (), THREADS_MAX), job->n_pieces), n = 0;
  GThread *threads[THREADS_MAX];
  sigset_t old;

  cpr_signals_block_all (&old); /* the VMM's handlers mustn't run in these threads */
  for (; n < wanted; n++)
    {
      g_mutex_lock (&job->lock);
      job->n_running++;
      g_mutex_unlock (&job->lock);
      threads[n] = g_thread_try_new ("cpr-ram", work, job, NULL);
      if (threads[n] == NULL)
        break;
    }
  cpr_signals_restore (&old);
  if (n < wanted) /* one was counted, and wasn't made */
    {
      if (n == 0)
        work (job);
      else
        {
          g_mutex_lock (&job->lock);
          job->n_running--;
          g_mutex_unlock (&job->lock);
        }
    }
  await (job, progress, total);
  for (guint i = 0; i < n; i++)
    g_thread_join (threads[i]);
}

static uint64_t
sum_of_zeros (void)
{
  CprChecksum *checksum = cpr_checksum_new ();
  uint64_t sum;

  cpr_checksum_begin (checksum);
  sum_zeros (checksum, CPR_RAM_PIECE);
  sum = cpr_checksum_end (checksum);
  cpr_checksum_free (checksum);
  return sum;
}

static bool
run (PieceFunc func,
     const CprRamImage *images,
     guint n,
     int file,
     const CprRamProgress *progress,
     uint64_t total,
     GError **error)
{
  Job job = { .func = func, .images = images, .n_images = n, .file = file, .zero_sum = sum_of_zeros () };

  for (guint i = 0; i < n; i++)
    job.n_pieces += cpr_ram_count_pieces (images[i].size);
  g_mutex_init (&job.lock);
  g_cond_init (&job.changed);
  run_threads (&job, progress, total);
  g_cond_clear (&job.changed);
  g_mutex_clear (&job.lock);
  if (job.error == NULL)
    return true;
  g_propagate_error (error, job.error);
  return false;
}

static uint64_t
add_sizes (const CprRamImage *images, guint n)
{
  uint64_t total = 0;

  for (guint i = 0; i < n; i++)
    total += images[i].size;
  return total;
}

bool
cpr_ram_write (const CprRamImage *images, guint n, int file, const CprRamProgress *progress, GError **error)
{
  return run (write_piece, images, n, file, progress, add_sizes (images, n), error);
}

bool
cpr_ram_read (const CprRamImage *images, guint n, int file, const CprRamProgress *progress, GError **error)
{
  return run (read_piece, images, n, file, progress, add_sizes (images, n), error);
}

bool
cpr_ram_sum (const CprRamImage *images, guint n, const CprRamProgress *progress, GError **error)
{
  return run (sum_piece, images, n, -1, progress, add_sizes (images, n), error);
}
