/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_CONVERT_H
#define CPR_STREAM_CONVERT_H

#include "stream/plan.h"

/* Decodes one struct from @cursor into @to, or only checks that it could where @to is NULL.
 * @codec: NULL in a check that can't know the fds. */
bool cpr_plan_apply (const CprPlan *plan, CprCursor *cursor, void *to, const CprCodec *codec, GError **error);

#endif
