use super::nearness::{Nearness, same_bits};
use super::*;
use crate::reference::Reference;

#[test]
fn the_reference_is_like_itself() {
    run(&Reference);
}

#[test]
fn cases_have_names_of_their_own() {
    let mut names: Vec<_> = cases().iter().map(|case| &case.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn one_wrong_element_among_many_is_noticed() {
    let right = vec![data::random(1, 1000); 100];
    let mut wrong = right.clone();
    wrong[99][999] += 0.5;
    Nearness::matmul(crate::Format::Q4_0).check(&right, &right).unwrap();
    assert!(Nearness::matmul(crate::Format::Q4_0).check(&wrong, &right).is_err());
}

#[test]
fn a_small_error_everywhere_is_noticed() {
    let right = vec![data::random(1, 100)];
    let wrong = vec![right[0].iter().map(|x| x * 1.0001).collect()];
    assert!(Nearness::F32.check(&wrong, &right).is_err());
}

#[test]
fn numbers_that_are_not_numbers_are_never_near() {
    let wrong = vec![vec![1.0, f32::NAN]];
    assert!(Nearness::matmul(crate::Format::Q4_0).check(&wrong, &[vec![1.0, 1.0]]).is_err());
    assert!(Nearness::EXACT.check(&[], &[vec![1.0]]).is_err());
}

#[test]
fn bits_tell_zeros_apart() {
    same_bits("zero", &[vec![0.0]], &[vec![0.0]]).unwrap();
    assert!(same_bits("zero", &[vec![0.0]], &[vec![-0.0]]).is_err());
}
