//! Fuzzes the target `vote` of `targets.rs`.
#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(targets::run("vote", bytes)));
