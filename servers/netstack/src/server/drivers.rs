//! Calls of drivers: memory is made for one, and it takes the place of any other. Holds what an attachment keeps of its driver; touches the
//! library's stack and the budget.

use super::{GONE, Server, now};
use alloc::boxed::Box;
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL},
    frame::{Offloads, Pool, ToDriver, ToStack},
    setup::{DevReply, DevRequest, Refusal},
};
use netstack::{DRIVER_BELL, FramePool, SendMemory};
use rt::{
    Cap, Exclusive, Mapping, Memory, Message, Notification, PAGE_SIZE, Prot, Slot, Token,
    message::{pack, received, unpack},
};

/// What an attachment keeps of its driver.
pub(super) struct Driver {
    /// Our doorbell: the driver's copy is its only child.
    pub(super) given: Notification,
    channel: Mapping,
    receive: Mapping,
    /// What the library sends from, without WRITE.
    send: Memory,
}

impl Drop for Driver {
    /// Takes the memory from a driver that may still live. What a device can reach stays allocated until it is quiesced.
    fn drop(&mut self) {
        for memory in [self.channel.memory(), self.receive.memory(), &self.send] {
            // It fails only if the slot is gone already.
            let _ = rt::revoke(memory.slot());
        }
    }
}

impl Server {
    pub(super) fn driver_call(&mut self, token: Token, message: &Message) {
        let [bell, ..] = received(message);
        let answer = match unpack::<DevRequest>(message) {
            Ok(request) => self.attach(&request, bell),
            Err(error) => {
                log::warn!("driver: {error}");
                Err(Refusal::BadRequest)
            }
        };
        let (reply, driver, slots) = match answer {
            Ok(attached) => attached,
            Err(refusal) => {
                let _ = self
                    .netdev
                    .reply(token, &pack(&DevReply::Refused(refusal), &[]));
                return;
            }
        };
        let told = self.netdev.reply(token, &pack(&reply, &slots));
        let watched = told.and_then(|()| rt::watch(driver.given.slot(), &self.events, GONE));
        if watched.is_err() {
            self.stack.detach();
            return;
        }
        self.driver = Some(driver);
    }

    /// Makes memory for a driver and attaches it in place of any other.
    fn attach(
        &mut self,
        request: &DevRequest,
        bell: Option<Cap>,
    ) -> Result<(DevReply, Driver, [Slot; 4]), Refusal> {
        let bell = bell.ok_or(Refusal::BadRequest)?;
        self.stack.detach();
        self.driver = None;
        let exhausted = |error| {
            log::error!("no memory for a driver: {error}");
            Refusal::Exhausted
        };
        let pages = |bytes: usize| bytes.div_ceil(PAGE_SIZE) as u64;
        let make = |bytes: usize, contiguous| {
            Memory::create(&self.budget, pages(bytes), contiguous)
                .and_then(|memory| memory.map(Prot::READ | Prot::WRITE))
        };
        let channel = make(Channel::<ToDriver, ToStack>::bytes(FRAME_CHANNEL), false);
        let channel = channel.map_err(exhausted)?;
        let make_pools = |[receive, send]: [Pool; 2]| {
            let to_receive = make(receive.bytes(), true)?;
            let to_send = Exclusive::create(&self.budget, pages(send.bytes()), true)?;
            let shown = to_send.to_read()?;
            Ok((to_receive, to_send, shown))
        };
        let DevRequest::Attach { offloads, .. } = request;
        let mut layouts = netstack::pools(*offloads);
        let (receive, to_send, send) = match make_pools(layouts) {
            // So much in one piece there may be no more; then the device does less.
            Err(_) if layouts != netstack::pools(Offloads::default()) => {
                layouts = netstack::pools(Offloads::default());
                make_pools(layouts)
            }
            made => made,
        }
        .map_err(exhausted)?;
        let to_receive = FramePool {
            memory: receive.shm(),
            layout: layouts[0],
        };
        let memory: Box<dyn SendMemory> = Box::new(to_send);
        let to_send = FramePool {
            memory,
            layout: layouts[1],
        };
        let given = self.events.doorbell(DRIVER_BELL).map_err(exhausted)?;
        let bell = self.bell(bell);
        let reply = self
            .stack
            .attach(request, channel.shm(), to_receive, to_send, bell, now());
        if let DevReply::Refused(refusal) = reply {
            return Err(refusal);
        }
        let slots = [
            channel.memory().slot(),
            receive.memory().slot(),
            send.slot(),
            given.slot(),
        ];
        let driver = Driver {
            given,
            channel,
            receive,
            send,
        };
        Ok((reply, driver, slots))
    }
}
