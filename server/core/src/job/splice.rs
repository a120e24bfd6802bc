//! Edits individual members of JSON objects. All other names and values keep their exact bytes; only white space
//! between the members of edited objects is lost.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// An object split into its members, in the order as written.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<Member<'a>>);

#[derive(Debug)]
struct Member<'a> {
    name: Cow<'a, str>,
    /// Name as a JSON string.
    written: Cow<'a, str>,
    value: Part<'a>,
}

#[derive(Debug)]
enum Part<'a> {
    Unchanged(&'a RawValue),
    New(String),
    Object(Object<'a>),
    List(Vec<Object<'a>>),
}

impl<'a> Object<'a> {
    /// Returns the unedited value of a member; `None` if the member is absent or was edited.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        match &self.find(name)?.value {
            Part::Unchanged(value) => Some(value),
            _ => None,
        }
    }

    /// Decodes the value of a member; `None` if it is absent or `null`.
    pub(super) fn read<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, serde_json::Error> {
        self.get(name).map_or(Ok(None), |value| serde_json::from_str(value.get()))
    }

    /// Sets the value of a member, appending the member if it is absent.
    pub(super) fn set(&mut self, name: &str, value: &impl Serialize) {
        self.put(name, Part::New(json(value)));
    }

    /// Like `set`, for an object.
    pub(super) fn set_object(&mut self, name: &str, object: Object<'a>) {
        self.put(name, Part::Object(object));
    }

    /// Like `set`, for a list of objects.
    pub(super) fn set_list(&mut self, name: &str, list: Vec<Object<'a>>) {
        self.put(name, Part::List(list));
    }

    /// Returns the object with these texts as members. They replace members of the same names; new members are inserted
    /// in the order of their names.
    pub(super) fn with_texts(self, texts: &BTreeMap<String, String>) -> Object<'a> {
        let names = self.0.iter().filter_map(|member| texts.get_key_value(&*member.name));
        let replaced: BTreeSet<&str> = names.map(|(name, _)| name.as_str()).collect();
        let is_new = |(name, _): &(&String, &String)| !replaced.contains(name.as_str());
        let mut new = texts.iter().filter(is_new).peekable();
        let mut members = Vec::with_capacity(self.0.len() + texts.len());
        for mut member in self.0 {
            while let Some((name, text)) = new.next_if(|(name, _)| name.as_str() < &*member.name) {
                members.push(Member::new(name, Part::New(json(text))));
            }
            if let Some(text) = texts.get(&*member.name) {
                member.value = Part::New(json(text));
            }
            members.push(member);
        }
        members.extend(new.map(|(name, text)| Member::new(name, Part::New(json(text)))));
        Object(members)
    }

    /// Appends the object as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_separated(&self.0, (b'{', b'}'), out, |member, out| {
            out.extend_from_slice(member.written.as_bytes());
            out.push(b':');
            match &member.value {
                Part::Unchanged(value) => out.extend_from_slice(value.get().as_bytes()),
                Part::New(value) => out.extend_from_slice(value.as_bytes()),
                Part::Object(object) => object.write(out),
                Part::List(list) => write_separated(list, (b'[', b']'), out, Object::write),
            }
        });
    }

    fn find(&self, name: &str) -> Option<&Member<'a>> {
        self.0.iter().find(|member| member.name == name)
    }

    fn put(&mut self, name: &str, value: Part<'a>) {
        match self.0.iter_mut().find(|member| member.name == name) {
            Some(member) => member.value = value,
            None => self.0.push(Member::new(name, value)),
        }
    }
}

impl<'a> Member<'a> {
    fn new(name: &str, value: Part<'a>) -> Member<'a> {
        Member { name: Cow::Owned(name.to_owned()), written: Cow::Owned(json(&name)), value }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadMembers)
    }
}

struct ReadMembers;

impl<'de> Visitor<'de> for ReadMembers {
    type Value = Object<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        /// A string, borrowed if it contains no escapes.
        #[derive(Deserialize)]
        struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

        let mut members = Vec::new();
        while let Some((written, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let Text(name) = serde_json::from_str(written.get()).map_err(serde::de::Error::custom)?;
            members.push(Member {
                name,
                written: Cow::Borrowed(written.get()),
                value: Part::Unchanged(value),
            });
        }
        Ok(Object(members))
    }
}

fn write_separated<T>(
    items: &[T],
    (begin, end): (u8, u8),
    out: &mut Vec<u8>,
    write: impl Fn(&T, &mut Vec<u8>),
) {
    out.push(begin);
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(end);
}

fn json(value: &impl Serialize) -> String {
    // Only strings, numbers and null are written here.
    serde_json::to_string(value).expect("texts and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(object: &Object<'_>) -> String {
        let mut out = Vec::new();
        object.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn object(json: &str) -> Object<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_not_edited_keeps_its_bytes() {
        let json = r#"{"a":1.50e1,"\u0062":{"x": [ 1, "\u0041" ] },"c":null,"":18446744073709551616}"#;
        assert_eq!(json, written(&object(json)));
        let mut edited = object(json);
        edited.set("c", &"new");
        edited.set("b", &7);
        edited.set("d", &None::<i64>);
        let expected = r#"{"a":1.50e1,"\u0062":7,"c":"new","":18446744073709551616,"d":null}"#;
        assert_eq!(expected, written(&edited));
        assert_eq!("{}", written(&Object::default()));
    }

    #[test]
    fn only_the_white_space_between_the_members_is_not_kept() {
        assert_eq!(r#"{"a":[ 1 , 2 ],"b":{ }}"#, written(&object("{ \"a\" : [ 1 , 2 ] ,\n\"b\": { } }\n")));
    }

    #[test]
    fn objects_and_lists_of_objects_are_edited_where_they_stand() {
        let json = r#"{"first":{"x":1,"y":2},"list":[{"x":1},{"z":[]}],"last":true}"#;
        let mut edited = object(json);
        let mut first: Object<'_> = edited.read("first").unwrap().unwrap();
        first.set("x", &3);
        edited.set_object("first", first);
        let mut list: Vec<Object<'_>> = edited.read("list").unwrap().unwrap();
        list.iter_mut().for_each(|item| item.set("x", &4));
        edited.set_list("list", list);
        let expected = r#"{"first":{"x":3,"y":2},"list":[{"x":4},{"z":[],"x":4}],"last":true}"#;
        assert_eq!(expected, written(&edited));
    }

    #[test]
    fn new_texts_take_their_place_in_the_order_of_the_names() {
        let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        for (json, added, expected) in [
            ("{}", texts(&[]), "{}"),
            ("{}", texts(&[("b", "2"), ("a", "1")]), r#"{"a":"1","b":"2"}"#),
            (r#"{"b":"2","d":4}"#, texts(&[("c", "3"), ("e", "5")]), r#"{"b":"2","c":"3","d":4,"e":"5"}"#),
            (r#"{"b":"2","c":"3"}"#, texts(&[("b", "\""), ("a", "ä")]), r#"{"a":"ä","b":"\"","c":"3"}"#),
            // Unsorted members, one with an escaped name: each remains present once.
            (
                r#"{"c":"3","\u0061":"1"}"#,
                texts(&[("a", "x"), ("b", "2")]),
                r#"{"b":"2","c":"3","\u0061":"x"}"#,
            ),
        ] {
            assert_eq!(expected, written(&object(json).with_texts(&added)), "{json}");
        }
    }

    #[test]
    fn what_is_no_object_of_texts_is_refused() {
        for json in ["", "[]", "7", r#"{"a":}"#, r#"{"\ud800":1}"#, r#"{"a":1"#, r#"{"a":1}}"#] {
            assert!(serde_json::from_str::<Object<'_>>(json).is_err(), "{json}");
        }
    }
}
