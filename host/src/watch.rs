//! Stopping work that takes too long or that nobody wants any more.
//!
//! Every call into a guest has a [`Watch`]. A ticker thread looks at the watches of running calls and moves the engine's epoch, which makes
//! guests look up: a guest whose watch is set traps unless it returns soon by itself. Kernels poll the same flag. Time in kernels does
//! not count against a guest, since long work is what it is there for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use wasmtime::{Engine, UpdateDeadline};

/// How often guests look up while a call runs.
const TICK: Duration = Duration::from_millis(5);

/// How long a guest may take to return after its work was cancelled.
const GRACE: Duration = Duration::from_millis(25);

/// The state of one guest's calls.
#[derive(Default)]
pub(crate) struct Watch {
    /// Kernels end early while this is set.
    stop: AtomicBool,
    call: Mutex<Call>,
}

#[derive(Default)]
struct Call {
    /// When the guest has used up its time; none while no call runs, or while a kernel does.
    deadline: Option<Instant>,
    /// What is left of its time while a kernel runs.
    paused: Option<Duration>,
    /// When the work was told to stop, and why.
    stopped: Option<(Instant, Reason)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Cancelled,
    OutOfTime,
}

impl Watch {
    fn call(&self) -> MutexGuard<'_, Call> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins, with this much time for the guest.
    pub(crate) fn begin(&self, time: Duration) {
        let mut call = self.call();
        call.deadline = Instant::now().checked_add(time);
        call.stopped = None;
        self.stop.store(false, Ordering::Release);
    }

    /// The call is over.
    pub(crate) fn end(&self) {
        *self.call() = Call::default();
        self.stop.store(false, Ordering::Release);
    }

    /// Stop the running call, if one is running.
    pub(crate) fn cancel(&self) {
        let mut call = self.call();
        if call.deadline.is_some() || call.paused.is_some() {
            self.stop_call(&mut call, Reason::Cancelled);
        }
    }

    fn stop_call(&self, call: &mut Call, reason: Reason) {
        call.stopped.get_or_insert((Instant::now(), reason));
        self.stop.store(true, Ordering::Release);
    }

    /// Run a kernel: the guest's time stands still.
    pub(crate) fn during_kernel<T>(&self, kernel: impl FnOnce(&AtomicBool) -> T) -> T {
        let pause = |call: &mut Call| {
            call.paused =
                call.deadline.take().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        };
        pause(&mut self.call());
        let result = kernel(&self.stop);
        let mut call = self.call();
        call.deadline = call.paused.take().and_then(|left| Instant::now().checked_add(left));
        result
    }

    /// The ticker came by.
    fn tick(&self) {
        let mut call = self.call();
        if call.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            self.stop_call(&mut call, Reason::OutOfTime);
        }
    }

    /// A guest looks up.
    ///
    /// # Errors
    /// A trap, if it should have stopped by now.
    pub(crate) fn look_up(&self) -> wasmtime::Result<UpdateDeadline> {
        match self.call().stopped {
            Some((_, Reason::OutOfTime)) => {
                wasmtime::bail!("it ran longer than its limit without asking the host for anything")
            }
            Some((since, Reason::Cancelled)) if since.elapsed() > GRACE => {
                wasmtime::bail!("it did not return after its work was cancelled")
            }
            _ => Ok(UpdateDeadline::Continue(1)),
        }
    }
}

/// The thread that ticks while calls run, and sleeps otherwise.
pub(crate) struct Ticker(Arc<Shared>);

struct Shared {
    running: Mutex<Running>,
    changed: Condvar,
}

#[derive(Default)]
struct Running {
    watches: Vec<Weak<Watch>>,
    closed: bool,
}

/// Keeps a watch ticking until dropped.
pub(crate) struct Ticking<'a> {
    ticker: &'a Ticker,
    watch: &'a Arc<Watch>,
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { running: Mutex::default(), changed: Condvar::new() });
        let of_thread = shared.clone();
        std::thread::Builder::new()
            .name("wasm-chord-ticker".into())
            .spawn(move || of_thread.tick(&engine))?;
        Ok(Self(shared))
    }

    /// Tick for a call.
    pub(crate) fn during<'a>(&'a self, watch: &'a Arc<Watch>) -> Ticking<'a> {
        self.0.running().watches.push(Arc::downgrade(watch));
        self.0.changed.notify_one();
        Ticking { ticker: self, watch }
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        let watch = Arc::as_ptr(self.watch);
        self.ticker.0.running().watches.retain(|other| other.as_ptr() != watch);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.running().closed = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self, engine: &Engine) {
        let mut running = self.running();
        while !running.closed {
            if running.watches.is_empty() {
                running = self.changed.wait(running).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            running.watches.iter().filter_map(Weak::upgrade).for_each(|watch| watch.tick());
            drop(running);
            engine.increment_epoch();
            std::thread::sleep(TICK);
            running = self.running();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_kernels_does_not_count() {
        let watch = Watch::default();
        watch.begin(Duration::from_millis(20));
        watch.during_kernel(|stop| {
            std::thread::sleep(Duration::from_millis(40));
            watch.tick();
            assert!(!stop.load(Ordering::Relaxed));
        });
        watch.tick();
        assert!(watch.look_up().is_ok());
        std::thread::sleep(Duration::from_millis(30));
        watch.tick();
        assert!(watch.look_up().is_err());
    }

    #[test]
    fn a_cancelled_call_has_a_moment_to_return() {
        let watch = Watch::default();
        watch.begin(Duration::from_secs(60));
        watch.cancel();
        assert!(watch.look_up().is_ok());
        std::thread::sleep(GRACE * 2);
        assert!(watch.look_up().is_err());
        watch.end();
        watch.begin(Duration::from_secs(60));
        assert!(watch.look_up().is_ok());
    }

    #[test]
    fn nothing_is_cancelled_between_calls() {
        let watch = Watch::default();
        watch.cancel();
        watch.begin(Duration::from_secs(60));
        watch.during_kernel(|stop| assert!(!stop.load(Ordering::Relaxed)));
    }
}
