/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables that a session fills, and their state as it arrives in the new program. */
#include "machine.h"

#include <fcntl.h>
#include <unistd.h>

void
machine_init (Machine *machine)
{
  static char *argv[] = { (char *) "unit", (char *) "--ram", (char *) "", NULL };
  const CprRamOptions options = { .size = sizeof options, .flags = CPR_RAM_DONT_DUMP };
  GError *error = NULL;

  *machine = (Machine){ .serial = serial_example, .disk = disk_example };
  cpr_fd_table_init (&machine->fds);
  cpr_ram_table_init (&machine->ram);
  cpr_vfio_table_init (&machine->vfio);
  machine->vfio.fds = &machine->fds;
  machine->vfio.ram = &machine->ram;
  cpr_device_table_init (&machine->devices);
  ck_assert (cpr_program_record (&machine->program, argv, &error));
  ck_assert_int_eq (pipe2 (machine->pipe, O_CLOEXEC), 0);
  ck_assert (cpr_fd_table_add (&machine->fds, "console", 0, machine->pipe[0], &error));
  ck_assert (cpr_fd_table_add (&machine->fds, "console", 1, machine->pipe[1], &error));
  machine->block = cpr_ram_table_add (&machine->ram, &machine->fds, "pc.ram", 4 * PAGE, &options, &error);
  ck_assert_ptr_nonnull (machine->block);
  ck_assert (cpr_device_table_add (&machine->devices, "com1", &serial_type, &machine->serial, &error));
  ck_assert (cpr_device_table_add (&machine->devices, "sda", &disk_type, &machine->disk, &error));
  assert_no_error (error);
}

void
machine_clear (Machine *machine)
{
  cpr_device_table_clear (&machine->devices);
  cpr_vfio_table_clear (&machine->vfio);
  cpr_ram_table_clear (&machine->ram);
  cpr_fd_table_clear (&machine->fds);
  cpr_program_clear (&machine->program);
  cpr_fd_clear (&machine->pipe[0]);
  cpr_fd_clear (&machine->pipe[1]);
}

void
machine_head (CprManifest *head)
{
  *head = (CprManifest){
    .vm_name = (char *) MACHINE_NAME,
    .uid = geteuid (),
    .pid = (uint32_t) getpid (),
    .generation = 7,
    .run_state = CPR_RUN_STATE_RUNNING,
  };
  ck_assert (cpr_boot_id_get (head->boot_id, NULL));
}

void
machine_write (Machine *machine, const CprManifest *head, int fd, CprWriter *writer)
{
  CprCodec codec = cpr_fd_table_get_codec (&machine->fds);
  CprSchemaBuilder builder;

  cpr_writer_init (writer, fd);
  cpr_schema_builder_init (&builder);
  cpr_manifest_write_vm (head, writer);
  cpr_manifest_write_program (&machine->program, &head->successor, writer);
  cpr_manifest_write_tables (&machine->fds, &machine->ram, writer);
  cpr_manifest_write_vfio (&machine->vfio, &machine->ram, writer);
  cpr_device_table_write_schema (&machine->devices, &builder, writer);
  ck_assert (cpr_device_table_write_sections (&machine->devices, &builder, &codec, writer, NULL));
  cpr_schema_builder_clear (&builder);
}

void
machine_write_to_memory (Machine *machine, const CprManifest *head, CprWriter *writer)
{
  machine_write (machine, head, -1, writer);
  ck_assert (cpr_writer_finish (writer));
}

static void
prepare (Offer *offer, Machine *machine)
{
  static char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = { .program = argv[0], .argv = argv, .flags = CPR_UPDATE_NO_GUARDIAN | CPR_UPDATE_NO_RESCUE };
  const CprCarrierPlan plan = {
    .update = &update, .vm_name = MACHINE_NAME, .self = &machine->program, .fds = &machine->fds
  };
  GError *error = NULL;

  offer->exec = (CprExecve *) cpr_carrier_exec.open (&plan, &error);
  assert_no_error (error);
  offer->state_fd = offer->exec->state_fd;
  offer->baton_fd = offer->exec->baton.fd;
  offer->release_fd = offer->exec->release_fd;
  offer->exe_fd = machine->program.exe_fd;
}

static void
seal_and_offer (Offer *offer, CprWriter *writer)
{
  const CprBatonWord mine = { CPR_BATON_OWNED, 0, getpid () }, offered = { CPR_BATON_OFFERED, 1, getpid () };

  ck_assert (cpr_carrier_exec.seal (&offer->exec->base, writer, NULL));
  ck_assert (cpr_baton_move (offer->exec->baton.page, mine, offered));
}

void
offer_make (Offer *offer, Machine *machine, const CprManifest *head)
{
  CprWriter writer;

  prepare (offer, machine);
  machine_write (machine, head, offer->exec->state_fd, &writer);
  seal_and_offer (offer, &writer);
  cpr_writer_clear (&writer);
}

void
offer_clear (Offer *offer, Machine *machine)
{
  int *const fds[] = { &offer->exec->state_fd, &offer->exec->baton.fd, &offer->exec->release_fd,
                       &machine->program.exe_fd };

  /* The program that took the state up has closed them. */
  for (size_t i = 0; i < G_N_ELEMENTS (fds); i++)
    if (*fds[i] >= 0 && fcntl (*fds[i], F_GETFD) < 0)
      *fds[i] = -1;
  cpr_carrier_exec.close (&offer->exec->base);
  machine_clear (machine);
}
