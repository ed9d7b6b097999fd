//! Threads that stay: a run is a sequence of stages, a stage is a parallel loop over items with a barrier behind it.
//!
//! Every thread owns an equal share of a stage's items, so that it meets the same weights in every run, and takes from the ends of
//! the others' shares when its own is done: a thread that lost its core delays the others by one item, not by its share. The thread
//! that finishes the last item opens the next stage, and runs stages of one item itself. Waiting threads spin for some
//! microseconds, then sleep, which also lets the system move a thread that waits for a core. What an item computes is no concern here.
#![expect(unsafe_code, reason = "workers borrow the job of a caller who waits for them")]

use std::any::Any;
use std::cell::UnsafeCell;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::device::Failure;

/// What threads do together.
pub(super) trait Job: Sync {
    /// Number of stages; one begins when all items of the one before are done.
    fn stages(&self) -> usize;

    /// Number of items of a stage; asked once in a run, when the stages before are done.
    fn items(&self, stage: usize) -> usize;

    /// Compute one item. Items of one stage run at the same time and in any order.
    fn run(&self, stage: usize, item: usize);
}

/// How long a thread without work watches for more before it sleeps, where every thread has a core.
const PATIENCE: Duration = Duration::from_micros(50);

/// Threads, of which the caller's is the first.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Held while a job runs.
    turn: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` threads with the caller's, or of as many as the system lets start.
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            stage: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
            batch: AtomicUsize::new(1),
            ticket: Padded(AtomicU32::new(0)),
            remaining: Padded(AtomicUsize::new(0)),
            workers: (0..threads.get()).map(|_| Padded(Worker::default())).collect(),
            running: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            failure: Mutex::new(None),
            patience: if threads.get() <= cores { PATIENCE } else { Duration::ZERO },
        });
        let mut handles = Vec::new();
        for worker in 1..threads.get() {
            let shared = shared.clone();
            let spawned = std::thread::Builder::new()
                .name(format!("wasm-chord-{worker}"))
                .spawn(move || shared.serve(worker));
            match spawned {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    tracing::warn!("{} of {threads} threads started: {error}", handles.len() + 1);
                    break;
                }
            }
        }
        Self { shared, threads: handles, turn: Mutex::new(()) }
    }

    /// Threads that work, the caller's among them.
    pub(super) fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Do all stages of `job`; jobs of several callers take turns.
    ///
    /// # Errors
    /// [`Failure::Cancelled`] if `cancel` was set, [`Failure::Device`] if an item panicked. Items may be left undone then.
    pub(super) fn run(&self, job: &dyn Job, cancel: &AtomicBool) -> Result<(), Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.run(job, cancel)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A worker catches the panics of its items.
            let _ = thread.join();
        }
    }
}

/// What workers borrow while a job runs.
struct Borrowed {
    job: *const dyn Job,
    cancel: *const AtomicBool,
}

struct Shared {
    /// Written by the caller between jobs; read by whoever holds an item or opens a stage.
    job: UnsafeCell<Option<Borrowed>>,
    /// The open stage of the job, its items, and how many of them are claimed at once.
    stage: AtomicUsize,
    items: AtomicUsize,
    batch: AtomicUsize,
    /// Counts opened stages over all jobs.
    ticket: Padded<AtomicU32>,
    /// Batches of the open stage that are not done.
    remaining: Padded<AtomicUsize>,
    /// By number; the caller is the first.
    workers: Box<[Padded<Worker>]>,
    running: AtomicBool,
    /// Whether the items left in this job are to be dropped.
    stopped: AtomicBool,
    closing: AtomicBool,
    failure: Mutex<Option<Failure>>,
    patience: Duration,
}

/// Keeps what many threads write on lines of their own.
#[repr(align(128))]
struct Padded<T>(T);

#[derive(Default)]
struct Worker {
    share: AtomicU64,
    sleeping: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

// SAFETY: `job` is written only by the caller that holds `turn`, while no item is outstanding, and read only by threads that
// hold an item or open a stage; the stores and claims of shares order the two.
unsafe impl Send for Shared {}
// SAFETY: as for `Send`.
unsafe impl Sync for Shared {}

/// Batches of one worker that nobody has claimed: `front .. back` of the stage with `ticket`.
#[derive(Clone, Copy)]
struct Share {
    ticket: u32,
    front: u16,
    back: u16,
}

impl Share {
    fn pack(self) -> u64 {
        u64::from(self.ticket) << 32 | u64::from(self.front) << 16 | u64::from(self.back)
    }

    fn unpack(bits: u64) -> Self {
        Self { ticket: (bits >> 32) as u32, front: (bits >> 16) as u16, back: bits as u16 }
    }
}

impl Shared {
    fn run(&self, job: &dyn Job, cancel: &AtomicBool) -> Result<(), Failure> {
        // SAFETY: only the lifetime changes; nobody reads the pointers after the loop below has seen the end of the job.
        let job: *const dyn Job = unsafe { std::mem::transmute::<&dyn Job, &'static dyn Job>(job) };
        // SAFETY: no job runs, so nobody reads the cell.
        unsafe { *self.job.get() = Some(Borrowed { job, cancel }) };
        self.stopped.store(false, Ordering::Relaxed);
        self.running.store(true, Ordering::Relaxed);
        *lock(&self.workers[0].0.thread) = Some(std::thread::current());

        self.open_from(0, 0);
        while self.running.load(Ordering::Acquire) {
            let ticket = self.ticket.0.load(Ordering::Acquire);
            self.drain(ticket, 0);
            self.wait(0, || {
                self.ticket.0.load(Ordering::SeqCst) != ticket || !self.running.load(Ordering::SeqCst)
            });
        }
        lock(&self.failure).take().map_or(Ok(()), Err)
    }

    /// The life of a thread of the pool.
    fn serve(&self, worker: usize) {
        *lock(&self.workers[worker].0.thread) = Some(std::thread::current());
        while !self.closing.load(Ordering::Acquire) {
            let ticket = self.ticket.0.load(Ordering::Acquire);
            self.drain(ticket, worker);
            self.wait(worker, || {
                self.ticket.0.load(Ordering::SeqCst) != ticket || self.closing.load(Ordering::SeqCst)
            });
        }
    }

    /// Run items of the stage with `ticket`, own ones first, until none is left to claim.
    fn drain(&self, ticket: u32, worker: usize) {
        let count = self.workers.len();
        let mut done = 0;
        for distance in 0..count {
            while let Some(claimed) = self.claim(ticket, (worker + distance) % count, distance > 0) {
                let stage = self.stage.load(Ordering::Relaxed);
                let batch = self.batch.load(Ordering::Relaxed);
                let end = self.items.load(Ordering::Relaxed).min((claimed + 1) * batch);
                (claimed * batch..end).for_each(|item| self.execute(stage, item));
                done += 1;
            }
        }
        if done > 0 && self.remaining.0.fetch_sub(done, Ordering::AcqRel) == done {
            self.open_from(self.stage.load(Ordering::Relaxed) + 1, worker);
        }
    }

    /// Take a batch of `owner`'s share of the stage with `ticket`.
    fn claim(&self, ticket: u32, owner: usize, from_back: bool) -> Option<usize> {
        let cell = &self.workers[owner].0.share;
        let mut bits = cell.load(Ordering::Acquire);
        loop {
            let mut share = Share::unpack(bits);
            if share.ticket != ticket || share.front >= share.back {
                return None;
            }
            let item = if from_back {
                share.back -= 1;
                share.back
            } else {
                share.front += 1;
                share.front - 1
            };
            match cell.compare_exchange_weak(bits, share.pack(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(usize::from(item)),
                Err(now) => bits = now,
            }
        }
    }

    /// What the caller lent. The thread must hold an item or be the one between two stages.
    fn borrowed(&self) -> (&dyn Job, &AtomicBool) {
        // SAFETY: while an item is outstanding or a stage is to be opened, the caller waits: the cell is not written, and what it
        // lent is alive.
        unsafe {
            let borrowed = (*self.job.get()).as_ref().expect("a job runs");
            (&*borrowed.job, &*borrowed.cancel)
        }
    }

    /// Run one claimed item, unless the job is to stop.
    fn execute(&self, stage: usize, item: usize) {
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        let (job, cancel) = self.borrowed();
        if cancel.load(Ordering::Relaxed) {
            self.stop(Failure::Cancelled);
        } else if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.run(stage, item))) {
            self.stop(Failure::Device(format!("panic: {}", message(&*panic))));
        }
    }

    /// Open the first stage from `stage` on that has work for several, after running those before it; without one, end the job.
    /// Only one thread is here: the one that finished the last item of the stage before.
    fn open_from(&self, mut stage: usize, worker: usize) {
        while !self.stopped.load(Ordering::Relaxed) {
            let (job, _) = self.borrowed();
            if stage >= job.stages() {
                break;
            }
            let items = match catch_unwind(AssertUnwindSafe(|| job.items(stage))) {
                Ok(items) => items,
                Err(panic) => {
                    self.stop(Failure::Device(format!("panic: {}", message(&*panic))));
                    break;
                }
            };
            if items > 1 && self.workers.len() > 1 {
                return self.open(stage, items, worker);
            }
            (0..items).for_each(|item| self.execute(stage, item));
            stage += 1;
        }
        self.running.swap(false, Ordering::SeqCst);
        if worker != 0 {
            self.wake(0);
        }
    }

    fn open(&self, stage: usize, items: usize, worker: usize) {
        let ticket = self.ticket.0.load(Ordering::Relaxed).wrapping_add(1);
        let count = self.workers.len();
        let batch = items.div_ceil(usize::from(u16::MAX));
        let batches = items.div_ceil(batch);
        self.stage.store(stage, Ordering::Relaxed);
        self.items.store(items, Ordering::Relaxed);
        self.batch.store(batch, Ordering::Relaxed);
        self.remaining.0.store(batches, Ordering::Relaxed);
        for (index, worker) in self.workers.iter().enumerate() {
            let cut = |index| (batches * index / count) as u16;
            let share = Share { ticket, front: cut(index), back: cut(index + 1) };
            worker.0.share.store(share.pack(), Ordering::Release);
        }
        self.ticket.0.swap(ticket, Ordering::SeqCst);
        // Those with a share of their own; they may find it taken.
        (0..count).filter(|&other| other != worker).take(items - 1).for_each(|other| self.wake(other));
    }

    fn wait(&self, worker: usize, ready: impl Fn() -> bool) {
        let begin = Instant::now();
        while begin.elapsed() < self.patience {
            for _ in 0..32 {
                if ready() {
                    return;
                }
                std::hint::spin_loop();
            }
        }
        let sleeping = &self.workers[worker].0.sleeping;
        loop {
            // Whoever makes it ready looks at `sleeping` afterwards. All these are swaps because QEMU lets a load overtake a store, in
            // spite of the order.
            sleeping.swap(true, Ordering::SeqCst);
            if ready() {
                sleeping.store(false, Ordering::Relaxed);
                return;
            }
            std::thread::park();
        }
    }

    fn wake(&self, worker: usize) {
        let Padded(worker) = &self.workers[worker];
        if worker.sleeping.load(Ordering::SeqCst)
            && worker.sleeping.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*lock(&worker.thread)
        {
            thread.unpark();
        }
    }

    /// Drop what is left of the job, for the first reason given.
    fn stop(&self, failure: Failure) {
        lock(&self.failure).get_or_insert(failure);
        self.stopped.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Loop<F> {
        stages: Vec<usize>,
        body: F,
    }

    impl<F: Fn(usize, usize) + Sync> Job for Loop<F> {
        fn stages(&self) -> usize {
            self.stages.len()
        }
        fn items(&self, stage: usize) -> usize {
            self.stages[stage]
        }
        fn run(&self, stage: usize, item: usize) {
            (self.body)(stage, item);
        }
    }

    fn pool(threads: usize) -> Pool {
        Pool::new(NonZeroUsize::new(threads).unwrap())
    }

    fn run(pool: &Pool, stages: &[usize], body: impl Fn(usize, usize) + Sync) -> Result<(), Failure> {
        pool.run(&Loop { stages: stages.to_vec(), body }, &AtomicBool::new(false))
    }

    #[test]
    fn every_item_runs_once_and_after_the_stage_before() {
        for threads in [1, 2, 3, 8] {
            let pool = pool(threads);
            for round in 0..200 {
                let stages = [1, 7, 0, if round == 0 { 200_000 } else { 100 }, 1, 1, 2 + round, 3];
                let done: Vec<AtomicUsize> = stages.iter().map(|_| AtomicUsize::new(0)).collect();
                let seen: Vec<AtomicUsize> = (0..300).map(|_| AtomicUsize::new(0)).collect();
                run(&pool, &stages, |stage, item| {
                    if stage > 0 {
                        assert_eq!(done[stage - 1].load(Ordering::SeqCst), stages[stage - 1]);
                    }
                    if stage == 6 {
                        seen[item].fetch_add(1, Ordering::SeqCst);
                    }
                    done[stage].fetch_add(1, Ordering::SeqCst);
                })
                .unwrap();
                assert_eq!(done[7].load(Ordering::SeqCst), 3);
                assert!(seen[..stages[6]].iter().all(|count| count.load(Ordering::SeqCst) == 1));
            }
        }
    }

    // Where a panic ends the program, no run is left.
    #[cfg(panic = "unwind")]
    #[test]
    fn a_panic_ends_the_run_and_leaves_the_pool_usable() {
        for threads in [1, 3] {
            let pool = pool(threads);
            let failure =
                run(&pool, &[1000, 10], |stage, item| assert!(stage == 0 && item != 500, "at {item}"));
            assert_eq!(failure, Err(Failure::Device("panic: at 500".into())));
            run(&pool, &[10, 10], |_, _| {}).unwrap();
        }
    }

    #[test]
    fn a_cancelled_run_ends_soon() {
        for threads in [1, 2] {
            let (pool, cancel) = (pool(threads), AtomicBool::new(false));
            let began = Instant::now();
            let body = |_, item: usize| {
                if item == 3 {
                    cancel.store(true, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            let result = pool.run(&Loop { stages: vec![60_000], body }, &cancel);
            assert_eq!(result, Err(Failure::Cancelled));
            assert!(began.elapsed() < Duration::from_secs(1));
        }
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "there are no threads")]
    fn a_thread_that_is_stopped_holds_one_item() {
        let (pool, done) = (pool(2), AtomicUsize::new(0));
        run(&pool, &[40], |_, item| {
            // The caller owns the first half, and gets stuck in its first item until the other thread has done the rest.
            let deadline = Instant::now() + Duration::from_secs(60);
            while item == 0 && done.load(Ordering::SeqCst) < 39 && Instant::now() < deadline {
                std::thread::yield_now();
            }
            assert!(item != 0 || done.load(Ordering::SeqCst) == 39);
            done.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    }

    #[test]
    fn dropping_ends_the_threads() {
        let pool = pool(4);
        run(&pool, &[100], |_, _| {}).unwrap();
        let shared = Arc::downgrade(&pool.shared);
        drop(pool);
        assert_eq!(shared.strong_count(), 0);
    }

    #[test]
    fn more_threads_than_cores_still_finish_quickly() {
        let pool = pool(16);
        let began = Instant::now();
        for _ in 0..100 {
            run(&pool, &[64; 10], |_, item| {
                std::hint::black_box((0..1000 + item).sum::<usize>());
            })
            .unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "there are no threads")]
    fn callers_on_several_threads_take_turns() {
        let (pool, inside) = (pool(3), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let first = AtomicBool::new(true);
                        run(&pool, &[1, 20, 1], |stage, _| {
                            if stage == 0 && first.swap(false, Ordering::SeqCst) {
                                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            } else if stage == 2 {
                                inside.fetch_sub(1, Ordering::SeqCst);
                            }
                        })
                        .unwrap();
                    }
                });
            }
        });
    }
}
