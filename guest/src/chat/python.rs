//! Python's view of the engine's values: how they print, compare, combine and are indexed.
//!
//! jinja2 inherits all of this from Python; the engine's own rules differ (`None` prints as `none`, `'%s' % x` is an error,
//! strings have no index). The operators of a template are rewritten into calls of these functions, see `rewrite`.

use std::cmp::Ordering;
use std::fmt::Write;

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::meter::Meter;

/// How deep lists and maps may nest in one another.
pub(super) const NESTING_LIMIT: usize = 160;

/// The longest string that an operation may make, in bytes.
const STRING_LIMIT: usize = 16 << 20;

/// What a list item costs beside its content, in bytes.
pub(super) const ITEM_COST: usize = 32;

/// What the visit of a list costs in [`check_nesting`], in bytes; that of a map costs twice as much.
const VISIT_COST: usize = 192;

/// The key under which `library::namespace` marks its objects, which the engine does not tell from maps.
pub(super) const NAMESPACE_MARK: &str = "\0namespace";

/// A Python number; booleans are integers.
#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    fn float(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    fn of(value: &Value) -> Option<Number> {
        match value.kind() {
            ValueKind::Bool => Some(Number::Int(i128::from(value.is_true()))),
            ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok().map(Number::Int),
            ValueKind::Number => f64::try_from(value.clone()).ok().map(Number::Float),
            _ => None,
        }
    }
}

/// An error of a template's own making.
pub(super) fn refuse(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Python's name of a value's type, for messages.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "undefined",
        ValueKind::None => "None",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Seq if value.is_tuple() => "tuple",
        ValueKind::Seq => "list",
        ValueKind::Map => "dict",
        _ => "object",
    }
}

pub(super) fn is_namespace(value: &Value) -> bool {
    value.kind() == ValueKind::Map
        && value.as_object().is_some_and(|object| object.get_value(&Value::from(NAMESPACE_MARK)).is_some())
}

/// `str(value)`.
pub(super) fn to_text(meter: &Meter, value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    write_text(meter, &mut text, value)?;
    Ok(text)
}

/// Appends `str(value)`.
pub(super) fn write_text(meter: &Meter, out: &mut String, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => append(meter, out, text),
        None if value.is_undefined() => Ok(()),
        None => write_repr(meter, out, value, 0),
    }
}

/// Appends a piece to a string within [`STRING_LIMIT`], charged.
pub(super) fn append(meter: &Meter, out: &mut String, text: &str) -> Result<(), Error> {
    meter.charge(text.len())?;
    if out.len().saturating_add(text.len()) > STRING_LIMIT {
        return Err(Error::new(ErrorKind::OutOfFuel, "it makes too long a string"));
    }
    out.push_str(text);
    Ok(())
}

/// Appends a piece with HTML's special characters escaped, as `markupsafe.escape` does.
pub(super) fn append_escaped(meter: &Meter, out: &mut String, text: &str) -> Result<(), Error> {
    for part in text.split_inclusive(['&', '<', '>', '\'', '"']) {
        let (plain, special) = match part.as_bytes().last() {
            Some(b'&') => (&part[..part.len() - 1], "&amp;"),
            Some(b'<') => (&part[..part.len() - 1], "&lt;"),
            Some(b'>') => (&part[..part.len() - 1], "&gt;"),
            Some(b'\'') => (&part[..part.len() - 1], "&#39;"),
            Some(b'"') => (&part[..part.len() - 1], "&#34;"),
            _ => (part, ""),
        };
        append(meter, out, plain)?;
        append(meter, out, special)?;
    }
    Ok(())
}

/// Appends `repr(value)`.
fn write_repr(meter: &Meter, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > NESTING_LIMIT {
        return Err(refuse("a value is nested too deeply to be printed"));
    }
    meter.charge(ITEM_COST)?;
    match value.kind() {
        ValueKind::Undefined => append(meter, out, "Undefined"),
        ValueKind::None => append(meter, out, "None"),
        ValueKind::Bool => append(meter, out, if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if value.is_integer() => append(meter, out, &value.to_string()),
        ValueKind::Number => append(meter, out, &float_repr(f64::try_from(value.clone())?)),
        ValueKind::String => {
            let text = value.as_str().unwrap_or("");
            meter.charge(text.len().saturating_mul(4))?;
            append(meter, out, &string_repr(text))
        }
        ValueKind::Map => {
            append(meter, out, "{")?;
            for (index, (key, item)) in pairs(value)?.enumerate() {
                append(meter, out, if index > 0 { ", " } else { "" })?;
                write_repr(meter, out, &key, depth + 1)?;
                append(meter, out, ": ")?;
                write_repr(meter, out, &item, depth + 1)?;
            }
            append(meter, out, "}")
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let tuple = value.is_tuple();
            append(meter, out, if tuple { "(" } else { "[" })?;
            let mut count = 0;
            for item in value.try_iter()?.checked() {
                append(meter, out, if count > 0 { ", " } else { "" })?;
                write_repr(meter, out, &item?, depth + 1)?;
                count += 1;
            }
            append(
                meter,
                out,
                if tuple && count == 1 {
                    ",)"
                } else if tuple {
                    ")"
                } else {
                    "]"
                },
            )
        }
        _ => append(meter, out, &value.to_string()),
    }
}

/// `repr` of a float: the shortest digits, with an exponent below 1e-4 and from 1e16 on.
pub(super) fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..16) => {
            let plain = format!("{value}");
            // 1 prints as 1.0; a negative exponent always has its point.
            if exponent >= 0 && !plain.contains('.') { plain + ".0" } else { plain }
        }
        Ok(exponent) => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
        Err(_) => scientific,
    }
}

fn string_repr(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\'' && byte != b'\\') {
        return format!("'{text}'");
    }
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
    out
}

/// `str.isprintable` of one character; combining marks count as printable.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let mut pair = [0; 5];
    pair[0] = b'a';
    let length = 1 + c.encode_utf8(&mut pair[1..]).len();
    // A mark after a letter is only escaped when it cannot be printed.
    std::str::from_utf8(&pair[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

/// The entries of a map, in order.
pub(super) fn pairs(value: &Value) -> Result<Box<dyn Iterator<Item = (Value, Value)> + Send + Sync>, Error> {
    value
        .as_object()
        .filter(|_| value.kind() == ValueKind::Map)
        .and_then(|object| object.try_iter_pairs())
        .map(|pairs| Box::new(pairs) as Box<_>)
        .ok_or_else(|| refuse(format!("{} has no entries", type_name(value))))
}

/// `list(value)`: the characters of a string, the keys of a map, nothing of an undefined value.
pub(super) fn items(meter: &Meter, value: &Value) -> Result<Vec<Value>, Error> {
    if let Some(text) = value.as_str() {
        meter.charge(text.len().saturating_mul(ITEM_COST))?;
        return Ok(text.chars().map(|c| Value::from(String::from(c))).collect());
    }
    match value.kind() {
        ValueKind::Undefined => Ok(Vec::new()),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain => {
            let mut items = Vec::new();
            for item in value.try_iter()?.checked() {
                meter.charge(ITEM_COST)?;
                items.push(item?);
            }
            Ok(items)
        }
        _ => Err(refuse(format!("'{}' object is not iterable", type_name(value)))),
    }
}

/// What a `for` statement walks: the value itself where the engine walks it as Python does.
pub(super) fn iterable(meter: &Meter, value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => Ok(value),
        _ => items(meter, &value).map(Value::from),
    }
}

/// Refuses a value nested too deeply, or one that holds a namespace where `namespaces` is false: chains and cycles of them would
/// neither print nor be freed.
pub(super) fn check_nesting(
    meter: &Meter,
    value: &Value,
    namespaces: bool,
    depth: usize,
) -> Result<(), Error> {
    let Some(object) = value.as_object() else { return Ok(()) };
    if depth > NESTING_LIMIT {
        return Err(refuse("a value is nested too deeply"));
    }
    meter.charge(VISIT_COST)?;
    if is_namespace(value) {
        return if namespaces { Ok(()) } else { Err(refuse("a namespace cannot hold a namespace")) };
    }
    match value.kind() {
        ValueKind::Map => {
            meter.charge(VISIT_COST)?;
            for (_, item) in pairs(value)? {
                check_nesting(meter, &item, namespaces, depth + 1)?;
            }
        }
        ValueKind::Seq | ValueKind::Iterable => {
            for item in object.try_iter().into_iter().flatten() {
                meter.charge(1)?;
                check_nesting(meter, &item, namespaces, depth + 1)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// `left == right`.
pub(super) fn equal(meter: &Meter, left: &Value, right: &Value) -> Result<bool, Error> {
    equal_at(meter, left, right, 0)
}

fn equal_at(meter: &Meter, left: &Value, right: &Value, depth: usize) -> Result<bool, Error> {
    if depth > NESTING_LIMIT {
        return Err(refuse("values are nested too deeply to be compared"));
    }
    meter.charge(1)?;
    if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
        return Ok(match (a, b) {
            (Number::Int(a), Number::Int(b)) => a == b,
            (a, b) => a.float() == b.float(),
        });
    }
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        meter.charge(if a.len() == b.len() { a.len() } else { 0 })?;
        return Ok(a == b);
    }
    match (left.kind(), right.kind()) {
        (ValueKind::Undefined, ValueKind::Undefined) | (ValueKind::None, ValueKind::None) => Ok(true),
        (ValueKind::Map, ValueKind::Map) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (key, a) in pairs(left)? {
                let b = right.as_object().and_then(|object| object.get_value(&key));
                if !b.map_or(Ok(false), |b| equal_at(meter, &a, &b, depth + 1))? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (ValueKind::Seq | ValueKind::Iterable, ValueKind::Seq | ValueKind::Iterable) => {
            let (mut a, mut b) = (left.try_iter()?.checked(), right.try_iter()?.checked());
            if left.is_tuple() != right.is_tuple() {
                return Ok(false);
            }
            loop {
                match (a.next().transpose()?, b.next().transpose()?) {
                    (None, None) => return Ok(true),
                    (Some(a), Some(b)) if equal_at(meter, &a, &b, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
        }
        (ValueKind::Plain, ValueKind::Plain) => Ok(left == right),
        _ => Ok(false),
    }
}

/// The order of two values, `None` when a NaN has none; an error for types that Python does not order.
pub(super) fn compare(meter: &Meter, left: &Value, right: &Value) -> Result<Option<Ordering>, Error> {
    if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
        return Ok(match (a, b) {
            (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
            (a, b) => a.float().partial_cmp(&b.float()),
        });
    }
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        meter.charge(a.len().min(b.len()))?;
        return Ok(Some(a.cmp(b)));
    }
    if left.kind() == ValueKind::Seq && right.kind() == ValueKind::Seq && left.is_tuple() == right.is_tuple()
    {
        let (left, right) = (items(meter, left)?, items(meter, right)?);
        for (a, b) in left.iter().zip(&right) {
            if !equal(meter, a, b)? {
                // Each level of nesting is one of the template's own, see `check_nesting`.
                return compare(meter, a, b);
            }
        }
        return Ok(Some(left.len().cmp(&right.len())));
    }
    Err(impossible("comparison", left, right))
}

/// `left OPERATOR right` of a comparison.
pub(super) fn comparison(meter: &Meter, operator: &str, left: &Value, right: &Value) -> Result<bool, Error> {
    match operator {
        "==" => equal(meter, left, right),
        "!=" => equal(meter, left, right).map(|equal| !equal),
        "in" => contains(meter, left, right),
        "not in" => contains(meter, left, right).map(|found| !found),
        _ => {
            let order = compare(meter, left, right)?;
            Ok(match operator {
                "<" => order == Some(Ordering::Less),
                "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                ">" => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            })
        }
    }
}

/// `needle in haystack`.
pub(super) fn contains(meter: &Meter, needle: &Value, haystack: &Value) -> Result<bool, Error> {
    if let Some(text) = haystack.as_str() {
        let Some(part) = needle.as_str() else {
            return Err(refuse(format!(
                "'in <string>' requires string as left operand, not {}",
                type_name(needle)
            )));
        };
        meter.charge(text.len())?;
        return Ok(text.contains(part));
    }
    match haystack.kind() {
        ValueKind::Undefined => Ok(false),
        ValueKind::Map => Ok(haystack.as_object().is_some_and(|object| object.get_value(needle).is_some())),
        ValueKind::Seq | ValueKind::Iterable => {
            for item in haystack.try_iter()?.checked() {
                if equal(meter, &item?, needle)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(refuse(format!("argument of type '{}' is not iterable", type_name(haystack)))),
    }
}

fn impossible(operator: &str, left: &Value, right: &Value) -> Error {
    refuse(format!(
        "unsupported operand types for {operator}: '{}' and '{}'",
        type_name(left),
        type_name(right)
    ))
}

/// `left OPERATOR right` of an arithmetic operator; `~` joins the texts of both.
pub(super) fn arithmetic(meter: &Meter, operator: &str, left: &Value, right: &Value) -> Result<Value, Error> {
    if operator == "~" {
        let mut text = String::new();
        write_text(meter, &mut text, left)?;
        write_text(meter, &mut text, right)?;
        return Ok(Value::from(text));
    }
    if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
        return numbers(operator, a, b);
    }
    match operator {
        "+" => add(meter, left, right),
        "*" => match (Number::of(left), Number::of(right)) {
            (None, Some(Number::Int(times))) => repeat(meter, left, times),
            (Some(Number::Int(times)), None) => repeat(meter, right, times),
            _ => Err(impossible(operator, left, right)),
        },
        "%" => match left.as_str() {
            Some(format) => super::library::percent_format(meter, format, right).map(Value::from),
            None => Err(impossible(operator, left, right)),
        },
        _ => Err(impossible(operator, left, right)),
    }
}

fn numbers(operator: &str, left: Number, right: Number) -> Result<Value, Error> {
    let beyond = || refuse(format!("the result of {operator} is beyond this engine's numbers"));
    let zero = || refuse("division by zero");
    if let (Number::Int(a), Number::Int(b)) = (left, right) {
        let quotient =
            || a.checked_div_euclid(b).map(|q| if b < 0 && a.rem_euclid(b) != 0 { q - 1 } else { q });
        let result = match operator {
            "+" => a.checked_add(b),
            "-" => a.checked_sub(b),
            "*" => a.checked_mul(b),
            "//" | "%" | "/" if b == 0 => return Err(zero()),
            "//" => quotient(),
            "%" => quotient().and_then(|q| a.checked_sub(q.checked_mul(b)?)),
            "**" if b >= 0 => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
            _ => return floats(operator, a as f64, b as f64).ok_or_else(zero),
        };
        let value = result.ok_or_else(beyond)?;
        return Ok(i64::try_from(value).map_or_else(|_| Value::from(value), Value::from));
    }
    floats(operator, left.float(), right.float()).ok_or_else(zero)
}

/// `None` for a division by zero.
fn floats(operator: &str, a: f64, b: f64) -> Option<Value> {
    let modulo = || {
        let rest = a % b;
        if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
    };
    Some(Value::from(match operator {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "**" if a == 0.0 && b < 0.0 => return None,
        "**" => a.powf(b),
        _ if b == 0.0 => return None,
        "/" => a / b,
        "//" => ((a - modulo()) / b).round(),
        _ => modulo(),
    }))
}

fn add(meter: &Meter, left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        let mut text = String::new();
        // What `safe` made escapes what it is added to, though nothing else here escapes for HTML.
        let markup = left.is_safe() || right.is_safe();
        for (part, value) in [(a, left), (b, right)] {
            if markup && !value.is_safe() {
                append_escaped(meter, &mut text, part)?;
            } else {
                append(meter, &mut text, part)?;
            }
        }
        return Ok(if markup { Value::from_safe_string(text) } else { Value::from(text) });
    }
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list(left) && is_list(right) && left.is_tuple() == right.is_tuple() {
        let mut list = items(meter, left)?;
        list.extend(items(meter, right)?);
        return Ok(like(left, list));
    }
    Err(impossible("+", left, right))
}

fn repeat(meter: &Meter, value: &Value, times: i128) -> Result<Value, Error> {
    let times = usize::try_from(times.max(0)).map_err(|_| Error::from(ErrorKind::OutOfFuel))?;
    if let Some(text) = value.as_str() {
        let length = text.len().saturating_mul(times);
        meter.charge(length)?;
        if length > STRING_LIMIT {
            return Err(Error::new(ErrorKind::OutOfFuel, "it makes too long a string"));
        }
        return Ok(Value::from(text.repeat(times)));
    }
    if value.kind() != ValueKind::Seq {
        return Err(refuse(format!("can't multiply '{}' by an integer", type_name(value))));
    }
    let once = items(meter, value)?;
    meter.charge(once.len().saturating_mul(times).saturating_mul(ITEM_COST))?;
    let mut list = Vec::with_capacity(once.len() * times);
    for _ in 0..if once.is_empty() { 0 } else { times } {
        list.extend(once.iter().cloned());
    }
    Ok(like(value, list))
}

/// A tuple when the model is one, else a list.
fn like(model: &Value, items: Vec<Value>) -> Value {
    if model.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) }
}

/// An index counted from the end when negative; `None` beyond either end.
fn position(index: i128, length: usize) -> Option<usize> {
    let from_start = if index < 0 { index.checked_add(i128::try_from(length).ok()?)? } else { index };
    usize::try_from(from_start).ok().filter(|position| *position < length)
}

/// `value[key]`; undefined when there is no such item.
pub(super) fn item(meter: &Meter, value: &Value, key: &Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let index = match Number::of(key) {
        Some(Number::Int(index)) => Some(index),
        _ => None,
    };
    let found = match (value.as_str(), value.kind(), index) {
        (Some(text), _, Some(index)) if text.is_ascii() => {
            position(index, text.len()).and_then(|at| text.get(at..=at)).map(Value::from)
        }
        (Some(text), _, Some(index)) => {
            meter.charge(text.len())?;
            let at = position(index, text.chars().count());
            at.and_then(|at| text.chars().nth(at)).map(|c| Value::from(String::from(c)))
        }
        (None, ValueKind::Seq, Some(index)) => {
            let at = value.len().and_then(|length| position(index, length));
            at.and_then(|at| value.get_item_by_index(at).ok())
        }
        (None, ValueKind::Map | ValueKind::Iterable | ValueKind::Plain, _) => {
            value.as_object().and_then(|object| object.get_value(key))
        }
        _ => None,
    };
    Ok(found.unwrap_or(Value::UNDEFINED))
}

/// `value[start:stop:step]`.
pub(super) fn slice(meter: &Meter, value: &Value, bounds: [&Value; 3]) -> Result<Value, Error> {
    let mut numbers = [None; 3];
    for (number, bound) in numbers.iter_mut().zip(bounds) {
        *number = match Number::of(bound) {
            Some(Number::Int(value)) => Some(value),
            None if bound.is_none() => None,
            _ => return Err(refuse("slice indices must be integers or None")),
        };
    }
    let [start, stop, step] = numbers;
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(refuse("slice step cannot be zero"));
    }
    if value.as_str().is_none() && value.kind() != ValueKind::Seq && value.kind() != ValueKind::Iterable {
        return Err(refuse(format!("'{}' object cannot be sliced", type_name(value))));
    }
    if let (Some(text), 1) = (value.as_str(), step) {
        // The usual slice, without a list of its characters.
        meter.charge(text.len())?;
        let length = if text.is_ascii() { text.len() } else { text.chars().count() };
        let (start, stop) = (clamp(start, 0, length), clamp(stop, length, length));
        let offset = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(offset, _)| offset);
        return Ok(Value::from(text.get(offset(start)..offset(stop)).unwrap_or("")));
    }
    let list = items(meter, value)?;
    let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    let picked: Vec<Value> = if step > 0 {
        let (start, stop) = (clamp(start, 0, list.len()), clamp(stop, list.len(), list.len()));
        list.get(start..stop).unwrap_or(&[]).iter().step_by(stride).cloned().collect()
    } else {
        // Backwards from the start, exclusive of the stop: both one further than the index.
        let one_more = |bound: Option<i128>| {
            bound.map(|at| {
                if at < 0 { at + i128::try_from(list.len()).unwrap_or(0) } else { at }
                    .max(-1)
                    .saturating_add(1)
            })
        };
        let (start, stop) =
            (clamp(one_more(start), list.len(), list.len()), clamp(one_more(stop), 0, list.len()));
        list.get(stop..start).unwrap_or(&[]).iter().rev().step_by(stride).cloned().collect()
    };
    if value.as_str().is_some() {
        return Ok(Value::from(picked.iter().filter_map(|c| c.as_str()).collect::<String>()));
    }
    Ok(like(value, picked))
}

/// A slice bound as a position from 0 to the length.
fn clamp(bound: Option<i128>, default: usize, length: usize) -> usize {
    let Some(bound) = bound else { return default };
    let length_wide = i128::try_from(length).unwrap_or(i128::MAX);
    let bound = if bound < 0 { bound.saturating_add(length_wide) } else { bound };
    usize::try_from(bound.clamp(0, length_wide)).unwrap_or(length)
}
