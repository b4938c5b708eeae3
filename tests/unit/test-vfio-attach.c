/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Assigned devices from one program to the next: they are taken over without a call, and attached
 * at the end. Where that fails half way, the next program puts them right. */
#include "vfio-programs.h"

#include "vfio/device.h"
#include "vfio/irq.h"

#include <errno.h>
#include <unistd.h>

#include <linux/vfio.h>

static VfioProgram old, new;
static CprWriter state;
static GError *error;

static void
setup (void)
{
  error = NULL;
  sim_begin ();
}

static void
teardown (void)
{
  cpr_writer_clear (&state);
  sim_end ();
}

static void
start_old (CprVfioBackend backend)
{
  vfio_program_start (&old, backend);
  ck_assert_msg (vfio_map_all (&old, &error), "%s", error != NULL ? error->message : "");
}

static void
hand_over (void)
{
  vfio_program_save (&old, &state);
  vfio_program_leave (&old);
  vfio_program_take_up (&new, &state);
}

/* Does the last step of cpr_session_load(). @way_back: in the old program, executed again. */
static bool
attach (VfioProgram *program, bool way_back)
{
  guint lost = 0;

  return cpr_vfio_table_check_claims (&program->session->vfio, false, &error) &&
         cpr_vfio_table_reattach (&program->session->vfio, way_back ? &lost : NULL, &error);
}

/* The program fails or dies; the next one takes up the same state. */
static void
next_program (void)
{
  vfio_program_leave (&new);
  vfio_program_take_up (&new, &state);
  vfio_program_claim (&new);
  ck_assert (vfio_map_all (&new, &error));
}

static const CprVfioBackend backends[] = { CPR_VFIO_TYPE1, CPR_VFIO_IOMMUFD, CPR_VFIO_NONE };

START_TEST (an_identical_map_is_kept_without_a_call)
{
  CprVfioBackend backend = backends[_i];
  unsigned ioctls;

  start_old (backend);
  hand_over ();
  ioctls = sim.ioctls;
  vfio_program_claim (&new);
  ck_assert_int_eq (cpr_vfio_container_get_backend (new.container), backend);
  ck_assert (vfio_map_all (&new, &error));
  ck_assert_uint_eq (sim.ioctls, ioctls);
  ck_assert (attach (&new, false));
  if (backend != CPR_VFIO_NONE)
    vfio_assert_attached (&new);
  ck_assert_uint_eq (sim.vaddr_maps, backend == CPR_VFIO_TYPE1 ? N_MAPS : 0);
  ck_assert_uint_eq (sim.change_process, backend == CPR_VFIO_IOMMUFD ? 1 : 0);
  ck_assert (!vfio_map (&new, 0, 0, 1, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "was taken before");
  vfio_program_clear (&new);
}
END_TEST

/* What a block has got since is mapped by itself, and the next program claims that mapping too. */
START_TEST (ram_that_grew_is_mapped_for_dma_part_by_part)
{
  start_old (backends[_i]);
  ck_assert (!vfio_map (&old, 100, RAM_PAGES, 8, &error));
  assert_error (&error, CPR_ERROR_INVALID, "RAM block 'pc.ram'");
  ck_assert_msg (cpr_ram_grow (old.session, old.ram, RAM_SIZE + 8 * PAGE, &error), "%s", error->message);
  ck_assert_msg (vfio_map (&old, 100, RAM_PAGES, 8, &error), "%s", error->message);
  hand_over ();
  vfio_program_claim (&new);
  ck_assert_uint_eq (cpr_ram_block_get_size (new.ram), RAM_SIZE + 8 * PAGE);
  ck_assert (vfio_map_all (&new, &error));
  ck_assert_msg (vfio_map (&new, 100, RAM_PAGES, 8, &error), "%s", error->message);
  ck_assert (attach (&new, false));
  if (backends[_i] != CPR_VFIO_NONE)
    vfio_assert_attached (&new);
  vfio_program_clear (&new);
}
END_TEST

START_TEST (back_to_back_updates_leave_nothing)
{
  start_old (CPR_VFIO_TYPE1);
  hand_over ();
  for (int i = 0; i < 10; i++)
    {
      vfio_program_claim (&new);
      ck_assert (vfio_map_all (&new, &error));
      ck_assert (attach (&new, false));
      vfio_assert_attached (&new);
      cpr_writer_clear (&state);
      vfio_program_save (&new, &state);
      vfio_program_leave (&new);
      vfio_program_take_up (&new, &state);
    }
  vfio_program_claim (&new);
  vfio_program_clear (&new);
  ck_assert_int_eq (sim.open_containers + sim.open_groups + sim.open_devices, 0);
}
END_TEST

START_TEST (another_map_than_in_the_state_is_named)
{
  static const struct
  {
    uint64_t page, ram_page, n_pages;
    int code;
    const char *text;
  } cases[] = { { 16, 2, 8, CPR_ERROR_MISMATCH, "which are in the state" },
                { 16, 1, 4, CPR_ERROR_MISMATCH, "which are in the state" },
                { 15, 1, 8, CPR_ERROR_MISMATCH, "which are in the state" },
                { 40, 1, 8, CPR_ERROR_NOT_FOUND, "isn't in the state" } };
  unsigned ioctls;

  start_old (CPR_VFIO_TYPE1);
  hand_over ();
  vfio_program_claim (&new);
  ioctls = sim.ioctls;
  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      ck_assert (!vfio_map (&new, cases[i].page, cases[i].ram_page, cases[i].n_pages, &error));
      assert_error (&error, cases[i].code, cases[i].text);
    }
  ck_assert (!cpr_dma_map (new.container, 0, new.ram, 0, PAGE, CPR_DMA_READ, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "flags 1) against");
  ck_assert (!cpr_dma_unmap (new.container, 0, PAGE, &error)); /* the old program has it too */
  assert_error (&error, CPR_ERROR_STATE, "not permitted in a session that is incoming");
  ck_assert_uint_eq (sim.ioctls, ioctls);
  ck_assert (vfio_map_all (&new, &error));
  ck_assert (attach (&new, false));
  vfio_program_clear (&new);
}
END_TEST

START_TEST (an_extra_map_is_an_error_or_unmapped_when_asked)
{
  const CprVfioContainerOptions options = { .size = sizeof options, .unclaimed = CPR_DMA_UNCLAIMED_UNMAP };

  start_old (CPR_VFIO_TYPE1);
  hand_over ();
  vfio_program_claim (&new);
  ck_assert (vfio_map (&new, 0, 0, 1, &error));
  ck_assert (!attach (&new, false));
  assert_error (&error, CPR_ERROR_MISMATCH, "32768 bytes at 0x10000 is in the state, and nobody took it");
  vfio_program_leave (&new);
  vfio_program_take_up (&new, &state);
  new.ram = cpr_ram_new (new.session, "pc.ram", RAM_SIZE, NULL, &error);
  new.container = cpr_vfio_container_new (new.session, "c", &options, &error);
  ck_assert_ptr_nonnull (cpr_vfio_device_new (new.container, "d", sim_path ("0000:00:04.0"), NULL, &error));
  ck_assert (vfio_map (&new, 0, 0, 1, &error));
  ck_assert (attach (&new, false));
  vfio_assert_attached (&new); /* a rollback would still find them */
  ck_assert_uint_eq (sim.n_mappings, N_MAPS);
  cpr_session_finish_vfio (new.session);
  ck_assert_uint_eq (sim.n_mappings, 1);
  vfio_assert_attached (&new);
  vfio_program_clear (&new);
}
END_TEST

START_TEST (what_nobody_takes_and_what_is_another_is_named)
{
  g_autofree char *unclaimed = NULL;
  CprVfioContainer *container;
  const CprVfioContainerOptions options = { .size = sizeof options, .backend = CPR_VFIO_IOMMUFD };

  start_old (CPR_VFIO_TYPE1);
  hand_over ();
  unclaimed = cpr_vfio_table_describe_unclaimed (&new.session->vfio);
  ck_assert_str_eq (unclaimed, "VFIO container 'c', VFIO device 'd'");
  ck_assert_ptr_null (cpr_vfio_container_new (new.session, "x", NULL, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "VFIO container 'x': it isn't in the state");
  ck_assert_ptr_null (cpr_vfio_container_new (new.session, "c", &options, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "back end is type1 in the state, IOMMUFD here");
  container = cpr_vfio_container_new (new.session, "c", NULL, &error);
  ck_assert_ptr_null (cpr_vfio_container_new (new.session, "c", NULL, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "it was taken before");
  ck_assert_ptr_null (cpr_vfio_device_new (container, "x", sim_path ("0000:00:04.0"), NULL, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "VFIO device 'x': it isn't in the state");
  ck_assert_ptr_null (cpr_vfio_device_new (container, "d", sim_path ("0000:00:05.0"), NULL, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "it is 0000:00:04.0 in the state, 0000:00:05.0 here");
  ck_assert_ptr_nonnull (cpr_vfio_device_new (container, "d", "0000:00:04.0", NULL, &error));
  ck_assert_ptr_nonnull (cpr_ram_new (new.session, "pc.ram", RAM_SIZE, NULL, &error)); /* so that it is closed */
  vfio_program_clear (&new);
}
END_TEST

/* ---- Interrupts. */

static int
open_irq (VfioProgram *program, unsigned index, unsigned vector)
{
  return cpr_vfio_irq_open (program->device, index, vector, CPR_VFIO_IRQ_TRIGGER, &error);
}

START_TEST (interrupts_are_kept_with_what_was_counted)
{
  uint64_t count = 3;
  int fds[2], fd;
  unsigned set_irqs;

  start_old (CPR_VFIO_TYPE1);
  for (unsigned i = 0; i < 2; i++)
    fds[i] = open_irq (&old, VFIO_PCI_MSI_IRQ_INDEX, i);
  open_irq (&old, VFIO_PCI_REQ_IRQ_INDEX, 0);
  ck_assert (cpr_vfio_irq_enable (old.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, CPR_VFIO_IRQ_TRIGGER, &error));
  set_irqs = sim.set_irqs;
  hand_over ();
  ck_assert_int_eq (write (fds[0], &count, sizeof count), sizeof count); /* one comes in between */
  vfio_program_claim (&new);
  ck_assert (vfio_map_all (&new, &error));
  fd = open_irq (&new, VFIO_PCI_MSI_IRQ_INDEX, 0);
  assert_no_error (error);
  ck_assert (cpr_vfio_irq_is_enabled (new.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER));
  ck_assert (!cpr_vfio_irq_is_enabled (new.device, VFIO_PCI_MSI_IRQ_INDEX, 1, CPR_VFIO_IRQ_TRIGGER));
  count = 0;
  ck_assert_int_eq (read (fd, &count, sizeof count), sizeof count);
  ck_assert_uint_eq (count, 3);
  ck_assert (!cpr_vfio_irq_enable (new.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, CPR_VFIO_IRQ_TRIGGER, &error));
  assert_error (&error, CPR_ERROR_STATE, "cpr_vfio_irq_enable: not permitted");
  ck_assert (!attach (&new, false));
  assert_error (&error, CPR_ERROR_MISMATCH, "interrupt 1 of kind 1 is in the state, and nobody took it");
  ck_assert_int_ge (open_irq (&new, VFIO_PCI_MSI_IRQ_INDEX, 1), 3);
  ck_assert_int_ge (open_irq (&new, VFIO_PCI_MSI_IRQ_INDEX, 2), 3); /* a new one */
  ck_assert_int_ge (open_irq (&new, VFIO_PCI_REQ_IRQ_INDEX, 0), 3);
  ck_assert (attach (&new, false));
  ck_assert_uint_eq (sim.set_irqs, set_irqs);
  vfio_program_clear (&new);
}
END_TEST

START_TEST (interrupts_that_nobody_takes_are_closed_where_that_is_the_policy)
{
  start_old (CPR_VFIO_TYPE1);
  open_irq (&old, VFIO_PCI_MSI_IRQ_INDEX, 0);
  open_irq (&old, VFIO_PCI_MSI_IRQ_INDEX, 1);
  hand_over ();
  vfio_program_claim (&new);
  ck_assert (vfio_map_all (&new, &error));
  open_irq (&new, VFIO_PCI_MSI_IRQ_INDEX, 1);
  ck_assert (cpr_vfio_table_check_claims (&new.session->vfio, true, &error));
  cpr_session_finish_vfio (new.session);
  ck_assert_uint_eq (new.device->irqs->len, 1);
  ck_assert_ptr_null (cpr_fd_table_find (&new.session->fds, CPR_VFIO_TRIGGER_FD "d", 1 << 16));
  ck_assert_ptr_nonnull (cpr_fd_table_find (&new.session->fds, CPR_VFIO_TRIGGER_FD "d", 1 << 16 | 1));
  vfio_program_clear (&new);
}
END_TEST

/* ---- What fails while it is attached. */

START_TEST (the_largest_is_attached_first)
{
  start_old (CPR_VFIO_TYPE1);
  hand_over ();
  vfio_program_claim (&new);
  ck_assert (vfio_map_all (&new, &error));
  sim.memlock = 32 * PAGE; /* the 32 pages fit, then no more */
  ck_assert (!attach (&new, false));
  ck_assert_int_eq (cpr_error_get_errno (error), ENOMEM);
  assert_error (&error, CPR_ERROR_SYSTEM, "MAP_DMA with VADDR of 65536 bytes at 0x100000");
  ck_assert_uint_eq (sim.locked[sim_mm], 32 * PAGE);
  sim.memlock = 0; /* the limit was raised */
  next_program ();
  ck_assert (attach (&new, false));
  vfio_assert_attached (&new);
  vfio_program_clear (&new);
}
END_TEST

/* The new program's n-th call fails; it goes back, and the old one, executed again, has
 * everything. Twice, where that fails too. */
START_TEST (any_call_may_fail_and_the_way_back_puts_it_right)
{
  CprVfioBackend backend = backends[_i];
  static const int errnums[] = { EIO, EINVAL, ENOMEM, ENOENT, EBUSY };
  bool reached = true;

  for (unsigned at = 1; reached; at++)
    for (size_t e = 0; e < G_N_ELEMENTS (errnums); e++)
      {
        start_old (backend);
        hand_over ();
        vfio_program_claim (&new);
        ck_assert (vfio_map_all (&new, &error));
        sim_fail (at, errnums[e]);
        attach (&new, false);
        reached = sim.failed_any;
        ck_assert (reached || error == NULL);
        g_clear_error (&error);
        sim_fail (0, 0);
        next_program ();
        sim_fail (1, EIO); /* the first try of the way back fails at once */
        ck_assert (!attach (&new, true));
        g_clear_error (&error);
        sim_fail (0, 0);
        next_program ();
        ck_assert_msg (attach (&new, true), "%s", error != NULL ? error->message : "");
        vfio_assert_attached (&new);
        vfio_program_clear (&new);
        cpr_writer_clear (&state);
      }
}
END_TEST

/* The new program dies after each of its calls. */
START_TEST (a_program_that_dies_half_way_is_put_right)
{
  for (guint n = 0; n <= N_MAPS; n++)
    {
      uint64_t order[] = { 64, 256, 16, 128, 0 };

      start_old (CPR_VFIO_TYPE1);
      hand_over ();
      for (guint i = 0; i < sim.n_mappings; i++)
        sim.mappings[i].valid = false;
      for (guint k = 0; k < n; k++)
        for (guint i = 0; i < sim.n_mappings; i++)
          {
            SimMapping *mapping = &sim.mappings[i];

            if (mapping->iova == order[k] * PAGE)
              {
                sim.locked[mapping->mm] -= mapping->size;
                sim.locked[sim_mm] += mapping->size;
                mapping->valid = true;
                mapping->mm = sim_mm;
                mapping->vaddr = 4096;
              }
          }
      next_program ();
      ck_assert (attach (&new, true));
      vfio_assert_attached (&new);
      vfio_program_clear (&new);
      cpr_writer_clear (&state);
    }
}
END_TEST

START_TEST (a_container_that_lost_a_mapping_goes_back)
{
  guint lost = 0;

  start_old (CPR_VFIO_TYPE1);
  vfio_lose (16);
  hand_over ();
  vfio_program_claim (&new);
  ck_assert (vfio_map_all (&new, &error));
  ck_assert (!attach (&new, false));
  assert_error (&error, CPR_ERROR_MISMATCH, "the kernel has mappings of 208896 bytes, 241664 were handed over");
  for (guint i = 0; i < sim.n_mappings; i++) /* the others are put right */
    ck_assert (sim.mappings[i].valid);
  next_program ();
  ck_assert (cpr_vfio_table_reattach (&new.session->vfio, &lost, &error)); /* it was so before */
  ck_assert_uint_eq (lost, 1);
  sim.mappings[0].valid = false; /* one by one it is found as well */
  next_program ();
  ck_assert (!attach (&new, false));
  assert_error (&error, CPR_ERROR_MISMATCH, "it has lost the mapping at 0x10000 of 32768 bytes");
  vfio_program_clear (&new);
}
END_TEST

START_TEST (a_container_with_other_mappings_goes_back)
{
  const SimMapping foreign = { 1 << 30, PAGE, 4096, 3, 1, true, false };

  start_old (CPR_VFIO_TYPE1);
  sim.mappings[sim.n_mappings++] = foreign;
  hand_over ();
  vfio_program_claim (&new);
  ck_assert (vfio_map_all (&new, &error));
  ck_assert (!attach (&new, false));
  assert_error (&error, CPR_ERROR_MISMATCH, "or has some that weren't made by the library");
  next_program ();
  ck_assert (attach (&new, true));
  vfio_program_clear (&new);
}
END_TEST

START_TEST (a_wrong_size_that_was_invalidated_is_named)
{
  start_old (CPR_VFIO_TYPE1);
  hand_over ();
  vfio_program_claim (&new);
  ck_assert (vfio_map_all (&new, &error));
  sim.lie_at_unmap = sim.unmaps + 1;
  ck_assert (!attach (&new, false));
  assert_error (&error, CPR_ERROR_MISMATCH, "the kernel has mappings of 120832 bytes, 241664");
  vfio_assert_attached (&new);
  vfio_program_clear (&new);
}
END_TEST

START_TEST (an_iommufd_with_too_little_lockable_memory_goes_back)
{
  start_old (CPR_VFIO_IOMMUFD);
  hand_over ();
  vfio_program_claim (&new);
  ck_assert (vfio_map_all (&new, &error));
  sim.memlock = 8 * PAGE;
  ck_assert (!attach (&new, false));
  ck_assert_int_eq (cpr_error_get_errno (error), ENOMEM);
  assert_error (&error, CPR_ERROR_SYSTEM, "IOMMU_IOAS_CHANGE_PROCESS");
  sim.memlock = 0;
  next_program ();
  ck_assert (attach (&new, true));
  vfio_assert_attached (&new);
  vfio_program_clear (&new);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("vfio-attach");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_loop_test (tests, an_identical_map_is_kept_without_a_call, 0, 3);
  tcase_add_loop_test (tests, ram_that_grew_is_mapped_for_dma_part_by_part, 0, 3);
  tcase_add_test (tests, back_to_back_updates_leave_nothing);
  tcase_add_test (tests, another_map_than_in_the_state_is_named);
  tcase_add_test (tests, an_extra_map_is_an_error_or_unmapped_when_asked);
  tcase_add_test (tests, what_nobody_takes_and_what_is_another_is_named);
  tcase_add_test (tests, interrupts_are_kept_with_what_was_counted);
  tcase_add_test (tests, interrupts_that_nobody_takes_are_closed_where_that_is_the_policy);
  tcase_add_test (tests, the_largest_is_attached_first);
  tcase_add_loop_test (tests, any_call_may_fail_and_the_way_back_puts_it_right, 0, 2);
  tcase_add_test (tests, a_program_that_dies_half_way_is_put_right);
  tcase_add_test (tests, a_container_that_lost_a_mapping_goes_back);
  tcase_add_test (tests, a_container_with_other_mappings_goes_back);
  tcase_add_test (tests, a_wrong_size_that_was_invalidated_is_named);
  tcase_add_test (tests, an_iommufd_with_too_little_lockable_memory_goes_back);
  return run_suite (suite);
}
