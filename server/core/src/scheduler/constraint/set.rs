//! Comma-separated lists as sets, for the operands `set_contains…`.

use super::Share;

/// The distinct items of a list, sorted.
#[derive(Clone, Debug)]
pub(crate) struct ItemSet(Vec<Box<str>>);

impl ItemSet {
    /// Parses a list.
    pub(crate) fn of(text: &str) -> ItemSet {
        let mut all: Vec<Box<str>> = items(text).map(Box::from).collect();
        all.sort_unstable();
        all.dedup();
        ItemSet(all)
    }

    /// Returns whether the list `text` contains all items of this set, or any of them.
    pub(crate) fn is_in(&self, text: &str, share: Share) -> bool {
        let place = |item: &str| self.0.binary_search_by(|known| (**known).cmp(item)).ok();
        match share {
            Share::Any => items(text).any(|item| place(item).is_some()),
            Share::All => {
                let mut missing = self.0.len();
                let mut seen = vec![false; self.0.len()];
                for found in items(text).filter_map(place) {
                    missing -= usize::from(!std::mem::replace(&mut seen[found], true));
                }
                missing == 0
            }
        }
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}
