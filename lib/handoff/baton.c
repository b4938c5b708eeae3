/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shared page with the word that names the owner of the guest. Everyone who may take the
 * guest moves the word with these functions: the programs, in lib/handoff, and the guardian, in
 * exec/guardian.c. */
#include "handoff/baton.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "base/text.h"

#define BATON_MAGIC UINT64_C (0x31544142525043) /* "CPRBAT1" */
#define BATON_SIZE  4096
/* The page may not shrink: each program that has it mapped would die of SIGBUS. F_SEAL_WRITE is
 * missing, since all of them write. */
#define BATON_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

G_STATIC_ASSERT (sizeof (CprBatonPage) <= BATON_SIZE);
/* Processes share the word, and a lock inside libatomic would be private to each of them. */
G_STATIC_ASSERT (ATOMIC_LLONG_LOCK_FREE == 2);

/* State, attempt and pid are one word, so that one compare-and-swap checks and changes all three.
 * A process can have several attempts under one pid, since execve keeps it: the attempt is what
 * makes a late one fail. */
static uint64_t
pack (CprBatonWord word)
{
  return (uint64_t) word.state << 56 | (uint64_t) (word.attempt & CPR_BATON_LAST_ATTEMPT) << 48 | (uint32_t) word.pid;
}

CprBatonWord
cpr_baton_get (const CprBatonPage *page)
{
  uint64_t word = atomic_load (&page->word);

  return (CprBatonWord){ .state = (CprBatonState) (word >> 56),
                         .attempt = (unsigned) (word >> 48) & CPR_BATON_LAST_ATTEMPT,
                         .pid = (pid_t) (uint32_t) word };
}

/* All transitions that exist; any other could make two owners. `pid` and `attempt` say how the
 * rest of the word changes. */
static const struct
{
  CprBatonState from, to;
  enum
  {
    ANY_PID,
    SAME_PID
  } pid;
  unsigned attempt; /* added */
} transitions[] = {
  { CPR_BATON_OWNED, CPR_BATON_OFFERED, ANY_PID, 1 },  /* the owner: before its execve, or to a process that listens */
  { CPR_BATON_OFFERED, CPR_BATON_OWNED, SAME_PID, 0 }, /* the candidate: the commit; or the owner whose execve failed */
  { CPR_BATON_OFFERED, CPR_BATON_OFFERED, SAME_PID, 1 }, /* the candidate, before it executes the old program */
  { CPR_BATON_OFFERED, CPR_BATON_FENCED, ANY_PID, 0 },   /* the guardian: the candidate is dead, or has to be */
  { CPR_BATON_FENCED, CPR_BATON_OFFERED, SAME_PID, 1 },  /* the guardian, before it executes the old program */
  { CPR_BATON_FENCED, CPR_BATON_OWNED, SAME_PID, 0 },    /* the old program in transfer mode: it goes on */
  { CPR_BATON_OFFERED, CPR_BATON_PARKED, ANY_PID, 0 },   /* the last guardian: the attempts are used up */
  { CPR_BATON_FENCED, CPR_BATON_PARKED, SAME_PID, 0 },
  { CPR_BATON_PARKED, CPR_BATON_OFFERED, SAME_PID, 1 }, /* the guardian that holds the guest, told to try again */
};

bool
cpr_baton_is_legal (CprBatonWord from, CprBatonWord to)
{
  for (size_t i = 0; i < G_N_ELEMENTS (transitions); i++)
    if (transitions[i].from == from.state && transitions[i].to == to.state &&
        (transitions[i].pid == ANY_PID || from.pid == to.pid) &&
        MIN (from.attempt + transitions[i].attempt, CPR_BATON_LAST_ATTEMPT) == to.attempt)
      return true;
  return false;
}

bool
cpr_baton_move (CprBatonPage *page, CprBatonWord from, CprBatonWord to)
{
  uint64_t expected = pack (from);

  return cpr_baton_is_legal (from, to) && atomic_compare_exchange_strong (&page->word, &expected, pack (to));
}

bool
cpr_baton_add_guardian (CprBatonPage *page, pid_t guardian)
{
  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    {
      int32_t none = 0;

      if (atomic_compare_exchange_strong (&page->guardians[i], &none, guardian))
        {
          /* The place may have been that of a guardian that closed its fds and went. */
          atomic_fetch_and (&page->closed, ~(1u << i));
          return true;
        }
    }
  return false;
}

void
cpr_baton_remove_guardian (CprBatonPage *page, pid_t guardian)
{
  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    {
      int32_t mine = guardian;

      atomic_compare_exchange_strong (&page->guardians[i], &mine, 0);
    }
}

void
cpr_baton_set_closed (CprBatonPage *page, pid_t guardian)
{
  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    if (atomic_load (&page->guardians[i]) == guardian)
      atomic_fetch_or (&page->closed, 1u << i);
}

bool
cpr_baton_is_closed (const CprBatonPage *page, int n)
{
  return (atomic_load (&page->closed) >> n & 1) != 0;
}

void
cpr_baton_begin_time (CprBatonPage *page, uint64_t now_ns)
{
  atomic_store (&page->deadline_ns, page->timeout_ns != 0 ? now_ns + page->timeout_ns : 0);
}

void
cpr_baton_stop_time (CprBatonPage *page)
{
  atomic_store (&page->deadline_ns, 0);
}

void
cpr_baton_begin_attempt (CprBatonPage *page, uint64_t now_ns)
{
  cpr_baton_begin_time (page, now_ns);
  atomic_store (&page->attempt_ns, now_ns);
}

/* A way back goes through the same steps as the way there. A stamp that is older than the present
 * attempt was left by an earlier one. */
CprStep
cpr_baton_get_last_step (const CprBatonPage *page)
{
  CprStep last = CPR_STEP_EXEC;

  for (CprStep step = CPR_STEP_TAKE_UP; step <= CPR_STEP_COMMIT; step++)
    if (page->stamps[step] >= page->attempt_ns && page->stamps[step] != 0)
      last = step;
  return last;
}

const char *
cpr_baton_get_step_name (CprStep step)
{
  return cpr_step_get_name (step >= CPR_STEP_EXEC && step <= CPR_STEP_COMMIT ? step : CPR_STEP_EXEC);
}

char *
cpr_baton_describe_failure (const CprBatonPage *page)
{
  /* Other programs write the page, so the text may lack its end, and be any bytes. */
  g_autofree char *raw = g_strndup (page->reason, CPR_BATON_REASON_SIZE - 1);
  g_autofree char *said = cpr_text_make_line (raw, strlen (raw));
  const char *after = said[0] != '\0' ? "; before that: " : "";
  int status = page->status;
  uint32_t failed = page->failed_step;
  const char *step = cpr_baton_get_step_name (failed != 0 ? (CprStep) failed : cpr_baton_get_last_step (page));

  /* A guardian wrote the cause. Without one the candidate gave up by itself, and said why. */
  switch (atomic_load (&page->cause))
    {
    case CPR_BATON_CAUSE_TIMEOUT:
      return g_strdup_printf ("the new program gave no answer in %" G_GUINT64_FORMAT
                              " ms and was killed in step %s%s%s",
                              page->timeout_ns / 1000000, step, after, said);
    case CPR_BATON_CAUSE_DIED:
      if (status >= 0 && WIFSIGNALED (status))
        return g_strdup_printf ("the new program was killed by signal %d (%s) in step %s%s%s", WTERMSIG (status),
                                g_strsignal (WTERMSIG (status)), step, after, said);
      if (status >= 0)
        return g_strdup_printf ("the new program exited with status %d in step %s%s%s", WEXITSTATUS (status), step,
                                after, said);
      return g_strdup_printf ("the new program died in step %s, its status isn't known%s%s", step, after, said);
    default:
      return said[0] != '\0' ? g_steal_pointer (&said) : NULL;
    }
}

bool
cpr_baton_check_pause (const CprBatonPage *page, const char *step, GError **error)
{
  uint64_t passed = cpr_now_ns () - page->stamps[CPR_STEP_STOP];

  return page->pause_budget_ns == 0 || passed <= page->pause_budget_ns ||
         cpr_throw (error, CPR_ERROR_PAUSE_BUDGET,
                    "pause budget of %" G_GUINT64_FORMAT " ms: %" G_GUINT64_FORMAT " ms had passed in step %s",
                    page->pause_budget_ns / 1000000, (passed + 999999) / 1000000, step);
}

static bool
map_page (CprBaton *baton, GError **error)
{
  void *page = cpr_sys->mmap (NULL, BATON_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, baton->fd, 0);

  if (page == MAP_FAILED)
    return cpr_throw_errno (error, errno, "baton: mmap");
  baton->page = page;
  return true;
}

bool
cpr_baton_new (CprBaton *baton, GError **error)
{
  *baton = (CprBaton){ .fd = cpr_memfd_new ("libcpr-baton", 0) };
  if (baton->fd < 0)
    return cpr_throw_errno (error, errno, "baton: memfd_create");
  if (!cpr_fd_truncate (baton->fd, BATON_SIZE) || cpr_sys->fcntl (baton->fd, F_ADD_SEALS, BATON_SEALS) < 0)
    cpr_throw_errno (error, errno, "baton: a memfd of %d bytes", BATON_SIZE);
  else if (map_page (baton, error))
    {
      baton->page->magic = BATON_MAGIC;
      atomic_store (&baton->page->word, pack ((CprBatonWord){ CPR_BATON_OWNED, 0, getpid () }));
      return true;
    }
  cpr_baton_clear (baton);
  return false;
}

bool
cpr_baton_open (CprBaton *baton, int fd, GError **error)
{
  int seals = cpr_sys->fcntl (fd, F_GET_SEALS, 0);
  struct stat st;

  *baton = (CprBaton){ .fd = fd };
  if (seals < 0 || (seals & BATON_SEALS) != BATON_SEALS)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "baton: fd %d should be a memfd with seals 0x%x, and has 0x%x", fd,
                      (unsigned) BATON_SEALS, seals >= 0 ? (unsigned) seals : 0);
  if (cpr_sys->fstat (fd, &st) < 0 || st.st_size != BATON_SIZE)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "baton: fd %d should be a file of %d bytes, and isn't", fd,
                      (int) BATON_SIZE);
  if (!map_page (baton, error))
    return false;
  if (baton->page->magic != BATON_MAGIC)
    {
      cpr_sys->munmap (baton->page, BATON_SIZE);
      baton->page = NULL;
      return cpr_throw (error, CPR_ERROR_CORRUPT, "baton: fd %d should begin with a baton's magic number, and doesn't",
                        fd);
    }
  return true;
}

void
cpr_baton_clear (CprBaton *baton)
{
  if (baton->page != NULL)
    cpr_sys->munmap (baton->page, BATON_SIZE);
  baton->page = NULL;
  cpr_fd_clear (&baton->fd);
}

bool
cpr_baton_throw_lost (const CprBatonPage *page, GError **error)
{
  return cpr_throw (error, CPR_ERROR_NOT_OWNER, "baton: it should be process %d's, and is process %d's", getpid (),
                    cpr_baton_get (page).pid);
}
