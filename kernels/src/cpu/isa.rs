//! Which instruction set the CPU kernels use: found out once, at run time, and logged.
//!
//! `WASM_CHORD_ISA` forces a lower one than the machine has: `portable`, on x86-64 also `avx2`, `avxvnni`, `avx512`, `amx`, on aarch64 `neon`,
//! `dotprod`, on WebAssembly `simd128`. A name that is unknown, or above what the machine has, is warned about and otherwise ignored.

use std::fmt;
use std::sync::OnceLock;

/// A tier of instructions, faster than those of the same architecture before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isa {
    /// Plain Rust, on every target.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// The same with AVX-VNNI.
    AvxVnni,
    /// x86-64 with AVX2, FMA, F16C and AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
    /// The same with AMX for bytes, where Linux lets the process use it.
    Amx,
    /// aarch64, all of which has NEON.
    Neon,
    /// The same with the dot products of bytes.
    DotProd,
    /// WebAssembly with simd128. Engines that lack it refuse the whole module, so it is chosen as the program is compiled.
    Simd128,
}

impl Isa {
    /// All tiers, lowest first.
    pub(crate) const ALL: [Isa; 8] = [
        Self::Portable,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Amx,
        Self::Neon,
        Self::DotProd,
        Self::Simd128,
    ];

    /// Whether this machine has it.
    pub(crate) fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => Self::Avx512.is_available() && amx::is_available(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Self::DotProd => std::arch::is_aarch64_feature_detected!("dotprod"),
            Self::Simd128 => cfg!(all(target_arch = "wasm32", target_feature = "simd128")),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::AvxVnni | Self::Avx512 => false,
            #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
            Self::Amx => false,
            #[cfg(not(target_arch = "aarch64"))]
            Self::Neon | Self::DotProd => false,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
            Self::Neon => "neon",
            Self::DotProd => "dotprod",
            Self::Simd128 => "simd128",
        })
    }
}

/// The instruction set of this process: the same at every call.
pub(crate) fn detect() -> Isa {
    static CHOSEN: OnceLock<Isa> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let isa = choose(std::env::var("WASM_CHORD_ISA").ok().as_deref());
        tracing::debug!(%isa, "chose the instruction set of the CPU kernels");
        isa
    })
}

/// The best tier there is, or the one that `wanted` names if it is there.
fn choose(wanted: Option<&str>) -> Isa {
    let available = || Isa::ALL.into_iter().filter(|isa| isa.is_available());
    let best = available().max().unwrap_or(Isa::Portable);
    let Some(wanted) = wanted else { return best };
    available().find(|isa| isa.to_string() == wanted).unwrap_or_else(|| {
        tracing::warn!(wanted, using = %best, "WASM_CHORD_ISA names no instruction set of this machine");
        best
    })
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    #![expect(unsafe_code, reason = "the system is asked for the tile registers")]

    use std::arch::x86_64::__cpuid_count;

    /// Whether the machine has tiles of bytes, and Linux gives them to this process. Their 8 KiB are part of what it saves of a thread,
    /// so a process must ask for them once.
    pub(super) fn is_available() -> bool {
        /// Bits of `edx` of leaf 7: tiles, and products of bytes.
        const TILES: u32 = 1 << 24 | 1 << 25;
        const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
        /// The number of that part of a thread's state.
        const XFEATURE_XTILEDATA: libc::c_ulong = 18;
        if __cpuid_count(7, 0).edx & TILES != TILES {
            return false;
        }
        // SAFETY: the call takes numbers only, and changes nothing but what the process may use.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portable_can_always_be_forced() {
        assert_eq!(choose(Some("portable")), Isa::Portable);
    }

    #[test]
    fn unknown_name_is_ignored() {
        assert_eq!(choose(Some("mmx")), choose(None));
    }
}
