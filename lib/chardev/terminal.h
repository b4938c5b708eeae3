/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_CHARDEV_TERMINAL_H
#define CPR_CHARDEV_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libcpr/libcpr.h>

#define CPR_TERMINAL_CHARS 19

/* A terminal that was set to raw mode, and the settings that it had before. It is part of the
 * state: the program that ends in the end gives them back. */
typedef struct
{
  bool is_set; /* false: the rest has no meaning */
  uint64_t device, inode;
  uint32_t iflag, oflag, cflag, lflag;
  uint8_t chars[CPR_TERMINAL_CHARS];
} CprTerminal;

extern const CprStruct cpr_terminal_struct;

/* Sets the terminal @fd to raw mode, unless it is the one that @terminal says was set already; does
 * nothing if @fd isn't a terminal. @signals: ^C stays a signal. False with errno. */
bool cpr_terminal_set (CprTerminal *terminal, int fd, bool signals);
/* Gives back the settings, if @fd still is that terminal. */
void cpr_terminal_give_back (CprTerminal *terminal, int fd);

/* A new pseudo terminal in raw mode: its master, which never waits; -1 with errno. */
int cpr_terminal_new_pty (void);
/* The path of its other end; false with errno. */
bool cpr_terminal_get_path (int master, char *path, size_t size);

#endif
