//! Messages for the most common configuration mistakes.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::unistd::geteuid;
use ordu_tests::cli::ordu_under;
use ordu_tests::harness::{Agent, Root, SETTLE_WITHIN, eventually, eventually_now, free_port, holds};

/// Timeout for an agent to refuse to start.
const REFUSE_WITHIN: Duration = Duration::from_secs(30);
/// Timeout for a waiting server to log its reason, which it does every ten seconds.
const TOLD_WITHIN: Duration = Duration::from_secs(40);

/// Returns a command prefix that removes root's right to ignore file permissions.
fn without_root_s_rights() -> &'static [&'static str] {
    if geteuid().is_root() { &["setpriv", "--bounding-set=-dac_override,-dac_read_search"] } else { &[] }
}

/// A mistake in a configuration, and its effect on an agent.
struct Mistake {
    what: &'static str,
    /// The server's name; also the name of its configuration file and its data directory.
    name: &'static str,
    ports: [u16; 3],
    /// Its configuration besides name, directory and ports.
    more: String,
    /// The command prefix that starts it.
    starter: &'static [&'static str],
    /// The exit status, if it ends.
    status: Option<i32>,
    /// Words that one line of standard error must contain.
    said: Vec<String>,
}

fn ports() -> [u16; 3] {
    [(); 3].map(|()| free_port())
}

/// Returns the `server` block of a server that expects this many servers and joins these.
fn server(expect: u32, joined: &[&str]) -> String {
    format!("server {{\n  enabled = true\n  bootstrap_expect = {expect}\n  retry_join = {joined:?}\n}}\n")
}

/// Starts a server and waits until it is the leader of its own cluster.
async fn start_alone(root: &Root, name: &str, ports: [u16; 3], more: &str) -> Agent {
    let mut agent = Agent::on_loopback(root, name, ports, more);
    agent.start();
    let client = agent.client();
    eventually("a server alone leads", SETTLE_WITHIN, async || {
        let leader = client.json("/v1/status/leader").await.map_err(|error| error.to_string())?;
        holds(leader != "", || format!("the leader is {leader}"))
    })
    .await;
    agent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_ten_typical_mistakes_is_told_in_a_sentence() {
    let root = Root::new();
    // A separate cluster, a server with data of another cluster, and a server that waits for four others.
    let other = ports();
    let _other = start_alone(&root, "other", other, &server(1, &[])).await;
    let member = ports();
    start_alone(&root, "member", member, &server(1, &[])).await.stop();
    let five = ports();
    let mut waiting = Agent::on_loopback(&root, "five", five, &server(5, &[]));
    waiting.start();
    let two = ports();
    let mut twin = Agent::on_loopback(&root, "twin", two, &server(2, &[]));
    twin.start();
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let silent = silent.local_addr().map(|address| (silent, address.to_string())).expect("it has an address");
    let closed = root.path().join("closed");
    fs::create_dir(&closed).expect("the test's folder can be written to");
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).expect("the folder is the test's own");

    let address = |port: u16| format!("127.0.0.1:{port}");
    let nobody = address(free_port());
    let [other_http, other_rpc] = [address(other[0]), address(other[1])];
    let five_rpc = address(five[1]);
    let cannot_reach = "a server that this one is told to join cannot be reached: ";
    let usual = |what, name, more, status, said: &[&str]| Mistake {
        what,
        name,
        ports: ports(),
        more,
        starter: &[],
        status,
        said: said.iter().map(ToString::to_string).collect(),
    };
    let mistakes = [
        usual(
            "wrong key",
            "key",
            "server {\n  enabled = true\n  bootstrap_expected = 3\n}\n".to_owned(),
            Some(78),
            &["key.hcl:3:3: `server.bootstrap_expected` is a key that neither Ordu nor Nomad knows; is \
               `bootstrap_expect` meant?"],
        ),
        usual(
            "wrong type",
            "type",
            "server {\n  enabled = true\n  bootstrap_expect = \"three\"\n}\n".to_owned(),
            Some(78),
            &["type.hcl:3:", "`bootstrap_expect`", "\"three\""],
        ),
        usual(
            "the address of a name that nobody has",
            "lost-1",
            server(3, &["no-such-host.invalid:4647"]),
            None,
            &[cannot_reach, "failed to lookup address", "no-such-host.invalid:4647"],
        ),
        usual(
            "the address of a port where nobody listens",
            "lost-2",
            server(3, &[&nobody]),
            None,
            &[cannot_reach, "Connection refused", &nobody],
        ),
        usual(
            "the address of a host that does not answer",
            "lost-3",
            server(3, &[&silent.1]),
            None,
            &[cannot_reach, "no answer in ", &silent.1],
        ),
        usual(
            "the address of the HTTP port",
            "lost-4",
            server(3, &[&other_http]),
            None,
            &[cannot_reach, "what listens there is no server's RPC port", &other_http],
        ),
        Mistake {
            ports: member,
            ..usual(
                "the address of another cluster",
                "member",
                server(1, &[&other_rpc]),
                Some(1),
                &[
                    "the data directory ",
                    "belongs to cluster ",
                    &other_rpc,
                    "give this server another data directory",
                ],
            )
        },
        usual(
            "one name twice",
            "twin-2",
            format!("name = \"twin\"\n{}", server(2, &[&address(two[1])])),
            None,
            &["two servers that would form the cluster have this name; give each server a name of its own"],
        ),
        usual(
            "another bootstrap_expect",
            "three",
            server(3, &[&five_rpc]),
            None,
            &["that server expects 5 servers to form a cluster, this one 3", &five_rpc],
        ),
        Mistake {
            ports: [other[0], free_port(), free_port()],
            ..usual(
                "a port in use",
                "busy",
                server(1, &[]),
                Some(1),
                &[
                    &format!("`ports.http`: cannot listen on {other_http}: Address already in use"),
                    "Another process listens there: stop it, or set another port",
                ],
            )
        },
        Mistake {
            starter: without_root_s_rights(),
            ..usual(
                "a data directory that cannot be written to",
                "readonly",
                format!("data_dir = \"{}\"\n{}", closed.display(), server(1, &[])),
                Some(78),
                &[
                    &format!(
                        "cannot open the data directory in {}/server: Permission denied",
                        closed.display()
                    ),
                    "The user of this process must be able to write there",
                ],
            )
        },
    ];
    let mut running = Vec::new();
    for mistake in &mistakes {
        let mut agent = Agent::on_loopback(&root, mistake.name, mistake.ports, &mistake.more);
        match mistake.status {
            Some(_) => ends_as_said(&agent, mistake),
            None => {
                agent.start();
                running.push((mistake, agent));
            }
        }
    }
    for (mistake, agent) in &mut running {
        eventually_now(mistake.what, TOLD_WITHIN, || {
            agent.ended_by_itself()?;
            let log = agent.log_text();
            holds(is_said(mistake, &log), || log)
        })
        .await;
    }
}

fn is_said(mistake: &Mistake, text: &str) -> bool {
    text.lines().any(|line| mistake.said.iter().all(|part| line.contains(part)))
}

fn ends_as_said(agent: &Agent, mistake: &Mistake) {
    let arguments: Vec<&str> =
        ["agent"].into_iter().chain(agent.arguments().iter().map(String::as_str)).collect();
    let printed = ordu_under(mistake.starter, &arguments, &[], REFUSE_WITHIN);
    assert_eq!(mistake.status, printed.code, "{}: {}", mistake.what, printed.all());
    assert!(is_said(mistake, &printed.stderr), "{}: {}", mistake.what, printed.all());
    assert!(!printed.stderr.contains("panicked"), "{}: {}", mistake.what, printed.all());
}
