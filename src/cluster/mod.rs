//! Other nodes. A node works alone; with `CLUSTER_DNS_QUERY` nodes find each other and know how each of them is. Nothing of it is on a
//! request's path, and in a partition everybody goes on alone.
//!
//! Reading order: `engine` joins the parts. `secret` and `seal` make a datagram that only the cluster's nodes can read; `sessions` (with
//! `window`) decides whom to listen to; `frame` is what is said. `discovery` (with `services`) knows whom to greet, `membership` (with
//! `identity`) who belongs to the cluster, `health` how each of them is, `view` what people are shown. `advice` is what nodes tell each
//! other of providers.
//!
//! What nodes tell each other of their figures: `digest` is what, `difference` how it is written, `serving` and `gathering` who is told what and
//! when (`sharing` joins them to the engine), `merging` what several nodes' figures are together, `telling` how people are shown that.
//! `news` is what they tell each other of what happens.
//!
//! All of it is pure: datagrams and moments in, datagrams out. `control::cluster` carries them.

pub mod advice;
pub mod difference;
pub mod digest;
pub mod discovery;
pub mod engine;
pub mod frame;
pub mod gathering;
pub mod health;
pub mod identity;
pub mod membership;
pub mod merging;
pub mod news;
pub mod numbers;
pub mod seal;
pub mod secret;
pub mod services;
pub mod serving;
pub mod sessions;
pub mod settings;
pub mod sharing;
pub mod telling;
pub mod view;
pub mod window;
