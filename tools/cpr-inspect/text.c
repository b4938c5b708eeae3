/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The texts of a state, for a terminal: everything that is printed goes through this file. */
#include "text.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "stream/value.h"

/* A terminal may act on control characters, and be led astray by those that change the direction
 * or the line. */
static bool
is_harmless (gunichar c)
{
  GUnicodeType type = g_unichar_type (c);

  return g_unichar_isprint (c) && type != G_UNICODE_LINE_SEPARATOR && type != G_UNICODE_PARAGRAPH_SEPARATOR;
}

static char *
escape (const char *bytes, size_t len, bool backslash)
{
  GString *made = g_string_sized_new (len);

  for (size_t at = 0; at < len;)
    {
      gunichar c = g_utf8_get_char_validated (bytes + at, (gssize) (len - at));
      bool valid = c < 0x80000000u;
      size_t n = valid ? (size_t) g_unichar_to_utf8 (c, NULL) : 1;

      if (backslash && valid && c == '\\')
        g_string_append (made, "\\\\");
      else if (valid && is_harmless (c))
        g_string_append_len (made, bytes + at, (gssize) n);
      else
        for (size_t i = 0; i < n; i++)
          g_string_append_printf (made, "\\x%02x", (unsigned) (uint8_t) bytes[at + i]);
      at += n;
    }
  return g_string_free (made, FALSE);
}

char *
inspect_text_escape (const char *bytes, size_t len)
{
  return escape (bytes, len, true);
}

char *
inspect_text_quote (const char *string)
{
  g_autofree char *escaped = inspect_text_escape (string, strlen (string));

  return g_strdup_printf ("'%s'", escaped);
}

char *
inspect_text_escape_message (const char *message)
{
  return escape (message, strlen (message), false);
}

char *
inspect_text_hex (const uint8_t *bytes, size_t len)
{
  static const char digits[] = "0123456789abcdef";
  char *made = g_malloc (2 * len + 1);

  for (size_t i = 0; i < len; i++)
    {
      made[2 * i] = digits[bytes[i] >> 4];
      made[2 * i + 1] = digits[bytes[i] & 15];
    }
  made[2 * len] = '\0';
  return made;
}

char *
inspect_text_field (const CprSchemaField *field)
{
  g_autofree char *kind = cpr_kind_describe (field->kind, field->width);
  GString *made = g_string_new (kind);

  if (field->kind == CPR_KIND_STRING)
    g_string_append_printf (made, " of up to %" PRIu32 " bytes", field->count);
  else if ((field->flags & CPR_FIELD_FLAG_ARRAY) != 0)
    g_string_append_printf (made, ", %s%" PRIu32, (field->flags & CPR_FIELD_FLAG_COUNTED) != 0 ? "up to " : "array of ",
                            field->count);
  if ((field->flags & CPR_FIELD_FLAG_OPTIONAL) != 0)
    g_string_append (made, ", optional");
  if ((field->flags & CPR_FIELD_FLAG_OPTIONAL) != 0 && cpr_kind_is_number (field->kind))
    {
      g_autofree char *value = inspect_text_number (field, field->default_value);

      g_string_append_printf (made, " (%s)", value);
    }
  if ((field->flags & CPR_FIELD_FLAG_IGNORABLE) != 0)
    g_string_append (made, ", ignorable");
  return g_string_free (made, FALSE);
}

/* The bits too: two values that read alike may not be the same. */
static char *
describe_float (size_t width, uint64_t value)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  double wide;
  float narrow;

  if (width == 4)
    {
      uint32_t bits = (uint32_t) value;

      memcpy (&narrow, &bits, sizeof narrow);
      return g_strdup_printf ("%s (0x%08" PRIx32 ")", g_ascii_formatd (number, sizeof number, "%.9g", (double) narrow),
                              bits);
    }
  memcpy (&wide, &value, sizeof wide);
  return g_strdup_printf ("%s (0x%016" PRIx64 ")", g_ascii_formatd (number, sizeof number, "%.17g", wide), value);
}

char *
inspect_text_number (const CprSchemaField *field, uint64_t value)
{
  switch (field->kind)
    {
    case CPR_KIND_BOOL:
      return g_strdup (value != 0 ? "true" : "false");
    case CPR_KIND_INT:
      return g_strdup_printf ("%" PRId64, (int64_t) value);
    case CPR_KIND_TIME:
      return g_strdup_printf ("%" PRId64 " ns", (int64_t) value);
    case CPR_KIND_FLOAT:
      return describe_float (field->width, value);
    default:
      return g_strdup_printf ("%" PRIu64, value);
    }
}

char *
inspect_text_fd (const char *name, int index)
{
  g_autofree char *quoted = inspect_text_quote (name);

  return index >= 0 ? g_strdup_printf ("fd %s %d", quoted, index) : g_strdup ("no fd");
}

char *
inspect_text_size (uint64_t size)
{
  static const char units[] = "KMGTPE";
  double value = (double) size;
  size_t n = 0;

  if (size < 1024)
    return g_strdup_printf ("%" PRIu64 " byte%s", size, size == 1 ? "" : "s");
  for (value /= 1024; value >= 1024; value /= 1024)
    n++;
  return g_strdup_printf ("%.4g %ciB (%" PRIu64 " bytes)", value, units[n], size);
}

char *
inspect_text_signals (uint64_t mask)
{
  GString *made = g_string_new (NULL);

  for (int number = 1; number <= 64; number++)
    if ((mask >> (number - 1) & 1) != 0)
      {
        const char *name = sigabbrev_np (number);

        if (made->len > 0)
          g_string_append_c (made, ' ');
        if (name != NULL)
          g_string_append (made, name);
        else
          g_string_append_printf (made, "%d", number);
      }
  return made->len > 0 ? g_string_free (made, FALSE) : (g_string_free (made, TRUE), g_strdup ("none"));
}

const char *
inspect_run_state_name (uint32_t run_state)
{
  static const char *const names[] = { "running", "paused", "suspended", "paused-suspended" };

  return run_state < G_N_ELEMENTS (names) ? names[run_state] : "?";
}

char *
inspect_text_limit (uint64_t limit)
{
  return limit == RLIM_INFINITY ? g_strdup ("unlimited") : g_strdup_printf ("%" PRIu64, limit);
}

const char *
inspect_limit_name (unsigned number)
{
  static const char *const names[] = { [RLIMIT_CPU] = "cpu",           [RLIMIT_FSIZE] = "fsize",
                                       [RLIMIT_DATA] = "data",         [RLIMIT_STACK] = "stack",
                                       [RLIMIT_CORE] = "core",         [RLIMIT_RSS] = "rss",
                                       [RLIMIT_NPROC] = "nproc",       [RLIMIT_NOFILE] = "nofile",
                                       [RLIMIT_MEMLOCK] = "memlock",   [RLIMIT_AS] = "as",
                                       [RLIMIT_LOCKS] = "locks",       [RLIMIT_SIGPENDING] = "sigpending",
                                       [RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",
                                       [RLIMIT_RTPRIO] = "rtprio",     [RLIMIT_RTTIME] = "rttime" };

  return number < G_N_ELEMENTS (names) ? names[number] : NULL;
}

const char *
inspect_backing_name (unsigned backing)
{
  static const char *const names[] = { "memfd", "hugetlb memfd", "file", "fd of the VMM", "private memory" };

  return backing < G_N_ELEMENTS (names) ? names[backing] : "?";
}

char *
inspect_text_ram_flags (unsigned flags)
{
  static const char *const names[] = { "allocated in advance", "transparent huge pages", "not in core dumps",
                                       "not inherited by fork", "locked" };
  GString *made = g_string_new (NULL);

  for (unsigned i = 0; i < G_N_ELEMENTS (names); i++)
    if ((flags >> i & 1) != 0)
      g_string_append_printf (made, ", %s", names[i]);
  return g_string_free (made, FALSE);
}

static const char *
file_type_name (uint32_t type)
{
  switch (type)
    {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFCHR:
      return "character device";
    case S_IFBLK:
      return "block device";
    case S_IFIFO:
      return "pipe";
    case S_IFSOCK:
      return "socket";
    default:
      return "anonymous inode";
    }
}

char *
inspect_text_identity (const CprFdIdentity *identity)
{
  static const char *const access[] = { "read only", "write only", "read and write", "no access" };
  GString *made = g_string_new (file_type_name (identity->type));

  if (identity->type == S_IFSOCK)
    g_string_append_printf (made, " of domain %" PRIu32 ", type %" PRIu32, identity->socket_domain,
                            identity->socket_type);
  g_string_append_printf (made, ", %s, device %u:%u, inode %" PRIu64, access[identity->access & O_ACCMODE],
                          major (identity->device), minor (identity->device), identity->inode);
  return g_string_free (made, FALSE);
}
