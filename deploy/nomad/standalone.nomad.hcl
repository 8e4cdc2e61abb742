# Everything in one process, with a log on disk in the place of RabbitMQ and files in the place of Redis. Exactly one of it.
#
#   nomad job run -var sink_type=http -var 'settings={"SINK_HTTP_ADDRESS":"https://collector.example/events"}' deploy/nomad/standalone.nomad.hcl
#
# Its token is its workload identity:
#
#   nomad acl policy apply -namespace default -job hydrant-standalone hydrant-standalone deploy/nomad/firehose-policy.hcl
#
# What is secret stands in the Nomad variable nomad/jobs/hydrant-standalone, each item a setting.

variable "image" {
  description = "Image of standalone, as `make image` builds it."
  type        = string
  default     = "hydrant-standalone:0.1.0"
}

variable "datacenters" {
  description = "Datacenters to run in."
  type        = list(string)
  default     = ["*"]
}

variable "namespace" {
  description = "Namespace that the job runs in. Which ones it reads is FIREHOSE_NAMESPACE among the settings."
  type        = string
  default     = "default"
}

variable "sink_type" {
  description = "Where events go (SINK_TYPE): stdout, http, s3, … as in docs/sinks."
  type        = string
  default     = "stdout"
}

variable "volume" {
  description = "Host volume for its log and its checkpoint; empty: the allocation's own disk, which follows it to another node as long as this one answers."
  type        = string
  default     = ""
}

variable "disk" {
  description = "Megabytes of the allocation's own disk. FIREHOSE_SPOOL_MAX_BYTES (1 GiB) has to fit in."
  type        = number
  default     = 2000

  validation {
    condition     = var.disk >= 300
    error_message = "Expected at least 300 MB of disk."
  }
}

variable "settings" {
  description = "More settings of docs/configuration.md, such as {\"SINK_HTTP_ADDRESS\": \"https://collector.example/events\"}. Secrets belong into the Nomad variable."
  type        = map(string)
  default     = {}
}

variable "cpu" {
  description = "CPU in MHz."
  type        = number
  default     = 300
}

variable "memory" {
  description = "Memory in MB."
  type        = number
  default     = 512

  validation {
    condition     = var.memory >= 128
    error_message = "Expected at least 128 MB of memory."
  }
}

job "hydrant-standalone" {
  namespace   = var.namespace
  datacenters = var.datacenters
  type        = "service"

  update {
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
    auto_revert       = true
  }

  group "standalone" {
    count = 1

    ephemeral_disk {
      size    = var.disk
      sticky  = true
      migrate = true
    }

    # n.b. without it two would read while a node that went away is still running its own.
    disconnect {
      replace = false
    }

    restart {
      attempts         = 10
      interval         = "10m"
      delay            = "5s"
      mode             = "delay"
      render_templates = true
    }

    network {
      port "http" {}
    }

    dynamic "volume" {
      for_each = compact([var.volume])
      labels   = ["data"]

      content {
        type   = "host"
        source = volume.value
      }
    }

    service {
      name     = "hydrant-standalone"
      provider = "nomad"
      port     = "http"
      tags     = ["metrics"]

      # Decides on a deployment and restarts nothing: while a destination is away no restart helps.
      check {
        name     = "ready"
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "3s"
      }

      check {
        name     = "alive"
        type     = "http"
        path     = "/livez"
        interval = "10s"
        timeout  = "5s"

        check_restart {
          limit = 3
          grace = "30s"
        }
      }
    }

    task "standalone" {
      driver = "docker"

      # Above SHUTDOWN_TIMEOUT, which is 25s.
      kill_timeout = "30s"

      config {
        image           = var.image
        ports           = ["http"]
        readonly_rootfs = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
      }

      dynamic "volume_mount" {
        for_each = compact([var.volume])

        content {
          volume      = "data"
          destination = "/data"
        }
      }

      # The token lies in a file, not in the environment, where every child process and every listing of processes would have it.
      identity {
        env  = false
        file = true
      }

      env = merge({
        NOMAD_ADDR       = "unix://${NOMAD_SECRETS_DIR}/api.sock"
        NOMAD_TOKEN_FILE = "${NOMAD_SECRETS_DIR}/nomad_token"
        SINK_TYPE        = var.sink_type
        DATA_DIR         = var.volume == "" ? "${NOMAD_ALLOC_DIR}/data/hydrant" : "/data"
        HTTP_HOST        = "0.0.0.0"
        HTTP_PORT        = "${NOMAD_PORT_http}"
        SHUTDOWN_TIMEOUT = "25s"
        CONFIG_FILE      = "${NOMAD_SECRETS_DIR}/settings.toml"
      }, var.settings)

      template {
        destination = "${NOMAD_SECRETS_DIR}/settings.toml"
        change_mode = "restart"
        data        = <<-TOML
          {{- if nomadVarExists "nomad/jobs/hydrant-standalone" }}
          {{- with nomadVar "nomad/jobs/hydrant-standalone" }}
          {{- range .Tuples }}
          {{ .K }} = {{ .V | toJSON }}
          {{- end }}{{ end }}{{ end }}
        TOML
      }

      resources {
        cpu    = var.cpu
        memory = var.memory
      }
    }
  }
}
