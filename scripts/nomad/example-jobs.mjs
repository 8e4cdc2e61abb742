/** Small jobs for checks by hand. Driver raw_exec: they need no image. */
function makeJob(ID, Namespace, script, RestartPolicy) {
  const task = {
    Name: 'main',
    Driver: 'raw_exec',
    Config: { command: '/bin/sh', args: ['-c', script] },
    Resources: { CPU: 20, MemoryMB: 16 },
    KillTimeout: 1_000_000_000,
  };
  return {
    ID,
    Name: ID,
    Namespace,
    Type: 'service',
    Datacenters: ['*'],
    Update: { MaxParallel: 0 },
    TaskGroups: [{ Name: 'group', Count: 1, RestartPolicy, Tasks: [task] }],
  };
}

/** Crashes twice a second and is never given up. */
export function crashingJob(id, namespace = 'default') {
  return makeJob(id, namespace, 'exit 17', {
    Attempts: 1000,
    Interval: 3_600_000_000_000,
    Delay: 500_000_000,
    Mode: 'delay',
  });
}

export function sleepingJob(id, namespace = 'default') {
  return makeJob(id, namespace, 'exec sleep 3600', {
    Attempts: 2,
    Interval: 60_000_000_000,
    Delay: 1_000_000_000,
    Mode: 'delay',
  });
}
