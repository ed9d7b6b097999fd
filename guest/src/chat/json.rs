//! `tojson` as Hugging Face overrides it: Python's `json.dumps` with its separators, without escapes for HTML.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::meter::Meter;
use super::python::{self, NESTING_LIMIT, append, refuse};

/// The arguments of `json.dumps`.
pub(super) struct Style {
    /// Escape everything beyond ASCII.
    pub(super) ensure_ascii: bool,
    /// What one level of indentation is; none puts everything on one line.
    pub(super) indent: Option<String>,
    /// Between items.
    pub(super) item_separator: String,
    /// Between key and value.
    pub(super) key_separator: String,
    /// Entries in the order of their keys instead of their own.
    pub(super) sort_keys: bool,
}

/// Appends a value as JSON; refused for what JSON has no word for.
pub(super) fn write(
    meter: &Meter,
    style: &Style,
    out: &mut String,
    value: &Value,
    depth: usize,
) -> Result<(), Error> {
    if depth > NESTING_LIMIT {
        return Err(refuse("a value is nested too deeply for tojson"));
    }
    meter.charge(python::ITEM_COST)?;
    match value.kind() {
        ValueKind::None => append(meter, out, "null"),
        ValueKind::Bool => append(meter, out, if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => append(meter, out, &number(value)?),
        ValueKind::String => write_string(meter, style, out, value.as_str().unwrap_or("")),
        ValueKind::Seq => {
            let items = value.try_iter()?.checked();
            write_all(meter, style, out, ["[", "]"], depth, items, |out, item| {
                write(meter, style, out, &item, depth + 1)
            })
        }
        ValueKind::Map if !python::is_namespace(value) => {
            let mut pairs: Vec<(Value, Value)> = python::pairs(value)?.collect();
            meter.charge(pairs.len().saturating_mul(python::ITEM_COST))?;
            if style.sort_keys {
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
            }
            write_all(meter, style, out, ["{", "}"], depth, pairs.into_iter().map(Ok), |out, (key, item)| {
                write_string(meter, style, out, &key_text(&key)?)?;
                append(meter, out, &style.key_separator)?;
                write(meter, style, out, &item, depth + 1)
            })
        }
        _ => Err(refuse(format!("object of type {} is not JSON serializable", python::type_name(value)))),
    }
}

/// The items between their brackets, separated and indented.
fn write_all<T>(
    meter: &Meter,
    style: &Style,
    out: &mut String,
    brackets: [&str; 2],
    depth: usize,
    items: impl Iterator<Item = Result<T, Error>>,
    mut write_one: impl FnMut(&mut String, T) -> Result<(), Error>,
) -> Result<(), Error> {
    let new_line = |out: &mut String, depth: usize| {
        let Some(indent) = &style.indent else { return Ok(()) };
        append(meter, out, "\n")?;
        (0..depth).try_for_each(|_| append(meter, out, indent))
    };
    append(meter, out, brackets[0])?;
    let mut empty = true;
    for item in items {
        if !std::mem::take(&mut empty) {
            append(meter, out, &style.item_separator)?;
        }
        new_line(out, depth + 1)?;
        write_one(out, item?)?;
    }
    if !empty {
        new_line(out, depth)?;
    }
    append(meter, out, brackets[1])
}

fn number(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    let float = f64::try_from(value.clone())?;
    Ok(match () {
        () if float.is_nan() => "NaN".into(),
        () if float == f64::INFINITY => "Infinity".into(),
        () if float == f64::NEG_INFINITY => "-Infinity".into(),
        () => python::float_repr(float),
    })
}

fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or("").to_owned()),
        ValueKind::None => Ok("null".into()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.into()),
        ValueKind::Number => number(key),
        _ => Err(refuse("keys must be str, int, float, bool or None")),
    }
}

fn write_string(meter: &Meter, style: &Style, out: &mut String, text: &str) -> Result<(), Error> {
    meter.charge(text.len().saturating_mul(2))?;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c < ' ' || (style.ensure_ascii && c > '~') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    append(meter, out, &quoted)
}
