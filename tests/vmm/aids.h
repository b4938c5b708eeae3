/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_AIDS_H
#define VMM_AIDS_H

#include "parts.h"

#define CARDS_MAX 4

/* The values of the tests' options. The strings point into argv. */
typedef struct
{
  unsigned n_cards;
  const char *cards[CARDS_MAX];
  const char *accel; /* NULL: KVM where it is there */
  bool verify_ram;
  const char *fail_at;
  const char *fail_by;
  bool rehearse; /* instead of declaring the parts */
  bool protect;  /* the guest's RAM */
} Aids;

extern Aids aids;

#endif
