//! Addresses of the other nodes, from what `CLUSTER_DNS_QUERY` says.
//!
//! Names are looked up by the resolver's threads, as providers' are; here their last answer is read. Services are asked for over a socket
//! of our own: one task receives, whoever asks waits a while and then asks the next server.

use crate::base::limits::{CLUSTER_ADDRESSES, CLUSTER_LOOKUP_MS, CLUSTER_LOOKUP_POLL_MS, CLUSTER_SERVICE_HOSTS};
use crate::base::rng::Rng;
use crate::cluster::discovery::ClusterQuery;
use crate::cluster::services::{self, ANSWER_BYTES, RecordKind, Records};
use crate::runtime::world::{Datagrams, World};
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

/// Answers that arrived and were not looked at; more are dropped.
const UNREAD_ANSWERS: usize = 16;

type Answers = Rc<RefCell<Vec<(SocketAddr, Vec<u8>)>>>;

pub struct Lookup<W: World> {
    world: W,
    query: ClusterQuery,
    port: u16,
    servers: Vec<SocketAddr>,
    /// Made when services are asked for.
    socket: Option<(W::Datagrams, Answers)>,
    rng: Rng,
}

impl<W: World> Lookup<W> {
    pub fn new(world: W, query: ClusterQuery, port: u16, servers: Vec<SocketAddr>) -> Lookup<W> {
        let rng = world.rng();
        Lookup { world, query, port, servers, socket: None, rng }
    }

    /// What is known now, without repeats in its order.
    pub async fn look(&mut self) -> Vec<SocketAddr> {
        let mut found = match &self.query {
            ClusterQuery::Name(name) => self.of_host(name, self.port),
            ClusterQuery::List(hosts) => hosts.iter().flat_map(|(host, port)| self.of_host(host, *port)).collect(),
            ClusterQuery::Services(name) => {
                let name = name.clone();
                self.of_services(&name).await
            }
        };
        found.truncate(CLUSTER_ADDRESSES);
        found
    }

    fn of_host(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        self.world.peer_addresses(host).into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
    }

    async fn of_services(&mut self, name: &str) -> Vec<SocketAddr> {
        let Some(mut records) = self.ask(name, RecordKind::Service).await else { return Vec::new() };
        let (_, missing) = records.resolved();
        for host in missing.into_iter().take(CLUSTER_SERVICE_HOSTS) {
            for kind in [RecordKind::Address4, RecordKind::Address6] {
                let Some(answer) = self.ask(&host, kind).await else { continue };
                // An alias's addresses stand under its other name.
                let ips: Vec<IpAddr> = answer.addresses.into_values().flatten().collect();
                if !ips.is_empty() {
                    records.addresses.entry(host.clone()).or_default().extend(ips);
                }
            }
        }
        records.resolved().0
    }

    async fn ask(&mut self, name: &str, kind: RecordKind) -> Option<Records> {
        let (socket, answers) = self.socket()?;
        for server in self.servers.clone() {
            let id = self.rng.next() as u16;
            answers.borrow_mut().clear();
            if socket.send(services::question(id, name, kind)?, server).await.is_err() {
                continue;
            }
            let until = self.world.now().plus_ms(CLUSTER_LOOKUP_MS);
            while self.world.now() < until {
                self.world.sleep_until(self.world.now().plus_ms(CLUSTER_LOOKUP_POLL_MS)).await;
                let arrived = std::mem::take(&mut *answers.borrow_mut());
                let theirs = arrived.iter().filter(|(from, _)| *from == server);
                if let Some(records) = theirs.flat_map(|(_, message)| services::answer(message, id, name, kind)).next() {
                    return Some(records);
                }
            }
        }
        None
    }

    fn socket(&mut self) -> Option<(W::Datagrams, Answers)> {
        if self.socket.is_none() {
            let any = match self.servers.first()?.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            let socket = self.world.datagrams(SocketAddr::new(any, 0)).ok()?;
            let answers = Answers::default();
            self.world.spawn("cluster lookup", receive::<W>(socket.clone(), answers.clone()));
            self.socket = Some((socket, answers));
        }
        self.socket.clone()
    }
}

async fn receive<W: World>(socket: W::Datagrams, answers: Answers) {
    let mut buffer = Vec::with_capacity(usize::from(ANSWER_BYTES));
    loop {
        let (received, filled) = socket.receive(buffer).await;
        let Ok(from) = received else { return };
        let mut waiting = answers.borrow_mut();
        if waiting.len() < UNREAD_ANSWERS {
            waiting.push((from, filled.clone()));
        }
        drop(waiting);
        buffer = filled;
        buffer.clear();
    }
}
