# A batch job that counts to ten and exits.
job "count" {
  datacenters = ["dc1"]
  type        = "batch"

  group "counters" {
    task "counter" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "for number in 1 2 3 4 5 6 7 8 9 10; do echo $number; done"]
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
