//! What may be shown of an answer: whole characters only, and nothing that may become a stop text.

use crate::tokenizer::Utf8Stream;

/// The text of one answer as it comes, token by token.
#[derive(Debug, Clone)]
pub struct Output {
    stops: Vec<String>,
    characters: Utf8Stream,
    /// Text not shown yet, because a stop text may begin in it.
    held: String,
}

impl Output {
    /// An empty answer that ends before any of `stops`; empty ones are ignored.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, characters: Utf8Stream::new(), held: String::new() }
    }

    /// The bytes of the next token. Returns the text that became certain, and whether a stop text was reached.
    pub fn push(&mut self, bytes: &[u8]) -> (String, bool) {
        let text = self.characters.push(bytes);
        self.show(&text)
    }

    /// The answer ends here. Returns what was held back, an incomplete character as U+FFFD.
    pub fn finish(&mut self) -> String {
        let rest = self.characters.finish();
        let (mut text, stopped) = self.show(&rest);
        if !stopped {
            text.push_str(&std::mem::take(&mut self.held));
        }
        text
    }

    fn show(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let stop = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(start) = stop {
            let mut shown = std::mem::take(&mut self.held);
            shown.truncate(start);
            return (shown, true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), false)
    }
}

/// Length of the longest end of `text` that a `stop` begins with.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest).rev().find(|&length| text.as_bytes().ends_with(&stop.as_bytes()[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stops: &[&str]) -> Output {
        Output::new(&stops.iter().map(|&stop| stop.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn text_passes_at_once_without_stops() {
        let mut output = output(&[""]);
        assert_eq!(output.push(b"Hello"), ("Hello".into(), false));
        assert_eq!(output.finish(), "");
    }

    #[test]
    fn what_may_become_a_stop_text_is_held_back() {
        let mut output = output(&["\nUser:"]);
        assert_eq!(output.push(b"Yes.\nUs"), ("Yes.".into(), false));
        assert_eq!(output.push(b"ually"), ("\nUsually".into(), false));
        assert_eq!(output.push(b"\nUser"), ("".into(), false));
        assert_eq!(output.push(b": hi"), ("".into(), true));
    }

    #[test]
    fn the_earliest_stop_text_ends_the_answer() {
        let mut output = output(&["world", "lo"]);
        assert_eq!(output.push(b"Hello world"), ("Hel".into(), true));
    }

    #[test]
    fn a_stop_text_across_multibyte_characters_is_found() {
        let mut output = output(&["é!"]);
        assert_eq!(output.push(&[0xc3]), (String::new(), false));
        assert_eq!(output.push(&[0xa9]), (String::new(), false));
        assert_eq!(output.push("é!".as_bytes()), ("é".into(), true));
    }

    #[test]
    fn the_end_flushes_what_was_held_back() {
        let mut output = output(&["stop"]);
        assert_eq!(output.push(b"st"), ("".into(), false));
        assert_eq!(output.push(&[0xe2, 0x82]), ("".into(), false));
        assert_eq!(output.finish(), "st\u{fffd}");
    }
}
