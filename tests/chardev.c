/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* chardev [--incoming URI] [--fail WHEN] BACKEND…: a VMM whose guest does nothing but talk: at each
 * of its character devices it sends an endless row of bytes, and checks that the same row comes.
 * The first BACKEND is where commands come: "status", "exec [WHEN]", "transfer [URI]",
 * "reboot URI", "pause", "resume", "quit". WHEN the new program fails: "load" (after its load),
 * "kill" (it is killed there). */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define PORTS_MAX 16
#define N_CLIENTS 3
#define PIECE     1024
#define PIECES    8
#define PERIOD    65521 /* of the row */

typedef struct
{
  CprChardev *chardev;
  uint64_t n_sent, n_received, n_wrong;
  uint32_t n_ahead; /* bytes that the guest has made and nobody has taken */
  uint8_t ahead[PIECE];
} Port;

static const CprField port_fields[] = {
  CPR_FIELD (Port, n_sent),
  CPR_FIELD (Port, n_received),
  CPR_FIELD (Port, n_wrong),
  CPR_FIELD_COUNTED (Port, ahead, n_ahead),
  CPR_FIELD_END,
};

static const CprDeviceType port_type = {
  .size = sizeof (CprDeviceType),
  .name = "port",
  .version = 1,
  .minimum_version = 1,
  .state = { "Port", sizeof (Port), port_fields },
};

typedef struct
{
  char **argv;
  const char *incoming, *fail;
  char **backends;
  unsigned n_ports; /* without the first one */
  CprSession *session;
  CprGate *gate;
  pthread_mutex_t mutex; /* of the ports */
  pthread_t cpu;
  int wake_fd;
  CprChardev *commands; /* a server */
  CprChardev *asker;    /* its client whose command is executed */
  Port ports[PORTS_MAX];
  char lines[N_CLIENTS][256];
  size_t line_lens[N_CLIENTS];
} Vm;

static void
die (Vm *vm, const char *what, const GError *error)
{
  g_autofree char *reason = g_strdup_printf ("%s: %s", what, error != NULL ? error->message : "failed");

  if (vm->session != NULL)
    cpr_session_set_reason (vm->session, reason);
  fprintf (stderr, "chardev: %s\n", reason);
  exit (EXIT_FAILURE);
}

/* No piece of the row is like another one. */
static uint8_t
byte_at (uint64_t at)
{
  uint32_t mixed = (uint32_t) (at % PERIOD) * UINT32_C (2654435761);

  return (uint8_t) ((mixed ^ mixed >> 15) * UINT32_C (2246822519) >> 16);
}

/* ---- The guest. */

/* More than the other ends take: there is always something on its way. */
static void
send_on (Port *port)
{
  for (unsigned i = 0; i < PIECES; i++)
    {
      size_t n;

      for (; port->n_ahead < PIECE; port->n_ahead++)
        port->ahead[port->n_ahead] = byte_at (port->n_sent + port->n_ahead);
      n = cpr_chardev_write (port->chardev, port->ahead, port->n_ahead);
      port->n_sent += n;
      port->n_ahead -= (uint32_t) n;
      memmove (port->ahead, port->ahead + n, port->n_ahead);
    }
}

static void
wake_main_loop (const Vm *vm)
{
  const uint64_t one = 1;

  if (write (vm->wake_fd, &one, sizeof one) < 0)
    perror ("eventfd");
}

/* Nothing is sent to nobody: it would be gone, and the row with it. */
static void *
run_cpu (void *data)
{
  Vm *vm = data;

  cpr_gate_join (vm->gate, "cpu", NULL, NULL, NULL);
  while (cpr_gate_enter (vm->gate))
    {
      bool waits = false;

      pthread_mutex_lock (&vm->mutex);
      for (unsigned i = 0; i < vm->n_ports; i++)
        if (cpr_chardev_is_connected (vm->ports[i].chardev))
          {
            send_on (&vm->ports[i]);
            waits = waits || cpr_chardev_get_unsent (vm->ports[i].chardev) > 0;
          }
      pthread_mutex_unlock (&vm->mutex);
      if (waits)
        wake_main_loop (vm);
      cpr_gate_leave (vm->gate);
      g_usleep (1000);
    }
  return NULL;
}

/* A piece at a time: what came and wasn't read is on its way, too. True: there may be more. */
static bool
receive (Port *port)
{
  uint8_t bytes[PIECE];
  size_t n = cpr_chardev_read (port->chardev, bytes, sizeof bytes);

  for (size_t i = 0; i < n; i++)
    port->n_wrong += bytes[i] != byte_at (port->n_received++);
  return n > 0;
}

/* ---- Commands. */

static void
say (const Vm *vm, const char *text)
{
  cpr_chardev_write (vm->asker, text, strlen (text));
}

static void
tell_status (Vm *vm)
{
  CprUpdateInfo info = { .size = sizeof info };
  g_autoptr (GString) text = g_string_new (NULL);

  cpr_session_get_update_info (vm->session, &info);
  g_string_printf (text, "pid %d updates %" G_GUINT64_FORMAT " last %s", getpid (), info.generation,
                   cpr_update_status_get_name (info.status));
  for (unsigned i = 0; i < vm->n_ports; i++)
    {
      const Port *port = &vm->ports[i];
      g_autofree char *what = cpr_chardev_describe (port->chardev);

      g_string_append_printf (
          text, "; %s %s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GSIZE_FORMAT, what,
          cpr_chardev_is_connected (port->chardev) ? "on" : "off", port->n_sent, port->n_received, port->n_wrong,
          cpr_chardev_get_unsent (port->chardev));
    }
  g_string_append_c (text, '\n');
  say (vm, text->str);
}

/* The command line of the new program: this one's, with or without a failure. */
static char **
make_argv (const Vm *vm, const char *fail)
{
  GPtrArray *argv = g_ptr_array_new ();

  g_ptr_array_add (argv, vm->argv[0]);
  if (fail != NULL)
    {
      g_ptr_array_add (argv, (char *) "--fail");
      g_ptr_array_add (argv, (char *) fail);
    }
  for (char **backend = vm->backends; *backend != NULL; backend++)
    g_ptr_array_add (argv, *backend);
  g_ptr_array_add (argv, NULL);
  return (char **) g_ptr_array_free (argv, FALSE);
}

static void
end (Vm *vm)
{
  cpr_gate_dismiss (vm->gate, 0, NULL);
  pthread_join (vm->cpu, NULL);
  for (unsigned i = 0; i < vm->n_ports; i++)
    cpr_chardev_remove (vm->ports[i].chardev, NULL);
  cpr_chardev_remove (vm->commands, NULL);
  cpr_session_free (vm->session);
  cpr_gate_free (vm->gate);
  exit (EXIT_SUCCESS);
}

static void
update (Vm *vm, CprMode mode, const char *argument)
{
  g_autoptr (GError) error = NULL;
  g_autofree char **argv = make_argv (vm, mode == CPR_MODE_EXEC ? argument : NULL);
  const CprUpdate wish = { .size = sizeof wish,
                           .mode = mode,
                           .argv = mode == CPR_MODE_EXEC || argument == NULL ? argv : NULL,
                           .program = mode == CPR_MODE_TRANSFER && argument == NULL ? argv[0] : NULL,
                           .uri = mode == CPR_MODE_EXEC ? NULL : argument };
  g_autofree char *answer = NULL;

  if (cpr_session_update (vm->session, &wish, &error))
    end (vm);
  answer = g_strdup_printf ("failed: %s\n", error->message);
  say (vm, answer);
}

static void
execute (Vm *vm, char *line)
{
  char *argument = strchr (line, ' ');

  if (argument != NULL)
    *argument++ = '\0';
  if (strcmp (line, "status") == 0)
    tell_status (vm);
  else if (strcmp (line, "exec") == 0)
    update (vm, CPR_MODE_EXEC, argument);
  else if (strcmp (line, "transfer") == 0)
    update (vm, CPR_MODE_TRANSFER, argument);
  else if (strcmp (line, "reboot") == 0)
    update (vm, CPR_MODE_REBOOT, argument);
  else if (strcmp (line, "pause") == 0)
    cpr_session_pause (vm->session, NULL);
  else if (strcmp (line, "resume") == 0)
    cpr_session_resume (vm->session, NULL);
  else if (strcmp (line, "quit") == 0)
    end (vm);
  else
    say (vm, "unknown command\n");
}

static void
read_commands (Vm *vm, unsigned place)
{
  char *line = vm->lines[place], byte;
  size_t *len = &vm->line_lens[place];

  vm->asker = cpr_chardev_get_client (vm->commands, place);
  cpr_chardev_serve (vm->asker);
  while (cpr_chardev_read (vm->asker, &byte, 1) == 1)
    if (byte == '\n')
      {
        line[*len] = '\0';
        *len = 0;
        execute (vm, line);
      }
    else if (*len < sizeof vm->lines[0] - 1)
      line[(*len)++] = byte;
}

/* ---- Start-up and main loop. */

static void
log_message (CprLogLevel level, const char *message, void *user_data G_GNUC_UNUSED)
{
  if (level <= CPR_LOG_WARNING)
    fprintf (stderr, "chardev: %s\n", message);
}

static void
build (Vm *vm)
{
  const CprSessionConfig config = {
    .size = sizeof config,
    .name = "chardev",
    .gate = vm->gate,
    .log = log_message,
    .incoming = vm->incoming,
    .incoming_flags = CPR_INCOMING_REHEARSE | CPR_INCOMING_EXIT_GOES_BACK,
  };
  g_autoptr (GError) error = NULL;

  vm->session = cpr_session_new (&config, &error);
  if (vm->session == NULL)
    die (vm, "session", error);
  vm->commands = cpr_chardev_new_server (vm->session, "commands", vm->backends[0], N_CLIENTS, &error);
  if (vm->commands == NULL)
    die (vm, "commands", error);
  for (char **backend = vm->backends + 1; *backend != NULL && vm->n_ports < PORTS_MAX; backend++)
    {
      g_autofree char *name = g_strdup_printf ("port%u", vm->n_ports);
      Port *port = &vm->ports[vm->n_ports];

      port->chardev = cpr_chardev_new (vm->session, name, *backend, &error);
      if (port->chardev == NULL || !cpr_device_add (vm->session, name, &port_type, port, &error))
        die (vm, name, error);
      vm->n_ports++;
    }
}

static void
start (Vm *vm)
{
  g_autofree char **argv = make_argv (vm, NULL);
  g_autoptr (GError) error = NULL;

  if (!cpr_session_set_argv (vm->session, argv, &error) || !cpr_session_load (vm->session, &error))
    die (vm, "load", error);
  if (vm->fail != NULL && strcmp (vm->fail, "kill") == 0)
    raise (SIGKILL);
  if (vm->fail != NULL)
    die (vm, "told to fail", NULL);
  vm->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (vm->wake_fd < 0 || pthread_create (&vm->cpu, NULL, run_cpu, vm) != 0)
    die (vm, "thread", NULL);
  if (!cpr_session_start (vm->session, &error))
    die (vm, "start", error);
}

static CprChardev *
get_chardev (const Vm *vm, unsigned number)
{
  if (number == 0)
    return vm->commands;
  return number <= N_CLIENTS ? cpr_chardev_get_client (vm->commands, number - 1)
                             : vm->ports[number - 1 - N_CLIENTS].chardev;
}

static int
fill_fds (const Vm *vm, struct pollfd *fds)
{
  int timeout_ms = -1;

  for (unsigned i = 0; i < 1 + N_CLIENTS + vm->n_ports; i++)
    {
      int other = cpr_chardev_fill_fds (get_chardev (vm, i), fds + CPR_CHARDEV_FDS * i);

      timeout_ms = other >= 0 && (timeout_ms < 0 || other < timeout_ms) ? other : timeout_ms;
    }
  return timeout_ms;
}

static bool
serve (Vm *vm)
{
  bool more = false;

  pthread_mutex_lock (&vm->mutex);
  for (unsigned i = 0; i < vm->n_ports; i++)
    {
      cpr_chardev_serve (vm->ports[i].chardev);
      more = receive (&vm->ports[i]) || more;
    }
  pthread_mutex_unlock (&vm->mutex);
  for (unsigned i = 0; i < N_CLIENTS; i++)
    read_commands (vm, i);
  cpr_chardev_serve (vm->commands);
  return more;
}

static void
run (Vm *vm)
{
  struct pollfd fds[CPR_CHARDEV_FDS * (1 + N_CLIENTS + PORTS_MAX) + 1];
  bool more = true;
  uint64_t count;

  for (;;)
    {
      nfds_t n = CPR_CHARDEV_FDS * (1 + N_CLIENTS + vm->n_ports);
      int timeout_ms;

      pthread_mutex_lock (&vm->mutex);
      timeout_ms = fill_fds (vm, fds);
      pthread_mutex_unlock (&vm->mutex);
      fds[n] = (struct pollfd){ vm->wake_fd, POLLIN, 0 };
      if (poll (fds, n + 1, more ? 0 : timeout_ms) > 0 && fds[n].revents != 0 &&
          read (vm->wake_fd, &count, sizeof count) < 0)
        perror ("eventfd");
      more = serve (vm);
    }
}

int
main (int argc, char **argv)
{
  static Vm vm = { .mutex = PTHREAD_MUTEX_INITIALIZER, .wake_fd = -1 };
  char **at = argv + 1;

  vm.argv = argv;
  for (; at[0] != NULL && at[1] != NULL && g_str_has_prefix (at[0], "--"); at += 2)
    *(strcmp (at[0], "--fail") == 0 ? &vm.fail : &vm.incoming) = at[1];
  if (argc < 2 || at[0] == NULL)
    return 2;
  vm.backends = at;
  vm.gate = cpr_gate_new (NULL);
  build (&vm);
  start (&vm);
  run (&vm);
}
