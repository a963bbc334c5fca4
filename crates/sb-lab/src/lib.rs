//! Five virtual sites with six servers on one machine.
//!
//! Each server is a network namespace with its own address, real PostgreSQL and real agents. The wide-area
//! network between them is a router in this process that delays, drops, limits and cuts each direction of each
//! link by itself.

pub mod brake;
pub mod cli;
pub mod cluster;
pub mod control;
pub mod demo;
pub mod disk;
pub mod fault;
pub mod host;
pub mod lab;
pub mod layout;
pub mod namespace;
pub mod network;
pub mod options;
pub mod outside;
pub mod picture;
pub mod place;
pub mod processes;
pub mod recorder;
pub mod serve;
pub mod soak;
pub mod stage;
pub mod unit;
pub mod wan;

mod port_cuts;
