/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables as C has them. */
#include "tables.h"

uint32_t a_variable, some_variables[3];
Inner a_struct;

const CprStruct c_struct = { "Everything", sizeof (Everything), everything_fields };

/* In this file nothing else uses it. */
const CprStruct *get_own_struct (void);
const CprStruct *
get_own_struct (void)
{
  return &everything_struct;
}
