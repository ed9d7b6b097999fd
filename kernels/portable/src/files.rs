//! The interface `files`, and the files of a model side by side: in WASI's file system, or in the memory of whoever provided them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use wasm_chord_kernels::{Bytes, Source};
use wasm_chord_space::Space;

use crate::bindings::exports::wasm_chord::inference::files::Guest;
use crate::far::{Far, Stored};
use crate::{Component, PORTABLE};

/// The files of one model.
pub(crate) type Files = Space<Storage>;

/// Where the bytes of a region are.
pub(crate) enum Storage {
    /// In memory.
    Provided(Bytes),
    /// In a file.
    Opened(Arc<OpenFile>),
    /// Nowhere, for this reason.
    Missing(String),
}

impl Guest for Component {
    fn open(path: String) -> Result<(), String> {
        let files = Space::open(Path::new(&path), open)?;
        PORTABLE.with(|portable| *portable.files.borrow_mut() = Some(Rc::new(files)));
        Ok(())
    }

    fn provide(name: String, bytes: Vec<u8>) {
        let size = bytes.len() as u64;
        let files = Space::new(name, size, Storage::Provided(Bytes::new(Arc::new(bytes))));
        PORTABLE.with(|portable| *portable.files.borrow_mut() = Some(Rc::new(files)));
    }
}

/// The model to be loaded next: what was opened or provided last, else the file that `WASM_CHORD_MODEL` names.
pub(crate) fn current() -> Rc<Files> {
    PORTABLE.with(|portable| {
        portable
            .files
            .borrow_mut()
            .get_or_insert_with(|| Rc::new(from_environment().unwrap_or_else(missing)))
            .clone()
    })
}

fn from_environment() -> Result<Files, String> {
    let path = std::env::var_os("WASM_CHORD_MODEL")
        .ok_or("there is no model: the interface files can name one, or the variable WASM_CHORD_MODEL")?;
    Space::open(Path::new(&path), open)
}

/// A model that cannot be read. Some size makes the guest try and hear why.
fn missing(why: String) -> Files {
    Space::new("nothing".into(), 1 << 16, Storage::Missing(why))
}

fn open(path: &Path) -> Result<(u64, Storage), String> {
    let name = path.display().to_string();
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|error| format!("{name} cannot be opened: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("{name} cannot be opened: it is not a file"));
    }
    let far = PORTABLE.with(|portable| portable.far.clone())?;
    Ok((metadata.len(), Storage::Opened(Arc::new(OpenFile { name, file, far, ranges: Mutex::default() }))))
}

/// A file that parts are read of. What is read a second time goes to the far memory, if there is one with room for it: it is weights
/// that are needed in every step, and did not stay.
pub(crate) struct OpenFile {
    name: String,
    file: File,
    far: Option<Arc<Far>>,
    /// What was read, by offset and length, and where it is in the far memory.
    ranges: Mutex<HashMap<(u64, usize), Option<Stored>>>,
}

impl Source for OpenFile {
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), String> {
        let Some(far) = &self.far else { return self.read_file(offset, out) };
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        match ranges.entry((offset, out.len())) {
            Entry::Vacant(range) => {
                range.insert(None);
                self.read_file(offset, out)
            }
            Entry::Occupied(mut range) => match range.get_mut() {
                Some(stored) => {
                    stored.load(out);
                    Ok(())
                }
                stored => {
                    self.read_file(offset, out)?;
                    *stored = far.store(out);
                    Ok(())
                }
            },
        }
    }
}

impl OpenFile {
    fn read_file(&self, offset: u64, out: &mut [u8]) -> Result<(), String> {
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(out));
        read.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => format!("the file {} was shortened while it was in use", self.name),
            _ => format!("the file {} cannot be read: {error}", self.name),
        })
    }
}
