//! Watches the cluster while the story waits for something: every wait has a limit and tells what it saw.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::journal::Journal;
use super::{Frame, Screen};
use crate::lab::{Lab, LabError};
use crate::picture::Picture;
use crate::place::{Place, SERVERS_COUNT};
use crate::recorder::{AccessError, Recorder};

/// Between two looks at the cluster: a person sees no difference, and the agents have other things to do.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Lines of the story that a screen shows at once.
const LINES_SHOWN_MAX: usize = 14;

/// The story could not go on.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// Something did not happen in time.
    #[error("waited {limit:?} until {what}, in vain")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// The last picture, as text.
        seen: String,
    },
    /// The lab itself failed.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A client could not work.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// An agent refused what the story asked.
    #[error("could not ask an agent")]
    Agent(#[from] sb_client::CallError),
    /// The mesh lets others in than its members.
    #[error("the mesh is open: {refusal}")]
    Open {
        /// Who was answered by whom.
        refusal: String,
    },
    /// The system refused a thread, or a client did not find its way.
    #[error("could not start a client")]
    Client(#[from] std::io::Error),
}

/// Watches a lab and shows it.
pub(super) struct Watch<'a> {
    lab: &'a Lab,
    screen: &'a mut dyn Screen,
    title: String,
    started: Instant,
    /// When it went wrong; times are told from here.
    fault: Option<Instant>,
    picture: Picture,
    /// By [`Place::index`].
    journals: [Journal; SERVERS_COUNT],
    lines: VecDeque<String>,
    recorder: Option<Recorder>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(lab: &'a Lab, screen: &'a mut dyn Screen, title: String) -> Self {
        Self {
            lab,
            screen,
            title,
            started: Instant::now(),
            fault: None,
            picture: Picture::default(),
            journals: Default::default(),
            lines: VecDeque::new(),
            recorder: None,
        }
    }

    /// Adds a line to the story.
    pub(super) fn say(&mut self, line: &str) {
        let line = format!("{} {line}", self.clock());
        self.screen.say(&line);
        if self.lines.len() == LINES_SHOWN_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Shows the whole table to those who only see lines.
    pub(super) fn say_table(&mut self) {
        self.say_lines(super::frame::table(&self.picture));
    }

    /// Shows lines to those who only see lines.
    pub(super) fn say_lines(&mut self, lines: Vec<String>) {
        lines.iter().for_each(|line| self.screen.say(line));
    }

    pub(super) fn hand_over(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    pub(super) fn take_recorder(&mut self) -> Option<Recorder> {
        self.recorder.take()
    }

    /// The moment from which times are told.
    pub(super) fn mark_fault(&mut self) -> Instant {
        *self.fault.insert(Instant::now())
    }

    pub(super) fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Waits until the picture is as wanted. Returns when that was.
    pub(super) async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&Picture, usize) -> bool,
    ) -> Result<Instant, StoryError> {
        let began = Instant::now();
        loop {
            self.look().await;
            if done(&self.picture, self.acknowledged()) {
                return Ok(Instant::now());
            }
            if began.elapsed() > limit {
                let seen = super::frame::table(&self.picture).join("\n");
                return Err(StoryError::TimedOut { what: what.to_owned(), limit, seen });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn acknowledged(&self) -> usize {
        self.recorder.as_ref().map_or(0, Recorder::acknowledged)
    }

    async fn look(&mut self) {
        let picture = Picture::take(self.lab).await;
        let changes = changes(&self.picture, &picture);
        self.picture = picture;
        for line in self.news().await.into_iter().chain(changes) {
            self.say(&line);
        }
        let acknowledged = self.acknowledged();
        self.screen.show(&Frame {
            title: &self.title,
            elapsed: self.started.elapsed(),
            picture: &self.picture,
            links: &self.lab.links(),
            acknowledged,
            lines: &self.lines,
        });
    }

    /// What the journals have since the last look, oldest first within a server.
    async fn news(&mut self) -> Vec<String> {
        let answering: Vec<Place> = self
            .picture
            .servers
            .iter()
            .filter(|server| server.status.is_some())
            .map(|server| server.place)
            .collect();
        let asked = answering
            .iter()
            .map(|place| self.lab.agents().events(*place, self.journals[place.index()].last()));
        let answers = join_all(asked).await;
        let told = answering.iter().zip(answers).flat_map(|(place, answer)| {
            let events = answer.unwrap_or_default();
            self.journals[place.index()].tell(&events)
        });
        told.collect()
    }

    fn clock(&self) -> String {
        match self.fault {
            None => format!("{:8.2} s", self.started.elapsed().as_secs_f64()),
            Some(fault) => format!("{:+8.2} s", fault.elapsed().as_secs_f64()),
        }
    }
}

/// Servers whose role has changed, for a story whose journals say nothing of it.
fn changes(before: &Picture, now: &Picture) -> Vec<String> {
    let role = |picture: &Picture, place: Place| picture.server(place).and_then(super::frame::role_word);
    now.servers
        .iter()
        .map(|server| (server.place, role(before, server.place), role(now, server.place)))
        .filter(|(_, before, now)| before != now)
        .map(|(place, _, now)| format!("{:<13} is {}", place.name(), now.unwrap_or("silent")))
        .collect()
}
