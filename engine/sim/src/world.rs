//! [`World`]: one machine on one thread. Its tasks run in an order that the seed chooses, time
//! passes only when nobody can run, and its disk may lose power at any step.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use engine::base::{Instant, Now, Signal, WallMs};
use engine::io::FileName;

use crate::belief::Belief;
use crate::disk::SimDisk;
use crate::faults::{CutAt, Faults};
use crate::inode::{Harm, UnderWay};
use crate::random::Random;
use crate::storage::{Counters, Storage};
use crate::trace::Trace;

/// More steps than any job of a test needs: a job that takes them runs in a circle.
pub const STEPS_MAX: u64 = 4_000_000;

/// The wall clock when a world begins, milliseconds since the epoch.
pub const WALL_AT_START: i64 = 1_700_000_000_000;

/// A machine. Cloning shares it.
#[derive(Clone)]
pub struct World {
    pub(crate) inner: Rc<Inner>,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

pub(crate) struct Inner {
    tasks: RefCell<BTreeMap<u64, (Task, Waker)>>,
    next_task: Cell<u64>,
    ready: Ready,
    timers: RefCell<BinaryHeap<Timer>>,
    next_timer: Cell<u64>,
    clock: Cell<u64>,
    steps: Cell<u64>,
    random: RefCell<Random>,
    pub(crate) storage: RefCell<Storage>,
    pub(crate) faults: RefCell<Faults>,
    pub(crate) under_way: RefCell<BTreeMap<u64, UnderWay>>,
    /// Rises with every crash: what belongs to an older life is void.
    pub(crate) life: Cell<u64>,
    cut_at: Cell<Option<CutAt>>,
    /// It stopped there.
    is_cut: Cell<bool>,
    /// What the wall clock says beyond the time that passed, ms.
    wall_ahead_ms: Cell<i64>,
    /// What this life believes of its clock.
    pub(crate) belief: Cell<Belief>,
    /// How much faster the wall clock runs, in a million.
    drift_ppm: Cell<i64>,
    trace: Trace,
}

type Ready = Arc<Mutex<Vec<u64>>>;

struct TaskWaker {
    task: u64,
    ready: Ready,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = self.ready.lock().expect("one thread cannot poison a lock");
        if !ready.contains(&self.task) {
            ready.push(self.task);
        }
    }
}

struct Timer {
    at: u64,
    number: u64,
    waker: Waker,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Timer) -> bool {
        self.number == other.number
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Timer) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    /// The heap gives the greatest first: that is the earliest, and of those the first made.
    fn cmp(&self, other: &Timer) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl World {
    /// A machine with an empty disk.
    #[must_use]
    pub fn new(seed: u64) -> World {
        let inner = Inner {
            tasks: RefCell::default(),
            next_task: Cell::new(0),
            ready: Ready::default(),
            timers: RefCell::default(),
            next_timer: Cell::new(0),
            clock: Cell::new(0),
            steps: Cell::new(0),
            random: RefCell::new(Random::new(seed)),
            storage: RefCell::new(Storage::new()),
            faults: RefCell::default(),
            under_way: RefCell::default(),
            life: Cell::new(0),
            cut_at: Cell::new(None),
            is_cut: Cell::new(false),
            wall_ahead_ms: Cell::new(0),
            belief: Cell::new(Belief::of(WALL_AT_START)),
            drift_ppm: Cell::new(0),
            trace: Trace::new(),
        };
        World { inner: Rc::new(inner) }
    }

    /// A core's view of the disk, with a pool of its own of `pool_bytes`.
    #[must_use]
    pub fn disk(&self, pool_bytes: usize) -> SimDisk {
        SimDisk::new(self.clone(), pool_bytes)
    }

    /// Changes what goes wrong from now on.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.inner.faults.borrow_mut());
    }

    /// What has been done to the disk since the world began.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.inner.storage.borrow().counters.clone()
    }

    /// Steps that changed the disk so far, see [`Counters::persist_steps`].
    #[must_use]
    pub fn persist_steps(&self) -> u64 {
        self.inner.storage.borrow().counters.persist_steps
    }

    /// Bytes that all files together have.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.inner.storage.borrow().used()
    }

    /// Whether there is a file whose name `pick` accepts.
    #[must_use]
    pub fn has_file(&self, pick: impl Fn(&str) -> bool) -> bool {
        self.inner.storage.borrow().has_file(pick)
    }

    /// Whether operations may fail now, or no longer did a moment ago.
    pub(crate) fn has_errors(&self) -> bool {
        self.inner.storage.borrow().counters.faults > 0
    }

    /// Time passes at once: what was due meanwhile is late.
    pub fn skip(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.inner.clock.set(self.inner.clock.get().saturating_add(nanos));
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let nanos = self.inner.clock.get();
        let passed_ms = (nanos / 1_000_000) as i64;
        let drift_ms = passed_ms / 1_000 * self.inner.drift_ppm.get() / 1_000;
        let wall = WALL_AT_START + passed_ms + drift_ms + self.inner.wall_ahead_ms.get();
        Now { mono: Instant(nanos), wall: WallMs(wall) }
    }

    /// The wall clock jumps, forward or back.
    pub fn jump(&self, ms: i64) {
        self.inner.wall_ahead_ms.set(self.inner.wall_ahead_ms.get() + ms);
    }

    /// The wall clock runs faster than the monotonic one, or slower, from the world's beginning on.
    pub fn drift(&self, ppm: i64) {
        self.inner.drift_ppm.set(ppm);
    }

    /// Notes something for the trace: numbers that its hash holds, and words for whoever reads it.
    pub fn note(&self, numbers: &[u64], words: impl FnOnce() -> String) {
        self.inner.trace.note(self.inner.clock.get(), numbers, words);
    }

    /// From now on what is noted is printed.
    pub fn print_trace(&self) {
        self.inner.trace.print();
    }

    /// Stands for everything that was noted, and when: equal for equal runs.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.inner.trace.hash()
    }

    /// The machine stops at that step, if it comes there: what it does then is never heard of.
    pub fn cut_at(&self, cut: Option<CutAt>) {
        self.inner.cut_at.set(cut);
    }

    /// Whether it stopped where [`World::cut_at`] said. It goes on only after a crash.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.inner.is_cut.get()
    }

    pub(crate) fn stops_at(&self, here: CutAt) -> bool {
        let stops = self.inner.cut_at.get() == Some(here);
        self.inner.is_cut.set(self.inner.is_cut.get() || stops);
        stops
    }

    /// The files on the platter whose names `pick` accepts, with what they hold.
    #[must_use]
    pub fn files(&self, pick: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
        let files = self.inner.storage.borrow().files(pick);
        files.into_iter().map(|(name, inode)| (name, inode.borrow().on_platter())).collect()
    }

    /// A page of a file is damaged on the platter. False if there is nothing to damage.
    pub fn harm(&self, name: &str, page: usize, harm: Harm) -> bool {
        let mut random = self.random(Random::split);
        self.inner.storage.borrow_mut().harm(name, page, harm, &mut random)
    }

    /// The pages of a file that at some time held something else than what was written there last.
    #[must_use]
    pub fn damaged(&self, name: &FileName) -> BTreeSet<usize> {
        let file = self.inner.storage.borrow().file(name).ok().flatten();
        file.map_or_else(BTreeSet::new, |inode| inode.borrow().damaged().clone())
    }

    /// Whether any of the files that `pick` accepts was ever damaged.
    #[must_use]
    pub fn is_damaged(&self, pick: impl Fn(&str) -> bool) -> bool {
        let storage = self.inner.storage.borrow();
        storage.seen_files().any(|(name, inode)| pick(name) && !inode.borrow().damaged().is_empty())
    }

    /// Draws from the world's chance.
    pub fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.inner.random.borrow_mut())
    }

    /// Ends after a while of virtual time.
    pub fn sleep(&self, time: Duration) -> Sleep {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Sleep { world: self.clone(), at: self.inner.clock.get().saturating_add(nanos), armed: false }
    }

    /// Starts a task. It runs until it ends or the power goes.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let number = self.inner.next_task.replace(self.inner.next_task.get() + 1);
        let waker = Waker::from(Arc::new(TaskWaker { task: number, ready: self.inner.ready.clone() }));
        waker.wake_by_ref();
        self.inner.tasks.borrow_mut().insert(number, (Box::pin(task), waker));
    }

    /// Starts a task whose value others can wait for.
    pub fn start<T: 'static>(&self, task: impl Future<Output = T> + 'static) -> Running<T> {
        let running = Running { value: Rc::default() };
        let value = running.value.clone();
        self.spawn(async move {
            let result = task.await;
            *value.0.borrow_mut() = Some(result);
            value.1.notify();
        });
        running
    }

    /// Runs the world until `main` ends, and no step longer.
    ///
    /// # Panics
    /// If nothing can ever happen any more, or not within [`STEPS_MAX`] steps.
    pub fn run_until<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> T {
        let running = self.start(main);
        loop {
            if let Some(value) = running.value.0.borrow_mut().take() {
                return value;
            }
            assert!(self.step(), "every task waits and no timer is set: a deadlock");
            assert!(self.inner.steps.get() < STEPS_MAX, "the world runs in a circle");
        }
    }

    /// As [`World::run_until`]; `None` if the machine stopped first where [`World::cut_at`] said.
    ///
    /// # Panics
    /// As `run_until`.
    pub fn run_until_cut<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> Option<T> {
        let running = self.start(main);
        loop {
            if self.is_cut() {
                return None;
            }
            if let Some(value) = running.value.0.borrow_mut().take() {
                return Some(value);
            }
            assert!(self.step(), "every task waits and no timer is set: a deadlock");
            assert!(self.inner.steps.get() < STEPS_MAX, "the world runs in a circle");
        }
    }

    /// Lets time pass and everything happen that does meanwhile, or until the machine stops.
    ///
    /// # Panics
    /// If the world takes more than [`STEPS_MAX`] steps.
    pub fn pass(&self, time: Duration) {
        let end = self.inner.clock.get().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        while !self.is_cut() {
            let idle = self.inner.ready.lock().expect("one thread cannot poison a lock").is_empty();
            let next = self.inner.timers.borrow().peek().map(|t| t.at);
            if idle && next.is_none_or(|at| at > end) {
                self.inner.clock.set(end);
                return;
            }
            self.step();
            assert!(self.inner.steps.get() < STEPS_MAX, "the world runs in a circle");
        }
    }

    /// Runs the world for some steps; fewer if nothing is left to do.
    pub fn run_steps(&self, steps: u64) {
        for _ in 0..steps {
            if !self.step() {
                return;
            }
        }
    }

    /// Polls one ready task of chance's choice, or lets time pass to the next timer. False if
    /// there is neither.
    fn step(&self) -> bool {
        self.inner.steps.set(self.inner.steps.get() + 1);
        let task = {
            let mut ready = self.inner.ready.lock().expect("one thread cannot poison a lock");
            match ready.len() {
                0 => None,
                len => Some(ready.swap_remove(self.random(|r| r.index(len)))),
            }
        };
        let Some(number) = task else { return self.pass_time() };
        let Some((mut task, waker)) = self.inner.tasks.borrow_mut().remove(&number) else { return true };
        let life = self.inner.life.get();
        let poll = task.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(life, self.inner.life.get(), "a task cannot cut its own power");
        if poll.is_pending() {
            self.inner.tasks.borrow_mut().insert(number, (task, waker));
        }
        true
    }

    fn pass_time(&self) -> bool {
        let timer = self.inner.timers.borrow_mut().pop();
        let Some(timer) = timer else { return false };
        self.inner.clock.set(self.inner.clock.get().max(timer.at));
        timer.waker.wake();
        true
    }

    /// Cuts the power: every task is gone, the disk keeps what was flushed and some of the rest.
    /// The next disks and tasks are those of a machine that starts again.
    pub fn crash(&self) {
        self.inner.life.set(self.inner.life.get() + 1);
        let under_way = std::mem::take(&mut *self.inner.under_way.borrow_mut());
        self.stop();
        let mut random = self.random(Random::split);
        self.inner.storage.borrow_mut().crash(under_way.into_values().collect(), &mut random);
    }

    /// Ends every task, as `kill -9` would: the kernel goes on with what it was given.
    pub fn kill(&self) {
        self.inner.life.set(self.inner.life.get() + 1);
        for (inode, write) in std::mem::take(&mut *self.inner.under_way.borrow_mut()).into_values() {
            inode.borrow_mut().write(write);
        }
        self.stop();
    }

    fn stop(&self) {
        self.inner.cut_at.set(None);
        self.inner.is_cut.set(false);
        // Dropping a task runs its destructors, which may reach back into the world.
        let tasks = std::mem::take(&mut *self.inner.tasks.borrow_mut());
        drop(tasks);
        let timers = std::mem::take(&mut *self.inner.timers.borrow_mut());
        drop(timers);
        self.inner.ready.lock().expect("one thread cannot poison a lock").clear();
    }
}

/// A task's value, once it has one.
pub struct Running<T> {
    value: Rc<(RefCell<Option<T>>, Signal)>,
}

impl<T> Running<T> {
    /// Waits for it.
    pub async fn join(self) -> T {
        loop {
            let ended = self.value.1.wait();
            if let Some(value) = self.value.0.borrow_mut().take() {
                return value;
            }
            ended.await;
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.value.0.borrow().is_some()
    }
}

/// Ends when virtual time has come. See [`World::sleep`].
pub struct Sleep {
    world: World,
    at: u64,
    armed: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let inner = self.world.inner.clone();
        if inner.clock.get() >= self.at {
            return Poll::Ready(());
        }
        if !self.armed {
            self.armed = true;
            let number = inner.next_timer.replace(inner.next_timer.get() + 1);
            inner.timers.borrow_mut().push(Timer { at: self.at, number, waker: cx.waker().clone() });
        }
        Poll::Pending
    }
}

/// Runs two futures in one task.
pub async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            second = Some(value);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.expect("polled to its end"), second.expect("polled to its end"))
}
