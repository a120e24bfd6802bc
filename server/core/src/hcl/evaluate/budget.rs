//! Limits the work of evaluating one document.

use crate::hcl::tree::ValueKind;
use crate::hcl::{
    HCL_EVALUATION_BYTES_MAX, HCL_EVALUATION_STEPS_MAX, HCL_VALUE_DEPTH_MAX, nearest, shortened,
};

use super::Fault;

/// Names compared with an unknown name to suggest a similar one.
const HINT_NAMES_MAX: usize = 200;
/// Steps charged for such a suggestion.
const HINT_STEPS: usize = 1000;

/// Remaining steps and bytes. Once one of them is exhausted every further operation fails, so an expression cannot
/// continue by trying an alternative.
pub(in crate::hcl) struct Budget {
    steps_left: usize,
    bytes_left: usize,
}

impl Budget {
    pub(super) fn new() -> Budget {
        Budget { steps_left: HCL_EVALUATION_STEPS_MAX, bytes_left: HCL_EVALUATION_BYTES_MAX }
    }

    /// Charges steps: one for each expression evaluated and each value made.
    pub(in crate::hcl) fn steps(&mut self, steps: usize) -> Result<(), Fault> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => {
                self.steps_left = 0;
                Err(format!("evaluating this document takes more than {HCL_EVALUATION_STEPS_MAX} steps")
                    .into())
            }
        }
    }

    /// Suggests the known name most similar to an unknown one, as the end of an error text. Charged separately, because
    /// the search costs more than most expressions and an expression may try unknown names repeatedly.
    pub(super) fn hint<'n>(
        &mut self,
        wrong: &str,
        root: &str,
        known: impl Iterator<Item = &'n str>,
    ) -> Result<String, Fault> {
        self.steps(HINT_STEPS)?;
        Ok(match nearest(wrong, known.take(HINT_NAMES_MAX)) {
            Some(near) => format!("; is `{root}{}` meant?", shortened(near)),
            None => String::new(),
        })
    }

    /// Charges bytes of text that is made.
    pub(in crate::hcl) fn bytes(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                Ok(())
            }
            None => {
                self.bytes_left = 0;
                self.steps_left = 0;
                Err(format!(
                    "evaluating this document makes more than {HCL_EVALUATION_BYTES_MAX} bytes of text"
                )
                .into())
            }
        }
    }

    /// Charges the cost of a copy of the value.
    pub(in crate::hcl) fn copy(&mut self, value: &ValueKind) -> Result<(), Fault> {
        self.walk(value, 0, true)
    }

    /// Charges one traversal of a new value and rejects nesting beyond the limit, before recursive code traverses it.
    pub(in crate::hcl) fn check(&mut self, value: &ValueKind) -> Result<(), Fault> {
        self.walk(value, 0, false)
    }

    fn walk(&mut self, value: &ValueKind, depth: usize, with_bytes: bool) -> Result<(), Fault> {
        if depth > HCL_VALUE_DEPTH_MAX {
            let text = format!("lists and objects are nested deeper than {HCL_VALUE_DEPTH_MAX} levels");
            return Err(text.into());
        }
        match value {
            ValueKind::Text(text) | ValueKind::Digits(text) => {
                if with_bytes {
                    self.bytes(text.len())?;
                }
                self.steps(1)
            }
            ValueKind::List(items) => {
                self.steps(1)?;
                items.iter().try_for_each(|item| self.walk(&item.kind, depth + 1, with_bytes))
            }
            ValueKind::Object(members) => {
                self.steps(1)?;
                for member in members {
                    if with_bytes {
                        self.bytes(member.key.len())?;
                    }
                    self.walk(&member.value.kind, depth + 1, with_bytes)?;
                }
                Ok(())
            }
            _ => self.steps(1),
        }
    }
}
