//! The outside, behind one trait. The only room that names monoio, libc, `unsafe`, atomics, locks and threads.

pub mod world;
