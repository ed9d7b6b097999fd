//! Models in several files are the same models.

use std::path::PathBuf;

use wasm_chord::{Error, Result, Sampling, Stop};
use wasm_chord_tests::builder;
use wasm_chord_tests::gguf::{File, Value};

/// A folder of shards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, shards: &[File]) -> Self {
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let folder = Self(folder);
        for (index, shard) in shards.iter().enumerate() {
            std::fs::write(folder.shard(index + 1, shards.len()), shard.bytes().0)
                .expect("the file can be written");
        }
        folder
    }

    /// The path of shard `number`, counted from 1.
    fn shard(&self, number: usize, count: usize) -> PathBuf {
        self.0.join(format!("tiny-{number:05}-of-{count:05}.gguf"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies in a folder of the build; what is left there does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn logits(path: PathBuf) -> Result<Vec<f32>> {
    let mut session = builder().open(path)?.session(&Sampling::greedy(), &Stop::default())?;
    session.append("a b a c", false)?;
    session.logits()
}

#[test]
fn a_model_in_shards_is_the_same_model_whichever_is_named() {
    let whole = Folder::new("whole", &[File::tiny()]);
    let expected = logits(whole.shard(1, 1)).expect("the whole model runs");
    for count in [2, 3, 11] {
        let shards = Folder::new(&format!("in-{count}"), &File::tiny().split(count));
        for number in [1, count] {
            let found = logits(shards.shard(number, count));
            assert_eq!(found.expect("the model runs"), expected, "shard {number} of {count}");
        }
    }
}

#[test]
fn a_missing_shard_is_named() {
    let shards = Folder::new("missing", &File::tiny().split(3));
    let missing = shards.shard(2, 3);
    std::fs::remove_file(&missing).expect("it was there");
    let result = logits(shards.shard(1, 3));
    assert!(matches!(&result, Err(Error::Open { path, .. }) if *path == missing), "{result:?}");
}

#[test]
fn shards_that_do_not_belong_together_are_refused() {
    let refused = |name: &str, shards: &[File]| {
        let result = logits(Folder::new(name, shards).shard(1, shards.len()));
        assert!(matches!(result, Err(Error::Malformed(_) | Error::Unsupported(_))), "{name}: {result:?}");
    };
    let good = File::tiny().split(3);
    let changed = |change: &dyn Fn(&mut Vec<File>)| {
        let mut shards = good.clone();
        change(&mut shards);
        shards
    };
    refused("swapped", &changed(&|shards| shards.swap(1, 2)));
    refused("too-few", &changed(&|shards| drop(shards.pop())));
    refused("twice", &changed(&|shards| shards[2] = shards[1].clone()));
    refused("miscounted", &changed(&|shards| shards[1].set("split.count", Value::U32(4))));
    refused("too-many-tensors", &changed(&|shards| shards[0].set("split.tensors.count", Value::U32(12))));
    refused("not-split", &changed(&|shards| shards[1] = File::tiny()));
    refused("one-alone", &good[..1]);
    refused("the-wrong-one-alone", &good[1..2]);
}
