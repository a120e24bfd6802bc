//! Regular expressions in the dialect of RE2, as Nomad's jobs and filters write them: translated to the syntax of the
//! crate `regex`, which matches them in linear time.
//!
//! Three things remain different. The tables of Unicode are those of `regex`. Capture groups are not captured, because
//! callers only ask whether an expression matches. An expression whose compiled form is larger than the caller allows,
//! or that nests more than [`NESTING_MAX`] levels, is refused; Go allows 128 MB and 1,000 levels.

mod class;
mod escape;
#[cfg(test)]
mod tests;
mod translate;

use std::fmt;

use regex::{Regex, RegexBuilder};

/// Levels of groups, and of repetitions of repetitions. Limits the recursion of the compiler.
const NESTING_MAX: usize = 100;

/// Levels of the syntax tree of `regex` that [`NESTING_MAX`] levels can need: each at most a group, a group that folds
/// case, an alternation, a concatenation and a repetition.
const TREE_LEVELS_MAX: u32 = 5 * NESTING_MAX as u32 + 20;

/// An expression that is well-formed in RE2's dialect.
#[derive(Clone, Debug)]
pub(crate) struct Pattern<'p> {
    source: &'p str,
    translated: String,
}

/// Why an expression is refused. The text is Go's for the same error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    cause: &'static str,
    part: String,
}

impl<'p> Pattern<'p> {
    /// Parses an expression; the result is at most ten times as long.
    pub(crate) fn parse(source: &'p str) -> Result<Pattern<'p>, Malformed> {
        Ok(Pattern { source, translated: translate::translate(source)? })
    }

    /// Compiles the expression to at most `size_max` bytes, with a matching cache of at most `cache_max` bytes.
    pub(crate) fn compile(&self, size_max: usize, cache_max: usize) -> Result<Regex, Malformed> {
        let mut builder = RegexBuilder::new(&self.translated);
        builder.size_limit(size_max).dfa_size_limit(cache_max).nest_limit(TREE_LEVELS_MAX);
        builder.build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => Malformed::new(TOO_LARGE, self.source),
            // The translation is well-formed, but a script that it names may be unknown.
            _ => Malformed::new(CLASS_RANGE, self.source),
        })
    }
}

impl Malformed {
    fn new(cause: &'static str, part: &str) -> Malformed {
        Malformed { cause, part: part.to_owned() }
    }

    /// Whether the expression is well-formed, and its compiled form too large.
    pub(crate) fn is_too_large(&self) -> bool {
        self.cause == TOO_LARGE
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.cause, self.part)
    }
}

const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_FLAGS: &str = "invalid or unsupported Perl syntax";
const BAD_NAME: &str = "invalid named capture";
const BAD_REPEAT_COUNT: &str = "invalid repeat count";
const BAD_REPEAT_NESTING: &str = "invalid nested repetition operator";
const CLASS_RANGE: &str = "invalid character class range";
const NESTS_TOO_DEEPLY: &str = "expression nests too deeply";
const NOTHING_TO_REPEAT: &str = "missing argument to repetition operator";
const NO_BRACKET: &str = "missing closing ]";
const NO_PAREN: &str = "missing closing )";
const TOO_LARGE: &str = "expression too large";
const TRAILING_BACKSLASH: &str = "trailing backslash at end of expression";
const UNEXPECTED_PAREN: &str = "unexpected )";
