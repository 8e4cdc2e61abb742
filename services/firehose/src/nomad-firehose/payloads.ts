/** The payloads of nomad-firehose 1.8.0, field by field: those of Nomad 0.8.6's API, with which it was built. */
import { anything, bool, float, int, list, map, optional, struct, text, time } from './go-types.ts';

const texts = list(text);
const textMap = map(text);
const intMap = map(int);

const port = struct({ Label: text, Value: int });
const network = struct({
  Device: text,
  CIDR: text,
  IP: text,
  MBits: optional(int),
  ReservedPorts: list(port),
  DynamicPorts: list(port),
});
const resources = struct({
  CPU: optional(int),
  MemoryMB: optional(int),
  DiskMB: optional(int),
  IOPS: optional(int),
  Networks: list(optional(network)),
});

/** One task event; `Time` and the delays are nanoseconds. */
export const writeTaskEvent = struct({
  Type: text,
  Time: int,
  DisplayMessage: text,
  Details: textMap,
  FailsTask: bool,
  RestartReason: text,
  SetupError: text,
  DriverError: text,
  DriverMessage: text,
  ExitCode: int,
  Signal: int,
  Message: text,
  KillReason: text,
  KillTimeout: int,
  KillError: text,
  StartDelay: int,
  DownloadError: text,
  ValidationError: text,
  DiskLimit: int,
  DiskSize: int,
  FailedSibling: text,
  VaultError: text,
  TaskSignalReason: text,
  TaskSignal: text,
  GenericSource: text,
});

/** nomad-firehose's own: one task event and the allocation around it. */
export const writeAllocationUpdate = struct({
  Name: text,
  NodeID: text,
  AllocationID: text,
  DesiredStatus: text,
  DesiredDescription: text,
  ClientStatus: text,
  ClientDescription: text,
  JobID: text,
  GroupName: text,
  TaskName: text,
  EvalID: text,
  TaskState: text,
  TaskFailed: bool,
  TaskStartedAt: time,
  TaskFinishedAt: time,
  TaskEvent: writeTaskEvent,
});

const drainStrategy = struct({ Deadline: int, IgnoreSystemJobs: bool, ForceDeadline: time });
const nodeEvent = struct({ Message: text, Subsystem: text, Details: textMap, Timestamp: time, CreateIndex: int });
const driverInfo = struct({
  Attributes: textMap,
  Detected: bool,
  Healthy: bool,
  HealthDescription: text,
  UpdateTime: time,
});

export const writeNode = struct({
  ID: text,
  Datacenter: text,
  Name: text,
  HTTPAddr: text,
  TLSEnabled: bool,
  Attributes: textMap,
  Resources: optional(resources),
  Reserved: optional(resources),
  Links: textMap,
  Meta: textMap,
  NodeClass: text,
  Drain: bool,
  DrainStrategy: optional(drainStrategy),
  SchedulingEligibility: text,
  Status: text,
  StatusDescription: text,
  StatusUpdatedAt: int,
  Events: list(optional(nodeEvent)),
  Drivers: map(optional(driverInfo)),
  CreateIndex: int,
  ModifyIndex: int,
});

const placementMetric = struct({
  NodesEvaluated: int,
  NodesFiltered: int,
  NodesAvailable: intMap,
  ClassFiltered: intMap,
  ConstraintFiltered: intMap,
  NodesExhausted: int,
  ClassExhausted: intMap,
  DimensionExhausted: intMap,
  QuotaExhausted: texts,
  Scores: map(float),
  AllocationTime: int,
  CoalescedFailures: int,
});

export const writeEvaluation = struct({
  ID: text,
  Priority: int,
  Type: text,
  TriggeredBy: text,
  Namespace: text,
  JobID: text,
  JobModifyIndex: int,
  NodeID: text,
  NodeModifyIndex: int,
  DeploymentID: text,
  Status: text,
  StatusDescription: text,
  Wait: int,
  WaitUntil: time,
  NextEval: text,
  PreviousEval: text,
  BlockedEval: text,
  FailedTGAllocs: map(optional(placementMetric)),
  ClassEligibility: map(bool),
  EscapedComputedClass: bool,
  QuotaLimitReached: text,
  AnnotatePlan: bool,
  QueuedAllocations: intMap,
  SnapshotIndex: int,
  CreateIndex: int,
  ModifyIndex: int,
});

const deploymentState = struct({
  PlacedCanaries: texts,
  AutoRevert: bool,
  ProgressDeadline: int,
  RequireProgressBy: time,
  Promoted: bool,
  DesiredCanaries: int,
  DesiredTotal: int,
  PlacedAllocs: int,
  HealthyAllocs: int,
  UnhealthyAllocs: int,
});

export const writeDeployment = struct({
  ID: text,
  Namespace: text,
  JobID: text,
  JobVersion: int,
  JobModifyIndex: int,
  JobSpecModifyIndex: int,
  JobCreateIndex: int,
  TaskGroups: map(optional(deploymentState)),
  Status: text,
  StatusDescription: text,
  CreateIndex: int,
  ModifyIndex: int,
});

const taskGroupSummary = struct({ Queued: int, Complete: int, Failed: int, Running: int, Starting: int, Lost: int });
const jobSummary = struct({
  JobID: text,
  Namespace: text,
  Summary: map(taskGroupSummary),
  Children: optional(struct({ Pending: int, Running: int, Dead: int })),
  CreateIndex: int,
  ModifyIndex: int,
});

export const writeJobListStub = struct({
  ID: text,
  ParentID: text,
  Name: text,
  Type: text,
  Priority: int,
  Periodic: bool,
  ParameterizedJob: bool,
  Stop: bool,
  Status: text,
  StatusDescription: text,
  JobSummary: optional(jobSummary),
  CreateIndex: int,
  ModifyIndex: int,
  JobModifyIndex: int,
  SubmitTime: int,
});

const constraints = list(optional(struct({ LTarget: text, RTarget: text, Operand: text })));
const update = struct({
  Stagger: optional(int),
  MaxParallel: optional(int),
  HealthCheck: optional(text),
  MinHealthyTime: optional(int),
  HealthyDeadline: optional(int),
  ProgressDeadline: optional(int),
  AutoRevert: optional(bool),
  Canary: optional(int),
});
const migrate = struct({
  MaxParallel: optional(int),
  HealthCheck: optional(text),
  MinHealthyTime: optional(int),
  HealthyDeadline: optional(int),
});
const reschedule = struct({
  Attempts: optional(int),
  Interval: optional(int),
  Delay: optional(int),
  DelayFunction: optional(text),
  MaxDelay: optional(int),
  Unlimited: optional(bool),
});
const checkRestart = struct({ Limit: int, Grace: optional(int), IgnoreWarnings: bool });
const check = struct({
  Id: text,
  Name: text,
  Type: text,
  Command: text,
  Args: texts,
  Path: text,
  Protocol: text,
  PortLabel: text,
  AddressMode: text,
  Interval: int,
  Timeout: int,
  InitialStatus: text,
  TLSSkipVerify: bool,
  Header: map(texts),
  Method: text,
  CheckRestart: optional(checkRestart),
  GRPCService: text,
  GRPCUseTLS: bool,
});
const service = struct({
  Id: text,
  Name: text,
  Tags: texts,
  CanaryTags: texts,
  PortLabel: text,
  AddressMode: text,
  Checks: list(check),
  CheckRestart: optional(checkRestart),
});
const artifact = struct({
  GetterSource: optional(text),
  GetterOptions: textMap,
  GetterMode: optional(text),
  RelativeDest: optional(text),
});
const vault = struct({
  Policies: texts,
  Env: optional(bool),
  ChangeMode: optional(text),
  ChangeSignal: optional(text),
});
const template = struct({
  SourcePath: optional(text),
  DestPath: optional(text),
  EmbeddedTmpl: optional(text),
  ChangeMode: optional(text),
  ChangeSignal: optional(text),
  Splay: optional(int),
  Perms: optional(text),
  LeftDelim: optional(text),
  RightDelim: optional(text),
  Envvars: optional(bool),
  VaultGrace: optional(int),
});
const task = struct({
  Name: text,
  Driver: text,
  User: text,
  Config: map(anything),
  Constraints: constraints,
  Env: textMap,
  Services: list(optional(service)),
  Resources: optional(resources),
  Meta: textMap,
  KillTimeout: optional(int),
  LogConfig: optional(struct({ MaxFiles: optional(int), MaxFileSizeMB: optional(int) })),
  Artifacts: list(optional(artifact)),
  Vault: optional(vault),
  Templates: list(optional(template)),
  DispatchPayload: optional(struct({ File: text })),
  Leader: bool,
  ShutdownDelay: int,
  KillSignal: text,
});
const taskGroup = struct({
  Name: optional(text),
  Count: optional(int),
  Constraints: constraints,
  Tasks: list(optional(task)),
  RestartPolicy: optional(
    struct({ Interval: optional(int), Attempts: optional(int), Delay: optional(int), Mode: optional(text) }),
  ),
  ReschedulePolicy: optional(reschedule),
  EphemeralDisk: optional(struct({ Sticky: optional(bool), Migrate: optional(bool), SizeMB: optional(int) })),
  Update: optional(update),
  Migrate: optional(migrate),
  Meta: textMap,
});
const periodic = struct({
  Enabled: optional(bool),
  Spec: optional(text),
  SpecType: optional(text),
  ProhibitOverlap: optional(bool),
  TimeZone: optional(text),
});

/** `Payload` is base64 of what was dispatched, not of Nomad's compressed form. */
export const writeJob = struct({
  Stop: optional(bool),
  Region: optional(text),
  Namespace: optional(text),
  ID: optional(text),
  ParentID: optional(text),
  Name: optional(text),
  Type: optional(text),
  Priority: optional(int),
  AllAtOnce: optional(bool),
  Datacenters: texts,
  Constraints: constraints,
  TaskGroups: list(optional(taskGroup)),
  Update: optional(update),
  Periodic: optional(periodic),
  ParameterizedJob: optional(struct({ Payload: text, MetaRequired: texts, MetaOptional: texts })),
  Dispatched: bool,
  Payload: optional(text),
  Reschedule: optional(reschedule),
  Migrate: optional(migrate),
  Meta: textMap,
  VaultToken: optional(text),
  Status: optional(text),
  StatusDescription: optional(text),
  Stable: optional(bool),
  Version: optional(int),
  SubmitTime: optional(int),
  CreateIndex: optional(int),
  ModifyIndex: optional(int),
  JobModifyIndex: optional(int),
});
