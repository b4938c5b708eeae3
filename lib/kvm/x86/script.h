/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_X86_SCRIPT_H
#define CPR_KVM_X86_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

/* A list of ioctls by which KVM tells a state, in the order in which they are made. The list is
 * data: it is written first, then executed as a whole, and then the answers are taken in. All the
 * calls have one fd, and their arguments lie one behind the other in one piece of memory. */

typedef struct
{
  unsigned long request; /* 0: the time, as cpr_now_ns() gives it, in a uint64_t */
  const char *name;      /* of the ioctl, for messages */
  uint32_t offset, size; /* of the argument in the script's memory */
  int absent[2];         /* errors that say that there is no such part; 0: none */
  int result;            /* what the ioctl returned, or a negative errno */
} CprKvmCall;

typedef struct
{
  int fd;
  GArray *calls; /* CprKvmCall */
  uint8_t *memory;
  uint32_t used, room;
} CprKvmScript;

/* @room: bytes for all arguments, see CPR_KVM_SCRIPT_ROOM(). */
void cpr_kvm_script_init (CprKvmScript *script, int fd, uint32_t room);
void cpr_kvm_script_clear (CprKvmScript *script);

/* The room that an argument of @size bytes takes. */
#define CPR_KVM_SCRIPT_ALIGNMENT 64u
#define CPR_KVM_SCRIPT_ROOM(size) \
  (((uint32_t) (size) + CPR_KVM_SCRIPT_ALIGNMENT - 1) / CPR_KVM_SCRIPT_ALIGNMENT * CPR_KVM_SCRIPT_ALIGNMENT)

/* Adds a call. Returns its argument, which is all zeros and may be filled in; it stays where it is
 * until the script is cleared. */
void *cpr_kvm_script_add (CprKvmScript *script, unsigned long request, const char *name, uint32_t size);
/* The same for a part that there may not be: those two errors say so. */
void *cpr_kvm_script_add_part (
    CprKvmScript *script, unsigned long request, const char *name, uint32_t size, int absent, int absent_too);
/* Adds a reading of the clock. */
void cpr_kvm_script_add_time (CprKvmScript *script);

/* Makes the calls. Returns the first that fails, after which no other one is made; NULL: all are
 * done. */
const CprKvmCall *cpr_kvm_script_run (CprKvmScript *script);

/* The @n-th call of that request, from 0, if it was made and the part is there; else NULL. */
const CprKvmCall *cpr_kvm_script_find (const CprKvmScript *script, unsigned long request, unsigned n);
/* The same if it has that size. Scripts that another process wrote are input. */
const void *cpr_kvm_script_get_sized (const CprKvmScript *script, unsigned long request, unsigned n, uint32_t size);
/* Its argument. */
const void *cpr_kvm_script_get (const CprKvmScript *script, const CprKvmCall *call);
/* Copies the argument of the first call of that request to @to, which has its size. False if there
 * is none. */
bool cpr_kvm_script_copy (const CprKvmScript *script, unsigned long request, void *to, uint32_t size);

#endif
