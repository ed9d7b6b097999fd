//! The contract of a device: where tensors and caches live, and what turns a recording into something that runs.

use std::sync::atomic::AtomicBool;

use crate::block::Format;
use crate::cache::{Cache, CacheShape};
use crate::recording::{Recording, Verb};
use crate::step::Step;
use crate::tensor::Tensor;

/// Hardware that computes. Adding one is one folder beside `cpu`, tested by `suite` against `reference`.
pub trait Device: Send + Sync {
    /// What it is, for people: kind, instruction set, threads.
    fn name(&self) -> String;

    /// Whether weights of this format can be used in `embed` and `matmul`.
    fn supports(&self, format: Format) -> bool;

    /// Whether it multiplies with [packed](crate::packed) weights where they are [given](crate::Weight::with_packed), which is faster.
    fn reads_packed(&self) -> bool {
        false
    }

    /// Uninitialised activations, `columns` wide, with room for [`Step::LIMIT`] rows.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the device has no room, [`Error::BadShape`] if `columns` is zero.
    fn tensor(&self, columns: usize) -> Result<Tensor, Error>;

    /// An empty cache; its memory is taken page by page as sequences grow.
    ///
    /// # Errors
    /// [`Error::BadShape`] if a size is zero or a head is not a whole number of the format's blocks.
    fn cache(&self, shape: CacheShape) -> Result<Cache, Error>;

    /// Plan the recording: fuse, quantise, schedule within what the verbs mean. Done once; runs are many.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`] for a weight without kernels, [`Error::OutOfMemory`] for scratch memory.
    fn compile(&self, recording: &Recording) -> Result<Box<dyn Program>, Error>;
}

/// A compiled recording; devices implement it, callers use [`Plan`].
pub trait Program: Send + Sync {
    /// Run all verbs in order for `step`. May return before the work is done, but runs take effect in order.
    /// Whoever sets `cancel` wants the run to end soon, with [`Failure::Cancelled`].
    ///
    /// # Errors
    /// What went wrong in this run or, on a device that runs ahead, in one before it.
    fn run(&self, step: &Step, cancel: &AtomicBool) -> Result<(), Failure>;
}

/// A recorded piece of work, usually one layer, ready to run on its device.
pub struct Plan {
    recording: Recording,
    program: Box<dyn Program>,
}

impl Plan {
    /// Compile `recording` on `device`.
    ///
    /// # Errors
    /// Those of [`Device::compile`].
    pub fn new(device: &dyn Device, recording: Recording) -> Result<Self, Error> {
        let program = device.compile(&recording)?;
        Ok(Self { recording, program })
    }

    /// What was recorded: its weights are what a run touches.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Run for `step`, after checking that the step fits what was recorded.
    ///
    /// # Errors
    /// [`Failure::Misuse`] if a token is not in an embedding table or a sequence belongs to another cache, else the device's.
    pub fn run(&self, step: &Step, cancel: &AtomicBool) -> Result<(), Failure> {
        for verb in self.recording.verbs() {
            match verb {
                Verb::Embed { table, .. } => {
                    if let Some(token) = step.tokens().iter().find(|&&token| token as usize >= table.rows()) {
                        let rows = table.rows();
                        return Err(Failure::Misuse(format!(
                            "embed: token {token} of a table of {rows} rows"
                        )));
                    }
                }
                Verb::Attention { cache, .. } if !step.spans().iter().all(|span| span.belongs_to(cache)) => {
                    return Err(Failure::Misuse(
                        "attention: a sequence of the step belongs to another cache".into(),
                    ));
                }
                _ => {}
            }
        }
        self.program.run(step, cancel)
    }
}

/// Why something could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The device has no kernels for this format.
    #[error("this device has no kernels for {0} weights")]
    UnsupportedFormat(Format),
    /// A shape that cannot be: empty, overflowing, or not a whole number of blocks. Says which.
    #[error("{0}")]
    BadShape(String),
    /// No room for this many bytes.
    #[error("no room for {0} bytes on the device")]
    OutOfMemory(usize),
    /// The device failed or was lost.
    #[error("the device failed: {0}")]
    Device(String),
}

/// Why a step or a run did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The sequences' new positions do not fit into their cache.
    #[error("the cache is full")]
    CacheFull,
    /// The bytes of a weight could not be brought near.
    #[error("{0}")]
    Storage(String),
    /// The device failed or was lost.
    #[error("the device failed: {0}")]
    Device(String),
    /// The run was asked to stop.
    #[error("the run was cancelled")]
    Cancelled,
    /// A bug of the caller: the step does not fit the plan.
    #[error("{0}")]
    Misuse(String),
}
