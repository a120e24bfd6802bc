# A server of three, as the containers use it. The name is the host's, the address that others are told is the
# first private one of the host.
region     = "global"
datacenter = "dc1"
data_dir   = "/var/lib/ordu"
bind_addr  = "0.0.0.0"
log_level  = "INFO"

server {
  enabled          = true
  bootstrap_expect = 3

  # Whoever reaches the RPC port may join, unless all servers have a key here that
  # `ordu operator gossip keyring generate` has made. Then keep this file from other users.
  # encrypt = "…"

  # A server whose clock differs from the other servers' clocks by more tells it, and does not lead while another can.
  clock_skew_limit = "5s"

  # The same of one whose disk takes longer for a sync of the raft log.
  sync_limit = "2s"

  # By how much raft's times are longer than in one rack; health tells which multiplier the round trips need.
  raft_multiplier = 1

  # A client of the HTTP API that takes nothing of its answer for longer loses its connection.
  http_stall_limit = "10s"

  server_join {
    # Names are looked up anew at each try, since a container that comes back may have another address.
    retry_join = ["server-1", "server-2", "server-3"]
  }
}
