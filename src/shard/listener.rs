//! Takes client connections until the node drains.

use crate::runtime::own_fault;
use crate::runtime::world::{Accept, World};
use crate::shard::{Shard, client_http};
use std::rc::Rc;

/// Accepts until draining; then what is already in the queue, and ends, which closes the socket.
///
/// An error of `accept` (out of descriptors, a client that left in the queue) is no reason to stop: it is counted as
/// nothing, and the pause keeps a persistent one from spinning.
pub async fn accept<W: World>(shard: Rc<Shard<W>>, mut listener: W::Listener) {
    loop {
        match listener.accept().await {
            Ok(stream) => shard.world.spawn("client", client_http::serve(shard.clone(), stream)),
            Err(_) if shard.node.draining.is_raised() => return,
            Err(fault) => {
                own_fault::shortage(&fault).into_iter().for_each(|shortage| shard.counters.lack(shortage));
                shard.world.sleep_until(shard.world.now().plus_ms(crate::base::limits::ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}
