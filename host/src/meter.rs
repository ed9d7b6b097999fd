//! Where calls into a guest spend their time.

use std::time::{Duration, Instant};

use wasmtime::CallHook;

/// Time of calls, by who spent it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    /// In the guest.
    pub guest: Duration,
    /// Between guest and host: copying arguments and results, looking up handles.
    pub boundary: Duration,
    /// In the host, working for the guest: kernels and reads.
    pub host: Duration,
    /// Calls of the guest to the host.
    pub calls: u64,
    /// Whose time it is since when.
    running: Option<(Side, Instant)>,
    /// Time in both boundary and host.
    outside: Duration,
    /// The work counter when the meter was started.
    work_before: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Guest,
    Outside,
}

impl Meter {
    /// Nothing measured yet; `work` is the counter of the host's work for the guest.
    pub(crate) fn start(work: Duration) -> Self {
        Self { work_before: work, ..Self::default() }
    }

    /// Execution moves to the other side.
    pub(crate) fn switch(&mut self, hook: CallHook) {
        let now = Instant::now();
        if let Some((side, since)) = self.running {
            match side {
                Side::Guest => self.guest += now - since,
                Side::Outside => self.outside += now - since,
            }
        }
        self.running = match hook {
            CallHook::CallingWasm | CallHook::ReturningFromHost => Some((Side::Guest, now)),
            CallHook::CallingHost => {
                self.calls += 1;
                Some((Side::Outside, now))
            }
            CallHook::ReturningFromWasm => None,
        };
    }

    /// What was measured; `work` is the counter of the host's work for the guest.
    pub(crate) fn read(&self, work: Duration) -> Self {
        let host = work.saturating_sub(self.work_before);
        Self { host, boundary: self.outside.saturating_sub(host), ..*self }
    }
}
