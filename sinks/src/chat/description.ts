/** What can be said of a message, before it is put into the form of a destination. */

/** `opened`, `ongoing` and `resolved` are states of a crash loop; `event` is anything else. */
export type NoticeKind = 'opened' | 'ongoing' | 'resolved' | 'event';

export interface Fact {
  readonly label: string;
  readonly text: string;
}

/** What describes a message, by its body. */
export interface Description {
  readonly kind: NoticeKind;
  /** Without a final stop. */
  readonly sentence: string;
  /** That of the alert, the same through the life of a loop; undefined: the message's own. */
  readonly id?: string | undefined;
  readonly cluster: string;
  readonly namespace?: string | undefined;
  readonly job?: string | undefined;
  readonly task?: string | undefined;
  readonly facts: readonly Fact[];
  /** A command. */
  readonly nextStep?: string | undefined;
  /** In Nomad's web interface, such as `/allocations/…`. */
  readonly uiPath?: string | undefined;
}
