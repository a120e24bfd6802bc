//! Which members of a row an expression reads.

use std::collections::BTreeMap;

use super::expression::Part;

/// A tree of the paths that selectors take.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// A selector ends here: all below is wanted.
    all: bool,
    /// Some name may be an index.
    has_index: bool,
    members: BTreeMap<String, Wanted>,
}

/// Everything.
pub(super) static ALL: Wanted = Wanted { all: true, has_index: false, members: BTreeMap::new() };

impl Wanted {
    /// Nothing yet.
    pub(super) const fn nothing() -> Wanted {
        Wanted { all: false, has_index: false, members: BTreeMap::new() }
    }

    /// Adds what a path ends at.
    pub(super) fn add(&mut self, path: &[Part]) {
        let mut at = self;
        for part in path {
            at.has_index |= part.index.is_some();
            at = at.members.entry(part.name.clone()).or_insert_with(Wanted::nothing);
        }
        at.all = true;
    }

    /// What is wanted of a member; `None`: nothing of it.
    pub(super) fn member(&self, name: &str) -> Option<&Wanted> {
        if self.all { Some(&ALL) } else { self.members.get(name) }
    }

    /// What is wanted of an element of a list.
    pub(super) fn element(&self, index: usize) -> Option<&Wanted> {
        match (self.all, self.has_index) {
            (true, _) => Some(&ALL),
            (false, true) => self.members.get(index.to_string().as_str()),
            (false, false) => None,
        }
    }

    /// How many members are wanted by name; `None`: all there are.
    pub(super) fn count(&self) -> Option<usize> {
        (!self.all).then_some(self.members.len())
    }

    /// The names on the first level.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }
}
