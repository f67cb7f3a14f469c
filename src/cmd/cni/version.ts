/**
 * @module Versions of the CNI specification.
 */

/** What a configuration may ask for, oldest first. */
export const supportedVersions = [
  '0.1.0',
  '0.2.0',
  '0.3.0',
  '0.3.1',
  '0.4.0',
  '1.0.0',
  '1.1.0',
] as const;

export type CniVersion = (typeof supportedVersions)[number];

/** The newest that we speak; what errors carry while the configuration is unread. */
export const latestVersion: CniVersion = '1.1.0';

/** The specification's default for a configuration that names none. */
export const defaultVersion: CniVersion = '0.1.0';

export function isSupported(version: string): version is CniVersion {
  return supportedVersions.some((one) => one === version);
}

/** True if `version` is `since` or newer. */
export function isAtLeast(version: CniVersion, since: CniVersion): boolean {
  return supportedVersions.indexOf(version) >= supportedVersions.indexOf(since);
}
