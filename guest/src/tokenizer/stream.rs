//! Text from token bytes as they arrive: whole characters only.
//!
//! A token may end in the middle of a character. [`Utf8Stream`] keeps such a beginning, at most three bytes, until the
//! bytes that complete it come. Bytes that can begin no character are replaced at once, so nothing waits for ever.

/// A streaming decoder from bytes to text.
#[derive(Debug, Clone, Default)]
pub struct Utf8Stream {
    /// The beginning of a character.
    pending: Vec<u8>,
}

impl Utf8Stream {
    /// A stream at its beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes, returns the text that they complete. Each maximal run of bytes that begins no character becomes
    /// one U+FFFD, as in [`String::from_utf8_lossy`].
    pub fn push(&mut self, bytes: &[u8]) -> String {
        if self.pending.is_empty() {
            return self.decode(bytes);
        }
        let mut joined = std::mem::take(&mut self.pending);
        joined.extend_from_slice(bytes);
        self.decode(&joined)
    }

    /// Ends the text: U+FFFD for a character that never was completed, else nothing. The stream is then at its
    /// beginning again.
    pub fn finish(&mut self) -> String {
        if std::mem::take(&mut self.pending).is_empty() { String::new() } else { '\u{fffd}'.to_string() }
    }

    fn decode(&mut self, mut bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        loop {
            let error = match std::str::from_utf8(bytes) {
                Ok(rest) => {
                    text.push_str(rest);
                    return text;
                }
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            text.push_str(std::str::from_utf8(valid).unwrap_or_default());
            let Some(invalid) = error.error_len() else {
                self.pending.extend_from_slice(rest);
                return text;
            };
            text.push('\u{fffd}');
            bytes = &rest[invalid..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes `bytes` cut at every multiple of `step`.
    fn stream(bytes: &[u8], step: usize) -> String {
        let mut stream = Utf8Stream::new();
        let mut text: String = bytes.chunks(step).map(|chunk| stream.push(chunk)).collect();
        text.push_str(&stream.finish());
        text
    }

    #[test]
    fn a_character_is_emitted_only_when_complete() {
        let mut stream = Utf8Stream::new();
        assert_eq!(stream.push(b"a\xf0\x9f"), "a");
        assert_eq!(stream.push(b"\xa6"), "");
        assert_eq!(stream.push(b"\x99b"), "🦙b");
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn an_incomplete_character_at_the_end_becomes_a_replacement() {
        let mut stream = Utf8Stream::new();
        assert_eq!(stream.push(b"x\xe2\x82"), "x");
        assert_eq!(stream.finish(), "\u{fffd}");
        assert_eq!(stream.push(b"\xac"), "\u{fffd}", "finish has forgotten the beginning");
    }

    #[test]
    fn invalid_bytes_never_stall_the_stream() {
        let mut stream = Utf8Stream::new();
        assert_eq!(stream.push(b"\xf0"), "");
        assert_eq!(stream.push(b"ok"), "\u{fffd}ok");
        assert_eq!(stream.push(b"\x80\xff!"), "\u{fffd}\u{fffd}!");
    }

    #[test]
    fn every_cut_gives_the_text_of_the_whole() {
        let bytes = b"\xc3\x84pfel \xff\xe2\x28\xa1 \xf0\x9f\xa6\x99\xed\xa0\x80 \xe2\x82\xac\xf4\x90\x80\x80\xe2\x82";
        for step in 1..=bytes.len() {
            assert_eq!(stream(bytes, step), String::from_utf8_lossy(bytes), "cut every {step} bytes");
        }
    }
}
