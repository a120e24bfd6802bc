//! The known word that a mistyped one most likely stands for.

/// No key is longer than this many bytes; what is has no neighbours.
const WORD_BYTES_MAX: usize = 128;

/// The nearest of the known words, if it is at most two letters away (one for short words).
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let far = if word.chars().count() <= 4 { 1 } else { 2 };
    // A letter has four bytes at most: others are too long or too short to be near.
    let possible = known.into_iter().filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * far);
    let scored = possible.map(|candidate| (distance(word, candidate), candidate));
    scored.filter(|(letters, _)| *letters <= far).min().map(|(_, candidate)| candidate)
}

/// Letters to insert, remove or replace to come from one word to the other.
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
