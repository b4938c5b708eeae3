/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 05-vfio: an assigned device stays assigned over an update.
 *
 * `05-vfio 0000:00:04.0` opens that device, which must be bound to vfio-pci, and maps RAM for
 * its DMA; without an argument there is a device that does nothing. The program replaces itself,
 * a few times. Before each update an interrupt comes in, which is made up here; the next program
 * finds it in the eventfd. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define N_UPDATES 3
#define MIB       ((size_t) 1024 * 1024)
#define MSI       1 /* VFIO_PCI_MSI_IRQ_INDEX of linux/vfio.h */

static bool
stop (void *user_data, GError **error)
{
  return true;
}

static void
start (void *user_data)
{
}

/* The same lines create and take over. */
static int
build (CprSession *session, const char *address, GError **error)
{
  CprVfioContainerOptions options = { .size = sizeof options,
                                      .backend = address != NULL ? CPR_VFIO_AUTO : CPR_VFIO_NONE };
  CprRamBlock *ram = cpr_ram_new (session, "ram", 64 * MIB, NULL, error);
  CprVfioContainer *container = ram != NULL ? cpr_vfio_container_new (session, "vfio0", &options, error) : NULL;
  CprVfioDevice *device = NULL;

  if (container != NULL)
    device = cpr_vfio_device_new (container, "nic0", address != NULL ? address : "none", NULL, error);
  if (device == NULL || !cpr_dma_map (container, 0, ram, 0, 64 * MIB, CPR_DMA_READ | CPR_DMA_WRITE, error))
    return -1;
  return cpr_vfio_irq_open (device, MSI, 0, CPR_VFIO_IRQ_TRIGGER, error);
}

int
main (int argc, char **argv)
{
  CprSessionConfig config = { .size = sizeof config, .name = "example", .stop = stop, .start = start, .argv = argv };
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };
  CprUpdateInfo info = { .size = sizeof info };
  g_autoptr (CprSession) session = NULL;
  g_autoptr (GError) error = NULL;
  uint64_t count = 0, one = 1;
  int irq = -1;

  session = cpr_session_new (&config, &error);
  if (session != NULL)
    irq = build (session, argc > 1 ? argv[1] : NULL, &error);
  if (irq < 0 || !cpr_session_load (session, &error) || !cpr_session_start (session, &error))
    {
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }

  cpr_session_get_update_info (session, &info);
  if (read (irq, &count, sizeof count) < 0)
    count = 0; /* none came in */
  printf ("process %d: device after %d updates, %d interrupts came in between\n", getpid (), (int) info.generation,
          (int) count);
  fflush (stdout);
  if (info.generation < N_UPDATES)
    {
      if (write (irq, &one, sizeof one) == sizeof one)
        cpr_session_update (session, &update, &error); /* returns only on failure */
      fprintf (stderr, "%s: %s\n", argv[0], error != NULL ? error->message : "eventfd");
      return EXIT_FAILURE;
    }
  return EXIT_SUCCESS;
}
