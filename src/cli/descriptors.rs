//! How the limit of open files is shared out: so much for files and threads, so much for providers, and clients get the rest.
//! A node whose clients could take every descriptor would fail at its providers first, because a call needs the client's
//! connection before the provider's; so it is the clients who are bounded. Pure: what there is comes as arguments.

use crate::base::limits;
use crate::config::topology::Topology;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptors {
    /// The process's limit.
    limit: u64,
    /// For rings, bells, listeners, files and those clients who are being turned away.
    own: u64,
    /// For connections to providers.
    upstream: u64,
}

impl Descriptors {
    /// Providers get what all their `max_connections` ask for, but at most half of what is left.
    pub fn share_out(limit: u64, shards: usize, topology: &Topology) -> Descriptors {
        let of_instance = |max: u32| u64::from(max) + (limits::LINK_SHARDS * (1 + limits::LINK_ASIDES)) as u64 + 1;
        let wanted = topology.instances.values().map(|instance| of_instance(instance.max_connections)).sum();
        Descriptors::of(limit, shards, wanted)
    }

    fn of(limit: u64, shards: usize, wanted: u64) -> Descriptors {
        let own = limits::FILES + (shards as u64 + 1) * limits::FILES_PER_SHARD;
        Descriptors { limit, own, upstream: wanted.min(limit.saturating_sub(own) / 2) }
    }

    /// Clients that there is room for; never none, or nobody could ask why.
    pub fn clients(self) -> u64 {
        self.limit.saturating_sub(self.own + self.upstream).max(1)
    }

    /// What should be said of it at the start, where the operator asked for so many clients, or left it to us.
    pub fn warning(self, asked: Option<u64>) -> Option<String> {
        let (limit, room) = (self.limit, self.clients());
        let raise = "raise it (ulimit -n, or LimitNOFILE= of the unit)";
        match asked {
            Some(asked) if asked > room => Some(format!(
                "--client-connections {asked} is more than the limit of {limit} open files has room for ({room}): {raise}"
            )),
            None if room < limits::CLIENTS_FEW => Some(format!(
                "the limit of {limit} open files leaves room for {room} client connections; more are answered 503: {raise}"
            )),
            Some(_) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_files_and_providers_leave() {
        let own = limits::FILES + 3 * limits::FILES_PER_SHARD;
        let check = |limit, wanted, clients| {
            let shared = Descriptors::of(limit, 2, wanted);
            assert_eq!(shared.clients(), clients, "{limit} {wanted}");
        };
        check(1 << 20, 500, (1 << 20) - own - 500);
        check(own + 100, 500, 50);
        check(own + 100, 10, 90);
        check(own, 500, 1);
        check(0, 0, 1);
    }

    #[test]
    fn little_room_is_told_and_plenty_is_not() {
        let (small, large) = (Descriptors::of(256, 2, 500), Descriptors::of(1 << 20, 2, 500));
        assert!(small.warning(None).unwrap().contains("256 open files"));
        assert!(small.warning(Some(5_000)).unwrap().contains("--client-connections 5000"));
        assert_eq!(small.warning(Some(10)), None, "asked for");
        assert_eq!(large.warning(None), None);
        assert_eq!(large.warning(Some(5_000)), None);
    }
}
