/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_CONVERT_H
#define CPR_STREAM_CONVERT_H

#include "stream/struct.h"

/* How structs of the stream become structs of this program. A plan is made once per pair of
 * structs and applied to each instance; the plans of one stream belong together. */
typedef struct _CprPlans CprPlans;
typedef struct _CprPlan CprPlan;

CprPlans *cpr_plans_new (const CprSchema *schema);
void cpr_plans_free (CprPlans *plans);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprPlans, cpr_plans_free)

/* Matches the fields by name. What can't fit whatever the values are is an error here already.
 * The plan is owned by @plans. */
const CprPlan *cpr_plans_get (CprPlans *plans, uint32_t struct_index, const CprStruct *to, GError **error);

/* Calls @func with each field that would be dropped if it had a value: "a.b". */
void cpr_plan_foreach_dropped (const CprPlan *plan, void (*func) (const char *field, void *user_data), void *user_data);

/* Decodes one struct from @cursor into @to, or only checks that it could where @to is NULL.
 * @codec: NULL in a check that can't know the fds. */
bool cpr_plan_apply (const CprPlan *plan, CprCursor *cursor, void *to, const CprCodec *codec, GError **error);

#endif
