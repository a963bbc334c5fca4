//! What the tests share: a small state machine, and members over loopback.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod etcd;
pub mod tcp;

use std::sync::Arc;

use sb_consensus::{RestoreError, StateMachine};
use serde::{Deserialize, Serialize};

/// A journal of words and one number that changes by compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notebook {
    pub words: Vec<String>,
    pub number: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    Write(String),
    Swap { expect: u64, new: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// How many words there are now.
    Written(u64),
    Swapped,
    Found(u64),
}

#[derive(Debug, Default)]
pub struct Machine(Arc<Notebook>);

impl StateMachine for Machine {
    type Request = Request;
    type Outcome = Outcome;
    type View = Arc<Notebook>;

    fn apply(&mut self, request: &Request) -> Outcome {
        let notebook = Arc::make_mut(&mut self.0);
        match request {
            Request::Write(word) => {
                notebook.words.push(word.clone());
                Outcome::Written(notebook.words.len() as u64)
            }
            Request::Swap { expect, new } if *expect == notebook.number => {
                notebook.number = *new;
                Outcome::Swapped
            }
            Request::Swap { .. } => Outcome::Found(notebook.number),
        }
    }

    fn view(&self) -> Arc<Notebook> {
        Arc::clone(&self.0)
    }

    fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&*self.0).unwrap()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.0 = Arc::new(serde_json::from_slice(bytes).map_err(RestoreError::new)?);
        Ok(())
    }
}

pub fn write(word: impl Into<String>) -> Request {
    Request::Write(word.into())
}
