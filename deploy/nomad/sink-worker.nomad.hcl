# Delivers the messages of one queue to one destination. One job for each destination, told apart by `name`:
#
#   nomad job run -var sink_type=http -var 'settings={"SINK_HTTP_ADDRESS":"https://collector.example/events"}' deploy/nomad/sink-worker.nomad.hcl
#   nomad job run -var name=alerts -var sink_type=slack -var bindings=crash-loop,crash-loop-resolved deploy/nomad/sink-worker.nomad.hcl
#
# What is secret (SINK_SLACK_WEBHOOK_URL, …) stands in the Nomad variable nomad/jobs/hydrant-sink-<name>: see README.md.

variable "image" {
  description = "Image of the sink-worker, as `make image` builds it."
  type        = string
  default     = "hydrant-sink-worker:0.1.0"
}

variable "datacenters" {
  description = "Datacenters to run in."
  type        = list(string)
  default     = ["*"]
}

variable "namespace" {
  description = "Namespace that the job runs in."
  type        = string
  default     = "default"
}

variable "name" {
  description = "Name of the destination (SINK_NAME): its job is hydrant-sink-<name>, its queue hydrant.sink.<name>. Keep it when the type changes."
  type        = string
  default     = "events"

  validation {
    condition     = var.name != "" && regex_replace(var.name, "^[a-z0-9][a-z0-9-]{0,60}$", "") == ""
    error_message = "Expected name to be made of a-z, 0-9 and -, such as events."
  }
}

variable "sink_type" {
  description = "Where messages go (SINK_TYPE): stdout, http, s3, kafka, slack, … as in docs/sinks."
  type        = string
  default     = "stdout"
}

variable "bindings" {
  description = "Patterns of routing keys, separated by commas (AMQP_BINDINGS); empty: the sink's own, which is event.# for most."
  type        = string
  default     = ""
}

variable "count" {
  description = "How many run. More than one deliver more, and no longer in order."
  type        = number
  default     = 1

  validation {
    condition     = var.count >= 1
    error_message = "Expected count to be 1 or more: with none the queue fills."
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
  default     = 200
}

variable "memory" {
  description = "Memory in MB. It has to hold SINK_MEMORY (256 MiB) and the process itself."
  type        = number
  default     = 512

  validation {
    condition     = var.memory >= 128
    error_message = "Expected at least 128 MB of memory."
  }
}

job "hydrant-sink-worker" {
  id          = "hydrant-sink-${var.name}"
  name        = "hydrant-sink-${var.name}"
  namespace   = var.namespace
  datacenters = var.datacenters
  type        = "service"

  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
    auto_revert       = true
  }

  group "sink-worker" {
    count = var.count

    # What it waits for (RabbitMQ, the destination) it waits for itself; a restart is for a process that has ended.
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

    service {
      name     = "hydrant-sink-${var.name}"
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

    task "sink-worker" {
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

      env = merge({
        SINK_TYPE        = var.sink_type
        SINK_NAME        = var.name
        AMQP_BINDINGS    = var.bindings
        HTTP_HOST        = "0.0.0.0"
        HTTP_PORT        = "${NOMAD_PORT_http}"
        SHUTDOWN_TIMEOUT = "25s"
        CONFIG_FILE      = "${NOMAD_SECRETS_DIR}/settings.toml"
      }, var.settings)

      # Items in capital letters are settings as they are. With the jobs of this folder as servers, there are passwords in their place.
      template {
        destination = "${NOMAD_SECRETS_DIR}/settings.toml"
        change_mode = "restart"
        splay       = "10s"
        data        = <<-TOML
          {{- with nomadVar "nomad/jobs/hydrant-sink-${var.name}" }}
          {{- range .Tuples }}{{ if eq .K (toUpper .K) }}
          {{ .K }} = {{ .V | toJSON }}
          {{- end }}{{ end }}
          {{- if .rabbitmq_password }}
          {{- $password := .rabbitmq_password.Value }}{{ range nomadService "hydrant-rabbitmq" }}
          AMQP_CONNECTION = "amqp://hydrant-sink-worker:{{ $password }}@{{ .Address }}:{{ .Port }}/"
          {{- end }}{{ end }}
          {{- end }}
        TOML
      }

      resources {
        cpu    = var.cpu
        memory = var.memory
      }
    }
  }
}
