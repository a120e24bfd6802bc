//! `format` and `formatlist`: printf-style formatting.

use crate::hcl::tree::{Value, ValueKind};

use super::super::budget::Budget;
use super::super::call::Call;
use super::super::{Fault, Outcome, values};
use super::encoding::go_json;
use super::{Function, at_least};

pub(super) const TABLE: &[Function] = &[
    at_least("format", 1, |call| {
        let pattern = call.text(0)?;
        let arguments = call.all().split_off(1);
        let text = format(&pattern, &arguments, call.budget)?;
        call.made(text)
    }),
    at_least("formatlist", 1, formatlist),
];

/// Greatest width and precision of a verb.
const WIDTH_MAX: usize = 1024;

/// Formats once for each item of the list arguments, which must have equal lengths. Other arguments are repeated.
fn formatlist(call: &mut Call<'_>) -> Outcome {
    let pattern = call.text(0)?;
    let arguments = call.all().split_off(1);
    let mut length = None;
    for argument in &arguments {
        if let ValueKind::List(items) = argument {
            if length.is_some_and(|length| length != items.len()) {
                return Err("the lists of `formatlist` have to be of one length".into());
            }
            length = Some(items.len());
        }
    }
    let mut texts = Vec::new();
    for at in 0..length.unwrap_or(1) {
        let mut row = Vec::with_capacity(arguments.len());
        for argument in &arguments {
            let value = match argument {
                ValueKind::List(items) => &items[at].kind,
                other => other,
            };
            call.budget.copy(value)?;
            row.push(value.clone());
        }
        call.budget.steps(pattern.len())?;
        let text = format(&pattern, &row, call.budget)?;
        texts.push(call.text_value(text));
    }
    Ok(ValueKind::List(texts))
}

/// A formatting verb such as `%-08.2[1]f`.
#[derive(Default)]
struct Verb {
    left: bool,
    plus: bool,
    blank: bool,
    zero: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

fn format(pattern: &str, arguments: &[ValueKind], budget: &mut Budget) -> Result<String, Fault> {
    let mut out = String::new();
    let mut rest = pattern.chars().peekable();
    let mut next = 0;
    let mut most_used = 0;
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        if rest.peek() == Some(&'%') {
            rest.next();
            out.push('%');
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = rest.next_if(|c| "-+ 0#".contains(*c)) {
            match flag {
                '-' => verb.left = true,
                '+' => verb.plus = true,
                ' ' => verb.blank = true,
                '0' => verb.zero = true,
                _ => verb.alternate = true,
            }
        }
        verb.width = digits(&mut rest)?.unwrap_or(0);
        if rest.next_if_eq(&'.').is_some() {
            verb.precision = Some(digits(&mut rest)?.unwrap_or(0));
        }
        if rest.next_if_eq(&'[').is_some() {
            let number = digits(&mut rest)?.filter(|number| *number > 0);
            next = number.ok_or_else(|| Fault::from("`%[…]` holds the number of an argument, from 1"))? - 1;
            if rest.next_if_eq(&']').is_none() {
                return Err("`%[` is never closed: `]` is missing".into());
            }
        }
        let letter = rest.next().ok_or_else(|| Fault::from("the pattern ends within a verb"))?;
        let argument = arguments.get(next).ok_or_else(|| {
            Fault::from(format!("`%{letter}` is the verb of argument {}, and there is none", next + 1))
        })?;
        next += 1;
        most_used = most_used.max(next);
        // Charge for each use: several verbs can format the same argument.
        budget.copy(argument)?;
        budget.bytes(verb.width)?;
        verb.write(letter, argument, &mut out)?;
    }
    if most_used < arguments.len() {
        return Err(format!(
            "the pattern has verbs for {most_used} arguments, and there are {}",
            arguments.len()
        )
        .into());
    }
    Ok(out)
}

fn digits(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<usize>, Fault> {
    let mut number = None;
    while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
        rest.next();
        let so_far = number.unwrap_or(0) * 10 + digit as usize;
        if so_far > WIDTH_MAX {
            return Err(format!("a number in a verb is {WIDTH_MAX} at most").into());
        }
        number = Some(so_far);
    }
    Ok(number)
}

impl Verb {
    fn write(&self, letter: char, argument: &ValueKind, out: &mut String) -> Result<(), Fault> {
        let what = format!("the argument of `%{letter}`");
        let text = match letter {
            'v' if self.alternate => json(argument),
            'v' => match argument {
                ValueKind::Null | ValueKind::List(_) | ValueKind::Object(_) => json(argument),
                other => values::to_text(other, &what)?,
            },
            's' => self.cut(values::to_text(argument, &what)?),
            'q' => json(&ValueKind::Text(self.cut(values::to_text(argument, &what)?))),
            't' => values::to_flag(argument, &what)?.to_string(),
            'd' | 'b' | 'o' | 'x' | 'X' => self.whole(letter, values::to_integer(argument, &what)?),
            'f' | 'e' | 'E' | 'g' | 'G' => self.float(letter, values::to_number(argument, &what)?.as_f64()),
            _ => return Err(format!("`%{}` is not a verb that is known", letter.escape_debug()).into()),
        };
        let numeric = matches!(argument, ValueKind::Integer(_) | ValueKind::Digits(_) | ValueKind::Float(_));
        self.pad(&text, numeric, out);
        Ok(())
    }

    fn cut(&self, text: String) -> String {
        match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text,
        }
    }

    fn whole(&self, letter: char, number: i64) -> String {
        let size = number.unsigned_abs();
        let digits = match letter {
            'b' => format!("{size:b}"),
            'o' => format!("{size:o}"),
            'x' => format!("{size:x}"),
            'X' => format!("{size:X}"),
            _ => size.to_string(),
        };
        let prefix = match (self.alternate, letter) {
            (true, 'x') => "0x",
            (true, 'X') => "0X",
            (true, 'o') => "0",
            _ => "",
        };
        format!("{}{prefix}{digits}", self.sign(number < 0))
    }

    fn float(&self, letter: char, number: f64) -> String {
        let (sign, size) = (self.sign(number < 0.0), number.abs());
        let digits = match letter {
            'f' => format!("{size:.*}", self.precision.unwrap_or(6)),
            'e' | 'E' => exponent(&format!("{size:.*e}", self.precision.unwrap_or(6)), letter),
            _ => size.to_string(),
        };
        format!("{sign}{digits}")
    }

    fn sign(&self, negative: bool) -> &'static str {
        match negative {
            true => "-",
            false if self.plus => "+",
            false if self.blank => " ",
            false => "",
        }
    }

    fn pad(&self, text: &str, numeric: bool, out: &mut String) {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            out.push_str(text);
            out.extend(std::iter::repeat_n(' ', missing));
        } else if self.zero && numeric {
            let sign = if text.starts_with(['-', '+', ' ']) { 1 } else { 0 };
            out.push_str(&text[..sign]);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(&text[sign..]);
        } else {
            out.extend(std::iter::repeat_n(' ', missing));
            out.push_str(text);
        }
    }
}

/// Rewrites Rust's `1.5e3` with a sign and at least two exponent digits, as Go does: `1.5e+03`.
fn exponent(written: &str, letter: char) -> String {
    let Some((digits, power)) = written.split_once('e') else { return written.to_owned() };
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}{letter}{sign}{power:0>2}")
}

fn json(value: &ValueKind) -> String {
    let position = crate::hcl::Position { line: 1, column: 1 };
    go_json(&Value { kind: value.clone(), position })
}
