/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* small-stack MODE FILE: a VMM that does everything in a thread whose stack has 64 KiB: a
 * preflight, an update that fails at the execve, one that works, in MODE exec or reboot, and the
 * take-up in the new program. Prints how many bytes of stack each call took below its caller. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define STACK_SIZE (64 * 1024)
#define NEEDED     (16 * 1024) /* at most, as session.h says */
#define PAINT      0xa5
#define MARGIN     512 /* of the painter's own frame, and what the compiler may still put below that */

/* As deep as structs may be nested. */
typedef struct
{
  uint32_t value;
} Level0;

static const CprField level0_fields[] = { CPR_FIELD (Level0, value), CPR_FIELD_END };
static const CprStruct level0 = { "Level0", sizeof (Level0), level0_fields };

#define LEVEL(n, below)                                                                                        \
  typedef struct                                                                                               \
  {                                                                                                            \
    Level##below next;                                                                                         \
  } Level##n;                                                                                                  \
  static const CprField level##n##_fields[] = { CPR_FIELD_STRUCT (Level##n, next, Level##below, level##below), \
                                                CPR_FIELD_END };                                               \
  static const CprStruct level##n = { "Level" #n, sizeof (Level##n), level##n##_fields }

LEVEL (1, 0);
LEVEL (2, 1);
LEVEL (3, 2);
LEVEL (4, 3);
LEVEL (5, 4);
LEVEL (6, 5);
LEVEL (7, 6);
LEVEL (8, 7);
LEVEL (9, 8);
LEVEL (10, 9);
LEVEL (11, 10);
LEVEL (12, 11);
LEVEL (13, 12);
LEVEL (14, 13);

typedef struct
{
  uint32_t count;
  uint8_t queue[4096];
  int fd;
  Level14 nested;
} Disk;

static const CprField disk_fields[] = {
  CPR_FIELD (Disk, count), CPR_FIELD_COUNTED (Disk, queue, count),
  CPR_FIELD_FD (Disk, fd), CPR_FIELD_STRUCT (Disk, nested, Level14, level14),
  CPR_FIELD_END,
};

static const CprDeviceType disk_type = {
  .size = sizeof (CprDeviceType),
  .name = "disk",
  .version = 1,
  .minimum_version = 1,
  .state = { "Disk", sizeof (Disk), disk_fields },
};

typedef struct
{
  int argc;
  char **argv;
  int result;
  uint8_t *lowest; /* of the stack */
  size_t most;
} Vmm;

static void __attribute__ ((noinline, no_sanitize ("address"))) paint (Vmm *vmm)
{
  volatile uint8_t *end = (uint8_t *) __builtin_frame_address (0) - MARGIN;

  for (volatile uint8_t *at = vmm->lowest; at < end; at++)
    *at = PAINT;
}

static void __attribute__ ((noinline, no_sanitize ("address"))) measure (Vmm *vmm, const char *what)
{
  const volatile uint8_t *at = vmm->lowest;
  size_t used;

  while (*at == PAINT)
    at++;
  used = (size_t) ((uint8_t *) __builtin_frame_address (0) - at);
  vmm->most = MAX (vmm->most, used);
  printf ("%s: %zu bytes\n", what, used);
  fflush (stdout);
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

static int
open_image (const char *name, int index, void *user_data, GError **error)
{
  return memfd_create ("image", MFD_CLOEXEC);
}

static void
declare (CprInventory *inventory, void *user_data)
{
  cpr_inventory_add_fd (inventory, "image", 0);
  cpr_inventory_add_ram (inventory, "ram", 1 << 20);
  cpr_inventory_add_device (inventory, "disk", &disk_type);
}

/* The same for a fresh start and for a take-up. */
static CprSession *
set_up (Vmm *vmm, Disk *disk, GError **error)
{
  static const CprDeviceType *const types[] = { &disk_type, NULL };
  const CprSessionConfig config = { .size = sizeof config,
                                    .name = "vm",
                                    .stop = stop,
                                    .start = start,
                                    .argv = vmm->argv,
                                    .device_types = types,
                                    .declare = declare,
                                    .incoming = vmm->argc > 3 ? vmm->argv[3] : NULL };
  CprSession *session;
  bool ok;

  paint (vmm);
  session = cpr_session_new (&config, error);
  measure (vmm, "cpr_session_new");
  if (session == NULL)
    return NULL;
  disk->fd = cpr_fd_open (session, "image", 0, open_image, NULL, error);
  ok = disk->fd >= 0 && cpr_ram_new (session, "ram", 1 << 20, NULL, error) != NULL &&
       cpr_device_add (session, "disk", &disk_type, disk, error);
  paint (vmm);
  ok = ok && cpr_session_load (session, error);
  measure (vmm, "cpr_session_load");
  paint (vmm);
  ok = ok && cpr_session_start (session, error);
  measure (vmm, "cpr_session_start");
  return ok ? session : NULL;
}

/* An update that fails late: the program is there, may be executed and isn't one. */
static bool
fail_to_update (Vmm *vmm, CprSession *session)
{
  char *const argv[] = { vmm->argv[2], NULL };
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv, .flags = CPR_UPDATE_NO_PREFLIGHT
  };
  g_autoptr (GError) error = NULL;
  bool ok;

  paint (vmm);
  ok = cpr_session_update (session, &update, &error);
  measure (vmm, "cpr_session_update in mode exec");
  return !ok && strstr (error->message, "execve") != NULL;
}

static bool
go (Vmm *vmm, CprSession *session, GError **error)
{
  g_autofree char *uri = g_strconcat ("file:", vmm->argv[2], ".state", NULL);
  char *const argv[] = { vmm->argv[0], (char *) "new", vmm->argv[2], NULL };
  const CprUpdate exec = { .size = sizeof exec, .mode = CPR_MODE_EXEC, .argv = argv },
                  reboot = { .size = sizeof reboot, .mode = CPR_MODE_REBOOT, .uri = uri };
  bool ok;

  if (strcmp (vmm->argv[1], "reboot") == 0)
    {
      paint (vmm);
      ok = cpr_session_update (session, &reboot, error);
      measure (vmm, "cpr_session_update in mode reboot");
      return ok;
    }
  paint (vmm);
  ok = cpr_session_preflight (session, &exec, NULL, error);
  measure (vmm, "cpr_session_preflight");
  return ok && cpr_session_update (session, &exec, error);
}

static void *
live (void *data)
{
  g_autoptr (CprSession) session = NULL;
  g_autoptr (GError) error = NULL;
  Vmm *vmm = data;
  Disk disk = { .count = 5 };
  pthread_attr_t attributes;
  size_t size, guard;
  void *lowest;
  bool ok;

  pthread_getattr_np (pthread_self (), &attributes);
  pthread_attr_getstack (&attributes, &lowest, &size);
  pthread_attr_getguardsize (&attributes, &guard);
  pthread_attr_destroy (&attributes);
  vmm->lowest = (uint8_t *) lowest + guard;

  session = set_up (vmm, &disk, &error);
  ok = session != NULL &&
       (cpr_session_is_incoming (session) || (fail_to_update (vmm, session) && go (vmm, session, &error)));
  if (!ok)
    fprintf (stderr, "small-stack: %s\n", error != NULL ? error->message : "not as expected");
  printf ("%s: at most %zu bytes\n", vmm->argv[1], vmm->most);
  vmm->result = ok && vmm->most <= NEEDED ? EXIT_SUCCESS : EXIT_FAILURE;
  return NULL;
}

int
main (int argc, char **argv)
{
  Vmm vmm = { .argc = argc, .argv = argv, .result = EXIT_FAILURE };
  pthread_attr_t attributes;
  pthread_t thread;

  pthread_attr_init (&attributes);
  if (pthread_attr_setstacksize (&attributes, STACK_SIZE) != 0 ||
      pthread_create (&thread, &attributes, live, &vmm) != 0)
    return 77;
  pthread_join (thread, NULL);
  return vmm.result;
}
