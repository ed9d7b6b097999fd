//! Packed weights, whose lines are vectors of AVX-512.
#![expect(unsafe_code, reason = "functions that need an instruction set")]

use super::super::tiles::packed::packed;
use super::avx512::Avx512;

packed!(avx512, Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");
