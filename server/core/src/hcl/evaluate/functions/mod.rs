//! Functions that expressions may call.

mod encoding;
mod format;
mod lists;
mod network;
mod numbers;
mod objects;
mod pattern;
mod sets;
mod text;

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

const TABLES: [&[Function]; 9] = [
    text::TABLE,
    format::TABLE,
    pattern::TABLE,
    numbers::TABLE,
    lists::TABLE,
    objects::TABLE,
    sets::TABLE,
    encoding::TABLE,
    network::TABLE,
];

const CHANCE: &str =
    "every server has to read the same job out of the same text, so nothing here comes by chance";
const CLOCK: &str = "every server has to read the same job out of the same text, so there is no clock here";
const FILES: &str = "the server reads no files for a job; what a file holds can be given as a variable";
const DIGEST: &str = "it is broken as a digest; `sha256` and `sha512` are there";
const YAML: &str = "YAML is not read here; `jsonencode` yields what YAML readers take too";
const NOT_HERE: &str = "it is not supported here";

/// Functions of other HCL2 tools that are rejected here, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("abspath", FILES),
    ("bcrypt", CHANCE),
    ("csvdecode", NOT_HERE),
    ("file", FILES),
    ("filebase64", FILES),
    ("fileexists", FILES),
    ("fileset", FILES),
    ("formatdate", NOT_HERE),
    ("md5", DIGEST),
    ("pathexpand", FILES),
    ("rsadecrypt", NOT_HERE),
    ("sha1", DIGEST),
    ("templatefile", FILES),
    ("timeadd", NOT_HERE),
    ("timestamp", CLOCK),
    ("uuidv4", CHANCE),
    ("uuidv5", NOT_HERE),
    ("uuid", CHANCE),
    ("yamldecode", YAML),
    ("yamlencode", YAML),
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
