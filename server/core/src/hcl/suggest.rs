//! Suggests the known word that a mistyped one most likely stands for.

/// Longer words, bytes, get no suggestion: no key is that long.
const WORD_BYTES_MAX: usize = 128;

/// Returns the most similar known word with an edit distance of at most two (one for short words).
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let far = if word.chars().count() <= 4 { 1 } else { 2 };
    // A letter has at most four bytes, so candidates of other lengths cannot be near.
    let possible = known.into_iter().filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * far);
    let scored = possible.map(|candidate| (distance(word, candidate), candidate));
    scored.filter(|(letters, _)| *letters <= far).min().map(|(_, candidate)| candidate)
}

/// Returns the Levenshtein distance.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for column in 0..to.len() {
            let replaced = diagonal + usize::from(letter != to[column]);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
