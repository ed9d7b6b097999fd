//! Tests of the whole device.

use super::*;
use crate::suite;

fn device(threads: usize, isa: Isa, fuse: bool) -> Cpu {
    Cpu::with(NonZeroUsize::new(threads).unwrap(), isa, fuse)
}

fn every_isa() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

#[test]
fn every_instruction_set_is_like_the_reference() {
    for isa in every_isa() {
        suite::run(&device(2, isa, true));
    }
}

#[test]
fn any_number_of_threads_is_like_the_reference() {
    for threads in [1, 3, 8] {
        suite::run(&device(threads, isa::detect(), true));
    }
}

#[test]
fn verbs_apart_are_like_the_reference() {
    suite::run(&device(2, isa::detect(), false));
}
