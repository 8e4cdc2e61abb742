/** The objects of a list's page; their bytes stay as they came. */
import { forEachMember, readString } from '@hydrant/shared/foundation/json-scanner';
import { readIndex } from '@hydrant/shared/messages/nomad-event';
import { forEachListed } from '../lists/list-reading.ts';
import type { NomadList } from './nomad-lists.ts';

export interface ListedObject {
  readonly key: string;
  /** Empty for objects that live in no namespace. */
  readonly namespace: string;
  readonly modifyIndex: number;
  readonly jobId: string | undefined;
  readonly deploymentId: string | undefined;
  readonly bytes: Buffer;
}

/** Throws `list-malformed` when the body is no list of objects with a key. */
export function parseList({ path, keyMember }: NomadList, body: Buffer): ListedObject[] {
  const objects: ListedObject[] = [];
  forEachListed(path, body, (start, end) => {
    objects.push(parseObject(keyMember, body, start, end));
  });
  return objects;
}

function parseObject(keyMember: string, body: Buffer, start: number, end: number): ListedObject {
  const texts = new Map<string, string>();
  let modifyIndex = 0;
  forEachMember(body, start, (name, from, to) => {
    if (name === 'ModifyIndex') modifyIndex = readIndex(body, from, to);
    else if (
      body[from] === 0x22 &&
      (name === keyMember || name === 'Namespace' || name === 'JobID' || name === 'DeploymentID')
    )
      texts.set(name, readString(body, from, to));
  });
  const key = texts.get(keyMember);
  if (key === undefined) throw new Error(`no ${keyMember}`);
  return {
    key,
    namespace: texts.get('Namespace') ?? '',
    modifyIndex,
    jobId: texts.get('JobID'),
    deploymentId: texts.get('DeploymentID'),
    bytes: body.subarray(start, end),
  };
}
