//! `strftime` without a clock: the moment comes with the request, in UTC, and month and day names are English.

use std::fmt::Write;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The longest format that is accepted, in bytes; the result is at most a small multiple of it.
const FORMAT_LIMIT: usize = 4096;

/// A moment in the proleptic Gregorian calendar.
struct Moment {
    seconds: i64,
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
    /// 0 to 365.
    day_of_year: i64,
    /// 0 is Sunday.
    weekday: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Moment {
    /// `None` when the year would need more than six digits.
    fn new(seconds: i64) -> Option<Moment> {
        let days = seconds.div_euclid(86_400);
        let rest = seconds.rem_euclid(86_400);
        if days.abs() > 300_000_000 {
            return None;
        }
        // Years are counted from March, so that the leap day is the last of its year, in eras of 400 years.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Some(Moment {
            seconds,
            year,
            month,
            day: day_from_march - (153 * month_from_march + 2) / 5 + 1,
            day_of_year: if month > 2 {
                day_from_march + 59 + i64::from(is_leap(year))
            } else {
                day_from_march - 306
            },
            weekday: (days + 4).rem_euclid(7),
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        })
    }

    /// The ISO 8601 year and week, 1 to 53.
    fn iso_week(&self) -> (i64, i64) {
        let monday_based = (self.weekday + 6) % 7;
        let week = (self.day_of_year - monday_based + 10) / 7;
        if week < 1 {
            (self.year - 1, weeks_in(self.year - 1))
        } else if week > weeks_in(self.year) {
            (self.year + 1, 1)
        } else {
            (self.year, week)
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn weeks_in(year: i64) -> i64 {
    // 0 is Sunday: the weekday of the last day of a year.
    let last =
        |year: i64| (year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400)).rem_euclid(7);
    if last(year) == 4 || last(year - 1) == 3 { 53 } else { 52 }
}

/// Formats seconds since the epoch as C's `strftime` in the C locale does, with the `-`, `_` and `0` flags; codes that it does
/// not know stay as they are. `None` for a moment or a format beyond reason.
pub(super) fn strftime(seconds: i64, format: &str) -> Option<String> {
    let moment = Moment::new(seconds)?;
    if format.len() > FORMAT_LIMIT {
        return None;
    }
    let mut out = String::with_capacity(format.len() * 2);
    expand(&mut out, &moment, format);
    Some(out)
}

fn expand(out: &mut String, moment: &Moment, format: &str) {
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let before = rest.as_str();
        let flag = before.chars().next().filter(|c| matches!(c, '-' | '_' | '0'));
        if flag.is_some() {
            rest.next();
        }
        let known = rest.next().is_some_and(|code| expand_code(out, moment, flag, code));
        if !known {
            out.push('%');
            rest = before.chars();
        }
    }
}

/// Writes one code; false, and nothing written, when it is unknown.
fn expand_code(out: &mut String, moment: &Moment, flag: Option<char>, code: char) -> bool {
    let name = |table: &[&'static str], index: i64| {
        usize::try_from(index).ok().and_then(|i| table.get(i).copied()).unwrap_or("")
    };
    let weekday = name(&DAYS, moment.weekday);
    let month = name(&MONTHS, moment.month - 1);
    let monday_based = (moment.weekday + 6) % 7;
    let twelve = (moment.hour + 11) % 12 + 1;
    let number = |out: &mut String, pad: char, width: usize, value: i64| {
        let text = value.to_string();
        let pad = match flag {
            Some('-') => None,
            Some('_') => Some(' '),
            Some(_) => Some('0'),
            None => Some(pad),
        };
        if let Some(pad) = pad {
            out.extend(std::iter::repeat_n(pad, width.saturating_sub(text.len())));
        }
        out.push_str(&text);
    };
    match code {
        'a' => out.push_str(&weekday[..3]),
        'A' => out.push_str(weekday),
        'b' | 'h' => out.push_str(&month[..3]),
        'B' => out.push_str(month),
        'c' => expand(out, moment, "%a %b %e %H:%M:%S %Y"),
        'C' => number(out, '0', 2, moment.year.div_euclid(100)),
        'd' => number(out, '0', 2, moment.day),
        'D' | 'x' => expand(out, moment, "%m/%d/%y"),
        'e' => number(out, ' ', 2, moment.day),
        'f' => out.push_str("000000"),
        'F' => expand(out, moment, "%Y-%m-%d"),
        'g' => number(out, '0', 2, moment.iso_week().0.rem_euclid(100)),
        'G' => number(out, '0', 1, moment.iso_week().0),
        'H' => number(out, '0', 2, moment.hour),
        'I' => number(out, '0', 2, twelve),
        'j' => number(out, '0', 3, moment.day_of_year + 1),
        'k' => number(out, ' ', 2, moment.hour),
        'l' => number(out, ' ', 2, twelve),
        'm' => number(out, '0', 2, moment.month),
        'M' => number(out, '0', 2, moment.minute),
        'n' => out.push('\n'),
        'p' => out.push_str(if moment.hour < 12 { "AM" } else { "PM" }),
        'P' => out.push_str(if moment.hour < 12 { "am" } else { "pm" }),
        'r' => expand(out, moment, "%I:%M:%S %p"),
        'R' => expand(out, moment, "%H:%M"),
        's' => drop(write!(out, "{}", moment.seconds)),
        'S' => number(out, '0', 2, moment.second),
        't' => out.push('\t'),
        'T' | 'X' => expand(out, moment, "%H:%M:%S"),
        'u' => number(out, '0', 1, monday_based + 1),
        'U' => number(out, '0', 2, (moment.day_of_year + 7 - moment.weekday) / 7),
        'V' => number(out, '0', 2, moment.iso_week().1),
        'w' => number(out, '0', 1, moment.weekday),
        'W' => number(out, '0', 2, (moment.day_of_year + 7 - monday_based) / 7),
        'y' => number(out, '0', 2, moment.year.rem_euclid(100)),
        'Y' => number(out, '0', 1, moment.year),
        // The moment has no zone, like Python's naive `datetime`.
        'z' | 'Z' => {}
        '%' => out.push('%'),
        _ => return false,
    }
    true
}
