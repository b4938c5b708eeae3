/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include <getopt.h>
#include <string.h>

#include "support/error.h"
#include "guests/guests.h"

static const char help_text[] =
    "usage: minivmm [OPTION]...\n"
    "  --ram SIZE[K|M|G]       guest RAM, a multiple of 2M (64M)\n"
    "  --prealloc              allocate all of it at the start\n"
    "  --ram-backend BACKEND   memfd (default), hugetlb, file:PATH or private\n"
    "  --vcpus N               1 to 64 (1)\n"
    "  --accel ACCEL           auto (default), kvm or soft\n"
    "  --guest GUEST           ticker (default), memcheck, edu or a flat 64-bit binary\n"
    "  --serial WHERE          stdio, file:PATH or null (default)\n"
    "  --device CARD           a card, watchdog or crashlog, if this build has it; may be repeated\n"
    "  --disk PATH             an image file, locked for this VM\n"
    "  --vfio BDF              a PCI function of the host, bound to vfio-pci; needs KVM\n"
    "  --vfio-backend BACKEND  auto (default), type1 or iommufd\n"
    "  --vfio-trap             carry out each access to its BARs here, as if they couldn't be mapped\n"
    "  --dma-parts N           map guest RAM for it in that many parts, as if there were holes in it (1)\n"
    "  --monitor PATH          a Unix socket\n"
    "  --stay PATH             don't end when another one has taken the VM over, but serve a monitor there\n"
    "  --name NAME             the VM's name (minivmm)\n"
    "  --verify-ram            hash all of RAM before and after an update; makes the pause long\n"
    "  --no-guardian           update without a guardian\n"
    "  --no-preflight          update without asking the new program first\n"
    "  --no-way-back           update also where there would be no way back\n"
    "  --preflight-timeout MS  how long a program may take to answer (10000)\n"
    "  --fail-at STEP          a test aid: fail when taking over a guest, at new, ram, fds, devices, load, "
    "start or running\n"
    "  --fail-by HOW           in which way: error (default), segv, abort, exit, kill, stop, halt, hang, child, slow\n"
    "  --deadline MS           how long the new program of an update may take (5000)\n"
    "  --pause-budget MS       how long the guest may stand still in an update; then it is undone (0: for ever)\n"
    "  --incoming URI          wait for the VM of another minivmm: unix:PATH, or unix-fd:N for a socket that is there; "
    "or\n"
    "                          take up a saved guest, once: file:PATH, or exec:COMMAND, which prints it\n"
    "  --incoming-map          map its RAM from that file instead of reading it\n"
    "  --help                  show this\n";

const char *
options_get_help (void)
{
  return help_text;
}

static bool
is_one_of (const char *value, const char *const *choices)
{
  for (; *choices; choices++)
    if (!strcmp (value, *choices))
      return true;
  return false;
}

static bool
parse_choice (const char *option, const char *value, const char *const *choices, const char **out, GError **error)
{
  if (!is_one_of (value, choices))
    return throw_error (error, "--%s: unknown value '%s'", option, value);
  *out = value;
  return true;
}

static bool
parse_size (const char *value, uint64_t *size, GError **error)
{
  char *end;
  uint64_t number = g_ascii_strtoull (value, &end, 10);
  unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
  if (!g_ascii_isdigit (*value) || end[shift != 0] || number > (GUEST_RAM_MAX >> shift))
    return throw_error (error, "--ram: '%s' isn't a size, or more than %lluG", value, GUEST_RAM_MAX >> 30);

  *size = number << shift;
  if (*size < GUEST_RAM_MIN || *size % GUEST_RAM_UNIT)
    return throw_error (error, "--ram: '%s' isn't a multiple of 2M, or less than %lluM", value, GUEST_RAM_MIN >> 20);
  return true;
}

static bool
parse_backend (Options *options, const char *value, GError **error)
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
parse_vfio_backend (Options *options, const char *value, GError **error)
{
  static const char *const names[] = { "auto", "type1", "iommufd" };
  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    if (!strcmp (value, names[i]))
      {
        options->vfio_backend = CPR_VFIO_AUTO + i;
        return true;
      }
  return throw_error (error, "--vfio-backend: unknown value '%s'", value);
}

static bool
parse_number (const char *option, const char *value, unsigned least, unsigned most, unsigned *out, GError **error)
{
  guint64 number;
  if (!g_ascii_string_to_unsigned (value, 10, least, most, &number, NULL))
    return throw_error (error, "--%s: '%s' isn't %u to %u", option, value, least, most);
  *out = (unsigned) number;
  return true;
}

static bool
parse_serial (const char *value, const char **serial, GError **error)
{
  static const char *const choices[] = { "stdio", "null", NULL };
  *serial = value;
  return g_str_has_prefix (value, "file:") || parse_choice ("serial", value, choices, serial, error);
}

static bool
parse_card (Options *options, const char *value, GError **error)
{
  if (options->n_cards == MINIVMM_CARDS_MAX)
    return throw_error (error, "--device: more than %d", MINIVMM_CARDS_MAX);
  options->cards[options->n_cards++] = value;
  return true;
}

static bool
parse_option (Options *options, int letter, const char *value, GError **error)
{
  static const char *const accels[] = { "auto", "kvm", "soft", NULL };
  static const char *const steps[] = { "new", "ram", "fds", "devices", "load", "start", "running", NULL };
  static const char *const ways[] = { "error", "segv", "abort", "exit", "kill", "stop",
                                      "halt",  "hang", "child", "slow", NULL };

  switch (letter)
    {
    case 'r':
      return parse_size (value, &options->ram_size, error);
    case 'p':
      options->prealloc = true;
      return true;
    case 'b':
      return parse_backend (options, value, error);
    case 'c':
      return parse_number ("vcpus", value, 1, MINIVMM_VCPUS_MAX, &options->n_vcpus, error);
    case 'a':
      return parse_choice ("accel", value, accels, &options->accel, error);
    case 'g':
      options->guest = value;
      return true;
    case 's':
      return parse_serial (value, &options->serial, error);
    case 'd':
      return parse_card (options, value, error);
    case 'i':
      options->disk = value;
      return true;
    case 'x':
      options->vfio = value;
      return true;
    case 'X':
      return parse_vfio_backend (options, value, error);
    case 'T':
      options->vfio_trap = true;
      return true;
    case 'M':
      return parse_number ("dma-parts", value, 1, 1000, &options->dma_parts, error);
    case 'm':
      options->monitor = value;
      return true;
    case 'S':
      options->stay = value;
      return true;
    case 'n':
      options->name = value;
      return true;
    case 'v':
      options->verify_ram = true;
      return true;
    case 'G':
      options->guardian = false;
      return true;
    case 'P':
      options->preflight = false;
      return true;
    case 'W':
      options->way_back = false;
      return true;
    case 't':
      return parse_number ("preflight-timeout", value, 1, G_MAXINT, &options->preflight_timeout_ms, error);
    case 'f':
      return parse_choice ("fail-at", value, steps, &options->fail_at, error);
    case 'w':
      return parse_choice ("fail-by", value, ways, &options->fail_by, error);
    case 'D':
      return parse_number ("deadline", value, 1, G_MAXUINT, &options->deadline_ms, error);
    case 'B':
      return parse_number ("pause-budget", value, 0, G_MAXUINT, &options->pause_budget_ms, error);
    case 'I':
      options->incoming = value;
      return true;
    case 'R':
      options->incoming_map = true;
      return true;
    default:
      options->help = true;
      return true;
    }
}

bool
options_parse (Options *options, int argc, char **argv, GError **error)
{
  static const struct option table[] = {
    { "ram", required_argument, NULL, 'r' },
    { "prealloc", no_argument, NULL, 'p' },
    { "vcpus", required_argument, NULL, 'c' },
    { "ram-backend", required_argument, NULL, 'b' },
    { "accel", required_argument, NULL, 'a' },
    { "guest", required_argument, NULL, 'g' },
    { "serial", required_argument, NULL, 's' },
    { "vfio", required_argument, NULL, 'x' },
    { "vfio-backend", required_argument, NULL, 'X' },
    { "vfio-trap", no_argument, NULL, 'T' },
    { "dma-parts", required_argument, NULL, 'M' },
    { "monitor", required_argument, NULL, 'm' },
    { "name", required_argument, NULL, 'n' },
    { "stay", required_argument, NULL, 'S' },
    { "verify-ram", no_argument, NULL, 'v' },
    { "disk", required_argument, NULL, 'i' },
    { "device", required_argument, NULL, 'd' },
    { "fail-at", required_argument, NULL, 'f' },
    { "fail-by", required_argument, NULL, 'w' },
    { "deadline", required_argument, NULL, 'D' },
    { "no-guardian", no_argument, NULL, 'G' },
    { "no-preflight", no_argument, NULL, 'P' },
    { "no-way-back", no_argument, NULL, 'W' },
    { "preflight-timeout", required_argument, NULL, 't' },
    { "pause-budget", required_argument, NULL, 'B' },
    { "incoming", required_argument, NULL, 'I' },
    { "incoming-map", no_argument, NULL, 'R' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
  };

  *options = (Options){ .argv = argv,
                        .name = "minivmm",
                        .ram_size = 64 << 20,
                        .n_vcpus = 1,
                        .dma_parts = 1,
                        .accel = "auto",
                        .guest = "ticker",
                        .serial = "null",
                        .guardian = true,
                        .preflight = true,
                        .way_back = true };
  opterr = 0;
  int letter;
  while ((letter = getopt_long (argc, argv, "+:", table, NULL)) != -1)
    {
      if (letter == ':')
        return throw_error (error, "%s: needs a value", argv[optind - 1]);
      if (letter == '?')
        return throw_error (error, "%s: unknown option, or it takes no value", argv[optind - 1]);
      if (!parse_option (options, letter, optarg, error))
        return false;
    }
  if (optind < argc)
    return throw_error (error, "'%s' isn't an option", argv[optind]);
  return true;
}
