/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_LATE_H
#define CPR_HANDOFF_EXEC_LATE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

/* The late area: a memfd that the runner and each program to which the guest is offered share. It
 * has the word by which a program asks for the guest, the state that KVM told when the guest
 * stopped for it, and the accesses at which vCPUs are parked. A program takes it for input, as it
 * does the state. */

#define CPR_LATE_MAGIC   UINT64_C (0x316574616c727063)
#define CPR_LATE_VCPUS   64
#define CPR_LATE_CALLS   40
#define CPR_LATE_PARKED  16
#define CPR_LATE_PIO_MAX 4096

/* How far a vCPU has got in a runner. With the number of its parked exits this is one word, so
 * that a runner that is killed between any two instructions leaves what the next one can go on
 * from. */
typedef enum
{
  CPR_LATE_READY,      /* in the middle of nothing */
  CPR_LATE_RUNNING,    /* in KVM_RUN, or back from it with an exit that nobody has looked at */
  CPR_LATE_COMPLETING, /* its last parked exit is a write, which KVM has to complete */
  CPR_LATE_PARKED_NOW, /* doesn't run any more until a program has the guest */
  CPR_LATE_BROKEN      /* KVM_RUN failed */
} CprLatePhase;

#define CPR_LATE_WORD(phase, n)  ((uint32_t) (phase) | (uint32_t) (n) << 8)
#define CPR_LATE_PHASE_OF(word)  ((CprLatePhase) ((word) &0xff))
#define CPR_LATE_NUMBER_OF(word) ((word) >> 8)

/* An exit as struct kvm_run has it: all that comes before the registers. */
typedef struct
{
  uint8_t head[offsetof (struct kvm_run, kvm_valid_regs)];
} CprLateExit;

typedef struct
{
  uint64_t request;
  uint32_t offset, size; /* in the area */
  int32_t result;
  uint32_t pad;
} CprLateCall;

/* What one script told: of a vCPU, or of the VM. */
typedef struct
{
  uint32_t n_calls, pad;
  CprLateCall calls[CPR_LATE_CALLS];
} CprLateObject;

typedef struct
{
  _Atomic uint32_t word;
  int32_t failed;             /* CPR_LATE_BROKEN: the errno */
  _Atomic uint64_t parked_ns; /* since when it is parked */
  CprLateExit parked[CPR_LATE_PARKED];
  uint8_t pio[CPR_LATE_PIO_MAX]; /* what the last parked exit writes, if it is one of ports */
  CprLateObject object;
} CprLateVcpu;

typedef struct CprLateArea
{
  uint64_t magic;
  uint32_t size; /* of the area */
  uint32_t n_vcpus;
  _Atomic uint32_t ask;         /* the attempt whose program wants the guest */
  _Atomic uint32_t stopped_for; /* a futex: the attempt for which the guest stands, with its state saved */
  _Atomic int32_t failed;       /* of that: the errno of a call of the script; 0: none */
  _Atomic int32_t runner;       /* the process that runs the guest, or is to */
  _Atomic uint64_t first_went_ns, went_ns, stopped_ns, saved_ns;
  CprLateObject vm;
  CprLateVcpu vcpus[CPR_LATE_VCPUS];
} CprLateArea;

#endif
