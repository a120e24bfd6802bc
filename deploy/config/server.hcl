# Configuration of one of three servers. The containers use it. The server's name is the host name; it advertises the
# host's first private address.
region     = "global"
datacenter = "dc1"
data_dir   = "/var/lib/ordu"
bind_addr  = "0.0.0.0"
log_level  = "INFO"

# Required with any bind_addr but loopback, because there is no TLS: what the servers, nodes and clients send can be read
# and changed on the way, and whoever reaches the ports may do everything. Let only trusted machines reach them.
allow_plaintext = true

server {
  enabled          = true
  bootstrap_expect = 3

  # Without a key, anyone who reaches the RPC port may join. `ordu operator gossip keyring generate` makes a key; give
  # all servers the same one, and make this file unreadable for other users.
  # encrypt = "…"

  # A server whose clock differs more from the median of all servers' clocks raises an alarm, and does not lead while
  # another server can.
  clock_skew_limit = "5s"

  # So does a server whose disk takes longer for one sync of the raft log.
  sync_limit = "2s"

  # Multiplies raft's timeouts, which are meant for one rack. /v1/agent/health shows the multiplier that the measured
  # round trips need.
  raft_multiplier = 1

  # The server closes the connection of an HTTP client that reads nothing of its answer for longer.
  http_stall_limit = "10s"

  server_join {
    # Each attempt resolves the names again, because a restarted container may have another address.
    retry_join = ["server-1", "server-2", "server-3"]
  }
}
