//! System call numbers, with arguments, results and errors of each.

macro_rules! syscalls {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// A system call. `a0..a5` are the arguments, `v0..v2` the results (see the crate's documentation).
        ///
        /// Any call can also fail with [`Error::BadSlot`](crate::Error), `WrongKind` and `NoRights` for a
        /// capability argument, `BadAddress` for a pointer, `BadArgument` for a number out of range and
        /// `NoBudget` where something is allocated.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u64)]
        pub enum Syscall { $($(#[$doc])* $name = $number,)* }

        impl Syscall {
            /// Every system call.
            pub const ALL: &'static [Syscall] = &[$(Syscall::$name,)*];

            /// The system call of a number.
            pub const fn from_number(number: u64) -> Option<Syscall> {
                match number { $($number => Some(Syscall::$name),)* _ => None }
            }
        }
    };
}

syscalls! {
    // ---- capabilities -------------------------------------------------------------------------
    /// Makes a narrower copy: `a0` capability, `a1` rights (kept: the intersection), `a2` badge
    /// (zero keeps the parent's; a badged capability cannot be badged again: `Refused`; only
    /// endpoints, notifications and consoles carry badges). Result `v0` the new slot, a child of `a0`.
    /// Errors: `TableFull`.
    CapDerive = 0,
    /// Empties slot `a0`. Children pass to the parent. An object whose last capability goes is destroyed.
    /// Mappings made through the capability are removed.
    CapDelete = 1,
    /// Deletes everything derived from `a0`, in all processes, but not `a0` itself. Where memory was mapped through a deleted
    /// capability, a page of that process's own takes the place of every page until it unmaps them: the
    /// memory is out of its reach at once, but giving memory away and taking it back cannot make the receiver fault.
    CapRevoke = 2,
    /// `a0` capability. Results: `v0` kind in bits 0..8, rights in bits 8..32, bit 32 set if the
    /// capability has children; `v1` badge; `v2` low half: owner-independent object number (for display).
    CapInfo = 3,
    /// When the last capability derived from `a0` goes (its holder died or dropped it), signal bits
    /// `a2` on notification `a1` (SIGNAL). One watch a capability, later calls replace it;
    /// `a1` = NULL ends it. If there are no children at the time of the call, the signal comes at once.
    CapWatch = 4,

    // ---- budgets ------------------------------------------------------------------------------
    /// Splits `a1` frames off budget `a0` (ALLOC) into a new budget, which itself costs `a0` one frame more. Result
    /// `v0` slot (ALLOC, READ, GRANT, MANAGE). When the new budget is destroyed and all it paid for is freed, the
    /// frames return to the parent.
    BudgetCreate = 8,
    /// `a0` budget (any right). Results: `v0` limit, `v1` used (children's limits included), in frames.
    BudgetInfo = 9,

    // ---- memory -------------------------------------------------------------------------------
    /// Allocates `a1` zeroed pages from budget `a0` (ALLOC); `a2` = 1 asks for physically contiguous
    /// frames (for DMA). Result `v0` slot, with all rights of memory. Costs one frame more, and another for
    /// each 1,024 pages of an object of more than 1,000 pages that is not contiguous. At most 1,024,000 pages.
    MemoryCreate = 16,
    /// Maps pages: `a0` process (NULL: the caller; else MANAGE), `a1` memory (a slot *of that process's
    /// table*; its rights bound the protection, READ is needed for any), `a2` page-aligned address, `a3` first page of
    /// the object, `a4` pages, `a5` [`Prot`](crate::Prot). The mapping stands on that capability and goes with it.
    /// Errors: `Busy` if anything is mapped there or the object has a writable mapping (or a device writes
    /// to it) and this one is executable (or the other way round), `Refused` for W and X and for pages of a device
    /// that belong to MSI-X, `BadState` if the process ended.
    MemoryMap = 17,
    /// Unmaps whole earlier mappings: `a0` process (NULL: the caller), `a1` address, `a2` pages;
    /// the range must cover complete mappings, at least one (`BadArgument` otherwise).
    MemoryUnmap = 18,
    /// `a0` memory. Results: `v0` pages, `v1` exact length in bytes (boot archive; else pages * 4096).
    MemoryInfo = 19,

    // ---- processes ----------------------------------------------------------------------------
    /// Makes an empty process that pays with budget `a0` (ALLOC) for its tables; `a1` highest priority of its
    /// threads, at most that of the caller's process. It ends with the caller's process. Result `v0` slot (READ,
    /// MANAGE, GRANT).
    ProcessCreate = 24,
    /// Puts a capability derived from `a1` (GRANT) into process `a0` (MANAGE): `a2` slot index there
    /// (or 0: any free one), `a3` rights, `a4` badge (0: keep). Result `v0` slot there. A new frame of its
    /// table is paid by that process. Errors: `Busy`, `TableFull`, `BadState` if it ended, `Refused` for a second badge.
    ProcessGrant = 25,
    /// Ends process `a0` (MANAGE) at once, exit code `a1`: its memory, threads and capabilities are gone when
    /// the call returns. Errors: `BadState` if it has ended.
    ProcessKill = 26,
    /// Ends the caller's process with exit code `a0`. Does not return.
    ProcessExit = 27,
    /// When process `a0` (READ) ends, signal bits `a2` on notification `a1` (SIGNAL). If it has ended: at once.
    /// Eight notifications can watch a process (`Busy`); a later call with the same one replaces the bits.
    ProcessWatch = 28,
    /// Writes the [`ProcessStatus`](crate::ProcessStatus) of `a0` (READ) to `a1` (words).
    ProcessStatus = 29,
    /// Lists capabilities of process `a0` (READ) from slot index `a1`: writes up to `a3`
    /// [`CapRecord`](crate::CapRecord)s to `a2` (words), 256 at most. Results: `v0` how many, `v1` next index (0: end).
    ProcessCaps = 30,

    // ---- threads ------------------------------------------------------------------------------
    /// Starts a thread in process `a0` (NULL: own; else MANAGE): `a1` entry, `a2` stack pointer, `a3` argument
    /// (arrives in `rdi`), `a4` priority (at most the process's). Result `v0` slot (MANAGE, READ, GRANT), in the
    /// caller's table. A thread costs its process one frame. Errors: `BadState` if the process ended.
    ThreadCreate = 40,
    /// Ends the calling thread. The process ends (code 0) with its last thread.
    ThreadExit = 41,
    /// Lets other threads of the same priority run. A patient thread (see `ThreadPatience`) lets those run that are more urgent than its
    /// first priority, as if it had waited and become ready now.
    ThreadYield = 42,
    /// Sets the priority of thread `a0` (MANAGE) to `a1`, at most its process's.
    ThreadPriority = 43,
    /// Makes thread `a0` (MANAGE) patient: each time that it has waited and becomes ready, it is served with priority `a1` at first (if that
    /// is lower than its own), and with its own when it has not run for two milliseconds. So threads that are less urgent finish what
    /// they are at, and more comes together for it. The highest priority is none at all: a thread begins like that.
    ThreadPatience = 44,

    // ---- endpoints ----------------------------------------------------------------------------
    /// Makes an endpoint, paid by budget `a0` (ALLOC). Result `v0` slot (CALL, RECV, GRANT, MANAGE).
    EndpointCreate = 48,
    /// Sends the [`Message`](crate::Message) at `a1` to endpoint `a0` (CALL) and waits until deadline `a2`
    /// for the reply, which overwrites it. Capabilities in the message are derived into the receiver
    /// (GRANT each); the sender keeps its own. The message is read when the call is made, capabilities are looked up
    /// when it is taken. All 256 bytes at `a1` must be writable. Errors: `Gone` when no receiver is left or the one
    /// that took the call died, `TimedOut`, `TableFull` if the receiver can't take the capabilities.
    EndpointCall = 49,
    /// Waits until deadline `a2` for a call on endpoint `a0` (RECV), whose message is written to `a1`.
    /// Results: `v0` badge of the caller's capability, `v1` token for the reply. Errors: `TimedOut`, `Gone` if the
    /// right to receive is taken away meanwhile.
    EndpointRecv = 50,
    /// Answers the call with token `a1` taken from endpoint `a0` (RECV) with the message at `a2`.
    /// Errors: `Gone` if the caller no longer waits (capabilities in the message are not sent). After
    /// `BadSlot`, `NoRights` and `TableFull` (the caller can't take the capabilities) it still waits.
    EndpointReply = 51,
    /// Whenever a call arrives at endpoint `a0` (RECV), signal bits `a2` on notification `a1` (SIGNAL).
    /// If calls are waiting: at once. `a1` = NULL ends it.
    EndpointBind = 52,

    // ---- notifications ------------------------------------------------------------------------
    /// Makes a notification, paid by budget `a0` (ALLOC). Result `v0` slot (SIGNAL, WAIT, GRANT).
    NotificationCreate = 56,
    /// Sets bits on notification `a0` (SIGNAL): the capability's badge if it has one, else `a1`.
    NotificationSignal = 57,
    /// Waits until deadline `a2` for any bit of mask `a1` on `a0` (WAIT). Before that, what usually comes before it, without
    /// calls of its own: lets interrupt `a4` (MANAGE; NULL: none) come again as [`Syscall::InterruptAck`] does, and signals the
    /// badge of `a3` (SIGNAL; NULL: none); an error of either ends the call. Result `v0` the bits, now cleared; zero at the
    /// deadline (not an error). Errors: `Gone` if the last capability to it goes meanwhile.
    NotificationWait = 58,

    // ---- devices ------------------------------------------------------------------------------
    /// Writes the [`DeviceInfo`](crate::DeviceInfo) of `a0` (READ) to `a1` (words).
    DeviceInfo = 64,
    /// Reads PCI configuration space of `a0` (READ): `a1` offset, `a2` width (1, 2 or 4 bytes). Result `v0`.
    DeviceConfigRead = 65,
    /// Memory object over BAR `a1` of device `a0` (MANAGE), uncached. The pages that hold the MSI-X table or its
    /// pending bits can't be had (`Refused`), nor a BAR that shares a page with something else (`NotSupported`).
    /// Result `v0` slot (READ, WRITE), a child of `a0`: it goes when the capability to the device is revoked.
    DeviceBar = 66,
    /// Lets device `a0` (DMA) read contiguous memory object `a1` (DMA, READ), and write to it if that capability has WRITE. It
    /// stays allocated until the device is quiesced. Results: `v0` address for the device, `v1` bytes. Counts as a
    /// mapping, a writable one if the device may write. The caller's process pays for the tables of the IOMMU; on a machine without
    /// one the device may always write.
    /// Errors: `BadArgument` if it is not contiguous RAM, `Busy` if the device may write and it is mapped executable, if it is to
    /// write what it was given to read before, or if 128 objects are mapped.
    DeviceDmaMap = 67,
    /// Routes MSI-X entry `a1` of device `a0` (MANAGE) to bits `a3` of notification `a2` (SIGNAL).
    /// Delivered twice at most, then masked until [`Syscall::InterruptAck`]. Result `v0` slot of the interrupt (MANAGE), a child
    /// of `a0`. Errors: `Busy` if the entry is routed already, `NotSupported` without such an entry or a free vector.
    DeviceInterrupt = 68,
    /// Turns bus mastering of device `a0` (MANAGE) on: from here on it can write to what was mapped.
    DeviceStart = 69,
    /// Turns bus mastering of `a0` (MANAGE) off, masks its interrupts and releases the memory
    /// pinned by [`Syscall::DeviceDmaMap`]. Interrupts of the device end: what is left of their capabilities is good for
    /// nothing (`Gone`).
    DeviceQuiesce = 70,
    /// Lets interrupt `a0` (MANAGE) come again.
    InterruptAck = 71,
    /// Whenever device `a0` (GRANT) is stopped because it tried to reach memory that it was not given, signal bits `a2`
    /// on notification `a1` (SIGNAL); `a1` = NULL ends it. One watch a device. It starts again only after
    /// [`Syscall::DeviceQuiesce`] (`BadState` before). Nothing is noticed on a machine without an IOMMU.
    DeviceWatch = 73,

    // ---- clock --------------------------------------------------------------------------------
    /// `a0` clock (READ). Result `v0` nanoseconds since boot.
    ClockNow = 72,
    /// How to tell the time without system calls: lets the caller's process read the processor's counter (`rdtsc`), until it
    /// loses a capability to a clock; then reading faults. `a0` clock (READ). Results: `v0` the counter at boot, `v1`
    /// nanoseconds a tick, with 32 bits after the point: nanoseconds since boot are `(counter - v0) * v1 >> 32`, or zero
    /// before `v0`. The counter of a virtual machine may step back.
    ClockScale = 74,

    // ---- console and log ----------------------------------------------------------------------
    /// Writes `a2` bytes at `a1` to console `a0` (READ and WRITE: a capability that may only write is one for the log). Result `v0` bytes written (at most 4096).
    ConsoleWrite = 80,
    /// Reads up to `a2` typed bytes (256 at most) into `a1` from console `a0` (READ), without waiting. Result `v0` how many.
    ConsoleRead = 81,
    /// When input arrives on console `a0` (READ), signal bits `a2` on notification `a1` (SIGNAL); at once if there is some.
    ConsoleBind = 82,
    /// Appends one line (`a3` bytes at `a2`, at most 512, no line end) of level `a1` (1 error .. 5 trace) to
    /// the log of console `a0` (WRITE), stamped with time and the capability's badge, and shows it on
    /// the console if echo is on for that level.
    LogWrite = 83,
    /// Reads one record at or after sequence number `a1` from the log of console `a0` (READ) into `a2`
    /// (`a3` bytes, at least 32): u64 sequence, u64 time, u64 badge, u64 level, text as far as it fits. Results: `v0`
    /// bytes (0: none), `v1` next sequence.
    LogRead = 84,
    /// Shows log lines up to level `a1` on console `a0` (MANAGE); 0 shows none.
    LogEcho = 85,

    // ---- machine ------------------------------------------------------------------------------
    /// Ends machine `a0` (MANAGE): `a1` = exit status 0..=100 for the host (0: clean power-off). Does not return.
    MachinePower = 88,
    /// Writes the [`MachineInfo`](crate::MachineInfo) of `a0` (READ) to `a1` (words).
    MachineInfo = 89,
    /// Copies the kernel command line from `a0` (READ) to `a1` (`a2` bytes). Result `v0` its full length.
    MachineCommandLine = 90,
}
