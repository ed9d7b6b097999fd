//! The functions, filters and tests of a template's environment: those of jinja2 and of Hugging Face that the engine lacks or
//! answers differently, and the hidden functions that `rewrite` puts in the place of operators.

use std::fmt;
use std::sync::Arc;

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::json;
use super::meter::Meter;
use super::methods;
use super::python::{self, append, refuse, to_text};
use super::rewrite::DICT_METHODS;
use super::time::strftime;

/// The template itself refused the conversation, by `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(pub(super) String);

/// Fills an environment; `now` is in seconds since the epoch.
pub(super) fn install(environment: &mut Environment<'_>, meter: &Arc<Meter>, now: Option<i64>) {
    hidden_functions(environment, meter);
    functions(environment, meter, now);
    filters(environment, meter);
    tests(environment, meter);
    let account = Arc::clone(meter);
    environment.set_formatter(move |out, _, value| {
        let mut text = String::new();
        let text = match value.as_str() {
            Some(text) => text,
            None => {
                python::write_text(&account, &mut text, value)?;
                &text
            }
        };
        account.write(text.len())?;
        out.write_str(text).map_err(Error::from)
    });
}

/// What operators, indices and method calls are rewritten into.
fn hidden_functions(environment: &mut Environment<'_>, meter: &Arc<Meter>) {
    for operator in ["+", "-", "*", "/", "//", "%", "**", "~"] {
        let meter = Arc::clone(meter);
        environment.add_function(operator, move |left: &Value, right: &Value| {
            python::arithmetic(&meter, operator, left, right)
        });
    }
    for operator in ["==", "!=", "<", "<=", ">", ">=", " in"] {
        let meter = Arc::clone(meter);
        environment.add_function(operator, move |left: &Value, right: &Value| {
            python::comparison(&meter, operator.trim_start(), left, right)
        });
    }
    let account = Arc::clone(meter);
    environment.add_function(" compare", move |links: Rest<Value>| {
        for link in links.windows(3).step_by(2) {
            let [left, operator, right] = link else { continue };
            if !python::comparison(&account, operator.as_str().unwrap_or(""), left, right)? {
                return Ok(false);
            }
        }
        Ok::<_, Error>(true)
    });
    let account = Arc::clone(meter);
    environment.add_function(" slice", move |value: &Value, start: &Value, stop: &Value, step: &Value| {
        python::slice(&account, value, [start, stop, step])
    });
    let account = Arc::clone(meter);
    environment.add_function(" item", move |value: &Value, key: &Value| python::item(&account, value, key));
    let account = Arc::clone(meter);
    environment.add_function(" for", move |value: Value| python::iterable(&account, value));
    let account = Arc::clone(meter);
    environment.add_function(" set", move |value: Value| {
        python::check_nesting(&account, &value, true, 0)?;
        Ok::<_, Error>(value)
    });
    let account = Arc::clone(meter);
    environment.add_function(" set attribute", move |value: Value| {
        python::check_nesting(&account, &value, false, 0)?;
        Ok::<_, Error>(value)
    });
    let account = Arc::clone(meter);
    environment.add_function(" charge", move |value: Value| {
        account.charge(value.as_str().map_or_else(|| value.len().unwrap_or(1), str::len))?;
        Ok::<_, Error>(value)
    });
    let account = Arc::clone(meter);
    environment.add_function(" method", move |state: &mut State, args: Rest<ValueOrKwargs>| {
        methods::call(&account, state, &args.into_values())
    });
    environment.add_function(" attribute", move |value: &Value, name: &str| {
        if value.kind() == ValueKind::Map && !python::is_namespace(value) && DICT_METHODS.contains(&name) {
            return Ok(Value::from_object(Method(name.to_owned())));
        }
        value.get_attr(name)
    });
}

/// A method that is named but not called: true, and of no further use.
#[derive(Debug)]
struct Method(String);

impl Object for Method {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<built-in method {} of dict object>", self.0)
    }
}

fn functions(environment: &mut Environment<'_>, meter: &Arc<Meter>, now: Option<i64>) {
    environment.remove_global("debug");
    let account = Arc::clone(meter);
    environment.add_function("raise_exception", move |message: &Value| {
        let refusal = Refusal(to_text(&account, message)?);
        Err::<Value, _>(refuse("raise_exception").with_source(refusal))
    });
    environment.add_function("strftime_now", move |format: &str| {
        let now = now.ok_or_else(|| refuse("strftime_now needs a time, and the request has none"))?;
        strftime(now, format).ok_or_else(|| refuse("strftime_now cannot format this"))
    });
    let account = Arc::clone(meter);
    environment.add_function("namespace", move |values: Rest<ValueOrKwargs>| {
        namespace(&account, &values.into_values())
    });
    let account = Arc::clone(meter);
    environment.add_function("dict", move |values: Rest<ValueOrKwargs>| {
        let mut pairs = Vec::new();
        for value in &values.into_values() {
            account.charge(value.len().unwrap_or(0).saturating_mul(python::ITEM_COST))?;
            match value.kind() {
                ValueKind::Map => pairs.extend(python::pairs(value)?),
                _ => {
                    for pair in python::items(&account, value)? {
                        match python::items(&account, &pair)?.as_slice() {
                            [key, item] => pairs.push((key.clone(), item.clone())),
                            _ => return Err(refuse("dict takes pairs")),
                        }
                    }
                }
            }
        }
        let map = Value::from_pairs(pairs);
        python::check_nesting(&account, &map, true, 0)?;
        Ok(map)
    });
}

/// An object whose attributes can be set; its names and values come from maps and keyword arguments.
fn namespace(meter: &Meter, values: &[Value]) -> Result<Value, Error> {
    let mut pairs = vec![(Value::from(python::NAMESPACE_MARK), Value::from(true))];
    for value in values {
        python::check_nesting(meter, value, false, 0)?;
        for (name, item) in python::pairs(value)? {
            if name.as_str().is_none_or(|name| name.starts_with('_')) {
                return Err(refuse("underscore-prefixed attributes cannot be stored on a namespace"));
            }
            pairs.push((name, item));
        }
    }
    let defaults = from_args(&[Value::from_pairs(pairs)])?;
    let (defaults,): (Option<ValueOrKwargs>,) = defaults;
    minijinja::functions::namespace(defaults)
}

fn filters(environment: &mut Environment<'_>, meter: &Arc<Meter>) {
    let account = Arc::clone(meter);
    environment.add_filter("string", move |value: &Value| to_text(&account, value));
    let account = Arc::clone(meter);
    environment
        .add_filter("safe", move |value: &Value| to_text(&account, value).map(Value::from_safe_string));
    for name in ["escape", "e", "forceescape"] {
        let meter = Arc::clone(meter);
        environment.add_filter(name, move |value: &Value| {
            if value.is_safe() && name != "forceescape" {
                return Ok(value.clone());
            }
            let mut escaped = String::new();
            python::append_escaped(&meter, &mut escaped, &to_text(&meter, value)?)?;
            Ok::<_, Error>(Value::from_safe_string(escaped))
        });
    }
    let account = Arc::clone(meter);
    environment.add_filter("list", move |value: &Value| python::items(&account, value));
    let account = Arc::clone(meter);
    environment.add_filter("trim", move |value: &Value, chars: Option<&str>| {
        let text = to_text(&account, value)?;
        Ok::<_, Error>(methods::strip(&text, chars, true, true).to_owned())
    });
    for (name, change) in [("lower", str::to_lowercase as fn(&str) -> String), ("upper", str::to_uppercase)] {
        let meter = Arc::clone(meter);
        environment.add_filter(name, move |value: &Value| to_text(&meter, value).map(|text| change(&text)));
    }
    let account = Arc::clone(meter);
    environment.add_filter("replace", move |value: &Value, old: &Value, new: &Value, count: Option<i64>| {
        let (text, old, new) = (to_text(&account, value)?, to_text(&account, old)?, to_text(&account, new)?);
        replace(&account, &text, &old, &new, count.and_then(|count| usize::try_from(count).ok()))
    });
    let account = Arc::clone(meter);
    environment.add_filter(
        "join",
        move |state: &mut State,
              value: Value,
              separator: Option<Value>,
              attribute: Option<Value>,
              kwargs: Kwargs| {
            let separator =
                separator.or(kwargs.get::<Option<Value>>("d")?).unwrap_or_else(|| Value::from(""));
            let separator = to_text(&account, &separator)?;
            let value = match attribute.or(kwargs.get::<Option<Value>>("attribute")?) {
                Some(attribute) => {
                    let attribute: Kwargs = [("attribute", attribute)].into_iter().collect();
                    state.apply_filter("map", &[value, attribute.into()])?
                }
                None => value,
            };
            kwargs.assert_all_used()?;
            let mut joined = String::new();
            for (index, item) in python::items(&account, &value)?.iter().enumerate() {
                append(&account, &mut joined, if index > 0 { &separator } else { "" })?;
                python::write_text(&account, &mut joined, item)?;
            }
            Ok::<_, Error>(joined)
        },
    );
    let account = Arc::clone(meter);
    environment.add_filter(
        "indent",
        move |value: &Value,
              width: Option<Value>,
              first: Option<bool>,
              blank: Option<bool>,
              kwargs: Kwargs| {
            let width = width.or(kwargs.get::<Option<Value>>("width")?).unwrap_or_else(|| Value::from(4));
            let first = first.or(kwargs.get::<Option<bool>>("first")?).unwrap_or(false);
            let blank = blank.or(kwargs.get::<Option<bool>>("blank")?).unwrap_or(false);
            kwargs.assert_all_used()?;
            let margin = margin(&account, &width)?;
            let text = to_text(&account, value)?;
            let mut indented = String::new();
            for (index, line) in text.split('\n').enumerate() {
                let wanted = if index == 0 { first } else { blank || !line.is_empty() };
                append(&account, &mut indented, if index > 0 { "\n" } else { "" })?;
                append(&account, &mut indented, if wanted { &margin } else { "" })?;
                append(&account, &mut indented, line)?;
            }
            Ok::<_, Error>(indented)
        },
    );
    let account = Arc::clone(meter);
    environment.add_filter("tojson", move |value: &Value, args: Rest<ValueOrKwargs>| {
        to_json(&account, value, &args.into_values())
    });
    let account = Arc::clone(meter);
    environment.add_filter("format", move |value: &Value, args: Rest<ValueOrKwargs>| {
        format_checked(&account, FormatStyle::Printf, &to_text(&account, value)?, &args.into_values())
    });
    for name in ["default", "d"] {
        environment.add_filter(
            name,
            |value: Value, other: Option<Value>, falsy: Option<Value>, kwargs: Kwargs| {
                let other = other.or(kwargs.get::<Option<Value>>("default_value")?);
                let falsy =
                    falsy.or(kwargs.get::<Option<Value>>("boolean")?).is_some_and(|falsy| falsy.is_true());
                kwargs.assert_all_used()?;
                let keep = !value.is_undefined() && (!falsy || value.is_true());
                Ok::<_, Error>(if keep { value } else { other.unwrap_or_else(|| Value::from("")) })
            },
        );
    }
    environment.add_filter(
        "int",
        |value: &Value, default: Option<Value>, base: Option<u32>, kwargs: Kwargs| {
            let default =
                default.or(kwargs.get::<Option<Value>>("default")?).unwrap_or_else(|| Value::from(0));
            let base = base.or(kwargs.get::<Option<u32>>("base")?).unwrap_or(10);
            kwargs.assert_all_used()?;
            Ok::<_, Error>(to_integer(value, base).map_or(default, Value::from))
        },
    );
    environment.add_filter("float", |value: &Value, default: Option<Value>, kwargs: Kwargs| {
        let default = default.or(kwargs.get::<Option<Value>>("default")?).unwrap_or_else(|| Value::from(0.0));
        kwargs.assert_all_used()?;
        Ok::<_, Error>(to_float(value).map_or(default, Value::from))
    });
    let account = Arc::clone(meter);
    environment.add_filter("center", move |state: &mut State, value: &Value, width: Option<i64>| {
        let text = Value::from(to_text(&account, value)?);
        methods::call(&account, state, &[text, Value::from("center"), Value::from(width.unwrap_or(80))])
    });
    let account = Arc::clone(meter);
    environment.add_filter("wordcount", move |value: &Value| {
        let text = to_text(&account, value)?;
        Ok::<_, Error>(
            text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count(),
        )
    });
    for name in ["length", "count"] {
        let meter = Arc::clone(meter);
        environment.add_filter(name, move |value: &Value| match (value.as_str(), value.kind()) {
            (Some(text), _) => Ok(text.chars().count()),
            (None, ValueKind::Undefined) => Ok(0),
            (None, ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) => match value.len() {
                Some(length) => Ok(length),
                None => python::items(&meter, value).map(|items| items.len()),
            },
            _ => Err(refuse(format!("object of type '{}' has no len()", python::type_name(value)))),
        });
    }
}

/// `int(value)` as the filter of that name does it: texts of floats are cut.
fn to_integer(value: &Value, base: u32) -> Option<i64> {
    let text = match value.as_str() {
        Some(text) => text.trim(),
        None => {
            return to_float(value)
                .map(|float| float as i64)
                .filter(|_| !value.is_integer())
                .or(value.as_i64());
        }
    };
    let digits = match base {
        16 => text.trim_start_matches("0x"),
        8 => text.trim_start_matches("0o"),
        2 => text.trim_start_matches("0b"),
        _ => text,
    };
    let whole = if (2..=36).contains(&base) { i64::from_str_radix(digits, base).ok() } else { None };
    whole.or_else(|| to_float(value).map(|float| float as i64))
}

/// `float(value)` as the filter of that name does it; none where Python raises.
fn to_float(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::String => value.as_str().and_then(|text| text.trim().parse().ok()),
        _ => None,
    }
}

/// The margin of `indent` and `tojson`: a number of spaces, or itself.
fn margin(meter: &Meter, width: &Value) -> Result<String, Error> {
    match (width.as_str(), width.as_i64()) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Some(width)) => {
            let width = usize::try_from(width).unwrap_or(0);
            meter.charge(width)?;
            Ok(" ".repeat(width))
        }
        _ => Err(refuse("an indentation is a number of spaces or a text")),
    }
}

/// The arguments of `json.dumps`, by position or by name.
fn to_json(meter: &Meter, value: &Value, args: &[Value]) -> Result<String, Error> {
    type Arguments = (Option<Value>, Option<Value>, Option<Value>, Option<Value>, Kwargs);
    let (ascii, indent, separators, sort, kwargs): Arguments = from_args(args)?;
    let named = |positional: Option<Value>, name: &str| {
        positional.map_or_else(|| kwargs.get::<Option<Value>>(name), |value| Ok(Some(value)))
    };
    let ascii = named(ascii, "ensure_ascii")?;
    let indent = named(indent, "indent")?.filter(|indent| !indent.is_none());
    let separators = named(separators, "separators")?.filter(|separators| !separators.is_none());
    let sort = named(sort, "sort_keys")?;
    kwargs.assert_all_used()?;
    let (item_separator, key_separator) = match separators {
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
        Some(separators) => match python::items(meter, &separators)?.as_slice() {
            [item, key] => (to_text(meter, item)?, to_text(meter, key)?),
            _ => return Err(refuse("separators are two texts")),
        },
    };
    let style = json::Style {
        ensure_ascii: ascii.is_some_and(|ascii| ascii.is_true()),
        indent: indent.map(|indent| margin(meter, &indent)).transpose()?,
        item_separator,
        key_separator,
        sort_keys: sort.is_some_and(|sort| sort.is_true()),
    };
    let mut out = String::new();
    json::write(meter, &style, &mut out, value, 0)?;
    Ok(out)
}

/// `text.replace(old, new, count)`.
pub(super) fn replace(
    meter: &Meter,
    text: &str,
    old: &str,
    new: &str,
    count: Option<usize>,
) -> Result<String, Error> {
    let mut replaced = String::new();
    let mut done = 0;
    for (at, _) in text.match_indices(old).take(count.unwrap_or(usize::MAX)) {
        meter.charge(2 * python::ITEM_COST)?;
        append(meter, &mut replaced, text.get(done..at).unwrap_or(""))?;
        append(meter, &mut replaced, new)?;
        done = at + old.len();
    }
    append(meter, &mut replaced, text.get(done..).unwrap_or(""))?;
    Ok(replaced)
}

/// `format % args`.
pub(super) fn percent_format(meter: &Meter, text: &str, args: &Value) -> Result<String, Error> {
    let args = if args.is_tuple() { python::items(meter, args)? } else { vec![args.clone()] };
    format_checked(meter, FormatStyle::Printf, text, &args)
}

/// `text.format(args)`.
pub(super) fn brace_format(meter: &Meter, text: &str, args: &[Value]) -> Result<String, Error> {
    format_checked(meter, FormatStyle::StrFormat, text, args)
}

/// Formats after a look at the widths: one of a billion would pad before anybody could charge for it.
fn format_checked(meter: &Meter, style: FormatStyle, text: &str, args: &[Value]) -> Result<String, Error> {
    let mut digits = 0;
    for byte in text.bytes() {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        if digits > 4 {
            return Err(refuse("a format with such a width is not supported"));
        }
    }
    if text.contains('*') && matches!(style, FormatStyle::Printf) || has_nested_field(text) {
        return Err(refuse("a format with a computed width is not supported"));
    }
    let fields = text.bytes().filter(|byte| matches!(byte, b'%' | b'{')).count();
    meter.charge(fields.saturating_mul(10_000).saturating_add(text.len()))?;
    let mut plain = Vec::with_capacity(args.len());
    let mut longest = 0;
    for arg in args {
        let arg = match arg.kind() {
            ValueKind::Number | ValueKind::String => arg.clone(),
            // Named fields look into it.
            ValueKind::Map if arg.is_kwargs() || text.contains("%(") => arg.clone(),
            _ => Value::from(to_text(meter, arg)?),
        };
        longest = longest.max(arg.as_str().map_or(64, str::len));
        plain.push(arg);
    }
    meter.charge(fields.saturating_mul(longest))?;
    let formatted = format(style, text, &plain)?;
    let mut out = String::new();
    append(meter, &mut out, &formatted)?;
    Ok(out)
}

/// Whether a `str.format` field holds another.
fn has_nested_field(text: &str) -> bool {
    let mut depth = 0_i32;
    let mut bytes = text.replace("{{", "").replace("}}", "").into_bytes().into_iter();
    bytes.any(|byte| {
        depth += i32::from(byte == b'{') - i32::from(byte == b'}');
        depth > 1
    })
}

fn tests(environment: &mut Environment<'_>, meter: &Arc<Meter>) {
    environment.add_test("string", |value: &Value| value.kind() == ValueKind::String);
    environment.add_test("boolean", |value: &Value| value.kind() == ValueKind::Bool);
    environment.add_test("integer", |value: &Value| value.kind() == ValueKind::Number && value.is_integer());
    environment.add_test("float", |value: &Value| value.kind() == ValueKind::Number && !value.is_integer());
    environment
        .add_test("number", |value: &Value| matches!(value.kind(), ValueKind::Bool | ValueKind::Number));
    environment
        .add_test("mapping", |value: &Value| value.kind() == ValueKind::Map && !python::is_namespace(value));
    environment.add_test("iterable", |value: &Value| {
        let kind = value.kind();
        matches!(
            kind,
            ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Undefined
        ) && !python::is_namespace(value)
    });
    environment.add_test("sequence", |value: &Value| {
        let kind = value.kind();
        matches!(kind, ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined)
            && !python::is_namespace(value)
    });
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
    for (names, operator) in [
        (&["eq", "equalto", "=="][..], "=="),
        (&["ne", "!="], "!="),
        (&["lt", "lessthan", "<"], "<"),
        (&["le", "<="], "<="),
        (&["gt", "greaterthan", ">"], ">"),
        (&["ge", ">="], ">="),
        (&["in"], "in"),
    ] {
        for name in names {
            let meter = Arc::clone(meter);
            environment.add_test(*name, move |left: &Value, right: &Value| {
                python::comparison(&meter, operator, left, right)
            });
        }
    }
}

/// Whether the engine or the meter stopped a rendering for its cost.
pub(super) fn is_too_costly(error: &Error) -> bool {
    error.kind() == ErrorKind::OutOfFuel
}
