//! Set of the row members that an expression reads.

use std::collections::BTreeMap;

use super::expression::Part;

/// Tree of the paths of all selectors.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// A selector ends here: everything below is wanted.
    all: bool,
    /// Whether a name below may be a list index.
    has_index: bool,
    members: BTreeMap<String, Wanted>,
}

/// Wants everything.
pub(super) static ALL: Wanted = Wanted { all: true, has_index: false, members: BTreeMap::new() };

impl Wanted {
    /// Wants nothing yet.
    pub(super) const fn nothing() -> Wanted {
        Wanted { all: false, has_index: false, members: BTreeMap::new() }
    }

    /// Adds the value at the end of `path`.
    pub(super) fn add(&mut self, path: &[Part]) {
        let mut at = self;
        for part in path {
            at.has_index |= part.index.is_some();
            at = at.members.entry(part.name.clone()).or_insert_with(Wanted::nothing);
        }
        at.all = true;
    }

    /// Returns what is wanted of a member; `None` if nothing is.
    pub(super) fn member(&self, name: &str) -> Option<&Wanted> {
        if self.all { Some(&ALL) } else { self.members.get(name) }
    }

    /// Returns what is wanted of a list element; `None` if nothing is.
    pub(super) fn element(&self, index: usize) -> Option<&Wanted> {
        match (self.all, self.has_index) {
            (true, _) => Some(&ALL),
            (false, true) => self.members.get(index.to_string().as_str()),
            (false, false) => None,
        }
    }

    /// Number of members wanted by name; `None` if all are wanted.
    pub(super) fn count(&self) -> Option<usize> {
        (!self.all).then_some(self.members.len())
    }

    /// Returns the names on the first level.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }
}
