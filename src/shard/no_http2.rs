//! In the place of `http2` in a build without it: HTTP/1.1 is spoken with everybody, whatever the configuration says.
//!
//! The types are those of `http2` and can have no value, so that nothing beside `Lanes::new` runs and nobody else asks
//! which build this is.

use crate::base::time::Instant;
use crate::config::topology::{Endpoint, Instance};
use crate::route::exchange::ConnectionRule;
use crate::runtime::world::World;
use crate::shard::deadlines::Watch;
use crate::shard::dial::ConnectFault;
use crate::shard::pool::{Pool, Slot};
use crate::shard::upstream_http::Link;
use crate::wire::http::{AnswerHead, HttpFault};
use std::convert::Infallible;
use std::marker::PhantomData;
use std::rc::Rc;

pub fn is_offered(_: &Instance) -> bool {
    false
}

pub struct Lanes<W>(Infallible, PhantomData<W>);

pub struct Lane<W>(Infallible, PhantomData<W>);

pub struct Turn<'a, W>(Infallible, PhantomData<&'a W>);

pub struct Stream<W>(Infallible, PhantomData<W>);

pub enum Failed {
    NotTaken,
    Lost,
    Gone { is_told: bool },
    Malformed(HttpFault),
}

impl<W: World> Lanes<W> {
    pub fn new(_: &Instance, _: &Endpoint) -> Option<Lanes<W>> {
        None
    }

    pub fn take(&self, _: ConnectionRule, _: Instant) -> Option<Lane<W>> {
        match self.0 {}
    }

    pub fn may_connect(&self, _: &Pool<W>, _: ConnectionRule) -> bool {
        match self.0 {}
    }

    pub fn turn<'a>(&'a self, _: &'a Rc<Pool<W>>) -> Turn<'a, W> {
        match self.0 {}
    }

    pub fn failures(&self) -> u64 {
        match self.0 {}
    }

    pub fn fault_since(&self, _: u64) -> Option<ConnectFault> {
        match self.0 {}
    }

    pub fn is_spoken_on(&self, _: &Link<W>) -> bool {
        match self.0 {}
    }

    pub async fn begin(&self, _: &W, _: Link<W>, _: Slot<W>, _: &Rc<Pool<W>>) -> Result<Lane<W>, ConnectFault> {
        match self.0 {}
    }

    pub fn beat(&self, _: Instant) {
        match self.0 {}
    }
}

impl<W> Turn<'_, W> {
    pub fn failed(&self, _: &ConnectFault) {
        match self.0 {}
    }
}

impl<W: World> Stream<W> {
    pub async fn call(
        lane: Lane<W>,
        _: &[(&str, &[u8])],
        _: Vec<u8>,
        _: &Watch<W>,
    ) -> Result<(Stream<W>, AnswerHead, Box<[u8]>), Failed> {
        match lane.0 {}
    }

    pub async fn read(&mut self, _: &mut Vec<u8>, _: &Watch<W>) -> Result<bool, Failed> {
        match self.0 {}
    }
}
