/**
 * @module CNI errors: the codes of the specification, ours, and the JSON that a runtime reads.
 */

/** Error codes. Below 100 they are the specification's (CNI 1.1, section 5), above they are ours. */
export const errorCodes = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidNetworkConfig: 7,
  tryAgainLater: 11,
  pluginNotAvailable: 50,
  /** CHECK: the agent does not know the endpoint. */
  endpointUnknown: 100,
  /** CHECK: the agent says that the endpoint fails. */
  endpointFailing: 101,
  /** ADD: no address is left. */
  addressesExhausted: 110,
  /** ADD: the agent refuses the endpoint or could not build it. */
  endpointRefused: 111,
  /** Everything else, as libcni's `ErrInternal`. */
  internal: 999,
} as const;

/** A refusal that goes to the runtime with its code. */
export class CniError extends Error {
  readonly code: number;
  readonly details: string;

  constructor(code: keyof typeof errorCodes, message: string, details = '', cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CniError';
    this.code = errorCodes[code];
    this.details = details;
  }
}

/** What goes to standard output. */
export function formatError(error: unknown, cniVersion: string): string {
  const known =
    error instanceof CniError
      ? error
      : new CniError('internal', error instanceof Error ? error.message : String(error));
  const body = {
    cniVersion,
    code: known.code,
    msg: known.message,
    ...(known.details === '' ? {} : { details: known.details }),
  };
  return `${JSON.stringify(body, null, 4)}\n`;
}
