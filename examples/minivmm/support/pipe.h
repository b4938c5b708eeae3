/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_PIPE_H
#define MINIVMM_PIPE_H

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

/* A command of the shell at the other end of a pipe. */
typedef struct
{
  pid_t pid; /* 0: there is none */
  int fd;    /* our end */
} Pipe;

/* @writes: whether we write what it reads, or the other way round. */
bool pipe_open (Pipe *pipe, const char *command, bool writes, GError **error);

/* Closes our end and waits for the command's end: an error unless it went well. */
bool pipe_close (Pipe *pipe, GError **error);

/* A copy of the fd of this process that @number names, from 3 up; -1 with an error. */
int pipe_copy_fd (const char *number, GError **error);

#endif
