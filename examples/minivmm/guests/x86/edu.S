/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest "edu" has QEMU's educational PCI device (1234:11e8) to itself (--vfio). In round after round it fills a piece of RAM with
 * numbers of the round's own, has the device read it by DMA and write it by DMA to another piece, and compares every byte, those on
 * either side of the piece as well. The end of each DMA is an MSI, and the guest does nothing more before it has come: with two DMAs a
 * round and a tenth of a second for each there is next to no time without a DMA under way. The pieces wander through all of RAM.
 *
 * Between two rounds it sleeps when it is asked to: then the device is off, and is set up anew afterwards.
 *
 * In its report ticks count while it waits, passes are rounds, errors wrong words. The first vCPU does all of that, others tick.
 * Plain integer instructions only.
 *
 * r15: the report   r14: the DMA report   rbx: the device's registers   r13: DMAs begun   r12: the round
 * rsi, rdi: the pieces, from and to   rbp: the first number   r8: TSC of the last tick   r11: the boot info
 */
#include "guests/abi.h"

#define VECTOR  0x41
#define LAPIC   0xfee00000
#define CONFIG  (GUEST_PCI_CONFIG + (GUEST_PCI_SLOT << 15))
#define EDU_ID  0x11e81234

#define EDU_IRQ_STATUS 0x24
#define EDU_IRQ_ACK    0x64
#define EDU_DMA_FROM   0x80
#define EDU_DMA_TO     0x88
#define EDU_DMA_COUNT  0x90
#define EDU_DMA_CMD    0x98
#define EDU_BUFFER     0x40000
#define EDU_IRQ_DMA    0x100
#define DMA_TO_DEVICE  (1 | 4)          /* begin; with an interrupt at the end */
#define DMA_FROM_DEVICE (1 | 2 | 4)

#define PIECE     2048
#define BORDER    64
#define STRIDE    0x25318
#define NUMBER    0x9e3779b97f4a7c15
#define STEP      0xc2b2ae3d27d4eb4f

        .section .rodata
        .globl  guest_edu_start, guest_edu_end
        .hidden guest_edu_start, guest_edu_end
        .code64
guest_edu_start:
        mov     %edi, %r15d
        shl     $REPORT_SHIFT, %r15d
        add     $GUEST_REPORTS, %r15d
        mov     $GUEST_DMA_REPORT, %r14d
        mov     %rdx, %r11
        xor     %r13d, %r13d
        xor     %r12d, %r12d
        movabs  $REPORT_MAGIC_VALUE, %rax
        mov     %rax, REPORT_MAGIC(%r15)
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, %r8
        test    %edi, %edi
        jnz     idle

        movq    $1, BOOT_INFO_KNOWS_SLEEP(%r11)
/* The device: there, with its memory and its DMA on, and one MSI to this vCPU. */
set_up:
        mov     $CONFIG, %r9d
        cmpl    $EDU_ID, (%r9)
        jne     no_device
        mov     0x10(%r9), %ebx
        and     $-16, %ebx
        movzwl  4(%r9), %eax
        or      $6, %eax
        mov     %ax, 4(%r9)
        movzbl  0x34(%r9), %ecx
find_msi:
        test    %ecx, %ecx
        jz      no_device
        add     %r9, %rcx
        cmpb    $5, (%rcx)
        je      found_msi
        movzbl  1(%rcx), %ecx
        jmp     find_msi
found_msi:
        movl    $LAPIC, 4(%rcx)
        movzwl  2(%rcx), %eax
        test    $0x80, %eax
        jz      1f
        movl    $0, 8(%rcx)
        movw    $VECTOR, 12(%rcx)
        jmp     2f
1:      movw    $VECTOR, 8(%rcx)
2:      or      $1, %eax
        mov     %ax, 2(%rcx)

/* The way of the interrupt: the LAPIC is on, and the IDT has one gate. */
        mov     $LAPIC, %ecx
        movl    $0x1ff, 0xf0(%rcx)
        lea     on_msi(%rip), %rax
        mov     $GUEST_IDT, %ecx
        mov     %ax, VECTOR * 16(%rcx)
        movw    $0x18, VECTOR * 16 + 2(%rcx)
        movw    $0x8e00, VECTOR * 16 + 4(%rcx)
        shr     $16, %rax
        mov     %rax, VECTOR * 16 + 6(%rcx)
        movw    $0, VECTOR * 16 + 14(%rcx)
        lidt    idt(%rip)
        sti

round:
        cmpq    $0, BOOT_INFO_SLEEP(%r11)
        jne     sleep
        inc     %r12
        /* Two halves of RAM; one piece in each, at the same place. */
        mov     BOOT_INFO_LOW_START(%r11), %rcx
        mov     BOOT_INFO_LOW_END(%r11), %r9
        sub     %rcx, %r9
        shr     $1, %r9
        and     $-4096, %r9
        mov     %r12, %rax
        mov     $STRIDE, %edx
        mul     %rdx
        mov     %r9, %r10
        sub     $(PIECE + 2 * BORDER), %r10
        div     %r10
        lea     BORDER(%rcx, %rdx), %rsi
        and     $-8, %rsi
        lea     (%rsi, %r9), %rdi
        test    $1, %r12d
        jz      1f
        xchg    %rsi, %rdi
1:
        movabs  $NUMBER, %rbp
        imul    %r12, %rbp

        /* Before that, every byte of the target and its borders is wrong. */
        movabs  $STEP, %r9
        mov     %rbp, %rax
        xor     %ecx, %ecx
fill:
        mov     %rax, (%rsi, %rcx, 8)
        not     %rax
        mov     %rax, (%rdi, %rcx, 8)
        not     %rax
        add     %r9, %rax
        inc     %ecx
        cmp     $(PIECE / 8), %ecx
        jb      fill
        mov     $1, %ecx
fill_borders:
        mov     %rbp, %rax
        neg     %rcx
        mov     %rax, (%rdi, %rcx, 8)
        neg     %rcx
        mov     %rax, PIECE - 8(%rdi, %rcx, 8)
        inc     %ecx
        cmp     $(BORDER / 8), %ecx
        jbe     fill_borders

        /* In the device, too, each round has its own place. */
        mov     %r12d, %edx
        and     $7, %edx
        shl     $8, %edx
        add     $EDU_BUFFER, %edx

        mov     %rsi, EDU_DMA_FROM(%rbx)
        mov     %rdx, EDU_DMA_TO(%rbx)
        mov     $DMA_TO_DEVICE, %ecx
        call    run_dma
        mov     %rdx, EDU_DMA_FROM(%rbx)
        mov     %rdi, EDU_DMA_TO(%rbx)
        mov     $DMA_FROM_DEVICE, %ecx
        call    run_dma

        mov     %rbp, %rax
        xor     %ecx, %ecx
check:
        cmp     %rax, (%rdi, %rcx, 8)
        je      1f
        call    wrong
1:      cmp     %rax, (%rsi, %rcx, 8)
        je      1f
        call    wrong
1:      add     %r9, %rax
        inc     %ecx
        cmp     $(PIECE / 8), %ecx
        jb      check
        mov     $1, %ecx
check_borders:
        neg     %rcx
        cmp     %rbp, (%rdi, %rcx, 8)
        je      1f
        call    wrong
1:      neg     %rcx
        cmp     %rbp, PIECE - 8(%rdi, %rcx, 8)
        je      1f
        call    wrong
1:      inc     %ecx
        cmp     $(BORDER / 8), %ecx
        jbe     check_borders
        incq    REPORT_PASSES(%r15)
        jmp     round

wrong:
        incq    REPORT_ERRORS(%r15)
        cmpq    $0, REPORT_FIRST_BAD(%r15)
        jne     1f
        mov     %rdi, REPORT_FIRST_BAD(%r15)
1:      ret

/* A DMA of which all is set but the command, in ecx; comes back after its interrupt. */
run_dma:
        movq    $PIECE, EDU_DMA_COUNT(%rbx)
        inc     %r13
        mov     %r13, DMA_REPORT_BEGUN(%r14)
        mov     %rcx, EDU_DMA_CMD(%rbx)
1:      call    tick
        cmp     %r13, DMA_REPORT_MSIS(%r14)
        jb      1b
        ret

tick:
        push    %rdx
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
        pop     %rdx
        ret

/* No DMA is under way. The device keeps nothing of what it is told here, nor of the MSI. */
sleep:
        mov     $CONFIG, %r9d
        movzwl  4(%r9), %eax
        and     $-7, %eax
        mov     %ax, 4(%r9)
        movq    $1, BOOT_INFO_ASLEEP(%r11)
1:      call    tick
        cmpq    $0, BOOT_INFO_SLEEP(%r11)
        jne     1b
        movq    $0, BOOT_INFO_ASLEEP(%r11)
        jmp     set_up

/* A guest with another device, or with none, shows an error for ever. */
no_device:
        incq    REPORT_ERRORS(%r15)
idle:
        call    tick
        jmp     idle

/* The device says why, and wants to hear that it was heard. One interrupt for each DMA, and no other. */
on_msi:
        push    %rax
        push    %rcx
        mov     EDU_IRQ_STATUS(%rbx), %eax
        mov     %eax, EDU_IRQ_ACK(%rbx)
        incq    DMA_REPORT_MSIS(%r14)
        cmp     $EDU_IRQ_DMA, %eax
        jne     1f
        cmp     %r13, DMA_REPORT_MSIS(%r14)
        jbe     2f
1:      incq    DMA_REPORT_UNEXPLAINED(%r14)
2:      mov     $LAPIC, %ecx
        movl    $0, 0xb0(%rcx)
        pop     %rcx
        pop     %rax
        iretq

        .balign 8
idt:    .word   4095
        .quad   GUEST_IDT
guest_edu_end:

        .section .note.GNU-stack, "", @progbits
