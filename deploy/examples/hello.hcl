# A service that prints the time every five seconds. Register it with `ordu job run deploy/examples/hello.hcl`.
job "hello" {
  datacenters = ["dc1"]
  type        = "service"

  group "greeters" {
    count = 1

    restart {
      attempts = 3
      interval = "5m"
      delay    = "5s"
      mode     = "delay"
    }

    task "greeter" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "while true; do echo \"$GREETING, it is $(date)\"; sleep 5; done"]
      }

      env {
        GREETING = "Hello from ${NOMAD_ALLOC_NAME}"
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
