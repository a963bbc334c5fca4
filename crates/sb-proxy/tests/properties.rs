//! Laws of the deciding part, on any course of events.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sb_proxy::proxy_header::{self, HEADER_BYTES_MAX};
use sb_proxy::{Access, Leading, Limits, Outlook, Passage, Routes, Standby, Step, Target, Term};

/// What may happen to one connection.
#[derive(Debug, Clone)]
enum Happening {
    Routes(Routes),
    Passes(Duration),
    Connected,
    Failed,
}

fn target(number: u8) -> Target {
    Target::new(&format!("server-{number}"), ([10, 0, 0, number], 5432).into())
}

fn routes() -> impl Strategy<Value = Routes> {
    let leading = prop_oneof![
        Just(Leading::Nobody),
        (0_u8..3).prop_map(|number| Leading::Closing(target(number))),
        (0_u8..3).prop_map(|number| Leading::Open(target(number))),
    ];
    let standby = (0_u8..3, 0_u64..200, 0_u64..3).prop_map(|(number, lag_bytes, far)| Standby {
        target: target(number),
        lag_bytes,
        distance: Duration::from_millis(far),
    });
    (0_u64..5, leading, prop::collection::vec(standby, 0..3)).prop_map(|(term, primary, standbys)| Routes {
        term: Term::new(term),
        primary,
        standbys,
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        routes().prop_map(Happening::Routes),
        (0_u64..8_000).prop_map(|ms| Happening::Passes(Duration::from_millis(ms))),
        Just(Happening::Connected),
        Just(Happening::Failed),
    ]
}

/// A driver without sockets: it does what it is told and remembers where it is connected.
struct Walk {
    access: Access,
    limits: Limits,
    passage: Passage,
    outlook: Outlook,
    dialling: Option<Target>,
    /// The server, and the term in which it was reached.
    server: Option<(Target, Term)>,
    began: Instant,
    now: Instant,
}

impl Walk {
    fn new(access: Access) -> Self {
        let limits = Limits { lag_bytes_max: 100, ..Limits::default() };
        let began = Instant::now();
        Self {
            access,
            limits,
            passage: Passage::new(&limits, began),
            outlook: Outlook::default(),
            dialling: None,
            server: None,
            began,
            now: began,
        }
    }

    fn happens(&mut self, happening: &Happening) -> Step {
        match happening {
            Happening::Routes(routes) => self.outlook.follow(self.access, routes, self.limits.lag_bytes_max),
            Happening::Passes(time) => self.now += *time,
            Happening::Connected => {
                if let Some(target) = self.dialling.take() {
                    self.passage.connected(&self.outlook);
                    self.server = Some((target, self.outlook.term));
                }
            }
            Happening::Failed => {
                if self.dialling.take().is_some() {
                    self.passage.failed(self.now);
                }
            }
        }
        let step = self.passage.step(&self.outlook, self.now);
        match &step {
            Step::Carry { .. } => {}
            Step::Dial { target, .. } => (self.server, self.dialling) = (None, Some(target.clone())),
            Step::Wait { .. } | Step::End(_) => (self.server, self.dialling) = (None, None),
        }
        step
    }
}

proptest! {
    #[test]
    fn a_writer_is_only_ever_at_the_server_that_leads_in_the_newest_term(
        happenings in prop::collection::vec(happening(), 1..40)
    ) {
        let mut walk = Walk::new(Access::ReadWrite);
        let mut newest = Term::default();
        for happening in &happenings {
            if let Happening::Routes(routes) = happening {
                newest = newest.max(routes.term);
            }
            match walk.happens(happening) {
                Step::Carry { .. } => {
                    let (server, term) = walk.server.as_ref().unwrap();
                    prop_assert_eq!(*term, newest);
                    prop_assert_eq!(walk.outlook.primary.target(), Some(server));
                }
                Step::Dial { target, .. } => {
                    prop_assert_eq!(&walk.outlook.primary, &Leading::Open(target));
                }
                Step::Wait { .. } | Step::End(_) => {}
            }
        }
    }

    #[test]
    fn nobody_waits_longer_than_may_be_held_and_every_wait_has_an_end(
        happenings in prop::collection::vec(happening(), 1..40), reads in any::<bool>()
    ) {
        let mut walk = Walk::new(if reads { Access::ReadOnly } else { Access::ReadWrite });
        let last = walk.began + walk.limits.hold;
        for happening in &happenings {
            match walk.happens(happening) {
                Step::Wait { until } | Step::Dial { until, .. } => {
                    prop_assert!(walk.now < until && until <= last);
                }
                Step::Carry { review } => prop_assert!(review.is_none_or(|review| review > walk.now)),
                Step::End(_) => {}
            }
        }
    }

    #[test]
    fn an_end_stays_an_end(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut walk = Walk::new(Access::ReadOnly);
        let mut ended = None;
        for happening in &happenings {
            let step = walk.happens(happening);
            if let Some(end) = &ended {
                prop_assert_eq!(&step, end);
            } else if matches!(step, Step::End(_)) {
                ended = Some(step);
            }
        }
    }

    #[test]
    fn asking_again_without_a_change_gives_the_same_answer(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut walk = Walk::new(Access::ReadOnly);
        for happening in &happenings {
            let step = walk.happens(happening);
            prop_assert_eq!(walk.happens(&Happening::Passes(Duration::ZERO)), step);
        }
    }

    #[test]
    fn a_reader_is_never_sent_to_a_standby_beyond_the_bound(routes in routes()) {
        let mut walk = Walk::new(Access::ReadOnly);
        if let Step::Dial { target, .. } = walk.happens(&Happening::Routes(routes.clone())) {
            let within = |s: &Standby| s.target == target && s.lag_bytes <= walk.limits.lag_bytes_max;
            let fits = routes.standbys.iter().any(within);
            prop_assert!(fits || routes.primary == Leading::Open(target));
        }
    }

    #[test]
    fn any_bytes_are_judged_and_a_header_is_within_its_bound(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        if let Ok(Some(header)) = proxy_header::parse(&bytes) {
            prop_assert!(header.length <= bytes.len() && header.length <= HEADER_BYTES_MAX);
        }
    }

    #[test]
    fn a_header_that_a_cut_short_one_asks_for_more_of_is_bounded(bytes in prop::collection::vec(any::<u8>(), 600..700)) {
        let v1 = [b"PROXY ".to_vec(), bytes.clone()].concat();
        let v2 = [b"\r\n\r\n\0\r\nQUIT\n".to_vec(), bytes].concat();
        for bytes in [v1, v2] {
            prop_assert_ne!(proxy_header::parse(&bytes[..HEADER_BYTES_MAX]), Ok(None));
        }
    }
}
