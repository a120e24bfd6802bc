//! The load generators.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Kind;
use super::watch::Answers;
use crate::http::{Client, Connection, encode};
use crate::jobs::{Template, periodic, registration, unplaceable, unplaceable_batch};

/// Timeout for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const FILLERS: usize = 32;
const LARGE_BYTES: usize = 3_800_000;
const BODIES: usize = 200;
/// Number of different large jobs; clients overwrite them in turn so that the state does not grow without bound.
const LARGE_JOBS: usize = 10;
const CONNECTIONS: usize = 10_000;
const QUERIES: usize = 5_000;
const QUERIED_JOBS: usize = 50;
const PLANS: usize = 16;
const LISTS: usize = 32;
const READERS: usize = 400;
const LAUNCHED_JOBS: usize = 2_000;

/// Registers jobs that are never placed.
pub(super) async fn fill(servers: &[SocketAddr], jobs: usize) -> Result<(), String> {
    let template = Arc::new(Template::new(&unplaceable_batch("template")));
    register_all(servers, jobs, move |number, body| template.write(&format!("filler-{number}"), body)).await
}

/// Registers this many jobs. `write` writes the body for a job's number.
async fn register_all(
    servers: &[SocketAddr],
    jobs: usize,
    write: impl Fn(usize, &mut Vec<u8>) + Clone + Send + 'static,
) -> Result<(), String> {
    let request = move |number, request: &mut Vec<u8>| {
        let mut body = Vec::new();
        write(number, &mut body);
        encode(request, "PUT", "/v1/jobs", Some(&body));
    };
    exchange_all(servers, jobs, request).await
}

/// Sends this many requests. `write` writes the request for a number. Each must be answered with 200.
async fn exchange_all(
    servers: &[SocketAddr],
    requests: usize,
    write: impl Fn(usize, &mut Vec<u8>) + Clone + Send + 'static,
) -> Result<(), String> {
    let mut clients = JoinSet::new();
    for client in 0..FILLERS {
        let (server, write) = (servers[client % servers.len()], write.clone());
        clients.spawn(async move {
            let mut connection = Connection::open(server).await.map_err(|error| error.to_string())?;
            let mut request = Vec::new();
            for number in (client..requests).step_by(FILLERS) {
                request.clear();
                write(number, &mut request);
                let answer = connection.exchange(&request).await.map_err(|error| error.to_string())?;
                if answer.status != 200 {
                    let text = String::from_utf8_lossy(answer.body);
                    return Err(format!("a request is answered with {}: {text}", answer.status));
                }
            }
            Ok(())
        });
    }
    while let Some(sent) = clients.join_next().await {
        sent.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// Starts a load, which ends when the returned set is dropped.
pub(super) async fn start(
    kind: Kind,
    servers: &[SocketAddr],
    answers: &Answers,
) -> Result<JoinSet<()>, String> {
    let mut load = JoinSet::new();
    match kind {
        Kind::Bodies => bodies(&mut load, servers, answers),
        Kind::Connections => connections(&mut load, servers, answers),
        Kind::Queries => queries(&mut load, servers, answers).await?,
        Kind::Plans => plans(&mut load, servers, answers),
        Kind::Lists => lists(&mut load, servers, answers),
        Kind::Readers => readers(&mut load, servers, answers),
        Kind::Launches => launches(servers, answers).await?,
    }
    Ok(load)
}

/// Removes jobs of a load that would keep the cluster busy after the load has ended.
pub(super) async fn tidy(kind: Kind, servers: &[SocketAddr]) -> Result<(), String> {
    if kind != Kind::Launches {
        return Ok(());
    }
    let purge = |number, request: &mut Vec<u8>| {
        encode(request, "DELETE", &format!("/v1/job/{}?purge=true", launched(number)), None);
    };
    exchange_all(servers, LAUNCHED_JOBS, purge).await
}

/// Starts a client that repeats one request.
fn asks(
    load: &mut JoinSet<()>,
    server: SocketAddr,
    answers: &Answers,
    request: Arc<Vec<u8>>,
    pause: Duration,
) {
    let answers = answers.clone();
    load.spawn(async move {
        loop {
            match Connection::open(server).await {
                Ok(mut connection) => loop {
                    match timeout(ANSWER_WITHIN, connection.exchange(&request)).await {
                        Ok(Ok(answer)) => answers.note(answer.status.to_string()),
                        Ok(Err(_)) => break answers.note("lost"),
                        Err(_) => break answers.note("none in a minute"),
                    }
                    sleep(pause).await;
                },
                Err(_) => answers.note("not connected"),
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
}

fn encoded(method: &str, path: &str, body: Option<&[u8]>) -> Arc<Vec<u8>> {
    let mut request = Vec::new();
    encode(&mut request, method, path, body);
    Arc::new(request)
}

fn bodies(load: &mut JoinSet<()>, servers: &[SocketAddr], answers: &Answers) {
    let requests: Vec<Arc<Vec<u8>>> = (0..LARGE_JOBS)
        .map(|number| {
            let mut job = unplaceable(&format!("large-{number}"));
            job["Meta"] = serde_json::json!({"much": "x".repeat(LARGE_BYTES)});
            encoded("PUT", "/v1/jobs", Some(registration(&job).to_string().as_bytes()))
        })
        .collect();
    for client in 0..BODIES {
        let request = requests[client % LARGE_JOBS].clone();
        asks(load, servers[client % servers.len()], answers, request, Duration::ZERO);
    }
}

fn connections(load: &mut JoinSet<()>, servers: &[SocketAddr], answers: &Answers) {
    let request = encoded("GET", "/v1/status/leader", None);
    for client in 0..CONNECTIONS {
        asks(load, servers[client % servers.len()], answers, request.clone(), Duration::from_secs(5));
    }
}

async fn queries(load: &mut JoinSet<()>, servers: &[SocketAddr], answers: &Answers) -> Result<(), String> {
    let template = Arc::new(Template::new(&unplaceable("template")));
    register_all(servers, QUERIED_JOBS, move |number, body| {
        template.write(&format!("queried-{number}"), body)
    })
    .await?;
    for client in 0..QUERIES {
        let (server, answers) = (servers[client % servers.len()], answers.clone());
        let path = format!("/v1/job/queried-{}", client % QUERIED_JOBS);
        load.spawn(async move {
            let mut index = 1;
            loop {
                if let Ok(mut connection) = Connection::open(server).await {
                    loop {
                        let request = encoded("GET", &format!("{path}?index={index}&wait=30s"), None);
                        match timeout(ANSWER_WITHIN, connection.exchange(&request)).await {
                            Ok(Ok(answer)) => {
                                answers.note(answer.status.to_string());
                                index = answer.index().max(1);
                            }
                            Ok(Err(_)) => break answers.note("lost"),
                            Err(_) => break answers.note("none in a minute"),
                        }
                    }
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let (servers, answers) = (servers.to_vec(), answers.clone());
    load.spawn(async move {
        let mut number: usize = 0;
        loop {
            let mut job = unplaceable(&format!("queried-{}", number % QUERIED_JOBS));
            job["Priority"] = (1 + number / QUERIED_JOBS % 99).into();
            let client = Client::new(servers[number % servers.len()]);
            let written = client.post("/v1/jobs", &registration(&job)).await;
            answers.note(written.map_or_else(|_| "lost".to_owned(), |answer| answer.status.to_string()));
            number += 1;
            sleep(Duration::from_millis(20)).await;
        }
    });
    Ok(())
}

fn plans(load: &mut JoinSet<()>, servers: &[SocketAddr], answers: &Answers) {
    let mut job = unplaceable("planned");
    // Allocations for existing nodes, most of which do not fit.
    job["Datacenters"] = serde_json::json!(["dc1"]);
    let group = job["TaskGroups"][0].clone();
    let groups = (0..10).map(|number| {
        let mut group = group.clone();
        group["Name"] = format!("group-{number}").into();
        group["Count"] = 2_000.into();
        group
    });
    job["TaskGroups"] = groups.collect();
    let body = serde_json::json!({"Job": job, "Diff": true}).to_string();
    let request = encoded("PUT", "/v1/job/planned/plan", Some(body.as_bytes()));
    for client in 0..PLANS {
        asks(load, servers[client % servers.len()], answers, request.clone(), Duration::ZERO);
    }
}

fn lists(load: &mut JoinSet<()>, servers: &[SocketAddr], answers: &Answers) {
    let paths = ["/v1/jobs", "/v1/evaluations", "/v1/allocations", "/v1/jobs?prefix=filler"];
    for client in 0..LISTS {
        let request = encoded("GET", paths[client / servers.len() % paths.len()], None);
        asks(load, servers[client % servers.len()], answers, request, Duration::ZERO);
    }
}

fn readers(load: &mut JoinSet<()>, servers: &[SocketAddr], answers: &Answers) {
    let request = encoded("GET", "/v1/jobs", None);
    for client in 0..READERS {
        let (server, answers, request) = (servers[client % servers.len()], answers.clone(), request.clone());
        load.spawn(async move {
            loop {
                if let Ok(mut connection) = TcpStream::connect(server).await {
                    let mut head = [0; 16];
                    let begun = async {
                        connection.write_all(&request).await?;
                        connection.read_exact(&mut head).await
                    };
                    match timeout(ANSWER_WITHIN, begun).await {
                        Ok(Ok(_)) => answers.note(String::from_utf8_lossy(&head[9..12])),
                        Ok(Err(_)) => answers.note("lost"),
                        Err(_) => answers.note("none in a minute"),
                    }
                    // Stop reading for longer than the server's timeout.
                    sleep(Duration::from_secs(12)).await;
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
}

fn launched(number: usize) -> String {
    format!("launched-{number}")
}

async fn launches(servers: &[SocketAddr], answers: &Answers) -> Result<(), String> {
    let job = periodic(unplaceable_batch("template"), "*/2 * * * * * *");
    let template = Arc::new(Template::new(&job));
    let counted = answers.clone();
    register_all(servers, LAUNCHED_JOBS, move |number, body| {
        counted.note("200");
        template.write(&launched(number), body);
    })
    .await
}
