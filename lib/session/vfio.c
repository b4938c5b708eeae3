/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The assigned devices' part in each step of an update, and the blockers that they bring. Called by
 * the order of steps, and by the public functions of assigned devices. */
#include "session/vfio.h"

#include "session/parts/mode.h"
#include "vfio/container.h"

void
cpr_session_adopt_vfio (CprSession *session)
{
  session->vfio.fds = &session->fds;
  session->vfio.ram = &session->ram;
  session->vfio.session = session;
  for (guint i = 0; i < session->vfio.containers->len; i++)
    ((CprVfioContainer *) session->vfio.containers->pdata[i])->table = &session->vfio;
}

bool
cpr_session_update_obstacle (CprVfioContainer *container, GError **error)
{
  g_autofree char *obstacle = cpr_vfio_container_describe_obstacle (container);
  CprBlockers *blockers = container->table->session->blockers;

  if (obstacle != NULL && !cpr_blockers_permit (blockers, CPR_MODES_WITH_FDS, obstacle, error))
    return false;
  cpr_blockers_remove_owned (blockers, container);
  if (container->devices->len > 0)
    {
      g_autofree char *asleep = g_strdup_printf (
          "VFIO container '%s': its devices don't survive; the guest must be suspended", container->name);

      cpr_blockers_add_unless_suspended (blockers, container, CPR_MODES_REBOOT, asleep);
    }
  if (obstacle != NULL)
    cpr_blockers_add (blockers, container, CPR_MODES_WITH_FDS, obstacle, NULL);
  return true;
}

bool
cpr_session_attach_vfio (CprSession *session, GError **error)
{
  bool close_irqs = session->config.unclaimed_fds == CPR_UNCLAIMED_CLOSE;
  guint lost = 0;

  if (cpr_session_get_store (session) != NULL) /* they were made again */
    return true;
  if (!cpr_vfio_table_check_claims (&session->vfio, close_irqs, error) ||
      !cpr_vfio_table_reattach (&session->vfio, session->timeline.is_way_back ? &lost : NULL, error))
    return false;
  /* The guest ran without them before the update, and this is the program that it ran in. */
  if (lost > 0)
    cpr_session_log (session, CPR_LOG_ERROR, "VFIO: the kernel has lost %u mappings for DMA", lost);
  return true;
}

/* A call that failed may work a moment later. It is tried twice, as no other program has the guest
 * and could try it. */
void
cpr_session_take_back_vfio (CprSession *session)
{
  g_autoptr (GError) error = NULL;
  guint lost = 0;

  if (!cpr_vfio_table_reattach (&session->vfio, &lost, NULL) || lost > 0)
    {
      lost = 0;
      cpr_vfio_table_reattach (&session->vfio, &lost, &error);
    }
  if (error != NULL)
    cpr_session_log (session, CPR_LOG_ERROR,
                     "VFIO: DMA goes on, but the kernel wasn't told again where guest RAM is in this process: %s",
                     error->message);
  if (lost > 0)
    cpr_session_log (session, CPR_LOG_ERROR, "VFIO: the kernel has lost %u mappings for DMA", lost);
}

void
cpr_session_finish_vfio (CprSession *session)
{
  guint n = cpr_vfio_table_drop_unclaimed (&session->vfio);

  if (n > 0)
    cpr_session_log (session, CPR_LOG_WARNING, "VFIO: %u mappings and interrupts that nobody took were let go", n);
  for (guint i = 0; i < session->vfio.containers->len; i++)
    cpr_session_update_obstacle (session->vfio.containers->pdata[i], NULL);
}
