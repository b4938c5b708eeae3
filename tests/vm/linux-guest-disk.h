/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUX_GUEST_DISK_H
#define LINUX_GUEST_DISK_H

/* Loads the modules in /modules, in the order of their names, and starts the processes that
 * write to the disk if there is one then. */
void disk_begin (void);

/* Waits for what is under way, and prints what was done: nothing is written any more. */
void disk_end (void);

#endif
