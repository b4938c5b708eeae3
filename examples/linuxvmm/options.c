/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line, for main(). */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "boot/layout.h"
#include "support/error.h"

typedef struct
{
  const char *name;
  size_t member; /* a text */
  const char *help;
} Option;

typedef struct
{
  Options options;
  const char *memory, *n_cpus;
} Texts;

static const Option table[] = {
  { "kernel", offsetof (Texts, options.kernel), "FILE     the guest's Linux: a bzImage, such as /boot/vmlinuz-*" },
  { "initrd", offsetof (Texts, options.initrd), "FILE     its initramfs" },
  { "append", offsetof (Texts, options.append), "TEXT     its command line" },
  { "memory", offsetof (Texts, memory), "SIZE     its RAM, such as 512M or 4G (256M)" },
  { "cpus", offsetof (Texts, n_cpus), "N          its CPUs (1)" },
  { "disk", offsetof (Texts, options.disk), "PATH       an image file, its virtio disk" },
  { "net", offsetof (Texts, options.net), "WHERE       its virtio network card: tap,ifname=NAME[,mac=ADDRESS]" },
  { "rng", offsetof (Texts, options.rng), "FILE        where its random numbers come from, such as /dev/urandom" },
  { "serial", offsetof (Texts, options.serial),
    "WHERE    its serial port, as QEMU's -serial: stdio, pty, unix:PATH,server=on,wait=off, … (stdio)" },
  { "control", offsetof (Texts, options.control), "PATH    a socket for commands: status, update, transfer, quit" },
  { "incoming", offsetof (Texts, options.incoming), "WHERE  take over the guest that comes there: unix:PATH" },
};

static const Option *
find_option (const char *word)
{
  if (!g_str_has_prefix (word, "--"))
    return NULL;
  for (size_t i = 0; i < G_N_ELEMENTS (table); i++)
    if (strcmp (word + 2, table[i].name) == 0)
      return &table[i];
  return NULL;
}

static bool
parse_memory (const char *text, uint64_t *size, GError **error)
{
  char *end;
  uint64_t number = g_ascii_strtoull (text, &end, 10);
  unsigned shift = *end == 'M' ? 20 : 30;

  if (!g_ascii_isdigit (*text) || (*end != 'M' && *end != 'G') || end[1] || number > RAM_MAX >> shift ||
      number << shift < RAM_MIN)
    return throw_error (error, "--memory: '%s' isn't a size from %lluM to %lluG", text, RAM_MIN >> 20, RAM_MAX >> 30);
  *size = number << shift;
  return true;
}

static bool
parse_cpus (const char *text, unsigned *n, GError **error)
{
  guint64 number;

  if (!g_ascii_string_to_unsigned (text, 10, 1, CPUS_MAX, &number, NULL))
    return throw_error (error, "--cpus: '%s' isn't 1 to %d", text, CPUS_MAX);
  *n = (unsigned) number;
  return true;
}

bool
options_parse (Options *options, char **argv, GError **error)
{
  Texts texts = { .options = { .append = "console=ttyS0", .serial = "stdio" }, .memory = "256M", .n_cpus = "1" };

  for (char **word = argv + 1; *word; word++)
    {
      const Option *option = find_option (*word);
      if (strcmp (*word, "--help") == 0)
        texts.options.help = true;
      else if (!option)
        return throw_error (error, "'%s' isn't an option; see --help", *word);
      else if (!word[1])
        return throw_error (error, "%s: its value is missing", *word);
      else
        *(const char **) ((char *) &texts + option->member) = *++word;
    }
  *options = texts.options;
  if (!options->help && !options->kernel)
    return throw_error (error, "--kernel is missing; see --help");
  return parse_memory (texts.memory, &options->memory, error) && parse_cpus (texts.n_cpus, &options->n_cpus, error);
}

void
options_print_help (void)
{
  printf ("linuxvmm --kernel FILE [OPTION VALUE]...\n");
  for (size_t i = 0; i < G_N_ELEMENTS (table); i++)
    printf ("  --%s %s\n", table[i].name, table[i].help);
}

unsigned
options_count_virtio (const Options *options)
{
  return (options->disk ? 1 : 0) + (options->net ? 1 : 0) + (options->rng ? 1 : 0);
}

char **
options_without_incoming (char *const *argv)
{
  char **fresh = g_new0 (char *, g_strv_length ((char **) argv) + 1);
  size_t n = 0;

  for (; *argv; argv++)
    if (strcmp (*argv, "--incoming") == 0 && argv[1])
      argv++;
    else
      fresh[n++] = *argv;
  return fresh;
}
