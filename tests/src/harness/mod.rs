//! Runs real `ordu agent` processes for tests: starts, kills, pauses and isolates them, and ends all of them at the
//! end.

mod agent;
mod cluster;
mod config;
mod dev;
mod hanging_disk;
mod links;
mod loss;
mod network;
mod ports;
mod preload;
pub mod processes;
mod root;
mod service_manager;
mod small_disk;
mod systemd;
mod wait;
mod wall_clock;

pub use agent::{Agent, next_binary, ordu_binary};
pub use cluster::{Cluster, SETTLE_WITHIN, Shape};
pub use dev::DevAgent;
pub use hanging_disk::HangingDisk;
pub use links::Links;
pub use loss::Loss;
pub use network::Network;
pub use ports::free_port;
pub use root::Root;
pub use service_manager::ServiceManager;
pub use small_disk::{SmallDisk, may_mount};
pub use systemd::Systemd;
pub use wait::{eventually, eventually_now, holds, look_for, say, skipped};
pub use wall_clock::WallClock;
