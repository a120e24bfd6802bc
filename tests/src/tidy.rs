//! Rules for the source tree, checked on the sources without compiling them.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// Returns the root of the source tree, relative to this package's directory, in which its tests run. A path fixed at
/// build time could belong to another clone that shares the target directory.
pub fn tree() -> PathBuf {
    PathBuf::from("..")
}

/// One source file.
pub struct Source {
    /// Its path relative to the root.
    pub path: String,
    /// Its contents.
    pub text: String,
}

/// A function and its length.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line on which it begins, counted from 1.
    pub line: usize,
    /// Its length in lines, including signature and closing brace.
    pub lines: usize,
}

/// Returns all Rust files of the tree, ordered by path.
pub fn sources() -> Vec<Source> {
    let root = tree();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                // Skip build output and version control.
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let path = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

impl Source {
    /// Returns the text with comments and the contents of literals replaced by blanks. Keeps line breaks.
    pub fn code(&self) -> String {
        blank_out(&self.text)
    }

    /// Returns its functions that have bodies.
    pub fn functions(&self) -> Vec<Function> {
        functions_in(&self.code())
    }
}

/// Replaces comments and literals by blanks. Knows just enough of Rust's lexical structure for that.
fn blank_out(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment_end(bytes, at);
        if end > at {
            out.extend(text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            let c = text[at..].chars().next().unwrap_or(' ');
            out.push(c);
            at += c.len_utf8();
        }
    }
    out
}

/// Returns the end of the comment or literal that begins at `at`; `at` itself if none begins there.
fn literal_or_comment_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return after(bytes, at + 2, b"*/");
    }
    if rest[0] == b'r' && !in_word {
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let closing = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            return after(bytes, at + 2 + hashes, &closing);
        }
    }
    if rest[0] == b'"' {
        return quoted_end(bytes, at, b'"');
    }
    // A quote begins a character literal, unless it is a lifetime, which has no closing quote after one character.
    if rest[0] == b'\'' {
        let escaped = rest.get(1) == Some(&b'\\');
        let width = rest.get(1).map_or(1, |byte| if *byte < 0x80 { 1 } else { byte.leading_ones() as usize });
        if escaped || rest.get(1 + width) == Some(&b'\'') {
            return quoted_end(bytes, at, b'\'');
        }
    }
    at
}

fn quoted_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn after(bytes: &[u8], from: usize, closing: &[u8]) -> usize {
    let rest = &bytes[from.min(bytes.len())..];
    rest.windows(closing.len())
        .position(|window| window == closing)
        .map_or(bytes.len(), |found| from + found + closing.len())
}

fn functions_in(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        if code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let name: String =
            code[start + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let rest = &code[start..];
        let body = rest.find(['{', ';']).filter(|at| rest.as_bytes()[*at] == b'{');
        if let (false, Some(body)) = (name.is_empty(), body) {
            let mut depth = 0_usize;
            let end = rest[body..].char_indices().find_map(|(at, c)| {
                depth = match c {
                    '{' => depth + 1,
                    '}' => depth.saturating_sub(1),
                    _ => depth,
                };
                (depth == 0).then_some(body + at)
            });
            let lines = rest[..=end.unwrap_or(body)].lines().count();
            found.push(Function { name, line: code[..start].lines().count().max(1), lines });
        }
    }
    found
}

/// Returns the output of `cargo metadata` for the workspace, without network access.
pub fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform"])
        // Packages for other platforms may not have been downloaded.
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(tree())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata answers JSON")
}

/// Returns the names of a workspace crate's direct dependencies, without dev- and build-dependencies.
pub fn direct_dependencies(metadata: &Value, name: &str) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages
        .filter(|package| package["source"].is_null())
        .find(|package| package["name"] == name)
        .unwrap_or_else(|| panic!("the workspace has no crate {name}"));
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    dependencies
        .filter(|dependency| dependency["kind"].is_null())
        .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_comments_and_literals_are_not_code() {
        let text = "a /* b */ \"c\\\"d\" r#\"e\"f\"# 'g' '\\'' &'life h // i\nj '{' 'é' k";
        let code = blank_out(text);
        assert_eq!(code.lines().count(), 2);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "&'life", "h", "j", "k"]);
    }

    #[test]
    fn functions_are_measured_from_their_signature_to_their_brace() {
        let code = "trait T { fn none(&self); }\npub fn one(\n) {\n if true { }\n}\nfn two() {}\n";
        let found: Vec<(String, usize)> = functions_in(code).into_iter().map(|f| (f.name, f.lines)).collect();
        assert_eq!(found, [("one".to_owned(), 4), ("two".to_owned(), 1)]);
    }
}
