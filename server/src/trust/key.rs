//! The key shared by the servers of a cluster, and proofs made with it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use ordu_store::runtime::random_bytes;
use sha2::Sha256;

/// Allowed key lengths in bytes, as in Nomad.
const LENGTHS: [usize; 3] = [16, 24, 32];
/// Length of generated keys in bytes.
const LENGTH: usize = 32;
/// Domain separator: derives the proof key, so that the configured key can also serve other purposes.
const USE: &[u8] = b"ordu: servers prove to one another that they belong together, 1";

/// A proof of the key.
pub(super) type Proof = [u8; 32];

/// The key shared by the servers of a cluster. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Proof);

impl Key {
    /// Parses a configured key: base64 of 16, 24 or 32 bytes.
    ///
    /// # Errors
    /// A text that says what is wrong, without the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted =
            "a key is base64 of 16, 24 or 32 bytes; `ordu operator gossip keyring generate` makes one";
        let configured = STANDARD.decode(text.trim()).map_err(|_| format!("this is no base64: {wanted}"))?;
        if !LENGTHS.contains(&configured.len()) {
            return Err(format!("invalid key size: {wanted}, and this is one of {}", configured.len()));
        }
        Ok(Self(code(&configured, &[USE]).finalize().into_bytes().into()))
    }

    /// Generates a key in its configured form.
    pub fn generate() -> String {
        STANDARD.encode(random_bytes::<LENGTH>())
    }

    /// Returns the proof over `parts` with this key. Each part must have a fixed length.
    pub(super) fn prove(&self, parts: &[&[u8]]) -> Proof {
        code(&self.0, parts).finalize().into_bytes().into()
    }

    /// Whether `proof` is the proof over `parts`. Runs in constant time.
    pub(super) fn is_proven(&self, parts: &[&[u8]], proof: &Proof) -> bool {
        code(&self.0, parts).verify_slice(proof).is_ok()
    }
}

fn code(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut code = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| code.update(part));
    code
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_base64_of_as_many_bytes_as_nomads_and_is_not_told_again() {
        for (length, fault) in [
            (16, None),
            (24, None),
            (32, None),
            (0, Some("and this is one of 0")),
            (15, Some("invalid key size")),
            (33, Some("and this is one of 33")),
        ] {
            let read = Key::parse(&STANDARD.encode(vec![7; length]));
            assert_eq!(fault.is_none(), read.is_ok(), "{length}");
            if let (Some(fault), Err(error)) = (fault, read) {
                assert!(error.contains(fault), "{error}");
            }
        }
        let error = Key::parse("no secret!").unwrap_err();
        assert!(error.contains("no base64") && !error.contains("secret"), "{error}");
        let made = Key::generate();
        let key = Key::parse(&format!(" {made}\n")).unwrap();
        assert_eq!(key, Key::parse(&made).unwrap());
        assert_ne!(key, Key::parse(&Key::generate()).unwrap());
        assert_eq!("Key(…)", format!("{key:?}"));
    }

    #[test]
    fn a_proof_is_of_one_key_and_of_what_was_said() {
        let [key, other] = [Key::generate(), Key::generate()].map(|text| Key::parse(&text).unwrap());
        let proof = key.prove(&[b"role", b"nonce"]);
        assert!(key.is_proven(&[b"role", b"nonce"], &proof));
        assert!(!key.is_proven(&[b"role", b"other"], &proof));
        assert!(!other.is_proven(&[b"role", b"nonce"], &proof));
    }
}
