//! Which weights are in memory: those that there is room for stay, the others are read for every run of a plan that touches them.
//!
//! A plan is the unit: it knows its weights, and while it runs all of them are here. Plans run in the same order for every step, so what
//! stays may as well be what came first; to forget the oldest would mean to read everything in every step.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use wasm_chord_kernels::quota::Charge;
use wasm_chord_kernels::{Bytes, Device, Error, Failure, Plan, Quota, Recording, Step};

/// The memory that weights have.
pub(crate) struct Residency {
    quota: Quota,
    /// What stays, until no plan uses it any more.
    kept: HashMap<Key, Weak<Kept>>,
    /// Where weights are read to that do not stay, one plan at a time.
    room: Arc<Vec<u8>>,
    /// For the most that one plan may need of it.
    reserved: Option<(usize, Charge)>,
}

/// A plan, and whether all its weights are in memory.
pub struct ResidentPlan {
    plan: Plan,
    resident: bool,
}

/// Bytes that are elsewhere: address of the source, offset, length.
type Key = (usize, u64, usize);

/// Bytes that were read and stay.
struct Kept {
    bytes: Vec<u8>,
    /// Keeps the source, and so the key, from being another's.
    _origin: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Residency {
    /// Weights take their memory from `quota`.
    pub(crate) fn new(quota: Quota) -> Self {
        Self { quota, kept: HashMap::new(), room: Arc::default(), reserved: None }
    }

    /// Compile `recording`; none of its weights need be in memory.
    ///
    /// # Errors
    /// The device's, and [`Error::OutOfMemory`] if there is no room for its weights alone.
    pub(crate) fn plan(&mut self, device: &dyn Device, recording: Recording) -> Result<ResidentPlan, Error> {
        let away: HashMap<Key, &Bytes> = away(&recording).collect();
        let size = away.keys().map(|&(_, _, length)| length).sum();
        if self.reserved.as_ref().is_none_or(|&(reserved, _)| reserved < size) {
            self.reserved = None;
            let charge = self.quota.charge(size as u64).ok_or(Error::OutOfMemory(size))?;
            self.reserved = Some((size, charge));
        }
        let resident = away.is_empty();
        Ok(ResidentPlan { plan: Plan::new(device, recording)?, resident })
    }

    /// Run a plan; what it needs and is not here is read before.
    ///
    /// # Errors
    /// The plan's, and [`Failure::Storage`] if weights cannot be read.
    pub(crate) fn run(
        &mut self,
        device: &dyn Device,
        plan: &mut ResidentPlan,
        step: &Step,
    ) -> Result<(), Failure> {
        let never = AtomicBool::new(false);
        if plan.resident {
            return plan.plan.run(step, &never);
        }
        let (recording, stays) = self.bring(plan.plan.recording())?;
        let brought = Plan::new(device, recording).map_err(device_failure)?;
        if stays {
            *plan = ResidentPlan { plan: brought, resident: true };
            return plan.plan.run(step, &never);
        }
        brought.run(step, &never)
    }

    /// The recording with all weights in memory, and whether they stay there.
    fn bring(&mut self, recording: &Recording) -> Result<(Recording, bool), Failure> {
        self.kept.retain(|_, kept| kept.strong_count() > 0);
        let mut here: HashMap<Key, Bytes> = HashMap::new();
        let mut passing: Vec<(Key, &Bytes)> = Vec::new();
        for (key, bytes) in away(recording) {
            if here.contains_key(&key) || passing.iter().any(|(other, _)| *other == key) {
                continue;
            }
            match self.keep(key, bytes)? {
                Some(kept) => drop(here.insert(key, Bytes::new(kept))),
                None => passing.push((key, bytes)),
            }
        }
        let stays = passing.is_empty();
        if !stays {
            let room = self.read_to_room(&passing)?;
            let mut first = 0;
            for (key, bytes) in passing {
                here.insert(
                    key,
                    room.slice(first, bytes.len()).expect("the room is as large as all of them"),
                );
                first += bytes.len();
            }
        }
        let place = |bytes: &Bytes| key(bytes).map_or_else(|| bytes.clone(), |key| here[&key].clone());
        let moved = recording.with_places(|weight| place(weight.place())).map_err(device_failure)?;
        Ok((moved, stays))
    }

    /// Bytes that stay, read now if they are not here yet; none if there is no room for them.
    fn keep(&mut self, key: Key, bytes: &Bytes) -> Result<Option<Arc<Kept>>, Failure> {
        if let Some(kept) = self.kept.get(&key).and_then(Weak::upgrade) {
            return Ok(Some(kept));
        }
        let Some(charge) = self.quota.charge(bytes.len() as u64) else { return Ok(None) };
        let mut memory = zeros(bytes.len())?;
        read(bytes, &mut memory)?;
        let kept = Arc::new(Kept { bytes: memory, _origin: bytes.clone(), _charge: charge });
        self.kept.insert(key, Arc::downgrade(&kept));
        Ok(Some(kept))
    }

    /// Read bytes to the room, one behind the other. What was there before is gone.
    fn read_to_room(&mut self, passing: &[(Key, &Bytes)]) -> Result<Bytes, Failure> {
        let size = passing.iter().map(|(_, bytes)| bytes.len()).sum();
        match Arc::get_mut(&mut self.room) {
            Some(room) if room.len() >= size => {}
            _ => {
                // The old one goes first: there may be no room for both.
                self.room = Arc::default();
                self.room = Arc::new(zeros(size)?);
            }
        }
        let mut rest = &mut Arc::get_mut(&mut self.room).expect("nobody else has it")[..];
        for (_, bytes) in passing {
            let (to, behind) = rest.split_at_mut(bytes.len());
            read(bytes, to)?;
            rest = behind;
        }
        Ok(Bytes::new(self.room.clone()))
    }
}

/// The bytes of a recording that are elsewhere; those of a weight that is used twice come twice.
fn away(recording: &Recording) -> impl Iterator<Item = (Key, &Bytes)> {
    recording.weights().filter_map(|weight| Some((key(weight.place())?, weight.place())))
}

fn key(bytes: &Bytes) -> Option<Key> {
    let (source, offset) = bytes.source()?;
    Some((Arc::as_ptr(source).cast::<()>() as usize, offset, bytes.len()))
}

fn read(bytes: &Bytes, out: &mut [u8]) -> Result<(), Failure> {
    let (source, offset) = bytes.source().expect("only bytes that are elsewhere are read");
    source.read(offset, out).map_err(Failure::Storage)
}

fn zeros(size: usize) -> Result<Vec<u8>, Failure> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(size).map_err(|_| {
        Failure::Device(format!(
            "there is no room for {size} bytes of weights; if the sandbox has less than 4 GiB, WASM_CHORD_MEMORY=MIB says so"
        ))
    })?;
    zeros.resize(size, 0);
    Ok(zeros)
}

fn device_failure(error: Error) -> Failure {
    Failure::Device(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use wasm_chord_kernels::cpu::Cpu;
    use wasm_chord_kernels::{
        CacheFormat, CacheShape, Continuation, Format, Recorder, Source, Tensor, Weight,
    };

    use super::*;

    /// A file of floats, of which each is its place; counts the bytes that are read.
    #[derive(Default)]
    struct Numbers(AtomicUsize);

    impl Source for Numbers {
        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), String> {
            self.0.fetch_add(out.len(), Ordering::Relaxed);
            for (place, bytes) in (offset / 4..).zip(out.chunks_mut(4)) {
                bytes.copy_from_slice(&(place as f32).to_le_bytes());
            }
            Ok(())
        }
    }

    const COLUMNS: usize = 8;
    const TABLE: usize = 4 * COLUMNS * 4;
    const SCALE: usize = COLUMNS * 4;

    /// Embeds tokens of a table at 0, and scales with the vector behind it, twice.
    fn plans(
        device: &Cpu,
        residency: &mut Residency,
        file: &Arc<Numbers>,
        out: &Tensor,
    ) -> [ResidentPlan; 2] {
        let weight = |offset, rows| {
            let bytes = Bytes::elsewhere(file.clone(), offset as u64, rows * COLUMNS * 4);
            Weight::new(bytes, Format::F32, rows, COLUMNS).unwrap()
        };
        let mut recorder = Recorder::new();
        recorder.embed(out, &weight(0, 4)).unwrap();
        let embed = residency.plan(device, recorder.finish()).unwrap();
        let mut recorder = Recorder::new();
        recorder.rms_norm(out, out, &weight(TABLE, 1), 0.0).unwrap();
        recorder.rms_norm(out, out, &weight(TABLE, 1), 0.0).unwrap();
        [embed, residency.plan(device, recorder.finish()).unwrap()]
    }

    /// Three tokens, one step each, in so much memory: the last row, and the bytes that were read.
    fn run(memory: usize) -> (Vec<f32>, usize) {
        let device = Cpu::new(Some(NonZeroUsize::MIN));
        let mut residency = Residency::new(Quota::new(memory as u64));
        let file = Arc::new(Numbers::default());
        let out = device.tensor(COLUMNS).unwrap();
        let mut plans = plans(&device, &mut residency, &file, &out);
        let shape = CacheShape {
            layers: 1,
            kv_heads: 1,
            key_size: 1,
            value_size: 1,
            positions: 3,
            format: CacheFormat::F32,
        };
        let mut sequence = device.cache(shape).unwrap().sequence();
        for token in 1..4 {
            let tokens = [token];
            let next = Continuation { sequence: &mut sequence, tokens: &tokens, outputs: 0 };
            let step = Step::begin(&mut [next]).unwrap();
            for plan in &mut plans {
                residency.run(&device, plan, &step).unwrap();
            }
        }
        (out.read(0).unwrap(), file.0.load(Ordering::Relaxed))
    }

    #[test]
    fn what_fits_is_read_once_and_the_rest_in_every_step() {
        let (all, read) = run(TABLE + TABLE + SCALE);
        assert_eq!(read, TABLE + SCALE);
        assert!(all.iter().all(|number| *number > 0.0));
        // Besides the room for the largest plan, the table does not fit, but the vector does.
        assert_eq!(run(TABLE + SCALE), (all.clone(), 3 * TABLE + SCALE));
        assert_eq!(run(TABLE), (all, 3 * (TABLE + SCALE)));
    }

    #[test]
    fn a_plan_that_can_never_be_in_memory_is_refused() {
        let device = Cpu::new(Some(NonZeroUsize::MIN));
        let mut residency = Residency::new(Quota::new(TABLE as u64 - 1));
        let (file, out) = (Arc::new(Numbers::default()), device.tensor(COLUMNS).unwrap());
        let table = Bytes::elsewhere(file, 0, TABLE);
        let mut recorder = Recorder::new();
        recorder.embed(&out, &Weight::new(table, Format::F32, 4, COLUMNS).unwrap()).unwrap();
        assert_eq!(residency.plan(&device, recorder.finish()).err(), Some(Error::OutOfMemory(TABLE)));
    }

    #[test]
    fn kept_weights_go_with_the_plans() {
        let device = Cpu::new(Some(NonZeroUsize::MIN));
        let quota = Quota::new((2 * TABLE + SCALE) as u64);
        let mut residency = Residency::new(quota.clone());
        let (file, out) = (Arc::new(Numbers::default()), device.tensor(COLUMNS).unwrap());
        let [embed, _] = plans(&device, &mut residency, &file, &out);
        let (moved, stays) = residency.bring(embed.plan.recording()).unwrap();
        assert!(stays && quota.charge(TABLE as u64).is_none());
        drop(moved);
        assert!(quota.charge(TABLE as u64).is_some());
    }
}
