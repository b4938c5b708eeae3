/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line, for main(): a table of options, and how each kind of value is read. */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "guests/guests.h"
#include "release.h"
#include "support/error.h"

static void *
get_member (const Option *option, Options *options)
{
  return (char *) options + option->member;
}

static bool
set_true (const Option *option, const char *value, Options *options, GError **error)
{
  *(bool *) get_member (option, options) = true;
  return true;
}

static bool
set_text (const Option *option, const char *value, Options *options, GError **error)
{
  *(const char **) get_member (option, options) = value;
  return true;
}

static bool
set_number (const Option *option, const char *value, Options *options, GError **error)
{
  guint64 number;
  if (!g_ascii_string_to_unsigned (value, 10, option->least, option->most, &number, NULL))
    return throw_error (error, "--%s: '%s' isn't %u to %u", option->name, value, option->least, option->most);
  *(unsigned *) get_member (option, options) = (unsigned) number;
  return true;
}

bool
option_choose (const Option *option, const char *value, const char **choice, GError **error)
{
  if (!g_strv_contains (option->choices, value))
    return throw_error (error, "--%s: unknown value '%s'", option->name, value);
  *choice = value;
  return true;
}

static bool
set_choice (const Option *option, const char *value, Options *options, GError **error)
{
  return option_choose (option, value, get_member (option, options), error);
}

bool
options_parse_size (const char *what, const char *value, uint64_t *size, GError **error)
{
  char *end;
  uint64_t number = g_ascii_strtoull (value, &end, 10);
  unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
  if (!g_ascii_isdigit (*value) || end[shift != 0] || number > (GUEST_RAM_MAX >> shift))
    return throw_error (error, "%s: '%s' isn't a size, or more than %lluG", what, value, GUEST_RAM_MAX >> 30);

  *size = number << shift;
  if (*size < GUEST_RAM_MIN || *size % GUEST_RAM_UNIT)
    return throw_error (error, "%s: '%s' isn't a multiple of 2M, or less than %lluM", what, value, GUEST_RAM_MIN >> 20);
  return true;
}

static bool
set_size (const Option *option, const char *value, Options *options, GError **error)
{
  g_autofree char *what = g_strconcat ("--", option->name, NULL);
  return options_parse_size (what, value, get_member (option, options), error);
}

static bool
set_ram_backend (const Option *option, const char *value, Options *options, GError **error)
{
  if (!strcmp (value, "memfd"))
    options->ram_backend = CPR_RAM_MEMFD;
  else if (!strcmp (value, "hugetlb"))
    options->ram_backend = CPR_RAM_HUGETLB;
  else if (!strcmp (value, "private"))
    options->ram_backend = CPR_RAM_PRIVATE;
  else if (g_str_has_prefix (value, "file:"))
    {
      options->ram_backend = CPR_RAM_FILE;
      options->ram_path = value + strlen ("file:");
    }
  else
    return throw_error (error, "--ram-backend: unknown value '%s'", value);
  return true;
}

static bool
set_vfio_backend (const Option *option, const char *value, Options *options, GError **error)
{
  if (!strcmp (value, "auto"))
    options->vfio_backend = CPR_VFIO_AUTO;
  else if (!strcmp (value, "type1"))
    options->vfio_backend = CPR_VFIO_TYPE1;
  else if (!strcmp (value, "iommufd"))
    options->vfio_backend = CPR_VFIO_IOMMUFD;
  else
    return throw_error (error, "--vfio-backend: unknown value '%s'", value);
  return true;
}

static bool
set_serial (const Option *option, const char *value, Options *options, GError **error)
{
  return g_str_has_prefix (value, "file:") ? set_text (option, value, options, error)
                                           : set_choice (option, value, options, error);
}

static const char *const streams[] = { "stdio", "null", NULL };

/* clang-format off */
#define MEMBER(name)       .member = offsetof (Options, name)
#define RANGE(first, last) .least = (first), .most = (last)
static const Option table[] = {
  { "ram", "SIZE[K|M|G]", "guest RAM, a multiple of 2M (64M)", set_size, MEMBER (ram_size) },
  { "ram-max", "SIZE[K|M|G]", "what ram_grow can make of it at most", set_size, MEMBER (ram_max) },
  { "prealloc", NULL, "allocate all of it at the start", set_true, MEMBER (prealloc) },
  { "ram-backend", "BACKEND", "memfd (default), hugetlb, file:PATH or private", .parse = set_ram_backend },
  { "vcpus", "N", "1 to 64 (1)", set_number, MEMBER (n_vcpus), RANGE (1, MINIVMM_VCPUS_MAX) },
  { "guest", "GUEST", "ticker (default), memcheck, edu or a flat 64-bit binary", set_text, MEMBER (guest) },
  { "serial", "WHERE", "stdio, file:PATH or null (default)", set_serial, MEMBER (serial), .choices = streams },
  { "disk", "PATH", "an image file, locked for this VM", set_text, MEMBER (disk) },
  { "vfio", "BDF", "a PCI function of the host, bound to vfio-pci", set_text, MEMBER (vfio) },
  { "vfio-backend", "BACKEND", "auto (default), type1 or iommufd", .parse = set_vfio_backend },
  { "vfio-trap", NULL, "carry out each access to its BARs here, as if they couldn't be mapped", set_true,
    MEMBER (vfio_trap) },
  { "dma-parts", "N", "map guest RAM for it in that many parts, as if there were holes in it (1)", set_number,
    MEMBER (dma_parts), RANGE (1, 1000) },
  { "monitor", "PATH", "a Unix socket", set_text, MEMBER (monitor) },
  { "stay", "PATH", "don't end when another one has taken the VM over, but serve a monitor there", set_text,
    MEMBER (stay) },
  { "name", "NAME", "the VM's name (minivmm)", set_text, MEMBER (name) },
  { "no-guardian", NULL, "update without a guardian", set_true, MEMBER (no_guardian) },
  { "no-preflight", NULL, "update without asking the new program first", set_true, MEMBER (no_preflight) },
  { "run-through", NULL, "the guest runs on while the new program starts", set_true, MEMBER (run_through) },
  { "no-way-back", NULL, "update also where there would be no way back", set_true, MEMBER (no_way_back) },
  { "preflight-timeout", "MS", "how long a program may take to answer (10000)", set_number,
    MEMBER (preflight_timeout_ms), RANGE (1, G_MAXINT) },
  { "deadline", "MS", "how long the new program of an update may take (5000)", set_number,
    MEMBER (deadline_ms), RANGE (1, G_MAXUINT) },
  { "pause-budget", "MS", "how long the guest may stand still in an update; then it is undone (0: for ever)",
    set_number, MEMBER (pause_budget_ms), RANGE (0, G_MAXUINT) },
  { "incoming", "URI", "wait for the VM of another minivmm: unix:PATH, or unix-fd:N for a socket that is there; or\n"
    "                          take up a saved guest, once: file:PATH, or exec:COMMAND, which prints it", set_text,
    MEMBER (incoming) },
  { "incoming-map", NULL, "map its RAM from that file instead of reading it", set_true, MEMBER (incoming_map) },
  { "help", NULL, "show this", set_true, MEMBER (help) },
  { .name = NULL },
};
/* clang-format on */

static void
print_table (const Option *option)
{
  for (; option && option->name; option++)
    {
      g_autofree char *left = g_strjoin (" ", option->name, option->value, NULL);
      printf ("  --%-21s %s\n", left, option->help);
    }
}

void
options_print_help (void)
{
  printf ("usage: minivmm [OPTION]...\n");
  print_table (release.options);
  print_table (table);
}

static const Option *
find_in (const Option *option, const char *name, size_t len)
{
  for (; option && option->name; option++)
    if (strlen (option->name) == len && !memcmp (option->name, name, len))
      return option;
  return NULL;
}

static const Option *
find_option (const char *name, size_t len)
{
  const Option *option = find_in (release.options, name, len);
  return option ? option : find_in (table, name, len);
}

/* The option at *@word, and its value, which may be the next word: *@word is the last of them. */
static bool
parse_words (Options *options, char ***word, GError **error)
{
  const char *text = **word;
  if (!g_str_has_prefix (text, "--"))
    return throw_error (error, "'%s' isn't an option", text);

  size_t len = strcspn (text + 2, "=");
  const char *value = text[2 + len] ? text + 2 + len + 1 : NULL;
  const Option *option = find_option (text + 2, len);
  if (!option || (value && !option->value))
    return throw_error (error, "%s: unknown option, or it takes no value", text);
  if (option->value && !value && !(value = *++*word))
    return throw_error (error, "%s: needs a value", text);
  return option->parse (option, value, options, error);
}

bool
options_parse (Options *options, char **argv, GError **error)
{
  *options = (Options){
    .name = "minivmm",
    .ram_size = 64 << 20,
    .n_vcpus = 1,
    .dma_parts = 1,
    .guest = "ticker",
    .serial = "null",
  };
  for (char **word = argv; *word && *++word;)
    if (!parse_words (options, &word, error))
      return false;
  return true;
}
