//! Type constraints of variables, and conversion of values to them.

use std::collections::BTreeMap;

use hcl::edit::expr::{Expression, FuncCall, ObjectKey};

use crate::hcl::shortened;
use crate::hcl::tree::{Member, Value, ValueKind};

use super::{Fault, values};

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::hcl) enum Type {
    Any,
    Text,
    Number,
    Flag,
    List(Box<Type>),
    /// A sorted list without duplicates.
    Set(Box<Type>),
    Map(Box<Type>),
    Object(Vec<Attribute>),
    Tuple(Vec<Type>),
}

/// An attribute of an object type.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::hcl) struct Attribute {
    name: String,
    kind: Type,
    optional: bool,
}

impl Type {
    /// Parses `string`, `list(string)`, `object({ a = number })` and the like.
    pub(in crate::hcl) fn read(expression: &Expression) -> Result<Type, Fault> {
        match expression {
            Expression::Parenthesis(inner) => Type::read(inner.inner()),
            Expression::Variable(name) => Type::named(name.as_str()),
            // Older syntax for types.
            Expression::String(name) => Type::named(name.as_str()),
            Expression::FuncCall(call) => Type::of_call(call),
            _ => Err(Type::unknown("this")),
        }
        .map_err(|fault| fault.within(expression))
    }

    fn unknown(found: &str) -> Fault {
        format!(
            "{found} is no type; types are string, number, bool, any, list(…), set(…), map(…), object({{…}}) and \
             tuple([…])"
        )
        .into()
    }

    pub(in crate::hcl) fn named(name: &str) -> Result<Type, Fault> {
        Ok(match name {
            "any" => Type::Any,
            "string" => Type::Text,
            "number" => Type::Number,
            "bool" => Type::Flag,
            "list" => Type::List(Box::new(Type::Any)),
            "set" => Type::Set(Box::new(Type::Any)),
            "map" => Type::Map(Box::new(Type::Any)),
            _ => return Err(Type::unknown(&format!("`{}`", shortened(name)))),
        })
    }

    fn of_call(call: &FuncCall) -> Result<Type, Fault> {
        let name = call.name.name.as_str();
        let arguments: Vec<&Expression> = call.args.iter().collect();
        let [argument] = arguments[..] else {
            return Err(format!("`{}(…)` holds one type", shortened(name)).into());
        };
        match (name, argument) {
            ("list", of) => Ok(Type::List(Box::new(Type::read(of)?))),
            ("set", of) => Ok(Type::Set(Box::new(Type::read(of)?))),
            ("map", of) => Ok(Type::Map(Box::new(Type::read(of)?))),
            ("object", Expression::Object(object)) => {
                let attributes = object.iter().map(|(key, value)| {
                    let name = match key {
                        ObjectKey::Ident(name) => name.as_str(),
                        ObjectKey::Expression(Expression::String(name)) => name.as_str(),
                        ObjectKey::Expression(_) => {
                            return Err(Fault::from("the attributes of an object have names"));
                        }
                    };
                    Type::attribute(name, value.expr())
                });
                Ok(Type::Object(attributes.collect::<Result<_, _>>()?))
            }
            ("tuple", Expression::Array(items)) => {
                Ok(Type::Tuple(items.iter().map(Type::read).collect::<Result<_, _>>()?))
            }
            _ => Err(Type::unknown(&format!("`{}(…)`", shortened(name)))),
        }
    }

    /// Parses an attribute type: `type` or `optional(type)`.
    fn attribute(name: &str, written: &Expression) -> Result<Attribute, Fault> {
        let name = name.to_owned();
        if let Expression::FuncCall(call) = written
            && call.name.name.as_str() == "optional"
        {
            return match call.args.iter().next() {
                Some(of) => Ok(Attribute { name, kind: Type::read(of)?, optional: true }),
                None => Err("`optional(…)` holds a type".into()),
            };
        }
        Ok(Attribute { name, kind: Type::read(written)?, optional: false })
    }

    /// Whether a text given for this type is taken literally rather than parsed as an expression.
    pub(in crate::hcl) fn is_text_as_it_stands(&self) -> bool {
        matches!(self, Type::Any | Type::Text | Type::Number | Type::Flag)
    }

    /// Returns the type constraint closest to a value.
    pub(in crate::hcl) fn of(value: &Value) -> Type {
        match &value.kind {
            ValueKind::Null => Type::Any,
            ValueKind::Text(_) => Type::Text,
            ValueKind::Flag(_) => Type::Flag,
            ValueKind::Integer(_) | ValueKind::Digits(_) | ValueKind::Float(_) => Type::Number,
            ValueKind::List(_) => Type::List(Box::new(Type::Any)),
            ValueKind::Object(_) => Type::Map(Box::new(Type::Any)),
        }
    }

    /// Converts a value to this type. Null belongs to every type.
    pub(in crate::hcl) fn convert(&self, value: Value) -> Result<Value, Fault> {
        let Value { kind, position } = value;
        if kind == ValueKind::Null {
            return Ok(Value { kind, position });
        }
        let kind = match self {
            Type::Any => kind,
            Type::Text => ValueKind::Text(values::to_text(&kind, "it")?),
            Type::Flag => ValueKind::Flag(values::to_flag(&kind, "it")?),
            Type::Number if matches!(kind, ValueKind::Digits(_)) => kind,
            Type::Number => match values::to_number(&kind, "it")? {
                values::Number::Integer(number) => ValueKind::Integer(number),
                values::Number::Float(number) => values::from_float(number)?,
            },
            Type::List(of) => ValueKind::List(items(kind, |_| of)?),
            Type::Set(of) => ValueKind::List(once_each(items(kind, |_| of)?)),
            Type::Tuple(kinds) => {
                let list = values::to_list(kind, "it")?;
                if list.len() != kinds.len() {
                    return Err(format!("it has {} items, and {} are wanted", list.len(), kinds.len()).into());
                }
                ValueKind::List(items(ValueKind::List(list), |at| &kinds[at])?)
            }
            Type::Map(of) => {
                let mut members = values::to_object(kind, "it")?;
                for member in &mut members {
                    convert_member(member, of)?;
                }
                ValueKind::Object(members)
            }
            Type::Object(attributes) => ValueKind::Object(object(kind, attributes, position)?),
        };
        Ok(Value { kind, position })
    }
}

fn items<'t>(kind: ValueKind, of: impl Fn(usize) -> &'t Type) -> Result<Vec<Value>, Fault> {
    let list = values::to_list(kind, "it")?;
    let convert = |(at, item): (usize, Value)| {
        of(at).convert(item).map_err(|fault| format!("item {at}: {}", fault.into_text()).into())
    };
    list.into_iter().enumerate().map(convert).collect()
}

/// Sorts the values by their identity and removes duplicates.
pub(super) fn once_each(items: Vec<Value>) -> Vec<Value> {
    let known: BTreeMap<String, Value> =
        items.into_iter().map(|item| (values::identity(&item.kind), item)).collect();
    known.into_values().collect()
}

fn convert_member(member: &mut Member, of: &Type) -> Result<(), Fault> {
    let empty = Value { kind: ValueKind::Null, position: member.position };
    let value = std::mem::replace(&mut member.value, empty);
    let name = shortened(&member.key);
    member.value =
        of.convert(value).map_err(|fault| Fault::from(format!("`{name}`: {}", fault.into_text())))?;
    Ok(())
}

/// Returns the declared attributes; others are dropped, as in HCL2.
fn object(
    kind: ValueKind,
    attributes: &[Attribute],
    position: crate::hcl::Position,
) -> Result<Vec<Member>, Fault> {
    let mut given: BTreeMap<String, Member> =
        values::to_object(kind, "it")?.into_iter().map(|member| (member.key.clone(), member)).collect();
    let mut members = BTreeMap::new();
    for attribute in attributes {
        let mut member = match given.remove(&attribute.name) {
            Some(member) => member,
            None if attribute.optional => {
                let value = Value { kind: ValueKind::Null, position };
                Member { key: attribute.name.clone(), position, value }
            }
            None => return Err(format!("`{}` is missing in it", shortened(&attribute.name)).into()),
        };
        convert_member(&mut member, &attribute.kind)?;
        members.insert(attribute.name.clone(), member);
    }
    Ok(members.into_values().collect())
}
