//! Templates: strings with `${…}` and `%{…}`.

use std::borrow::Cow;

use hcl::edit::Span;
use hcl::edit::expr::Expression;
use hcl::edit::template::{
    Directive, Element, ForDirective, IfDirective, Interpolation, StringTemplate, Strip, Template,
};

use crate::hcl::cursor::Cursor;
use crate::hcl::syntax::Piece;
use crate::hcl::tree::{Position, Value, ValueKind};
use crate::hcl::{Error, escape, shortened};

use super::{Evaluator, Fault, Outcome, values};

impl Evaluator<'_> {
    /// Evaluates a template in pieces. A template that is a single `${…}` keeps the type of its value.
    pub(in crate::hcl) fn pieces(&mut self, pieces: &[Piece<'_>]) -> Result<ValueKind, Error> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Interpolation(fragment) => {
                    if self.only_the_node_knows(fragment.text()) {
                        text.extend(["${", fragment.text(), "}"]);
                        continue;
                    }
                    let value = self.fragment(fragment)?;
                    if pieces.len() == 1 {
                        return Ok(value.kind);
                    }
                    let added = interpolated(&value, fragment.text()).map_err(|f| fragment.place(f))?;
                    text.push_str(&added);
                }
            }
            if let Err(fault) = self.budget.steps(1) {
                return Err(Error::at(self.place, fault.into_text()));
            }
        }
        Ok(ValueKind::Text(text))
    }

    /// Whether a `${…}` must stay unevaluated because only the node that runs the task can resolve it.
    fn only_the_node_knows(&self, written: &str) -> bool {
        is_runtime_reference(written) && !self.knows(root(written))
    }

    pub(super) fn string_template(&mut self, template: &StringTemplate, source: &str) -> Outcome {
        self.within_template(|evaluator| evaluator.string_template_inside(template, source))
    }

    fn string_template_inside(&mut self, template: &StringTemplate, source: &str) -> Outcome {
        let mut elements = template.iter();
        if let (Some(Element::Interpolation(only)), None) = (elements.next(), elements.next())
            && self.as_written(only, source).is_none()
        {
            return self.expression(&only.expr, source);
        }
        let mut text = String::new();
        self.elements(template, Around { quoted: true, ..Around::default() }, source, &mut text)?;
        Ok(ValueKind::Text(text))
    }

    pub(super) fn template(&mut self, template: &Template, source: &str) -> Outcome {
        let mut text = String::new();
        self.within_template(|evaluator| evaluator.elements(template, Around::default(), source, &mut text))?;
        Ok(ValueKind::Text(text))
    }

    fn elements(
        &mut self,
        template: &Template,
        around: Around,
        source: &str,
        out: &mut String,
    ) -> Result<(), Fault> {
        let elements: Vec<&Element> = template.iter().collect();
        for (at, element) in elements.iter().enumerate() {
            self.budget.steps(1)?;
            match element {
                Element::Literal(literal) => {
                    let before =
                        at.checked_sub(1).map_or(around.strips_first, |before| strips(elements[before]).end);
                    let after = elements.get(at + 1).map_or(around.strips_last, |after| strips(after).start);
                    let text = match around.quoted {
                        true => unescaped(literal.as_str())?,
                        false => Cow::Borrowed(literal.as_str()),
                    };
                    let text = if before { without_start(&text) } else { &text };
                    self.push(if after { without_end(text) } else { text }, out)?;
                }
                Element::Interpolation(interpolation) => {
                    self.interpolation(interpolation, source, out)?;
                }
                Element::Directive(directive) => match directive.as_ref() {
                    Directive::If(directive) => self.if_directive(directive, around, source, out)?,
                    Directive::For(directive) => self.for_directive(directive, around, source, out)?,
                },
            }
        }
        Ok(())
    }

    fn push(&mut self, text: &str, out: &mut String) -> Result<(), Fault> {
        self.budget.bytes(text.len())?;
        out.push_str(text);
        Ok(())
    }

    fn interpolation(
        &mut self,
        interpolation: &Interpolation,
        source: &str,
        out: &mut String,
    ) -> Result<(), Fault> {
        if let Some(written) = self.as_written(interpolation, source) {
            return self.push(&written, out);
        }
        let kind = self.expression(&interpolation.expr, source)?;
        let value = self.here(kind);
        let text = interpolated(&value, "this").map_err(|fault| fault.within(&interpolation.expr))?;
        self.push(&text, out)
    }

    /// Returns the `${…}` as written if only the node can resolve it.
    fn as_written(&self, interpolation: &Interpolation, source: &str) -> Option<String> {
        let written = source.get(interpolation.expr.span()?)?.trim();
        self.only_the_node_knows(written).then(|| format!("${{{written}}}"))
    }

    fn if_directive(
        &mut self,
        directive: &IfDirective,
        around: Around,
        source: &str,
        out: &mut String,
    ) -> Result<(), Fault> {
        let condition = self.condition(&directive.if_expr.cond_expr, source)?;
        let (start, end) = (directive.if_expr.strip, directive.endif_expr.strip);
        let within = |first, last| around.within(first, last);
        match (&directive.else_expr, condition) {
            (None, true) => self.elements(&directive.if_expr.template, within(start, end), source, out),
            (None, false) => Ok(()),
            (Some(other), true) => {
                self.elements(&directive.if_expr.template, within(start, other.strip), source, out)
            }
            (Some(other), false) => self.elements(&other.template, within(other.strip, end), source, out),
        }
    }

    fn condition(&mut self, condition: &Expression, source: &str) -> Result<bool, Fault> {
        let value = self.expression(condition, source)?;
        values::to_flag(&value, "the condition behind `if`").map_err(|fault| fault.within(condition))
    }

    fn for_directive(
        &mut self,
        directive: &ForDirective,
        around: Around,
        source: &str,
        out: &mut String,
    ) -> Result<(), Fault> {
        let intro = &directive.for_expr;
        let collection = self.expression(&intro.collection_expr, source)?;
        let pairs = self.pairs(collection).map_err(|fault| fault.within(&intro.collection_expr))?;
        let within = around.within(intro.strip, directive.endfor_expr.strip);
        let key_name = intro.key_var.as_ref().map(|name| name.as_str());
        for (key, value) in pairs {
            self.budget.steps(1)?;
            self.with_frame(key_name, intro.value_var.as_str(), key, value, |evaluator| {
                evaluator.elements(&intro.template, within, source, out)
            })?;
        }
        Ok(())
    }
}

/// Context of a template.
#[derive(Debug, Clone, Copy, Default)]
struct Around {
    /// Inside quotes, where escapes are resolved.
    quoted: bool,
    /// A strip marker before the template removes its leading blanks.
    strips_first: bool,
    /// A strip marker behind the template removes its trailing blanks.
    strips_last: bool,
}

impl Around {
    /// Returns the context of a template between two markers.
    fn within(self, first: Strip, last: Strip) -> Around {
        Around { strips_first: first.strip_end(), strips_last: last.strip_start(), ..self }
    }
}

struct Strips {
    start: bool,
    end: bool,
}

/// Returns whether an element strips the blanks before and behind it.
fn strips(element: &Element) -> Strips {
    let (first, last) = match element {
        Element::Literal(_) => (Strip::None, Strip::None),
        Element::Interpolation(interpolation) => (interpolation.strip, interpolation.strip),
        Element::Directive(directive) => match directive.as_ref() {
            Directive::If(directive) => (directive.if_expr.strip, directive.endif_expr.strip),
            Directive::For(directive) => (directive.for_expr.strip, directive.endfor_expr.strip),
        },
    };
    Strips { start: first.strip_start(), end: last.strip_end() }
}

/// Resolves escapes, which the expression parser leaves in place.
fn unescaped(text: &str) -> Result<Cow<'_, str>, Fault> {
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut cursor = Cursor::new(text, Position { line: 1, column: 1 });
    while !cursor.at_end() {
        plain.push_str(cursor.take_while(|c| c != '\\'));
        if !cursor.at_end() {
            plain.push(escape::character(&mut cursor).map_err(|error| Fault::from(error.text))?);
        }
    }
    Ok(Cow::Owned(plain))
}

/// Strips leading blanks, up to and including the first line break.
fn without_start(text: &str) -> &str {
    match text.split_once('\n') {
        Some((line, rest)) if line.trim().is_empty() => rest,
        _ => text.trim_start(),
    }
}

/// Strips the trailing blanks of the last line, including its line break.
fn without_end(text: &str) -> &str {
    let line_start = text.strip_suffix('\n').unwrap_or(text).rfind('\n').map_or(0, |at| at + 1);
    let (before, line) = text.split_at(line_start);
    &text[..before.len() + line.trim_end().len()]
}

fn interpolated(value: &Value, written: &str) -> Result<String, Fault> {
    values::to_text(&value.kind, &format!("the value of `{}` within a text", shortened(written)))
}

/// Returns the first word of a path.
fn root(written: &str) -> &str {
    written.split(['.', '[']).next().unwrap_or_default()
}

/// Whether `written` is a path that only the node which runs the task can resolve: `node.datacenter`, `attr.cpu.arch`,
/// `env["HOME"]`, `NOMAD_PORT_db`. `var` and `local` refer to the document. The caller checks for names bound by loops.
pub(in crate::hcl) fn is_runtime_reference(written: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let root = root(written);
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
