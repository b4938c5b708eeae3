/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest "ticker" for AArch64. Each vCPU sleeps until its timer's interrupt, which is one tick; the next one is due a fixed time after
 * this one was, so that none is left out while the vCPU doesn't run. It looks for the longest time between two of them, and prints a
 * character now and then, ten in turn.
 *
 * At each of its ticks the first vCPU has the ITS raise an LPI on the last one, unless the one before hasn't come yet. Its progress says
 * how many were raised, and the last one's passes how many came.
 *
 * Errors: an interrupt before its time, one that nobody raised, a counter that goes back, and ticks in RAM that don't fit the time that
 * the vCPU's registers know.
 *
 * x19: the report   x20: the vCPU's number   x21: the report of who gets the LPIs   x22: how many of them the first vCPU raised
 * x23: when the next tick is due   x24: from tick to tick   x25: the first character   x26: the next one's number   x27: when it printed
 * x28: when the ticks began   x29: the counter at the last one   x3, x10 to x13, x30: the interrupts' own
 */
#include "guests/abi.h"
#include "guests/arm64/vectors.inc"

/* Registers of the GIC. */
#define ICC_PMR_EL1     S3_0_C4_C6_0
#define ICC_IAR1_EL1    S3_0_C12_C12_0
#define ICC_EOIR1_EL1   S3_0_C12_C12_1
#define ICC_SRE_EL1     S3_0_C12_C12_5
#define ICC_IGRPEN1_EL1 S3_0_C12_C12_7

#define GICD_CTLR       0x0
#define GICR_CTLR       0x0
#define GICR_WAKER      0x14
#define GICR_PROPBASER  0x70
#define GICR_PENDBASER  0x78
#define GICR_SGI        0x10000         /* the frame of the vCPU's own interrupts */
#define GICR_IGROUPR0   0x80
#define GICR_ISENABLER0 0x100
#define GICR_IPRIORITYR 0x400
#define GITS_CTLR       0x0
#define GITS_CBASER     0x80
#define GITS_CWRITER    0x88
#define GITS_BASER0     0x100           /* devices */
#define GITS_BASER1     0x108           /* collections */

#define TIMER           27
#define LPI             8192
#define SPURIOUS        1020            /* and the three after it */
#define PRIORITY        0xa0
#define CACHEABLE       (7 << 7 | 1 << 10)      /* inner: write-back, shareable; as in GICR_PROPBASER and GICR_PENDBASER */
#define ITS_CACHEABLE   (7 << 59 | 1 << 10)
#define VALID           (1 << 63)
#define ID_BITS         14

/* Tables: from GUEST_TABLES on. */
#define LPI_SETTINGS    (GUEST_TABLES)
#define COMMANDS        (GUEST_TABLES + 0x10000)
#define COMMANDS_SIZE   0x1000
#define LPI_PENDING     (GUEST_TABLES + 0x20000)
#define DEVICES         (GUEST_TABLES + 0x30000)
#define COLLECTIONS     (GUEST_TABLES + 0x40000)
#define EVENTS          (GUEST_TABLES + 0x50000)

#define CMD_INT         0x03
#define CMD_SYNC        0x05
#define CMD_MAPD        0x08
#define CMD_MAPC        0x09
#define CMD_MAPTI       0x0a
#define CMD_INV         0x0c

/* Writes a command for the ITS at x4, the next one's place afterwards. */
        .macro  command code, word1, word2
        mov     x3, #\code
        str     x3, [x4], #8
        load    x3, \word1
        str     x3, [x4], #8
        load    x3, \word2
        str     x3, [x4], #8
        str     xzr, [x4], #8
        .endm

        .section .rodata
        .globl  guest_arm64_ticker_start, guest_arm64_ticker_end
        .hidden guest_arm64_ticker_start, guest_arm64_ticker_end
        .balign 2048
guest_arm64_ticker_start:
        begin
        mov     x20, x0
        sub     x1, x1, #1              /* who gets the LPIs */
        load    x21, GUEST_REPORTS
        add     x21, x21, x1, lsl #REPORT_SHIFT
        mov     x22, #0
        mrs     x24, cntfrq_el0
        lsr     x24, x24, #8
        and     x25, x0, #3
        lsl     x25, x25, #4
        add     x25, x25, #'0'
        mov     x26, #0

        cbnz    x20, own_interrupts
        load    x2, GUEST_GIC_DIST
        mov     w3, #0x12               /* affinity routing, group 1 */
        str     w3, [x2, #GICD_CTLR]
        b       set_up_its
own_interrupts:
        load    x2, GUEST_GIC_REDIST
        load    x3, GUEST_GIC_REDIST_SIZE
        madd    x2, x20, x3, x2
        str     wzr, [x2, #GICR_WAKER]
1:      ldr     w3, [x2, #GICR_WAKER]
        tbnz    w3, #2, 1b
        add     x2, x2, #GICR_SGI
        mov     w3, #-1
        str     w3, [x2, #GICR_IGROUPR0]
        mov     w3, #PRIORITY
        strb    w3, [x2, #GICR_IPRIORITYR + TIMER]
        mov     w3, #1 << TIMER
        str     w3, [x2, #GICR_ISENABLER0]

        mov     x3, #1
        msr     ICC_SRE_EL1, x3
        isb
        mov     x3, #0xff
        msr     ICC_PMR_EL1, x3
        mov     x3, #1
        msr     ICC_IGRPEN1_EL1, x3
        isb

        mrs     x28, cntvct_el0
        mov     x29, x28
        lsr     x27, x28, #PRINT_SHIFT_ARM64
        add     x23, x28, x24
        msr     cntv_cval_el0, x23
        mov     x3, #1
        msr     cntv_ctl_el0, x3
        isb
        msr     daifclr, #2

round:
        wfi
        lsr     x1, x29, #PRINT_SHIFT_ARM64
        cmp     x1, x27
        b.eq    round
        mov     x27, x1
        add     w1, w25, w26
        load    x2, GUEST_PORTS + GUEST_SERIAL_PORT
        strb    w1, [x2]
        add     w26, w26, #1
        cmp     w26, #10
        csel    w26, wzr, w26, eq
        b       round

/* One device with one event, which is an LPI for the vCPU in x1. */
set_up_its:
        load    x2, LPI_SETTINGS
        mov     w3, #PRIORITY | 3       /* enabled */
        strb    w3, [x2]
        load    x2, GUEST_GIC_REDIST
        load    x3, GUEST_GIC_REDIST_SIZE
        madd    x2, x1, x3, x2
        load    x3, LPI_SETTINGS | CACHEABLE | (ID_BITS - 1)
        str     x3, [x2, #GICR_PROPBASER]
        load    x3, LPI_PENDING | CACHEABLE
        str     x3, [x2, #GICR_PENDBASER]
        mov     w3, #1
        str     w3, [x2, #GICR_CTLR]

        load    x2, GUEST_GIC_ITS
        load    x3, DEVICES | ITS_CACHEABLE | VALID
        str     x3, [x2, #GITS_BASER0]
        load    x3, COLLECTIONS | ITS_CACHEABLE | VALID
        str     x3, [x2, #GITS_BASER1]
        load    x3, COMMANDS | ITS_CACHEABLE | VALID
        str     x3, [x2, #GITS_CBASER]
        str     xzr, [x2, #GITS_CWRITER]
        mov     w3, #1
        str     w3, [x2, #GITS_CTLR]

        load    x4, COMMANDS
        lsl     x1, x1, #16
        command CMD_MAPD, 0, (EVENTS | VALID)
        command CMD_MAPC, 0, VALID
        ldr     x3, [x4, #-16]
        orr     x3, x3, x1
        str     x3, [x4, #-16]
        command CMD_MAPTI, (LPI << 32), 0
        command CMD_INV, 0, 0
        command CMD_SYNC, 0, 0
        str     x1, [x4, #-16]
        dsb     sy
        mov     x3, #5 * 32
        str     x3, [x2, #GITS_CWRITER]
        b       own_interrupts

/* ---- Interrupts. */
on_interrupt:
        mrs     x10, ICC_IAR1_EL1
        dsb     sy
        cmp     w10, #TIMER
        b.eq    tick
        cmp     w10, #LPI
        b.eq    lpi
        cmp     w10, #SPURIOUS
        b.lo    unexpected
        cmp     w10, #SPURIOUS + 3
        b.hi    unexpected
        eret
unexpected:
        mov     x13, x10
        bl      wrong
end_of_interrupt:
        msr     ICC_EOIR1_EL1, x10
        isb
        eret

tick:
        isb
        mrs     x13, cntvct_el0
        cmp     x13, x29
        b.hs    1f
        bl      wrong
1:      sub     x11, x13, x29
        ldr     x12, [x19, #REPORT_GAP]
        cmp     x11, x12
        b.ls    1f
        str     x11, [x19, #REPORT_GAP]
1:      mov     x29, x13
        cmp     x13, x23
        b.hs    1f
        bl      wrong
1:      increment REPORT_TICKS
        madd    x11, x3, x24, x28
        cmp     x11, x23
        b.eq    1f
        mov     x13, x11
        bl      wrong
1:      add     x23, x23, x24
        msr     cntv_cval_el0, x23
        isb
        cbnz    x20, end_of_interrupt

        ldr     x11, [x21, #REPORT_PASSES]
        cmp     x11, x22
        b.ne    end_of_interrupt
        add     x22, x22, #1
        str     x22, [x19, #REPORT_PROGRESS]
        load    x11, GUEST_GIC_ITS
        ldr     x12, [x11, #GITS_CWRITER]
        load    x13, COMMANDS
        add     x13, x13, x12
        mov     x3, #CMD_INT
        stp     x3, xzr, [x13]
        stp     xzr, xzr, [x13, #16]
        dsb     sy
        add     x12, x12, #32
        and     x12, x12, #COMMANDS_SIZE - 1
        str     x12, [x11, #GITS_CWRITER]
        b       end_of_interrupt

lpi:
        increment REPORT_PASSES
        load    x11, GUEST_REPORTS
        ldr     x12, [x11, #REPORT_PROGRESS]
        cmp     x3, x12
        b.ls    end_of_interrupt
        mov     x13, x10
        bl      wrong
        b       end_of_interrupt

wrong:
        increment REPORT_ERRORS
        ldr     x3, [x19, #REPORT_FIRST_BAD]
        cbnz    x3, 1f
        str     x13, [x19, #REPORT_FIRST_BAD]
1:      ret

        end_with_vectors on_interrupt
guest_arm64_ticker_end:

        .section .note.GNU-stack, "", %progbits
