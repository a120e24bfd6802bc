//! What an agent lets others reach and read: its addresses, its files, and its API from a browser.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ordu_tests::cli::ordu;
use ordu_tests::harness::{
    Agent, Network, Root, SETTLE_WITHIN, eventually, eventually_now, free_port, holds, skipped,
};
use ordu_tests::http::{Client, Connection, Response};
use ordu_tests::jobs::{job, registration, unplaceable};
use ordu_tests::observe::{job_ids, register};

/// Timeout for an agent to refuse to start.
const REFUSE_WITHIN: Duration = Duration::from_secs(15);

const ALONE: &str = "server {\n  enabled = true\n  bootstrap_expect = 1\n}\n";
const RUNS_TASKS: &str =
    "client {\n  enabled = true\n}\nplugin \"raw_exec\" {\n  config {\n    enabled = true\n  }\n}\n";

async fn leads(client: Client) {
    eventually("the server leads", SETTLE_WITHIN, async || {
        let leader = client.json("/v1/status/leader").await.map_err(|error| error.to_string())?;
        holds(leader.as_str().is_some_and(|leader| !leader.is_empty()), || leader.to_string())
    })
    .await;
}

#[test]
fn an_agent_does_not_start_where_it_cannot_keep_what_its_configuration_asks_for() {
    let root = Root::new();
    let data = root.path().join("data").display().to_string();
    for (more, words) in [
        ("bind_addr = \"0.0.0.0\"", &["0.0.0.0", "allow_plaintext", "no TLS"][..]),
        ("addresses {\n  http = \"::\"\n}", &["::", "allow_plaintext"]),
        ("acl {\n  enabled = true\n}", &["no.hcl:7:", "acl.enabled", "access control"]),
        ("tls {\n  http = true\n}", &["no.hcl:7:", "tls.http", "TLS"]),
        ("tls {\n  rpc = true\n}", &["no.hcl:7:", "tls.rpc", "TLS"]),
    ] {
        let text = format!("data_dir = \"{data}\"\n{ALONE}{more}\n");
        let file = root.write("no.hcl", &text).display().to_string();
        let printed = ordu(&["agent", "-config", &file], &[], REFUSE_WITHIN);
        assert_eq!(Some(78), printed.code, "{more}: {}", printed.all());
        for word in words {
            assert!(printed.stderr.contains(word), "{more}: no {word:?}: {}", printed.all());
        }
        assert!(!Path::new(&data).exists(), "{more}: a refused agent has made its directory");
    }
    let flags = ["agent", "-server", "-bootstrap-expect=1", "-bind=0.0.0.0", "-data-dir", &data];
    let printed = ordu(&flags, &[], REFUSE_WITHIN);
    assert!(printed.code == Some(78) && printed.stderr.contains("-allow-plaintext"), "{}", printed.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_others_reach_without_tls_says_so_at_each_start() {
    let root = Root::new();
    let network = match Network::new(root.path()) {
        Ok(network) => network,
        Err(why) => return skipped(&why),
    };
    network.ip(&["address", "add", "10.77.1.1/24", "dev", "lo"]).expect("addresses can be added");
    let (mut server, _) = Agent::lone_server(&root, "plain", "10.77.1.1", "bootstrap_expect = 1");
    server.set_network(&network);
    for starts in 1..=2 {
        server.start();
        let told = |line: &&str| {
            line.contains(" WARN ") && line.contains("PLAIN TEXT") && line.contains("10.77.1.1")
        };
        eventually_now("it says so", SETTLE_WITHIN, || {
            let log = server.log_text();
            let is_up = log.matches("this server is up").count() == starts;
            holds(is_up && log.lines().filter(told).count() == starts, || log.clone())
        })
        .await;
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_word_about_addresses_a_server_listens_on_loopback_only() {
    let root = Root::new();
    let [http, rpc, serf] = [(); 3].map(|()| free_port());
    let data = root.path().join("data").display().to_string();
    let text = format!(
        "name = \"own\"\ndata_dir = \"{data}\"\nports {{\n  http = {http}\n  rpc = {rpc}\n  serf = {serf}\n}}\n{ALONE}"
    );
    let file = root.write("own.hcl", &text).display().to_string();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], http));
    let arguments = vec!["-config".to_owned(), file];
    let mut server = Agent::new("own", address, arguments, root.path(), root.log("own"));
    server.start();
    leads(server.client()).await;
    let listening = fs::read_to_string("/proc/net/tcp").expect("the system tells its sockets");
    for port in [http, rpc, serf] {
        // The state 0A is a listening socket; the address is in the byte order of the machine.
        let of_port = |line: &&str| line.contains(&format!(":{port:04X} 00000000:0000 0A"));
        let found: Vec<&str> = listening.lines().filter(of_port).collect();
        let everywhere = |line: &&str| line.contains(" 00000000:");
        assert!(found.len() == 1 && !found.iter().any(|line| everywhere(&&line[..20])), "{port}: {found:?}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .permissions()
        .mode()
        & 0o7777
}

/// Returns everything below a directory, and the directory itself.
fn all_below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            found.extend(all_below(&entry.path()));
        }
    }
    found
}

/// Returns what other users could open of a server's files.
fn open_to_others(server: &Path) -> Vec<String> {
    let is_open = |path: &PathBuf| {
        // A file of the database may disappear meanwhile.
        let Ok(found) = fs::symlink_metadata(path) else { return false };
        let expected = if found.is_dir() { 0o700 } else { 0o600 };
        found.permissions().mode() & 0o7777 != expected
    };
    let open = all_below(server).into_iter().filter(is_open);
    open.map(|path| format!("{:o} {}", mode(&path), path.display())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_are_closed_to_other_users_whatever_the_umask_and_tasks_keep_theirs() {
    let root = Root::new();
    let ports = [(); 3].map(|()| free_port());
    let mut agent = Agent::on_loopback(&root, "both", ports, &format!("{ALONE}{RUNS_TASKS}"));
    let data = root.path().join("both");
    agent.set_umask(0o000);
    agent.start();
    leads(agent.client()).await;
    let script = "umask > \"$NOMAD_TASK_DIR/told\" && touch \"$NOMAD_TASK_DIR/made\"";
    register(agent.client(), &job("tells", "batch", "dc1", "/bin/sh", &["-c", script])).await;
    let made = || all_below(&data.join("alloc")).into_iter().find(|path| path.ends_with("local/made"));
    let made = eventually_now("the task has run", SETTLE_WITHIN, || {
        made().ok_or_else(|| format!("{:?}", all_below(&data.join("alloc"))))
    })
    .await;
    assert_eq!("0000", fs::read_to_string(made.with_file_name("told")).expect("the task wrote it").trim());
    assert_eq!(0o666, mode(&made));

    let server = data.join("server");
    assert_eq!(Vec::<String>::new(), open_to_others(&server));
    assert!(all_below(&server).len() > 10, "{:?}", all_below(&server));
    let node = [
        ("", 0o711),
        ("alloc", 0o711),
        ("client", 0o700),
        ("client/allocs", 0o700),
        ("client/supervisor", 0o700),
    ];
    for (name, expected) in node {
        assert_eq!(expected, mode(&data.join(name)), "{name:?}");
    }
    agent.stop();

    // Files that were made with other modes, as by an earlier release, are closed at the next start.
    for path in all_below(&server) {
        let open = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).expect("the test owns them");
    }
    for (name, _) in node {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o755)).expect("the test owns them");
    }
    agent.start();
    leads(agent.client()).await;
    register(agent.client(), &unplaceable("later")).await;
    assert_eq!(Vec::<String>::new(), open_to_others(&server));
    for (name, expected) in node {
        assert_eq!(expected, mode(&data.join(name)), "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_s_directory_is_its_own_and_one_that_others_use_is_refused() {
    let root = Root::new();
    let mut server = Agent::on_loopback(&root, "alone", [(); 3].map(|()| free_port()), ALONE);
    server.set_umask(0o002);
    server.start();
    leads(server.client()).await;
    assert_eq!(0o700, mode(&root.path().join("alone")));
    assert_eq!(Vec::<String>::new(), open_to_others(&root.path().join("alone/server")));
    let shared = root.path().join("shared");
    fs::create_dir_all(shared.join("of-another-program")).expect("the test's folder can be written to");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).expect("the test owns it");
    let flags = ["agent", "-server", "-bootstrap-expect=1", "-data-dir", &shared.display().to_string()];
    let printed = ordu(&flags, &[], REFUSE_WITHIN);
    assert!(
        printed.code == Some(78) && printed.stderr.contains("name one of the agent's own"),
        "{}",
        printed.all()
    );
    assert_eq!(0o1777, mode(&shared));
}

async fn ask(client: Client, method: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let mut request = format!("{method} /v1/jobs HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("\r\n{body}");
    let mut connection = Connection::open(client.address()).await.expect("the server listens");
    connection.exchange(request.as_bytes()).await.expect("the server answers").to_response()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_is_served_under_names_that_the_configuration_allows_and_changes_nothing_for_a_foreign_page()
 {
    let root = Root::new();
    let more = format!("{ALONE}http_allowed_hosts = [\"ordu.example\"]\n");
    let mut server = Agent::on_loopback(&root, "asked", [(); 3].map(|()| free_port()), &more);
    server.start();
    let client = server.client();
    leads(client).await;
    let body = registration(&unplaceable("of-a-page")).to_string();
    let firefox = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0");
    let plain = ("Content-Type", "text/plain");
    let own = client.address().to_string();
    for (host, origin) in [
        (own.as_str(), "http://evil.example"),
        ("evil.example", "http://evil.example"),
        ("ordu.example", "https://evil.example"),
    ] {
        let headers = [("Host", host), ("Origin", origin), plain, firefox];
        let refused = ask(client, "POST", &headers, &body).await;
        assert_eq!(403, refused.status, "{host} {origin}: {}", refused.text());
        assert_eq!(Some("nosniff"), refused.header("x-content-type-options"));
    }
    for (host, status) in
        [("evil.example", 403), ("ordu.example", 200), ("localhost", 200), (own.as_str(), 200)]
    {
        let answer = ask(client, "GET", &[("Host", host), firefox], "").await;
        assert_eq!(status, answer.status, "{host}: {}", answer.text());
        assert_eq!(Some("nosniff"), answer.header("x-content-type-options"));
    }
    assert_eq!(Ok([].into()), job_ids(client, "of-a-page").await);
    // The same request of a client that is no browser is taken.
    let taken = ask(client, "POST", &[("Host", "evil.example"), plain], &body).await;
    assert_eq!(200, taken.status, "{}", taken.text());
    assert_eq!(Ok(["of-a-page".to_owned()].into()), job_ids(client, "of-a-page").await);
}
