//! Looking values up and converting them.

use wasm_chord_gguf::{Error, Metadata, Strings, Value};

fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("text", "hello");
    metadata.insert("small", 7u8);
    metadata.insert("negative", -7i16);
    metadata.insert("large", u64::MAX);
    metadata.insert("half", 0.5f64);
    metadata.insert("yes", true);
    metadata.insert("bytes", vec![1u8, 200]);
    metadata.insert("signed", vec![1i64, -1]);
    metadata.insert("flags", vec![true, false]);
    metadata.insert("words", Strings::from_iter(["a", "b"]));
    metadata.insert("floats", vec![0.5f64]);
    metadata
}

#[test]
fn values_convert_where_they_fit() {
    let metadata = metadata();
    assert_eq!(metadata.require_string("text").unwrap(), "hello");
    assert_eq!(metadata.require_u32("small").unwrap(), 7);
    assert_eq!(metadata.require_i64("negative").unwrap(), -7);
    assert_eq!(metadata.require_u64("large").unwrap(), u64::MAX);
    assert_eq!(metadata.require_f32("half").unwrap(), 0.5);
    assert!(metadata.require_bool("yes").unwrap());
    assert_eq!(metadata.require_i32s("bytes").unwrap(), [1, 200]);
    assert_eq!(metadata.require_i32s("signed").unwrap(), [1, -1]);
    assert_eq!(metadata.require_u32s("bytes").unwrap(), [1, 200]);
    assert_eq!(metadata.require_bools("flags").unwrap(), [true, false]);
    assert_eq!(metadata.require_strings("words").unwrap().get(1), Some("b"));
    assert_eq!(metadata.require_f32s("floats").unwrap(), [0.5]);
}

#[test]
fn missing_keys_are_none_or_named() {
    let metadata = metadata();
    assert_eq!(metadata.u32("absent").unwrap(), None);
    assert_eq!(metadata.require_u32("absent").unwrap_err().to_string(), "the file has no key absent");
    assert!(matches!(metadata.require_strings("absent"), Err(Error::Missing { key }) if key == "absent"));
}

#[test]
fn values_of_another_type_are_refused_with_their_key() {
    let metadata = metadata();
    let message = |error: Error| error.to_string();
    let text = metadata.u32("text").unwrap_err();
    assert_eq!(
        message(text),
        "the key text is of type string, and an integer from 0 to 4294967295 is needed"
    );
    let negative = metadata.u32("negative").unwrap_err();
    assert_eq!(
        message(negative),
        "the key negative is -7 (i16), and an integer from 0 to 4294967295 is needed"
    );
    let large = metadata.i64("large").unwrap_err();
    assert_eq!(
        message(large),
        "the key large is 18446744073709551615 (u64), and an integer of 64 bits is needed"
    );
    let signed = metadata.u32s("signed").unwrap_err();
    assert_eq!(
        message(signed),
        "the key signed is of type array of i64, and an array of integers from 0 to 4294967295 is needed"
    );
    assert!(metadata.f32("small").is_err());
    assert!(metadata.bool("small").is_err());
    assert!(metadata.string("yes").is_err());
    assert!(metadata.strings("bytes").is_err());
    assert!(metadata.f32s("bytes").is_err());
    assert!(metadata.bools("bytes").is_err());
}

#[test]
fn keys_keep_their_order_and_insert_replaces() {
    let mut metadata = metadata();
    assert_eq!(metadata.insert("small", 8u8), Some(Value::U8(7)));
    assert_eq!(metadata.get("small"), Some(&Value::U8(8)));
    assert_eq!(metadata.len(), 11);
    assert_eq!(
        metadata.iter().take(3).map(|(key, _)| key).collect::<Vec<_>>(),
        ["text", "small", "negative"]
    );
}

#[test]
fn strings_keep_bytes_that_are_not_text() {
    let strings: Strings = [b"a".as_slice(), b"", b"\xff\xc3", "h\u{e9}".as_bytes()].into_iter().collect();
    assert_eq!(strings.iter().collect::<Vec<_>>(), [Some("a"), Some(""), None, Some("h\u{e9}")]);
    assert_eq!(strings.get_bytes(2), Some(b"\xff\xc3".as_slice()));
    assert_eq!((strings.get(2), strings.get(3), strings.get(4)), (None, Some("h\u{e9}"), None));
    assert_eq!(strings.get_bytes(4), None);
    assert_eq!((strings.len(), strings.byte_len()), (4, 6));
}
