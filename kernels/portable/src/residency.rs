//! Which weights are in memory: those that there is room for stay, the others are read for every run of a plan that touches them.
//!
//! A plan is the unit: it knows its weights, and while it runs all of them are here. Plans run in the same order for every step, so what
//! stays may as well be what came first; to forget the oldest would mean to read everything in every step.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use wasm_chord_kernels::quota::Charge;
use wasm_chord_kernels::{
    Bytes, Device, Error, Failure, Plan, Quota, Recording, Source, Step, Weight, packed,
};

/// Bytes of a matrix that are read at once where it is packed.
const PIECE: usize = 1 << 20;

/// The memory that weights have.
pub(crate) struct Residency {
    quota: Quota,
    /// What stays, until no plan uses it any more.
    kept: HashMap<Key, Weak<Kept>>,
    /// All that plans would keep, packed where that is of use, while there is what it is read from.
    wanted: HashMap<Key, Weak<dyn Source>>,
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

/// Bytes that are elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    /// Address of the source.
    source: usize,
    offset: u64,
    length: usize,
    /// How many they become, if they are packed on their way.
    packed: Option<usize>,
}

impl Key {
    /// Of a weight that is packed if `packs` and it can be; none if it is in memory.
    fn of(weight: &Weight, packs: bool) -> Option<Self> {
        let (source, offset) = weight.place().source()?;
        let source = Arc::as_ptr(source).cast::<()>() as usize;
        let size = || packed::size(weight.format(), weight.rows(), weight.columns());
        Some(Self { source, offset, length: weight.place().len(), packed: packs.then(size).flatten() })
    }

    /// Bytes of memory that they take.
    fn size(&self) -> usize {
        self.packed.unwrap_or(self.length)
    }
}

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
        Self { quota, kept: HashMap::new(), wanted: HashMap::new(), room: Arc::default(), reserved: None }
    }

    /// Compile `recording`; none of its weights need be in memory.
    ///
    /// # Errors
    /// The device's, and [`Error::OutOfMemory`] if there is no room for its weights alone.
    pub(crate) fn plan(&mut self, device: &dyn Device, recording: Recording) -> Result<ResidentPlan, Error> {
        self.wanted.retain(|_, source| source.strong_count() > 0);
        let mut away = HashSet::new();
        for (weight, multiplied) in recording.uses() {
            let Some((source, _)) = weight.place().source() else { continue };
            let wanted = Key::of(weight, multiplied && device.reads_packed());
            self.wanted.insert(wanted.expect("it is elsewhere"), Arc::downgrade(source));
            away.extend(Key::of(weight, false));
        }
        let size = away.iter().map(Key::size).sum();
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
        let (recording, stays) = self.bring(device, plan.plan.recording())?;
        let brought = Plan::new(device, recording).map_err(device_failure)?;
        if stays {
            *plan = ResidentPlan { plan: brought, resident: true };
            return plan.plan.run(step, &never);
        }
        brought.run(step, &never)
    }

    /// The recording with all weights in memory, and whether they stay there.
    fn bring(&mut self, device: &dyn Device, recording: &Recording) -> Result<(Recording, bool), Failure> {
        self.kept.retain(|_, kept| kept.strong_count() > 0);
        let packs = device.reads_packed() && self.has_room_for_all();
        let key = |weight: &Weight, multiplied| Key::of(weight, packs && multiplied);
        let mut here: HashMap<Key, Bytes> = HashMap::new();
        let mut passing: Vec<(Key, &Bytes)> = Vec::new();
        for (weight, multiplied) in recording.uses() {
            let Some(key) = key(weight, multiplied) else { continue };
            if here.contains_key(&key) || passing.iter().any(|(other, _)| *other == key) {
                continue;
            }
            match self.keep(key, weight)? {
                Some(kept) => drop(here.insert(key, Bytes::new(kept))),
                None if packs => return Err(no_room(key.size())),
                None => passing.push((key, weight.place())),
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
        let brought = recording.with_weights(|weight, multiplied| {
            let Some(key) = key(weight, multiplied) else { return Ok(weight.clone()) };
            let bytes = here[&key].clone();
            match key.packed {
                Some(_) => weight.clone().with_packed(bytes),
                None => Weight::new(bytes, weight.format(), weight.rows(), weight.columns()),
            }
        });
        Ok((brought.map_err(device_failure)?, stays))
    }

    /// Whether all that is wanted may stay. If not, nothing is packed, as that would only take room from others.
    fn has_room_for_all(&self) -> bool {
        let missing = self.wanted.iter().filter(|(key, _)| !self.kept.contains_key(key));
        let missing: u64 = missing.map(|(key, _)| key.size() as u64).sum();
        missing <= self.quota.free()
    }

    /// A weight that stays, read now if it is not here yet; none if there is no room for it.
    fn keep(&mut self, key: Key, weight: &Weight) -> Result<Option<Arc<Kept>>, Failure> {
        if let Some(kept) = self.kept.get(&key).and_then(Weak::upgrade) {
            return Ok(Some(kept));
        }
        let Some(charge) = self.quota.charge(key.size() as u64) else { return Ok(None) };
        let mut memory = zeros(key.size())?;
        match key.packed {
            Some(_) => read_packed(weight, &mut memory)?,
            None => read(weight.place(), 0, &mut memory)?,
        }
        let kept = Arc::new(Kept { bytes: memory, _origin: weight.place().clone(), _charge: charge });
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
            read(bytes, 0, to)?;
            rest = behind;
        }
        Ok(Bytes::new(self.room.clone()))
    }
}

/// Bytes from `first` on of those that are elsewhere.
fn read(bytes: &Bytes, first: usize, out: &mut [u8]) -> Result<(), Failure> {
    let (source, offset) = bytes.source().expect("only bytes that are elsewhere are read");
    source.read(offset + first as u64, out).map_err(Failure::Storage)
}

fn read_packed(weight: &Weight, out: &mut [u8]) -> Result<(), Failure> {
    let groups = weight.rows() / packed::ROWS;
    let (size, packed_size) = (weight.place().len() / groups, out.len() / groups);
    let at_once = (PIECE / size).clamp(1, groups);
    let mut piece = zeros(at_once * size)?;
    for (index, out) in out.chunks_mut(at_once * packed_size).enumerate() {
        let piece = &mut piece[..out.len() / packed_size * size];
        read(weight.place(), index * at_once * size, piece)?;
        packed::pack(weight.format(), weight.columns(), piece, out);
    }
    Ok(())
}

fn zeros(size: usize) -> Result<Vec<u8>, Failure> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(size).map_err(|_| no_room(size))?;
    zeros.resize(size, 0);
    Ok(zeros)
}

fn no_room(size: usize) -> Failure {
    Failure::Device(format!(
        "there is no room for {size} bytes of weights; if the sandbox has less than 4 GiB, WASM_CHORD_MEMORY=MIB says so"
    ))
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
    fn matrices_are_packed_if_there_is_room_for_all() {
        let device = Cpu::new(Some(NonZeroUsize::MIN));
        // More than a piece.
        let (format, rows, columns) = (Format::Q6_K, 6400, 256);
        let size = Weight::size(format, rows, columns).unwrap();
        let packed_size = packed::size(format, rows, columns).unwrap();
        let (x, out) = (device.tensor(columns).unwrap(), device.tensor(rows).unwrap());
        for (memory, packs) in [(size + packed_size, device.reads_packed()), (size + size, false)] {
            let mut residency = Residency::new(Quota::new(memory as u64));
            let file = Arc::new(Numbers::default());
            let bytes = Bytes::elsewhere(file.clone(), 0, size);
            let mut recorder = Recorder::new();
            recorder.matmul(&out, &x, &Weight::new(bytes, format, rows, columns).unwrap(), None).unwrap();
            let plan = residency.plan(&device, recorder.finish()).unwrap();
            let (brought, stays) = residency.bring(&device, plan.plan.recording()).unwrap();
            assert!(stays && file.0.load(Ordering::Relaxed) == size);
            let packed = brought.weights().next().unwrap().packed();
            assert_eq!(packed.is_some(), packs, "{memory}");
            let Some(packed) = packed else { continue };
            let (mut whole, mut expected) = (vec![0; size], vec![0; packed_size]);
            file.read(0, &mut whole).unwrap();
            packed::pack(format, columns, &whole, &mut expected);
            assert!(packed.as_ref() == expected);
        }
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
        let (moved, stays) = residency.bring(&device, embed.plan.recording()).unwrap();
        assert!(stays && quota.charge(TABLE as u64).is_none());
        drop(moved);
        assert!(quota.charge(TABLE as u64).is_some());
    }
}
