//! The CPU device: threads of this process, on the best instruction set that the machine has.
//!
//! [`plan`] turns verbs into stages, [`program`] runs them on the threads of [`pool`]. Arithmetic is in [`matmul`], [`math`] and
//! [`attention`], each compiled for every tier of [`isa`]. Results depend on the instruction set, but not on the number of threads or
//! on what else is in a step.

mod plan;
pub mod profile;
mod program;

mod attention;
mod math;
pub mod matmul;

pub(crate) mod isa;
mod lanes;

mod cores;
mod memory;
mod pool;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::block::Format;
use crate::cache::{Cache, CacheShape};
use crate::device::{Device, Error, Program};
use crate::recording::{Recording, Rotary};
use crate::tensor::{Tensor, Weight};
use isa::Isa;
use matmul::{Activations, Matrix, Preparation};

/// The processor, as a device. Its threads end when it and all that was compiled on it are dropped.
pub struct Cpu {
    shared: Arc<Shared>,
    fuse: bool,
}

/// What a device shares with its programs.
struct Shared {
    isa: Isa,
    pool: pool::Pool,
    gate: Arc<memory::Gate>,
    kernels: matmul::Kernels,
    math: math::Math,
    attention: attention::Kernels,
    scratch: Mutex<program::Scratch>,
    activations: Mutex<Vec<Lent>>,
    angles: Mutex<Vec<Weak<program::Angles>>>,
    profile: profile::Profile,
}

/// Prepared activations that programs use, with their number and preparations; programs take turns, so they share them.
struct Lent(usize, Vec<Preparation>, Weak<Activations>);

impl Cpu {
    /// A device of so many threads, the caller's among them; as many as there are physical cores if `None`.
    pub fn new(threads: Option<NonZeroUsize>) -> Self {
        Self::with(threads.unwrap_or_else(cores::physical), isa::detect(), true)
    }

    fn with(threads: NonZeroUsize, isa: Isa, fuse: bool) -> Self {
        let shared = Arc::new(Shared {
            isa,
            pool: pool::Pool::new(threads),
            gate: Arc::default(),
            kernels: matmul::Kernels::new(isa),
            math: math::Math::new(isa),
            attention: attention::Kernels::new(isa),
            scratch: Mutex::default(),
            activations: Mutex::default(),
            angles: Mutex::default(),
            profile: profile::Profile::default(),
        });
        Self { shared, fuse }
    }

    /// Threads that work.
    pub fn threads(&self) -> usize {
        self.shared.pool.threads()
    }

    /// Note from now on what every stage of a run takes, until [`Cpu::take_profile`]. That is some memory for every stage.
    pub fn start_profile(&self) {
        self.shared.profile.start();
    }

    /// The stages of runs that ended since [`Cpu::start_profile`], in order; empty if nobody started.
    pub fn take_profile(&self) -> Vec<profile::Timing> {
        self.shared.profile.take()
    }
}

impl Device for Cpu {
    fn name(&self) -> String {
        let threads = self.threads();
        format!("cpu {}, {threads} thread{}", self.shared.isa, if threads == 1 { "" } else { "s" })
    }

    fn supports(&self, format: Format) -> bool {
        Format::ALL.contains(&format)
    }

    fn reads_packed(&self) -> bool {
        self.shared.kernels.read_packed()
    }

    fn tensor(&self, columns: usize) -> Result<Tensor, Error> {
        let rows = memory::Rows::new(columns, self.shared.gate.clone())?;
        Ok(Tensor::new(Arc::new(rows), columns))
    }

    fn cache(&self, shape: CacheShape) -> Result<Cache, Error> {
        let pages = memory::Pages::new(shape, self.shared.gate.clone())?;
        Ok(Cache::new(shape, Arc::new(pages)))
    }

    fn compile(&self, recording: &Recording) -> Result<Box<dyn Program>, Error> {
        Ok(Box::new(plan::compile(&self.shared, recording, self.fuse)?))
    }
}

impl Shared {
    /// What is multiplied of `weight`.
    fn matrix<'a>(&self, weight: &'a Weight) -> Matrix<'a> {
        let packed = weight.packed().filter(|_| self.kernels.read_packed());
        let (format, columns) = (weight.format(), weight.columns());
        match packed {
            Some(packed) => Matrix { format, columns, bytes: packed.as_ref(), packed: true },
            None => Matrix { format, columns, bytes: weight.bytes(), packed: false },
        }
    }

    /// The prepared activations `number` of those with the same preparations, with room for `columns`.
    fn activations(
        &self,
        number: usize,
        columns: usize,
        preparations: &[Preparation],
    ) -> Result<Arc<Activations>, Error> {
        let mut all = self.activations.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|Lent(.., activations)| activations.strong_count() > 0);
        let fitting = all.iter().find_map(|Lent(other, others, activations)| {
            let activations = activations.upgrade()?;
            (*other == number && others == preparations && activations.columns() >= columns)
                .then_some(activations)
        });
        if let Some(activations) = fitting {
            return Ok(activations);
        }
        let activations = Arc::new(Activations::new(columns, preparations)?);
        all.push(Lent(number, preparations.to_vec(), Arc::downgrade(&activations)));
        Ok(activations)
    }

    /// The table of angles for `rotary`.
    fn angles(&self, rotary: &Rotary) -> Arc<program::Angles> {
        let mut all = self.angles.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|angles| angles.strong_count() > 0);
        let known = all.iter().filter_map(Weak::upgrade).find(|angles| angles.rotary == *rotary);
        known.unwrap_or_else(|| {
            let angles = Arc::new(program::Angles::new(rotary.clone()));
            all.push(Arc::downgrade(&angles));
            angles
        })
    }
}
