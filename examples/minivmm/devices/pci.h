/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_PCI_H
#define MINIVMM_PCI_H

#include <stdbool.h>
#include <stdint.h>

/* The configuration space of a PCI function that belongs to the guest. Some bits the guest must
 * have values of its own for, such as the addresses in the BARs and the MSI message; they are
 * `emulated`, and all others are the function's. No system calls in here. */

#define PCI_CONFIG_SIZE 256
#define PCI_N_BARS      6

#define PCI_COMMAND        0x04
#define PCI_COMMAND_MEMORY 0x02

typedef struct
{
  uint64_t size; /* a power of two; 0: there is none, or it isn't memory, or it is the upper half of the one before */
  bool is_64_bit;
} PciBar;

typedef struct
{
  PciBar bars[PCI_N_BARS];
  unsigned msi; /* where the MSI capability is; 0: there is none */
  bool msi_is_64_bit;
  uint8_t config[PCI_CONFIG_SIZE];   /* of the emulated bits, their values */
  uint8_t emulated[PCI_CONFIG_SIZE]; /* which bits those are */
} PciFunction;

typedef struct
{
  uint64_t address;
  uint32_t data;
} PciMsi;

/* @hardware is what the function itself has there; @sizes those of its regions, 0 for none. The
 * guest finds the MSI capability and no other, no INTx, and the BARs where a firmware would have
 * put them, from @memory up to @memory_end; those that have no place there have no address. */
void pci_function_init (PciFunction *function,
                        const uint8_t hardware[PCI_CONFIG_SIZE],
                        const uint64_t sizes[PCI_N_BARS],
                        uint64_t memory,
                        uint64_t memory_end);

/* The guest reads at @offset, where the function itself has @hardware. */
void
pci_function_read (const PciFunction *function, unsigned offset, unsigned len, const uint8_t *hardware, uint8_t *data);

/* The guest writes: takes the emulated bits. */
void pci_function_write (PciFunction *function, unsigned offset, unsigned len, const uint8_t *data);

/* True: all of these bits are emulated, so that the function itself must not see what is
 * written. */
bool pci_function_is_emulated (const PciFunction *function, unsigned offset, unsigned len);

/* Where the guest has it; 0: nowhere. */
uint64_t pci_function_get_bar (const PciFunction *function, unsigned bar);

/* False: the guest hasn't enabled it. */
bool pci_function_get_msi (const PciFunction *function, PciMsi *msi);

#endif
