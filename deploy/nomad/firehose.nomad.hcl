# Reads Nomad's event stream and publishes every event to RabbitMQ. Two of it: one leads, the other takes over within seconds.
#
#   nomad job run deploy/nomad/firehose.nomad.hcl
#
# Its token is its workload identity, with the policy that firehose-policy.hcl gives it. What is secret stands in the Nomad variable
# nomad/jobs/hydrant-firehose: see README.md.

variable "image" {
  description = "Image of the firehose, as `make image` builds it."
  type        = string
  default     = "hydrant-firehose:0.1.0"
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

variable "count" {
  description = "How many run. One of them reads and publishes; more than two gain nothing."
  type        = number
  default     = 2

  validation {
    condition     = var.count >= 1 && var.count <= 3
    error_message = "Expected count to be 1, 2 or 3."
  }
}

variable "cluster" {
  description = "Name of this Nomad in message ids, headers and the checkpoint's key (FIREHOSE_CLUSTER). Keep it."
  type        = string
  default     = "default"
}

variable "wait_for_queues" {
  description = "Queues that must exist before anything is published (FIREHOSE_WAIT_FOR_QUEUES); none: publish at once."
  type        = list(string)
  default     = ["hydrant.sink.events", "hydrant.crashloop-detector"]
}

variable "settings" {
  description = "More settings of docs/configuration.md, such as {\"FIREHOSE_REDACT\": \"env,templates\"}. Secrets belong into the Nomad variable."
  type        = map(string)
  default     = {}
}

variable "cpu" {
  description = "CPU in MHz."
  type        = number
  default     = 200
}

variable "memory" {
  description = "Memory in MB."
  type        = number
  default     = 160

  validation {
    condition     = var.memory >= 128
    error_message = "Expected at least 128 MB of memory."
  }
}

job "hydrant-firehose" {
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

  group "firehose" {
    count = var.count

    # Two on one node fail together. Where there is only one node they share it.
    spread {
      attribute = "${node.unique.id}"
    }

    # What it waits for (Nomad, RabbitMQ, Redis) it waits for itself; a restart is for a process that has ended.
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
      name     = "hydrant-firehose"
      provider = "nomad"
      port     = "http"
      tags     = ["metrics"]

      # Decides on a deployment and restarts nothing: while RabbitMQ is away no restart helps.
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

    task "firehose" {
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

      # The token lies in a file, not in the environment, where every child process and every listing of processes would have it.
      identity {
        env  = false
        file = true
      }

      env = merge({
        NOMAD_ADDR               = "unix://${NOMAD_SECRETS_DIR}/api.sock"
        NOMAD_TOKEN_FILE         = "${NOMAD_SECRETS_DIR}/nomad_token"
        FIREHOSE_HA              = var.count > 1 ? "true" : "false"
        FIREHOSE_CLUSTER         = var.cluster
        FIREHOSE_WAIT_FOR_QUEUES = join(",", var.wait_for_queues)
        HTTP_HOST                = "0.0.0.0"
        HTTP_PORT                = "${NOMAD_PORT_http}"
        SHUTDOWN_TIMEOUT         = "25s"
        CONFIG_FILE              = "${NOMAD_SECRETS_DIR}/settings.toml"
      }, var.settings)

      # Items in capital letters are settings as they are. With the jobs of this folder as servers, there are passwords in their place.
      template {
        destination = "${NOMAD_SECRETS_DIR}/settings.toml"
        change_mode = "restart"
        splay       = "10s"
        data        = <<-TOML
          {{- with nomadVar "nomad/jobs/hydrant-firehose" }}
          {{- range .Tuples }}{{ if eq .K (toUpper .K) }}
          {{ .K }} = {{ .V | toJSON }}
          {{- end }}{{ end }}
          {{- if .rabbitmq_password }}
          {{- $password := .rabbitmq_password.Value }}{{ range nomadService "hydrant-rabbitmq" }}
          AMQP_CONNECTION = "amqp://hydrant-firehose:{{ $password }}@{{ .Address }}:{{ .Port }}/"
          {{- end }}{{ end }}
          {{- if .redis_password }}
          {{- $password := .redis_password.Value }}{{ range nomadService "hydrant-redis" }}
          REDIS_URL = "redis://hydrant-firehose:{{ $password }}@{{ .Address }}:{{ .Port }}/0"
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
