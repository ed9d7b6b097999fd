//! The methods of Python's strings, lists and dictionaries that a sandboxed template may call.
//!
//! Those that grow a string or that the engine's own Python compatibility gets differently are here; the rest is passed on to it.
//! Methods that change their object do not exist, as in jinja2's immutable sandbox.

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use super::library;
use super::meter::Meter;
use super::python::{self, append, refuse};

/// Calls `object.name(args)`.
pub(super) fn call(meter: &Meter, state: &mut State, args: &[Value]) -> Result<Value, Error> {
    let [object, name, args @ ..] = args else { return Err(Error::from(ErrorKind::MissingArgument)) };
    let name = name.as_str().ok_or_else(|| refuse("a method has no name"))?;
    let result = match object.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::String => text_method(meter, state, object, name, args),
        ValueKind::Map if !python::is_namespace(object) => map_method(meter, object, name, args),
        ValueKind::Seq => list_method(meter, object, name, args),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    };
    match result {
        // Loops, macros and functions kept in a map or a namespace.
        Err(error) if error.kind() == ErrorKind::UnknownMethod => object.call_method(state, name, args),
        result => result,
    }
}

fn text_method(
    meter: &Meter,
    state: &mut State,
    object: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let text = object.as_str().unwrap_or("");
    meter.charge(text.len())?;
    Ok(match name {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            Value::from(strip(text, chars, name != "rstrip", name != "lstrip"))
        }
        "split" | "rsplit" => {
            let (separator, limit, kwargs): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
            let separator = separator.or(kwargs.get::<Option<&str>>("sep")?);
            let limit = limit.or(kwargs.get::<Option<i64>>("maxsplit")?).unwrap_or(-1);
            kwargs.assert_all_used()?;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(text.len());
            list(meter, split(text, separator, limit, name == "rsplit")?)?
        }
        "splitlines" => {
            let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = keep.or(kwargs.get::<Option<bool>>("keepends")?).unwrap_or(false);
            kwargs.assert_all_used()?;
            list(meter, split_lines(text, keep))?
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            if separator.is_empty() {
                return Err(refuse("empty separator"));
            }
            let parts = match (name, text.split_once(separator), text.rsplit_once(separator)) {
                ("partition", Some((before, after)), _) | ("rpartition", _, Some((before, after))) => {
                    [before, separator, after]
                }
                ("partition", ..) => [text, "", ""],
                _ => ["", "", text],
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "replace" => {
            let (old, new, limit, kwargs): (&str, &str, Option<i64>, Kwargs) = from_args(args)?;
            let limit = limit.or(kwargs.get::<Option<i64>>("count")?).unwrap_or(-1);
            Value::from(library::replace(meter, text, old, new, usize::try_from(limit).ok())?)
        }
        "join" => {
            let (parts,): (&Value,) = from_args(args)?;
            let mut joined = String::new();
            for (index, part) in python::items(meter, parts)?.iter().enumerate() {
                append(meter, &mut joined, if index > 0 { text } else { "" })?;
                let part = part.as_str().ok_or_else(|| {
                    refuse(format!(
                        "sequence item {index}: expected str instance, {} found",
                        python::type_name(part)
                    ))
                })?;
                append(meter, &mut joined, part)?;
            }
            Value::from(joined)
        }
        "format" => Value::from(library::brace_format(meter, text, args)?),
        "ljust" | "rjust" | "center" | "zfill" => {
            let (width, fill): (i64, Option<&str>) = from_args(args)?;
            let (sign, digits) = text.split_at(usize::from(name == "zfill" && text.starts_with(['+', '-'])));
            let fill = if name == "zfill" { "0" } else { fill.unwrap_or(" ") };
            let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
            let left = match name {
                "ljust" => 0,
                // As CPython rounds.
                "center" => missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1),
                _ => missing,
            };
            meter.charge(missing.saturating_mul(fill.len()))?;
            let mut padded = String::from(sign);
            append(meter, &mut padded, &fill.repeat(left))?;
            append(meter, &mut padded, digits)?;
            append(meter, &mut padded, &fill.repeat(missing - left))?;
            Value::from(padded)
        }
        "index" | "rindex" => {
            let found = pycompat::unknown_method_callback(
                state,
                object,
                if name == "index" { "find" } else { "rfind" },
                args,
            )?;
            if found.as_i64() == Some(-1) {
                return Err(refuse("substring not found"));
            }
            found
        }
        "casefold" => Value::from(text.to_lowercase()),
        "swapcase" => {
            let swap = |c: char| {
                if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() }
            };
            Value::from(text.chars().map(swap).collect::<String>())
        }
        _ => return pycompat::unknown_method_callback(state, object, name, args),
    })
}

/// Whitespace as Python's `str` sees it.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `strip`, or one side of it; whitespace when no characters are given.
pub(super) fn strip<'a>(text: &'a str, chars: Option<&str>, start: bool, end: bool) -> &'a str {
    let goes = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let text = if start { text.trim_start_matches(goes) } else { text };
    if end { text.trim_end_matches(goes) } else { text }
}

fn split<'a>(
    text: &'a str,
    separator: Option<&str>,
    limit: usize,
    from_end: bool,
) -> Result<Vec<&'a str>, Error> {
    let mut parts = Vec::new();
    match separator {
        Some("") => return Err(refuse("empty separator")),
        Some(separator) if from_end => {
            parts.extend(text.rsplitn(limit.saturating_add(1), separator));
            parts.reverse();
        }
        Some(separator) => parts.extend(text.splitn(limit.saturating_add(1), separator)),
        None => {
            let mut rest = text;
            loop {
                rest = strip(rest, None, !from_end, from_end);
                if rest.is_empty() {
                    break;
                }
                let cut = if from_end {
                    rest.char_indices().rfind(|(_, c)| is_space(*c)).map(|(at, c)| at + c.len_utf8())
                } else {
                    rest.find(is_space)
                };
                let Some((head, tail)) = cut.filter(|_| parts.len() < limit).map(|at| rest.split_at(at))
                else {
                    parts.push(rest);
                    break;
                };
                let (part, left) = if from_end { (tail, head) } else { (head, tail) };
                parts.push(part);
                rest = left;
            }
            if from_end {
                parts.reverse();
            }
        }
    }
    Ok(parts)
}

fn split_lines(text: &str, keep: bool) -> Vec<&str> {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((at, end)) = rest.char_indices().find(|(_, c)| is_end(*c)) {
        let width =
            if rest.get(at..).is_some_and(|tail| tail.starts_with("\r\n")) { 2 } else { end.len_utf8() };
        lines.push(rest.get(..if keep { at + width } else { at }).unwrap_or(""));
        rest = rest.get(at + width..).unwrap_or("");
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn list(meter: &Meter, parts: Vec<&str>) -> Result<Value, Error> {
    meter.charge(parts.len().saturating_mul(python::ITEM_COST))?;
    Ok(parts.into_iter().map(Value::from).collect())
}

fn map_method(meter: &Meter, object: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    meter.charge(object.len().unwrap_or(0).saturating_mul(python::ITEM_COST))?;
    match name {
        "get" => {
            let (key, default, kwargs): (&Value, Option<Value>, Kwargs) = from_args(args)?;
            kwargs.assert_all_used()?;
            let found = object.as_object().and_then(|map| map.get_value(key));
            Ok(found.unwrap_or_else(|| default.unwrap_or_else(|| Value::from(()))))
        }
        "items" => {
            let () = from_args(args)?;
            Ok(python::pairs(object)?.map(|(key, item)| Value::from(Tuple::from([key, item]))).collect())
        }
        "keys" => {
            let () = from_args(args)?;
            Ok(python::pairs(object)?.map(|(key, _)| key).collect())
        }
        "values" => {
            let () = from_args(args)?;
            Ok(python::pairs(object)?.map(|(_, item)| item).collect())
        }
        "copy" => {
            let () = from_args(args)?;
            Ok(object.clone())
        }
        "clear" | "pop" | "popitem" | "setdefault" | "update" => Err(unsafe_method(name)),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn list_method(meter: &Meter, object: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match name {
        "count" | "index" => {
            let (wanted, _): (&Value, Rest<Value>) = from_args(args)?;
            let mut count = 0;
            for (index, item) in object.try_iter()?.checked().enumerate() {
                if python::equal(meter, &item?, wanted)? {
                    if name == "index" {
                        return Ok(Value::from(index));
                    }
                    count += 1;
                }
            }
            if name == "index" { Err(refuse("the value is not in the list")) } else { Ok(Value::from(count)) }
        }
        "copy" => {
            let () = from_args(args)?;
            Ok(object.clone())
        }
        "append" | "clear" | "extend" | "insert" | "pop" | "remove" | "reverse" | "sort" => {
            Err(unsafe_method(name))
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn unsafe_method(name: &str) -> Error {
    refuse(format!("{name} would change its object, which templates must not"))
}
