# One Redis, for those who have none: the checkpoint, the lease of the firehoses, the crashes of the last RESTART_INTERVAL.
#
#   nomad job run deploy/nomad/redis.nomad.hcl
#
# Passwords come from the Nomad variable nomad/jobs/hydrant-redis, which put-passwords fills.

variable "image" {
  description = "Image of Redis, 6.2 or later."
  type        = string
  default     = "redis:8.0"
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
  description = "Host volume for its data. The job runs on the node that has it."
  type        = string
  default     = "hydrant-redis"
}

variable "cpu" {
  description = "CPU in MHz."
  type        = number
  default     = 100
}

variable "memory" {
  description = "Memory in MB."
  type        = number
  default     = 256

  validation {
    condition     = var.memory >= 64
    error_message = "Expected at least 64 MB of memory."
  }
}

job "hydrant-redis" {
  namespace   = var.namespace
  datacenters = var.datacenters
  type        = "service"

  update {
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
  }

  group "redis" {
    count = 1

    # n.b. two on the same data destroy it.
    disconnect {
      replace = false
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "5s"
      mode     = "delay"
    }

    network {
      port "redis" {}
    }

    volume "data" {
      type   = "host"
      source = var.volume
    }

    service {
      name     = "hydrant-redis"
      provider = "nomad"
      port     = "redis"

      check {
        name     = "redis"
        type     = "tcp"
        interval = "5s"
        timeout  = "3s"
      }
    }

    task "redis" {
      driver       = "docker"
      kill_timeout = "30s"

      config {
        image   = var.image
        ports   = ["redis"]
        command = "redis-server"
        args    = ["${NOMAD_SECRETS_DIR}/redis.conf"]
      }

      volume_mount {
        volume      = "data"
        destination = "/data"
      }

      # noeviction: a checkpoint that was evicted would be a gap.
      template {
        destination = "${NOMAD_SECRETS_DIR}/redis.conf"
        data        = <<-CONF
          port {{ env "NOMAD_PORT_redis" }}
          bind 0.0.0.0
          dir /data
          appendonly yes
          maxmemory-policy noeviction
          aclfile {{ env "NOMAD_SECRETS_DIR" }}/users.acl
        CONF
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/users.acl"
        data        = <<-ACL
          {{- with nomadVar "nomad/jobs/hydrant-redis" -}}
          user default off
          user hydrant-admin on #{{ .admin_password.Value | sha256Hex }} ~* &* +@all
          user hydrant-firehose on #{{ .firehose_password.Value | sha256Hex }} ~hydrant:checkpoint:* ~hydrant:lease:* -@all +@connection +info +time +eval +evalsha +type +del +pexpire +hget +hmget +hset
          user hydrant-crashloop-detector on #{{ .crashloop_detector_password.Value | sha256Hex }} ~hydrant:{detector}:* -@all +@connection +info +time +eval +evalsha +get +set +mget +getrange +exists +del +zadd +zcard +zrange +zrangebyscore +zrem
          {{ end -}}
        ACL
      }

      resources {
        cpu    = var.cpu
        memory = var.memory
      }
    }
  }
}
