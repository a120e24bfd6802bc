//! A small HTTP server for the commands' tests: answers by request line, and records the requests.

use serde_json::Value as Json;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Which requests get which answers.
#[derive(Default)]
pub(crate) struct Answers(Vec<(String, VecDeque<Json>)>);

impl Answers {
    pub(crate) fn new() -> Answers {
        Answers::default()
    }

    /// Answers requests whose line begins with `beginning` with each answer in turn; the last one repeats. The
    /// longest matching beginning applies.
    pub(crate) fn on(mut self, beginning: &str, answers: impl IntoIterator<Item = Json>) -> Answers {
        self.0.push((beginning.to_owned(), answers.into_iter().collect()));
        self
    }

    fn answer(&mut self, request: &str) -> Option<Json> {
        let fits = |beginning: &str| {
            request
                .strip_prefix(beginning)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '&', ' ', '-']))
        };
        let candidates = self.0.iter_mut().filter(|(beginning, _)| fits(beginning));
        let (_, answers) = candidates.max_by_key(|(beginning, _)| beginning.len())?;
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    }
}

/// Starts the server. Returns its address and the requests so far, each with its line and its body.
pub(crate) async fn serve(answers: Answers) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (seen, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(answers)));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&answers), Arc::clone(&kept)));
        }
    });
    (address, seen)
}

async fn converse(stream: TcpStream, answers: Arc<Mutex<Answers>>, seen: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while let Ok(1..) = stream.read_line(&mut line).await {
        let mut bytes = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.unwrap();
            if header.trim().is_empty() {
                break;
            }
            if let Some(length) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                bytes = length.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; bytes];
        stream.read_exact(&mut body).await.unwrap();
        let request = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
        let (status, answer) = match answers.lock().unwrap().answer(&request) {
            Some(answer) => ("200 OK", answer.to_string()),
            None => ("404 Not Found", "nothing here".to_owned()),
        };
        seen.lock()
            .unwrap()
            .push(format!("{request} {}", String::from_utf8(body).unwrap()).trim_end().to_owned());
        line.clear();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nX-Nomad-Index: 1\r\n\r\n", answer.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}
