//! The contract as Rust, generated from `wit/`: what a guest and its files offer to a program.

wit_bindgen::generate!({
    path: "../wit",
    world: "program",
});
