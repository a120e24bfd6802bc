//! The known word that a mistyped one most likely stands for.

/// The nearest of the known words, if it is at most two letters away (one for short words).
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = if word.chars().count() <= 4 { 1 } else { 2 };
    let scored = known.into_iter().map(|candidate| (distance(word, candidate), candidate));
    scored.filter(|(letters, _)| *letters <= far).min().map(|(_, candidate)| candidate)
}

/// Letters to insert, remove or replace to come from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    // Keys are short; a hostile one must not make this quadratic in its length.
    for (line, letter) in from.chars().take(64).enumerate() {
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
