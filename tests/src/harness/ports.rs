//! Finds free ports on loopback that stay free while a member is down.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// First port. The range is below that of ephemeral ports, because an outgoing connection could otherwise take the port
/// of a stopped member, and below the range of the tasks' dynamic ports.
const FIRST: u16 = 11_000;
const COUNT: u16 = 9_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// Returns a port without listener that this process has not returned recently.
pub fn free_port() -> u16 {
    // Start at a position that differs between concurrent test processes.
    let start = (std::process::id() as u16).wrapping_mul(97);
    for _ in 0..COUNT {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = FIRST + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} to {} is free", FIRST + COUNT - 1);
}
