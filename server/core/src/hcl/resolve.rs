//! Evaluates the document as written to its tree: computes expressions and expands `dynamic` blocks.

use super::evaluate::{Evaluator, Fault};
use super::syntax;
use super::tree::{Attribute, Block, Body, Entry, Label, Member, Position, Value, ValueKind};
use super::{Dialect, Error, nearest, shortened};

/// Kinds of blocks with free-form content.
const FREE_FORM: [&str; 2] = ["config", "policy"];

impl Evaluator<'_> {
    /// Evaluates a body.
    pub(super) fn body(&mut self, written: &syntax::Body<'_>, dialect: Dialect) -> Result<Body, Error> {
        let mut entries = Vec::with_capacity(written.entries.len());
        for entry in &written.entries {
            self.entry(entry, dialect, &mut entries)?;
        }
        Ok(Body { entries, position: written.position })
    }

    /// Appends the evaluated entry; a `dynamic` block yields any number of entries.
    pub(super) fn entry(
        &mut self,
        written: &syntax::Entry<'_>,
        dialect: Dialect,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Error> {
        let position = written.position();
        match written {
            syntax::Entry::Attribute(attribute) => {
                self.charge(position, &attribute.key)?;
                let value = self.value(&attribute.value)?;
                entries.push(Entry::Attribute(Attribute { key: attribute.key.clone(), position, value }));
            }
            syntax::Entry::Block(block)
                if block.kind == "dynamic" && dialect == Dialect::Jobspec && !self.in_free_form =>
            {
                self.dynamic(block, dialect, entries)?;
            }
            syntax::Entry::Block(block) => {
                self.charge(position, &block.kind)?;
                let body = self.block_body(&block.kind, &block.body, dialect)?;
                let (kind, labels) = (block.kind.clone(), block.labels.clone());
                entries.push(Entry::Block(Block { kind, labels, body, position }));
            }
        }
        Ok(())
    }

    /// Evaluates the body of a block. The content of free-form blocks belongs to drivers and scalers: as in Nomad, a
    /// `dynamic` there is one of their blocks.
    fn block_body(
        &mut self,
        kind: &str,
        written: &syntax::Body<'_>,
        dialect: Dialect,
    ) -> Result<Body, Error> {
        let outer = self.in_free_form;
        self.in_free_form |= FREE_FORM.contains(&kind);
        let body = self.body(written, dialect);
        self.in_free_form = outer;
        body
    }

    fn charge(&mut self, position: Position, text: &str) -> Result<(), Error> {
        let spent = self.budget.steps(1).and_then(|()| self.budget.bytes(text.len()));
        spent.map_err(|fault| at(position, fault))
    }

    /// Evaluates a value.
    pub(super) fn value(&mut self, written: &syntax::Value<'_>) -> Result<Value, Error> {
        let position = written.position;
        let kind = match &written.kind {
            syntax::Kind::Plain(kind) => {
                self.budget.copy(kind).map_err(|fault| at(position, fault))?;
                kind.clone()
            }
            syntax::Kind::Pieces(pieces) => {
                let kind = self.pieces(pieces)?;
                self.budget.copy(&kind).map_err(|fault| at(position, fault))?;
                kind
            }
            syntax::Kind::Fragment(fragment) => self.fragment(fragment)?.kind,
            syntax::Kind::List(items) => {
                let items = items.iter().map(|item| self.value(item)).collect::<Result<_, Error>>()?;
                self.shallow(ValueKind::List(items), position)?
            }
            syntax::Kind::Object(members) => {
                let members = members.iter().map(|m| self.member(m)).collect::<Result<_, Error>>()?;
                self.shallow(ValueKind::Object(members), position)?
            }
        };
        Ok(Value { kind, position })
    }

    /// Returns the list or object unless its items make it too deep.
    fn shallow(&mut self, kind: ValueKind, position: Position) -> Result<ValueKind, Error> {
        self.budget.check(&kind).map_err(|fault| at(position, fault))?;
        Ok(kind)
    }

    fn member(&mut self, written: &syntax::Member<'_>) -> Result<Member, Error> {
        let position = written.position;
        let key = match &written.key {
            syntax::Key::Plain(key) => key.clone(),
            syntax::Key::Computed(key) => self.value(key)?.to_text("the key of a member")?,
        };
        self.charge(position, &key)?;
        Ok(Member { key, position, value: self.value(&written.value)? })
    }

    /// Expands `dynamic "kind" { for_each = … labels = […] iterator = name content { … } }`.
    fn dynamic(
        &mut self,
        block: &syntax::Block<'_>,
        dialect: Dialect,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Error> {
        let dynamic = Dynamic::read(block)?;
        let collection = self.value(dynamic.for_each)?;
        let mut collection = Value { kind: collection.kind, position: dynamic.for_each.position };
        super::evaluate::normalise(&mut collection);
        let position = collection.position;
        let pairs = self.pairs(collection.kind).map_err(|fault| at(position, fault))?;
        if pairs.is_empty() {
            return check(dynamic.content);
        }
        for (key, value) in pairs {
            self.charge(block.position, dynamic.kind)?;
            let member =
                |name: &str, kind| Member { key: name.to_owned(), position, value: Value { kind, position } };
            let iterator = ValueKind::Object(vec![member("key", key), member("value", value)]);
            let iterator = Value { kind: iterator, position };
            let entry = self.with_name(dynamic.iterator, iterator, |evaluator| {
                let labels = evaluator.labels(dynamic.labels)?;
                let body = evaluator.block_body(dynamic.kind, dynamic.content, dialect)?;
                Ok(Block { kind: dynamic.kind.to_owned(), labels, body, position: block.position })
            })?;
            entries.push(Entry::Block(entry));
        }
        Ok(())
    }

    fn labels(&mut self, written: Option<&syntax::Value<'_>>) -> Result<Vec<Label>, Error> {
        let Some(written) = written else { return Ok(Vec::new()) };
        let position = written.position;
        let texts = self.value(written)?.to_texts("labels")?;
        Ok(texts.into_iter().map(|text| Label { text, position }).collect())
    }
}

fn at(position: Position, fault: Fault) -> Error {
    match fault {
        Fault::Placed(error) => error,
        Fault::Told { text, .. } => Error::at(position, text),
    }
}

/// Parses all expressions of content that is never evaluated, so that syntax errors are found nevertheless.
fn check(body: &syntax::Body<'_>) -> Result<(), Error> {
    for entry in &body.entries {
        match entry {
            syntax::Entry::Attribute(attribute) => check_value(&attribute.value)?,
            syntax::Entry::Block(block) => check(&block.body)?,
        }
    }
    Ok(())
}

fn check_value(value: &syntax::Value<'_>) -> Result<(), Error> {
    match &value.kind {
        syntax::Kind::Plain(_) => Ok(()),
        syntax::Kind::Fragment(fragment) => fragment.parse().map(drop),
        syntax::Kind::Pieces(pieces) => pieces.iter().try_for_each(|piece| match piece {
            syntax::Piece::Interpolation(fragment)
                if !super::evaluate::is_runtime_reference(fragment.text()) =>
            {
                fragment.parse().map(drop)
            }
            _ => Ok(()),
        }),
        syntax::Kind::List(items) => items.iter().try_for_each(check_value),
        syntax::Kind::Object(members) => members.iter().try_for_each(|member| {
            if let syntax::Key::Computed(key) = &member.key {
                check_value(key)?;
            }
            check_value(&member.value)
        }),
    }
}

/// A parsed `dynamic` block.
struct Dynamic<'w> {
    /// Kind of the generated blocks.
    kind: &'w str,
    /// Name that is bound to each item.
    iterator: &'w str,
    for_each: &'w syntax::Value<'w>,
    labels: Option<&'w syntax::Value<'w>>,
    content: &'w syntax::Body<'w>,
}

impl<'w> Dynamic<'w> {
    fn read(block: &'w syntax::Block<'w>) -> Result<Dynamic<'w>, Error> {
        let [label] = block.labels.as_slice() else {
            let text = "a dynamic block names the blocks it stands for: `dynamic \"name\" { … }`";
            return Err(Error::at(block.position, text));
        };
        let (mut for_each, mut labels, mut content) = (None, None, None);
        let mut iterator = label.text.as_str();
        for entry in &block.body.entries {
            match entry {
                syntax::Entry::Attribute(attribute) if attribute.key == "for_each" => {
                    for_each = Some(&attribute.value);
                }
                syntax::Entry::Attribute(attribute) if attribute.key == "labels" => {
                    labels = Some(&attribute.value);
                }
                syntax::Entry::Attribute(attribute) if attribute.key == "iterator" => {
                    iterator = name(&attribute.value)?;
                }
                syntax::Entry::Block(block) if block.kind == "content" => content = Some(&block.body),
                other => return Err(unknown(other)),
            }
        }
        let missing = |what: &str| Error::at(block.position, format!("this dynamic block has no `{what}`"));
        Ok(Dynamic {
            kind: &label.text,
            iterator,
            for_each: for_each.ok_or_else(|| missing("for_each"))?,
            labels,
            content: content.ok_or_else(|| missing("content"))?,
        })
    }
}

fn unknown(entry: &syntax::Entry<'_>) -> Error {
    let key = match entry {
        syntax::Entry::Attribute(attribute) => &attribute.key,
        syntax::Entry::Block(block) => &block.kind,
    };
    let hint = match nearest(key, ["for_each", "labels", "iterator", "content"]) {
        Some(near) => format!("; is `{near}` meant?"),
        None => String::new(),
    };
    Error::at(entry.position(), format!("a dynamic block has no `{}`{hint}", shortened(key)))
}

/// Reads a name, bare or quoted.
fn name<'w>(value: &'w syntax::Value<'w>) -> Result<&'w str, Error> {
    let word = |text: &str| {
        text.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
    };
    let found = match &value.kind {
        syntax::Kind::Fragment(fragment) => Some(fragment.text()),
        syntax::Kind::Plain(ValueKind::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    found.filter(|text| word(text)).ok_or_else(|| Error::at(value.position, "`iterator` has to be a name"))
}
