//! Faults on programs that do nothing: who is killed, who is started again, who is silent.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use sb_e2e::{eventually, throughout};
use sb_lab::fault::Part;
use sb_lab::host::{Directories, Host, Power};
use sb_lab::stage::Inside;
use sb_lab::unit::Program;

use crate::{Ground, ground, place};

const LIMIT: Duration = Duration::from_secs(5);

/// Longer than the pause before a program is started again.
const LONG_ENOUGH: Duration = Duration::from_millis(600);

/// A host with a program that looks like an agent and one that looks like PostgreSQL. Neither does anything.
fn host(ground: &'static Ground, name: &str) -> Host {
    let program = |name: &str, disguise: &str| Program {
        name: name.to_owned(),
        path: PathBuf::from("/bin/bash"),
        arguments: vec!["-c".into(), disguise.into()],
        environment: Vec::new(),
        log: ground.directory("faults").join(format!("{name}.log")),
        brake: None,
    };
    let programs = vec![
        program("agent", "exec -a sb-agent sleep 1000"),
        program("postgres", "exec -a postgres tail -f /dev/null"),
    ];
    let directories = Directories::under(&ground.root, place(name));
    let namespace = ground.network.namespace(place(name));
    let _guard = ground.runtime.enter();
    Host::new(place(name), directories, namespace, ground.network.links(), programs).expect("a host")
}

fn pid(host: &Host, part: Part) -> Option<i32> {
    let processes = host.processes().expect("processes");
    processes.iter().find(|process| process.part() == Some(part)).map(|process| process.pid)
}

fn running(host: &Host, part: Part) -> i32 {
    eventually("it runs", LIMIT, || pid(host, part))
}

/// The letter of `/proc/PID/stat`: `T` is stopped.
fn state(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).expect("a state")
}

pub fn killed_program(inside: &Inside) {
    let host = host(ground(inside), "burlington-1");
    host.switch_on();
    let (agent, postgres) = (running(&host, Part::Agent), running(&host, Part::Postgres));
    assert_eq!(host.kill(Part::Agent).expect("to kill"), 1);
    eventually("another agent runs", LIMIT, || pid(&host, Part::Agent).filter(|pid| *pid != agent));
    assert_eq!(pid(&host, Part::Postgres), Some(postgres), "PostgreSQL was hit too");
    assert_eq!(host.programs_ended(), 1);
    assert_eq!(host.kill(Part::Guard).expect("to look"), 0, "there is no guard");
    host.lose_power().expect("to end");
}

pub fn lost_host(inside: &Inside) {
    let ground = ground(inside);
    let host = host(ground, "montpelier-1");
    host.switch_on();
    running(&host, Part::Agent);
    let address = place("montpelier-1").address();
    let handle = ground.network.namespace(place("montpelier-1")).handle().expect("a handle");
    let listen = move || {
        sb_lab::namespace::enter(handle.as_fd()).expect("to enter");
        TcpListener::bind((address, 7004)).expect("to listen")
    };
    let _listener = std::thread::spawn(listen).join().expect("a listener");
    let reach = || {
        let connect = move || async move {
            let connecting = tokio::net::TcpStream::connect((address, 7004));
            tokio::time::timeout(Duration::from_millis(500), connecting)
                .await
                .is_ok_and(|connected| connected.is_ok())
        };
        let office = ground.network.namespace(sb_lab::place::Place::OFFICE);
        ground.runtime.block_on(office.run_async(connect)).expect("a client")
    };
    assert!(reach(), "a host with power cannot be reached");

    host.lose_power().expect("to lose power");
    assert_eq!(host.power(), Power::Off);
    throughout("nothing runs", LONG_ENOUGH, || host.processes().expect("processes").is_empty());
    assert!(!reach(), "a host without power answers");

    host.switch_on();
    running(&host, Part::Agent);
    running(&host, Part::Postgres);
    assert!(reach(), "the host is back and cannot be reached");
    host.lose_power().expect("to end");
}

pub fn frozen_host(inside: &Inside) {
    let host = host(ground(inside), "nantucket-1");
    host.switch_on();
    let (agent, postgres) = (running(&host, Part::Agent), running(&host, Part::Postgres));

    assert_eq!(host.freeze(Part::Agent).expect("to freeze"), 1);
    eventually("the agent is stopped", LIMIT, || (state(agent) == 'T').then_some(()));
    assert_ne!(state(postgres), 'T', "PostgreSQL is stopped too");
    assert_eq!(host.power(), Power::On);
    host.thaw().expect("to thaw");
    eventually("the agent goes on", LIMIT, || (state(agent) != 'T').then_some(()));

    host.freeze(Part::Host).expect("to freeze");
    eventually("both are stopped", LIMIT, || (state(agent) == 'T' && state(postgres) == 'T').then_some(()));
    assert_eq!(host.power(), Power::Frozen);
    host.thaw().expect("to thaw");
    eventually("both go on", LIMIT, || (state(agent) != 'T' && state(postgres) != 'T').then_some(()));
    assert_eq!((pid(&host, Part::Agent), pid(&host, Part::Postgres)), (Some(agent), Some(postgres)));
    host.lose_power().expect("to end");
}
