/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_PLAN_H
#define CPR_STREAM_PLAN_H

#include "stream/struct.h"

/* How structs of the stream become structs of this program. A plan is made once for each pair of
 * structs and applied to each instance; the plans of one stream belong together. */
typedef struct _CprPlans CprPlans;
typedef struct _CprPlan CprPlan;

/* One field of the stream. */
typedef struct
{
  const CprSchemaField *from;
  const CprField *to;    /* NULL: this program doesn't know the field, or has retired it */
  bool droppable;        /* what to do then with one that is present */
  const CprPlan *nested; /* of a struct */
  size_t run;            /* not 0: so many bytes, of this and the steps after it, are copied as they are */
  guint run_steps;
} CprPlanStep;

struct _CprPlan
{
  const CprSchema *schema;
  GArray *steps;      /* CprPlanStep, in the order of the stream */
  GPtrArray *missing; /* const CprField *: not in the stream, set to their defaults */
  size_t plain_size;  /* not 0: it consists of runs, which have so many bytes together */
};

CprPlans *cpr_plans_new (const CprSchema *schema);
void cpr_plans_free (CprPlans *plans);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprPlans, cpr_plans_free)

/* Matches the fields by name. A field that can't fit whatever its values are is an error here
 * already. The plan is owned by @plans. */
const CprPlan *cpr_plans_get (CprPlans *plans, uint32_t struct_index, const CprStruct *to, GError **error);

/* Calls @func with each field that would be dropped if it had a value: "a.b". */
void cpr_plan_foreach_dropped (const CprPlan *plan, void (*func) (const char *field, void *user_data), void *user_data);

#endif
