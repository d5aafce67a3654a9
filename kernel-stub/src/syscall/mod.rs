//! System calls: from numbers to operations. Decodes arguments, looks capabilities up, and calls what does the
//! work. Touches nothing by itself.
//!
//! Whatever the arguments are, the worst that happens is an [`Error`]. The calls are documented at
//! [`kernel_abi::Syscall`].
#![forbid(unsafe_code)]

mod cap;
mod device;
mod io;
mod ipc;
mod memory;
mod process;

use crate::cap::{Found, lookup};
use crate::kernel::{Kernel, Outcome};
use crate::object::{Notification, Process, Tcb, Thread, Watch};
use crate::platform::{Context, Platform};
use crate::store::Ref;
use kernel_abi::{Error, Kind, Rights, Slot, Syscall};

/// Who makes the system call.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    thread: Ref<Tcb>,
    process: Ref<Process>,
}

/// What a call without results returns.
const DONE: Outcome = Outcome::Done([0; 3]);

/// What a call with one result returns.
fn done(value: u64) -> Outcome {
    Outcome::Done([value, 0, 0])
}

/// What a call returns that made a capability.
fn made(slot: Slot) -> Outcome {
    done(slot.0 as u64)
}

impl<P: Platform> Kernel<P> {
    /// Carries out a system call. (Apart from the way that the waits of the data path take, which is short and in one place: see
    /// `docs/performance.md`.)
    #[inline(never)]
    pub(crate) fn syscall(&mut self, thread: Ref<Tcb>) -> Result<Outcome, Error> {
        let caller = self.store.get::<Thread<P::Context>>(thread.cast())?;
        let (number, [a0, a1, a2, a3, a4, a5]) = caller.context.syscall();
        let process = caller.tcb.process;
        let me = Caller { thread, process };
        let call = Syscall::from_number(number).ok_or(Error::BadSyscall)?;
        match call {
            Syscall::CapDerive => self.cap_derive(me, a0, a1, a2),
            Syscall::CapDelete => self.cap_delete(me, a0),
            Syscall::CapRevoke => self.cap_revoke(me, a0),
            Syscall::CapInfo => self.cap_info(me, a0),
            Syscall::CapWatch => self.cap_watch(me, a0, a1, a2),
            Syscall::BudgetCreate => self.budget_create(me, a0, a1),
            Syscall::BudgetInfo => self.budget_info(me, a0),
            Syscall::MemoryCreate => self.memory_create(me, a0, a1, a2),
            Syscall::MemoryMap => self.memory_map(me, a0, a1, [a2, a3, a4, a5]),
            Syscall::MemoryUnmap => self.memory_unmap(me, a0, a1, a2),
            Syscall::MemoryInfo => self.memory_info(me, a0),
            Syscall::ProcessCreate => self.process_create(me, a0, a1),
            Syscall::ProcessGrant => self.process_grant(me, a0, a1, [a2, a3, a4]),
            Syscall::ProcessKill => self.process_kill(me, a0, a1),
            Syscall::ProcessExit => self.process_exit(me, a0),
            Syscall::ProcessWatch => self.process_watch(me, a0, a1, a2),
            Syscall::ProcessStatus => self.process_get_status(me, a0, a1),
            Syscall::ProcessCaps => self.process_caps(me, a0, a1, a2, a3),
            Syscall::ThreadCreate => self.thread_create(me, a0, [a1, a2, a3, a4]),
            Syscall::ThreadExit => self.exit_thread(me.thread).map(|()| DONE),
            Syscall::ThreadYield => {
                self.give_way();
                Ok(DONE)
            }
            Syscall::ThreadPriority => self.thread_priority(me, a0, a1),
            Syscall::ThreadPatience => self.thread_patience(me, a0, a1),
            Syscall::EndpointCreate => self.endpoint_create(me, a0),
            Syscall::EndpointCall => self.endpoint_call(me, a0, a1, a2),
            Syscall::EndpointRecv => self.endpoint_recv(me, a0, a1, a2),
            Syscall::EndpointReply => self.endpoint_reply(me, a0, a1, a2),
            Syscall::EndpointBind => self.endpoint_bind(me, a0, a1, a2),
            Syscall::NotificationCreate => self.notification_create(me, a0),
            Syscall::NotificationSignal => self.notification_signal(me, a0, a1),
            Syscall::NotificationWait => self.notification_wait(me, a0, a1, a2, [a3, a4]),
            Syscall::DeviceInfo => self.device_get_info(me, a0, a1),
            Syscall::DeviceConfigRead => self.device_config_read(me, a0, a1, a2),
            Syscall::DeviceBar => self.device_get_bar(me, a0, a1),
            Syscall::DeviceDmaMap => self.device_dma_map(me, a0, a1),
            Syscall::DeviceInterrupt => self.device_interrupt(me, a0, a1, [a2, a3]),
            Syscall::DeviceStart => self.device_start(me, a0),
            Syscall::DeviceQuiesce => self.device_quiesce(me, a0),
            Syscall::DeviceWatch => self.device_watch(me, a0, a1, a2),
            Syscall::InterruptAck => self.interrupt_ack(me, a0),
            Syscall::ClockNow => self.clock_now(me, a0),
            Syscall::ClockScale => self.clock_scale(me, a0),
            Syscall::ConsoleWrite => self.console_write(me, a0, a1, a2),
            Syscall::ConsoleRead => self.console_read(me, a0, a1, a2),
            Syscall::ConsoleBind => self.console_bind(me, a0, a1, a2),
            Syscall::LogWrite => self.log_write(me, a0, a1, [a2, a3]),
            Syscall::LogRead => self.log_read(me, a0, a1, [a2, a3]),
            Syscall::LogEcho => self.log_echo(me, a0, a1),
            Syscall::MachinePower => self.machine_power(me, a0, a1),
            Syscall::MachineInfo => self.machine_info(me, a0, a1),
            Syscall::MachineCommandLine => self.machine_command_line(me, a0, a1, a2),
        }
    }

    /// A capability of the caller.
    fn own(&self, me: Caller, slot: u64, kind: Kind, rights: Rights) -> Result<Found, Error> {
        lookup(&self.store, me.process, slot, kind, rights)
    }

    /// The process that a slot names; NULL: the caller's own.
    fn process_or_self(&self, me: Caller, slot: u64) -> Result<Ref<Process>, Error> {
        if slot == Slot::NULL.0 as u64 {
            return Ok(me.process);
        }
        let found = self.own(me, slot, Kind::Process, Rights::MANAGE)?;
        Ok(found.object())
    }

    /// What to signal: a notification of the caller, and bits.
    fn watch(&self, me: Caller, slot: u64, bits: u64) -> Result<Watch, Error> {
        let found = self.own(me, slot, Kind::Notification, Rights::SIGNAL)?;
        Ok(Watch {
            notification: found.object::<Notification>(),
            // A badge is all that its holder may signal.
            bits: if found.badge != 0 { found.badge } else { bits },
        })
    }

    /// What to signal; NULL: nothing.
    fn optional_watch(&self, me: Caller, slot: u64, bits: u64) -> Result<Option<Watch>, Error> {
        match slot == Slot::NULL.0 as u64 {
            true => Ok(None),
            false => self.watch(me, slot, bits).map(Some),
        }
    }
}
