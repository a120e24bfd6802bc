//! Mutual proof of the same key between two servers, at the start of a connection:
//!
//! ```text
//! connecting  →  HELLO, its nonce
//! listening   →  HELLO, whether it has a key, its nonce, its proof
//! connecting  →  its proof
//! ```
//!
//! A proof is an HMAC with the key over the sender's role and both nonces. Both sides draw new nonces for
//! each connection, so a recorded proof is useless. The roles differ, so a proof cannot be reflected to its
//! sender. No synchronised clocks are needed. The proof holds only for the start of the connection: a man in
//! the middle can relay it, and then read or take over the connection, since nothing is encrypted.

use std::io;

use ordu_store::runtime::random_bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::key::{Key, Proof};
use crate::net::Io;

/// The first bytes of a handshake. HTTP/2 begins with another letter. To HTTP/1 this is a complete
/// (malformed) request, so a server's HTTP port answers at once.
const HELLO: [u8; 16] = *b"ORDU/1 PROOF\r\n\r\n";
/// The sender's role in a proof: the connecting side here, the listening side below.
const WHO_CAME: &[u8; 8] = b"who came";
const WHO_LISTENS: &[u8; 8] = b"listener";

/// Random bytes drawn for each connection.
type Nonce = [u8; 32];

/// What one side has learned about the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// It has the same key.
    Same,
    /// It has another key.
    Other,
    /// It has no key.
    Nothing,
}

/// Runs the handshake as the connecting side.
///
/// # Errors
/// Returned if the connection fails, or the listening side does not know the handshake.
pub(super) async fn come(io: &mut impl Io, key: &Key) -> io::Result<Shown> {
    let own: Nonce = random_bytes();
    io.write_all(&[HELLO.as_slice(), &own].concat()).await?;
    io.flush().await?;
    let mut hello = [0; HELLO.len()];
    match io.read_exact(&mut hello).await {
        Ok(_) if hello == HELLO => {}
        Err(error) if !is_end(&error) => return Err(error),
        _ => return Err(io::Error::new(io::ErrorKind::PermissionDenied, FOREIGN)),
    }
    if io.read_u8().await? == 0 {
        return Ok(Shown::Nothing);
    }
    let (mut theirs, mut proof): (Nonce, Proof) = Default::default();
    io.read_exact(&mut theirs).await?;
    io.read_exact(&mut proof).await?;
    // Send the proof even if the other key differs, so that the other side can tell, too.
    io.write_all(&key.prove(&[WHO_CAME, &own, &theirs])).await?;
    io.flush().await?;
    let is_same = key.is_proven(&[WHO_LISTENS, &own, &theirs], &proof);
    Ok(if is_same { Shown::Same } else { Shown::Other })
}

const FOREIGN: &str = "what listens there proves no key: it is no server's RPC port, perhaps another of its ports, or a \
                       server of an older version";

/// Whether the other side has closed the connection.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// How an accepted connection begins.
pub(super) enum Begun {
    /// Without a handshake; the bytes read so far belong to HTTP/2.
    Otherwise(Vec<u8>),
    /// The peer asks for a key, and this server has none.
    Unasked,
    /// With a handshake.
    Shown(Shown),
}

/// Runs the handshake as the listening side, with `key` if this server has one.
///
/// # Errors
/// Returned if the connection fails.
pub(super) async fn receive(io: &mut impl Io, key: Option<&Key>) -> io::Result<Begun> {
    let mut hello = Vec::with_capacity(HELLO.len());
    while hello.len() < HELLO.len() {
        let mut more = [0; HELLO.len()];
        let count = io.read(&mut more[hello.len()..]).await?;
        let begin = hello.len();
        hello.extend_from_slice(&more[begin..begin + count]);
        if count == 0 || !HELLO.starts_with(&hello) {
            return Ok(Begun::Otherwise(hello));
        }
    }
    let mut theirs = Nonce::default();
    io.read_exact(&mut theirs).await?;
    let Some(key) = key else {
        io.write_all(&[HELLO.as_slice(), &[0]].concat()).await?;
        io.flush().await?;
        return Ok(Begun::Unasked);
    };
    let own: Nonce = random_bytes();
    let proof = key.prove(&[WHO_LISTENS, &theirs, &own]);
    io.write_all(&[HELLO.as_slice(), &[1], &own, &proof].concat()).await?;
    io.flush().await?;
    let mut proof = Proof::default();
    io.read_exact(&mut proof).await?;
    let is_same = key.is_proven(&[WHO_CAME, &theirs, &own], &proof);
    Ok(Begun::Shown(if is_same { Shown::Same } else { Shown::Other }))
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    fn key() -> Key {
        Key::parse(&Key::generate()).unwrap()
    }

    async fn meet(came: &Key, listens: Option<&Key>) -> (Shown, Begun, DuplexStream, DuplexStream) {
        let (mut near, mut far) = duplex(1024);
        let (came, listens) = tokio::join!(come(&mut near, came), receive(&mut far, listens));
        (came.unwrap(), listens.unwrap(), near, far)
    }

    #[tokio::test]
    async fn both_sides_learn_whether_the_other_has_their_key() {
        let (key, other) = (key(), key());
        for (listens, wanted) in
            [(Some(&key), Shown::Same), (Some(&other), Shown::Other), (None, Shown::Nothing)]
        {
            let (came, heard, mut near, mut far) = meet(&key, listens).await;
            assert_eq!(wanted, came);
            match heard {
                Begun::Unasked => assert_eq!(Shown::Nothing, wanted),
                Begun::Shown(shown) => assert_eq!(shown, wanted),
                Begun::Otherwise(said) => panic!("{said:?}"),
            }
            // The bytes after the handshake arrive intact on both sides.
            near.write_all(b"to").await.unwrap();
            far.write_all(b"fro").await.unwrap();
            let (mut to, mut fro) = ([0; 2], [0; 3]);
            far.read_exact(&mut to).await.unwrap();
            near.read_exact(&mut fro).await.unwrap();
            assert_eq!((b"to", b"fro"), (&to, &fro));
        }
    }

    #[tokio::test]
    async fn who_shows_nothing_is_heard_from_its_first_byte_on() {
        for said in [b"PRI * HTTP/2.0\r\n\r\n".as_slice(), b"ORDU/1 P", b"O", b""] {
            let (mut near, mut far) = duplex(1024);
            near.write_all(said).await.unwrap();
            near.shutdown().await.unwrap();
            let begun = receive(&mut far, Some(&key())).await.unwrap();
            let Begun::Otherwise(mut heard) = begun else { panic!("{said:?}") };
            far.read_to_end(&mut heard).await.unwrap();
            assert_eq!(said, heard);
        }
    }

    /// Records what each side sends in a handshake between servers that have `key`.
    async fn recorded(key: &Key) -> (Vec<u8>, Vec<u8>) {
        let ((mut near, mut far), (mut left, mut right)) = (duplex(1024), duplex(1024));
        let between = async {
            let (mut hello, mut answer, mut proof) = ([0; 48], [0; 81], [0; 32]);
            left.read_exact(&mut hello).await.unwrap();
            far.write_all(&hello).await.unwrap();
            far.read_exact(&mut answer).await.unwrap();
            left.write_all(&answer).await.unwrap();
            left.read_exact(&mut proof).await.unwrap();
            far.write_all(&proof).await.unwrap();
            ([hello.as_slice(), &proof].concat(), answer.to_vec())
        };
        let (came, heard, said) = tokio::join!(come(&mut right, key), receive(&mut near, Some(key)), between);
        assert!(matches!((came, heard), (Ok(Shown::Same), Ok(Begun::Shown(Shown::Same)))));
        said
    }

    #[tokio::test]
    async fn what_was_recorded_or_is_sent_back_proves_nothing() {
        let key = key();
        let (of_who_came, of_who_listens) = recorded(&key).await;
        let (mut near, mut far) = duplex(1024);
        near.write_all(&of_who_came).await.unwrap();
        let heard = receive(&mut far, Some(&key)).await.unwrap();
        assert!(matches!(heard, Begun::Shown(Shown::Other)), "to who listens");

        let (mut near, mut far) = duplex(1024);
        far.write_all(&of_who_listens).await.unwrap();
        assert_eq!(Shown::Other, come(&mut near, &key).await.unwrap(), "to who comes");

        // The connecting side gets its own nonce and proof back.
        let (mut near, mut far) = duplex(1024);
        let mirror = async {
            let mut hello = [0; 48];
            far.read_exact(&mut hello).await.unwrap();
            let own = key.prove(&[WHO_CAME, &hello[16..], &hello[16..]]);
            far.write_all(&[HELLO.as_slice(), &[1], &hello[16..], &own].concat()).await.unwrap();
        };
        let (came, ()) = tokio::join!(come(&mut near, &key), mirror);
        assert_eq!(Shown::Other, came.unwrap(), "sent back");
    }

    #[tokio::test]
    async fn what_is_no_server_is_told_as_that() {
        for said in [b"HTTP/1.1 400 Bad Request\r\n".as_slice(), b"\x00\x00", b""] {
            let (mut near, mut far) = duplex(1024);
            far.write_all(said).await.unwrap();
            far.shutdown().await.unwrap();
            let error = come(&mut near, &key()).await.unwrap_err();
            assert!(error.to_string().contains("no server's RPC port"), "{error}");
        }
    }
}
