/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compares the root directory, the mount namespace and the capabilities of the asked program with
 * those of the program that asks. Called by ask/exchange.c. */
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "ask/compare.h"
#include "base/sys.h"

/* In the order of their numbers (man 7 capabilities). */
static const char *const names[] = {
  "chown",
  "dac_override",
  "dac_read_search",
  "fowner",
  "fsetid",
  "kill",
  "setgid",
  "setuid",
  "setpcap",
  "linux_immutable",
  "net_bind_service",
  "net_broadcast",
  "net_admin",
  "net_raw",
  "ipc_lock",
  "ipc_owner",
  "sys_module",
  "sys_rawio",
  "sys_chroot",
  "sys_ptrace",
  "sys_pacct",
  "sys_admin",
  "sys_boot",
  "sys_nice",
  "sys_resource",
  "sys_time",
  "sys_tty_config",
  "mknod",
  "lease",
  "audit_write",
  "audit_control",
  "setfcap",
  "mac_override",
  "mac_admin",
  "syslog",
  "wake_alarm",
  "block_suspend",
  "audit_read",
  "perfmon",
  "bpf",
  "checkpoint_restore",
};

bool
cpr_capabilities_get (pid_t pid, uint64_t *effective)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = pid };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

  if (syscall (SYS_capget, &header, data) < 0)
    return false;
  *effective = (uint64_t) data[1].effective << 32 | data[0].effective;
  return true;
}

/* A program can't get back the capabilities that its execution took away. More do no harm. */
static void
compare_capabilities (pid_t asker, GPtrArray *findings)
{
  g_autoptr (GString) list = g_string_new (NULL);
  uint64_t there, here;

  if (!cpr_capabilities_get (asker, &there) || !cpr_capabilities_get (0, &here) || (there & ~here) == 0)
    return;
  for (unsigned i = 0; i < 64; i++)
    if (((there & ~here) >> i & 1) != 0)
      {
        g_string_append (list, list->len > 0 ? ", " : "");
        if (i < G_N_ELEMENTS (names))
          g_string_append_printf (list, "cap_%s", names[i]);
        else
          g_string_append_printf (list, "%u", i);
      }
  cpr_findings_add (findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_PROGRAM, "capabilities",
                    "capabilities: the running program has %s, which this one doesn't have", list->str);
}

/* In another place the old program would find other files by the same names, on its way back too.
 * Without /proc, or the right to look there, nothing is found. */
static void
compare_place (pid_t asker, const char *entry, const char *what, GPtrArray *findings)
{
  g_autofree char *there = g_strdup_printf ("/proc/%d/%s", asker, entry);
  g_autofree char *here = g_strdup_printf ("/proc/self/%s", entry);
  struct stat theirs, ours;

  if (cpr_sys->stat (there, &theirs) < 0 || cpr_sys->stat (here, &ours) < 0 ||
      (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino))
    return;
  cpr_findings_add (findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_PROGRAM, what,
                    "%s: process %d, which has the guest, has inode %" G_GUINT64_FORMAT " of device %" G_GUINT64_FORMAT
                    ", this program has inode %" G_GUINT64_FORMAT " of device %" G_GUINT64_FORMAT,
                    what, asker, (uint64_t) theirs.st_ino, (uint64_t) theirs.st_dev, (uint64_t) ours.st_ino,
                    (uint64_t) ours.st_dev);
}

void
cpr_compare_surroundings (pid_t asker, GPtrArray *findings)
{
  compare_capabilities (asker, findings);
  compare_place (asker, "root", "root directory", findings);
  compare_place (asker, "ns/mnt", "mount namespace", findings);
}
