//! The specification: every verb, naively, in the order of its formula.
