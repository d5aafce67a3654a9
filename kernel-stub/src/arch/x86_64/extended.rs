//! The x87, SSE and AVX registers of user threads ("extended state", SDM vol. 1, chapter 13): where they lie while another thread
//! runs, and when they are loaded. Plain data and decisions; `cpu` has the instructions. The kernel itself uses none of
//! these registers.
//!
//! They are nobody's over a system call, so that calls save nothing. An interrupt saves them into the thread's context. Whoever
//! runs next finds its own, or the initial ones: never what another thread left.

use super::context::{FRESH, SYSCALL};

/// Bits of XCR0, one a component.
const X87: u64 = 1 << 0;
const SSE: u64 = 1 << 1;
const AVX: u64 = 1 << 2;

/// Where AVX lies in the area, and its size: what `State` has room for.
const AVX_OFFSET: u32 = 576;
const AVX_SIZE: u32 = 256;
/// MXCSR after a reset: every exception masked.
const MXCSR: u64 = 0x1f80;

/// What XSAVE writes, in its standard form (SDM vol. 1, 13.4).
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct State {
    legacy: [u64; 64],
    /// Which components are not in their initial state; the rest stays zero.
    header: [u64; 8],
    avx: [u64; AVX_SIZE as usize / 8],
}

const _: () = assert!(size_of::<State>() == (AVX_OFFSET + AVX_SIZE) as usize);

impl State {
    /// As after a reset of the processor.
    pub(super) const fn initial() -> State {
        let mut legacy = [0; 64];
        legacy[3] = MXCSR;
        State {
            legacy,
            header: [0; 8],
            avx: [0; AVX_SIZE as usize / 8],
        }
    }
}

/// Everything as after a reset of the processor. Loading it reads MXCSR and the header only. It has a name, so that
/// `link.ld` can put it beside what is read as often.
pub(super) static INITIAL: State = State::initial();

/// What the processor says about these registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    /// CPUID.01H:ECX.
    pub(super) basic: u32,
    /// The components that XCR0 may have: CPUID.(0DH,0):EDX:EAX.
    pub(super) components: u64,
    /// Size and offset of the AVX component: CPUID.(0DH,2):EAX, EBX.
    pub(super) avx: (u32, u32),
}

impl Offer {
    /// XCR0 for user code: AVX if it is there and has its usual place, SSE at least; zero if the processor has no XSAVE, and user
    /// code gets none of these registers.
    pub(super) fn accept(self) -> u64 {
        let has = |bit: u32| self.basic & 1 << bit != 0;
        let offers = |components: u64| self.components & components == components;
        if !has(26) || !offers(X87 | SSE) {
            return 0;
        }
        let avx = has(28) && offers(AVX) && self.avx == (AVX_SIZE, AVX_OFFSET);
        X87 | SSE | if avx { AVX } else { 0 }
    }
}

/// What to do before a thread runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Load {
    /// Nothing: what is in the registers is its own.
    Keep,
    /// Load [`INITIAL`].
    Reset,
    /// Load what its context has.
    Restore,
}

/// Whose values the registers of this processor hold.
#[derive(Debug)]
pub(super) struct Owner {
    enabled: bool,
    /// Address of the context that ran last; zero: none did.
    last: usize,
}

impl Owner {
    /// Nobody's; user code may use these components.
    pub(super) fn nobody(components: u64) -> Owner {
        Owner {
            enabled: components != 0,
            last: 0,
        }
    }

    /// The context at this address is about to run; `vector` says why it was stopped.
    ///
    /// An address names a thread: another that gets the frame of one that ended is [`FRESH`] before anything else.
    pub(super) fn enter(&mut self, address: usize, vector: u64) -> Load {
        if !self.enabled {
            return Load::Keep;
        }
        let ran_last = core::mem::replace(&mut self.last, address) == address;
        match vector {
            FRESH => Load::Reset,
            _ if ran_last => Load::Keep,
            SYSCALL => Load::Reset,
            _ => Load::Restore,
        }
    }

    /// Whether a context that an interrupt stopped must be saved.
    pub(super) fn saves(&self) -> bool {
        self.enabled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIMER: u64 = 32;

    #[test]
    fn initial_state_masks_all_exceptions_and_has_an_empty_header() {
        let state = &INITIAL;
        assert_eq!(core::mem::offset_of!(State, header), 512);
        assert_eq!(core::mem::offset_of!(State, avx) as u32, super::AVX_OFFSET);
        assert_eq!(state.legacy[3], 0x1f80);
        assert!(state.header.iter().all(|word| *word == 0));
    }

    #[test]
    fn takes_what_is_there_and_fits() {
        let all = Offer {
            basic: 1 << 26 | 1 << 28,
            components: 0xe7,
            avx: (256, 576),
        };
        assert_eq!(all.accept(), 7);
        let without_avx = Offer {
            basic: 1 << 26,
            ..all
        };
        assert_eq!(without_avx.accept(), 3);
        let elsewhere = Offer {
            avx: (256, 1024),
            ..all
        };
        assert_eq!(elsewhere.accept(), 3);
        let not_offered = Offer {
            components: 3,
            ..all
        };
        assert_eq!(not_offered.accept(), 3);
        let without_xsave = Offer {
            basic: 1 << 28,
            ..all
        };
        assert_eq!(without_xsave.accept(), 0);
    }

    #[test]
    fn who_ran_last_keeps_its_registers() {
        let mut owner = Owner::nobody(7);
        assert_eq!(owner.enter(1, FRESH), Load::Reset);
        assert_eq!(owner.enter(1, SYSCALL), Load::Keep);
        assert_eq!(owner.enter(1, TIMER), Load::Keep);
        assert_eq!(owner.enter(2, SYSCALL), Load::Reset);
        assert_eq!(owner.enter(1, TIMER), Load::Restore);
        assert_eq!(owner.enter(2, TIMER), Load::Restore);
    }

    #[test]
    fn a_new_thread_in_the_frame_of_an_old_one_is_another() {
        let mut owner = Owner::nobody(3);
        assert_eq!(owner.enter(1, FRESH), Load::Reset);
        assert_eq!(owner.enter(1, FRESH), Load::Reset);
    }

    #[test]
    fn nothing_is_touched_where_user_code_has_no_such_registers() {
        let mut owner = Owner::nobody(0);
        assert!(!owner.saves());
        for vector in [FRESH, SYSCALL, TIMER] {
            assert_eq!(owner.enter(1, vector), Load::Keep);
            assert_eq!(owner.enter(2, vector), Load::Keep);
        }
    }

    proptest! {
        /// Threads that come, run, are stopped and go, each writing its name into the register: after an interrupt each finds what it
        /// wrote, else that or zero, and a new one zero.
        #[test]
        fn nobody_sees_what_another_left(
            steps in prop::collection::vec((0_usize..4, 0_u8..3), 1..200),
        ) {
            let mut owner = Owner::nobody(7);
            let mut register = 99_u64;
            // Of each frame: name of its thread, why it was stopped, what was saved.
            let mut frames = [(0_u64, FRESH, 0_u64); 4];
            for (next_name, (at, end)) in (1..).zip(steps) {
                let (name, vector, saved) = frames[at];
                match owner.enter(at, vector) {
                    Load::Keep => {}
                    Load::Reset => register = 0,
                    Load::Restore => register = saved,
                }
                match vector {
                    FRESH => prop_assert_eq!(register, 0),
                    SYSCALL => prop_assert!(register == 0 || register == name),
                    _ => prop_assert_eq!(register, name),
                }
                let name = if vector == FRESH { next_name } else { name };
                register = name;
                frames[at] = match end {
                    0 => (name, SYSCALL, 0),
                    1 => (name, TIMER, register),
                    _ => (0, FRESH, 0),
                };
            }
        }
    }
}
