//! The recorder and the check against one real PostgreSQL.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sb_e2e::{eventually, postgres};
use sb_lab::fault::Part;
use sb_lab::host::{Directories, Host};
use sb_lab::place::Place;
use sb_lab::recorder::{Access, Recorder, RecorderPlan, WriteId, check};
use sb_lab::stage::Inside;
use sb_lab::unit::Program;

use crate::{Ground, ground, place};

const LIMIT: Duration = Duration::from_secs(30);
const WRITES: usize = 40;

fn server(ground: &'static Ground, at: Place) -> Host {
    let data = ground.directory("plain").join("pgdata");
    postgres::initialise(&data);
    std::fs::write(data.join("pg_hba.conf"), "host all all 10.0.0.0/16 trust\n").expect("pg_hba.conf");
    let words = postgres::step_down();
    let mut arguments = words[1..].to_vec();
    arguments.push(postgres::programs().join("postgres").display().to_string());
    arguments.extend(["-D".into(), data.display().to_string()]);
    let address = format!("listen_addresses={}", at.address());
    for setting in [&address, "unix_socket_directories=", "fsync=off", "restart_after_crash=off"] {
        arguments.extend(["-c".into(), setting.to_owned()]);
    }
    let program = Program {
        name: "postgres".into(),
        path: PathBuf::from("/usr/bin").join(&words[0]),
        arguments,
        environment: Vec::new(),
        log: ground.directory("plain").join("postgres.log"),
        brake: None,
    };
    let directories = Directories::under(&ground.root, at);
    let _guard = ground.runtime.enter();
    Host::new(at, directories, ground.network.namespace(at), ground.network.links(), vec![program])
        .expect("a host")
}

fn access() -> Access {
    Access {
        port: 5432,
        database: "postgres".into(),
        username: "lab".into(),
        password: String::new(),
        authority: None,
        way: sb_lab::recorder::Way::Direct,
    }
}

/// Does something as a client in the office.
fn in_office<T: Send + 'static, W: Future<Output = T>>(
    ground: &Ground,
    work: impl FnOnce(Access) -> W + Send + 'static,
) -> T {
    let office = ground.network.namespace(Place::OFFICE);
    ground.runtime.block_on(office.run_async(move || work(access()))).expect("a client")
}

pub fn crash_and_loss(inside: &Inside) {
    let ground = ground(inside);
    let at = place("ravena-1");
    let host = server(ground, at);
    host.switch_on();
    eventually("PostgreSQL answers", LIMIT, || {
        in_office(ground, move |access| async move { access.create_table(at).await.ok() })
    });

    let recorder = Recorder::start(&ground.network, access(), RecorderPlan::office()).expect("clients");
    eventually("clients write", LIMIT, || (recorder.acknowledged() >= WRITES).then_some(()));
    let crash = Instant::now();
    assert_eq!(host.kill(Part::Postgres).expect("to kill"), 1);
    let before = recorder.acknowledged();
    eventually("clients write again", LIMIT, || (recorder.acknowledged() >= before + WRITES).then_some(()));
    let ledger = recorder.finish();

    let read =
        move || in_office(ground, move |access| async move { access.read_rows(at).await }).expect("rows");
    let findings = check(&ledger, read());
    assert!(findings.clean(), "{findings:?}");
    assert!(findings.acknowledged >= before + WRITES);
    let gap = ledger.write_gap(crash).expect("writes came back");
    println!(
        "  {} acknowledged, {} unknown, {gap:?} without writes",
        findings.acknowledged, findings.unknown
    );
    assert!(gap >= Duration::from_millis(100), "PostgreSQL was back before it was started again: {gap:?}");

    in_office(ground, move |access| async move { access.delete_row(at, WriteId(7)).await })
        .expect("to delete");
    assert_eq!(check(&ledger, read()).lost, [WriteId(7)], "a missing row was not noticed");
    host.lose_power().expect("to end");
}
