//! The `system` protocol: what is answered, and to whom.

use super::*;
use crate::{
    command_line::CommandLine,
    endow::badge,
    testing::{Fake, archive, manifest},
};
use ipc_proto::codec;

const SHELL: u64 = badge(2);

fn with<R>(f: impl FnOnce(&mut Supervisor<'_, Fake>) -> R) -> R {
    let archive = archive(&["driver", "stack", "shell", "bare"]);
    let mut supervisor =
        Supervisor::new(Fake::new(1), manifest(), &archive, CommandLine::default()).unwrap();
    supervisor.run(0);
    f(&mut supervisor)
}

fn reply(supervisor: &mut Supervisor<'_, Fake>, request: Request) -> Reply {
    match supervisor.answer(SHELL, Some(request)) {
        Answer::Reply(reply) => reply,
        Answer::PowerOff(status) => panic!("power off {status}"),
    }
}

fn kill(name: &str) -> Request {
    Request::Kill { name: cut(name) }
}

#[test]
fn processes_are_listed_with_init_first_to_the_end() {
    with(|supervisor| {
        let mut names = Vec::<_, 8>::new();
        let mut position = 0;
        loop {
            let Reply::Process { next, process } = reply(supervisor, Request::Process { position })
            else {
                panic!()
            };
            assert_eq!(next, position + 1);
            let Some(process) = process else { break };
            assert_eq!(process.state, RunState::Running);
            assert_eq!(process.budget_limit, u32::MAX, "too large for the field");
            let used = if position == 0 { 7 } else { 3 };
            assert_eq!(process.budget_used, used, "without the children's budgets");
            names.push(process.name).unwrap();
            position = next;
        }
        assert_eq!(names, ["init", "driver", "stack", "shell", "bare"]);
        let far = Request::Process { position: u16::MAX };
        assert!(matches!(
            reply(supervisor, far),
            Reply::Process { process: None, .. }
        ));
    });
}

#[test]
fn only_those_named_in_the_manifest_are_answered() {
    with(|supervisor| {
        for stranger in [0, badge(0), badge(1), badge(3), badge(77), u64::MAX] {
            let answer = supervisor.answer(stranger, Some(Request::Machine));
            assert_eq!(answer, Answer::Reply(Reply::Failed(SystemError::Denied)));
        }
        let off = Some(Request::PowerOff { status: 0 });
        assert_eq!(supervisor.answer(SHELL, off.clone()), Answer::PowerOff(0));
        // The same process with the right to look only.
        supervisor.manifest.processes[2].uses[1].act = false;
        let denied = Answer::Reply(Reply::Failed(SystemError::Denied));
        assert_eq!(supervisor.answer(SHELL, off), denied);
        assert_eq!(supervisor.answer(SHELL, Some(kill("stack"))), denied);
        assert!(matches!(
            reply(supervisor, Request::Machine),
            Reply::Machine(_)
        ));
    });
}

#[test]
fn a_killed_process_is_started_again_with_a_new_number() {
    with(|supervisor| {
        assert_eq!(reply(supervisor, kill("stack")), Reply::Done);
        supervisor.run(20_000_000_000);
        let Reply::Process {
            process: Some(stack),
            ..
        } = reply(supervisor, Request::Process { position: 2 })
        else {
            panic!()
        };
        assert_eq!(
            (stack.id, stack.restarts, stack.state),
            (5, 1, RunState::Running)
        );
    });
}

#[test]
fn bad_requests_get_typed_errors() {
    with(|supervisor| {
        let failed = |error| Answer::Reply(Reply::Failed(error));
        assert_eq!(
            supervisor.answer(SHELL, None),
            failed(SystemError::BadRequest)
        );
        let cases = [
            (kill("nobody"), SystemError::NoSuchProcess),
            (kill(""), SystemError::NoSuchProcess),
            (kill("init"), SystemError::Denied),
            (
                Request::Caps { id: 99, from: 0 },
                SystemError::NoSuchProcess,
            ),
            (Request::PowerOff { status: 101 }, SystemError::BadRequest),
        ];
        for (request, error) in cases {
            assert_eq!(supervisor.answer(SHELL, Some(request)), failed(error));
        }
    });
}

#[test]
fn capabilities_are_listed_by_index() {
    with(|supervisor| {
        for id in [0, 2] {
            let Reply::Caps { next: 0, caps } = reply(supervisor, Request::Caps { id, from: 4 })
            else {
                panic!()
            };
            assert_eq!(caps.len(), 1);
            assert_eq!((caps[0].slot, caps[0].kind, caps[0].badge), (4, 10, 3));
        }
    });
}

#[test]
fn a_long_line_of_the_log_is_cut_and_fits_the_message() {
    with(|supervisor| {
        let line = reply(supervisor, Request::Log { from: 0 });
        let Reply::Log {
            next: 6,
            micros: 2,
            level: 2,
            line: text,
        } = &line
        else {
            panic!("{line:?}")
        };
        assert_eq!(text.chars().count(), 95);
        let mut buffer = [0; ipc_proto::setup::MAX_INLINE];
        assert!(codec::encode(&line, &mut buffer).is_ok());
        let Reply::Log {
            next: 9,
            level: 0,
            line,
            ..
        } = reply(supervisor, Request::Log { from: 9 })
        else {
            panic!()
        };
        assert!(line.is_empty());
    });
}
