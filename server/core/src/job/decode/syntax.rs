//! Describes syntax errors in JSON with the texts of Nomad. It only runs on texts that failed to parse: one pass, with
//! one byte of memory for each open level.

/// Returns the first syntax error of the text, if there is one.
pub(super) fn fault(text: &[u8]) -> Option<String> {
    Scan { text, at: 0, open: Vec::new() }.document().err()
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
    open: Vec<Container>,
}

#[derive(Clone, Copy)]
enum Container {
    Object,
    List,
}

/// Which token may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    AfterValue,
}

type Scanned = Result<(), String>;

impl Scan<'_> {
    fn document(&mut self) -> Scanned {
        let mut next = Next::Value;
        loop {
            self.skip_space();
            let Some(byte) = self.peek() else {
                let is_whole = next == Next::AfterValue && self.open.is_empty();
                return if is_whole { Ok(()) } else { Err(END.to_owned()) };
            };
            next = match (next, byte) {
                (Next::ValueOrEnd, b']') | (Next::KeyOrEnd, b'}') => self.close(),
                (Next::Value | Next::ValueOrEnd, _) => self.value(byte)?,
                (Next::Key | Next::KeyOrEnd, b'"') => self.key()?,
                (Next::Key | Next::KeyOrEnd, _) => {
                    return Err(unexpected(byte, "looking for beginning of object key string"));
                }
                (Next::AfterValue, _) => self.after_value(byte)?,
            };
        }
    }

    fn value(&mut self, byte: u8) -> Result<Next, String> {
        match byte {
            b'{' => return Ok(self.enter(Container::Object, Next::KeyOrEnd)),
            b'[' => return Ok(self.enter(Container::List, Next::ValueOrEnd)),
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            _ => return Err(unexpected(byte, "looking for beginning of value")),
        }
        Ok(Next::AfterValue)
    }

    fn after_value(&mut self, byte: u8) -> Result<Next, String> {
        match (self.open.last(), byte) {
            (Some(Container::Object), b'}') | (Some(Container::List), b']') => Ok(self.close()),
            (Some(Container::Object), b',') => Ok(self.step(Next::Key)),
            (Some(Container::List), b',') => Ok(self.step(Next::Value)),
            (Some(Container::Object), _) => Err(unexpected(byte, "after object key:value pair")),
            (Some(Container::List), _) => Err(unexpected(byte, "after array element")),
            (None, _) => Err(unexpected(byte, "after top-level value")),
        }
    }

    fn key(&mut self) -> Result<Next, String> {
        self.string()?;
        self.skip_space();
        self.expect(|byte| byte == b':', "after object key")?;
        Ok(Next::Value)
    }

    fn string(&mut self) -> Scanned {
        self.at += 1;
        loop {
            match self.take()? {
                b'"' => return Ok(()),
                b'\\' => match self.take()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            self.expect(
                                |byte| byte.is_ascii_hexdigit(),
                                "in \\u hexadecimal character escape",
                            )?;
                        }
                    }
                    byte => return Err(unexpected(byte, "in string escape code")),
                },
                byte @ 0..0x20 => return Err(unexpected(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Scanned {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self, place: &str) -> Scanned {
        self.expect(|byte| byte.is_ascii_digit(), place)?;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Scanned {
        for letter in word.bytes() {
            let place = format!("in literal {word} (expecting {})", quoted(letter));
            self.expect(|byte| byte == letter, &place)?;
        }
        Ok(())
    }

    fn enter(&mut self, container: Container, next: Next) -> Next {
        self.open.push(container);
        self.step(next)
    }

    fn close(&mut self) -> Next {
        self.open.pop();
        self.step(Next::AfterValue)
    }

    fn step(&mut self, next: Next) -> Next {
        self.at += 1;
        next
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or(END)?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, is_right: impl Fn(u8) -> bool, place: &str) -> Scanned {
        match self.take()? {
            byte if is_right(byte) => Ok(()),
            byte => Err(unexpected(byte, place)),
        }
    }
}

const END: &str = "unexpected EOF";

fn unexpected(byte: u8, place: &str) -> String {
    format!("invalid character {} {place}", quoted(byte))
}

/// Quotes a byte as the error texts do: as a character of Latin-1.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => "'\\\\'".to_owned(),
        b'\n' => "'\\n'".to_owned(),
        b'\r' => "'\\r'".to_owned(),
        b'\t' => "'\\t'".to_owned(),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}
