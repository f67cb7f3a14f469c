/**
 * @module
 * Reads a BPF ring buffer straight from its mapping: no system call, no
 * wake-up, no copy. The programs submit with BPF_RB_NO_WAKEUP, the reader looks
 * on a timer. Layout as in the kernel's kernel/bpf/ringbuf.c: a page with the consumer's
 * position, a page with the producer's, then the ring, mapped twice in a row so that no
 * record is ever cut in two.
 */
import { MAP_SHARED, type Mapping, mmap, PROT_READ, PROT_WRITE } from '../../net/libc.ts';
import type { BpfMap } from './map.ts';
import { mapType, mapTypeName } from './map-type.ts';

const pageSize = 4096;
const headerBytes = 8;
const busyBit = 0x80000000;
const discardBit = 0x40000000;
const lengthMask = 0x3fffffff;

/** Called for each record, with where it lies in the view. It must have read all by the time it returns. */
export type OnRecord = (view: DataView, offset: number, length: number) => void;

/** The one reader of a ring buffer. Works in any thread that has the map open. */
export class RingBufferReader implements Disposable {
  /** Bytes that the ring holds. */
  readonly sizeBytes: number;
  /** Records that a program reserved and then threw away. */
  discarded = 0;
  readonly #consumer: Mapping;
  readonly #producer: Mapping;
  readonly #consumed: BigUint64Array;
  readonly #produced: BigUint64Array;
  readonly #headers: Int32Array;
  readonly #view: DataView;
  #position: number;

  /** The map must outlive the constructor only: the mappings stand by themselves. */
  constructor(map: BpfMap) {
    if (map.type !== mapType.ringbuf) {
      throw new TypeError(`${map.name} is a ${mapTypeName(map.type)} map, not a ring buffer`);
    }
    this.sizeBytes = map.maxEntries;
    const doing = `map ring buffer ${map.name}`;
    const write = PROT_READ | PROT_WRITE;
    this.#consumer = mmap(map.fd, pageSize, write, MAP_SHARED, 0, doing);
    const length = pageSize + 2 * this.sizeBytes;
    this.#producer = mmap(map.fd, length, PROT_READ, MAP_SHARED, pageSize, doing);
    this.#consumed = new BigUint64Array(this.#consumer.buffer, 0, 1);
    this.#produced = new BigUint64Array(this.#producer.buffer, 0, 1);
    this.#headers = new Int32Array(this.#producer.buffer, pageSize);
    this.#view = new DataView(this.#producer.buffer, pageSize);
    this.#position = Number(Atomics.load(this.#consumed, 0));
  }

  /** Bytes ever consumed. Grows for ever; a 53-bit number suffices for years at full rate. */
  get position(): number {
    return this.#position;
  }

  /** Bytes that wait in the ring: how full it is. */
  get pendingBytes(): number {
    return Number(this.#produced[0] ?? 0n) - this.#position;
  }

  /**
   * Hands over the records that are complete, at most recordsMax, and gives their room back.
   * Returns how many. A record that a program is still writing ends the round. If `onRecord`
   * throws, the record counts as read.
   */
  read(onRecord: OnRecord, recordsMax = Number.POSITIVE_INFINITY): number {
    // Plain loads: once compiled, JavaScriptCore makes a locked addition of 0 of an Atomics.load,
    // which faults on a read-only page. On x86 every load has acquire semantics by itself.
    const end = Number(this.#produced[0] ?? 0n);
    let position = this.#position;
    let records = 0;
    try {
      while (position < end && records < recordsMax) {
        // The remainder and not `&`, because positions outgrow 32 bits.
        const at = position % this.sizeBytes;
        // Pairs with the release by which the program's submit clears the busy bit.
        const header = this.#headers[at >> 2] ?? 0;
        if ((header & busyBit) !== 0) break;
        const length = header & lengthMask;
        position += (length + headerBytes + 7) & ~7;
        if ((header & discardBit) !== 0) {
          this.discarded++;
          continue;
        }
        records++;
        onRecord(this.#view, at + headerBytes, length);
      }
    } finally {
      if (position !== this.#position) {
        this.#position = position;
        Atomics.store(this.#consumed, 0, BigInt(position));
      }
    }
    return records;
  }

  /** Whatever was handed out must not be touched any more. */
  [Symbol.dispose](): void {
    this.#consumer[Symbol.dispose]();
    this.#producer[Symbol.dispose]();
  }
}
