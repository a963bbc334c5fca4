use std::io::ErrorKind;
use std::time::Duration;

use sb_proxy::{Access, Leading, Limits};

use crate::setup::{Server, Setup, end, exchange};

fn limits() -> Limits {
    Limits { lag_bytes_max: 100, grace: Duration::from_millis(100), ..Limits::default() }
}

#[tokio::test]
async fn a_reader_goes_to_the_nearest_standby_within_the_bound() {
    let setup = Setup::new(Access::ReadOnly, limits()).await;
    let (mut near, behind) = (Server::new("near").await, Server::new("behind").await);
    let (far, primary) = (Server::new("far").await, Server::new("primary").await);
    setup.lead(1, &primary.target);
    setup.standbys(&[(&far.target, 0, 75), (&behind.target, 101, 1), (&near.target, 100, 8)]);
    setup.session(&mut near).await;
    assert_eq!([behind.waiting(), far.waiting(), primary.waiting()], [0, 0, 0]);
}

#[tokio::test]
async fn a_reader_goes_to_the_primary_when_no_standby_is_near_enough_and_is_cut_with_its_term() {
    let setup = Setup::new(Access::ReadOnly, limits()).await;
    let (standby, mut primary) = (Server::new("standby").await, Server::new("primary").await);
    setup.lead(1, &primary.target);
    setup.standbys(&[(&standby.target, 101, 1)]);
    let (mut client, _session) = setup.session(&mut primary).await;
    setup.tell(2, Leading::Nobody);
    assert_eq!(end(&mut client).await, Some(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_reader_leaves_a_standby_that_stays_out_of_the_bound_and_not_one_that_comes_back() {
    let patient = Limits { grace: Duration::from_secs(60), ..limits() };
    let setup = Setup::new(Access::ReadOnly, patient).await;
    let (mut one, mut two) = (Server::new("one").await, Server::new("two").await);
    setup.standbys(&[(&one.target, 0, 1)]);
    let (mut stays, mut session) = setup.session(&mut one).await;
    setup.standbys(&[(&one.target, 101, 1), (&two.target, 0, 8)]);
    setup.session(&mut two).await;
    setup.standbys(&[(&one.target, 100, 9), (&two.target, 0, 8)]);
    setup.session(&mut two).await;
    exchange(&mut stays, &mut session).await;

    let limits = Limits { grace: Duration::from_millis(300), ..limits() };
    let setup = Setup::new(Access::ReadOnly, limits).await;
    setup.standbys(&[(&one.target, 0, 1)]);
    let (mut stays, _session) = setup.session(&mut one).await;
    setup.standbys(&[(&two.target, 0, 8)]);
    let out_since = std::time::Instant::now();
    assert_eq!(end(&mut stays).await, Some(ErrorKind::ConnectionReset));
    assert!(out_since.elapsed() >= limits.grace);
    setup.until(|numbers| numbers.cut == 1).await;
}

#[tokio::test]
async fn a_reader_on_a_standby_lives_through_a_change_of_term() {
    let setup = Setup::new(Access::ReadOnly, limits()).await;
    let (mut standby, primary) = (Server::new("standby").await, Server::new("primary").await);
    setup.lead(1, &primary.target);
    setup.standbys(&[(&standby.target, 0, 1)]);
    let (mut client, mut session) = setup.session(&mut standby).await;
    setup.tell(2, Leading::Nobody);
    setup.session(&mut standby).await;
    exchange(&mut client, &mut session).await;
    assert_eq!(setup.numbers().cut, 0);
}
