//! Laws of the model: what is written reads back, whatever the input nothing panics, and a plan reaches its target
//! without an address that two peers own.

mod generated;
mod mesh;
mod model;
mod plans;
mod preshared;
mod rotations;
mod uapi;
mod wg_quick;
