# What the firehose reads, and nothing else. For the topics Deployment, Allocation, Evaluation, Job and Node.
#
#   nomad acl policy apply -namespace default -job hydrant-firehose hydrant-firehose deploy/nomad/firehose-policy.hcl

# read-job: the stream's events of jobs, allocations, evaluations and deployments; their lists, to heal a gap; and the list of namespaces, which shows those
# in which one may do anything. list-jobs: the list of jobs. FIREHOSE_NAMESPACE=* needs both in every namespace that there is; for one, write its name here.
namespace "*" {
  capabilities = ["read-job", "list-jobs"]
}

# Node events and the list of nodes.
node {
  policy = "read"
}

# More topics need more:
#   Service, CSIPlugin   nothing
#   HostVolume           the capability host-volume-read
#   CSIVolume            the capability csi-read-volume
#   NodePool, ACL…, *    a management token, which a policy cannot give
