//! A session that was open before a change gets nothing that it must not get: after a partition no acknowledgement
//! later than the fence, on a promoted standby none before clients are let in.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sb_e2e::{promise, throughout};
use sb_lab::fault::{Fault, Part, Target};
use sb_lab::options::Durability;
use sb_lab::place::Place;
use sb_lab::recorder::{Access, RecorderPlan};
use sb_lab::stage::Inside;

use crate::scene::{FAILOVER, Scene};

/// The lease of the default timings. The guard fences before its end, so no answer may come later than this after the
/// links are cut: the last renewal cannot have begun later.
const LEASE: Duration = Duration::from_millis(3_500);

/// The client's session is open well within this time; if it were not, it would fail.
const SETTLED: Duration = Duration::from_millis(1_500);

/// Between two attempts to write.
const INSIST: Duration = Duration::from_millis(2);

/// `read_only_sql_transaction`
const READ_ONLY: &str = "25006";

/// Long after the fence, and after another server has opened.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

pub fn agent_alive(inside: &Inside) {
    no_answer_after_the_fence(inside, "open-session", |_| {});
}

pub fn agent_stopped(inside: &Inside) {
    no_answer_after_the_fence(inside, "open-session-stopped", |scene| {
        scene.act(&Fault::Freeze(Target::from(scene.primary()), Part::Agent));
    });
}

fn no_answer_after_the_fence(inside: &Inside, name: &'static str, trouble: impl Fn(&Scene)) {
    Scene::shared(inside, name, Durability::Async, |scene| {
        let old = scene.primary();
        // The client is on the server itself: the cut does not take its session away, only the fence can.
        let session = scene.write(old, RecorderPlan::on_the_server(old));

        trouble(scene);
        let cut = Instant::now();
        scene.lab().links().unplug(old);
        scene.until("another server was primary", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place != old)
        });
        let opened = Instant::now();
        let written = session.acknowledged();
        throughout("the old primary acknowledges nothing", LONG_ENOUGH, || session.acknowledged() == written);
        let ledger = session.finish();
        let last = ledger.last_acknowledgement().expect("it wrote before the cut");
        println!("  last acknowledgement {:?} after the cut", last.saturating_duration_since(cut));
        promise!(last < cut + LEASE, "an acknowledgement {:?} after the cut", last.duration_since(cut));
        promise!(last < opened, "two servers acknowledged at once");

        scene.act(&Fault::Thaw(Target::from(old)));
        scene.act(&Fault::Heal);
    });
}

/// A session that was open on a standby, where it could only read, must not be let in by the promotion itself.
pub fn on_a_promoted_standby(inside: &Inside) {
    Scene::shared(inside, "promoted-standby", Durability::Async, |scene| {
        let (old, new) = (scene.primary(), scene.standby());
        let office = scene.write(old, RecorderPlan::office());
        let session = scene.lab().client(new, move |access| write_when_possible(access, new));
        let switchover = async {
            // The session is there before anything happens.
            tokio::time::sleep(SETTLED).await;
            scene.lab().agents().switchover(old, Some(new)).await
        };
        let (fate, asked) = scene.wait_for(async { tokio::join!(session, switchover) });
        asked.expect("a switchover");
        scene.until("the standby was primary", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place == new)
        });
        scene.written(&office, 50);
        let opened = scene.events(new).into_iter().rfind(|event| event.kind == "clients.opening");
        let opened: Timestamp =
            opened.expect("clients were about to be let in").at.parse().expect("a moment");
        match fate.expect("a client") {
            Fate::Ended => println!("  the session ended"),
            Fate::Wrote(at) => promise!(at >= opened, "a write {} before clients were let in", opened - at),
        }
        scene.nothing_is_lost_after(office, new);
    });
}

/// What became of a session.
enum Fate {
    /// The server ended it.
    Ended,
    /// It was let write. The lab's servers have one clock, so this moment can be compared with a journal's.
    Wrote(Timestamp),
}

async fn write_when_possible(access: Access, place: Place) -> Fate {
    let mut session = access.connect(place).await.expect("a session on a standby");
    let began = Instant::now();
    while began.elapsed() < FAILOVER {
        match sqlx::query("create table if not exists show_build_promoted ()").execute(&mut session).await {
            Ok(_) => return Fate::Wrote(Timestamp::now()),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(READ_ONLY) => {
                tokio::time::sleep(INSIST).await;
            }
            Err(_) => return Fate::Ended,
        }
    }
    panic!("the session was refused for {FAILOVER:?}");
}
