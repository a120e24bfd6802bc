//! Reads request bodies, bounded in size and time.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use ordu_core::limits::{HTTP_STALL_MS, INLINE_BYTES_MAX};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::error::HttpError;
use super::room::{BodyPlace, Room};

/// How long a body may take to arrive.
const ARRIVE_WITHIN: Duration = Duration::from_secs(60);
/// For how long, and up to how many bytes, a refused body is still read. Otherwise a client that is still
/// sending would see its connection reset instead of the refusal.
const DISCARD_WITHIN: Duration = Duration::from_secs(5);
const DISCARD_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Reads the whole body of at most `bytes_max` bytes from the client at this address; also returns the reservation of
/// its memory.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    room: &Room,
    client: Option<IpAddr>,
) -> Result<(Bytes, Option<BodyPlace>), HttpError> {
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let Some(told) = told
        && told > bytes_max as u64
    {
        if told <= DISCARD_BYTES_MAX {
            discard(body).await;
        }
        return Err(too_large(bytes_max));
    }
    // A body without a Content-Length gets room for a small one; `collect` takes more if it is larger.
    let reserved = told.map_or_else(|| INLINE_BYTES_MAX.min(bytes_max), |told| told as usize);
    if reserved == 0 {
        return Ok((Bytes::new(), None));
    }
    let taken = match room.answers.check() {
        // The answer to a large request may be large too, so it needs room for answers as well.
        Err(full) if reserved > INLINE_BYTES_MAX => Err(full),
        _ => room.bodies.take(reserved, client).await,
    };
    let place = match taken {
        Ok(place) => place,
        Err(refusal) => {
            discard(body).await;
            return Err(refusal);
        }
    };
    let collecting = collect(body, bytes_max, Reserved { bytes: reserved, place, client }, room);
    match timeout(ARRIVE_WITHIN, collecting).await {
        Ok(collected) => collected.map(|(body, reserved)| (body, Some(reserved.place))),
        Err(_) => Err(HttpError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the request's body did not arrive within {} s", ARRIVE_WITHIN.as_secs()),
        )),
    }
}

/// Room reserved for a body.
struct Reserved {
    bytes: usize,
    place: BodyPlace,
    client: Option<IpAddr>,
}

async fn collect(
    mut body: Body,
    bytes_max: usize,
    mut reserved: Reserved,
    room: &Room,
) -> Result<(Bytes, Reserved), HttpError> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    // A client that stops sending must not keep room that others wait for.
    while let Some(frame) =
        timeout(Duration::from_millis(HTTP_STALL_MS), body.frame()).await.map_err(stalled)?
    {
        let frame =
            frame.map_err(|error| HttpError::bad_request(format!("the body cannot be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + more.len() + data.len() > bytes_max {
            discard(body).await;
            return Err(too_large(bytes_max));
        }
        if first.len() + more.len() + data.len() > reserved.bytes {
            let client = reserved.client;
            match room.bodies.take(bytes_max, client).await {
                Ok(place) => reserved = Reserved { bytes: bytes_max, place, client },
                Err(refusal) => {
                    discard(body).await;
                    return Err(refusal);
                }
            }
        }
        // Most bodies arrive in one piece, which is not copied.
        match first.is_empty() {
            true => first = data,
            false => more.extend_from_slice(&data),
        }
    }
    if more.is_empty() {
        return Ok((first, reserved));
    }
    let mut whole = BytesMut::with_capacity(first.len() + more.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&more);
    Ok((whole.freeze(), reserved))
}

pub(super) async fn discard(mut body: Body) {
    let discarding = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, |data| data.len() as u64);
            if seen > DISCARD_BYTES_MAX {
                return;
            }
        }
    };
    // Best effort: it does not matter whether the whole body arrived.
    let _ = timeout(DISCARD_WITHIN, discarding).await;
}

fn stalled(_: Elapsed) -> HttpError {
    let text = format!("nothing of the request's body arrived for {} s", HTTP_STALL_MS / 1_000);
    HttpError::new(StatusCode::REQUEST_TIMEOUT, text)
}

fn too_large(bytes_max: usize) -> HttpError {
    let text = format!("the request's body is larger than the {bytes_max} bytes that are taken here");
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, text)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use futures::{StreamExt, stream};

    use super::*;

    fn in_pieces(pieces: &[&'static str]) -> Body {
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect();
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_is_whole_whatever_pieces_it_comes_in() {
        let headers = HeaderMap::new();
        for pieces in [&[][..], &["abc"], &["a", "b", "c"], &["", "ab", "", "c"]] {
            let (read, _) = read(&headers, in_pieces(pieces), 3, &Room::default(), None).await.unwrap();
            assert_eq!(pieces.concat().as_bytes(), &*read);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_arriving_gives_up_its_room() {
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("3"))]);
        let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"a")) });
        let body = Body::from_stream(first.chain(stream::pending()));
        let room = Room::default();
        let refused = read(&headers, body, 3, &room, None).await.unwrap_err();
        assert_eq!(StatusCode::REQUEST_TIMEOUT, refused.status);
        assert_eq!(0, room.bodies.bytes_held());
    }

    #[tokio::test]
    async fn a_body_over_the_bound_is_refused_with_and_without_a_length() {
        let refused =
            read(&HeaderMap::new(), in_pieces(&["ab", "cd"]), 3, &Room::default(), None).await.unwrap_err();
        assert_eq!(StatusCode::PAYLOAD_TOO_LARGE, refused.status);
        assert!(refused.text.contains("3 bytes"), "{}", refused.text);
        let claim = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("99999999999"))]);
        let endless = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(refused, read(&claim, endless, 3, &Room::default(), None).await.unwrap_err());
    }
}
