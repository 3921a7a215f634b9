//! Dense ids. Each names a place in one list of the topology, so a lookup is an index and never a hash, and a provider's
//! id cannot be used where an instance's is meant.

use std::marker::PhantomData;

/// A dense id: a position in an [`IdVec`].
pub trait Id: Copy {
    fn index(self) -> usize;
    fn from_index(index: usize) -> Self;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($repr:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub $repr);
        impl Id for $name {
            fn index(self) -> usize { self.0 as usize }
            fn from_index(index: usize) -> Self { $name(<$repr>::try_from(index).unwrap_or(<$repr>::MAX)) }
        }
    )*};
}

ids! {
    /// A profile's place in the topology.
    ProfileId(u16);
    /// A chain's place in its profile.
    ChainId(u16);
    /// A provider's place in its (profile, chain); below 64.
    ProviderId(u8);
    /// One transport of one provider: a place among the channels of its (profile, chain), below 128, so that sets of them are
    /// one `u128`.
    SlotId(u8);
    /// A physical upstream (chain, URLs, credentials) that profiles may share; node-wide.
    InstanceId(u16);
    /// One provider as configured: a place in (profile, chain, provider) order over the whole topology.
    EntryId(u32);
    /// A physical upstream over one transport; node-wide. See [`ChannelId::of`].
    ChannelId(u16);
    /// A registered JSON-RPC method's place in the method table; the last one stands for every unknown method.
    MethodId(u16);
}

/// How a call reaches a provider.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Transport {
    Http,
    Ws,
}

impl Transport {
    /// `http` or `ws`.
    pub fn word(self) -> &'static str {
        match self {
            Transport::Http => "http",
            Transport::Ws => "ws",
        }
    }
}

impl ChannelId {
    pub fn of(instance: InstanceId, transport: Transport) -> ChannelId {
        ChannelId(instance.0 * 2 + transport as u16)
    }

    pub fn instance(self) -> InstanceId {
        InstanceId(self.0 / 2)
    }

    pub fn transport(self) -> Transport {
        if self.0.is_multiple_of(2) { Transport::Http } else { Transport::Ws }
    }
}

/// The right to one trial of a half-open channel; never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct PermitId(pub u64);

/// A list indexed by one kind of id only.
#[derive(Clone, Debug)]
pub struct IdVec<I, T> {
    items: Vec<T>,
    kind: PhantomData<fn(I)>,
}

impl<I: Id, T> IdVec<I, T> {
    pub fn new() -> Self {
        IdVec { items: Vec::new(), kind: PhantomData }
    }

    pub fn push(&mut self, item: T) -> I {
        self.items.push(item);
        I::from_index(self.items.len() - 1)
    }

    pub fn get(&self, id: I) -> Option<&T> {
        self.items.get(id.index())
    }

    pub fn get_mut(&mut self, id: I) -> Option<&mut T> {
        self.items.get_mut(id.index())
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        self.items.iter().enumerate().map(|(i, item)| (I::from_index(i), item))
    }

    pub fn values(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }
}

impl<I: Id, T> Default for IdVec<I, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: Id, T> FromIterator<T> for IdVec<I, T> {
    fn from_iter<It: IntoIterator<Item = T>>(iter: It) -> Self {
        IdVec { items: iter.into_iter().collect(), kind: PhantomData }
    }
}

/// Indexing is for ids that came out of this very list; data from outside goes through `get`.
impl<I: Id, T> std::ops::Index<I> for IdVec<I, T> {
    type Output = T;
    fn index(&self, id: I) -> &T {
        &self.items[id.index()]
    }
}

impl<I: Id, T> std::ops::IndexMut<I> for IdVec<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.items[id.index()]
    }
}
