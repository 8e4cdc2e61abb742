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

# More topics need more. Take what you need into the blocks above, or beside them:
#   Service              nothing
#   CSIPlugin            plugin { policy = "list" }, for the list that a gap is healed from
#   HostVolume           in the namespace: the capability host-volume-read
#   CSIVolume            in the namespace: the capability csi-read-volume
#   Variable             in the namespace: variables { path "*" { capabilities = ["list"] } }
#   Operator             operator { policy = "read" }
#   NodePool, ACLToken, ACLPolicy, ACLRole, ACLAuthMethod, ACLBindingRule, *
#                        a management token, which a policy cannot give
