//! Jobspecs with variables and locals: finds the declarations, assigns the given values and evaluates the document.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::cursor::Cursor;
use super::evaluate::types::Type;
use super::evaluate::{Evaluator, Fault};
use super::fragment::Parsed;
use super::syntax::{self, Reader};
use super::tree::{Body, Position, Value, ValueKind};
use super::{Dialect, Error, HCL_BYTES_MAX, body, json, nearest, shortened, value};

/// What a document takes from the caller: values for its variables, and the seed of what it draws by chance.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    given: BTreeMap<String, Given>,
    seed: Option<u128>,
}

#[derive(Debug, Clone)]
enum Given {
    /// Text from a command line, interpreted by the declared type.
    Text(String),
    Value(Value),
}

impl Variables {
    /// Creates an empty set: every variable takes its default, and what would come by chance is refused.
    pub fn new() -> Variables {
        Variables::default()
    }

    /// Sets the seed of what the document draws by chance. Equal seeds yield equal documents.
    pub fn with_seed(self, seed: u128) -> Variables {
        Variables { seed: Some(seed), ..self }
    }

    /// Sets a variable to a text. A variable declared as string, number or bool takes the text literally; for any other
    /// type the text is parsed as an expression such as `["a", "b"]`.
    pub fn set(&mut self, name: &str, text: &str) {
        self.given.insert(name.to_owned(), Given::Text(text.to_owned()));
    }

    /// Sets variables from a document of attributes: one `name = value` a line.
    ///
    /// # Errors
    /// The document is invalid; the error has the line and column.
    pub fn read(&mut self, document: &str) -> Result<(), Error> {
        let written = read(document, &mut Reader::new(Dialect::Jobspec))?;
        let mut evaluator = Evaluator::new(None);
        for entry in &written.entries {
            let syntax::Entry::Attribute(attribute) = entry else {
                return Err(Error::at(entry.position(), "values for variables are written `name = value`"));
            };
            let value = evaluator.value(&attribute.value)?;
            self.given.insert(attribute.key.clone(), Given::Value(value));
        }
        Ok(())
    }
}

impl<N: AsRef<str>, T: AsRef<str>> FromIterator<(N, T)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(given: I) -> Variables {
        let mut variables = Variables::new();
        given.into_iter().for_each(|(name, text)| variables.set(name.as_ref(), text.as_ref()));
        variables
    }
}

/// An evaluated document.
#[derive(Debug)]
pub struct Document {
    /// The contents, without variable and local declarations.
    pub body: Body,
    /// How the document was read: [`Dialect::Configuration`] for HCL1.
    pub dialect: Dialect,
    /// The first position with a layout that only HCL1 accepts, if there is one.
    pub old_layout: Option<Position>,
}

/// Parses the body of a document in any dialect except JSON.
pub(super) fn read<'a>(text: &'a str, reader: &mut Reader) -> Result<syntax::Body<'a>, Error> {
    body::document(&mut begin(text)?, reader)
}

/// Returns the text with the line ends of Unix, as HCL1 reads it.
pub(super) fn unix_lines(text: &str) -> Cow<'_, str> {
    match text.contains("\r\n") {
        true => Cow::Owned(text.replace("\r\n", "\n")),
        false => Cow::Borrowed(text),
    }
}

/// Returns a cursor at the beginning of a document, or an error if the document is too long.
pub(super) fn begin(text: &str) -> Result<Cursor<'_>, Error> {
    let start = Position { line: 1, column: 1 };
    if text.len() > HCL_BYTES_MAX {
        let text = format!("the document has {} bytes; {HCL_BYTES_MAX} are the most", text.len());
        return Err(Error::at(start, text));
    }
    Ok(Cursor::new(text.strip_prefix('\u{feff}').unwrap_or(text), start))
}

/// Parses a jobspec and evaluates it with the given variables.
pub(super) fn evaluate(text: &str, variables: &Variables) -> Result<Document, Error> {
    let mut reader = Reader::new(Dialect::Jobspec);
    let written = match json::is_json(text) {
        true => json::read(text)?,
        false => read(text, &mut reader)?,
    };
    let declared = Declared::find(&written)?;
    let mut evaluator = Evaluator::new(variables.seed);
    declared.evaluate(&mut evaluator, variables)?;
    let mut entries = Vec::new();
    for entry in declared.others {
        evaluator.entry(entry, Dialect::Jobspec, &mut entries)?;
    }
    let body = Body { entries, position: written.position };
    Ok(Document { body, dialect: Dialect::Jobspec, old_layout: reader.old_layout })
}

/// Declarations of a document.
struct Declared<'d> {
    variables: Vec<Variable<'d>>,
    locals: Vec<&'d syntax::Attribute<'d>>,
    others: Vec<&'d syntax::Entry<'d>>,
}

struct Variable<'d> {
    name: &'d str,
    position: Position,
    kind: Option<&'d syntax::Value<'d>>,
    default: Option<&'d syntax::Value<'d>>,
    validations: Vec<&'d syntax::Block<'d>>,
}

impl<'d> Declared<'d> {
    fn find(written: &'d syntax::Body<'d>) -> Result<Declared<'d>, Error> {
        let mut declared = Declared { variables: Vec::new(), locals: Vec::new(), others: Vec::new() };
        for entry in &written.entries {
            match entry {
                syntax::Entry::Block(block) if block.kind == "variable" => {
                    declared.variables.push(Variable::read(block)?);
                }
                syntax::Entry::Block(block) if block.kind == "variables" => {
                    declared.variables.extend(attributes(block)?.into_iter().map(Variable::of_default));
                }
                syntax::Entry::Block(block) if block.kind == "locals" => {
                    declared.locals.extend(attributes(block)?);
                }
                other => declared.others.push(other),
            }
        }
        let mut names: BTreeMap<(&str, &str), Position> = BTreeMap::new();
        let variables =
            declared.variables.iter().map(|variable| ("variable", variable.name, variable.position));
        let locals = declared.locals.iter().map(|local| ("local", local.key.as_str(), local.position));
        for (what, name, position) in variables.chain(locals) {
            if let Some(first) = names.insert((what, name), position) {
                let text = format!("the {what} `{}` is on line {} already", shortened(name), first.line);
                return Err(Error::at(position, text));
            }
        }
        Ok(declared)
    }

    fn evaluate(&self, evaluator: &mut Evaluator<'d>, given: &Variables) -> Result<(), Error> {
        let known: BTreeSet<&str> = self.variables.iter().map(|variable| variable.name).collect();
        for name in given.given.keys() {
            if !known.contains(name.as_str()) {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("; is `{}` meant?", shortened(near)),
                    None => String::new(),
                };
                let name = shortened(name);
                let text = format!("a value is given for the variable `{name}`, which is not declared{hint}");
                return Err(Error::at(Position { line: 1, column: 1 }, text));
            }
        }
        // Evaluate defaults before any variable is defined: they cannot refer to variables.
        let mut values = Vec::with_capacity(self.variables.len());
        for variable in &self.variables {
            values.push(variable.value(evaluator, given.given.get(variable.name))?);
        }
        for (variable, value) in self.variables.iter().zip(values) {
            evaluator.set_variable(variable.name, value);
        }
        for variable in &self.variables {
            variable.validate(evaluator)?;
        }
        for local in &self.locals {
            evaluator.declare_local(&local.key, &local.value);
        }
        for local in &self.locals {
            evaluator.ensure_local(&local.key).map_err(|fault| at(local.position, fault))?;
        }
        Ok(())
    }
}

fn at(position: Position, fault: Fault) -> Error {
    match fault {
        Fault::Placed(error) => error,
        Fault::Told { text, .. } => Error::at(position, text),
    }
}

/// Returns the attributes of a block, which must not contain anything else.
fn attributes<'d>(block: &'d syntax::Block<'d>) -> Result<Vec<&'d syntax::Attribute<'d>>, Error> {
    if let Some(label) = block.labels.first() {
        return Err(Error::at(label.position, format!("`{}` has no name behind it", block.kind)));
    }
    let attribute = |entry: &'d syntax::Entry<'d>| match entry {
        syntax::Entry::Attribute(attribute) => Ok(attribute),
        syntax::Entry::Block(inner) => {
            let text = format!("`{}` holds `name = value` and no blocks", block.kind);
            Err(Error::at(inner.position, text))
        }
    };
    block.body.entries.iter().map(attribute).collect()
}

impl<'d> Variable<'d> {
    fn read(block: &'d syntax::Block<'d>) -> Result<Variable<'d>, Error> {
        let [label] = block.labels.as_slice() else {
            return Err(Error::at(block.position, "a variable has one name: `variable \"name\" { … }`"));
        };
        let mut variable = Variable {
            name: &label.text,
            position: block.position,
            kind: None,
            default: None,
            validations: Vec::new(),
        };
        for entry in &block.body.entries {
            match entry {
                syntax::Entry::Attribute(attribute) => match attribute.key.as_str() {
                    "type" => variable.kind = Some(&attribute.value),
                    "default" => variable.default = Some(&attribute.value),
                    "description" | "sensitive" | "nullable" => {}
                    key => return Err(Variable::unknown(key, attribute.position)),
                },
                syntax::Entry::Block(block) if block.kind == "validation" => {
                    variable.validations.push(block);
                }
                syntax::Entry::Block(block) => return Err(Variable::unknown(&block.kind, block.position)),
            }
        }
        Ok(variable)
    }

    fn unknown(key: &str, position: Position) -> Error {
        let hint = match nearest(key, ["type", "default", "description", "sensitive", "validation"]) {
            Some(near) => format!("; is `{near}` meant?"),
            None => String::new(),
        };
        Error::at(position, format!("a variable has no `{}`{hint}", shortened(key)))
    }

    fn of_default(attribute: &'d syntax::Attribute<'d>) -> Variable<'d> {
        Variable {
            name: &attribute.key,
            position: attribute.position,
            kind: None,
            default: Some(&attribute.value),
            validations: Vec::new(),
        }
    }

    fn declared_type(&self) -> Result<Option<Type>, Error> {
        let Some(written) = self.kind else { return Ok(None) };
        let found = match &written.kind {
            syntax::Kind::Fragment(fragment) => match fragment.parse()? {
                Parsed::Expression(expression) => {
                    return Type::read(&expression).map(Some).map_err(|fault| fragment.place(fault));
                }
                Parsed::Template(_) => None,
            },
            // Older syntax for types.
            syntax::Kind::Plain(ValueKind::Text(name)) => Some(name),
            _ => None,
        };
        let name = found.map_or("this", String::as_str);
        Type::named(name).map(Some).map_err(|fault| at(written.position, fault))
    }

    /// Returns the given value of the variable, or its default.
    fn value(&self, evaluator: &mut Evaluator<'d>, given: Option<&Given>) -> Result<Value, Error> {
        let default = self.default.map(|default| evaluator.value(default)).transpose()?;
        let declared = self.declared_type()?;
        // Without a declared type, the value must have the type of the default.
        let kind = declared.or_else(|| default.as_ref().map(Type::of)).unwrap_or(Type::Any);
        let name = shortened(self.name);
        let (value, what) = match (given, default) {
            (Some(Given::Value(value)), _) => {
                (Value { kind: value.kind.clone(), position: self.position }, "the value given for")
            }
            (Some(Given::Text(text)), _) => (self.read_given(evaluator, text, &kind)?, "the value given for"),
            (None, Some(default)) => (default, "the default of"),
            (None, None) => {
                let text = format!("the variable `{name}` has no default, and no value is given for it");
                return Err(Error::at(self.position, text));
            }
        };
        let position = value.position;
        let mut value = kind.convert(value).map_err(|fault| {
            let text = format!("{what} the variable `{name}` is not of its type: {}", fault.into_text());
            Error::at(position, text)
        })?;
        super::evaluate::normalise(&mut value);
        evaluator.budget.copy(&value.kind).map_err(|fault| at(position, fault))?;
        Ok(value)
    }

    /// Converts a value that was given as text.
    fn read_given(&self, evaluator: &mut Evaluator<'d>, text: &str, kind: &Type) -> Result<Value, Error> {
        if kind.is_text_as_it_stands() {
            return Ok(Value { kind: ValueKind::Text(text.to_owned()), position: self.position });
        }
        let refuse = |error: Error| {
            let name = shortened(self.name);
            let place = format!("its line {}, column {}", error.line, error.column);
            let text =
                format!("the value given for the variable `{name}` cannot be read: {place}: {}", error.text);
            Error::at(self.position, text)
        };
        let mut cursor = begin(text).map_err(refuse)?;
        let mut read = || {
            cursor.skip_blanks(true)?;
            let value = value::value(&mut cursor, &mut Reader::new(Dialect::Jobspec), 0)?;
            cursor.skip_blanks(true)?;
            if !cursor.at_end() {
                return Err(Error::at(cursor.position(), "there is more behind the value"));
            }
            evaluator.value(&value)
        };
        let value = read().map_err(refuse)?;
        Ok(Value { kind: value.kind, position: self.position })
    }

    fn validate(&self, evaluator: &mut Evaluator<'d>) -> Result<(), Error> {
        for validation in &self.validations {
            let (mut condition, mut message) = (None, None);
            for attribute in attributes(validation)? {
                match attribute.key.as_str() {
                    "condition" => condition = Some(&attribute.value),
                    "error_message" => message = Some(&attribute.value),
                    other => {
                        let text = format!("a validation has no `{}`", shortened(other));
                        return Err(Error::at(attribute.position, text));
                    }
                }
            }
            let Some(condition) = condition else {
                return Err(Error::at(validation.position, "a validation has a `condition`"));
            };
            if evaluator.value(condition)?.to_flag("condition")? {
                continue;
            }
            let message = match message {
                Some(message) => evaluator.value(message)?.to_text("error_message")?,
                None => "its validation does not hold".to_owned(),
            };
            let text = format!("the value of the variable `{}` is refused: {message}", shortened(self.name));
            return Err(Error::at(self.position, text));
        }
        Ok(())
    }
}
