//! The simulator: whole nodes in one thread under a virtual clock, with faults, from one seed.
//!
//! `world` is the simulated outside, proved by `world_tests` and by `pump`, a small proxy run through every fault;
//! `node` is whole lasso nodes in it, `bench` compares providers whose truth is known, `cluster` what nodes are to each other and `figures` what they tell of themselves; `weather` draws each seed's faults; `seeds` turns a number into a run and a failure into one command.

mod bench;
mod cluster;
mod figures;
mod node;
mod pump;
mod seeds;
mod two_hundred;
mod weather;
mod world;
mod world_tests;
