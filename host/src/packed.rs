//! A packed copy of a model's matrices, in a file beside the model: written once, mapped ever after.
//!
//! The file says of which model files it was made: by their length and time of change, which are looked at first, and by a digest of all
//! their bytes, which decides if the time is another. In little-endian order it has
//!
//! - `wcpack` and two zeros, the [version](packed::VERSION) of the order as u32, the number of model files as u32;
//! - for each of these its length and nanoseconds of change since 1970 as u64, and the SHA-256 digest of its bytes;
//! - the number of matrices as u64;
//! - for each of these its address in the model, the number of its format, rows, columns, and where it begins in this file, as u64;
//! - the packed matrices, each at a multiple of [`ALIGNMENT`].
//!
//! It is as little trusted as a model file: all that its numbers can do is to name other bytes of it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use wasm_chord_kernels::{Bytes, Format, Weight, packed};

use crate::mapping::Mapping;

const MAGIC: [u8; 8] = *b"wcpack\0\0";

/// Packed matrices begin at multiples of this: lines are not split, and no matrix shares a page with another.
const ALIGNMENT: u64 = 4096;

/// A mapped file of packed matrices.
pub(crate) struct Packed {
    mapping: Arc<Mapping>,
    bytes: Bytes,
    /// By their addresses in the model.
    matrices: HashMap<u64, Matrix>,
}

/// A matrix and where its packed copy begins.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Matrix {
    format: Format,
    rows: usize,
    columns: usize,
    offset: u64,
}

impl Packed {
    /// Map the packed matrices of the model in these files, if there are some and they were made of these very bytes.
    ///
    /// # Errors
    /// What the system says of a file that is there.
    pub(crate) fn open(path: &Path, model: &[Arc<Mapping>]) -> io::Result<Option<Self>> {
        let mapping = match Mapping::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            mapping => mapping?,
        };
        let bytes: &[u8] = (*mapping).as_ref();
        let Some(Header { files, matrices }) = Header::read(bytes) else { return Ok(None) };
        let now: Vec<_> = model.iter().map(|mapping| Stamp::of(mapping)).collect();
        if files.iter().map(|(stamp, _)| stamp).ne(&now) {
            let same_lengths =
                files.iter().map(|(stamp, _)| stamp.length).eq(now.iter().map(|now| now.length));
            if !same_lengths || files.iter().zip(model).any(|((_, then), file)| *then != digest(file)) {
                return Ok(None);
            }
            // The same bytes with another time, as in a copy: no need to read them all again next time.
            if let Err(error) = write_stamps(path, &now) {
                tracing::debug!("the times in {} stay as they are: {error}", path.display());
            }
        }
        Ok(Some(Self { bytes: Bytes::new(mapping.clone()), mapping, matrices }))
    }

    /// Write the packed copies of `matrices`, those of them that can be packed, with their addresses in the model.
    ///
    /// # Errors
    /// What the system says. There is no new file then, and an old one stays.
    pub(crate) fn write(path: &Path, model: &[Arc<Mapping>], matrices: &[(u64, &Weight)]) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (process, number) = (std::process::id(), WRITERS.fetch_add(1, Ordering::Relaxed));
        let unfinished = path.with_file_name(format!(".{name}.{process}.{number}"));
        let written = File::create(&unfinished)
            .and_then(|file| write_all(BufWriter::with_capacity(1 << 20, file), model, matrices))
            .and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            // Nothing to be done about a file that cannot be removed either.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// The packed copy of the matrix at this address of the model.
    pub(crate) fn find(&self, address: u64, format: Format, rows: usize, columns: usize) -> Option<Bytes> {
        let matrix = self.matrices.get(&address)?;
        if (matrix.format, matrix.rows, matrix.columns) != (format, rows, columns) {
            return None;
        }
        let size = packed::size(format, rows, columns)?;
        self.bytes.slice(usize::try_from(matrix.offset).ok()?, size)
    }

    /// Whether the file still covers what was read of it.
    pub(crate) fn intact(&self) -> bool {
        self.mapping.intact()
    }
}

/// How many files this process began to write, so that each has a name of its own until it is finished.
static WRITERS: AtomicUsize = AtomicUsize::new(0);

/// What changes when a file does, most of the time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    /// Nanoseconds since 1970; 0 if the system does not say.
    modified: u64,
}

impl Stamp {
    fn of(mapping: &Mapping) -> Self {
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok();
        let nanoseconds = mapping.modified().and_then(since).map_or(0, |time| time.as_nanos() as u64);
        Self { length: mapping.as_ref().len() as u64, modified: nanoseconds }
    }
}

type Sha = [u8; 32];

fn digest(file: &Mapping) -> Sha {
    Sha256::digest(file.as_ref()).into()
}

/// Bytes in front of the stamps.
const STAMPS: usize = MAGIC.len() + 4 + 4;

/// Bytes of a stamp and a digest.
const STAMP: usize = 8 + 8 + size_of::<Sha>();

/// Bytes that name a matrix.
const MATRIX: usize = 5 * 8;

/// What stands in front of the packed matrices.
struct Header {
    /// The model's files as they were.
    files: Vec<(Stamp, Sha)>,
    /// By their addresses in the model.
    matrices: HashMap<u64, Matrix>,
}

impl Header {
    /// None if the file is something else, was not written to its end, or has another order.
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let length = bytes.len() as u64;
        if take(&mut bytes)? != MAGIC || take(&mut bytes)? != packed::VERSION.to_le_bytes() {
            return None;
        }
        let mut files = Vec::new();
        for _ in 0..u32::from_le_bytes(take(&mut bytes)?) {
            let stamp = Stamp { length: number(&mut bytes)?, modified: number(&mut bytes)? };
            files.push((stamp, take(&mut bytes)?));
        }
        let mut matrices = HashMap::new();
        for _ in 0..number(&mut bytes)? {
            let address = number(&mut bytes)?;
            let format = *Format::ALL.get(usize::try_from(number(&mut bytes)?).ok()?)?;
            let rows = usize::try_from(number(&mut bytes)?).ok()?;
            let columns = usize::try_from(number(&mut bytes)?).ok()?;
            let offset = number(&mut bytes)?;
            let end = offset.checked_add(packed::size(format, rows, columns)? as u64)?;
            if end > length || !offset.is_multiple_of(ALIGNMENT) {
                return None;
            }
            matrices.insert(address, Matrix { format, rows, columns, offset });
        }
        Some(Self { files, matrices })
    }
}

/// The next bytes, if there are as many.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

fn write_stamps(path: &Path, stamps: &[Stamp]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    for (index, stamp) in stamps.iter().enumerate() {
        file.seek(SeekFrom::Start((STAMPS + index * STAMP + 8) as u64))?;
        file.write_all(&stamp.modified.to_le_bytes())?;
    }
    Ok(())
}

fn write_all(
    mut file: BufWriter<File>,
    model: &[Arc<Mapping>],
    matrices: &[(u64, &Weight)],
) -> io::Result<()> {
    file.write_all(&MAGIC)?;
    file.write_all(&packed::VERSION.to_le_bytes())?;
    file.write_all(&(model.len() as u32).to_le_bytes())?;
    for mapping in model {
        let Stamp { length, modified } = Stamp::of(mapping);
        file.write_all(&length.to_le_bytes())?;
        file.write_all(&modified.to_le_bytes())?;
        file.write_all(&digest(mapping))?;
    }

    let size = |weight: &Weight| packed::size(weight.format(), weight.rows(), weight.columns());
    let mut matrices: Vec<(u64, &Weight, usize)> =
        matrices.iter().filter_map(|&(address, weight)| Some((address, weight, size(weight)?))).collect();
    // Those of strangers may overlap: of all matrices that share bytes one is packed, so that the file grows no larger than the model.
    matrices.sort_by_key(|&(address, ..)| address);
    let mut free = 0;
    matrices.retain(|&(address, weight, _)| {
        let apart = address >= free;
        if apart {
            free = address + weight.bytes().len() as u64;
        }
        apart
    });
    file.write_all(&(matrices.len() as u64).to_le_bytes())?;
    let mut end = (STAMPS + model.len() * STAMP + 8 + matrices.len() * MATRIX) as u64;
    for &(address, weight, size) in &matrices {
        let format = Format::ALL.iter().position(|&format| format == weight.format());
        let format = format.expect("one of all formats") as u64;
        let offset = end.next_multiple_of(ALIGNMENT);
        for number in [address, format, weight.rows() as u64, weight.columns() as u64, offset] {
            file.write_all(&number.to_le_bytes())?;
        }
        end = offset + size as u64;
    }

    let mut group = Vec::new();
    for &(_, weight, size) in &matrices {
        let here = file.stream_position()?;
        io::copy(&mut io::repeat(0).take(here.next_multiple_of(ALIGNMENT) - here), &mut file)?;
        let groups = weight.rows() / packed::ROWS;
        group.resize(size / groups, 0);
        for rows in weight.bytes().chunks_exact(weight.bytes().len() / groups) {
            packed::pack(weight.format(), weight.columns(), rows, &mut group);
            file.write_all(&group)?;
        }
    }
    file.into_inner()?.sync_all()
}
