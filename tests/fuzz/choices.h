/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_CHOICES_H
#define CPR_TESTS_CHOICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An input as a row of decisions; when it is used up all that follow are 0. */
typedef struct
{
  const uint8_t *data;
  size_t left;
} Choices;

static inline unsigned
choose_byte (Choices *choices)
{
  if (choices->left == 0)
    return 0;
  choices->left--;
  return *choices->data++;
}

/* 0 to @n - 1; @n up to 256. */
static inline unsigned
choose (Choices *choices, unsigned n)
{
  return choose_byte (choices) % n;
}

/* True in one of @n cases, never at the end of the input. */
static inline bool
choose_one_in (Choices *choices, unsigned n)
{
  return choose (choices, n) == n - 1;
}

static inline uint64_t
choose_bytes (Choices *choices, unsigned n)
{
  uint64_t value = 0;

  for (unsigned i = 0; i < n; i++)
    value |= (uint64_t) choose_byte (choices) << (8 * i);
  return value;
}

#endif
