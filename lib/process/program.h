/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_PROCESS_PROGRAM_H
#define CPR_PROCESS_PROGRAM_H

#include <sys/resource.h>
#include <sys/types.h>

#include <glib.h>

#include "stream/wire.h"
#include "stream/writer.h"

#define CPR_PROGRAM_MAX_LIMITS 64 /* more than this kernel has, for later ones */

/* The record of how to execute a program again as it was started. Each program makes it at its
 * start and puts it into the state. The new program uses it to go back. */
typedef struct
{
  int exe_fd; /* the executable, even if its file was replaced or deleted; -1: not open in this process */
  char **argv;
  char **envp; /* without the library's variable */
  char *cwd;
  char comm[16];
  mode_t umask;
  uint64_t ignored_signals; /* bit n-1: signal n */
  unsigned n_limits;
  struct rlimit limits[CPR_PROGRAM_MAX_LIMITS];
} CprProgram;

/* The variable that tells a new program the state's fd. The variable is only a hint, so the fd
 * is verified. */
#define CPR_STATE_VARIABLE "LIBCPR_STATE"

/* The path by which the executable behind @exe_fd is executed. The preflight asks the old
 * executable by this path, and each way back tries it first. */
char *cpr_program_make_exe_path (int exe_fd);

/* Makes the record for this process. @argv: as main() got it, or NULL to read it from /proc. */
bool cpr_program_record (CprProgram *program, char *const *argv, GError **error);
void cpr_program_clear (CprProgram *program); /* closes exe_fd */

/* A copy of @envp with the state's variable set, or without it if @state_fd is -1. */
char **cpr_program_make_envp (char *const *envp, int state_fd);

/* PROGRAM chunk: argv; envp (u32 number, then each: u32 length, bytes, a zero byte); cwd, comm;
 * u32 umask; u64 ignored signals; u32 number of limits, then each: u64 soft, u64 hard. */
void cpr_program_write (const CprProgram *program, CprWriter *writer);
bool cpr_program_read (CprProgram *program, CprCursor *cursor, GError **error);

/* Gives this process the working directory, umask, limits and ignored signals of @program, as
 * far as this process is allowed to. */
void cpr_program_restore (const CprProgram *program);

/* Finds @name in PATH, or takes it as a path if it has a slash, and checks that it can be
 * executed; NULL with an error. */
char *cpr_program_find (const char *name, GError **error);

#endif
