/**
 * @module Table `addresses`: every pod address of this node that somebody holds, with its owner and,
 * while an ADD is under way, the moment at which it falls back. Written by the IPAM allocator; read
 * by REST and `cilium dbg`.
 */

import { Table } from '../../kv/table.ts';
import type { Family } from '../../net/address.ts';

/** One allocated address. Immutable. */
export interface AddressRow {
  /** Canonical text, the key. */
  readonly address: string;
  readonly family: Family;
  /** `namespace/pod`, `router`, or what a REST client said. */
  readonly owner: string;
  readonly pool: string;
  /** Set while the address waits for its endpoint; the endpoint has to name it. */
  readonly expirationUuid: string | undefined;
  /** ISO time at which an unclaimed address is released; set together with the UUID. */
  readonly expiresAt: string | undefined;
}

/** Why a request was not carried out. Nothing has changed. `message` goes to the client as it is. */
export interface Refusal {
  readonly refused: 'invalid' | 'conflict' | 'not-found' | 'exhausted' | 'failed' | 'timeout';
  readonly message: string;
}

/** True for the refused half of a result. */
export function isRefusal(result: object | undefined): result is Refusal {
  return result !== undefined && 'refused' in result;
}

/** The table, empty. */
export function addresses(): Table<AddressRow> {
  return new Table<AddressRow>({
    name: 'addresses',
    key: (row) => row.address,
    indexes: {
      owner: (row) => [row.owner],
    },
    columns: [
      { name: 'Address', value: (row) => row.address },
      { name: 'Owner', value: (row) => row.owner },
      { name: 'Pool', value: (row) => row.pool },
      { name: 'Expires', value: (row) => row.expiresAt ?? '' },
    ],
  });
}
