//! The real binary on real sockets: hostile requests, hostile providers, recorded answers, limits, drain, real clients.
//!
//! Nothing here links the node's code into the process under test: each test starts `lasso serve` and talks to it. `report` runs
//! none: the page of a benchmark is a function of its findings.

mod absent;
mod actor;
mod alerts;
mod api;
mod autobahn;
mod behaviour;
mod bells;
mod clients;
mod cluster;
mod dialects;
#[cfg(feature = "http2")]
mod h2_server;
mod events;
mod failover;
mod feed;
mod geth;
mod hand_over;
mod harness;
mod hearsay;
mod headers;
mod hostile;
mod http;
#[cfg(feature = "http2")]
mod http2;
mod killed;
mod ledgers;
mod lessons;
mod life;
mod limits;
mod links;
mod llhttp;
mod load;
mod malformed;
mod memory;
mod metrics;
#[cfg(feature = "http2")]
mod nginx;
mod multiplex;
mod openapi;
mod page;
mod prometheus;
mod provider;
mod recovery;
mod regions;
mod regions_page;
mod relay;
mod replay;
mod report;
mod resume;
mod scenario;
mod schema;
mod shortage;
mod snapshots;
mod standing;
mod together;
mod traces;
mod vectors;
mod watchers;
mod websocket;
mod ws_provider;
