//! The packed copy of a model's matrices: the same tokens, and a file that is trusted only while it fits the model.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasm_chord::kernels::cpu::Cpu;
use wasm_chord::kernels::device::Program;
use wasm_chord::kernels::reference::Reference;
use wasm_chord::kernels::{self, Cache, CacheShape, Device, Format, Recording, Tensor};
use wasm_chord::{Builder, Error, Sampling, Stop};
use wasm_chord_tests::{builder, golden, golden_names, tokens, workspace};

/// A copy of a model in a folder of its own.
fn copy(folder: &str, from: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packed").join(folder);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("cargo made the folder above");
    let file = folder.join("model.gguf");
    fs::copy(from, &file).expect("the model can be copied");
    file
}

/// A model with matrices that can be packed.
fn wide(folder: &str) -> PathBuf {
    copy(folder, &golden("llama-q4_k.gguf"))
}

fn packed(model: &Path) -> PathBuf {
    model.with_extension("gguf.wcpack")
}

/// The next tokens after a prompt, greedily.
fn answer(builder: Builder, model: &Path) -> Result<Vec<u32>, Error> {
    let model = builder.open(model)?;
    let stop = Stop { ignore_end: true, ..Stop::default() };
    let mut session = model.session(&Sampling::greedy(), &stop)?;
    session.append("Once upon a time there was a", false)?;
    Ok(tokens(&mut session, 24))
}

/// Settings that pack on every machine: kernels that do not read packed weights take those in place.
fn packing() -> Builder {
    builder().device(Arc::new(Reader(Cpu::new(None)))).pack(true)
}

/// A device that says that it reads packed weights.
struct Reader(Cpu);

impl Device for Reader {
    fn name(&self) -> String {
        self.0.name()
    }
    fn supports(&self, format: Format) -> bool {
        self.0.supports(format)
    }
    fn reads_packed(&self) -> bool {
        true
    }
    fn tensor(&self, columns: usize) -> Result<Tensor, kernels::Error> {
        self.0.tensor(columns)
    }
    fn cache(&self, shape: CacheShape) -> Result<Cache, kernels::Error> {
        self.0.cache(shape)
    }
    fn compile(&self, recording: &Recording) -> Result<Box<dyn Program>, kernels::Error> {
        self.0.compile(recording)
    }
}

#[test]
fn tokens_are_those_of_weights_in_place() {
    let wide = golden_names().into_iter().filter(|name| name.ends_with("_k"));
    let mut models: Vec<PathBuf> = wide.map(|name| golden(&format!("{name}.gguf"))).collect();
    assert!(models.len() >= 12, "golden models in three formats");
    models.push(workspace().join("host/model/default.gguf"));
    for model in models {
        let expected = answer(builder(), &model).expect("it answers");
        let name = model.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let model = copy(&name, &model);
        for _ in 0..2 {
            let answer = answer(packing(), &model).expect("it answers");
            assert_eq!(answer, expected, "{}", model.display());
            // More than a header.
            assert!(fs::metadata(packed(&model)).expect("there is a packed copy").len() > 100_000);
        }
    }
}

#[test]
fn a_device_that_reads_none_is_told_so() {
    let model = wide("unread");
    let Err(Error::InvalidRequest(message)) =
        answer(builder().device(Arc::new(Reference)).pack(true), &model)
    else {
        panic!("the reference reads no packed weights")
    };
    assert!(message.ends_with("has no use for packed weights"), "{message}");
    assert!(!packed(&model).exists());
}

#[test]
fn a_model_in_the_program_has_no_place_for_one() {
    let device = Arc::new(Reader(Cpu::new(None)));
    assert!(matches!(builder().device(device).pack(true).open_default(), Err(Error::InvalidRequest(_))));
}

#[test]
fn a_model_that_changed_is_packed_again() {
    let model = wide("changed");
    answer(packing(), &model).expect("it answers");
    let before = fs::read(packed(&model)).unwrap();

    // Other weights of the same length, as another quantisation of the same model has them.
    let mut bytes = fs::read(&model).unwrap();
    let length = bytes.len();
    bytes[length / 2..length - 64].iter_mut().step_by(144).for_each(|byte| *byte ^= 3);
    fs::write(&model, &bytes).unwrap();
    let expected = answer(builder(), &model).expect("it answers");
    assert_eq!(answer(packing(), &model).expect("it answers"), expected);
    let after = fs::read(packed(&model)).unwrap();
    assert_ne!(before[4096..], after[4096..]);
}

#[test]
fn the_same_model_with_another_time_is_not_packed_again() {
    let model = wide("touched");
    answer(packing(), &model).expect("it answers");
    // Something of its own in the last matrix shows whether the file is the old one.
    let mut bytes = fs::read(packed(&model)).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 0xff;
    fs::write(packed(&model), &bytes).unwrap();

    let time = fs::metadata(&model).unwrap().modified().unwrap() - std::time::Duration::from_secs(86_400);
    fs::File::options().write(true).open(&model).unwrap().set_modified(time).unwrap();
    answer(packing(), &model).expect("it answers");
    let after = fs::read(packed(&model)).unwrap();
    assert_eq!(after[4096..], bytes[4096..]);
    // The new time is known now.
    assert_ne!(after[..4096], bytes[..4096]);
}

#[test]
fn a_damaged_copy_is_written_anew() {
    let model = wide("damaged");
    let expected = answer(packing(), &model).expect("it answers");
    let whole = fs::read(packed(&model)).unwrap();
    let header = whole.len().min(600);
    let mut damaged: Vec<Vec<u8>> = vec![Vec::new(), vec![0xff; 5000], whole[..whole.len() - 1].to_vec()];
    for at in (0..header).step_by(17) {
        damaged.push(whole[..at].to_vec());
        // A length, an offset or a number of something, larger than all that can be.
        let mut other = whole.clone();
        other[at..at + 8].fill(0xff);
        damaged.push(other);
    }
    for bytes in damaged {
        fs::write(packed(&model), &bytes).unwrap();
        assert_eq!(answer(packing(), &model).expect("it answers"), expected);
    }
}

#[test]
fn a_copy_that_cannot_be_written_is_an_error() {
    let model = wide("unwritable");
    fs::create_dir(packed(&model)).unwrap();
    let Err(Error::Failed(message)) = answer(packing(), &model) else { panic!("a folder is no packed copy") };
    assert!(message.starts_with("cannot open ") && message.contains("model.gguf.wcpack"), "{message}");
    // Nothing half written is left behind.
    assert_eq!(fs::read_dir(model.parent().unwrap()).unwrap().count(), 2);
}
