/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_CONVERT_H
#define CPR_STREAM_CONVERT_H

#include "stream/schema.h"

/* How a struct of the stream becomes a struct of this program: made once per pair, applied to each instance.
 */
typedef struct _CprPlan CprPlan;

/* Matches the fields by name. What can't fit whatever the values are is an error here already. */
CprPlan *cpr_plan_new (const CprSchema *schema, uint32_t struct_index, const CprStruct *to, GError **error);
void cpr_plan_free (CprPlan *plan);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprPlan, cpr_plan_free)

/* Decodes one struct from @cursor into @to, or only checks that it could where @to is NULL. */
bool cpr_plan_apply (const CprPlan *plan, CprCursor *cursor, void *to, GError **error);

#endif
