//! What a device promises beside arithmetic: errors, order, cancellation.

use std::sync::atomic::AtomicBool;

use super::data::{input, matrix};
use super::nearness::{Nearness, same_bits};
use super::rig::Rig;
use super::{Case, Outcome};
use crate::block::Format;
use crate::cache::{CacheFormat, CacheShape};
use crate::device::{Device, Error, Failure, Plan};
use crate::recording::{Activation, Recorder};
use crate::reference::Reference;
use crate::step::{Continuation, Step};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("contract/a device has a name".into(), |device| {
            ensure(!device.name().is_empty(), "its name is empty")
        }),
        Case::new("contract/shapes that cannot be are refused".into(), refuses_bad_shapes),
        Case::new("contract/weights without kernels are refused".into(), refuses_unsupported_formats),
        Case::new("contract/tensors of another device are refused".into(), refuses_foreign_tensors),
        Case::new("contract/rows beyond the limit cannot be read".into(), |device| {
            let refused = matches!(device.tensor(3)?.read(Step::LIMIT), Err(Error::BadShape(_)));
            ensure(refused, "the row after the last was read")
        }),
        Case::new("contract/runs take effect in order".into(), runs_in_order),
        Case::new("contract/an empty recording runs".into(), |device| {
            let rig = Rig::rowwise(device, |recorder| input(device, recorder, 3, 1))?;
            let nothing = Plan::new(device, Recorder::new().finish())?;
            let rig = Rig { plans: [rig.plans, vec![nothing]].into_iter().flatten().collect(), ..rig };
            rig.batch(&[1]).map(|_| ())
        }),
        Case::new("contract/a cancelled run says so and leaves the device usable".into(), cancels),
    ]
}

fn ensure(holds: bool, otherwise: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn refuses_bad_shapes(device: &dyn Device) -> Outcome<()> {
    ensure(matches!(device.tensor(0), Err(Error::BadShape(_))), "a tensor of 0 columns")?;
    let shape = CacheShape {
        layers: 1,
        kv_heads: 1,
        key_size: 32,
        value_size: 32,
        positions: 64,
        format: CacheFormat::Q8_0,
    };
    for bad in [
        CacheShape { layers: 0, ..shape },
        CacheShape { kv_heads: 0, ..shape },
        CacheShape { positions: 0, ..shape },
        CacheShape { positions: usize::MAX, ..shape },
        CacheShape { kv_heads: usize::MAX / 8, ..shape },
        CacheShape { key_size: 33, ..shape },
    ] {
        ensure(matches!(device.cache(bad), Err(Error::BadShape(_))), &format!("a cache of {bad:?}"))?;
    }
    Ok(())
}

fn refuses_unsupported_formats(device: &dyn Device) -> Outcome<()> {
    for format in Format::ALL {
        let (x, out) = (device.tensor(256)?, device.tensor(3)?);
        let mut recorder = Recorder::new();
        recorder.matmul(&out, &x, &matrix(format, 3, 256, 1, 1.0), None)?;
        match device.compile(&recorder.finish()) {
            Ok(_) if device.supports(format) => {}
            Err(Error::UnsupportedFormat(named)) if named == format && !device.supports(format) => {}
            Ok(_) => return Err(format!("{format} is not supported but compiles").into()),
            Err(error) => return Err(format!("{format}: {error}").into()),
        }
    }
    Ok(())
}

fn refuses_foreign_tensors(device: &dyn Device) -> Outcome<()> {
    if device.name() == Reference.name() {
        return Ok(());
    }
    let (x, foreign) = (device.tensor(4)?, Reference.tensor(4)?);
    for (out, x) in [(&x, &foreign), (&foreign, &x)] {
        let mut recorder = Recorder::new();
        recorder.activate(out, x, Activation::Silu)?;
        ensure(device.compile(&recorder.finish()).is_err(), "it compiled")?;
    }
    Ok(())
}

/// Plans share a tensor: one writes it, another adds to it, four times.
fn runs_in_order(device: &dyn Device) -> Outcome<()> {
    let record = |device: &dyn Device| -> Outcome<Rig> {
        let mut rig = Rig::rowwise(device, |recorder| input(device, recorder, 100, 1))?;
        for seed in 2..6 {
            let mut recorder = Recorder::new();
            let y = input(device, &mut recorder, 100, seed)?;
            recorder.multiply(&rig.out, &rig.out, &y)?;
            recorder.add(&rig.out, &rig.out, &y)?;
            rig.plans.push(Plan::new(device, recorder.finish())?);
        }
        Ok(rig)
    };
    let tokens = super::rows::tokens(33);
    Nearness::F32.check(&record(device)?.batch(&tokens)?, &record(&Reference)?.batch(&tokens)?)
}

fn cancels(device: &dyn Device) -> Outcome<()> {
    let rig = Rig::rowwise(device, |recorder| input(device, recorder, 5, 1))?;
    let before = rig.batch(&[1, 2])?;
    let mut sequence = rig.cache.sequence();
    let step = Step::begin(&mut [Continuation { sequence: &mut sequence, tokens: &[3], outputs: 1 }])?;
    let result = rig.plans[0].run(&step, &AtomicBool::new(true));
    ensure(result == Err(Failure::Cancelled), &format!("it ended with {result:?}"))?;
    same_bits("afterwards", &rig.batch(&[1, 2])?, &before)
}
