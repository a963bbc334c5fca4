//! A proxy before one server, until its standard input ends:
//!
//! ```text
//! cargo run -p sb-proxy --release --example forward -- 127.0.0.1:6432 127.0.0.1:5432
//! ```
#![allow(clippy::print_stderr, reason = "an example tells what it does")]

use std::error::Error;
use std::net::SocketAddr;

use sb_proxy::{Access, Leading, Limits, ListenerConfig, Place, Proxy, Routes, Target, Term};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// As many threads as an agent gives to its clients.
const THREADS: usize = 2;

const CONNECTIONS_MAX: usize = 50_000;

fn main() -> Result<(), Box<dyn Error>> {
    let addresses: Result<Vec<SocketAddr>, _> = std::env::args().skip(1).map(|word| word.parse()).collect();
    let [listen, server] =
        addresses?.try_into().map_err(|_| "give the address to listen on and the server's")?;
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    threads.block_on(async {
        let primary = Leading::Open(Target::new("server", server));
        let routes = Routes { term: Term::new(1), primary, standbys: Vec::new() };
        let (_feed, routes) = watch::channel(routes);
        let limits = Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() };
        let listener = ListenerConfig::new(Place::Tcp(listen), Access::ReadWrite);
        let proxy = Proxy::new(vec![listener], limits);
        let stop = CancellationToken::new();
        let until_input_ends = stop.clone();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            until_input_ends.cancel();
        });
        proxy.run(routes, stop).await;
        eprintln!("{:#?}", proxy.numbers());
    });
    Ok(())
}
