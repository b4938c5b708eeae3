/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest "ticker": each vCPU counts its rounds, looks for the longest time between two of them, and prints a
 * character now and then, ten in turn, so that one that is lost or printed twice stands out.
 *
 * Plain integer instructions only: some hosts interpret guest code, and so does the software CPU of tests/vmm.
 *
 * r15: the report   r8: TSC of the last round   r10: when it printed
 * rdi: the first character   r11: the next one's number
 */
#include "guests/abi.h"

        .section .rodata
        .globl  guest_ticker_start, guest_ticker_end
        .hidden guest_ticker_start, guest_ticker_end
        .code64
guest_ticker_start:
        mov     %edi, %r15d
        shl     $REPORT_SHIFT, %r15d
        add     $GUEST_REPORTS, %r15d
        movabs  $REPORT_MAGIC_VALUE, %rax
        mov     %rax, REPORT_MAGIC(%r15)
        and     $3, %edi
        shl     $4, %edi
        add     $'0', %edi
        xor     %r11d, %r11d
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, %r8
        mov     %rax, %r10
        shr     $PRINT_SHIFT, %r10

round:
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, %rcx
        sub     %r8, %rcx
        mov     %rax, %r8
        cmp     REPORT_GAP(%r15), %rcx
        jbe     1f
        mov     %rcx, REPORT_GAP(%r15)
1:      incq    REPORT_TICKS(%r15)
        shr     $PRINT_SHIFT, %rax
        cmp     %r10, %rax
        je      round

        mov     %rax, %r10
        lea     (%rdi, %r11), %eax
        mov     $GUEST_SERIAL_PORT, %edx
        out     %al, %dx
        inc     %r11d
        cmp     $10, %r11d
        jb      round
        xor     %r11d, %r11d
        jmp     round
guest_ticker_end:

        .section .note.GNU-stack, "", @progbits
