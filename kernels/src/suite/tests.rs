use super::*;
use crate::reference::Reference;

#[test]
fn the_reference_is_like_itself() {
    run(&Reference);
}
