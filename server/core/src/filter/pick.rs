//! Extracts the values that an expression reads from a row, and skips the rest.
//!
//! It is a serde serializer, so rows need not be converted to JSON. This also keeps what JSON loses: which objects are
//! structs and which are maps, and which members the JSON omits.

use std::borrow::Cow;
use std::fmt::Display;

use serde::ser::{self, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct};

use super::datum::{Datum, Object};
use super::error::FilterError;
use super::wanted::Wanted;

/// Extracts the wanted part of a row.
pub(super) fn pick<T: Serialize + ?Sized>(row: &T, wanted: &Wanted) -> Result<Datum, FilterError> {
    row.serialize(Picker { wanted, role: Role::Row }).map_err(|Unfit(text)| FilterError::Row(text))
}

/// Value that cannot be represented in JSON.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfit(String);

impl ser::Error for Unfit {
    fn custom<T: Display>(text: T) -> Self {
        Unfit(text.to_string())
    }
}

/// Serializer for one value.
struct Picker<'w> {
    wanted: &'w Wanted,
    role: Role,
}

/// Role of a value in the row.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// The row itself: treated as a struct even if it serialises as a map.
    Row,
    /// A wanted value.
    Value,
    /// The key of a map. `wanted` is that of the map; an unwanted key becomes null.
    Key,
}

type Picked = Result<Datum, Unfit>;

fn unfit<T>(what: &str) -> Result<T, Unfit> {
    Err(Unfit(format!("a row holds {what}, which has no JSON that filters know")))
}

impl<'w> ser::Serializer for Picker<'w> {
    type Ok = Datum;
    type Error = Unfit;
    type SerializeSeq = ListPicker<'w>;
    type SerializeTuple = ListPicker<'w>;
    type SerializeTupleStruct = ListPicker<'w>;
    type SerializeTupleVariant = Impossible<Datum, Unfit>;
    type SerializeMap = ObjectPicker<'w>;
    type SerializeStruct = ObjectPicker<'w>;
    type SerializeStructVariant = Impossible<Datum, Unfit>;

    fn serialize_bool(self, value: bool) -> Picked {
        Ok(Datum::Bool(value))
    }
    fn serialize_i8(self, value: i8) -> Picked {
        Ok(Datum::Signed(value.into()))
    }
    fn serialize_i16(self, value: i16) -> Picked {
        Ok(Datum::Signed(value.into()))
    }
    fn serialize_i32(self, value: i32) -> Picked {
        Ok(Datum::Signed(value.into()))
    }
    fn serialize_i64(self, value: i64) -> Picked {
        Ok(Datum::Signed(value))
    }
    fn serialize_u8(self, value: u8) -> Picked {
        Ok(Datum::Unsigned(value.into()))
    }
    fn serialize_u16(self, value: u16) -> Picked {
        Ok(Datum::Unsigned(value.into()))
    }
    fn serialize_u32(self, value: u32) -> Picked {
        Ok(Datum::Unsigned(value.into()))
    }
    fn serialize_u64(self, value: u64) -> Picked {
        Ok(Datum::Unsigned(value))
    }
    fn serialize_f32(self, value: f32) -> Picked {
        Ok(Datum::Float(value.into()))
    }
    fn serialize_f64(self, value: f64) -> Picked {
        Ok(Datum::Float(value))
    }
    fn serialize_char(self, value: char) -> Picked {
        Ok(Datum::Text(value.into()))
    }
    fn serialize_str(self, value: &str) -> Picked {
        if self.role == Role::Key && self.wanted.member(value).is_none() {
            return Ok(Datum::Null);
        }
        Ok(Datum::Text(value.to_owned()))
    }
    fn serialize_bytes(self, value: &[u8]) -> Picked {
        Ok(Datum::List(value.iter().map(|byte| Datum::Unsigned((*byte).into())).collect()))
    }
    fn serialize_none(self) -> Picked {
        Ok(Datum::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Picked {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Picked {
        Ok(Datum::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Picked {
        Ok(Datum::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Picked {
        Ok(Datum::Text(variant.to_owned()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Picked {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Picked {
        unfit("a variant")
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<ListPicker<'w>, Unfit> {
        Ok(ListPicker { wanted: self.wanted, elements: Vec::new() })
    }
    fn serialize_tuple(self, length: usize) -> Result<ListPicker<'w>, Unfit> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<ListPicker<'w>, Unfit> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unfit> {
        unfit("a variant")
    }
    fn serialize_map(self, _: Option<usize>) -> Result<ObjectPicker<'w>, Unfit> {
        Ok(ObjectPicker::new(self.wanted, self.role == Role::Row))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<ObjectPicker<'w>, Unfit> {
        Ok(ObjectPicker::new(self.wanted, true))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unfit> {
        unfit("a variant")
    }
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Picked {
        Ok(Datum::Text(value.to_string()))
    }
}

/// Collects the elements of a list. Unwanted elements leave a gap, so that indexes are kept.
struct ListPicker<'w> {
    wanted: &'w Wanted,
    elements: Vec<Datum>,
}

impl ListPicker<'_> {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        let element = match self.wanted.element(self.elements.len()) {
            Some(wanted) => value.serialize(Picker { wanted, role: Role::Value })?,
            None => Datum::Null,
        };
        self.elements.push(element);
        Ok(())
    }
}

impl SerializeSeq for ListPicker<'_> {
    type Ok = Datum;
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.add(value)
    }
    fn end(self) -> Picked {
        Ok(Datum::List(self.elements))
    }
}

impl ser::SerializeTuple for ListPicker<'_> {
    type Ok = Datum;
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.add(value)
    }
    fn end(self) -> Picked {
        Ok(Datum::List(self.elements))
    }
}

impl ser::SerializeTupleStruct for ListPicker<'_> {
    type Ok = Datum;
    type Error = Unfit;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.add(value)
    }
    fn end(self) -> Picked {
        Ok(Datum::List(self.elements))
    }
}

/// Collects the members of a struct or a map.
struct ObjectPicker<'w> {
    wanted: &'w Wanted,
    object: Object,
    /// Wanted members not seen yet. At 0, further members are skipped without a lookup.
    left: usize,
    /// Key of the value that follows; `None` if the key is unwanted.
    key: Option<String>,
}

impl<'w> ObjectPicker<'w> {
    fn new(wanted: &'w Wanted, is_typed: bool) -> Self {
        let members = Vec::with_capacity(wanted.count().unwrap_or_default());
        let left = wanted.count().unwrap_or(usize::MAX);
        Self { wanted, object: Object { is_typed, members }, left, key: None }
    }

    /// Returns what is wanted of the member `name`. Called once per name.
    fn meet(&mut self, name: &str) -> Option<&'w Wanted> {
        let wanted = if self.left == 0 { None } else { self.wanted.member(name) };
        self.left = self.left.saturating_sub(usize::from(wanted.is_some()));
        wanted
    }
}

impl SerializeStruct for ObjectPicker<'_> {
    type Ok = Datum;
    type Error = Unfit;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unfit> {
        if let Some(wanted) = self.meet(name) {
            let datum = value.serialize(Picker { wanted, role: Role::Value })?;
            self.object.members.push((Cow::Borrowed(name), datum));
        }
        Ok(())
    }
    fn skip_field(&mut self, name: &'static str) -> Result<(), Unfit> {
        if self.meet(name).is_some() {
            self.object.members.push((Cow::Borrowed(name), Datum::Zero));
        }
        Ok(())
    }
    fn end(self) -> Picked {
        Ok(Datum::Object(self.object))
    }
}

impl SerializeMap for ObjectPicker<'_> {
    type Ok = Datum;
    type Error = Unfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        if self.left == 0 {
            return Ok(());
        }
        self.key = match key.serialize(Picker { wanted: self.wanted, role: Role::Key })? {
            Datum::Text(text) => Some(text),
            Datum::Signed(number) => Some(number.to_string()),
            Datum::Unsigned(number) => Some(number.to_string()),
            Datum::Null => None,
            _ => return unfit("a map whose keys are no names"),
        };
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        if let Some(key) = self.key.take()
            && let Some(wanted) = self.meet(&key)
        {
            let datum = value.serialize(Picker { wanted, role: Role::Value })?;
            self.object.members.push((Cow::Owned(key), datum));
        }
        Ok(())
    }
    fn end(self) -> Picked {
        Ok(Datum::Object(self.object))
    }
}
