//! What comes from the driver in a pass: frames, of which those that follow each other are joined, and news of the link. Touches the driver's channel
//! and the buffer for received frames.

use crate::{
    connection::Source,
    frames::{Event, HEAD, MAX_FRAME, Violation},
    stack::Stack,
    train::Train,
};

/// Frames taken from the driver in one pass.
const PASS_FRAMES: usize = 256;

impl Stack {
    /// Takes what the driver has. True if there may be more.
    pub(crate) fn receive(&mut self) -> bool {
        if let Err(violation) = self.frames.tick(self.now) {
            self.driver_violation(violation);
            return false;
        }
        if !self.frames.is_awake() {
            return false;
        }
        // Frames are looked at while the rest of the stack is changed.
        let mut buffer = core::mem::take(&mut self.buffer);
        let left = self.receive_into(&mut buffer);
        self.buffer = buffer;
        self.frames.refill();
        left
    }

    fn receive_into(&mut self, buffer: &mut [u8]) -> bool {
        let longest = self.frames.longest();
        let mut train: Option<Train> = None;
        for _ in 0..PASS_FRAMES {
            let before = train.as_ref();
            let at = before.map_or(0, |before| before.keep(buffer));
            let room = buffer.get_mut(at..at.saturating_add(longest));
            let event = self.frames.next(room.unwrap_or_default());
            if let Some(before) = &mut train {
                let len = match event {
                    // Where trains are made there are no long frames, so no rest.
                    Ok(Some(Event::Frame { len, vouches, .. })) => {
                        if before.join(buffer, len, vouches) {
                            if !before.is_open(longest) {
                                self.deliver(before, buffer);
                                train = None;
                            }
                            continue;
                        }
                        len
                    }
                    _ => 0,
                };
                before.restore(buffer);
                self.deliver(before, buffer);
                let start = before.len();
                let end = start.saturating_add(len);
                if end <= buffer.len() {
                    buffer.copy_within(start..end, 0);
                }
                train = None;
            }
            match event {
                Ok(None) => return false,
                Ok(Some(Event::Frame { len, vouches, rest })) => {
                    if let Some(id) = rest {
                        let (head, tail) = buffer.split_at_mut(HEAD.min(buffer.len()));
                        if self.passes_on(head, len, Source::Buffer(id)) {
                            continue;
                        }
                        let tail = tail.get_mut(..len.saturating_sub(HEAD));
                        if !tail.is_some_and(|tail| self.frames.fetch(id, tail)) {
                            continue;
                        }
                    }
                    let Some(frame) = buffer.get_mut(..len) else {
                        continue;
                    };
                    match self.train(frame, vouches, longest) {
                        Some(first) if first.is_open(longest) => train = Some(first),
                        Some(first) => self.deliver(&first, buffer),
                        None => self.ingress(frame, vouches),
                    }
                }
                Ok(Some(Event::Link(up))) => self.link_event(up),
                Err(violation) => {
                    self.driver_violation(violation);
                    return false;
                }
            }
        }
        if let Some(train) = train {
            self.deliver(&train, buffer);
        }
        true
    }

    /// A frame as the first of a train; not if the device joins segments itself.
    fn train(&self, frame: &[u8], vouches: bool, longest: usize) -> Option<Train> {
        let joins = longest <= MAX_FRAME && frame.len() <= self.longest_packet();
        (joins && frame.starts_with(&self.engine.mac()))
            .then(|| Train::begin(frame, vouches))
            .flatten()
    }

    #[inline(never)]
    fn deliver(&mut self, train: &Train, buffer: &mut [u8]) {
        train.finish(buffer);
        let Some(frame) = buffer.get_mut(..train.len()) else {
            return;
        };
        let may_pass_on = train.is_joined() && !self.frames.nothing_past();
        let head = frame.get(..HEAD.min(frame.len())).unwrap_or_default();
        if !may_pass_on || !self.passes_on(head, frame.len(), Source::Frame(frame)) {
            self.ingress_intact(frame);
        }
    }

    #[inline(never)]
    fn link_event(&mut self, up: bool) {
        let link = if up { "up" } else { "down" };
        match self.link_lines.admit(self.now) {
            None => {}
            Some(0) => log::info!("link {link}"),
            Some(out) => log::info!("link {link} (and {out} changes before)"),
        }
        if up && !self.link_was_up {
            self.link_changed(true);
        }
        self.link_was_up = up;
    }

    #[inline(never)]
    fn driver_violation(&mut self, violation: Violation) {
        log::error!("driver {} broke the protocol: {violation}", self.generation);
        self.counters.driver_violations = self.counters.driver_violations.saturating_add(1);
        self.detach();
    }
}
