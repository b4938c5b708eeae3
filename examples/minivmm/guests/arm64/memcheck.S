/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest "memcheck" for AArch64: what x86/memcheck.S does, word for word. The last pass's number is kept in a vector register, so that
 * one that is lost counts as well, and so does a counter that goes back.
 *
 * x19: the report   x20: offset of the first page   x21: from page to page   x22: the boot info   x23: when it printed
 * d8, x24: the last and this pass's number   x25: counter at the last page   x26: pages done   x27: 1 in the upper RAM
 * x28, x29: this page, the end
 */
#include "guests/abi.h"
#include "guests/arm64/vectors.inc"

#define PASS_STEP 0x9e3779b97f4a7c15

        .section .rodata
        .globl  guest_arm64_memcheck_start, guest_arm64_memcheck_end
        .hidden guest_arm64_memcheck_start, guest_arm64_memcheck_end
        .balign 2048
guest_arm64_memcheck_start:
        begin
        lsl     x20, x0, #12
        lsl     x21, x1, #12
        mov     x22, x2
        mov     x23, #0
        stp     xzr, xzr, [sp, #-16]
        mov     x24, #0
        mrs     x25, cntvct_el0

pass:
        fmov    d8, x24
        load    x1, PASS_STEP
        add     x24, x24, x1
        mov     x26, #0
        mov     x27, #0
        ldr     x28, [x22, #BOOT_INFO_LOW_START]
        ldr     x29, [x22, #BOOT_INFO_LOW_END]
area:
        add     x28, x28, x20
        cmp     x28, x29
        b.hs    area_done

page:
        ldr     x1, [x28]
        sub     x1, x1, x28
        fmov    x2, d8
        cmp     x1, x2
        b.ne    mismatch
checked:
        add     x1, x28, x24
        str     x1, [x28]
        isb
        mrs     x1, cntvct_el0
        cmp     x1, x25
        b.lo    went_back
        sub     x2, x1, x25
        ldr     x3, [x19, #REPORT_GAP]
        cmp     x2, x3
        b.ls    1f
        str     x2, [x19, #REPORT_GAP]
1:      mov     x25, x1
        increment REPORT_TICKS
        add     x26, x26, #1
        str     x26, [x19, #REPORT_PROGRESS]
        add     x28, x28, x21
        cmp     x28, x29
        b.lo    page

area_done:
        sub     x1, sp, #16
        str     x29, [x1, x27, lsl #3]
        cbnz    x27, pass_done
        mov     x27, #1
        ldr     x28, [x22, #BOOT_INFO_HIGH_START]
        ldr     x29, [x22, #BOOT_INFO_HIGH_END]
        b       area

pass_done:
        increment REPORT_PASSES
        lsr     x1, x25, #PRINT_SHIFT_ARM64
        cmp     x1, x23
        b.eq    pass
        mov     x23, x1
        mov     w1, #'.'
        load    x2, GUEST_PORTS + GUEST_SERIAL_PORT
        strb    w1, [x2]
        b       pass

mismatch:
        sub     x1, sp, #16
        ldr     x1, [x1, x27, lsl #3]
        cmp     x28, x1                 /* a page that wasn't there in the pass before */
        b.hs    checked
        mov     x4, x28
        bl      wrong
        b       checked

went_back:
        mov     x4, x1
        bl      wrong
        b       1b

wrong:
        increment REPORT_ERRORS
        ldr     x3, [x19, #REPORT_FIRST_BAD]
        cbnz    x3, 2f
        str     x4, [x19, #REPORT_FIRST_BAD]
2:      ret

        end_with_vectors trap
guest_arm64_memcheck_end:

        .section .note.GNU-stack, "", %progbits
