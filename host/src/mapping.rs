//! Files mapped into memory, read-only, and what happens when one is cut short under the map.
//!
//! Reading a page that lies past the end of a shortened file raises SIGBUS, which would kill the process without a word. A handler
//! puts zeros under the rest of the map instead and marks the mapping as damaged; whoever reads checks [`Mapping::intact`]
//! afterwards and reports it.

#![expect(unsafe_code, reason = "maps files and handles the signal that a shortened file raises")]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use memmap2::Mmap;

/// A file in memory, read-only.
pub(crate) struct Mapping {
    map: Mmap,
    modified: Option<SystemTime>,
    /// Where the signal handler looks for it; none on systems without the signal.
    #[cfg(unix)]
    guarded: guard::Guarded,
}

impl Mapping {
    /// Map all of a file.
    pub(crate) fn open(path: &Path) -> io::Result<Arc<Self>> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        // SAFETY: The map is read-only and handed out as bytes whose values nobody relies on for memory safety. If another process
        // writes to the file, readers see other numbers; if it shortens the file, the guard puts zeros there.
        let map = unsafe { Mmap::map(&file)? };
        // The file may have been cut between the two calls.
        if file.metadata()?.len() < map.len() as u64 {
            return Err(io::Error::other("it was shortened while it was opened"));
        }
        Ok(Arc::new(Self {
            #[cfg(unix)]
            guarded: guard::Guarded::new(&map)?,
            map,
            modified: metadata.modified().ok(),
        }))
    }

    /// When the file was changed last, as it was mapped.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Whether the file still covers all of the map that was read so far.
    pub(crate) fn intact(&self) -> bool {
        #[cfg(unix)]
        return self.guarded.intact();
        #[cfg(not(unix))]
        true
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

/// Tell the system that these mapped bytes will be read soon. Advice: a failure changes nothing and is ignored.
pub(crate) fn will_need(bytes: &[u8]) {
    #[cfg(unix)]
    {
        let page = guard::page_size();
        let start = bytes.as_ptr() as usize / page * page;
        let length = bytes.as_ptr() as usize + bytes.len() - start;
        // SAFETY: The range is that of live bytes, widened to whole pages; this advice changes no memory.
        unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_WILLNEED) };
    }
    #[cfg(not(unix))]
    let _ = bytes;
}

/// Bytes of main memory that this machine has, as far as the system tells.
pub(crate) fn physical_memory() -> u64 {
    #[cfg(unix)]
    {
        // SAFETY: No arguments to get wrong.
        let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
        u64::try_from(pages).map_or(u64::MAX, |pages| pages.saturating_mul(guard::page_size() as u64))
    }
    #[cfg(not(unix))]
    u64::MAX
}

#[cfg(unix)]
mod guard {
    //! The signal handler and the table it looks into. The handler may only use atomics and system calls.

    use std::io;
    use std::sync::Once;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Most files that are mapped at once.
    const SLOTS: usize = 1024;

    static TABLE: [Slot; SLOTS] = [const { Slot::free() }; SLOTS];

    /// The disposition before ours, as `sigaction` fields: handler and flags.
    static PREVIOUS: (AtomicUsize, AtomicUsize) = (AtomicUsize::new(libc::SIG_DFL), AtomicUsize::new(0));

    struct Slot {
        /// First address of the map; 0 if the slot is free, 1 while it is being filled.
        start: AtomicUsize,
        length: AtomicUsize,
        damaged: AtomicBool,
    }

    impl Slot {
        const fn free() -> Self {
            Self { start: AtomicUsize::new(0), length: AtomicUsize::new(0), damaged: AtomicBool::new(false) }
        }
    }

    /// An entry of the table for as long as the map lives.
    pub(super) struct Guarded(usize);

    impl Guarded {
        pub(super) fn new(map: &[u8]) -> io::Result<Self> {
            static INSTALL: Once = Once::new();
            INSTALL.call_once(install);
            for (index, slot) in TABLE.iter().enumerate() {
                if slot.start.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    slot.damaged.store(false, Ordering::Relaxed);
                    slot.length.store(map.len(), Ordering::Relaxed);
                    slot.start.store(map.as_ptr() as usize, Ordering::Release);
                    return Ok(Self(index));
                }
            }
            Err(io::Error::other(format!("more than {SLOTS} files are mapped")))
        }

        pub(super) fn intact(&self) -> bool {
            !TABLE[self.0].damaged.load(Ordering::Acquire)
        }
    }

    impl Drop for Guarded {
        fn drop(&mut self) {
            TABLE[self.0].start.store(0, Ordering::Release);
        }
    }

    pub(super) fn page_size() -> usize {
        // SAFETY: No arguments to get wrong.
        usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
    }

    fn install() {
        page_size();
        // SAFETY: The structures are plain data for which zero is valid; the handler keeps to atomics and system calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let mut previous: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigemptyset(&mut action.sa_mask);
            if libc::sigaction(libc::SIGBUS, &action, &mut previous) == 0 {
                PREVIOUS.0.store(previous.sa_sigaction, Ordering::Release);
                PREVIOUS.1.store(previous.sa_flags as usize, Ordering::Release);
            }
        }
    }

    extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: The system passes a valid `info` to a handler installed with SA_SIGINFO.
        let address = unsafe { (*info).si_addr() } as usize;
        for slot in &TABLE {
            let start = slot.start.load(Ordering::Acquire);
            let end = start.saturating_add(slot.length.load(Ordering::Relaxed));
            if start > 1 && (start..end).contains(&address) {
                let page = page_size();
                let first = address / page * page;
                // SAFETY: The pages from the fault to the end of this map belong to it alone and are only ever read; zeros take the
                // place of bytes that no longer exist.
                let zeros = unsafe {
                    libc::mmap(
                        first as *mut libc::c_void,
                        end.next_multiple_of(page) - first,
                        libc::PROT_READ,
                        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                        -1,
                        0,
                    )
                };
                if zeros != libc::MAP_FAILED {
                    slot.damaged.store(true, Ordering::Release);
                    return;
                }
            }
        }
        pass_on(signal, info, context);
    }

    /// Not ours: do what would have been done without this handler.
    fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let (handler, flags) = (PREVIOUS.0.load(Ordering::Acquire), PREVIOUS.1.load(Ordering::Acquire));
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            // SAFETY: Restores the default, so that the faulting instruction raises the signal again and ends the process.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        } else if flags as libc::c_int & libc::SA_SIGINFO != 0 {
            // SAFETY: The previous disposition says that this is a handler of three arguments.
            let previous: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(handler) };
            previous(signal, info, context);
        } else {
            // SAFETY: The previous disposition says that this is a handler of one argument.
            let previous: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            previous(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_cut_under_its_map_reads_as_zeros_and_is_reported() {
        let path = std::env::temp_dir().join(format!("wasm-chord-mapping-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        file.write_all(&[7; 1 << 16]).unwrap();
        let mapping = Mapping::open(&path).unwrap();
        assert_eq!((*mapping).as_ref()[60_000], 7);
        assert!(mapping.intact());

        file.set_len(4096).unwrap();
        let bytes: &[u8] = (*mapping).as_ref();
        assert_eq!((bytes[0], bytes[60_000], bytes[8192]), (7, 0, 0));
        assert!(!mapping.intact());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_directory_is_refused() {
        assert!(Mapping::open(&std::env::temp_dir()).is_err());
    }
}
