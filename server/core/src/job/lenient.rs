//! Reads JSON as the clients of the API are used to: the members of a document in upper or lower case,
//! `null` wherever nothing is said, members that nobody knows ignored. A fault is told with its place.
//!
//! A wrapper around serde_json's reader: it stands between the reader and each type's own `Deserialize`,
//! so what is a member and what is a user's own word is learnt from the types themselves, and one pass
//! over the text does.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a document, and names the place and the fault of one that cannot be read.
pub(super) fn from_slice<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, String> {
    let place = Place::default();
    let mut reader = serde_json::Deserializer::from_slice(json);
    T::deserialize(Lenient { inner: &mut reader, place: &place })
        .and_then(|document| reader.end().map(|()| document))
        .map_err(|error| place.describe(&error))
}

/// Where a fault is: filled from the inside out while the error travels up.
#[derive(Default)]
struct Place(RefCell<Vec<Step>>);

enum Step {
    Member(Cow<'static, str>),
    Item(usize),
}

impl Place {
    fn describe(&self, error: &serde_json::Error) -> String {
        use fmt::Write;
        let mut path = String::new();
        for step in self.0.borrow().iter().rev() {
            // Writing to a `String` does not fail.
            let _ = match step {
                Step::Member(name) if path.is_empty() => write!(path, "{name}"),
                Step::Member(name) => write!(path, ".{name}"),
                Step::Item(index) => write!(path, "[{index}]"),
            };
        }
        if path.is_empty() {
            format!("invalid JSON: {error}")
        } else {
            format!("invalid JSON: {path}: {error}")
        }
    }
}

struct Lenient<'p, D> {
    inner: D,
    place: &'p Place,
}

/// What a type asks the reader for.
enum Wanted {
    Bool,
    Signed,
    Unsigned,
    Float,
    Text,
    List,
    Map,
    Struct(&'static str, &'static [&'static str]),
}

impl<'de, D: Deserializer<'de>> Lenient<'_, D> {
    fn read<V: Visitor<'de>>(self, wanted: Wanted, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_option(NullIsNothing { visitor, wanted, place: self.place })
    }
}

macro_rules! read {
    ($($method:ident => $wanted:ident;)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.read(Wanted::$wanted, visitor)
        })+
    };
}

/// Hands over to the reader as it is: nothing in there has members of a known type.
macro_rules! hand_over {
    ($($method:ident($($argument:ident: $type:ty),*);)+) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method($($argument,)* visitor)
        })+
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Lenient<'_, D> {
    type Error = D::Error;

    read! {
        deserialize_bool => Bool;
        deserialize_i8 => Signed;
        deserialize_i16 => Signed;
        deserialize_i32 => Signed;
        deserialize_i64 => Signed;
        deserialize_u8 => Unsigned;
        deserialize_u16 => Unsigned;
        deserialize_u32 => Unsigned;
        deserialize_u64 => Unsigned;
        deserialize_f32 => Float;
        deserialize_f64 => Float;
        deserialize_str => Text;
        deserialize_string => Text;
        deserialize_seq => List;
        deserialize_map => Map;
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.read(Wanted::Struct(name, fields), visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_option(Optional { visitor, place: self.place })
    }

    hand_over! {
        deserialize_any();
        deserialize_ignored_any();
        deserialize_identifier();
        deserialize_unit();
        deserialize_char();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
    }
}

/// `null` is an absent `Option`, anything else a present one, read with tolerance.
struct Optional<'p, V> {
    visitor: V,
    place: &'p Place,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Optional<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Lenient { inner, place: self.place })
    }
}

/// `null` is the zero of what is wanted, anything else is read as what is wanted.
struct NullIsNothing<'p, V> {
    visitor: V,
    wanted: Wanted,
    place: &'p Place,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for NullIsNothing<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        let nothing = std::iter::empty::<((), ())>();
        match self.wanted {
            Wanted::Bool => self.visitor.visit_bool(false),
            Wanted::Signed => self.visitor.visit_i64(0),
            Wanted::Unsigned => self.visitor.visit_u64(0),
            Wanted::Float => self.visitor.visit_f64(0.0),
            Wanted::Text => self.visitor.visit_str(""),
            Wanted::List => self.visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<()>())),
            Wanted::Map | Wanted::Struct(..) => self.visitor.visit_map(MapDeserializer::new(nothing)),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let (visitor, place) = (self.visitor, self.place);
        match self.wanted {
            Wanted::Bool => inner.deserialize_bool(visitor),
            Wanted::Signed => inner.deserialize_i64(visitor),
            Wanted::Unsigned => inner.deserialize_u64(visitor),
            Wanted::Float => inner.deserialize_f64(visitor),
            Wanted::Text => inner.deserialize_string(visitor),
            Wanted::List => inner.deserialize_seq(Items { visitor, place }),
            Wanted::Map => inner.deserialize_map(Members { visitor, names: None, place }),
            Wanted::Struct(name, names) => {
                inner.deserialize_struct(name, names, Members { visitor, names: Some(names), place })
            }
        }
    }
}

/// A list whose items are read with tolerance.
struct Items<'p, A> {
    visitor: A,
    place: &'p Place,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Items<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(ItemAccess { list, index: 0, place: self.place })
    }
}

struct ItemAccess<'p, A> {
    list: A,
    index: usize,
    place: &'p Place,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for ItemAccess<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        let index = self.index;
        self.index += 1;
        self.list.next_element_seed(Value { seed, place: self.place }).inspect_err(|_| {
            self.place.0.borrow_mut().push(Step::Item(index));
        })
    }

    fn size_hint(&self) -> Option<usize> {
        self.list.size_hint()
    }
}

/// A document with members of known `names`, or a map by the user's own words.
struct Members<'p, V> {
    visitor: V,
    names: Option<&'static [&'static str]>,
    place: &'p Place,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Members<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let current = Cow::Borrowed("");
        self.visitor.visit_map(MemberAccess { map, names: self.names, current, place: self.place })
    }
}

struct MemberAccess<'p, A> {
    map: A,
    names: Option<&'static [&'static str]>,
    /// The member whose value comes next.
    current: Cow<'static, str>,
    place: &'p Place,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for MemberAccess<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.map.next_key_seed(Key { seed, names: self.names, current: &mut self.current })
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.map.next_value_seed(Value { seed, place: self.place }).inspect_err(|_| {
            self.place.0.borrow_mut().push(Step::Member(std::mem::take(&mut self.current)));
        })
    }

    fn size_hint(&self) -> Option<usize> {
        self.map.size_hint()
    }
}

struct Key<'c, K> {
    seed: K,
    names: Option<&'static [&'static str]>,
    current: &'c mut Cow<'static, str>,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<'_, K> {
    type Value = K::Value;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<K::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for Key<'_, K> {
    type Value = K::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<K::Value, E> {
        let known = self.names.and_then(|names| {
            let exact = names.iter().find(|name| **name == key);
            exact.or_else(|| names.iter().find(|name| name.eq_ignore_ascii_case(key)))
        });
        *self.current = match (known, self.names) {
            (Some(name), _) => Cow::Borrowed(name),
            // A member that nobody knows is skipped; only broken text can be wrong with it.
            (None, Some(_)) => Cow::Borrowed("?"),
            (None, None) => Cow::Owned(key.to_owned()),
        };
        self.seed.deserialize(known.map_or(key, |name| name).into_deserializer())
    }
}

/// A value, read with tolerance.
struct Value<'p, T> {
    seed: T,
    place: &'p Place,
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Value<'_, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<T::Value, D::Error> {
        self.seed.deserialize(Lenient { inner, place: self.place })
    }
}
