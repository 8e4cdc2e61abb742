# Counts crashes and says when a task is crash-looping. Alerts go to RabbitMQ as crash-loop and crash-loop-resolved, where a sink-worker takes them on:
#
#   nomad job run deploy/nomad/crashloop-detector.nomad.hcl
#   nomad job run -var restart_count=3 -var restart_interval=5m deploy/nomad/crashloop-detector.nomad.hcl
#
# What is secret stands in the Nomad variable nomad/jobs/hydrant-crashloop-detector: see README.md.

variable "image" {
  description = "Image of the detector, as `make image` builds it."
  type        = string
  default     = "hydrant-crashloop-detector:0.1.0"
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

variable "count" {
  description = "How many run. They share what they know; each crash loop is announced once."
  type        = number
  default     = 1

  validation {
    condition     = var.count >= 1
    error_message = "Expected count to be 1 or more: with none nobody counts crashes."
  }
}

variable "restart_count" {
  description = "Crashes that make a crash loop (RESTART_COUNT)."
  type        = number
  default     = 5

  validation {
    condition     = var.restart_count >= 1
    error_message = "Expected restart_count to be 1 or more."
  }
}

variable "restart_interval" {
  description = "Within which they have to happen (RESTART_INTERVAL), such as 10m."
  type        = string
  default     = "10m"

  validation {
    condition     = var.restart_interval != "" && regex_replace(var.restart_interval, "^([0-9]+(ms|s|m|h))+$", "") == ""
    error_message = "Expected restart_interval to be a duration such as 10m."
  }
}

variable "notification_interval" {
  description = "How long until a crash loop that goes on is announced again (NOTIFICATION_INTERVAL), such as 10m."
  type        = string
  default     = "10m"

  validation {
    condition     = var.notification_interval != "" && regex_replace(var.notification_interval, "^([0-9]+(ms|s|m|h))+$", "") == ""
    error_message = "Expected notification_interval to be a duration such as 10m."
  }
}

variable "settings" {
  description = "More settings of docs/configuration.md, such as {\"NOMAD_UI_URL\": \"https://nomad.example:4646\"}. Secrets belong into the Nomad variable."
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

job "hydrant-crashloop-detector" {
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

  group "crashloop-detector" {
    count = var.count

    # What it waits for (RabbitMQ, Redis) it waits for itself; a restart is for a process that has ended.
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
      name     = "hydrant-crashloop-detector"
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

    task "crashloop-detector" {
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
        RESTART_COUNT         = "${var.restart_count}"
        RESTART_INTERVAL      = var.restart_interval
        NOTIFICATION_INTERVAL = var.notification_interval
        HTTP_HOST             = "0.0.0.0"
        HTTP_PORT             = "${NOMAD_PORT_http}"
        SHUTDOWN_TIMEOUT      = "25s"
        CONFIG_FILE           = "${NOMAD_SECRETS_DIR}/settings.toml"
      }, var.settings)

      # Items in capital letters are settings as they are. With the jobs of this folder as servers, there are passwords in their place.
      template {
        destination = "${NOMAD_SECRETS_DIR}/settings.toml"
        change_mode = "restart"
        splay       = "10s"
        data        = <<-TOML
          {{- with nomadVar "nomad/jobs/hydrant-crashloop-detector" }}
          {{- range .Tuples }}{{ if eq .K (toUpper .K) }}
          {{ .K }} = {{ .V | toJSON }}
          {{- end }}{{ end }}
          {{- if .rabbitmq_password }}
          {{- $password := .rabbitmq_password.Value }}{{ range nomadService "hydrant-rabbitmq" }}
          AMQP_CONNECTION = "amqp://hydrant-crashloop-detector:{{ $password }}@{{ .Address }}:{{ .Port }}/"
          {{- end }}{{ end }}
          {{- if .redis_password }}
          {{- $password := .redis_password.Value }}{{ range nomadService "hydrant-redis" }}
          REDIS_URL = "redis://hydrant-crashloop-detector:{{ $password }}@{{ .Address }}:{{ .Port }}/0"
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
