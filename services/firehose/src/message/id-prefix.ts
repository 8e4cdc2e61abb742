/** Whose events these are, as ids, keys and files name them: no two of them are written alike. */
export interface StreamIdentity {
  readonly cluster: string;
  /** Empty: the agent's own. */
  readonly region: string;
}

/** What stands for an unset FIREHOSE_REGION in checkpoints and headers. */
export function regionName(region: string): string {
  return region === '' ? 'default' : region;
}

/** What separates parts is written as in a URL where it is part of a name. */
function escapePart(text: string): string {
  return text.replaceAll(/[%/:@~]/gu, encodeURIComponent);
}

/** Of the checkpoint and the lease. */
export function identityKey({ cluster, region }: StreamIdentity): string {
  return `${escapePart(cluster)}:${escapePart(regionName(region))}`;
}

/**
 * What message ids begin with: `<cluster>`, `<cluster>@<region>` where a region is asked for, `…~<epoch>` after indexes
 * or objects began anew. Indexes are those of a region, and come again in a cluster that was built anew.
 */
export function idPrefix({ cluster, region }: StreamIdentity, epoch: number): string {
  return `${escapePart(cluster)}${region === '' ? '' : `@${escapePart(region)}`}${epoch === 0 ? '' : `~${String(epoch)}`}`;
}
