//! Lenient deserializer: wraps serde_json's and adds Nomad's tolerance between it and the `Deserialize` of each type.
//! Struct members and user-defined keys are told apart by what the types ask for, so one pass over the text suffices.

use std::fmt;

use serde::Deserializer;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::place::{Place, Step, Wanted};
use crate::limits::{JOB_DEPTH_MAX, JOB_PARTS_MAX};

/// Prefix of keys that serde_json uses internally; it would interpret their values as further JSON.
const RESERVED_KEYS: &str = "$serde_json::private::";

pub(super) struct Lenient<'p, D> {
    pub(super) inner: D,
    pub(super) place: &'p Place,
}

impl<'de, D: Deserializer<'de>> Lenient<'_, D> {
    fn read<V: Visitor<'de>>(self, wanted: Wanted, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(Expecting { visitor, wanted, place: self.place })
    }
}

macro_rules! read {
    ($($method:ident => $wanted:expr;)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.read($wanted, visitor)
        })+
    };
}

/// Forwards methods unchanged: no member has one of these types.
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
        deserialize_any => Wanted::Any;
        deserialize_bool => Wanted::Bool;
        deserialize_i8 => Wanted::Whole("i8");
        deserialize_i16 => Wanted::Whole("i16");
        deserialize_i32 => Wanted::Whole("i32");
        deserialize_i64 => Wanted::Whole("i64");
        deserialize_u8 => Wanted::Whole("u8");
        deserialize_u16 => Wanted::Whole("u16");
        deserialize_u32 => Wanted::Whole("u32");
        deserialize_u64 => Wanted::Whole("u64");
        deserialize_f32 => Wanted::Float;
        deserialize_f64 => Wanted::Float;
        deserialize_str => Wanted::Text;
        deserialize_string => Wanted::Text;
        deserialize_seq => Wanted::List;
        deserialize_map => Wanted::Map;
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

/// Maps `null` to an absent `Option`; any other value is read leniently.
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

/// Accepts the expected type, and `null` as its zero value; records any other type as the mismatch.
struct Expecting<'p, V> {
    visitor: V,
    wanted: Wanted,
    place: &'p Place,
}

impl<'de, V: Visitor<'de>> Expecting<'_, V> {
    fn refuse<E: Error>(self, found: impl Into<String>) -> Result<V::Value, E> {
        self.place.record(found.into(), self.wanted);
        Err(E::custom("a value of another type"))
    }

    fn read_number<E: Error>(
        self,
        number: impl fmt::Display,
        read: impl FnOnce(V) -> Result<V::Value, E>,
    ) -> Result<V::Value, E> {
        let Expecting { visitor, wanted, place } = self;
        match wanted {
            Wanted::Any | Wanted::Float => read(visitor),
            // Record a number that is out of range with its value.
            Wanted::Whole(_) => {
                read(visitor).inspect_err(|_| place.record(format!("number {number}"), wanted))
            }
            _ => Expecting { visitor, wanted, place }.refuse("number"),
        }
    }

    /// Reads a value one nesting level deeper.
    fn descend<T, E: Error>(place: &Place, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if !place.enter() {
            return Err(E::custom(format_args!(
                "nested in more than {JOB_DEPTH_MAX} levels of lists and objects"
            )));
        }
        let result = read();
        place.leave();
        result
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Expecting<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        let nothing = std::iter::empty::<((), ())>();
        match self.wanted {
            Wanted::Bool => self.visitor.visit_bool(false),
            Wanted::Whole(_) => self.visitor.visit_i64(0),
            Wanted::Float => self.visitor.visit_f64(0.0),
            Wanted::Text => self.visitor.visit_str(""),
            Wanted::List => self.visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<()>())),
            Wanted::Map | Wanted::Struct(..) => self.visitor.visit_map(MapDeserializer::new(nothing)),
            Wanted::Any => self.visitor.visit_unit(),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        match self.wanted {
            Wanted::Any | Wanted::Bool => self.visitor.visit_bool(value),
            _ => self.refuse("bool"),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<V::Value, E> {
        self.read_number(number, |visitor| visitor.visit_i64(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<V::Value, E> {
        self.read_number(number, |visitor| visitor.visit_u64(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<V::Value, E> {
        self.read_number(format_args!("{number:?}"), |visitor| visitor.visit_f64(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        match self.wanted {
            Wanted::Any | Wanted::Text => self.visitor.visit_str(text),
            _ => self.refuse("string"),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        match self.wanted {
            Wanted::Any | Wanted::List => Self::descend(self.place, || {
                self.visitor.visit_seq(ItemAccess { list, index: 0, place: self.place })
            }),
            _ => self.refuse("array"),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let members = match self.wanted {
            Wanted::Any | Wanted::Map => None,
            Wanted::Struct(name, names) => Some((name, names)),
            _ => return self.refuse("object"),
        };
        if members.is_some() && !self.place.count_part() {
            return Err(A::Error::custom(format_args!(
                "there are more than {JOB_PARTS_MAX} objects (groups, tasks, checks, …): divide the job"
            )));
        }
        let (place, current) = (self.place, Step::Item(0));
        Self::descend(place, || self.visitor.visit_map(MemberAccess { map, members, current, place }))
    }
}

/// Reads the items of a list leniently.
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
        let item = self.list.next_element_seed(Value { seed, place: self.place });
        item.inspect_err(|_| self.place.step_out(Step::Item(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        self.list.size_hint()
    }
}

/// Name of a struct and of its members.
type Members = (&'static str, &'static [&'static str]);

/// Reads the members of a struct, or the entries of a map with user-defined keys.
struct MemberAccess<'p, A> {
    map: A,
    members: Option<Members>,
    /// Member of the value that follows.
    current: Step,
    place: &'p Place,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for MemberAccess<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.map.next_key_seed(Key { seed, members: self.members, current: &mut self.current })
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        let value = self.map.next_value_seed(Value { seed, place: self.place });
        value.inspect_err(|_| self.place.step_out(std::mem::replace(&mut self.current, Step::Item(0))))
    }

    fn size_hint(&self) -> Option<usize> {
        self.map.size_hint()
    }
}

struct Key<'c, K> {
    seed: K,
    members: Option<Members>,
    current: &'c mut Step,
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
        let Some((of, names)) = self.members else {
            if key.starts_with(RESERVED_KEYS) {
                return Err(E::custom(format_args!("the key {key:?} is reserved: choose another name")));
            }
            *self.current = Step::Key(key.to_owned());
            return self.seed.deserialize(key.into_deserializer());
        };
        let exact = names.iter().find(|name| **name == key);
        let known = exact.or_else(|| names.iter().find(|name| name.eq_ignore_ascii_case(key)));
        // The value of an unknown member is skipped, so only a syntax error can occur in it.
        *self.current = Step::Member { of, name: known.copied().unwrap_or("?") };
        self.seed.deserialize(known.copied().unwrap_or(key).into_deserializer())
    }
}

/// Reads a value leniently.
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
