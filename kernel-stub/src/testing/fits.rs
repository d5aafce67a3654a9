//! Which arguments fit which system call.

use kernel_abi::{Kind, Syscall};

/// What fits as an argument.
#[derive(Clone, Copy)]
pub(super) enum Fit {
    /// A capability of this kind.
    Of(Kind),
    /// Any capability.
    Cap,
    /// NULL, or a capability of this kind.
    Maybe(Kind),
    /// A place in the process's own page.
    Place,
    /// Where to map.
    Page,
    Deadline,
    Token,
    Rights,
    /// A number below this.
    Below(u64),
}

/// What fits a system call.
pub(super) fn fits(call: Syscall) -> Vec<Fit> {
    use Fit::*;
    let watch = |first| vec![first, Maybe(Kind::Notification), Below(9)];
    match call {
        Syscall::CapDerive => vec![Cap, Rights, Below(3)],
        Syscall::CapDelete | Syscall::CapRevoke | Syscall::CapInfo => vec![Cap],
        Syscall::CapWatch => watch(Cap),
        Syscall::BudgetCreate => vec![Of(Kind::Budget), Below(9)],
        Syscall::BudgetInfo => vec![Of(Kind::Budget)],
        Syscall::MemoryCreate => vec![Of(Kind::Budget), Below(9), Below(2)],
        Syscall::MemoryMap => vec![
            Below(1),
            Of(Kind::Memory),
            Page,
            Below(3),
            Below(4),
            Below(8),
        ],
        Syscall::MemoryUnmap => vec![Maybe(Kind::Process), Page, Below(6)],
        Syscall::MemoryInfo => vec![Of(Kind::Memory)],
        Syscall::ProcessCreate => vec![Of(Kind::Budget), Below(17)],
        Syscall::ProcessGrant => vec![Of(Kind::Process), Cap, Below(80), Rights, Below(2)],
        Syscall::ProcessKill => vec![Of(Kind::Process), Below(9)],
        Syscall::ProcessExit => vec![Below(9)],
        Syscall::ProcessWatch => vec![Of(Kind::Process), Of(Kind::Notification), Below(9)],
        Syscall::ProcessStatus => vec![Of(Kind::Process), Place],
        Syscall::ProcessCaps => vec![Of(Kind::Process), Below(70), Place, Below(20)],
        Syscall::ThreadCreate => vec![Maybe(Kind::Process), Page, Page, Below(9), Below(16)],
        Syscall::ThreadExit | Syscall::ThreadYield => vec![],
        Syscall::ThreadPriority | Syscall::ThreadPatience => vec![Of(Kind::Thread), Below(17)],
        Syscall::EndpointCreate | Syscall::NotificationCreate => vec![Of(Kind::Budget)],
        Syscall::EndpointCall => vec![Of(Kind::Endpoint), Place, Deadline],
        Syscall::EndpointRecv => vec![Of(Kind::Endpoint), Place, Deadline],
        Syscall::EndpointReply => vec![Of(Kind::Endpoint), Token, Place],
        Syscall::EndpointBind => watch(Of(Kind::Endpoint)),
        Syscall::NotificationSignal => vec![Of(Kind::Notification), Below(16)],
        Syscall::NotificationWait => vec![
            Of(Kind::Notification),
            Below(16),
            Deadline,
            Maybe(Kind::Notification),
            Maybe(Kind::Interrupt),
        ],
        Syscall::DeviceInfo => vec![Of(Kind::Device), Place],
        Syscall::DeviceConfigRead => vec![Of(Kind::Device), Below(4097), Below(5)],
        Syscall::DeviceBar => vec![Of(Kind::Device), Below(7)],
        Syscall::DeviceDmaMap => vec![Of(Kind::Device), Of(Kind::Memory)],
        Syscall::DeviceInterrupt => {
            vec![Of(Kind::Device), Below(5), Of(Kind::Notification), Below(9)]
        }
        Syscall::DeviceStart | Syscall::DeviceQuiesce => vec![Of(Kind::Device)],
        Syscall::DeviceWatch => watch(Of(Kind::Device)),
        Syscall::InterruptAck => vec![Of(Kind::Interrupt)],
        Syscall::ClockNow | Syscall::ClockScale => vec![Of(Kind::Clock)],
        Syscall::ConsoleWrite | Syscall::ConsoleRead => {
            vec![Of(Kind::Console), Place, Below(600)]
        }
        Syscall::ConsoleBind => watch(Of(Kind::Console)),
        Syscall::LogWrite => vec![Of(Kind::Console), Below(7), Place, Below(520)],
        Syscall::LogRead => vec![Of(Kind::Console), Below(90), Place, Below(600)],
        Syscall::LogEcho => vec![Of(Kind::Console), Below(7)],
        // Ends the test.
        Syscall::MachinePower => vec![Below(9)],
        Syscall::MachineInfo => vec![Of(Kind::Machine), Place],
        Syscall::MachineCommandLine => vec![Of(Kind::Machine), Place, Below(90)],
    }
}

/// How many arguments a system call takes.
#[must_use]
pub fn arguments(call: Syscall) -> usize {
    fits(call).len()
}
