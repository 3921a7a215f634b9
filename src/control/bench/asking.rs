//! One question of a run: taken out of the plan, held back where its provider wants to be left alone, put once, and once more
//! where a connection had died idle.

use super::{BenchOrder, BenchStage, Show};
use crate::base::ids::{InstanceId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::bench::conduct::{Conduct, MayAsk};
use crate::bench::findings::ProviderState;
use crate::bench::mix::BenchCall;
use crate::bench::plan::{CallBudget, Purpose};
use crate::bench::record::Record;
use crate::chain::method;
use crate::observe::category::{Category, Class};
use crate::route::exchange::ConnectionRule;
use crate::runtime::flag::Flag;
use crate::runtime::world::World;
use crate::shard::{Inquiry, InquiryEnd, Shard, put};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

/// A run under way; every task of it has it.
pub struct BenchRun<W: World> {
    pub shard: Rc<Shard<W>>,
    pub order: BenchOrder,
    pub budget: RefCell<CallBudget>,
    pub record: RefCell<Record>,
    /// By provider.
    conduct: RefCell<Vec<Conduct>>,
    /// The transport over which each answered first.
    pub usual: RefCell<Vec<Option<Transport>>>,
    /// The newest block that each named.
    pub heads: RefCell<Vec<Option<u64>>>,
    /// How long the mix was asked.
    pub measured: Cell<Duration>,
    /// How late each moment began.
    delays_ms: RefCell<Vec<f64>>,
    under_way: Cell<usize>,
    stage: Cell<BenchStage>,
    is_over: Cell<bool>,
    stop: Arc<Flag>,
    show: Show,
}

/// A task of the run; its end is seen also where it panics.
struct Task<W: World>(Rc<BenchRun<W>>);

impl<W: World> Drop for Task<W> {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

/// A question, and how it may be put.
#[derive(Clone, Copy)]
pub struct BenchQuestion<'a> {
    pub provider: usize,
    pub transport: Transport,
    pub purpose: Purpose,
    pub connection: ConnectionRule,
    pub call: &'a BenchCall,
    pub until: Instant,
}

/// What became of it.
pub enum AskEnd {
    Ended(InquiryEnd),
    /// It was not sent: its provider wants to be left alone.
    HeldBack,
    /// It was not sent: not planned, banned, or for a reason of ours.
    NotAsked,
}

impl<W: World> BenchRun<W> {
    pub fn new(shard: Rc<Shard<W>>, order: BenchOrder, stop: Arc<Flag>, show: Show) -> Rc<BenchRun<W>> {
        let methods = order.mix.methods().into_iter().map(str::to_owned).collect();
        let (providers, plan) = (order.entrants.len(), order.plan());
        Rc::new(BenchRun {
            record: RefCell::new(Record::new(order.entrants.clone(), methods)),
            budget: RefCell::new(CallBudget::new(plan)),
            conduct: RefCell::new(vec![Conduct::default(); providers]),
            usual: RefCell::new(vec![None; providers]),
            heads: RefCell::new(vec![None; providers]),
            measured: Cell::new(Duration::ZERO),
            delays_ms: RefCell::default(),
            under_way: Cell::new(0),
            stage: Cell::new(BenchStage::Opening),
            is_over: Cell::new(false),
            shard,
            order,
            stop,
            show,
        })
    }

    pub fn world(&self) -> &W {
        self.shard.world()
    }

    pub fn begin(&self, stage: BenchStage) {
        self.stage.set(stage);
        self.tell();
    }

    fn tell(&self) {
        (self.show)(self.stage.get(), &self.budget.borrow(), &self.record.borrow());
    }

    /// Shows how it goes until it is over.
    pub fn tick(self: Rc<Self>) {
        let world = self.world().clone();
        world.clone().spawn("bench progress", async move {
            while !self.is_over.get() {
                self.tell();
                world.sleep_until(world.now().plus_ms(limits::BENCH_SHOWN_MS)).await;
            }
        });
    }

    /// Nothing more is asked.
    pub fn end(&self) {
        self.is_over.set(true);
        self.tell();
    }

    /// Somebody wants it to end, or it has.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_raised()
    }

    pub fn is_ending(&self) -> bool {
        self.is_over.get() || self.is_stopped()
    }

    /// Waits until then; `false`: somebody wants the run to end.
    pub async fn nap(&self, until: Instant) -> bool {
        loop {
            let now = self.world().now();
            if self.is_ending() || now >= until {
                return !self.is_ending();
            }
            self.world().sleep_until(until.min(now.plus_ms(limits::BENCH_NAP_MS))).await;
        }
    }

    /// Runs `work` beside the rest.
    pub fn spawn(self: &Rc<Self>, name: &'static str, work: impl Future<Output = ()> + 'static) {
        self.under_way.set(self.under_way.get() + 1);
        let task = Task(self.clone());
        self.world().spawn(name, async move {
            work.await;
            drop(task);
        });
    }

    /// Runs one task for each measured provider, and waits for all of them; in any case no longer than until then.
    pub async fn each<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        name: &'static str,
        by: Instant,
        work: impl Fn(Rc<Self>, usize) -> F,
    ) {
        for provider in 0..self.order.entrants.len() {
            if self.is_measured(provider) {
                self.spawn(name, work(self.clone(), provider));
            }
        }
        self.settle(by).await;
    }

    /// Waits for tasks that are under way, until then at most; after a wish to end only for a moment.
    pub async fn settle(&self, mut by: Instant) {
        let mut was_stopped = false;
        while self.under_way.get() > 0 {
            let now = self.world().now();
            if self.is_stopped() && !was_stopped {
                (was_stopped, by) = (true, by.min(now.plus_ms(limits::BENCH_LAST_MS)));
            }
            if now >= by {
                return;
            }
            self.world().sleep_until(by.min(now.plus_ms(limits::SWEEP_MS))).await;
        }
    }

    pub fn is_measured(&self, provider: usize) -> bool {
        self.record.borrow().is_measured(provider)
    }

    pub fn set_state(&self, provider: usize, state: ProviderState) {
        if let Some(learnt) = self.record.borrow_mut().learnt.get_mut(provider) {
            learnt.state = state;
        }
    }

    /// Over what a provider is asked what is not measured.
    pub fn usual_transport(&self, provider: usize) -> Transport {
        self.usual.borrow().get(provider).copied().flatten().unwrap_or(Transport::Http)
    }

    pub fn instance(&self, provider: usize) -> Option<InstanceId> {
        let entry = self.order.entries.get(provider)?;
        Some(self.shard.latest().topology.entries.get(*entry)?.instance)
    }

    /// Whether a call may be sent; then it is taken out of the plan.
    pub fn take(&self, provider: usize, purpose: Purpose) -> Result<(), AskEnd> {
        let now = self.world().now();
        match self.conduct.borrow().get(provider).map_or(MayAsk::Never, |conduct| conduct.may_ask(now)) {
            MayAsk::Held => return Err(AskEnd::HeldBack),
            MayAsk::Never => return Err(AskEnd::NotAsked),
            MayAsk::Yes => {}
        }
        let may_be_sent = !self.is_ending() && self.is_measured(provider) && self.budget.borrow_mut().take(provider, purpose);
        if may_be_sent { Ok(()) } else { Err(AskEnd::NotAsked) }
    }

    /// Puts a question to one provider.
    pub async fn ask(&self, wanted: BenchQuestion<'_>) -> AskEnd {
        let BenchQuestion { provider, transport, purpose, call, until, .. } = wanted;
        if let Err(answer) = self.take(provider, purpose) {
            return answer;
        }
        let Some(entry) = self.order.entries.get(provider).copied() else { return AskEnd::NotAsked };
        let (method, body) = (method::lookup(call.method.as_bytes()), call.body());
        let inquiry = Inquiry { entry, transport, method, body: &body, connection: wanted.connection, until };
        let mut end = put(&self.shard, &inquiry).await;
        if end == InquiryEnd::Stale && self.take(provider, Purpose::Again).is_ok() {
            // Over HTTP on a connection of its own; a WebSocket is made anew for whoever comes first.
            let connection = if transport == Transport::Http { ConnectionRule::New } else { ConnectionRule::Pooled };
            end = put(&self.shard, &Inquiry { connection, ..inquiry }).await;
        }
        if matches!(end, InquiryEnd::Unasked | InquiryEnd::Unreachable(_)) {
            self.budget.borrow_mut().give_back(provider, purpose);
        }
        self.judge(provider, purpose, &end);
        if end == InquiryEnd::Unasked { AskEnd::NotAsked } else { AskEnd::Ended(end) }
    }

    /// What an answer says of whether its provider wants to be asked.
    fn judge(&self, provider: usize, purpose: Purpose, end: &InquiryEnd) {
        let mut all = self.conduct.borrow_mut();
        let Some(conduct) = all.get_mut(provider) else { return };
        match end {
            InquiryEnd::Failed { category, hint_ms } if is_refusal(*category, purpose) => {
                conduct.on_refusal(*hint_ms, self.world().now());
            }
            InquiryEnd::Result(_) | InquiryEnd::OwnError(_) | InquiryEnd::Failed { .. } => conduct.on_answer(),
            InquiryEnd::Late | InquiryEnd::Stale | InquiryEnd::Unreachable(_) | InquiryEnd::Unasked => {}
        }
        let banned_after = conduct.banned_after();
        drop(all);
        if let Some(after_calls) = banned_after {
            self.set_state(provider, ProviderState::Banned { after_calls });
        }
    }

    /// Until when a provider wants to be left alone.
    pub fn held_until(&self, provider: usize) -> Option<Instant> {
        self.conduct.borrow().get(provider)?.held_until()
    }

    pub fn note_delay(&self, delay: Duration) {
        self.delays_ms.borrow_mut().push(delay.as_secs_f64() * 1e3);
    }

    /// How late moments began, at most, but for one in a hundred.
    pub fn own_delay_ms(&self) -> f64 {
        let mut delays = self.delays_ms.borrow().clone();
        delays.sort_by(f64::total_cmp);
        delays.get(delays.len() * 99 / 100).copied().unwrap_or(0.0)
    }
}

/// It wants fewer calls, or none. That one method is not in a plan is what is asked about by `Purpose::Methods`.
fn is_refusal(category: Category, purpose: Purpose) -> bool {
    let is_forbidden = category == Category::Forbidden && purpose != Purpose::Methods;
    is_forbidden || category == Category::Auth || category.class() == Class::Quota
}
