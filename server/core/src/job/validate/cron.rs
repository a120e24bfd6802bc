//! The syntax of cron expressions: five fields, or six with a year at the end, or seven with seconds
//! before them too; or a word such as `@daily`.

const WORDS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// What the values from `min` on are also called.
    names: &'static [&'static str],
    /// `L`, `W` and `#`, and `?`, which a day may use.
    is_day: bool,
}

const fn field(name: &'static str, min: u32, max: u32) -> Field {
    Field { name, min, max, names: &[], is_day: false }
}

static FIELDS: [Field; 7] = [
    field("second", 0, 59),
    field("minute", 0, 59),
    field("hour", 0, 23),
    Field { is_day: true, ..field("day-of-month", 1, 31) },
    Field { names: &MONTHS, ..field("month", 1, 12) },
    Field { names: &DAYS, is_day: true, ..field("day-of-week", 0, 7) },
    field("year", 1970, 2099),
];

/// Whether the expression can be read; the error says what is wrong.
pub(super) fn check(expression: &str) -> Result<(), String> {
    let expression = expression.trim().to_ascii_lowercase();
    if WORDS.contains(&expression.as_str()) {
        return Ok(());
    }
    let parts: Vec<&str> = expression.split_ascii_whitespace().collect();
    let fields = match parts.len() {
        ..5 => return Err("missing field(s)".to_owned()),
        5 => &FIELDS[1..6],
        6 => &FIELDS[1..7],
        7 => &FIELDS[..],
        _ => return Err("too many fields".to_owned()),
    };
    for (field, part) in fields.iter().zip(parts) {
        if let Some(entry) = part.split(',').find(|entry| !field.takes(entry)) {
            return Err(format!("syntax error in {} field: '{entry}'", field.name));
        }
    }
    Ok(())
}

impl Field {
    /// `*`, `5`, `mon-fri`, `*/15`, `10-40/5`, and for days `?`, `l`, `5l`, `15w`, `lw`, `mon#2`.
    fn takes(&self, entry: &str) -> bool {
        let (range, step) = match entry.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (entry, None),
        };
        if step.is_some_and(|step| !step.parse::<u32>().is_ok_and(|step| step > 0 && step <= self.max)) {
            return false;
        }
        match range.split_once('-') {
            _ if range == "*" => true,
            Some((from, to)) => match (self.value(from), self.value(to)) {
                (Some(from), Some(to)) => from <= to,
                _ => false,
            },
            None => self.value(range).is_some() || (self.is_day && step.is_none() && self.is_day_word(range)),
        }
    }

    fn value(&self, text: &str) -> Option<u32> {
        if let Some(position) = self.names.iter().position(|name| *name == text) {
            return u32::try_from(position).ok().map(|position| position + self.min);
        }
        text.parse().ok().filter(|value| (self.min..=self.max).contains(value))
    }

    fn is_day_word(&self, text: &str) -> bool {
        if matches!(text, "?" | "l" | "lw") {
            return true;
        }
        if let Some((day, week)) = text.split_once('#') {
            return self.value(day).is_some() && matches!(week, "1" | "2" | "3" | "4" | "5");
        }
        text.strip_suffix('l').or_else(|| text.strip_suffix('w')).is_some_and(|day| self.value(day).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn expressions_that_can_be_read() {
        for expression in [
            "* * * * *",
            "*/15 * * * *",
            "0 9-17/2 * JAN,mar-jun MON-FRI",
            "0 0 L * ?",
            "0 0 15W * *",
            "0 0 * * 5#3",
            "30 0 0 1 1 * 2030",
            "0 0 1 1 * 2030-2040",
            "@daily",
        ] {
            assert_eq!(check(expression), Ok(()), "{expression}");
        }
    }

    #[test]
    fn expressions_that_cannot() {
        for (expression, reason) in [
            ("nope", "missing field(s)"),
            ("* * * *", "missing field(s)"),
            ("* * * * * * * *", "too many fields"),
            ("60 * * * *", "syntax error in minute field: '60'"),
            ("* * * * 5-1", "syntax error in day-of-week field: '5-1'"),
            ("*/0 * * * *", "syntax error in minute field: '*/0'"),
            ("5L * * * *", "syntax error in minute field: '5l'"),
            ("1, * * * *", "syntax error in minute field: ''"),
        ] {
            assert_eq!(check(expression), Err(reason.to_owned()), "{expression}");
        }
    }
}
