//! The classes of characters that pre-tokenizers speak of, with the table of general categories of the crate
//! `unicode-general-category` (Unicode 16) behind a table of our own for ASCII.

use unicode_general_category::{GeneralCategory, get_general_category};

/// A class of characters; each character has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `\p{Lu}` or `\p{Lt}`.
    UpperLetter,
    /// `\p{Ll}`.
    LowerLetter,
    /// `\p{Lm}` or `\p{Lo}`.
    OtherLetter,
    /// `\p{M}`.
    Mark,
    /// `\p{N}`.
    Number,
    /// `\p{P}`.
    Punctuation,
    /// `\p{S}`.
    Symbol,
    /// `\s`.
    Space,
    /// The rest: control, format, private and unassigned characters.
    Other,
}

/// The class of a character.
#[inline]
pub(super) fn class(character: char) -> Class {
    match ASCII.get(character as usize) {
        Some(&class) => class,
        None => class_beyond_ascii(character),
    }
}

/// `\p{L}`.
#[inline]
pub(super) fn is_letter(character: char) -> bool {
    matches!(class(character), Class::UpperLetter | Class::LowerLetter | Class::OtherLetter)
}

/// `\p{N}`.
pub(super) fn is_number(character: char) -> bool {
    class(character) == Class::Number
}

/// `\s`.
pub(super) fn is_space(character: char) -> bool {
    class(character) == Class::Space
}

/// `\p{P}`.
pub(super) fn is_punctuation(character: char) -> bool {
    class(character) == Class::Punctuation
}

const ASCII: [Class; 128] = {
    let mut classes = [Class::Other; 128];
    let mut code = 0;
    while code < 128 {
        classes[code] = match code as u8 {
            b'A'..=b'Z' => Class::UpperLetter,
            b'a'..=b'z' => Class::LowerLetter,
            b'0'..=b'9' => Class::Number,
            b'\t'..=b'\r' | b' ' => Class::Space,
            b'$' | b'+' | b'<' | b'=' | b'>' | b'^' | b'`' | b'|' | b'~' => Class::Symbol,
            b'!'..=b'~' => Class::Punctuation,
            _ => Class::Other,
        };
        code += 1;
    }
    classes
};

fn class_beyond_ascii(character: char) -> Class {
    use GeneralCategory as Category;
    if character.is_whitespace() {
        return Class::Space;
    }
    match get_general_category(character) {
        Category::UppercaseLetter | Category::TitlecaseLetter => Class::UpperLetter,
        Category::LowercaseLetter => Class::LowerLetter,
        Category::ModifierLetter | Category::OtherLetter => Class::OtherLetter,
        Category::NonspacingMark | Category::SpacingMark | Category::EnclosingMark => Class::Mark,
        Category::DecimalNumber | Category::LetterNumber | Category::OtherNumber => Class::Number,
        Category::ConnectorPunctuation
        | Category::DashPunctuation
        | Category::OpenPunctuation
        | Category::ClosePunctuation
        | Category::InitialPunctuation
        | Category::FinalPunctuation
        | Category::OtherPunctuation => Class::Punctuation,
        Category::MathSymbol
        | Category::CurrencySymbol
        | Category::ModifierSymbol
        | Category::OtherSymbol => Class::Symbol,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_for_ascii_agrees_with_unicode() {
        for character in '\0'..='\x7f' {
            assert_eq!(class(character), class_beyond_ascii(character), "{character:?}");
        }
    }

    #[test]
    fn letters_numbers_and_spaces_beyond_ascii_are_known() {
        for (character, expected) in [
            ('Ä', Class::UpperLetter),
            ('ǅ', Class::UpperLetter),
            ('ß', Class::LowerLetter),
            ('ª', Class::OtherLetter),
            ('漢', Class::OtherLetter),
            ('\u{301}', Class::Mark),
            ('½', Class::Number),
            ('Ⅷ', Class::Number),
            ('。', Class::Punctuation),
            ('€', Class::Symbol),
            ('🦙', Class::Symbol),
            ('\u{a0}', Class::Space),
            ('\u{85}', Class::Space),
            ('\u{3000}', Class::Space),
            ('\u{200b}', Class::Other),
        ] {
            assert_eq!(class(character), expected, "{character:?}");
        }
    }
}
