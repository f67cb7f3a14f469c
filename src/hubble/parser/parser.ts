/**
 * @module
 * Kernel events → flows in the ring. One `struct flow_event` becomes one to three
 * flows; what is costly (texts, encoding) waits until somebody asks for the flow.
 */
import { type FlowRing, flowKind } from '../observer/flow-ring.ts';
import type { ParserContext, Peer } from './context.ts';
import {
  eventFlag,
  eventOffset,
  eventType,
  eventWords,
  isPolicyDrop,
  policyDirection,
} from './event-layout.ts';
import { addressText } from './text.ts';

const nanosPerSecond = 1e9;
const wordShift = 2 ** 32;

const at = {
  saddr: eventOffset.saddr >> 2,
  daddr: eventOffset.daddr >> 2,
  kindWord: eventOffset.proto >> 2, // protocol, TCP flags, type, reason
  srcIdentity: eventOffset.srcIdentity >> 2,
  dstIdentity: eventOffset.dstIdentity >> 2,
  endpoints: eventOffset.srcEndpoint >> 2,
  ingressCookie: (eventOffset.cookie >> 2) + policyDirection.ingress,
  egressCookie: (eventOffset.cookie >> 2) + policyDirection.egress,
} as const;

/** Turns CLOCK_MONOTONIC of events into wall time. Replaced as a whole when the clock is set. */
export interface ClockOffset {
  readonly seconds: number;
  readonly nanos: number;
}

export class FlowParser {
  readonly #ring: FlowRing;
  readonly #context: ParserContext;
  #offsetSeconds = 0;
  #offsetNanos = 0;
  /** Records that were too short or of an unknown type. */
  malformed = 0;
  events = 0;

  constructor(ring: FlowRing, context: ParserContext) {
    this.#ring = ring;
    this.#context = context;
  }

  setClock(offset: ClockOffset): void {
    this.#offsetSeconds = offset.seconds;
    this.#offsetNanos = offset.nanos;
  }

  /** Takes one record at a multiple of four bytes; copies it. Returns how many flows it made. */
  record(words: Uint32Array, from: number, byteLength: number): number {
    const type = ((words[from + at.kindWord] ?? 0) >>> 16) & 0xff;
    if (byteLength < eventWords * 4 || type < eventType.new || type > eventType.drop) {
      this.malformed++;
      return 0;
    }
    const ring = this.#ring;
    const event = ring.nextEvent();
    const target = ring.words;
    const base = event * eventWords;
    for (let word = 0; word < eventWords; word++) target[base + word] = words[from + word] ?? 0;
    this.events++;
    this.#resolve(event, base);
    return this.#flows(event, type);
  }

  #resolve(event: number, base: number): void {
    const ring = this.#ring;
    const words = ring.words;
    const monotonic = (words[base] ?? 0) + (words[base + 1] ?? 0) * wordShift;
    let seconds = Math.floor(monotonic / nanosPerSecond);
    let nanos = monotonic - seconds * nanosPerSecond + this.#offsetNanos;
    seconds += this.#offsetSeconds;
    if (nanos >= nanosPerSecond) {
      nanos -= nanosPerSecond;
      seconds++;
    }
    ring.seconds[event] = seconds;
    ring.nanos[event] = nanos;
    const endpoints = words[base + at.endpoints] ?? 0;
    const source = this.#peer(
      base + at.saddr,
      endpoints & 0xffff,
      words[base + at.srcIdentity] ?? 0,
    );
    const target = this.#peer(base + at.daddr, endpoints >>> 16, words[base + at.dstIdentity] ?? 0);
    if (source.seen !== undefined) source.seen.lastSeconds = seconds;
    if (target.seen !== undefined) target.seen.lastSeconds = seconds;
    ring.sources[event] = source;
    ring.destinations[event] = target;
    const context = this.#context;
    ring.ingressPolicies[event] = context.policies(words[base + at.ingressCookie] ?? 0);
    ring.egressPolicies[event] = context.policies(words[base + at.egressCookie] ?? 0);
  }

  #peer(addressWord: number, endpointId: number, identity: number): Peer {
    if (!this.#context.wantsAddress(endpointId, identity)) {
      return this.#context.peer(endpointId, identity);
    }
    return this.#context.peerAt(addressText(this.#ring.bytes, addressWord * 4), identity);
  }

  #flows(event: number, type: number): number {
    const ring = this.#ring;
    const bytes = ring.bytes;
    const start = event * eventWords * 4;
    const flags = bytes[start + eventOffset.flags] ?? 0;
    switch (type) {
      case eventType.new:
        return this.#verdicts(event, flags) + this.#push(event, flowKind.trace);
      case eventType.reply:
      case eventType.close:
        return this.#push(event, flowKind.trace);
      case eventType.drop: {
        const isPolicy = isPolicyDrop(bytes[start + eventOffset.reason] ?? 0);
        const verdicts = isPolicy ? this.#verdicts(event, flags) : 0;
        return verdicts + this.#push(event, flowKind.drop);
      }
      default:
        return 0;
    }
  }

  /** The sender's side is asked first, so its verdict comes first. */
  #verdicts(event: number, flags: number): number {
    let made = 0;
    if ((flags & (eventFlag.egressJudged | eventFlag.egressDenied)) !== 0) {
      made += this.#push(event, flowKind.egressVerdict);
    }
    if ((flags & (eventFlag.ingressJudged | eventFlag.ingressDenied)) !== 0) {
      made += this.#push(event, flowKind.ingressVerdict);
    }
    return made;
  }

  #push(event: number, kind: number): number {
    this.#ring.push(event, kind);
    return 1;
  }
}
