/**
 * Brings a claimed announcement out: builds the alert, publishes it, confirms the claim. The event that made the claim
 * is acknowledged only after that, so a death anywhere in between repeats the announcement under the same ids.
 */
import type { Message } from '@hydrant/shared/messages/message';
import type { Ledger, Place } from '../ledger/ledger.ts';
import type { AlertPublisher } from './alert-publisher.ts';
import { buildAlertMessage, type AlertContext, type Announcement } from './build-alert.ts';

export interface AnnouncerTelemetry {
  alertPublished(status: Announcement['status'], message: Message, place: Place): void;
  /** No queue takes alerts. */
  alertUnrouted(status: Announcement['status'] | 'resolved', message: Message, place: Place): void;
}

export interface AnnouncerPorts {
  readonly ledger: Ledger;
  readonly alertPublisher: AlertPublisher;
  readonly telemetry: AnnouncerTelemetry;
}

export class Announcer {
  readonly #ports: AnnouncerPorts;
  /** By message id. Two copies of an event at once get the same claim: the second waits for the first. */
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(ports: AnnouncerPorts) {
    this.#ports = ports;
  }

  /** Resolves when the alert is out and its claim confirmed. */
  announce(announcement: Announcement, context: AlertContext): Promise<void> {
    const message = buildAlertMessage(announcement, context);
    const underWay = this.#underWay.get(message.id);
    if (underWay !== undefined) return underWay;
    const announcing = this.#publish(announcement, message, context.place).finally(() =>
      this.#underWay.delete(message.id),
    );
    this.#underWay.set(message.id, announcing);
    return announcing;
  }

  async #publish({ status, claim }: Announcement, message: Message, place: Place): Promise<void> {
    const { ledger, alertPublisher, telemetry } = this.#ports;
    const result = await alertPublisher.publish(message);
    if (result === 'unrouted') telemetry.alertUnrouted(status, message, place);
    else telemetry.alertPublished(status, message, place);
    await ledger.confirm(claim);
  }
}
