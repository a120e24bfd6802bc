//! Functions that expressions may call.

mod dates;
mod encoding;
mod format;
mod ids;
mod lists;
mod network;
mod numbers;
mod objects;
mod pattern;
mod sets;
mod text;
mod yaml;

use crate::hcl::shortened;

use super::budget::Budget;
use super::call::Call;
use super::{Fault, Outcome};

/// A function.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Fewest arguments.
    pub(super) least: usize,
    /// Most arguments; `None` for no limit.
    pub(super) most: Option<usize>,
    pub(super) body: fn(&mut Call<'_>) -> Outcome,
}

/// Defines a function with exactly `count` arguments.
const fn exactly(name: &'static str, count: usize, body: fn(&mut Call<'_>) -> Outcome) -> Function {
    Function { name, least: count, most: Some(count), body }
}

const fn between(
    name: &'static str,
    least: usize,
    most: usize,
    body: fn(&mut Call<'_>) -> Outcome,
) -> Function {
    Function { name, least, most: Some(most), body }
}

const fn at_least(name: &'static str, least: usize, body: fn(&mut Call<'_>) -> Outcome) -> Function {
    Function { name, least, most: None, body }
}

const TABLES: [&[Function]; 12] = [
    text::TABLE,
    format::TABLE,
    pattern::TABLE,
    numbers::TABLE,
    lists::TABLE,
    objects::TABLE,
    sets::TABLE,
    encoding::TABLE,
    network::TABLE,
    dates::TABLE,
    ids::TABLE,
    yaml::TABLE,
];

const CLOCK: &str = "there is no clock here";
const FILES: &str = "the server reads no files for a job; what a file holds can be given as a variable";
const SLOW: &str = "it takes long on purpose, and the server reads jobs for anyone; what it yields can be given as a variable";
const NOT_HERE: &str = "it is not supported here";

/// Functions of other HCL2 tools that are rejected here, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("abspath", FILES),
    ("bcrypt", SLOW),
    ("file", FILES),
    ("filebase64", FILES),
    ("fileexists", FILES),
    ("fileset", FILES),
    ("pathexpand", FILES),
    ("rsadecrypt", NOT_HERE),
    ("templatefile", FILES),
    ("timestamp", CLOCK),
];

fn all() -> impl Iterator<Item = &'static Function> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// Returns the function named `name`.
pub(super) fn find(name: &str, budget: &mut Budget) -> Result<&'static Function, Fault> {
    if let Some(function) = all().find(|function| function.name == name) {
        return Ok(function);
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Err(format!("the function `{name}` is refused: {reason}").into());
    }
    let hint = budget.hint(name, "", all().map(|function| function.name))?;
    Err(format!("there is no function `{}`{hint}", shortened(name)).into())
}
