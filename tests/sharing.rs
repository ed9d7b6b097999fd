//! One mapped model behind several guests, one after another and at the same time, each within limits of its own.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wasm_chord::kernels::Device;
use wasm_chord::kernels::cpu::Cpu;
use wasm_chord::{AddressSpace, Builder, Error, Limits, Model, Result, Sampling, Stop, built_in_guest};
use wasm_chord_tests::{CACHE, HOSTILE_GUEST, builder, tokens, workspace};

/// A copy of the default model that only one test sees; the hostile guest misbehaves as its name says.
fn copy(name: &str) -> Arc<AddressSpace> {
    static COPIES: AtomicUsize = AtomicUsize::new(0);
    let number = COPIES.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sharing-{number}"));
    std::fs::create_dir_all(&folder).expect("cargo made the folder above");
    let file = folder.join(name);
    std::fs::copy(workspace().join("host/model/default.gguf"), &file).expect("the model can be copied");
    Arc::new(AddressSpace::open(file).expect("it can be mapped"))
}

/// The next tokens after a prompt, greedily.
fn answer(model: &Model, count: usize) -> Result<Vec<u32>> {
    let stop = Stop { ignore_end: true, ..Stop::default() };
    let mut session = model.session(&Sampling::greedy(), &stop)?;
    session.append("Once upon a time", false)?;
    Ok(tokens(&mut session, count))
}

/// The built-in guest with a section more: another component that does the same.
fn other_guest() -> Vec<u8> {
    let mut guest = built_in_guest().to_vec();
    guest.extend(b"\0\x06\x05other");
    guest
}

/// How often this process has a file mapped.
#[cfg(target_os = "linux")]
fn mappings(name: &str) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux says what is mapped");
    maps.lines().filter(|line| line.ends_with(name)).count()
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_is_mapped_once_for_all_guests_until_the_last_one_goes() {
    let name = "mapped-once.gguf";
    let space = copy(name);
    let models = [builder(), builder().guest(other_guest()), builder().guest(HOSTILE_GUEST)]
        .map(|guest| guest.open_space(space.clone()).expect("it opens"));
    drop(space);
    for model in &models[..2] {
        answer(model, 4).expect("it answers");
    }
    assert_eq!(mappings(name), 1);
    drop(models);
    assert_eq!(mappings(name), 0);
}

#[test]
fn guests_that_follow_one_another_give_the_same_answer() {
    let space = copy("swapped.gguf");
    let expected = answer(&builder().open_default().expect("it opens"), 16).expect("it answers");
    for guest in [builder(), builder().guest(other_guest()), builder()] {
        let model = guest.open_space(space.clone()).expect("it opens");
        assert_eq!(answer(&model, 16).expect("it answers"), expected);
        // In between, one that makes something else of the same file.
        let other = builder().guest(HOSTILE_GUEST).open_space(space.clone()).expect("it opens");
        assert_eq!(other.information().architecture, "none");
    }
}

#[test]
fn a_refused_guest_leaves_the_one_before_as_it_was() {
    let space = copy("refused.gguf");
    let model = builder().open_space(space.clone()).expect("it opens");
    let expected = answer(&model, 16).expect("it answers");
    let half = &built_in_guest()[..built_in_guest().len() / 2];
    assert!(matches!(builder().guest(half).open_space(space).map(|_| ()), Err(Error::Component(_))));
    assert_eq!(answer(&model, 16).expect("it answers"), expected);
}

/// A tenant's own thread to compute on.
fn tenant() -> Builder {
    Model::builder().threads(NonZeroUsize::MIN).guest_cache(Some(CACHE.into()))
}

#[test]
fn limits_are_those_of_each_tenant() {
    let space = copy("limited.gguf");
    let generous = tenant().open_space(space.clone()).expect("it opens");
    let limits = |limits| tenant().limits(limits).open_space(space.clone()).map(|_| ());
    let no_memory = limits(Limits { memory: 1 << 16, ..Limits::default() });
    assert!(matches!(no_memory, Err(Error::Component(_) | Error::Guest(_))), "{no_memory:?}");
    let no_device_memory = limits(Limits { device_memory: 1 << 16, ..Limits::default() });
    assert!(matches!(no_device_memory, Err(Error::OutOfMemory(_))), "{no_device_memory:?}");
    let no_handles = limits(Limits { handles: 10, ..Limits::default() });
    assert!(matches!(no_handles, Err(Error::Guest(_))), "{no_handles:?}");
    let short = tenant().context(8).open_space(space.clone()).expect("it opens");
    assert!(answer(&short, 16).expect("it answers").len() < 16, "its cache is full");
    assert_eq!(answer(&generous, 16).expect("it answers").len(), 16);
}

/// A tenant's answers while another one misbehaves, again and again; `device` says what each computes on.
fn neighbour(behaviour: &str, device: impl Fn(Builder) -> Builder + Sync) {
    let space = copy(behaviour);
    let good = device(tenant()).open_space(space.clone()).expect("it opens");
    let expected = answer(&good, 16).expect("it answers");
    let limits = Limits {
        memory: 64 << 20,
        device_memory: 64 << 20,
        time: Duration::from_millis(100),
        total_time: Duration::from_millis(300),
        handles: 1000,
    };
    let misbehave = || {
        for _ in 0..3 {
            let guest = device(tenant()).guest(HOSTILE_GUEST).limits(limits.clone());
            let stopped = guest
                .open_space(space.clone())
                .and_then(|model| model.session(&Sampling::greedy(), &Stop::default())?.advance());
            assert!(stopped.is_err(), "{behaviour}: {stopped:?}");
        }
    };
    std::thread::scope(|scope| {
        let bad = scope.spawn(misbehave);
        loop {
            assert_eq!(answer(&good, 16).expect("it answers"), expected, "{behaviour}");
            if bad.is_finished() {
                break;
            }
        }
    });
}

#[test]
fn a_tenant_that_misbehaves_changes_no_answer_of_another() {
    for behaviour in ["memory-bomb", "endless-loop", "endless-loading", "stubborn-kernels", "handle-flood"] {
        neighbour(behaviour, |tenant| tenant);
    }
}

#[test]
fn tenants_share_a_device_without_changing_an_answer() {
    let shared: Arc<dyn Device> = Arc::new(Cpu::new(None));
    for behaviour in ["endless-loading", "stubborn-kernels", "hoarded-tensors"] {
        neighbour(behaviour, |tenant| tenant.device(shared.clone()));
    }
}
