//! A guest that misbehaves, each time in the way that its model file is named after.
//!
//! The names are those of [`load`] and [`advance`]; tests/hostile.rs says what the host must make of each. Where a request is refused
//! rather than trapped, the guest hands the refusal on as its error.

#![expect(unsafe_code, reason = "makes up handles that the host never gave")]

mod bindings;

use std::hint::black_box;

use bindings::exports::wasm_chord::inference::generation as contract;
use bindings::wasm_chord::inference::kernels::{
    Activation, AttentionShape, Continuation, Failure, Plan, Recorder, RopeLayout, Rotary, Step, run,
    step_limit,
};
use bindings::wasm_chord::inference::memory64;
use bindings::wasm_chord::inference::tensors::{
    Cache, CacheFormat, CacheShape, Format, Sequence, Tensor, Weight,
};
use contract::Error;

/// What this component exports.
pub struct Component;

impl contract::Guest for Component {
    type Model = Model;
    type Session = Session;
}

/// A model that was loaded in spite of its name: it misbehaves in `advance`.
pub struct Model;

/// A session of nothing.
pub struct Session;

impl contract::GuestModel for Model {
    fn load(_: contract::Options) -> Result<contract::Model, Error> {
        load(&behaviour())?;
        Ok(contract::Model::new(Self))
    }

    fn information(&self) -> contract::Information {
        contract::Information {
            architecture: "none".into(),
            name: None,
            parameters: 0,
            bytes: 0,
            format: "none".into(),
            trained_context: 1,
            context: 1,
            vocabulary: 1,
            layers: 1,
            width: 1,
            heads: 1,
            kv_heads: 1,
            chat_template: false,
        }
    }

    fn tokenize(&self, _: String, _: bool) -> Vec<u32> {
        Vec::new()
    }

    fn detokenize(&self, _: Vec<u32>, _: bool) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }

    fn render(&self, _: contract::Conversation) -> Result<String, Error> {
        Ok(String::new())
    }

    fn session(&self, _: contract::Sampling, _: contract::Limits) -> Result<contract::Session, Error> {
        Ok(contract::Session::new(Session))
    }

    fn advance(&self, _: Vec<contract::SessionBorrow<'_>>) -> Result<Vec<contract::Event>, Error> {
        advance(&behaviour())
    }
}

impl contract::GuestSession for Session {
    fn append(&self, _: String, _: bool) -> Result<u32, Error> {
        Ok(0)
    }

    fn converse(&self, _: contract::Conversation) -> Result<u32, Error> {
        Ok(0)
    }

    fn append_tokens(&self, _: Vec<u32>) -> Result<(), Error> {
        Ok(())
    }

    fn tokens(&self) -> Vec<u32> {
        Vec::new()
    }

    fn logits(&self) -> Result<Vec<f32>, Error> {
        Ok(Vec::new())
    }

    fn fork(&self) -> contract::Session {
        contract::Session::new(Session)
    }

    fn rewind(&self, _: u32) {}
}

/// The name of the model file.
fn behaviour() -> String {
    memory64::regions().swap_remove(0).name
}

/// What goes wrong while loading; names that are not here load.
fn load(behaviour: &str) -> Result<(), Error> {
    let refused = |what: String| Err(Error::Failed(what));
    match behaviour {
        // Time and memory.
        "endless-loop" => spin(),
        "endless-questions" => loop {
            black_box(memory64::regions());
        },
        "endless-recursion" => {
            black_box(deeper(0));
        }
        "memory-bomb" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![black_box(1u8); 1 << 20]);
            }
        }
        "handle-flood" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(tensor(1));
            }
        }
        "endless-loading" => return Err(endless_kernels()),
        "panic" => panic!("this guest has a bug"),

        // Reads.
        "read-outside" => {
            let size = memory64::regions()[0].size;
            let limit = memory64::read_limit();
            let ranges = [
                (u64::MAX, 1),
                (u64::MAX, limit),
                (size, 1),
                (size - 1, 2),
                (size + 1, 0),
                (1 << 40, 0),
                (0, u32::MAX),
            ];
            let outcomes: Vec<_> =
                ranges.into_iter().map(|(address, length)| memory64::read(address, length)).collect();
            return refused(format!("{outcomes:?}"));
        }

        // Sizes that the host refuses.
        "huge-tensor" => return refused(format!("{:?}", Tensor::create(u32::MAX).map(|_| ()))),
        "empty-tensor" => return refused(format!("{:?}", Tensor::create(0).map(|_| ()))),
        "hoarded-tensors" => {
            let mut hoard = Vec::new();
            loop {
                match Tensor::create(1 << 10) {
                    Ok(tensor) => hoard.push(tensor),
                    Err(error) => return refused(format!("{error:?}")),
                }
            }
        }
        "bad-weights" => {
            let sizes =
                [(u64::MAX, u64::MAX), (1 << 62, 1), (1 << 33, 1 << 33), (0, 4), (4, 0), (1 << 40, 1)];
            let outcomes = sizes.map(|(rows, columns)| Weight::at(0, Format::F32, rows, columns).map(|_| ()));
            let blocks = Weight::at(0, Format::Q4K, 1, 255).map(|_| ());
            let outside = Weight::at(u64::MAX - 3, Format::F32, 1, 1).map(|_| ());
            return refused(format!("{outcomes:?} {blocks:?} {outside:?}"));
        }
        "bad-caches" => {
            let shape = |layers, kv_heads, key_size, positions, format| {
                let shape =
                    CacheShape { layers, kv_heads, key_size, value_size: key_size, positions, format };
                Cache::create(shape).map(|_| ())
            };
            let outcomes = [
                shape(u32::MAX, u32::MAX, u32::MAX, u32::MAX, CacheFormat::F32),
                shape(0, 1, 8, 8, CacheFormat::F32),
                shape(1, 1, 0, 8, CacheFormat::F32),
                shape(1, 1, 33, 8, CacheFormat::Q80),
                shape(1 << 12, 1 << 12, 1 << 12, 1 << 20, CacheFormat::F16),
            ];
            return refused(format!("{outcomes:?}"));
        }

        // Shapes that do not fit.
        "bad-embed" => Recorder::new().embed(&tensor(7), &weight(4, 8)),
        "bad-norm" => Recorder::new().rms_norm(&tensor(8), &tensor(8), &weight(1, 3), 1e-5),
        "bad-matmul" => Recorder::new().matmul(&tensor(4), &tensor(7), &weight(4, 8), None),
        "bad-bias" => Recorder::new().matmul(&tensor(4), &tensor(8), &weight(4, 8), Some(&weight(1, 5))),
        "bad-rope" => {
            let frequencies = vec![1.0; 1 << 16];
            let rotary = Rotary { layout: RopeLayout::Halves, head_size: 3, frequencies, magnitude: 1.0 };
            Recorder::new().rope(&tensor(8), &rotary);
        }
        "bad-attention" => {
            let shape = AttentionShape {
                heads: u32::MAX,
                kv_heads: 0,
                key_size: u32::MAX,
                value_size: 8,
                scale: f32::NAN,
                window: Some(0),
                soft_cap: None,
            };
            Recorder::new().attention(&tensor(8), &tensor(8), &tensor(8), &tensor(8), &cache(), 9, shape);
        }
        "bad-gate" => Recorder::new().gate(&tensor(8), &tensor(9), &tensor(8), Activation::Silu),
        "bad-add" => {
            let all = tensor(16);
            Recorder::new().add(&all.view(0, 8), &all.view(4, 8), &all.view(8, 8));
        }
        "bad-view" => {
            tensor(8).view(u32::MAX, u32::MAX);
        }
        "bad-row" => {
            tensor(8).read(u32::MAX);
        }

        // Handles.
        "made-up-handle" => {
            // SAFETY: Nothing in the guest depends on the number; what the host does with it is the test.
            unsafe { Tensor::from_handle(12_345) }.read(0);
        }
        "dropped-handle" => {
            let number = tensor(8).take_handle();
            // SAFETY: As above.
            drop(unsafe { Tensor::from_handle(number) });
            // SAFETY: As above.
            unsafe { Tensor::from_handle(number) }.read(0);
        }
        "handle-of-another-kind" => {
            let number = weight(4, 8).take_handle();
            // SAFETY: As above.
            unsafe { Tensor::from_handle(number) }.read(0);
        }

        // Steps.
        "sequence-twice" => {
            let sequence = cache().sequence();
            let _ = Step::begin(&[continuation(&sequence, 1), continuation(&sequence, 1)]);
        }
        "empty-step" => {
            let _ = Step::begin(&[]);
        }
        "huge-step" => {
            let _ = Step::begin(&[continuation(&cache().sequence(), step_limit() as usize + 1)]);
        }
        "token-outside" => {
            let plan = plan(|recorder| recorder.embed(&tensor(8), &weight(4, 8)));
            let _ =
                run(&[Continuation { sequence: &cache().sequence(), tokens: vec![4], outputs: 0 }], &[&plan]);
        }
        "full-cache" => {
            let outcome = run(&[continuation(&cache().sequence(), 500)], &[]);
            return refused(format!("{outcome:?}"));
        }
        _ => {}
    }
    Ok(())
}

/// What goes wrong in a step.
fn advance(behaviour: &str) -> Result<Vec<contract::Event>, Error> {
    match behaviour {
        "endless-step" => spin(),
        "endless-kernels" => Err(endless_kernels()),
        "stubborn-kernels" => {
            work_forever(|_| true);
            Ok(Vec::new())
        }
        _ => Ok(Vec::new()),
    }
}

fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns).wrapping_add(1);
    }
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    black_box(deeper(black_box(depth) + 1)) + 1
}

/// Multiply until the host has enough of it, and say so.
fn endless_kernels() -> Error {
    match work_forever(|_| false) {
        Failure::Cancelled => Error::Cancelled,
        failure => Error::Failed(format!("{failure:?}")),
    }
}

/// Multiply again and again, past those failures that are to be ignored.
fn work_forever(ignored: impl Fn(&Failure) -> bool) -> Failure {
    let (out, x, matrix) = (tensor(512), tensor(512), weight(512, 512));
    let plan = plan(|recorder| (0..64).for_each(|_| recorder.matmul(&out, &x, &matrix, None)));
    let sequence = cache().sequence();
    let step = Step::begin(&[continuation(&sequence, 64)]).expect("there is room");
    loop {
        if let Err(failure) = step.run(&[&plan])
            && !ignored(&failure)
        {
            return failure;
        }
    }
}

fn plan(record: impl FnOnce(&Recorder)) -> Plan {
    let recorder = Recorder::new();
    record(&recorder);
    Recorder::finish(recorder).expect("the device can plan this")
}

fn continuation(sequence: &Sequence, tokens: usize) -> Continuation<'_> {
    Continuation { sequence, tokens: vec![0; tokens], outputs: 0 }
}

fn tensor(columns: u32) -> Tensor {
    Tensor::create(columns).expect("there is room for a tensor")
}

fn weight(rows: u64, columns: u64) -> Weight {
    Weight::at(0, Format::F32, rows, columns).expect("the file is long enough")
}

/// One small layer, 64 positions.
fn cache() -> Cache {
    let format = CacheFormat::F32;
    let shape = CacheShape { layers: 1, kv_heads: 1, key_size: 8, value_size: 8, positions: 64, format };
    Cache::create(shape).expect("there is room for a cache")
}
