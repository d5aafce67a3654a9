//! One ICMP echo request of a client.

use crate::{
    Instant,
    engine::Ping as Socket,
    slab::Id,
    turn::{Context, Turn},
    udp::earlier,
};
use core::net::IpAddr;
use ipc_proto::socket::{NetError, Reply, RequestId};

/// An echo request that waits for its answer.
pub(crate) struct Ping {
    /// Whose it is.
    pub(crate) session: Id,
    /// The request.
    pub(crate) id: RequestId,
    /// Its identifier on the wire.
    pub(crate) ident: u16,
    /// To whom.
    pub(crate) to: IpAddr,
    socket: Socket,
    started: Instant,
    deadline: Instant,
    answer: Option<Reply>,
}

impl Ping {
    /// A request.
    pub(crate) fn new(
        session: Id,
        id: RequestId,
        (ident, to): (u16, IpAddr),
        socket: Socket,
        started: Instant,
        deadline: Instant,
    ) -> Ping {
        Ping {
            session,
            id,
            ident,
            to,
            socket,
            started,
            deadline,
            answer: None,
        }
    }

    /// An echo reply with its identifier came.
    pub(crate) fn ingress(&mut self, context: &mut Context<'_>, frame: &[u8], hop_limit: u8) {
        context
            .engine
            .ingress(context.now, frame, &mut self.socket, context.frames);
        if let Some(echo) = self.socket.answer()
            && self.answer.is_none()
        {
            let micros = context.now.since(self.started).as_micros();
            self.answer = Some(Reply::Pong {
                id: self.id,
                from: echo.from,
                micros: u32::try_from(micros).unwrap_or(u32::MAX),
                hop_limit,
                len: u16::try_from(echo.len).unwrap_or(u16::MAX),
            });
        }
    }

    /// It ends with an error.
    pub(crate) fn fail(&mut self, error: NetError) {
        self.answer
            .get_or_insert(Reply::Failed { id: self.id, error });
    }

    /// Sends the request, or answers the client.
    #[inline(never)]
    pub(crate) fn turn(&mut self, context: &mut Context<'_>) -> Turn {
        let mut turn = Turn::default();
        if self.deadline <= context.now {
            self.fail(NetError::TimedOut);
        }
        if let Some(answer) = self.answer.take() {
            turn.replies.push(answer);
            turn.finished = true;
            return turn;
        }
        let mut wake = None;
        if context.may_send {
            turn.frames = context
                .engine
                .egress(context.now, &mut self.socket, context.frames)
                .frames;
            wake = context.wake_at(&mut self.socket, &mut turn);
            if wake.is_some() {
                turn.stalled.push(self.to);
            }
        }
        turn.deadline = earlier(Some(self.deadline), wake);
        turn
    }
}
