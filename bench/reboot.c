/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Measures reboot mode beside `cp --sparse=always` and a sync of a file like the one that it
 * makes, on the same disk, in turns: saving, how much disk the file takes, and taking it up, by
 * mapping its RAM and by reading it.
 *
 *     make bench-reboot BENCH_ARGS='--runs 5 --size 4096 --touched 1024 --folder .'
 *
 * Prints a line for each run, then medians, and writes bench-reboot.json. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define MIB      (1024ul * 1024)
#define RUNS_MAX 100

typedef struct
{
  double save_s, cp_s, cp_alone_s, map_ms, read_s, disk_gib;
} Run;

static gint n_runs = 5, size_mib = 4096, touched_mib = 1024;
static char *folder;

static double
now (void)
{
  struct timespec time;

  clock_gettime (CLOCK_MONOTONIC, &time);
  return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void
fail (const char *what, const GError *error)
{
  fprintf (stderr, "bench/reboot: %s: %s\n", what, error != NULL ? error->message : "failed");
  exit (1);
}

static bool
stop (void *user_data, GError **error)
{
  return true;
}

static void
start (void *user_data)
{
}

/* The VM has RAM and nothing else. */
static CprSession *
begin (const char *incoming, unsigned flags, CprRamBlock **ram)
{
  const CprSessionConfig config = {
    .size = sizeof config, .name = "bench", .stop = stop, .start = start, .incoming = incoming, .incoming_flags = flags
  };
  GError *error = NULL;
  CprSession *session = cpr_session_new (&config, &error);

  if (session == NULL)
    fail ("cpr_session_new", error);
  *ram = cpr_ram_new (session, "ram", (size_t) size_mib * MIB, NULL, &error);
  if (*ram == NULL || !cpr_session_load (session, &error) || !cpr_session_start (session, &error))
    fail ("start", error);
  return session;
}

/* The bytes are random, so that no file system compresses them. They lie in pieces, with equal gaps
 * of zeros between them. */
static void
touch (uint8_t *ram)
{
  size_t n_pieces = 16, stride = (size_t) size_mib * MIB / n_pieces, len = (size_t) touched_mib * MIB / n_pieces;
  uint64_t state = 88172645463325252u;

  for (size_t piece = 0; piece < n_pieces; piece++)
    for (size_t i = 0; i < len; i += sizeof state)
      {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy (ram + piece * stride + i, &state, sizeof state);
      }
}

static double
save (CprSession *session, const char *path)
{
  g_autofree char *uri = g_strconcat ("file:", path, NULL);
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_REBOOT, .uri = uri };
  GError *error = NULL;
  double before = now ();

  if (!cpr_session_update (session, &update, &error))
    fail ("save", error);
  return now () - before;
}

static double
run_command (const char *command)
{
  double before = now ();
  int status = system (command); /* the shell's start is a millisecond */

  if (status != 0)
    fail (command, NULL);
  return now () - before;
}

static double
copy (const char *path, double *alone)
{
  g_autofree char *to = g_strconcat (path, ".copy", NULL);
  g_autofree char *cp = g_strdup_printf ("cp --sparse=always '%s' '%s'", path, to);
  g_autofree char *sync = g_strdup_printf ("sync '%s'", to);

  *alone = run_command (cp);
  double synced = run_command (sync);
  unlink (to);
  return *alone + synced;
}

static double
take_up (const char *path, unsigned flags, bool keep)
{
  g_autofree char *uri = g_strconcat ("file:", path, NULL);
  g_autofree char *kept = g_strconcat (path, ".kept", NULL);
  CprRamBlock *ram;
  double before, after;

  if (keep && link (path, kept) < 0)
    fail ("link", NULL);
  before = now ();
  CprSession *session = begin (uri, flags, &ram);
  after = now ();
  cpr_session_free (session);
  if (keep && rename (kept, path) < 0)
    fail ("rename", NULL);
  return after - before;
}

static void
measure (Run *run, const char *path)
{
  CprRamBlock *ram;
  CprSession *session = begin (NULL, 0, &ram);
  struct stat st;

  touch (cpr_ram_block_get_vaddr (ram));
  sync ();
  run->save_s = save (session, path);
  cpr_session_free (session);
  stat (path, &st);
  run->disk_gib = (double) st.st_blocks * 512 / 1024 / MIB;
  run->cp_s = copy (path, &run->cp_alone_s);
  run->map_ms = take_up (path, CPR_INCOMING_MAP_RAM, true) * 1000;
  run->read_s = take_up (path, 0, false);
}

static int
compare (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
median (const Run *runs, size_t offset)
{
  double values[RUNS_MAX];

  for (int i = 0; i < n_runs; i++)
    memcpy (&values[i], (const char *) &runs[i] + offset, sizeof values[i]);
  qsort (values, (size_t) n_runs, sizeof *values, compare);
  return (values[(n_runs - 1) / 2] + values[n_runs / 2]) / 2;
}

#define MEDIAN(member) median (runs, G_STRUCT_OFFSET (Run, member))

static void
print (const Run *runs)
{
  FILE *json = fopen ("bench-reboot.json", "w");
  double save = MEDIAN (save_s), cp = MEDIAN (cp_s);

  printf ("median: saved in %.2f s, cp and sync %.2f s (cp alone %.2f s): %.0f %% of its speed; file %.3f GiB; up by "
          "mapping in %.1f ms, "
          "by reading in %.2f s\n",
          save, cp, MEDIAN (cp_alone_s), 100 * cp / save, MEDIAN (disk_gib), MEDIAN (map_ms), MEDIAN (read_s));
  if (json == NULL)
    return;
  fprintf (json,
           "{ \"size_mib\": %d, \"touched_mib\": %d, \"runs\": %d, \"save_s\": %.3f, \"cp_and_sync_s\": %.3f, "
           "\"cp_s\": %.3f, "
           "\"speed_of_cp\": %.3f, \"disk_gib\": %.4f, \"map_ms\": %.2f, \"read_s\": %.3f }\n",
           size_mib, touched_mib, n_runs, save, cp, MEDIAN (cp_alone_s), cp / save, MEDIAN (disk_gib), MEDIAN (map_ms),
           MEDIAN (read_s));
  fclose (json);
}

int
main (int argc, char **argv)
{
  const GOptionEntry entries[] = {
    { "runs", 0, 0, G_OPTION_ARG_INT, &n_runs, "how many", NULL },
    { "size", 0, 0, G_OPTION_ARG_INT, &size_mib, "MiB of RAM", NULL },
    { "touched", 0, 0, G_OPTION_ARG_INT, &touched_mib, "MiB of that with something in it", NULL },
    { "folder", 0, 0, G_OPTION_ARG_FILENAME, &folder, "where the files are made", NULL },
    { NULL, 0, 0, 0, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autofree char *path = NULL;
  GError *error = NULL;
  Run runs[RUNS_MAX];

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || n_runs < 1 || n_runs > RUNS_MAX)
    fail ("options", error);
  path = g_strdup_printf ("%s/bench-reboot-%d", folder != NULL ? folder : ".", getpid ());
  for (int i = 0; i < n_runs; i++)
    {
      const Run *run = &runs[i];

      measure (&runs[i], path);
      printf ("saved in %.2f s, cp and sync %.2f s (cp alone %.2f s), file %.3f GiB, up by mapping in %.1f ms, by "
              "reading in %.2f s\n",
              run->save_s, run->cp_s, run->cp_alone_s, run->disk_gib, run->map_ms, run->read_s);
      fflush (stdout);
    }
  print (runs);
  return 0;
}
