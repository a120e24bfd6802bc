//! Expressions: found by their extent, evaluated by hcl-rs. Variables, functions and loops are refused.

use super::cursor::{Cursor, continues_word};
use super::tree::{Member, Position, Value, ValueKind};
use super::{Dialect, Error, HCL_EXPRESSION_BYTES_MAX, HCL_EXPRESSION_OPERATORS_MAX};
use hcl::eval::Evaluate;

/// The value of the expression that begins at the cursor and ends with its line, or before a comma or
/// a bracket that is not its own.
pub(super) fn value(cursor: &mut Cursor<'_>, dialect: Dialect) -> Result<Value, Error> {
    let position = cursor.position();
    let written = extent(cursor).trim();
    let of_document = written.starts_with("var.") || written.starts_with("local.");
    if dialect != Dialect::Jobspec || (written.chars().all(continues_word) && !of_document) {
        let text = format!("`{}` is not a value; words stand in quotes", shortened(written));
        return Err(Error::at(position, text));
    }
    let kind = from_evaluator(evaluate(written, position)?, position);
    Ok(Value { kind, position })
}

/// The text that the expression inside of a `${…}` yields.
pub(super) fn text(written: &str, position: Position) -> Result<String, Error> {
    match evaluate(written.trim(), position)? {
        hcl::Value::String(text) => Ok(text),
        hcl::Value::Number(number) => Ok(number.to_string()),
        hcl::Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(Error::at(position, format!("`{}` yields no text", shortened(written)))),
    }
}

/// Whether an operator follows, so that what was read so far was only the beginning of an expression.
pub(super) fn goes_on(cursor: &Cursor<'_>) -> bool {
    let rest = cursor.rest().trim_start_matches([' ', '\t']);
    if rest.starts_with("//") || rest.starts_with("/*") {
        return false;
    }
    ["+", "-", "*", "/", "%", "?", "<", ">", "==", "!=", "&&", "||"].iter().any(|o| rest.starts_with(o))
}

/// Whether it names something that only the node knows that will run the task: a path like
/// `node.datacenter`, `attr.cpu.arch`, `env["HOME"]`, `NOMAD_PORT_db`. `var` and `local` name things
/// of the document.
pub(super) fn is_runtime_reference(written: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let root = written.split(['.', '[']).next().unwrap_or_default();
    if !root.starts_with(|c: char| c.is_alphabetic() || c == '_') || matches!(root, "var" | "local") {
        return false;
    }
    if !root.chars().all(word) || matches!(root, "true" | "false" | "null") {
        return false;
    }
    let mut rest = &written[root.len()..];
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(|c| !word(c)).unwrap_or(after.len());
            if end == 0 {
                return false;
            }
            rest = &after[end..];
        } else if let Some((index, after)) = rest.strip_prefix('[').and_then(|inside| inside.split_once(']'))
        {
            let bare = index.strip_prefix('"').and_then(|i| i.strip_suffix('"'));
            if bare.is_none_or(|text| text.contains('"')) && !index.chars().all(|c| c.is_ascii_digit()) {
                return false;
            }
            rest = after;
        } else {
            return false;
        }
    }
    true
}

/// Takes the expression's text: up to the end of the line outside of brackets, a comma, a comment, or
/// a closing bracket that was opened before it.
fn extent<'a>(cursor: &mut Cursor<'a>) -> &'a str {
    let start = cursor.rest();
    let mut open_brackets = 0usize;
    let mut in_quotes = false;
    while let Some(character) = cursor.peek() {
        if in_quotes {
            if character == '\\' {
                cursor.bump();
            }
            in_quotes = character != '"' && cursor.peek() != Some('\n');
        } else {
            let comment = cursor.looks_at("#") || cursor.looks_at("//") || cursor.looks_at("/*");
            match character {
                _ if comment => break,
                '\n' | ',' if open_brackets == 0 => break,
                ']' | '}' | ')' if open_brackets == 0 => break,
                ']' | '}' | ')' => open_brackets -= 1,
                '[' | '{' | '(' => open_brackets += 1,
                '"' => in_quotes = true,
                _ => {}
            }
        }
        cursor.bump();
    }
    &start[..start.len() - cursor.rest().len()]
}

fn evaluate(written: &str, position: Position) -> Result<hcl::Value, Error> {
    let operators = written.matches(|c: char| "+-*/%?<>=!&|([{".contains(c)).count();
    if written.len() > HCL_EXPRESSION_BYTES_MAX || operators > HCL_EXPRESSION_OPERATORS_MAX {
        return Err(Error::at(position, format!("the expression `{}` is too long", shortened(written))));
    }
    let cannot = |cause: String| {
        let cause = cause.lines().last().unwrap_or_default().trim_start_matches("= ").to_owned();
        let text = format!("the expression `{}` cannot be evaluated here: {cause}", shortened(written));
        Error::at(position, text)
    };
    let body = hcl::parse(&format!("value = {written}\n")).map_err(|error| cannot(error.to_string()))?;
    let attribute = body.into_attributes().next().ok_or_else(|| cannot("it is no value".to_owned()))?;
    attribute.expr.evaluate(&hcl::eval::Context::new()).map_err(|error| cannot(error.to_string()))
}

fn from_evaluator(value: hcl::Value, position: Position) -> ValueKind {
    let wrap = |value| Value { kind: from_evaluator(value, position), position };
    match value {
        hcl::Value::Null => ValueKind::Null,
        hcl::Value::Bool(flag) => ValueKind::Flag(flag),
        hcl::Value::Number(number) => match number.as_i64() {
            Some(whole) => ValueKind::Integer(whole),
            None => ValueKind::Float(number.as_f64().unwrap_or_default()),
        },
        hcl::Value::String(text) => ValueKind::Text(text),
        hcl::Value::Array(items) => ValueKind::List(items.into_iter().map(wrap).collect()),
        hcl::Value::Object(members) => ValueKind::Object(
            members.into_iter().map(|(key, value)| Member { key, position, value: wrap(value) }).collect(),
        ),
    }
}

/// At most the first forty characters, for an error's text.
fn shortened(written: &str) -> String {
    let line = written.lines().next().unwrap_or_default();
    if line.chars().count() <= 40 {
        line.to_owned()
    } else {
        format!("{}…", line.chars().take(40).collect::<String>())
    }
}
