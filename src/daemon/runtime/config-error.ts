/**
 * @module
 * The error of every option that cannot be used as it was given.
 */

/** Names the option and says why. The agent prints it in one line and does not start. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly option: string;

  constructor(option: string, reason: string, options?: ErrorOptions) {
    super(`option ${option}: ${reason}`, options);
    this.option = option;
  }
}
