/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The new program of a transfer with an assigned device: a forked process, which answers with an
 * exit code. No check in it ends a test. */
#include "vfio-successor.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vfio.h>

static VfioProgram new;

static bool
is_attached (void)
{
  for (guint i = 0; i < sim.n_mappings; i++)
    if (!sim.mappings[i].valid || sim.mappings[i].mm != sim_mm)
      return false;
  return sim.locked[sim_mm] == new.container->dma.total &&sim.n_mappings > 0;
}

/* The calls are those of the old program, and none of them reaches the kernel. */
static int
build (void)
{
  unsigned ioctls = sim.ioctls;

  new.ram = cpr_ram_new (new.session, "pc.ram", RAM_SIZE, NULL, NULL);
  new.container = cpr_vfio_container_new (new.session, "c", NULL, NULL);
  if (new.ram == NULL || new.container == NULL)
    return 20;
  new.device = cpr_vfio_device_new (new.container, "d", sim_path ("0000:00:04.0"), NULL, NULL);
  if (new.device == NULL)
    return 21;
  if (!vfio_map_all (&new, NULL))
    return 22;
  if (cpr_vfio_irq_open (new.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, NULL) < 0 ||
      !cpr_vfio_irq_is_enabled (new.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER))
    return 23;
  return sim.ioctls == ioctls ? 0 : 24;
}

static void
be_cancelled (void)
{
  kill (getppid (), SIGUSR2);
  for (;;)
    pause ();
}

static int
end (VfioEnding ending)
{
  g_autoptr (GError) reason = g_error_new_literal (CPR_ERROR, CPR_ERROR_CALLBACK, "the disk is full");
  uint64_t count = 0;

  if (ending == CANCELLED)
    be_cancelled ();
  if (ending == DIES)
    raise (SIGKILL);
  if (ending == GIVES_UP)
    {
      cpr_session_abort (new.session, reason, NULL);
      cpr_session_free (new.session);
      return 3;
    }
  sim.fail_at = sim.fail_until = 0; /* from here on it is any VMM */
  if (!cpr_session_start (new.session, NULL) || !new.guest.running)
    return 4;
  /* The interrupts that came in between are there. */
  if (read (cpr_vfio_irq_get_fd (new.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER), &count, sizeof count) !=
          sizeof count ||
      count != 3)
    return 5;
  if (!is_attached ())
    return 6;
  cpr_session_free (new.session);
  return VFIO_SUCCESSOR_RUNS_IT;
}

static bool
map_more (CprSession *session, CprEvent event, CprMode mode, void *user_data, GError **unused)
{
  return event != CPR_EVENT_DONE || vfio_map (&new, 600, 0, 1, unused);
}

static int
run_new (const char *uri, VfioEnding ending)
{
  CprSessionConfig config;
  int failed;

  sim_forked ();
  guest_init (&new.guest);
  config = guest_config (&new.guest, MACHINE_NAME);
  config.incoming = uri;
  new.session = cpr_session_new (&config, NULL);
  if (new.session == NULL)
    return 1;
  failed = build ();
  if (failed != 0)
    return failed;
  if (ending == MAPS_MORE && cpr_notifier_add (new.session, CPR_MODES_ALL, 0, map_more, NULL, NULL) == 0)
    return 25;
  if (ending == CANCELLED_EARLY)
    be_cancelled ();
  if (!cpr_session_load (new.session, NULL))
    {
      cpr_session_free (new.session);
      return 2;
    }
  return end (ending);
}

void
vfio_successor_start (VfioSuccessor *successor, VfioEnding ending)
{
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, successor->ends), 0);
  successor->pid = fork ();
  if (successor->pid == 0)
    {
      close (successor->ends[0]);
      g_snprintf (successor->uri, sizeof successor->uri, "unix-fd:%d", successor->ends[1]);
      _exit (run_new (successor->uri, ending));
    }
  close (successor->ends[1]);
  g_snprintf (successor->uri, sizeof successor->uri, "unix-fd:%d", successor->ends[0]);
}

int
vfio_successor_end (VfioSuccessor *successor, VfioEnding ending)
{
  int status;

  close (successor->ends[0]);
  if (ending == CANCELLED_EARLY) /* nobody else does: it hasn't had anything yet */
    kill (successor->pid, SIGKILL);
  ck_assert_int_eq (waitpid (successor->pid, &status, 0), successor->pid);
  return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}
