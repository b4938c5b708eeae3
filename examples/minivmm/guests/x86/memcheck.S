/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest "memcheck": each vCPU owns every n-th page of RAM. In pass after pass it verifies the word that it wrote
 * into the page in the pass before and writes the next one. The word is the page's address plus a number of the pass's
 * own, so that a lost, a swapped and a stale page, and registers older or newer than RAM, all count as errors. A page
 * that wasn't there in the pass before has no such word yet: where either RAM ended then is kept on the stack.
 *
 * Plain integer instructions only: some hosts interpret guest code, and so does the software CPU of tests/vmm.
 *
 * r15: the report   r14: from page to page   r13, r12: the last and this pass's number   rbx, rbp: this page, the end
 * r11: the boot info   r10: 1 in the upper RAM   r9: pages done   r8: TSC of the last page   rsi: when it printed
 * rdi: offset of the first page
 */
#include "guests/abi.h"

#define PASS_STEP 0x9e3779b97f4a7c15
#define LAST_ENDS -16

        .section .rodata
        .globl  guest_memcheck_start, guest_memcheck_end
        .hidden guest_memcheck_start, guest_memcheck_end
        .code64
guest_memcheck_start:
        mov     %edi, %r15d
        shl     $REPORT_SHIFT, %r15d
        add     $GUEST_REPORTS, %r15d
        movabs  $REPORT_MAGIC_VALUE, %rax
        mov     %rax, REPORT_MAGIC(%r15)
        shl     $12, %rdi
        mov     %rsi, %r14
        shl     $12, %r14
        mov     %rdx, %r11
        xor     %eax, %eax
        mov     %rax, LAST_ENDS(%rsp)
        mov     %rax, LAST_ENDS+8(%rsp)
        xor     %esi, %esi
        xor     %r12d, %r12d
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, %r8

pass:
        mov     %r12, %r13
        movabs  $PASS_STEP, %rax
        add     %rax, %r12
        xor     %r9d, %r9d
        xor     %r10d, %r10d
        mov     BOOT_INFO_LOW_START(%r11), %rbx
        mov     BOOT_INFO_LOW_END(%r11), %rbp
area:
        add     %rdi, %rbx
        cmp     %rbp, %rbx
        jae     area_done

page:
        mov     (%rbx), %rax
        sub     %rbx, %rax
        cmp     %r13, %rax
        jne     mismatch
checked:
        lea     (%rbx, %r12), %rax
        mov     %rax, (%rbx)
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
        inc     %r9
        mov     %r9, REPORT_PROGRESS(%r15)
        add     %r14, %rbx
        cmp     %rbp, %rbx
        jb      page

area_done:
        mov     %rbp, LAST_ENDS(%rsp, %r10, 8)
        test    %r10d, %r10d
        jne     pass_done
        inc     %r10d
        mov     BOOT_INFO_HIGH_START(%r11), %rbx
        mov     BOOT_INFO_HIGH_END(%r11), %rbp
        jmp     area

pass_done:
        incq    REPORT_PASSES(%r15)
        mov     %r8, %rcx
        shr     $PRINT_SHIFT, %rcx
        cmp     %rcx, %rsi
        je      pass
        mov     %rcx, %rsi
        mov     $'.', %eax
        mov     $GUEST_SERIAL_PORT, %edx
        out     %al, %dx
        jmp     pass

mismatch:
        cmp     LAST_ENDS(%rsp, %r10, 8), %rbx
        jae     checked
        incq    REPORT_ERRORS(%r15)
        cmpq    $0, REPORT_FIRST_BAD(%r15)
        jne     checked
        mov     %rbx, REPORT_FIRST_BAD(%r15)
        jmp     checked
guest_memcheck_end:

        .section .note.GNU-stack, "", @progbits
