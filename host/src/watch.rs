//! Stopping work that takes too long or that nobody wants any more.
//!
//! Every call into a guest has a [`Watch`]. A ticker thread looks at the watches of running calls. While one of them is stopped it moves the
//! engine's epoch, which makes guests look up, and one that was stopped traps unless it returns soon by itself; others go on.
//! Kernels poll the same flag. Time in kernels does not count against a guest, since long work is what it is there for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use wasmtime::{Engine, UpdateDeadline};

/// How often the ticker comes by while a call runs.
const TICK: Duration = Duration::from_millis(10);

/// How long a guest may take to return after its work was cancelled.
const GRACE: Duration = Duration::from_millis(25);

/// The state of one guest's calls.
#[derive(Default)]
pub(crate) struct Watch {
    /// Kernels end early while this is set.
    stop: AtomicBool,
    /// Whether the ticker looks at this watch.
    followed: AtomicBool,
    call: Mutex<Call>,
}

#[derive(Default)]
struct Call {
    /// Whether a call runs; the rest is about it.
    runs: bool,
    /// When the guest has used up its time; none while a kernel runs, or without such a limit.
    deadline: Option<Instant>,
    /// What is left of its time while a kernel runs.
    paused: Option<Duration>,
    /// When the call is cancelled, whatever runs; none without such a limit.
    end: Option<Instant>,
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

    /// A call begins, with this much time for the guest, and for guest and kernels together.
    pub(crate) fn begin(&self, time: Duration, total: Duration) {
        let mut call = self.call();
        let now = Instant::now();
        call.runs = true;
        call.deadline = now.checked_add(time);
        call.end = now.checked_add(total);
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
        if call.runs {
            self.stop_call(&mut call, Reason::Cancelled);
        }
    }

    fn runs(&self) -> bool {
        self.call().runs
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

    /// The ticker came by: whether the guest should look up.
    fn tick(&self) -> bool {
        let mut call = self.call();
        let now = Instant::now();
        if call.deadline.is_some_and(|deadline| now > deadline) {
            self.stop_call(&mut call, Reason::OutOfTime);
        } else if call.end.is_some_and(|end| now > end) {
            self.stop_call(&mut call, Reason::Cancelled);
        }
        call.stopped.is_some()
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

/// The thread that ticks while calls run, and sleeps otherwise. It ends within a tick of this being dropped.
pub(crate) struct Ticker(Sender<Arc<Watch>>);

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let (begun, calls) = crossbeam_channel::unbounded();
        std::thread::Builder::new().name("wasm-chord-ticker".into()).spawn(move || tick(&engine, &calls))?;
        Ok(Self(begun))
    }

    /// Tick for a call that has begun, until it ends.
    pub(crate) fn follow(&self, watch: &Arc<Watch>) {
        // Most calls come soon after another; the ticker has not lost sight of the watch then.
        if !watch.followed.swap(true, Ordering::AcqRel) {
            // The thread lives as long as this sender.
            let _ = self.0.send(watch.clone());
        }
    }
}

fn tick(engine: &Engine, calls: &Receiver<Arc<Watch>>) {
    let mut running: Vec<Arc<Watch>> = Vec::new();
    loop {
        if running.is_empty() {
            let Ok(watch) = calls.recv() else { return };
            running.push(watch);
        }
        // Not waiting for a message with a timeout, which would watch for one at the expense of kernels before it sleeps.
        std::thread::sleep(TICK);
        loop {
            match calls.try_recv() {
                Ok(watch) if running.iter().any(|other| Arc::ptr_eq(other, &watch)) => {}
                Ok(watch) => running.push(watch),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        // Counted, so that all of them are looked at.
        if running.iter().filter(|watch| watch.tick()).count() > 0 {
            engine.increment_epoch();
        }
        running.retain(|watch| {
            // In this order: a call that begins in between either is seen here or announces itself.
            watch.followed.swap(false, Ordering::AcqRel);
            let runs = watch.runs();
            if runs {
                watch.followed.store(true, Ordering::Release);
            }
            runs
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_kernels_does_not_count() {
        let watch = Watch::default();
        watch.begin(Duration::from_millis(20), Duration::MAX);
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
    fn time_in_kernels_counts_in_all() {
        let watch = Watch::default();
        watch.begin(Duration::from_secs(60), Duration::from_millis(10));
        watch.during_kernel(|stop| {
            watch.tick();
            assert!(!stop.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_millis(20));
            watch.tick();
            assert!(stop.load(Ordering::Relaxed));
        });
        assert!(watch.look_up().is_ok(), "it has a moment to return");
    }

    #[test]
    fn a_cancelled_call_has_a_moment_to_return() {
        let watch = Watch::default();
        watch.begin(Duration::from_secs(60), Duration::MAX);
        watch.cancel();
        assert!(watch.look_up().is_ok());
        std::thread::sleep(GRACE * 2);
        assert!(watch.look_up().is_err());
        watch.end();
        watch.begin(Duration::from_secs(60), Duration::MAX);
        assert!(watch.look_up().is_ok());
    }

    #[test]
    fn nothing_is_cancelled_between_calls() {
        let watch = Watch::default();
        watch.cancel();
        watch.begin(Duration::from_secs(60), Duration::MAX);
        watch.during_kernel(|stop| assert!(!stop.load(Ordering::Relaxed)));
    }
}
