/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the text that says what is at the other end of a character device. Called by device.c. */
#include "chardev/spec.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "base/error.h"

#define RECONNECT_MAX_MS (24 * 60 * 60 * 1000)

static const struct
{
  const char *name;
  CprChardevKind kind;
  bool has_path;
} kinds[] = {
  { "null", CPR_CHARDEV_NULL, false }, { "stdio", CPR_CHARDEV_STDIO, false }, { "pty", CPR_CHARDEV_PTY, false },
  { "file", CPR_CHARDEV_FILE, true },  { "pipe", CPR_CHARDEV_PIPE, true },    { "unix", CPR_CHARDEV_CLIENT, true },
  { "tcp", CPR_CHARDEV_CLIENT, true },
};

typedef struct
{
  bool server, waits, nodelay, signals, append;
  guint64 reconnect_ms;
} Options;

typedef struct
{
  const char *name;
  size_t flag; /* the offset of its bool in Options */
  const char *backends;
} Flag;

static const Flag flags[] = {
  { "server", G_STRUCT_OFFSET (Options, server), "unix tcp" },
  { "wait", G_STRUCT_OFFSET (Options, waits), "unix tcp" },
  { "nodelay", G_STRUCT_OFFSET (Options, nodelay), "tcp" },
  { "signal", G_STRUCT_OFFSET (Options, signals), "stdio" },
  { "append", G_STRUCT_OFFSET (Options, append), "file" },
};

const char *
cpr_chardev_kind_get_name (CprChardevKind kind)
{
  static const char *const names[] = { NULL,       "null",     "stdio",
                                       "pty",      "file",     "pipe",
                                       "a server", "a client", "a server's client" };

  return kind >= CPR_CHARDEV_NULL && kind < G_N_ELEMENTS (names) ? names[kind] : "unknown";
}

bool
cpr_chardev_kind_is_socket (CprChardevKind kind)
{
  return kind == CPR_CHARDEV_SERVER || kind == CPR_CHARDEV_CLIENT || kind == CPR_CHARDEV_ACCEPTED;
}

/* Parts between commas; two commas are one that belongs to the part. */
static GPtrArray *
split (const char *text)
{
  GPtrArray *parts = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GString) part = g_string_new (NULL);

  for (; *text != '\0'; text++)
    if (*text != ',' || text[1] == ',')
      {
        g_string_append_c (part, *text);
        text += *text == ',';
      }
    else
      {
        g_ptr_array_add (parts, g_strdup (part->str));
        g_string_truncate (part, 0);
      }
  g_ptr_array_add (parts, g_strdup (part->str));
  return parts;
}

static bool
is_of (const char *backends, const char *backend)
{
  g_auto (GStrv) list = g_strsplit (backends, " ", -1);

  return g_strv_contains ((const char *const *) list, backend);
}

static bool
set_flag (Options *options, const char *backend, const char *key, const char *value)
{
  if (strcmp (value, "on") != 0 && strcmp (value, "off") != 0)
    return false;
  for (size_t i = 0; i < G_N_ELEMENTS (flags); i++)
    if (strcmp (key, flags[i].name) == 0 && is_of (flags[i].backends, backend))
      {
        G_STRUCT_MEMBER (bool, options, flags[i].flag) = strcmp (value, "on") == 0;
        return true;
      }
  return false;
}

/* KEY=VALUE, or as QEMU's users write it of old: "server", "nowait". */
static bool
set_option (Options *options, const char *backend, const char *option)
{
  g_auto (GStrv) parts = g_strsplit (option, "=", 2);
  bool is_socket = is_of ("unix tcp", backend);
  unsigned unit_ms;

  if (parts[0] == NULL)
    return false;
  if (parts[1] == NULL)
    return strcmp (option, "nowait") == 0 ? set_flag (options, backend, "wait", "off")
                                          : set_flag (options, backend, option, "on");
  unit_ms = strcmp (parts[0], "reconnect") == 0 ? 1000 : strcmp (parts[0], "reconnect-ms") == 0 ? 1 : 0;
  if (unit_ms == 0 || !is_socket)
    return set_flag (options, backend, parts[0], parts[1]);
  if (!g_ascii_string_to_unsigned (parts[1], 10, 0, RECONNECT_MAX_MS / unit_ms, &options->reconnect_ms, NULL))
    return false;
  options->reconnect_ms *= unit_ms;
  return true;
}

static bool
set_unix_address (CprChardevSpec *spec, const char *name, GError **error)
{
  struct sockaddr_un *address = (struct sockaddr_un *) &spec->address;

  address->sun_family = AF_UNIX;
  spec->address_len = sizeof *address;
  return g_strlcpy (address->sun_path, spec->path, sizeof address->sun_path) < sizeof address->sun_path ||
         cpr_throw (error, CPR_ERROR_INVALID,
                    "chardev '%s': the path of its socket should have at most %zu bytes, and "
                    "has %zu: %s",
                    name, sizeof address->sun_path - 1, strlen (spec->path), spec->path);
}

/* Numbers only: to look a name up would take as long as a server of names takes. */
static bool
set_host (CprChardevSpec *spec, const char *host, uint16_t port, bool server)
{
  struct sockaddr_in *v4 = (struct sockaddr_in *) &spec->address;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &spec->address;
  size_t len = strlen (host);

  if (len > 2 && host[0] == '[' && host[len - 1] == ']')
    {
      g_autofree char *inside = g_strndup (host + 1, len - 2);

      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons (port);
      spec->address_len = sizeof *v6;
      return inet_pton (AF_INET6, inside, &v6->sin6_addr) == 1;
    }
  if (len == 0)
    host = server ? "0.0.0.0" : "127.0.0.1";
  else if (strcmp (host, "localhost") == 0)
    host = "127.0.0.1";
  v4->sin_family = AF_INET;
  v4->sin_port = htons (port);
  spec->address_len = sizeof *v4;
  return inet_pton (AF_INET, host, &v4->sin_addr) == 1;
}

static bool
set_tcp_address (CprChardevSpec *spec, const char *name, const char *place, bool server, GError **error)
{
  const char *colon = strrchr (place, ':');
  g_autofree char *host = colon != NULL ? g_strndup (place, (gsize) (colon - place)) : NULL;
  guint64 port;

  if (host == NULL || !g_ascii_string_to_unsigned (colon + 1, 10, 1, UINT16_MAX, &port, NULL))
    return cpr_throw (error, CPR_ERROR_INVALID, "chardev '%s': 'tcp:%s' should end with a port, 1 to 65535", name,
                      place);
  return set_host (spec, host, (uint16_t) port, server) ||
         cpr_throw (error, CPR_ERROR_INVALID, "chardev '%s': the host should be an address in numbers, and is '%s'",
                    name, host);
}

static bool
finish_socket (CprChardevSpec *spec, const Options *options, const char *name, const char *place, GError **error)
{
  if (options->server)
    spec->kind = CPR_CHARDEV_SERVER;
  if (options->server && options->waits)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "chardev '%s': a server doesn't wait for its client here: write wait=off", name);
  if (options->server && options->reconnect_ms != 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "chardev '%s': a server doesn't reconnect", name);
  spec->reconnect_ms = (unsigned) options->reconnect_ms;
  return spec->path != NULL ? set_unix_address (spec, name, error)
                            : set_tcp_address (spec, name, place, options->server, error);
}

static bool
read_options (Options *options, const GPtrArray *parts, const char *name, const char *backend, GError **error)
{
  for (guint i = 1; i < parts->len; i++)
    if (!set_option (options, backend, parts->pdata[i]))
      return cpr_throw (error, CPR_ERROR_INVALID, "chardev '%s': %s has no option '%s'", name, backend,
                        (const char *) parts->pdata[i]);
  return true;
}

bool
cpr_chardev_spec_parse (CprChardevSpec *spec, const char *name, const char *text, GError **error)
{
  g_autoptr (GPtrArray) parts = split (text);
  const char *first = parts->pdata[0], *colon = strchr (first, ':');
  g_autofree char *backend = colon != NULL ? g_strndup (first, (gsize) (colon - first)) : g_strdup (first);
  Options options = { .waits = true, .signals = true, .nodelay = true };

  *spec = (CprChardevSpec){ .where = g_strdup (first) };
  for (size_t i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      if (strcmp (backend, kinds[i].name) != 0)
        continue;
      if (kinds[i].has_path != (colon != NULL) || (colon != NULL && colon[1] == '\0'))
        return cpr_throw (error, CPR_ERROR_INVALID, "chardev '%s': '%s' should be %s%s", name, first, backend,
                          kinds[i].has_path ? ":PLACE" : "");
      spec->kind = kinds[i].kind;
      if (colon != NULL && strcmp (backend, "tcp") != 0)
        spec->path = g_strdup (colon + 1);
      if (!read_options (&options, parts, name, backend, error))
        return false;
      spec->signals = options.signals;
      spec->append = options.append;
      spec->nodelay = options.nodelay && strcmp (backend, "tcp") == 0;
      return spec->kind != CPR_CHARDEV_CLIENT || finish_socket (spec, &options, name, colon + 1, error);
    }
  return cpr_throw (error, CPR_ERROR_INVALID,
                    "chardev '%s': its backend should be null, stdio, pty, file:PATH, pipe:PATH, unix:PATH or "
                    "tcp:HOST:PORT, and is '%s'",
                    name, text);
}

void
cpr_chardev_spec_clear (CprChardevSpec *spec)
{
  g_clear_pointer (&spec->where, g_free);
  g_clear_pointer (&spec->path, g_free);
}
