//! Takes client connections until the node drains.
//!
//! There are at most as many as the node has descriptors for beside those that its providers need. One more is told so and
//! closed: left in the kernel's queue it would wait without a word. For a few it is made sure that they have heard it; because that
//! needs descriptors too, more of them are closed with the word still under way.

use crate::base::limits;
use crate::observe::shortage::Shortage;
use crate::runtime::own_fault;
use crate::runtime::world::{Accept, World};
use crate::shard::Shard;
use crate::shard::client_http::{self, Parting};
use std::cell::Cell;
use std::rc::Rc;

/// Accepts until draining; then what is already in the queue, and ends, which closes the socket.
///
/// An error of `accept` (out of descriptors, a client that left in the queue) is no reason to stop: the pause keeps a
/// persistent one from spinning.
pub async fn accept<W: World>(shard: Rc<Shard<W>>, mut listener: W::Listener) {
    let refusing = Rc::new(Cell::new(0));
    loop {
        match listener.accept().await {
            Ok(stream) => match shard.node.admissions.admit() {
                Some(admission) => shard.world.spawn("client", client_http::serve(shard.clone(), stream, admission)),
                None => turn_away(&shard, stream, &refusing).await,
            },
            Err(_) if shard.node.draining.is_raised() => return,
            Err(fault) => {
                own_fault::shortage(&fault).into_iter().for_each(|shortage| shard.counters.lack(shortage));
                shard.world.sleep_until(shard.world.now().plus_ms(limits::ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

async fn turn_away<W: World>(shard: &Rc<Shard<W>>, stream: W::Stream, refusing: &Rc<Cell<u32>>) {
    shard.counters.lack(Shortage::Clients);
    if refusing.get() >= limits::REFUSALS {
        // Those behind it, for whom there may be a place, do not wait for others that stay on the line.
        return client_http::refuse(shard.clone(), stream, Parting::AtOnce).await;
    }
    let turn = Refusing::begin(refusing);
    let told = client_http::refuse(shard.clone(), stream, Parting::WhenHeard);
    shard.world.spawn("refused client", async move {
        let _turn = turn;
        told.await;
    });
}

/// One of the few; also given back by a panic.
struct Refusing(Rc<Cell<u32>>);

impl Refusing {
    fn begin(all: &Rc<Cell<u32>>) -> Refusing {
        all.set(all.get() + 1);
        Refusing(all.clone())
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
