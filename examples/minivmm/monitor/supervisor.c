/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sign of life that the main loop in monitor.c gives to a supervisor such as systemd. */
#include "monitor/supervisor.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/clock.h"

/* How often; 0: nobody watches this process. WATCHDOG_PID is a process that the supervisor
 * means: after a rescue the library has put the new one there. */
static int64_t
get_interval_ns (void)
{
  const char *usec = getenv ("WATCHDOG_USEC"), *pid = getenv ("WATCHDOG_PID");

  if (usec == NULL || (pid != NULL && atoi (pid) != getpid ()))
    return 0;
  return atoll (usec) * 1000 / 2;
}

/* Errors don't matter here: a supervisor that hears nothing will act. */
static void
notify (const char *text)
{
  const char *path = getenv ("NOTIFY_SOCKET");
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  size_t len = path ? strlen (path) : 0;
  int fd;

  if (len == 0 || len >= sizeof address.sun_path)
    return;
  memcpy (address.sun_path, path, len);
  if (path[0] == '@')
    address.sun_path[0] = '\0';
  fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return;
  sendto (fd, text, strlen (text), MSG_NOSIGNAL, (struct sockaddr *) &address,
          (socklen_t) (offsetof (struct sockaddr_un, sun_path) + len));
  close (fd);
}

int
supervisor_tell (int64_t *next_ns)
{
  int64_t interval = get_interval_ns (), now = (int64_t) get_monotonic_ns ();

  if (interval <= 0)
    return -1;
  if (now >= *next_ns)
    {
      notify ("WATCHDOG=1");
      *next_ns = now + interval;
    }
  return (int) ((*next_ns - now) / 1000000 + 1);
}
