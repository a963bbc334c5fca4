use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep_until, timeout, timeout_at};

use crate::client::ClientStream;
use crate::greeting::read_header;
use crate::listener::Header;
use crate::numbers::Meter;
use crate::pump::{Flowed, Pump};
use crate::seats::Seat;
use crate::{Limits, Outlook, Passage, Reason, Step, Target, sockets};

/// What the connections of a listener have in common.
#[derive(Debug)]
pub struct House {
    pub limits: Limits,
    pub header: Header,
    pub meter: Arc<Meter>,
    /// One permit for each connect that may be under way.
    pub dials: Semaphore,
}

/// One connection, from being let in to its end.
#[derive(Debug)]
pub struct Connection {
    pub house: Arc<House>,
    pub outlook: watch::Receiver<Arc<Outlook>>,
    pub passage: Passage,
    /// For the log.
    pub from: String,
}

/// How holding ended without a server.
enum Unserved {
    /// The client hung up, or the proxy ends.
    Gone,
    /// One more may not wait.
    TooMany,
    /// The passage ended.
    Ended(Reason),
}

impl Connection {
    /// Serves `client` to its end; its seat is free then.
    pub async fn serve(self, client: ClientStream, seat: Seat) {
        self.pass(client).await;
        drop(seat);
    }

    async fn pass(mut self, mut client: ClientStream) {
        let mut first = Vec::new();
        if self.house.header == Header::Required {
            match read_header(&mut client, self.house.limits.header).await {
                Ok((header, rest)) => {
                    self.introduce(header.source);
                    first = rest;
                }
                Err(error) => {
                    self.house.meter.bad_headers.add(1);
                    tracing::info!(from = %self.from, error = %words(&error), "a connection is not let in");
                    return;
                }
            }
        }
        match self.find_server(&client).await {
            Ok(server) => self.carry(Pump::new(client, server, first)).await,
            Err(Unserved::Gone) => {}
            Err(Unserved::TooMany) => self.house.meter.refused.add(1),
            Err(Unserved::Ended(reason)) => self.note(reason),
        }
    }

    fn introduce(&mut self, source: Option<SocketAddr>) {
        if let Some(source) = source {
            tracing::info!(by = %self.from, client = %source, "a connection is let in on the word of a load balancer");
            self.from = source.to_string();
        }
    }

    /// Holds the client until it is connected to the server that it belongs to.
    async fn find_server(&mut self, client: &ClientStream) -> Result<TcpStream, Unserved> {
        let held_max = self.house.limits.held_max;
        let Some(_held) = self.house.meter.held.take(held_max) else { return Err(Unserved::TooMany) };
        let house = self.house.clone();
        loop {
            let step = self.step();
            let (target, until) = match step {
                Step::End(reason) => return Err(Unserved::Ended(reason)),
                Step::Wait { until } => (None, until),
                Step::Dial { target, until } => (Some(target), until),
                Step::Carry { .. } => unreachable!("only what has been connected is carried"),
            };
            let Some(target) = target else {
                tokio::select! {
                    changed = self.outlook.changed() => changed.map_err(|_| Unserved::Gone)?,
                    () = client.hung_up() => return Err(Unserved::Gone),
                    () = sleep_until(until.into()) => {}
                }
                continue;
            };
            let dialled = tokio::select! {
                dialled = dial(&house, &target, until) => dialled,
                changed = self.outlook.changed() => {
                    changed.map_err(|_| Unserved::Gone)?;
                    // Where the target is the same, the attempt begins anew; outlooks change seldom.
                    continue;
                }
                () = client.hung_up() => return Err(Unserved::Gone),
            };
            if let Some(server) = self.judge(dialled, &target) {
                return Ok(server);
            }
        }
    }

    /// Whether what was dialled is carried.
    fn judge(&mut self, dialled: io::Result<TcpStream>, target: &Target) -> Option<TcpStream> {
        match dialled {
            Ok(server) => {
                let outlook = self.outlook.borrow().clone();
                self.passage.connected(&outlook);
                matches!(self.passage.step(&outlook, Instant::now()), Step::Carry { .. }).then_some(server)
            }
            Err(error) => {
                self.house.meter.failed_dials.add(1);
                tracing::debug!(from = %self.from, server = %target.name, %error, "a server does not take a connection");
                self.passage.failed(Instant::now());
                None
            }
        }
    }

    async fn carry(mut self, mut pump: Pump) {
        let house = self.house.clone();
        loop {
            let review = match self.step() {
                Step::Carry { review } => review,
                Step::End(reason) => {
                    pump.cut();
                    return self.note(reason);
                }
                Step::Wait { .. } | Step::Dial { .. } => unreachable!("what is carried is carried or ends"),
            };
            tokio::select! {
                // First what may end it: bytes that are ready are not passed on after that.
                biased;
                changed = self.outlook.changed() => if changed.is_err() {
                    // The proxy ends.
                    return pump.cut();
                },
                () = at(review) => {}
                flowed = pump.run(&house.meter) => return finish(&house, pump, flowed).await,
            }
        }
    }

    fn step(&mut self) -> Step {
        let outlook = self.outlook.borrow_and_update().clone();
        self.passage.step(&outlook, Instant::now())
    }

    fn note(&self, reason: Reason) {
        self.house.meter.ended(reason);
        tracing::debug!(from = %self.from, ?reason, "a connection is ended");
    }
}

async fn dial(house: &House, target: &Target, until: Instant) -> io::Result<TcpStream> {
    let dialled = async {
        let _permit = house.dials.acquire().await.map_err(io::Error::other)?;
        sockets::dial(target.address, &house.limits).await
    };
    timeout_at(until.into(), dialled).await.unwrap_or_else(|late| Err(late.into()))
}

/// The end of a session that its peers have ended.
async fn finish(house: &House, mut pump: Pump, flowed: io::Result<Flowed>) {
    match flowed {
        Ok(Flowed::Both) => {}
        Ok(Flowed::Server) => {
            // Nothing can come for this client any more; most hang up by themselves now.
            let both = timeout(house.limits.linger, pump.run(&house.meter)).await;
            if !matches!(both, Ok(Ok(_))) {
                pump.cut();
            }
        }
        // One side is gone without an orderly end: neither has the other's.
        Err(_) => pump.cut(),
    }
}

async fn at(review: Option<Instant>) {
    match review {
        Some(review) => sleep_until(review.into()).await,
        None => std::future::pending().await,
    }
}

/// An error with what caused it.
fn words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
