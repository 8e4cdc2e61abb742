/**
 * Lists made of what was played: of each object its newest state in the frames so far, cut down to the members that
 * Nomad's list endpoint shows. What an event does not tell (`JobType` of an allocation, the summary of a job) is
 * missing. A purged job goes; nothing else ever does.
 */
import { forEachMember } from '@hydrant/shared/foundation/json-scanner';
import type { Frame, FrameEvent } from './frame.ts';
import type { ListName } from './lists.ts';

interface Source {
  readonly list: ListName;
  readonly payloadKey: string;
  /** The members of the list's stub; undefined where the list shows whole objects. */
  readonly members: ReadonlySet<string> | undefined;
}

const allocationMembers =
  'ClientDescription ClientStatus CreateIndex CreateTime DeploymentStatus DesiredDescription DesiredStatus DesiredTransition EvalID FollowupEvalID ID JobID ' +
  'ModifyIndex ModifyTime Name Namespace NextAllocation NodeID NodeName PreemptedAllocations PreemptedByAllocation RescheduleTracker TaskGroup TaskStates';
const jobMembers =
  'CreateIndex Datacenters ID JobModifyIndex ModifyIndex Multiregion Name Namespace NodePool ParentID Priority Status StatusDescription Stop SubmitTime Type';
const nodeMembers =
  'CreateIndex Datacenter Drain Drivers HostVolumes ID LastDrain ModifyIndex Name NodeClass NodePool SchedulingEligibility Status StatusDescription';

const sources: Readonly<Record<string, Source>> = {
  Allocation: { list: 'allocations', payloadKey: 'Allocation', members: new Set(allocationMembers.split(' ')) },
  Evaluation: { list: 'evaluations', payloadKey: 'Evaluation', members: undefined },
  Deployment: { list: 'deployments', payloadKey: 'Deployment', members: undefined },
  Job: { list: 'jobs', payloadKey: 'Job', members: new Set(jobMembers.split(' ')) },
  Node: { list: 'nodes', payloadKey: 'Node', members: new Set(nodeMembers.split(' ')) },
};

interface PlayedObject {
  /** As the list shows it. */
  readonly listed: Buffer;
  /** As the event showed it. */
  readonly whole: Buffer;
}

interface Saved {
  readonly objects: ReadonlyMap<ListName, ReadonlyMap<string, PlayedObject>>;
  readonly indexes: ReadonlyMap<ListName, number>;
}

export class PlayedLists {
  readonly #objects = new Map<ListName, Map<string, PlayedObject>>();
  readonly #indexes = new Map<ListName, number>();
  #changes = 0;
  #saved: Saved | undefined;

  show({ index, line, events }: Frame): void {
    for (const event of events) this.#showEvent(index, line, event);
  }

  /** A JSON array in no order. */
  body(list: ListName): Buffer {
    const objects = [...(this.#objects.get(list)?.values() ?? [])].map(({ listed }) => listed);
    return Buffer.concat([
      Buffer.from('['),
      ...objects.flatMap((object, n) => (n === 0 ? [object] : [Buffer.from(','), object])),
      Buffer.from(']'),
    ]);
  }

  /** One object as a whole; undefined when it is not there. */
  whole(list: ListName, namespace: string, key: string): Buffer | undefined {
    return this.#objects.get(list)?.get(`${namespace}/${key}`)?.whole;
  }

  /** `nomad operator snapshot save` */
  save(): void {
    this.#saved = {
      objects: new Map([...this.#objects].map(([list, objects]) => [list, new Map(objects)])),
      indexes: new Map(this.#indexes),
    };
  }

  /** `nomad operator snapshot restore`, of what was saved last: objects and indexes go back. */
  restore(): void {
    this.clear();
    for (const [list, objects] of this.#saved?.objects ?? []) this.#objects.set(list, new Map(objects));
    for (const [list, index] of this.#saved?.indexes ?? []) this.#indexes.set(list, index);
  }

  /** Another number after each change of any list. */
  get changes(): number {
    return this.#changes;
  }

  /** X-Nomad-Index: of the newest change to the list. */
  index(list: ListName): number {
    return this.#indexes.get(list) ?? 0;
  }

  clear(): void {
    this.#changes += 1;
    this.#objects.clear();
    this.#indexes.clear();
  }

  #showEvent(index: number, line: Buffer, { topic, key, namespace, start }: FrameEvent): void {
    const source = sources[topic];
    if (source === undefined) return;
    const object = readObject(line, start, source);
    if (object === undefined) return;
    this.#changes += 1;
    const objects = this.#objects.get(source.list) ?? new Map<string, PlayedObject>();
    this.#objects.set(source.list, objects);
    this.#indexes.set(source.list, index);
    if (object.isDeleted) objects.delete(`${namespace}/${key}`);
    else objects.set(`${namespace}/${key}`, object);
  }
}

function readObject(
  line: Buffer,
  start: number,
  { payloadKey, members }: Source,
): (PlayedObject & { readonly isDeleted: boolean }) | undefined {
  let found: PlayedObject | undefined;
  let isDeleted = false;
  forEachMember(line, start, (name, payload) => {
    if (name !== 'Payload') return;
    forEachMember(line, payload, (key, from, to) => {
      if (key === 'Deleted') isDeleted = line.toString('latin1', from, to) === 'true';
      if (key !== payloadKey) return;
      const whole = Buffer.from(line.subarray(from, to));
      found = { whole, listed: members === undefined ? whole : cutDown(line, from, members) };
    });
  });
  return found === undefined ? undefined : { ...found, isDeleted };
}

function cutDown(line: Buffer, start: number, members: ReadonlySet<string>): Buffer {
  const parts: Buffer[] = [];
  forEachMember(line, start, (name, from, to) => {
    if (members.has(name))
      parts.push(Buffer.from(`${parts.length === 0 ? '{' : ','}${JSON.stringify(name)}:`), line.subarray(from, to));
  });
  return Buffer.concat([...parts, Buffer.from(parts.length === 0 ? '{}' : '}')]);
}
