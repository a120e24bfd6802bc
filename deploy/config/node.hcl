# A node that runs raw_exec tasks, as the containers use it.
region     = "global"
datacenter = "dc1"
data_dir   = "/var/lib/ordu"
bind_addr  = "0.0.0.0"
log_level  = "INFO"

client {
  enabled = true
  servers = ["server-1", "server-2", "server-3"]

  meta {
    rack = "a"
  }
}

# Tasks run without any isolation beyond the container's, with the agent's rights.
plugin "raw_exec" {
  config {
    enabled = true
  }
}
