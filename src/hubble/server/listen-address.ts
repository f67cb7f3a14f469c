/**
 * @module
 * Whether and where Hubble listens on TCP. Apart from the server, because the main thread asks
 * this too and does without gRPC.
 */
export class HubbleServerError extends Error {
  override readonly name = 'HubbleServerError';
}

/** Checks the TCP address against the TLS setting. Throws HubbleServerError. */
export function checkListenAddress(address: string, disableTls: boolean): string | undefined {
  if (address === '') return undefined;
  if (!disableTls) {
    throw new HubbleServerError(
      `listen on ${address}: TLS is not supported yet; set hubble-disable-tls to listen in plaintext`,
    );
  }
  return address.startsWith(':') ? `0.0.0.0${address}` : address;
}
