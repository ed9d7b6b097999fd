//! Each way in which a file can be wrong is refused, with the sentence that says how.

use wasm_chord_gguf::{Header, Kind, Source};

use crate::{ARRAY, BOOL, F32, File, I32, STRING, U8, U32, U64};

/// The file is refused with this message.
#[track_caller]
fn refused(file: File, message: &str) {
    let error = Header::read(&file.0).expect_err("this file is malformed");
    assert_eq!(error.to_string(), message);
}

/// The file is read; gives the number of tensors.
#[track_caller]
fn accepted(file: File) -> Header {
    Header::read(&file.0).expect("this file is well-formed")
}

/// A file of one tensor with 64 bytes of data; everything but its row of the table is right.
fn one_tensor(dimensions: &[u64], kind: u32, offset: u64) -> File {
    File::new(1, 0).tensor("w", dimensions, kind, offset).data(32, 64)
}

const HUGE: u64 = u64::MAX;

// The beginning.

#[test]
fn other_files_are_refused() {
    refused(File(b"".to_vec()), "this is not a GGUF file: it begins with nothing instead of \"GGUF\"");
    refused(File(b"GG".to_vec()), "this is not a GGUF file: it begins with \"GG\" instead of \"GGUF\"");
    refused(File::start(*b"FUGG", 3), "this is not a GGUF file: it begins with \"FUGG\" instead of \"GGUF\"");
    refused(
        File::start(*b"PK\x03\x04", 3),
        "this is not a GGUF file: it begins with \"PK\\x03\\x04\" instead of \"GGUF\"",
    );
}

#[test]
fn other_versions_are_refused() {
    for version in [0, 1, 4, 65535, 65536 * 2 + 1, u32::MAX] {
        let message =
            format!("this is a GGUF file of version {version}; only versions 2 and 3 are supported");
        refused(File::start(*b"GGUF", version).u64(0).u64(0), &message);
    }
}

#[test]
fn big_endian_files_are_named() {
    for version in [2u32, 3] {
        let message = format!(
            "this is a big-endian GGUF file (version {version}); only little-endian files are supported"
        );
        refused(File::start(*b"GGUF", version.swap_bytes()).u64(0).u64(0), &message);
    }
}

#[test]
fn versions_2_and_3_are_read() {
    for version in [2, 3] {
        assert_eq!(accepted(File::start(*b"GGUF", version).u64(0).u64(0)).version, version);
    }
}

#[test]
fn truncated_header_is_refused() {
    refused(File(b"GGUF\x03".to_vec()), "the file ends at byte 5, inside the version (4 bytes from byte 4)");
    refused(
        File::start(*b"GGUF", 3),
        "the file ends at byte 8, inside the number of tensors (8 bytes from byte 8)",
    );
}

#[test]
fn impossible_counts_are_refused() {
    refused(
        File::new(HUGE, 0),
        "the number of tensors at byte 8 is 18446744073709551615, and the limit is 262144",
    );
    refused(
        File::new(0, HUGE),
        "the number of metadata keys at byte 16 is 18446744073709551615, and the limit is 65536",
    );
    refused(
        File::new(3, 0),
        "the file ends at byte 24, inside the length of the name of tensor 0 (8 bytes from byte 24)",
    );
    refused(
        File::new(0, 3),
        "the file ends at byte 24, inside the length of the name of metadata key 0 (8 bytes from byte 24)",
    );
}

// Metadata.

#[test]
fn bad_keys_are_refused() {
    refused(
        File::new(0, 1).u64(HUGE),
        "the length of the name of metadata key 0 at byte 24 is 18446744073709551615, and the limit is 65535",
    );
    refused(
        File::new(0, 1).string(&"k".repeat(65536)).u32(U8),
        "the length of the name of metadata key 0 at byte 24 is 65536, and the limit is 65535",
    );
    refused(
        File::new(0, 1).u64(9).bytes(b"abc"),
        "the file ends at byte 35, inside the name of metadata key 0 (9 bytes from byte 32)",
    );
    refused(File::new(0, 1).key("", U8).bytes(&[1]), "the name of metadata key 0 at byte 32 is empty");
    refused(
        File::new(0, 1).u64(2).bytes(b"\xff\xfe").u32(U8),
        "the name of metadata key 0 at byte 32 is not UTF-8 text",
    );
}

#[test]
fn duplicate_key_is_refused() {
    let file = File::new(0, 2).key("same", U8).bytes(&[1]).key("same", U8).bytes(&[1]);
    refused(file, "the key \"same\" at byte 41 was already given");
}

#[test]
fn unknown_value_types_are_refused() {
    for id in [13, 14, 255, u32::MAX] {
        refused(
            File::new(0, 1).key("k", id).u64(0),
            &format!("the value of \"k\" at byte 33 has the unknown type {id}"),
        );
        let file = File::new(0, 1).key("k", ARRAY).array(id, 1).u64(0);
        refused(file, &format!("an element of the value of \"k\" at byte 37 has the unknown type {id}"));
    }
}

#[test]
fn truncated_values_are_refused() {
    for (value_type, width) in
        [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8)]
    {
        let file = File::new(0, 1).key("k", value_type).bytes(&vec![0; width - 1]);
        let size = 36 + width;
        refused(
            file,
            &format!("the file ends at byte {size}, inside the value of \"k\" ({width} bytes from byte 37)"),
        );
    }
}

#[test]
fn strings_longer_than_the_file_are_refused() {
    refused(
        File::new(0, 1).key("k", STRING).u64(4).bytes(b"abc"),
        "the file ends at byte 48, inside the value of \"k\" (4 bytes from byte 45)",
    );
    refused(
        File::new(0, 1).key("k", STRING).u64(HUGE),
        "the file ends at byte 45, inside the value of \"k\" (18446744073709551615 bytes from byte 45)",
    );
    let file = File::new(0, 1).key("k", ARRAY).array(STRING, 2).string("a").u64(HUGE);
    refused(
        file,
        "the file ends at byte 66, inside string 1 of the value of \"k\" (18446744073709551615 bytes from byte 66)",
    );
}

#[test]
fn arrays_longer_than_the_file_are_refused() {
    for element_type in 0..=12 {
        for count in [20, 1 << 31, 1 << 60, 1 << 61, HUGE / 8 + 1, HUGE] {
            let file = File::new(0, 1).key("k", ARRAY).array(element_type, count).bytes(&[0; 16]);
            let message = Header::read(&file.0).expect_err("the array is longer than the file").to_string();
            assert!(message.starts_with("the file ends at byte 65, inside the value of \"k\""), "{message}");
        }
    }
}

#[test]
fn booleans_other_than_0_and_1_are_refused() {
    refused(
        File::new(0, 1).key("k", BOOL).bytes(&[2]),
        "the value of \"k\" at byte 37 is a boolean, but holds 2 instead of 0 or 1",
    );
    let file = File::new(0, 1).key("k", ARRAY).array(BOOL, 3).bytes(&[0, 1, 255]);
    refused(file, "the value of \"k\" at byte 51 is a boolean, but holds 255 instead of 0 or 1");
}

#[test]
fn deeply_nested_arrays_are_refused() {
    let nested =
        |depth| (1..depth).fold(File::new(0, 1).key("k", ARRAY), |file, _| file.array(ARRAY, 1)).array(U8, 0);
    accepted(nested(4));
    for depth in [5, 65, 100_000] {
        refused(nested(depth), "the value of \"k\" nests arrays more than 4 deep at byte 85");
    }
}

#[test]
fn bad_alignments_are_refused() {
    let refused_as = |file: File, found: &str| {
        refused(
            file,
            &format!("general.alignment is {found}; it must be a u32 and a power of two, at most 1048576"),
        );
    };
    for alignment in [0, 13, 33, 1 << 21, 1 << 31, u32::MAX] {
        refused_as(File::new(0, 1).key("general.alignment", U32).u32(alignment), &alignment.to_string());
    }
    refused_as(File::new(0, 1).key("general.alignment", I32).u32(32), "of type i32");
    refused_as(File::new(0, 1).key("general.alignment", U64).u64(32), "of type u64");
    refused_as(File::new(0, 1).key("general.alignment", STRING).string("32"), "of type string");
    refused_as(File::new(0, 1).key("general.alignment", ARRAY).array(U32, 1).u32(32), "of type array of u32");
    let with_tensor =
        File::new(1, 1).key("general.alignment", U32).u32(13).tensor("w", &[8], 0, 0).data(13, 32);
    refused_as(with_tensor, "13");
}

/// A file that goes on with zeros, larger than any memory.
struct Endless(File);

impl Source for Endless {
    fn size(&self) -> u64 {
        1 << 50
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), String> {
        let written = (self.0).0.iter().skip(offset as usize).copied().chain(std::iter::repeat(0));
        out.iter_mut().zip(written).for_each(|(out, byte)| *out = byte);
        Ok(())
    }
}

#[test]
fn metadata_larger_than_the_memory_for_it_is_refused() {
    for (element_type, field) in [(U8, "value"), (F32, "value"), (STRING, "value"), (ARRAY, "value")] {
        let file = Endless(File::new(0, 1).key("k", ARRAY).array(element_type, 1 << 40));
        let message = Header::read(&file).expect_err("the array is too large").to_string();
        let expected = format!(
            "the metadata up to the {field} of \"k\" at byte 49 takes more than 268435456 bytes of memory"
        );
        assert_eq!(message, expected);
    }
    let file = Endless(File::new(0, 1).key("k", STRING).u64(1 << 40));
    let message = Header::read(&file).expect_err("the string is too large").to_string();
    assert!(message.starts_with("the metadata up to the value of \"k\" at byte 45 takes"), "{message}");
}

// Tensors.

#[test]
fn bad_tensor_names_are_refused() {
    refused(
        File::new(1, 0).u64(HUGE),
        "the length of the name of tensor 0 at byte 24 is 18446744073709551615, and the limit is 64",
    );
    refused(
        File::new(1, 0).tensor(&"n".repeat(65), &[8], 0, 0).data(32, 32),
        "the length of the name of tensor 0 at byte 24 is 65, and the limit is 64",
    );
    refused(File::new(1, 0).tensor("", &[8], 0, 0).data(32, 32), "the name of tensor 0 at byte 32 is empty");
    refused(
        File::new(1, 0).u64(2).bytes(b"\xc3\x28").u64(0),
        "the name of tensor 0 at byte 32 is not UTF-8 text",
    );
    refused(
        File::new(1, 0).u64(20).bytes(b"abc"),
        "the file ends at byte 35, inside the name of tensor 0 (20 bytes from byte 32)",
    );
    accepted(File::new(1, 0).tensor(&"n".repeat(64), &[8], 0, 0).data(32, 32));
}

#[test]
fn impossible_numbers_of_dimensions_are_refused() {
    for count in [0, 5, u32::MAX] {
        let file = File::new(1, 0).string("w").u32(count).bytes(&[1; 64]);
        refused(file, &format!("the tensor \"w\" has {count} dimensions at byte 33; 1 to 4 are possible"));
    }
}

#[test]
fn zero_dimensions_are_refused() {
    refused(one_tensor(&[0], 0, 0), "dimension 0 of the tensor \"w\" is zero");
    refused(one_tensor(&[8, 0], 0, 0), "dimension 1 of the tensor \"w\" is zero");
    refused(one_tensor(&[HUGE, HUGE, HUGE, 0], 0, 0), "dimension 3 of the tensor \"w\" is zero");
}

#[test]
fn shapes_that_overflow_are_refused() {
    let too_large: [&[u64]; 7] = [
        &[HUGE, HUGE],                       // as negative numbers: -1, -1
        &[1 << 62, 1 << 62],                 // elements overflow to zero
        &[4 * 0x7fff_ffff, 4 * 0x7fff_ffff], // elements fit, bytes do not
        &[1 << 62],                          // bytes overflow to zero
        &[(1 << 62) + 8],                    // bytes overflow to 32, which is there
        &[1 << 16, 1 << 16, 1 << 16, 1 << 16],
        &[HUGE],
    ];
    for dimensions in too_large {
        let message = format!("the tensor \"w\" of shape {dimensions:?} is larger than any file can be");
        refused(one_tensor(dimensions, 0, 0), &message);
    }
    // Elements overflow where bytes would not: half a byte and less for each.
    refused(
        one_tensor(&[1 << 32, 1 << 32], Kind::Q4_0.id(), 0),
        "the tensor \"w\" of shape [4294967296, 4294967296] is larger than any file can be",
    );
    // I64, 1.01 times the square root of what 64 bits can address.
    let message = "the tensor \"w\" of shape [1533713910, 1533713910] is larger than any file can be";
    refused(one_tensor(&[1_533_713_910, 1_533_713_910], Kind::I64.id(), 0), message);
}

#[test]
fn shapes_larger_than_the_file_are_refused() {
    for columns in [17, (1 << 42) + 1, i64::MAX as u64 / 4] {
        let message = format!(
            "the tensor \"w\" needs {} bytes from 0 of the data section, past the end of the file at byte 128 (the data section begins at byte 64)",
            4 * columns
        );
        refused(one_tensor(&[columns], 0, 0), &message);
    }
    // Sizes that would wrap to zero when padded.
    let message = "the tensor \"w\" needs 18446744073709551612 bytes from 0 of the data section, past the end of the file at byte 128 (the data section begins at byte 64)";
    refused(one_tensor(&[HUGE - 3], Kind::I8.id(), 0), message);
    let half = 0x7fff_ffff_ffff_ffc0;
    let both =
        File::new(2, 0).tensor("a", &[half], Kind::I8.id(), 0).tensor("b", &[half], Kind::I8.id(), half);
    let message = "the tensor \"a\" needs 9223372036854775744 bytes from 0 of the data section, past the end of the file at byte 128 (the data section begins at byte 96)";
    refused(both.data(32, 32), message);
}

#[test]
fn rows_of_broken_blocks_are_refused() {
    let message = "the rows of the tensor \"w\" have 33 elements, not a multiple of the 32 of a Q4_0 block";
    refused(one_tensor(&[33], Kind::Q4_0.id(), 0), message);
    // A multiple in total is not enough.
    let message = "the rows of the tensor \"w\" have 16 elements, not a multiple of the 32 of a Q8_0 block";
    refused(one_tensor(&[16, 2], Kind::Q8_0.id(), 0), message);
    for &kind in Kind::ALL.iter().filter(|kind| kind.block_elements() > 1) {
        let file = one_tensor(&[kind.block_elements() - 1], kind.id(), 0);
        let message = Header::read(&file.0).expect_err("the block is broken").to_string();
        assert!(message.ends_with(&format!("of a {kind} block")), "{message}");
    }
}

#[test]
fn unknown_tensor_types_are_refused() {
    for id in [43, 99, 142, 1 << 31, u32::MAX] {
        refused(one_tensor(&[8], id, 0), &format!("the tensor \"w\" has the unknown type {id} at byte 45"));
    }
}

#[test]
fn withdrawn_tensor_types_are_named() {
    for (id, name) in
        [(4, "Q4_2 or Q4_3"), (5, "Q4_2 or Q4_3"), (31, "a repacked Q4_0"), (36, "a repacked IQ4_NL")]
    {
        let message =
            Header::read(&one_tensor(&[32], id, 0).0).expect_err("the type is withdrawn").to_string();
        assert!(
            message.starts_with(&format!("the tensor \"w\" has the unknown type {id} at byte 45 ({name}")),
            "{message}"
        );
    }
}

#[test]
fn unaligned_data_is_refused() {
    for offset in [1, 16, 31, 33, HUGE] {
        let message = format!(
            "the data of the tensor \"w\" begins at {offset} of the data section, not a multiple of 32"
        );
        refused(one_tensor(&[8], 0, offset), &message);
    }
    // Laid out for an alignment of 8, without saying so.
    let file = File::new(2, 0).tensor("a", &[2], 0, 0).tensor("b", &[2], 0, 8).data(32, 64);
    refused(file, "the data of the tensor \"b\" begins at 8 of the data section, not a multiple of 32");
}

#[test]
fn data_past_the_end_is_refused() {
    for offset in [64, 96, 1 << 40, HUGE - 31] {
        let message = format!(
            "the tensor \"w\" needs 32 bytes from {offset} of the data section, past the end of the file at byte 128 (the data section begins at byte 64)"
        );
        refused(one_tensor(&[8], 0, offset), &message);
    }
    let mut cut = one_tensor(&[16], 0, 0);
    cut.0.pop();
    let message = "the tensor \"w\" needs 64 bytes from 0 of the data section, past the end of the file at byte 127 (the data section begins at byte 64)";
    refused(cut, message);
    let no_data = File::new(1, 0).tensor("w", &[8], 0, 0);
    let message = "the tensor \"w\" needs 32 bytes from 0 of the data section, past the end of the file at byte 57 (the data section begins at byte 64)";
    refused(no_data, message);
}

#[test]
fn duplicate_tensor_is_refused() {
    let file = File::new(3, 0).tensor("w", &[8], 0, 0).tensor("v", &[8], 0, 32).tensor("w", &[8], 0, 64);
    refused(file.data(32, 96), "the tensor \"w\" appears twice");
}

#[test]
fn overlapping_data_is_refused() {
    let same = File::new(2, 0).tensor("a", &[8], 0, 0).tensor("b", &[8], 0, 0).data(32, 64);
    let message = Header::read(&same.0).expect_err("both are in one place").to_string();
    assert!(message.ends_with("overlaps at byte 96"), "{message}");
    let partly = File::new(2, 0).tensor("late", &[8], 0, 32).tensor("early", &[9], 0, 0).data(32, 64);
    refused(partly, "the data of the tensors \"early\" and \"late\" overlaps at byte 160");
}

#[test]
fn names_in_messages_are_escaped_and_short() {
    let file = File::new(0, 1).key("\u{1b}[31m\n", 13);
    refused(file, "the value of \"\\u{1b}[31m\\n\" at byte 38 has the unknown type 13");
    let file = File::new(0, 1).key(&"k".repeat(60_000), 13);
    refused(file, &format!("the value of \"{}\"... at byte 60032 has the unknown type 13", "k".repeat(96)));
}

// Unusual and right.

#[test]
fn empty_file_is_read() {
    let header = accepted(File::new(0, 0));
    assert_eq!(
        (header.metadata.len(), header.tensors.len(), header.alignment, header.data_start),
        (0, 0, 32, 32)
    );
}

#[test]
fn other_alignments_are_read() {
    for alignment in [1, 8, 64, 4096, 1 << 20] {
        let file = File::new(2, 1).key("general.alignment", U32).u32(alignment);
        let offset = u64::from(alignment).next_multiple_of(32);
        let file = file
            .tensor("a", &[8], 0, 0)
            .tensor("b", &[8], 0, offset)
            .data(alignment as usize, offset as usize + 32);
        let header = accepted(file);
        assert_eq!(header.alignment, u64::from(alignment));
        assert_eq!(header.data_start % header.alignment, 0);
        assert_eq!(header.tensors[1].offset, header.data_start + offset);
    }
}

#[test]
fn trailing_bytes_gaps_and_disorder_are_fine() {
    let file = File::new(2, 0).tensor("late", &[8], 0, 64).tensor("early", &[8], 0, 0).data(32, 96);
    let header = accepted(file.bytes(b"and something behind"));
    assert_eq!(header.tensors[0].offset, header.data_start + 64);
    assert_eq!(header.tensor("early").unwrap().offset, header.data_start);
}

#[test]
fn padding_after_the_last_tensor_may_be_missing() {
    let file = File::new(1, 0).tensor("w", &[3], 0, 0).data(32, 12);
    assert_eq!(accepted(file).tensors[0].size, 12);
}
