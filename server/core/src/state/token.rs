//! Page tokens (`next_token`, `X-Nomad-NextToken`): they name the first row of the next page, in Nomad's format.
//!
//! A token of a removed row is valid: the page begins with the row that follows it. Text that no list can have
//! returned is refused, because guessing could silently skip rows. Nomad compares a job's token as a whole text, which
//! loses rows if one namespace's name is a prefix of another's (`team`, `team-a`). Ordu parses the token and compares
//! it like the table's keys.

use std::fmt::{self, Display};

use super::id::{IdText, parse_id};
use super::{Id, key};

/// Maximum number of bytes of a refused token that its error shows.
const SHOWN_BYTES_MAX: usize = 64;

/// Error for text that is not the next token of any list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid next token \"{given}\": expected {expected}, as the header X-Nomad-NextToken of the page \
     before gave it"
)]
pub struct InvalidToken {
    given: String,
    expected: &'static str,
}

impl InvalidToken {
    fn new(given: &str, expected: &'static str) -> Self {
        let mut end = given.len().min(SHOWN_BYTES_MAX);
        while !given.is_char_boundary(end) {
            end -= 1;
        }
        let cut = if end < given.len() { "…" } else { "" };
        Self { given: format!("{}{cut}", given[..end].escape_debug()), expected }
    }
}

/// Token of the next job in a list of jobs: `<namespace>.<job id>`. The first dot ends the
/// namespace; dots in the namespace are escaped.
///
/// Tokens are sent in a header, where only visible ASCII is safe. All other bytes, the percent sign, and dots in the
/// namespace are escaped as a percent sign and two hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobToken {
    /// The job's namespace.
    pub namespace: String,
    /// The job's id.
    pub id: String,
}

impl JobToken {
    /// Parses a token.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let invalid = || InvalidToken::new(text, "<namespace>.<job id>");
        let (namespace, id) = text.split_once('.').ok_or_else(invalid)?;
        let (namespace, id) = (unescape(namespace), unescape(id));
        let token = namespace.zip(id).map(|(namespace, id)| Self { namespace, id }).ok_or_else(invalid)?;
        let is_name = |name: &str| !name.is_empty() && !name.contains('\0');
        if is_name(&token.namespace) && is_name(&token.id) { Ok(token) } else { Err(invalid()) }
    }

    /// Returns the job's key in `Jobs` and `JobSummaries`, at which the page begins.
    pub fn key(&self) -> Vec<u8> {
        key::job(&self.namespace, &self.id)
    }
}

impl Display for JobToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(&self.namespace, b"%.", formatter)?;
        formatter.write_str(".")?;
        escape(&self.id, b"%", formatter)
    }
}

/// Token of the next row in a list of rows with ids (evaluations, allocations, deployments, nodes): the id if the list
/// is ordered by id, `<create index>.<id>` if it is ordered by creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdToken {
    /// Create index of the row, if the list is ordered by creation.
    pub create_index: Option<u64>,
    /// Id of the row.
    pub id: Id,
}

impl IdToken {
    /// Parses a token of either form.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let invalid = || InvalidToken::new(text, "an id or <create index>.<id>");
        let (index, id) = match text.split_once('.') {
            Some((index, id)) => (Some(index), id),
            None => (None, text),
        };
        // Accept only digits: `parse` would also accept a sign.
        let digits = |index: &str| index.bytes().all(|byte| byte.is_ascii_digit());
        let create_index = match index {
            None => None,
            Some(index) if digits(index) => Some(index.parse().map_err(|_| invalid())?),
            Some(_) => return Err(invalid()),
        };
        Ok(Self { create_index, id: parse_id(id).ok_or_else(invalid)? })
    }
}

impl Display for IdToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.create_index {
            write!(formatter, "{index}.")?;
        }
        IdText(&self.id).fmt(formatter)
    }
}

/// Writes a name as visible ASCII; escapes all other bytes and those in `but`.
fn escape(name: &str, but: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && !but.contains(&byte) {
            write!(formatter, "{}", char::from(byte))?;
        } else {
            write!(formatter, "%{byte:02X}")?;
        }
    }
    Ok(())
}

/// Reverses [`escape`]. A percent sign without two digits stands for itself: a client that puts a token into a URL
/// without escaping it has it unescaped once too often.
fn unescape(text: &str) -> Option<String> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut name = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                name.push((high << 4 | low) as u8);
                at += 3;
            }
            _ => {
                name.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "01112131-4151-6171-8191-a1b1c1d1e1f1";

    fn job_token(namespace: &str, id: &str) -> JobToken {
        JobToken { namespace: namespace.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn the_token_of_a_job_is_namespace_dot_id() {
        for (namespace, id, text) in [
            ("default", "web", "default.web"),
            ("team-a", "web.v2/periodic-1700000000", "team-a.web.v2/periodic-1700000000"),
            ("default", "50%", "default.50%25"),
            ("default", "größe\n", "default.gr%C3%B6%C3%9Fe%0A"),
            ("a.b", "web.v2", "a%2Eb.web.v2"),
            ("*", ".", "*.."),
        ] {
            let token = job_token(namespace, id);
            assert_eq!(text, token.to_string());
            assert_eq!(Ok(token.clone()), JobToken::parse(text));
            assert_eq!(key::job(namespace, id), token.key());
        }
        assert_eq!(Ok(job_token("default", "größe")), JobToken::parse("default.größe"));
        assert_eq!(Ok(job_token("default", "50%")), JobToken::parse("default.50%"));
    }

    #[test]
    fn tokens_are_in_the_order_of_the_table_also_where_a_namespace_begins_another() {
        let keys = ["team.z", "team-a.a"].map(|text| JobToken::parse(text).unwrap().key());
        assert!(keys[0] < keys[1]);
    }

    #[test]
    fn the_token_of_what_has_an_id_is_the_id_or_create_index_dot_id() {
        let id = parse_id(ID).unwrap();
        for (text, create_index) in [
            (ID.to_owned(), None),
            (format!("12.{ID}"), Some(12)),
            (format!("{}.{ID}", u64::MAX), Some(u64::MAX)),
        ] {
            let token = IdToken { create_index, id };
            assert_eq!(text, token.to_string());
            assert_eq!(Ok(token), IdToken::parse(&text));
        }
    }

    #[test]
    fn what_no_list_has_given_is_refused_in_a_sentence() {
        for text in ["", "web", ".web", "default.", "default.a%00b", "default.%FF"] {
            assert!(JobToken::parse(text).is_err(), "{text}");
        }
        for text in ["", "12", "12.", ".", "x.y", &ID[..35]] {
            assert!(IdToken::parse(text).is_err(), "{text}");
        }
        for index in ["", "-1", "+1", "1.2", "x", "18446744073709551616"] {
            assert!(IdToken::parse(&format!("{index}.{ID}")).is_err(), "{index}");
        }
        expect_test::expect![[r#"
            Invalid next token "web\"": expected <namespace>.<job id>, as the header X-Nomad-NextToken of the page before gave it"#]]
        .assert_eq(&JobToken::parse("web\"").unwrap_err().to_string());
        let long = IdToken::parse(&"ö".repeat(1000)).unwrap_err().to_string();
        assert!(long.len() < 300 && long.contains("ö…\""), "{long}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_job_reads_back_and_its_token_is_visible_ascii(
            // Any name that the table's key can hold.
            namespace in "[.%a*]{1,4}|[^\0]{1,12}",
            id in "[.%a*]{1,4}|[^\0]{1,12}",
        ) {
            let token = job_token(&namespace, &id);
            let text = token.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(Ok(token), JobToken::parse(&text));
        }

        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = (JobToken::parse(&text), IdToken::parse(&text));
        }
    }
}
