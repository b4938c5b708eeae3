/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_ACCEL_H
#define MINIVMM_ACCEL_H

#include "devices/bus.h"
#include "devices/vfio.h"
#include "guests/guests.h"
#include "ram.h"

typedef struct
{
  CprSession *session;
  const GuestRam *ram;
  Bus *bus;
  unsigned n_vcpus;
  bool ahead; /* the guest doesn't stand meanwhile: there is time for what else would be on the pause */
  Vfio *vfio; /* NULL: none */
} AccelConfig;

/* An accelerator executes the guest. `run` is called on the vCPU's own thread, all others with the
 * guest stopped. */
typedef struct
{
  const char *name;
  const GuestKind *(*get_guests) (void);                    /* those that it can run */
  void *(*new) (const AccelConfig *config, GError **error); /* adds its state to the session as devices */
  bool (*reset) (void *accel, unsigned vcpu, const GuestEntry *entry, GError **error); /* in a fresh VM only */
  bool (*loaded) (void *accel, GError **error);             /* nothing but the start is left to do */
  bool (*run) (void *accel, unsigned vcpu, GError **error); /* until it is told to stop, or can't go on */
  /* NULL: it needn't be told. The guest may run. */
  bool (*add_ram) (void *accel, uint64_t gpa, uint64_t offset, uint64_t size, GError **error);
  void (*set_stop) (void *accel, unsigned vcpu, bool stop); /* true: any time; a signal to the thread follows */
  uint64_t (*get_counter_khz) (void *accel);
  void (*free) (void *accel);
} Accel;

extern const Accel accel_kvm;

/* True: this process may use KVM. */
bool accel_kvm_is_there (void);

#endif
