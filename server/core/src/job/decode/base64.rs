//! Base64 decoder for bytes in the API's bodies: standard alphabet, padded, line breaks allowed. Errors have the texts
//! of Nomad and name the position.

/// Decodes base64, or returns a text with the position of the error.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text = text.as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut letters = Letters { text, at: 0 };
    while let Some(group) = letters.group().map_err(illegal)? {
        let Group { sextets, count } = group;
        let bits = sextets.iter().fold(0_u32, |bits, sextet| bits << 6 | u32::from(*sextet));
        let [_, a, b, c] = bits.to_be_bytes();
        bytes.extend_from_slice(&[a, b, c][..count - 1]);
        if count < 4 {
            letters.end().map_err(illegal)?;
            break;
        }
    }
    Ok(bytes)
}

fn illegal(position: usize) -> String {
    format!("illegal base64 data at input byte {position}")
}

/// Four letters, of which `count` carry bits; the rest is padding.
struct Group {
    sextets: [u8; 4],
    count: usize,
}

struct Letters<'t> {
    text: &'t [u8],
    at: usize,
}

impl Letters<'_> {
    /// Returns the next letter that is not a line break, with its position.
    fn next(&mut self) -> Option<(usize, u8)> {
        while let Some(&letter) = self.text.get(self.at) {
            self.at += 1;
            if !matches!(letter, b'\r' | b'\n') {
                return Some((self.at - 1, letter));
            }
        }
        None
    }

    /// Returns the next group, or the position of an error.
    fn group(&mut self) -> Result<Option<Group>, usize> {
        let mut sextets = [0; 4];
        for count in 0..4 {
            let Some((position, letter)) = self.next() else {
                // For an incomplete group, report the position of its first letter.
                return if count == 0 { Ok(None) } else { Err(self.at - count) };
            };
            match (letter, count) {
                (b'=', 0 | 1) => return Err(position),
                (b'=', 2) => match self.next() {
                    Some((_, b'=')) => return Ok(Some(Group { sextets, count })),
                    // Report the position before the wrong letter, as Nomad does.
                    Some((position, _)) => return Err(position - 1),
                    None => return Err(self.text.len()),
                },
                (b'=', _) => return Ok(Some(Group { sextets, count })),
                _ => sextets[count] = sextet(letter).ok_or(position)?,
            }
        }
        Ok(Some(Group { sextets, count: 4 }))
    }

    /// Checks that nothing follows the padding.
    fn end(&mut self) -> Result<(), usize> {
        self.next().map_or(Ok(()), |(position, _)| Err(position))
    }
}

fn sextet(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
