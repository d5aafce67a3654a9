//! What clients ask for: settings of sockets, and their end.

use crate::{
    flow::Flow,
    requests::Answer,
    session::Target,
    slab::Id,
    stack::{SessionId, Stack},
};
use core::time::Duration;
use ipc_proto::socket::{Handle, NetError, Reply, RequestId, SocketOption};

impl Stack {
    fn flow_mut(
        &mut self,
        session: SessionId,
        socket: Handle,
    ) -> Result<(Id, &mut Flow), NetError> {
        let session = self.sessions.get(session).ok_or(NetError::Denied)?;
        let Target::Flow(id) = session.target(socket)? else {
            return Err(NetError::BadState);
        };
        let entry = self.flows.get_mut(id).ok_or(NetError::BadHandle)?;
        Ok((id, &mut entry.flow))
    }

    pub(crate) fn set_option(
        &mut self,
        session: SessionId,
        id: RequestId,
        socket: Handle,
        option: SocketOption,
    ) -> Answer {
        let millis = |millis: Option<u32>| match millis {
            Some(0) => Err(NetError::BadArgument),
            other => Ok(other.map(|millis| Duration::from_millis(millis.into()))),
        };
        let (flow_id, flow) = self.flow_mut(session, socket)?;
        match (flow, option) {
            (_, SocketOption::HopLimit(0)) => return Err(NetError::BadArgument),
            (Flow::Tcp(tcp), SocketOption::NoDelay(on)) => tcp.set_no_delay(on),
            (Flow::Tcp(tcp), SocketOption::KeepAlive(every)) => tcp.set_keep_alive(millis(every)?),
            (Flow::Tcp(tcp), SocketOption::UserTimeout(after)) => tcp.set_timeout(millis(after)?),
            (Flow::Tcp(tcp), SocketOption::HopLimit(hops)) => tcp.set_hop_limit(hops),
            (Flow::Udp(udp), SocketOption::HopLimit(hops)) => udp.set_hop_limit(hops),
            _ => return Err(NetError::BadState),
        }
        self.wake(flow_id);
        Ok(Some(Reply::Done { id }))
    }

    pub(crate) fn shutdown(&mut self, session: SessionId, id: RequestId, socket: Handle) -> Answer {
        let (flow_id, flow) = self.flow_mut(session, socket)?;
        let Flow::Tcp(tcp) = flow else {
            return Err(NetError::BadState);
        };
        if !tcp.is_established() {
            return Err(NetError::NotConnected);
        }
        tcp.shutdown();
        self.wake(flow_id);
        Ok(Some(Reply::Done { id }))
    }

    pub(crate) fn close(
        &mut self,
        session_id: SessionId,
        id: RequestId,
        socket: Handle,
        abort: bool,
    ) -> Answer {
        let now = self.now;
        let session = self.sessions.get(session_id).ok_or(NetError::Denied)?;
        if let Target::Listener(listener) = session.target(socket)? {
            self.remove_listener(listener);
            return Ok(Some(Reply::Closed { id }));
        }
        let (flow_id, flow) = self.flow_mut(session_id, socket)?;
        match flow {
            Flow::Tcp(tcp) if !tcp.is_closing() => tcp.close(id, abort, now),
            Flow::Udp(udp) if !udp.is_closing() => udp.close(id, abort),
            // The first close still waits for the FIFO to drain; an abort ends the wait.
            Flow::Tcp(tcp) if abort => tcp.reset(now),
            _ => return Err(NetError::BadState),
        }
        self.wake(flow_id);
        Ok(None)
    }

    pub(crate) fn cancel(
        &mut self,
        session_id: SessionId,
        id: RequestId,
        target: RequestId,
    ) -> Answer {
        let session = self.sessions.get(session_id).ok_or(NetError::Denied)?;
        for listener in session.targets() {
            let Target::Listener(listener) = listener else {
                continue;
            };
            let Some(listener) = self.listeners.get_mut(listener) else {
                continue;
            };
            let before = listener.accepts.len();
            listener.accepts.retain(|accept| accept.id != target);
            let gone = before.saturating_sub(listener.accepts.len());
            if gone > 0 {
                let session = self.sessions.get_mut(session_id).ok_or(NetError::Denied)?;
                session.accepts = session.accepts.saturating_sub(gone);
                self.fail(session_id, target, NetError::Cancelled);
                return Ok(Some(Reply::Done { id }));
            }
        }
        let asked = self.flows.iter().find_map(|(flow, entry)| {
            let (session, request) = match &entry.flow {
                Flow::Ping(ping) => (ping.session, ping.id),
                Flow::Lookup(lookup) => (lookup.session, lookup.id),
                _ => return None,
            };
            (session == session_id && request == target).then_some(flow)
        });
        if let Some(flow) = asked {
            self.remove_flow(flow);
            self.fail(session_id, target, NetError::Cancelled);
        }
        Ok(Some(Reply::Done { id }))
    }

    fn fail(&mut self, session: SessionId, id: RequestId, error: NetError) {
        self.sessions.reply(session, Reply::Failed { id, error });
    }
}
