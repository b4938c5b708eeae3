/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network of the Linux guest in tests/integration/linux-net.py: one TCP connection, over which
 * each side sends the numbers from 0 on, as 64-bit words, and checks those of the other side. */
#include "linux-guest-net.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CARD     "eth0"
#define ADDRESS  "192.0.2.2"
#define NETMASK  "255.255.255.0"
#define PORT     7
#define WORDS    512
#define PAUSE_NS 5000000 /* after so many words, so that the guest's CPUs have time for the rest */

/* Of all processes. */
typedef struct
{
  atomic_ullong received, sent, errors; /* words */
  atomic_bool ended;
} Shared;

static Shared *shared; /* NULL: no network */

static void
run_sender (int fd)
{
  const struct timespec pause = { .tv_nsec = PAUSE_NS };
  uint64_t words[WORDS], next = 0;

  for (;;)
    {
      for (unsigned i = 0; i < WORDS; i++)
        words[i] = next++;
      for (size_t done = 0; done < sizeof words;)
        {
          ssize_t n = send (fd, (char *) words + done, sizeof words - done, MSG_NOSIGNAL);
          if (n <= 0)
            _exit (0);
          done += (size_t) n;
        }
      atomic_store (&shared->sent, next);
      nanosleep (&pause, NULL);
    }
}

/* Until the other side has sent everything. */
static void
run_receiver (int fd)
{
  uint64_t word, next = 0;
  ssize_t n;

  while ((n = recv (fd, &word, sizeof word, MSG_WAITALL)) == sizeof word)
    {
      if (word != next++)
        atomic_fetch_add (&shared->errors, 1);
      atomic_store (&shared->received, next);
    }
  if (n != 0)
    atomic_fetch_add (&shared->errors, 1); /* half a word, or a reset */
  atomic_store (&shared->ended, true);
  _exit (0);
}

static void
run_server (int fd)
{
  int connection = accept (fd, NULL, NULL);

  if (connection < 0)
    _exit (1);
  if (fork () == 0)
    run_sender (connection);
  run_receiver (connection);
}

static void
set_address (int fd, unsigned long request, const char *text)
{
  struct ifreq interface = { .ifr_name = CARD };
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { inet_addr (text) } };

  memcpy (&interface.ifr_addr, &address, sizeof address);
  if (ioctl (fd, request, &interface) < 0)
    perror (text);
}

void
net_begin (void)
{
  const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons (PORT) };
  struct ifreq interface = { .ifr_name = CARD, .ifr_flags = IFF_UP };
  int fd = socket (AF_INET, SOCK_STREAM, 0);

  if (fd < 0 || if_nametoindex (CARD) == 0)
    return;
  set_address (fd, SIOCSIFADDR, ADDRESS);
  set_address (fd, SIOCSIFNETMASK, NETMASK);
  if (ioctl (fd, SIOCSIFFLAGS, &interface) < 0 || bind (fd, (const struct sockaddr *) &address, sizeof address) < 0 ||
      listen (fd, 1) < 0)
    {
      perror ("network");
      return;
    }
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (fork () == 0)
    run_server (fd);
}

void
net_tell (void)
{
  if (shared)
    printf ("net received %llu sent %llu errors %llu ended %d\n", (unsigned long long) atomic_load (&shared->received),
            (unsigned long long) atomic_load (&shared->sent), (unsigned long long) atomic_load (&shared->errors),
            atomic_load (&shared->ended));
}
