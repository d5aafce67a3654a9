//! What happened, as numbers: so that one sees that the runs exercise what they should. Touches nothing.

macro_rules! stats {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// What happened, as numbers.
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
        pub struct Stats {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Adds those of another run.
            pub fn add(&mut self, other: &Stats) {
                $(self.$name += other.$name;)*
            }

            /// Names and numbers.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

stats! {
    /// Steps of the scheduler.
    steps,
    /// Seconds of virtual time.
    virtual_seconds,
    /// Checks of all that a stack keeps.
    deep_checks,
    /// Frames on the wire.
    frames,
    /// Frames lost by the wire.
    frames_lost,
    /// Frames that the wire delivered twice.
    frames_doubled,
    /// Frames that the wire damaged.
    frames_damaged,
    /// Frames that came late.
    frames_late,
    /// Frames cut off by a partition.
    frames_cut_off,
    /// Frames for which a driver had no buffer.
    frames_overrun,
    /// Frames whose data went straight to its client.
    frames_passed_on,
    /// Small segments that came past the engine.
    segments_past,
    /// Small segments that were sent past the engine.
    answers_past,
    /// Sessions opened.
    sessions,
    /// Sessions refused, or no stack there.
    sessions_refused,
    /// Sessions ended by the stack for breaking the protocol, or revoked.
    sessions_ended,
    /// Connections opened.
    connections,
    /// Connections accepted.
    accepted,
    /// Connections that ended as they should.
    streams_complete,
    /// Connections that a fault ended.
    streams_broken,
    /// Connections aborted or dropped early on purpose.
    streams_cut_short,
    /// Bytes of streams read and compared.
    stream_bytes,
    /// Datagrams given to the stack.
    datagrams_sent,
    /// Datagrams received and compared.
    datagrams_received,
    /// Datagrams received more than once, because the wire doubled them.
    datagrams_doubled,
    /// Echo requests answered.
    pings,
    /// Names looked up.
    lookups,
    /// Questions not answered in time.
    questions_lost,
    /// Quotas met.
    quota_errors,
    /// What a policy denied.
    denied,
    /// Clients killed.
    clients_killed,
    /// Drivers killed.
    drivers_killed,
    /// Stacks killed.
    stacks_killed,
    /// Drivers that froze.
    drivers_frozen,
    /// Links that went down and up.
    links_flapped,
    /// Drivers that lied.
    drivers_lied,
    /// Words and bytes written over in session memory and driver channels.
    scribbles,
    /// Partitions of the wire.
    partitions,
    /// Jumps of a clock.
    clock_jumps,
    /// Passes of a stack whose clock had gone back.
    clock_steps_back,
    /// Doorbells.
    doorbells,
    /// Doorbells that came late.
    doorbells_late,
    /// Doorbells lost.
    doorbells_lost,
    /// Doorbells for nothing.
    doorbells_spurious,
    /// Capabilities derived.
    derived,
    /// Revocations.
    revoked,
    /// Connections and datagrams that had to work behind all faults.
    probes,
}
