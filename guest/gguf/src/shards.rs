//! Models that are split over several files, `model-00001-of-00003.gguf` and so on.
//!
//! Each file is a whole GGUF file with some of the tensors; `split.no`, `split.count` and `split.tensors.count` say how
//! they belong together, and the first file carries the model's metadata.

use std::path::{Path, PathBuf};

use crate::header::{find_by_name, sort_by_name};
use crate::reader::Source;
use crate::{Error, Header, Metadata, Result, TensorInfo, limits};

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// A model of one or several files, as one.
#[derive(Debug, Clone)]
pub struct Shards {
    /// The metadata of the first file.
    pub metadata: Metadata,
    /// Every tensor with the file that holds it (its place in the list that was given) and its offset in that file.
    pub tensors: Vec<(usize, TensorInfo)>,
    /// Number of files.
    pub count: usize,
    /// Positions in `tensors`, sorted by name.
    by_name: Vec<usize>,
}

impl Shards {
    /// Reads the files of a model, in order; a single file that is not split is fine.
    ///
    /// # Errors
    /// [`Error::Shard`] for what is wrong with one file; [`Error::ShardMissing`], [`Error::ShardOrder`],
    /// [`Error::ShardMismatch`], [`Error::ShardTensors`] or [`Error::DuplicateTensor`] where the files do not make a
    /// model together; [`Error::NoShard`] for none.
    pub fn read(sources: &[&dyn Source]) -> Result<Self> {
        if let [single] = sources {
            return Self::merge(vec![Header::read(*single)?]);
        }
        let read = |(shard, source): (usize, &&dyn Source)| {
            Header::read(*source).map_err(|cause| in_shard(shard, cause))
        };
        Self::merge(sources.iter().enumerate().map(read).collect::<Result<_>>()?)
    }

    /// Joins the headers of the files of a model, in order.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub fn merge(headers: Vec<Header>) -> Result<Self> {
        let declared = check(&headers)?;
        let count = headers.len();
        let mut metadata = Metadata::new();
        let mut tensors = Vec::new();
        for (shard, header) in headers.into_iter().enumerate() {
            if shard == 0 {
                metadata = header.metadata;
            }
            tensors.extend(header.tensors.into_iter().map(|tensor| (shard, tensor)));
            if tensors.len() as u64 > limits::TENSORS {
                let (field, value) = ("the number of tensors of all files".to_owned(), tensors.len() as u64);
                return Err(in_shard(
                    shard,
                    Error::Limit { offset: None, field, value, limit: limits::TENSORS },
                ));
            }
        }
        let found = tensors.len() as u64;
        if let Some(declared) = declared.filter(|&declared| declared != found) {
            return Err(Error::ShardTensors { declared, found });
        }
        let by_name = sort_by_name(tensors.iter().map(|(_, tensor)| tensor))?;
        Ok(Self { metadata, tensors, count, by_name })
    }

    /// The tensor of this name, and the file that holds it.
    pub fn tensor(&self, name: &str) -> Option<(usize, &TensorInfo)> {
        let name_at = |position| {
            self.tensors.get(position).map(|(_, tensor): &(usize, TensorInfo)| tensor.name.as_str())
        };
        let (shard, tensor) = self.tensors.get(find_by_name(&self.by_name, name, name_at)?)?;
        Some((*shard, tensor))
    }
}

/// The paths of all files of a split model, in order, from the path of any of them: `model-00002-of-00003.gguf` is the
/// second of three. `None` where the name does not follow that pattern, or its numbers make no sense.
pub fn split_paths(path: impl AsRef<Path>) -> Option<Vec<PathBuf>> {
    let path = path.as_ref();
    let rest = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let (rest, count) = rest.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let (number, count) = (five_digits(number)?, five_digits(count)?);
    (1..=count).contains(&number).then(|| {
        let name = |number| path.with_file_name(format!("{stem}-{number:05}-of-{count:05}.gguf"));
        (1..=count).map(name).collect()
    })
}

fn five_digits(text: &str) -> Option<u32> {
    (text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Checks that these files, in this order, are one whole model; returns the number of tensors they declare.
fn check(headers: &[Header]) -> Result<Option<u64>> {
    let first = headers.first().ok_or(Error::NoShard)?;
    let alone = headers.len() == 1;
    let value = |index: usize, key| {
        let value = headers.get(index).map_or(Ok(None), |header| header.metadata.u64(key));
        value.map_err(|cause| if alone { cause } else { in_shard(index, cause) })
    };
    let count = match value(0, COUNT)? {
        // Writers leave 0 or 1 in files that are not split.
        None | Some(0 | 1) if alone => return Ok(None),
        Some(count) => count,
        None => return Err(mismatch(0, COUNT, None, headers.len().to_string())),
    };
    let mut numbers = Vec::with_capacity(headers.len());
    for index in 0..headers.len() {
        let (own_count, number) = (value(index, COUNT)?, value(index, NUMBER)?);
        if own_count != Some(count) {
            return Err(mismatch(index, COUNT, own_count, count.to_string()));
        }
        match number {
            Some(number) if number < count => numbers.push(number),
            _ => return Err(mismatch(index, NUMBER, number, format!("a number below {count}"))),
        }
        let (tensors, expected) = (value(index, TENSORS)?, first.metadata.u64(TENSORS)?);
        if let (Some(found), Some(expected)) = (tensors, expected)
            && found != expected
        {
            return Err(mismatch(index, TENSORS, tensors, expected.to_string()));
        }
    }
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    if let Some(missing) = (0..count).find(|number| sorted.binary_search(number).is_err()) {
        return Err(Error::ShardMissing { missing, count });
    }
    match numbers.iter().enumerate().find(|&(index, &number)| number != index as u64) {
        Some((index, &number)) => Err(Error::ShardOrder { index, number }),
        None => value(0, TENSORS),
    }
}

fn mismatch(index: usize, key: &'static str, found: Option<u64>, expected: String) -> Error {
    let found = found.map_or("nothing".to_owned(), |found| found.to_string());
    Error::ShardMismatch { index, key, found, expected }
}

fn in_shard(shard: usize, cause: Error) -> Error {
    Error::Shard { shard, cause: Box::new(cause) }
}
