//! Clients that know one address of their own server, and nothing of the cluster.
#![allow(clippy::print_stdout, reason = "the measured times are shown with the test")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use sb_api::{ProxyAccess, ProxyListener};
use sb_e2e::promise;
use sb_lab::options::Durability;
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::{Access, RecorderPlan, Way};
use sb_lab::stage::Inside;
use sqlx::Row;
use tokio::sync::oneshot;

use crate::scene::{FAILOVER, REJOIN, Scene};

/// Between two questions of a client.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Answers of a new primary after which none of the old one's is to be expected any more.
const ANSWERS: usize = 100;

/// The primary moves twice, once on purpose and once because its host is lost. The client at another server is cut each
/// time, held, and finds its rows again without anybody telling it anything.
pub fn clients_know_only_their_own_server(inside: &Inside) {
    Scene::shared(inside, "proxy", Durability::Sync, |scene| {
        let first = scene.primary();
        let home = scene.standby();
        let before = writers_door(scene, home);
        let clients = scene.write(first, RecorderPlan::behind_the_proxy(home));

        let (heard, answered) = oneshot::channel();
        let asking = scene.lab().client(home, move |access| answers_of_another(access, home, first, heard));
        let next = Place::servers().find(|place| ![first, home].contains(place));
        let moving = async {
            answered.await.expect("an answer");
            scene.lab().agents().switchover(first, next).await
        };
        let (answers, moved) = scene.wait_for(async { tokio::join!(asking, moving) });
        moved.expect("a switchover");
        assert_old_answers_end(&answers.expect("a client"), first);
        scene.written(&clients, 50);
        scene.until("every server followed the next primary", REJOIN, Picture::whole);
        let second = scene.primary();
        assert_ne!(second, home, "the clients are on the server that is lost next");

        let (there, arrived) = oneshot::channel();
        let reading = scene.lab().client(home, move |access| read_until_cut(access, home, there));
        let losing = async {
            arrived.await.expect("a session");
            scene.kill_host(second);
            Instant::now()
        };
        let (cut, lost) = scene.wait_for(async { tokio::join!(reading, losing) });
        println!("  a client that only reads noticed after {:?}", cut.expect("a client") - lost);
        scene.until("another server was primary", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place != second)
        });
        scene.written(&clients, 50);
        let third = scene.primary();
        let ledger = scene.nothing_is_lost_after(clients, third);
        println!("  {:?} without writes after the loss", ledger.write_gap(lost));

        let after = writers_door(scene, home);
        println!("  {after:?}");
        assert_eq!(after.refused, before.refused, "clients are held, not refused: {after:?}");
        scene.return_host(second);
        scene.until("the lost host was back", REJOIN, Picture::whole);
    });
}

fn writers_door(scene: &Scene, at: Place) -> ProxyListener {
    let server = scene.wait_for(scene.lab().agents().server(at)).expect("an agent");
    let door = server.proxy.into_iter().find(|listener| listener.access == ProxyAccess::ReadWrite);
    door.expect("a proxy for clients that write")
}

/// Which server answered, one after the other, until another than `first` has answered often enough; `heard` is told of
/// the first answer.
async fn answers_of_another(
    access: Access,
    home: Place,
    first: Place,
    heard: oneshot::Sender<()>,
) -> Vec<IpAddr> {
    let mut heard = Some(heard);
    let access = Access { way: Way::Proxy, ..access };
    let old = IpAddr::V4(first.address());
    let mut answers: Vec<IpAddr> = Vec::new();
    let began = Instant::now();
    while began.elapsed() < FAILOVER {
        let Ok(mut session) = access.connect(home).await else { continue };
        while began.elapsed() < FAILOVER {
            let asked = sqlx::query("select host(inet_server_addr())").fetch_one(&mut session).await;
            let Ok(row) = asked else { break };
            let by: String = row.get(0);
            answers.push(by.parse().expect("an address"));
            if let Some(heard) = heard.take() {
                heard.send(()).expect("somebody waits for it");
            }
            if answers.iter().filter(|by| **by != old).count() >= ANSWERS {
                return answers;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
    panic!("no server but `{first}` answered often enough within {FAILOVER:?}");
}

/// When a client noticed that was waiting for an answer, of a server that will never give one.
async fn read_until_cut(access: Access, home: Place, there: oneshot::Sender<()>) -> Instant {
    let access = Access { way: Way::Proxy, ..access };
    let mut session = access.connect(home).await.expect("a session");
    there.send(()).expect("somebody waits for it");
    let asleep = sqlx::query("select pg_sleep(3600)").execute(&mut session);
    let ended = tokio::time::timeout(FAILOVER, asleep).await.expect("the session is cut");
    assert!(ended.is_err(), "the query cannot have ended");
    Instant::now()
}

fn assert_old_answers_end(answers: &[IpAddr], old: Place) {
    let old = IpAddr::V4(old.address());
    assert_eq!(answers.first(), Some(&old), "the client never heard the old primary");
    let new = answers.iter().position(|by| *by != old).expect("another server answered");
    let late = answers[new..].iter().filter(|by| **by == old).count();
    promise!(late == 0, "{late} answers of the old primary after the new one's first");
}
