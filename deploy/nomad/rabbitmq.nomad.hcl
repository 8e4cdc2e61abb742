# One RabbitMQ, for those who have none. For a cluster that survives the loss of a node use RabbitMQ's own ways, and the users below.
#
#   nomad job run deploy/nomad/rabbitmq.nomad.hcl
#
# Passwords come from the Nomad variable nomad/jobs/hydrant-rabbitmq, which put-passwords fills.

variable "image" {
  description = "Image of RabbitMQ, 3.10 or later."
  type        = string
  default     = "rabbitmq:4.3-management"
}

variable "datacenters" {
  description = "Datacenters to run in."
  type        = list(string)
  default     = ["*"]
}

variable "namespace" {
  description = "Namespace that the job runs in: that of the others, which look it up."
  type        = string
  default     = "default"
}

variable "volume" {
  description = "Host volume for its data: events that are not delivered yet, dead letters. The job runs on the node that has it."
  type        = string
  default     = "hydrant-rabbitmq"
}

variable "cpu" {
  description = "CPU in MHz."
  type        = number
  default     = 500
}

variable "memory" {
  description = "Memory in MB. RabbitMQ stops taking messages at 60 % of it."
  type        = number
  default     = 1024

  validation {
    condition     = var.memory >= 512
    error_message = "Expected at least 512 MB of memory."
  }
}

job "hydrant-rabbitmq" {
  namespace   = var.namespace
  datacenters = var.datacenters
  type        = "service"

  update {
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
  }

  group "rabbitmq" {
    count = 1

    # n.b. two on the same data destroy it.
    disconnect {
      replace = false
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "10s"
      mode     = "delay"
    }

    network {
      port "amqp" {}
      port "management" {}
      port "metrics" {}
    }

    volume "data" {
      type   = "host"
      source = var.volume
    }

    service {
      name     = "hydrant-rabbitmq"
      provider = "nomad"
      port     = "amqp"

      check {
        name     = "amqp"
        type     = "tcp"
        interval = "5s"
        timeout  = "3s"
      }
    }

    service {
      name     = "hydrant-rabbitmq-management"
      provider = "nomad"
      port     = "management"
    }

    service {
      name     = "hydrant-rabbitmq-metrics"
      provider = "nomad"
      port     = "metrics"
      tags     = ["metrics"]
    }

    task "rabbitmq" {
      driver       = "docker"
      kill_timeout = "60s"

      config {
        image = var.image
        ports = ["amqp", "management", "metrics"]
        # The node is called after its host, and so is the folder of its data.
        hostname = "hydrant-rabbitmq"
        volumes  = ["secrets/rabbitmq.conf:/etc/rabbitmq/conf.d/90-hydrant.conf:ro"]
      }

      volume_mount {
        volume      = "data"
        destination = "/var/lib/rabbitmq"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/rabbitmq.conf"
        data        = <<-CONF
          listeners.tcp.default = {{ env "NOMAD_PORT_amqp" }}
          management.tcp.port = {{ env "NOMAD_PORT_management" }}
          prometheus.tcp.port = {{ env "NOMAD_PORT_metrics" }}
          load_definitions = {{ env "NOMAD_SECRETS_DIR" }}/definitions.json
          # n.b. otherwise it takes 60 % of what the whole machine has.
          total_memory_available_override_value = {{ env "NOMAD_MEMORY_LIMIT" }}MiB
          disk_free_limit.absolute = 1GB
        CONF
      }

      # Users with what each needs and no more, read at each start. docs/nomad.md says what each permission is for.
      template {
        destination = "${NOMAD_SECRETS_DIR}/definitions.json"
        data        = <<-JSON
          {{- with nomadVar "nomad/jobs/hydrant-rabbitmq" -}}
          {
            "vhosts": [{ "name": "/" }],
            "users": [
              { "name": "hydrant-admin", "password": {{ .admin_password.Value | toJSON }}, "tags": ["administrator"] },
              { "name": "hydrant-firehose", "password": {{ .firehose_password.Value | toJSON }}, "tags": [] },
              { "name": "hydrant-sink-worker", "password": {{ .sink_worker_password.Value | toJSON }}, "tags": [] },
              { "name": "hydrant-crashloop-detector", "password": {{ .crashloop_detector_password.Value | toJSON }}, "tags": [] }
            ],
            "permissions": [
              {
                "user": "hydrant-admin", "vhost": "/",
                "configure": ".*",
                "write": ".*",
                "read": ".*"
              },
              {
                "user": "hydrant-firehose", "vhost": "/",
                "configure": "^$",
                "write": "^(nomad|hydrant\\.sink\\..*|hydrant\\.crashloop-detector)$",
                "read": "^$"
              },
              {
                "user": "hydrant-sink-worker", "vhost": "/",
                "configure": "^hydrant\\.sink\\.",
                "write": "^(hydrant\\.sink\\..*|nomad\\.dead-letter)$",
                "read": "^(hydrant\\.sink\\..*|nomad|nomad\\.dead-letter)$"
              },
              {
                "user": "hydrant-crashloop-detector", "vhost": "/",
                "configure": "^hydrant\\.crashloop-detector(\\.dead-letter)?$",
                "write": "^(hydrant\\.crashloop-detector(\\.dead-letter)?|nomad|nomad\\.dead-letter)$",
                "read": "^(hydrant\\.crashloop-detector(\\.dead-letter)?|nomad|nomad\\.dead-letter)$"
              }
            ],
            "exchanges": [
              { "name": "nomad", "vhost": "/", "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {} },
              { "name": "nomad.dead-letter", "vhost": "/", "type": "direct", "durable": true, "auto_delete": false, "internal": false, "arguments": {} }
            ]
          }
          {{- end }}
        JSON
      }

      resources {
        cpu    = var.cpu
        memory = var.memory
      }
    }
  }
}
