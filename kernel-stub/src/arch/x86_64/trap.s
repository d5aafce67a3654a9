// The way into user mode and out of it (SDM vol. 3, 6.14; vol. 2, SYSCALL, SYSRET, IRET).
//
// The kernel calls `enter_user` like a function; any trap from user mode makes that call return. The saved
// registers of the running thread double as the stack on which user state is pushed: RSP0 of the task
// state points at its end. Interrupts are off in the kernel except in `hlt` (cpu.rs), so a trap from kernel
// mode is either the end of that `hlt` or a bug; it stays on the kernel's stack.

.macro push_registers
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
.endm

.section .text.trap_stubs, "ax"

// 256 stubs of 16 bytes. Each makes the frame uniform (error code, vector).
.balign 16
.global trap_stubs
trap_stubs:
.set vector, 0
.rept 256
    .balign 16
    // Exceptions without an error code of their own (SDM vol. 3, table 6-1).
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push 0
    .endif
    .byte 0x68                      // push imm32
    .long vector
    // NMI, double fault and machine check have stacks of their own, and none of them goes on: GS may
    // hold either base, so it is not touched.
    .if (vector == 2) || (vector == 8) || (vector == 18)
    jmp trap_in_kernel
    .else
    jmp trap_common
    .endif
    .set vector, vector + 1
.endr

.section .text.trap, "ax"

.balign 16
trap_common:
    test byte ptr [rsp + 24], 3     // privilege level in the saved CS
    jz trap_in_kernel
    swapgs
    push_registers
    mov rsp, gs:[{kernel_stack}]
    // Direction, alignment check, nested task: the user's choice does not count in the kernel, and an
    // interrupt gate leaves them alone (AC would switch SMAP off).
    push 2
    popfq
    jmp return_to_kernel

.balign 16
.global syscall_entry
syscall_entry:
    swapgs
    mov gs:[{user_stack}], rsp
    mov rsp, gs:[{rsp0}]
    push {user_data}
    push qword ptr gs:[{user_stack}]
    push r11                        // flags; FMASK has cleared the dangerous ones in the register
    push {user_code}
    push rcx                        // instruction pointer
    push 0
    push {syscall}
    push_registers
    mov rsp, gs:[{kernel_stack}]

return_to_kernel:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret

// extern "C" fn enter_user(registers: *mut Registers)
.balign 16
.global enter_user
enter_user:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov gs:[{kernel_stack}], rsp
    mov rsp, rdi
    pop r15
    pop r14
    pop r13
    pop r12
    cmp qword ptr [rsp + {vector_after_r12}], {syscall}
    jne 2f

    // Saved by `syscall`: rcx and r11 are free by convention. The instruction pointer came from the
    // processor and follows an instruction in a page below USER_END, so it is canonical (`sysret` to another
    // would fault in the kernel, with the user's stack pointer).
    add rsp, 8                      // r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    add rsp, 8                      // rcx
    pop rbx
    pop rax
    mov rcx, [rsp + 16]             // instruction pointer
    mov r11, [rsp + 32]             // flags
    mov rsp, [rsp + 40]
    swapgs
    sysretq

2:  pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16                     // vector, error code
    swapgs
    iretq

trap_in_kernel:
    push_registers
    cld
    mov rdi, rsp                    // 22 words below an aligned stack: aligned for the call
    call {kernel_trap}
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16
    iretq
