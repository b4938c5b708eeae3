/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_PROCESS_PROGRAM_H
#define CPR_PROCESS_PROGRAM_H

#include <sys/resource.h>
#include <sys/types.h>

#include <glib.h>

#include "stream/wire.h"
#include "stream/writer.h"

#define CPR_PROGRAM_MAX_LIMITS 64 /* a later kernel may have more than this one */

/* All that it takes to execute a program again as it was started: recorded by each program at its
 * start, carried in the state, used by its successor if that has to go back. */
typedef struct
{
  int exe_fd; /* the executable itself, also when its file is replaced or deleted meanwhile; -1 if not open
                 here */
  char **argv;
  char **envp; /* without the library's variable */
  char *cwd;
  char comm[16];
  mode_t umask;
  uint64_t ignored_signals; /* bit n-1: signal n */
  unsigned n_limits;
  struct rlimit limits[CPR_PROGRAM_MAX_LIMITS];
} CprProgram;

/* The variable that tells a new program which fd the state is; a hint, verified. */
#define CPR_STATE_VARIABLE "LIBCPR_STATE"

/* The path by which the executable behind @exe_fd is executed: what the preflight asks by, and
 * what each way back tries first. */
char *cpr_program_make_exe_path (int exe_fd);

/* @argv: as main() got it, or NULL: /proc knows it too. */
bool cpr_program_record (CprProgram *program, char *const *argv, GError **error);
void cpr_program_clear (CprProgram *program); /* closes exe_fd */

/* A copy of @envp with the state's variable set, or removed where @state_fd is -1. */
char **cpr_program_make_envp (char *const *envp, int state_fd);

/* PROGRAM chunk: argv; envp (u32 number, then each: u32 length, bytes, a zero byte); cwd, comm;
 * u32 umask; u64 ignored signals; u32 number of limits, then each: u64 soft, u64 hard. */
void cpr_program_write (const CprProgram *program, CprWriter *writer);
bool cpr_program_read (CprProgram *program, CprCursor *cursor, GError **error);

/* Gives this process the working directory, umask, limits and ignored signals of @program, as far
 * as it may.
 */
void cpr_program_restore (const CprProgram *program);

/* Finds @name in PATH, or as it is where it has a slash, and checks that it can be executed;
 * NULL with an error. */
char *cpr_program_find (const char *name, GError **error);

#endif
