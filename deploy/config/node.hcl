# Configuration of a node that runs raw_exec tasks. The containers use it.
region     = "global"
datacenter = "dc1"
data_dir   = "/var/lib/ordu"
bind_addr  = "0.0.0.0"
log_level  = "INFO"

# Required with any bind_addr but loopback, because there is no TLS: what the node and its servers send can be read and
# changed on the way.
allow_plaintext = true

client {
  enabled = true
  servers = ["server-1", "server-2", "server-3"]

  meta {
    rack = "a"
  }
}

# Tasks run with the agent's rights and without isolation, except for that of the agent's container.
plugin "raw_exec" {
  config {
    enabled = true
  }
}
