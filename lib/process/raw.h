/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_PROCESS_RAW_H
#define CPR_PROCESS_RAW_H

#include <sys/syscall.h>
#include <unistd.h>

/* System calls without libc. They return what the kernel returns: a negative errno on failure.
 * The guardian can't use libc's, since these write errno, which lies in the thread-local storage
 * of a thread that is gone. */
#define CPR_RAW_CODE __attribute__ ((noinline, no_stack_protector, no_sanitize ("address", "undefined", "thread")))

#if defined(__x86_64__)

static inline __attribute__ ((always_inline)) long
cpr_raw (long number, long a, long b, long c, long d)
{
  register long r10 __asm__("r10") = d;
  long result;

  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}

static inline __attribute__ ((always_inline)) long
cpr_raw5 (long number, long a, long b, long c, long d, long e)
{
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  long result;

  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
}

#elif defined(__aarch64__)

static inline __attribute__ ((always_inline)) long
cpr_raw (long number, long a, long b, long c, long d)
{
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = 0;

  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}

static inline __attribute__ ((always_inline)) long
cpr_raw5 (long number, long a, long b, long c, long d, long e)
{
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;

  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}

#else
#  error "the guardian has no system calls for this architecture yet; add them here"
#endif

/* Writes @text and a zero byte; returns the place of the zero byte. */
static inline __attribute__ ((always_inline)) char *
cpr_raw_put_text (char *to, const char *text)
{
  while (*text != '\0')
    *to++ = *text++;
  *to = '\0';
  return to;
}

/* Writes @value in decimal and a zero byte; returns the place of the zero byte. It does without
 * an array of its own: gcc 12 with AddressSanitizer crashes on an array in code that is inlined
 * into functions without instrumentation. */
static inline __attribute__ ((always_inline)) char *
cpr_raw_put_number (char *to, unsigned long value)
{
  unsigned long unit = 1;

  while (value / unit >= 10)
    unit *= 10;
  for (; unit > 0; unit /= 10)
    *to++ = (char) ('0' + value / unit % 10);
  *to = '\0';
  return to;
}

#endif
