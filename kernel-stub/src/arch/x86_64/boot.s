// The first instructions. A PVH loader (`qemu -kernel`) enters `pvh_entry` in 32-bit protected mode
// without paging, ebx pointing at the start information (Xen, docs/misc/pvh.pandoc). This code maps
// the first GiB of memory at 0 and at the kernel's addresses, all rights, and goes on there in 64-bit
// mode; `boot.rs` soon replaces that mapping.

.section .note.Xen, "a", @note
    .balign 4
    .long 4                         // bytes of the name
    .long 8                         // bytes of the value
    .long 18                        // XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_entry

.section .boot.bss, "aw", @nobits
    .balign 4096
boot_pml4:
    .skip 4096
boot_pdpt_low:
    .skip 4096
boot_pdpt_high:
    .skip 4096
boot_directory:
    .skip 4096

.section .boot.text, "ax"
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff        // 64-bit code
boot_gdt_pointer:
    .word 15
    .long boot_gdt
no_long_mode:
    .asciz "kernel: this processor has no 64-bit mode\n"

.code32
.global pvh_entry
pvh_entry:
    cli
    cld
    mov %ebx, %ebp                  // cpuid overwrites ebx

    mov $0x80000000, %eax
    cpuid
    cmp $0x80000001, %eax
    jb 9f
    mov $0x80000001, %eax
    cpuid
    bt $29, %edx                    // long mode
    jnc 9f

    // The loader has cleared these, but a reboot may not have.
    mov $boot_pml4, %edi
    mov $(4 * 1024), %ecx
    xor %eax, %eax
    rep stosl

    mov $(boot_pdpt_low + 3), %eax
    mov %eax, boot_pml4
    mov $(boot_pdpt_high + 3), %eax
    mov %eax, boot_pml4 + 511 * 8
    mov $(boot_directory + 3), %eax
    mov %eax, boot_pdpt_low
    mov %eax, boot_pdpt_high + 510 * 8
    mov $boot_directory, %edi
    mov $0x83, %eax                 // present, writable, 2 MiB
    mov $512, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    dec %ecx
    jnz 1b

    mov %cr4, %eax
    or $0x20, %eax                  // PAE
    mov %eax, %cr4
    mov $boot_pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx           // EFER
    rdmsr
    or $0x100, %eax                 // LME
    wrmsr
    mov %cr0, %eax
    or $0x80000001, %eax            // paging, protection
    mov %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $8, $2f

9:  mov $no_long_mode, %esi
    mov $0x3f8, %dx
8:  lodsb
    test %al, %al
    jz 7f
    outb %al, %dx
    jmp 8b
7:  hlt
    jmp 7b

.code64
2:  xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $bss_start, %rdi
    mov $bss_end, %rcx
    sub %rdi, %rcx
    shr $3, %rcx
    rep stosq
    mov $kernel_stack_top, %rsp
    mov %ebp, %edi                  // start information, physical
    xor %ebp, %ebp
    mov $kernel_main, %rax
    call *%rax
    ud2
